import { setTimeout } from "node:timers/promises";
import type OpenAI from "openai";
import type { ChatCompletionMessageToolCall, ChatCompletionTool } from "openai/resources/chat/completions";
import type { Tool } from "../openapi/types.js";
import { parseCompletion } from "../task/parse.js";
import { fullStyle } from "../task/prompts.js";
import type { ToolCall } from "../task/types.js";
import { isObject, type JsonObject } from "../util/json.js";
import { readArguments } from "./lines.js";
import { type Ask, type BenchAnswer, type BenchModel, solverPrompt } from "./models.js";
import type { SuiteItem } from "./suite.js";

export interface EndpointOptions {
  /** Address of an OpenAI-compatible API, e.g. `http://127.0.0.1:8000/v1`. */
  baseUrl: string;
  /** The model's name there. */
  model: string;
  /** Sent as a bearer token; never written anywhere. */
  apiKey?: string | undefined;
  /** Requests at a time; default 8. */
  concurrency?: number;
  /** Further tries after 408, 409, 429, 5xx, a timeout, a broken connection or an unreadable reply; default 4. */
  retries?: number;
  /** Per try, in ms; default 120 000. */
  timeout?: number;
  maxTokens?: number | undefined;
  /** Default `native`. */
  ask?: Ask;
  /** Default 0. */
  temperature?: number;
  /** Sent, with the sample's number added, where the temperature is above 0. */
  seed?: number;
  /** Further fields of the request, such as a vendor's own. */
  extra?: JsonObject | undefined;
}

/** Names that the wire allows (`[A-Za-z0-9_-]{1,64}`), and the way back. */
function wireNames(tools: readonly Tool[]): { toWire: Map<string, string>; fromWire: Map<string, string> } {
  const toWire = new Map<string, string>();
  const fromWire = new Map<string, string>();
  for (const { name } of tools) {
    const plain = name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 60) || "tool";
    let wire = plain;
    for (let n = 2; fromWire.has(wire); n++) wire = `${plain}_${n}`;
    toWire.set(name, wire);
    fromWire.set(wire, name);
  }
  return { toWire, fromWire };
}

/**
 * The calls of a reply; null when one of them cannot be read, which is the model's own failure. Ids do not matter:
 * servers leave them out, repeat them or make up their own.
 */
function readCalls(
  toolCalls: readonly ChatCompletionMessageToolCall[],
  fromWire: ReadonlyMap<string, string>,
): ToolCall[] | null {
  const calls: ToolCall[] = [];
  for (const call of toolCalls as readonly unknown[]) {
    const called = isObject(call) ? call.function : undefined;
    if (!isObject(called) || typeof called.name !== "string") return null;
    const args = readArguments(called.arguments);
    if (args === undefined) return null;
    calls.push({ name: fromWire.get(called.name) ?? called.name, arguments: args });
  }
  return calls;
}

/** Faults of the wire that the client does not try again by itself: a reply that is cut off or is no completion. */
function isBrokenReply(error: unknown): boolean {
  return error instanceof SyntaxError || (error instanceof Error && error.name === "BrokenReply");
}

/** Servers that check tool calls themselves refuse with this code what the model wrote; that is the model's failure. */
function failedGeneration(error: unknown): string | undefined {
  if (!isObject(error) || error.code !== "tool_use_failed") return undefined;
  const body: unknown = error.error;
  const text = isObject(body) ? body.failed_generation : undefined;
  return typeof text === "string" ? text : "";
}

/** Servers quote the key they refuse. */
function withoutSecret(message: string, apiKey: string | undefined): string {
  return apiKey === undefined || apiKey === "" ? message : message.replaceAll(apiKey, "[key]");
}

/** A client of the `openai` package, which is loaded only where an endpoint is asked. */
async function openClient(
  { baseUrl, apiKey }: Pick<EndpointOptions, "baseUrl" | "apiKey">,
  more: { maxRetries: number; timeout?: number },
): Promise<OpenAI> {
  const { default: Client } = await import("openai");
  return new Client({ baseURL: baseUrl, apiKey: apiKey ?? "none", ...more });
}

/** The models that an endpoint offers. */
export async function endpointModels(
  options: Pick<EndpointOptions, "baseUrl" | "apiKey">,
): Promise<string[]> {
  const client = await openClient(options, { maxRetries: 2 });
  const page = await client.models.list();
  return page.data.map((model) => model.id);
}

/** A model behind an OpenAI-compatible endpoint. */
export function endpointModel(label: string, options: EndpointOptions): BenchModel {
  const { retries = 4, ask = "native", temperature = 0, seed = 0 } = options;
  let client: Promise<OpenAI> | undefined;

  /** Tools as they are sent, and the way back from their names; made once for each item. */
  const wired = new WeakMap<SuiteItem, { tools: ChatCompletionTool[]; fromWire: Map<string, string> }>();
  function wire(item: SuiteItem) {
    const known = wired.get(item);
    if (known !== undefined) return known;
    const { toWire, fromWire } = wireNames(item.tools);
    const tools = item.tools.map(
      (tool): ChatCompletionTool => ({
        type: "function",
        function: {
          name: toWire.get(tool.name) ?? tool.name,
          description: tool.description,
          parameters: { ...tool.parameters },
        },
      }),
    );
    const made = { tools, fromWire };
    wired.set(item, made);
    return made;
  }

  /** The body of the request; what is kept of an answer hangs on it. */
  function requestOf(item: SuiteItem, sample: number) {
    const { tools } = wire(item);
    return {
      model: options.model,
      messages: ask === "native" ? item.messages : solverPrompt(item, fullStyle),
      ...(ask === "prompt" || tools.length === 0 ? {} : { tools }),
      temperature,
      ...(temperature === 0 ? {} : { seed: seed + sample }),
      ...(options.maxTokens === undefined ? {} : { max_tokens: options.maxTokens }),
      ...options.extra,
    };
  }

  async function askOnce(item: SuiteItem, sample: number): Promise<BenchAnswer> {
    client ??= openClient(options, { maxRetries: retries, timeout: options.timeout ?? 120_000 });
    const reply = await (await client).chat.completions.create({
      ...requestOf(item, sample),
      stream: false,
    });
    const choice = Array.isArray(reply?.choices) ? reply.choices[0] : undefined;
    const message = choice?.message;
    if (choice === undefined || !isObject(message)) {
      const error = new Error("the reply has no choices");
      error.name = "BrokenReply";
      throw error;
    }
    const { fromWire } = wire(item);
    const content = typeof message.content === "string" ? message.content : "";
    let calls: readonly ToolCall[] | null;
    let text = content;
    if (ask === "prompt") {
      const parsed = parseCompletion(content, { calls: true });
      calls = "calls" in parsed ? parsed.calls : null;
    } else {
      const given = Array.isArray(message.tool_calls) ? message.tool_calls : [];
      calls = readCalls(given, fromWire);
      if (calls === null) text = [content, JSON.stringify(given)].filter((part) => part !== "").join("\n");
    }
    return {
      calls,
      text,
      tokens: { prompt: reply.usage?.prompt_tokens ?? 0, completion: reply.usage?.completion_tokens ?? 0 },
      ...(choice.finish_reason === "length" ? { truncated: true } : {}),
    };
  }

  return {
    label,
    batch: 1,
    concurrency: options.concurrency ?? 8,
    request: (item, sample) => ({
      url: options.baseUrl.replace(/\/+$/, ""),
      ask,
      body: requestOf(item, sample),
      sample: temperature === 0 ? 0 : sample,
    }),
    async ask([item], [sample = 0]) {
      if (item === undefined) return [];
      for (let attempt = 0; ; attempt++) {
        try {
          return [await askOnce(item, sample)];
        } catch (error) {
          if (attempt < retries && isBrokenReply(error)) {
            await setTimeout(Math.min(100 * 2 ** attempt, 5000));
            continue;
          }
          const written = failedGeneration(error);
          if (written !== undefined) return [{ calls: null, text: written }];
          return [
            { error: withoutSecret(error instanceof Error ? error.message : String(error), options.apiKey) },
          ];
        }
      }
    },
    close: async () => undefined,
  };
}
