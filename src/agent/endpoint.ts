import type OpenAI from "openai";
import type { Tokenizer } from "../rollout/tokenizer.js";
import { briefStyle, callStart, type PromptStyle } from "../task/prompts.js";
import { SpecdojoError } from "../util/errors.js";
import { menuGrammar } from "./grammar/menu.js";
import { Limiter } from "./limiter.js";
import type { CompleteOptions, Solver } from "./solver.js";

export interface EndpointSolverOptions {
  /** With its version, e.g. `http://127.0.0.1:8000/v1`. */
  url: string;
  /** The solver's name there. */
  model: string;
  apiKey?: string;
  /**
   * The model's tokenizer, or the folder that holds it: prompts then go as token ids to `/completions`, just as the model
   * was trained on them. Without, they go as messages to `/chat/completions`, and the server's chat template applies.
   */
  tokenizer?: Tokenizer | string;
  /** The prompts that the model was trained on. */
  style?: PromptStyle;
  /** The server whose way of taking a grammar is used. Default: none is sent, and calls are only checked afterwards. */
  grammar?: "llama.cpp" | "vllm";
  /** Requests at a time. Default 8. */
  concurrency?: number;
  /** For one attempt, in ms. Default 120 000. */
  timeoutMs?: number;
  /** After network errors and the statuses 408, 409, 429 and 5xx. Default 2. */
  retries?: number;
}

interface Reply {
  text: string;
  length: boolean;
  usage: OpenAI.CompletionUsage | undefined;
}

/**
 * A solver behind an OpenAI-compatible endpoint, such as vLLM or Ollama that serve its weights; greedy.
 * `complete` throws SpecdojoError `endpoint-failed`, or the reason of an aborted signal.
 */
export function endpointSolver(options: EndpointSolverOptions): Solver {
  const {
    model,
    style = briefStyle,
    apiKey = "",
    concurrency = 8,
    timeoutMs = 120_000,
    retries = 2,
  } = options;
  const url = options.url.replace(/\/+$/, "");
  const limiter = new Limiter(concurrency);
  const closed = new AbortController();
  let opened: Promise<[client: OpenAI, tokenizer: Tokenizer | undefined]> | undefined;

  async function open(): Promise<[OpenAI, Tokenizer | undefined]> {
    const { default: Client } = await import("openai");
    const { tokenizer } = options;
    return [
      // Nothing of the environment goes to an address that the application chose.
      new Client({
        baseURL: url,
        apiKey: apiKey || "none",
        organization: null,
        project: null,
        timeout: timeoutMs,
        maxRetries: retries,
      }),
      typeof tokenizer === "string"
        ? await (await import("../rollout/tokenizer.js")).loadTokenizer(tokenizer)
        : tokenizer,
    ];
  }

  function grammarOf(tools: NonNullable<CompleteOptions["tools"]>[number], mustCall?: boolean): object {
    const grammar = menuGrammar(tools, { style, mustCall });
    return options.grammar === "vllm" ? { structured_outputs: { grammar } } : { grammar };
  }

  async function ask(
    messages: Parameters<Solver["complete"]>[0][number],
    index: number,
    { maxTokens, tools, mustCall, onUsage }: CompleteOptions,
    signal: AbortSignal,
  ): Promise<string> {
    opened ??= open();
    const [client, tokenizer] = await opened.catch((error: unknown) => {
      // Tried again by the next question.
      opened = undefined;
      throw error;
    });
    const shown = tools?.[index];
    const guided = options.grammar !== undefined && shown !== undefined;
    const start = mustCall === true && !guided && tokenizer !== undefined ? callStart(shown ?? []) : "";
    const params = {
      model,
      max_tokens: maxTokens,
      temperature: 0,
      ...(guided ? grammarOf(shown, mustCall) : {}),
    };
    const reply: Reply =
      tokenizer === undefined
        ? readChat(
            await client.chat.completions.create(
              { ...params, messages: messages.map(({ role, content }) => ({ role, content })) },
              { signal },
            ),
          )
        : readText(
            await client.completions.create(
              { ...params, prompt: [...tokenizer.renderChat([...messages]), ...tokenizer.encode(start)] },
              { signal },
            ),
          );
    onUsage?.(index, {
      prompt: reply.usage?.prompt_tokens ?? 0,
      cached: reply.usage?.prompt_tokens_details?.cached_tokens ?? 0,
      completion: reply.usage?.completion_tokens ?? 0,
      finish: reply.length ? "length" : "stop",
    });
    return start + reply.text;
  }

  function failure(cause: unknown): SpecdojoError {
    const message = cause instanceof Error ? cause.message : String(cause);
    // Servers quote the key they refuse.
    const shown = apiKey === "" ? message : message.replaceAll(apiKey, "[key]");
    return new SpecdojoError("endpoint-failed", `The endpoint gave no answer: ${shown.slice(0, 500)}`, {
      place: url,
      remedy: `Check that the server runs, that it serves ${JSON.stringify(model)}, and the key.`,
    });
  }

  return {
    async complete(prompts, completeOptions) {
      const given = completeOptions.signal === undefined ? [] : [completeOptions.signal];
      const signals = [...given, closed.signal];
      // The first failure ends the others.
      const failed = new AbortController();
      const signal = AbortSignal.any([...signals, failed.signal]);
      return Promise.all(
        prompts.map(async (messages, index) => {
          const leave = await limiter.enter([signal]);
          try {
            signal.throwIfAborted();
            return await ask(messages, index, completeOptions, signal);
          } catch (cause) {
            for (const one of signals) one.throwIfAborted();
            failed.abort(cause);
            throw SpecdojoError.isInstance(cause) ? cause : failure(cause);
          } finally {
            leave?.();
          }
        }),
      );
    },
    async close() {
      closed.abort(new Error("The solver is closed."));
    },
  };
}

function readChat(reply: OpenAI.ChatCompletion): Reply {
  const choice = reply.choices?.[0];
  if (choice === undefined) throw new Error("its reply has no choices");
  return {
    text: choice.message?.content ?? "",
    length: choice.finish_reason === "length",
    usage: reply.usage,
  };
}

function readText(reply: OpenAI.Completion): Reply {
  const choice = reply.choices?.[0];
  if (choice === undefined) throw new Error("its reply has no choices");
  return { text: choice.text ?? "", length: choice.finish_reason === "length", usage: reply.usage };
}
