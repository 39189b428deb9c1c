import OpenAI from "openai";
import type { ChatCompletionMessageToolCall, ChatCompletionTool } from "openai/resources/chat/completions";
import type { Tool } from "../openapi/types.js";
import type { ToolCall } from "../task/types.js";
import { isObject, type JsonObject } from "../util/json.js";
import type { BenchAnswer, BenchModel } from "./bench.js";
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
  /** Further tries after 408, 409, 429, 5xx, a broken connection or an unreadable reply; default 4. */
  retries?: number;
  /** Per try, in ms; default 120 000. */
  timeout?: number;
  maxTokens?: number;
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

function readArguments(text: string): JsonObject | undefined {
  // Models without arguments to give write nothing at all.
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** The calls of a reply; null when one of them cannot be read, which is the model's own failure. */
function readCalls(
  toolCalls: readonly ChatCompletionMessageToolCall[],
  fromWire: ReadonlyMap<string, string>,
): ToolCall[] | null {
  const calls: ToolCall[] = [];
  for (const call of toolCalls) {
    if (call.type !== "function") return null;
    const args = readArguments(call.function.arguments);
    if (args === undefined) return null;
    calls.push({ name: fromWire.get(call.function.name) ?? call.function.name, arguments: args });
  }
  return calls;
}

/** Faults of the wire that the client does not try again by itself: a reply that is cut off or is no completion. */
function isBrokenReply(error: unknown): boolean {
  return error instanceof SyntaxError || (error instanceof Error && error.name === "BrokenReply");
}

/** Servers quote the key they refuse. */
function withoutSecret(message: string, apiKey: string | undefined): string {
  return apiKey === undefined || apiKey === "" ? message : message.replaceAll(apiKey, "[key]");
}

/** The models that an endpoint offers. */
export async function endpointModels(
  options: Pick<EndpointOptions, "baseUrl" | "apiKey">,
): Promise<string[]> {
  const client = new OpenAI({ baseURL: options.baseUrl, apiKey: options.apiKey ?? "none", maxRetries: 2 });
  const page = await client.models.list();
  return page.data.map((model) => model.id);
}

/** A model behind an OpenAI-compatible endpoint, asked by its native tool calling. */
export function endpointModel(label: string, options: EndpointOptions): BenchModel {
  const retries = options.retries ?? 4;
  const client = new OpenAI({
    baseURL: options.baseUrl,
    apiKey: options.apiKey ?? "none",
    maxRetries: retries,
    timeout: options.timeout ?? 120_000,
  });

  async function askOnce(item: SuiteItem): Promise<BenchAnswer> {
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
    const reply = await client.chat.completions.create({
      model: options.model,
      messages: item.messages,
      ...(tools.length === 0 ? {} : { tools }),
      temperature: 0,
      ...(options.maxTokens === undefined ? {} : { max_tokens: options.maxTokens }),
    });
    const message = Array.isArray(reply?.choices) ? reply.choices[0]?.message : undefined;
    if (message === undefined || message === null) {
      const error = new Error("the reply has no choices");
      error.name = "BrokenReply";
      throw error;
    }
    return {
      calls: readCalls(message.tool_calls ?? [], fromWire),
      text: message.content ?? "",
      tokens: { prompt: reply.usage?.prompt_tokens ?? 0, completion: reply.usage?.completion_tokens ?? 0 },
    };
  }

  return {
    label,
    concurrency: options.concurrency ?? 8,
    async ask([item]) {
      if (item === undefined) return [];
      for (let attempt = 0; ; attempt++) {
        try {
          return [await askOnce(item)];
        } catch (error) {
          if (attempt < retries && isBrokenReply(error)) continue;
          return [
            { error: withoutSecret(error instanceof Error ? error.message : String(error), options.apiKey) },
          ];
        }
      }
    },
    batch: 1,
    close: async () => undefined,
  };
}
