import type { Tool } from "../openapi/types.js";
import type { ToolCall } from "../task/types.js";
import { isObject, type JsonObject } from "../util/json.js";

/** Tools as chat templates take them. */
export function templateTools(tools: readonly Tool[]): JsonObject[] {
  return tools.map(({ name, description, parameters }) => ({
    type: "function",
    function: { name, description, parameters: parameters as JsonObject },
  }));
}

/** `{"name", "arguments"}`, or `parameters` as Llama writes it. */
function readCall(value: unknown): ToolCall | undefined {
  if (!isObject(value) || typeof value.name !== "string") return undefined;
  const given = value.arguments ?? value.parameters ?? {};
  try {
    const args: unknown = typeof given === "string" ? JSON.parse(given) : given;
    return isObject(args) ? { name: value.name, arguments: args as JsonObject } : undefined;
  } catch {
    return undefined;
  }
}

function readAll(texts: readonly string[]): ToolCall[] | null {
  const calls: ToolCall[] = [];
  for (const text of texts)
    try {
      const value: unknown = JSON.parse(text);
      for (const one of Array.isArray(value) ? value : [value]) {
        const call = readCall(one);
        if (call === undefined) return null;
        calls.push(call);
      }
    } catch {
      return null;
    }
  return calls;
}

/**
 * The calls in a text that a model wrote by its own tool calling: `<tool_call>` tags (Qwen, Hermes), `[TOOL_CALLS]`
 * (Mistral), or JSON alone, maybe fenced (Llama, Hammer). Text without any of these is an answer without calls; null where
 * a call was begun and cannot be read.
 */
export function parseNative(text: string): ToolCall[] | null {
  const spoken = text.split("</think>").at(-1) ?? "";
  if (spoken.includes("<tool_call>")) {
    const parts = spoken.split("<tool_call>").slice(1);
    return readAll(parts.map((part) => (part.split("</tool_call>")[0] ?? "").trim()));
  }
  const marked = spoken.indexOf("[TOOL_CALLS]");
  if (marked >= 0) return readAll([spoken.slice(marked + "[TOOL_CALLS]".length).trim()]);
  const bare = spoken
    .replace(/<\|python_tag\|>/g, "")
    .trim()
    .replace(/^```(?:json)?\s*/, "")
    .replace(/\s*```$/, "");
  if (!/^[[{]/.test(bare)) return [];
  // Llama puts a semicolon between several calls.
  return readAll(bare.startsWith("{") && !bare.includes("\n") ? bare.split(/;\s*(?=\{)/) : [bare]);
}
