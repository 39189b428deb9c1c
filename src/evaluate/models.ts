import type { Solver } from "../agent/solver.js";
import { type ChatMessage, messagesToQuestion } from "../task/conversation.js";
import { parseCompletion } from "../task/parse.js";
import { type PromptStyle, solverMessages } from "../task/prompts.js";
import type { ToolCall } from "../task/types.js";
import type { JsonObject } from "../util/json.js";
import { parseNative, templateTools } from "./native.js";
import type { SuiteItem } from "./suite.js";

/** How a model is asked: by its own tool calling, or by the solver's prompt, as text. */
export const asks = ["native", "prompt"] as const;
export type Ask = (typeof asks)[number];

/** What a model answered, or why it could not be asked (a fault of the harness, which is not scored). */
export type BenchAnswer =
  | {
      /** Null when it could not be read as calls. */
      calls: readonly ToolCall[] | null;
      /** What it wrote. Where its calls could not be read, they are in here. */
      text: string;
      tokens?: { prompt: number; completion: number } | undefined;
      /** It was cut off at the greatest number of tokens. */
      truncated?: boolean | undefined;
    }
  | { error: string };

/** Something that can be asked the items of a suite. */
export interface BenchModel {
  label: string;
  /** Items per call of `ask`. */
  batch: number;
  /** Calls of `ask` at a time. */
  concurrency: number;
  /** All that decides the answer to an item, as JSON, without secrets. Without it answers are not kept. */
  request?(item: SuiteItem, sample: number): unknown;
  /** One answer per item, in order; `samples[i]` numbers repeated answers to an item. Never rejects for what one item causes. */
  ask(items: readonly SuiteItem[], samples: readonly number[]): Promise<BenchAnswer[]>;
  close(): Promise<void>;
}

/** Anything that completes prompts; samplers also take a temperature, and a seed and tools for each prompt. */
export type PromptModel = Pick<Solver, "close"> & {
  complete(
    prompts: Parameters<Solver["complete"]>[0],
    options: {
      maxTokens: number;
      temperature?: number;
      seeds?: readonly number[];
      tools?: readonly (readonly JsonObject[])[];
    },
  ): Promise<(string | PromptAnswer)[]>;
};

/** What a sampler knows of a completion besides its text. */
export interface PromptAnswer {
  text: string;
  tokens: { prompt: number; completion: number };
  truncated: boolean;
}

/** The solver's prompt for an item. Instructions of the suite's own go before the question. */
export function solverPrompt(item: SuiteItem, style: PromptStyle): ChatMessage[] {
  const [first, ...rest] = item.messages;
  if (first?.role !== "system") return solverMessages(item.tools, messagesToQuestion(item.messages), style);
  const question = messagesToQuestion(rest);
  return solverMessages(item.tools, `${first.content}\n\n${question}`, style);
}

/** A solver under its own prompt: the suite's tools in the system message, the answer between tags. */
export function solverBenchModel(
  label: string,
  solver: PromptModel,
  options: {
    style: PromptStyle;
    /** By the solver's prompt (default), or by the model's own tool calling, through its chat template. */
    ask?: Ask;
    maxTokens?: number;
    batch?: number;
    temperature?: number;
    seed?: number;
    /** Hash of the weights; without it answers are not kept. */
    fingerprint?: string | undefined;
  },
): BenchModel {
  const { style, ask = "prompt", maxTokens = 512, temperature = 0, seed = 0, fingerprint } = options;
  const prompt = (item: SuiteItem) => (ask === "native" ? item.messages : solverPrompt(item, style));
  return {
    label,
    batch: options.batch ?? 16,
    concurrency: 1,
    ...(fingerprint === undefined
      ? {}
      : {
          request: (item: SuiteItem, sample: number) => ({
            weights: fingerprint,
            messages: prompt(item),
            ...(ask === "native" ? { tools: templateTools(item.tools) } : {}),
            maxTokens,
            temperature,
            seed: temperature === 0 ? 0 : seed,
            sample: temperature === 0 ? 0 : sample,
          }),
        }),
    async ask(items, samples) {
      const answers = await solver.complete(items.map(prompt), {
        maxTokens,
        ...(ask === "native" ? { tools: items.map((item) => templateTools(item.tools)) } : {}),
        ...(temperature === 0 ? {} : { temperature, seeds: samples.map((sample) => seed * 1000 + sample) }),
      });
      return items.map((_, i): BenchAnswer => {
        const answer = answers[i];
        if (answer === undefined) return { error: "no answer came back" };
        const { text, tokens, truncated } =
          typeof answer === "string" ? { text: answer, tokens: undefined, truncated: false } : answer;
        const parsed =
          ask === "native" ? { calls: parseNative(text) } : parseCompletion(text, { calls: true });
        return {
          calls: "calls" in parsed ? parsed.calls : null,
          text,
          ...(tokens === undefined ? {} : { tokens }),
          ...(truncated ? { truncated } : {}),
        };
      });
    },
    close: () => solver.close(),
  };
}
