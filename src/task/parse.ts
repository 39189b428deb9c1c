import { isObject, type JsonObject } from "../util/json.js";
import { isRejection, quote, reject } from "./rejection.js";
import type { Rejection, ToolCall } from "./types.js";

/** What a completion says. `null` where nothing was asked for. */
export interface Completion {
  question: string | null;
  calls: ToolCall[] | null;
}

/** Which parts the role has to write: the Solver `calls`, the Generator `question` and, for a free answer, `calls`. */
export interface Expected {
  question?: boolean;
  calls?: boolean;
}

/** Deeper JSON is refused: no OpenAPI argument needs it, and everything downstream may recurse. */
const maxDepth = 64;

/** Text outside the reasoning: after the last `</think>`, and before a `<think>` that never ends. */
function withoutReasoning(text: string): string {
  const end = text.lastIndexOf("</think>");
  const spoken = end < 0 ? text : text.slice(end + "</think>".length);
  const open = spoken.indexOf("<think>");
  return open < 0 ? spoken : spoken.slice(0, open);
}

/** Content of the last complete pair of a tag, or undefined. */
function lastPair(text: string, tag: string): string | undefined {
  const close = text.lastIndexOf(`</${tag}>`);
  if (close < 0) return undefined;
  const open = text.lastIndexOf(`<${tag}>`, close);
  return open < 0 ? undefined : text.slice(open + tag.length + 2, close);
}

function withoutFence(text: string): string {
  const body = text.trim();
  if (!body.startsWith("```") || !body.endsWith("```") || body.length < 6) return body;
  const inner = body.slice(3, -3);
  const line = inner.indexOf("\n");
  const label = line < 0 ? "" : inner.slice(0, line).trim();
  if (line >= 0 && /^[A-Za-z]{0,16}$/.test(label)) return inner.slice(line + 1).trim();
  return inner.replace(/^json\b/i, "").trim();
}

function depthExceeds(text: string, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (inString) {
      if (char === 0x5c) i++;
      else if (char === 0x22) inString = false;
    } else if (char === 0x22) inString = true;
    else if (char === 0x5b || char === 0x7b) {
      if (++depth > limit) return true;
    } else if (char === 0x5d || char === 0x7d) depth--;
  }
  return false;
}

function readJson(text: string): { value: unknown } | string {
  if (depthExceeds(text, maxDepth)) return `nested deeper than ${maxDepth} levels`;
  let finite = true;
  try {
    const value: unknown = JSON.parse(text, (_key, part: unknown) => {
      if (typeof part === "number" && !Number.isFinite(part)) finite = false;
      return part;
    });
    return finite ? { value } : "a number is out of range";
  } catch (error) {
    return error instanceof Error ? error.message : "not JSON";
  }
}

function readArguments(value: unknown): JsonObject | string {
  if (isObject(value)) return value as JsonObject;
  if (typeof value !== "string") return "`arguments` is not an object";
  const inner = readJson(value);
  if (typeof inner === "string") return `\`arguments\` is a text that is not JSON (${inner})`;
  return isObject(inner.value) ? (inner.value as JsonObject) : "`arguments` is not an object";
}

function readCall(value: unknown): ToolCall | string {
  if (!isObject(value)) return "a call is not an object";
  const name = Object.hasOwn(value, "name") ? value.name : undefined;
  if (typeof name !== "string" || name === "") return "a call has no `name`";
  const unknown = Object.keys(value).find((key) => key !== "name" && key !== "arguments");
  if (unknown !== undefined) return `a call has the unknown key ${JSON.stringify(quote(unknown))}`;
  const args = readArguments(Object.hasOwn(value, "arguments") ? value.arguments : undefined);
  return typeof args === "string" ? args : { name, arguments: args };
}

/**
 * Reads the content of an answer tag: one JSON value and nothing else, an object or a list of
 * `{"name", "arguments"}`, optionally in a code fence. `arguments` may be an object or, as some models write it, a
 * text holding one.
 */
function readCalls(content: string): ToolCall[] | Rejection {
  const text = withoutFence(content);
  if (text === "") return reject("no-answer", "", "The answer is empty");
  const json = readJson(text);
  if (typeof json === "string")
    return reject("unparsable-answer", quote(text), `The answer is not JSON: ${json}`);
  const items: unknown[] = Array.isArray(json.value) ? json.value : [json.value];
  const calls: ToolCall[] = [];
  for (const [index, item] of items.entries()) {
    const call = readCall(item);
    if (typeof call === "string") return reject("unparsable-answer", `/${index}`, `Not a tool call: ${call}`);
    calls.push(call);
  }
  return calls;
}

/**
 * The parser of both roles. The last complete pair of a tag counts; reasoning is ignored; text around the tags too.
 * Never throws, and takes time linear in the text.
 */
export function parseCompletion(text: string, expected: Expected): Completion | Rejection {
  const spoken = withoutReasoning(text);
  const question = questionIn(spoken);
  if (expected.question === true && question === null)
    return reject("no-question", quote(spoken), "No complete, non-empty <question> tag");
  const content = lastPair(spoken, "tool_call_answer");
  if (content === undefined) {
    if (expected.calls === true)
      return reject("no-answer", quote(spoken), "No complete <tool_call_answer> tag");
    return { question, calls: null };
  }
  const calls = readCalls(content);
  if (!Array.isArray(calls)) return calls;
  return { question, calls };
}

function questionIn(spoken: string): string | null {
  const text = lastPair(spoken, "question")?.trim();
  return text === undefined || text === "" ? null : text;
}

/** The calls of a Solver's completion: `parseCompletion` where only they are expected. */
export function parseCalls(text: string): ToolCall[] | Rejection {
  const parsed = parseCompletion(text, { calls: true });
  return isRejection(parsed) ? parsed : (parsed.calls ?? []);
}

/** The question of a completion whatever else it holds, or null. */
export function parseQuestion(text: string): string | null {
  return questionIn(withoutReasoning(text));
}

/** What a Solver's completion says to the user beside its calls, such as a question back; empty for none. */
export function parseText(text: string): string {
  return withoutReasoning(text)
    .replaceAll(/<tool_call_answer>[\s\S]*?(?:<\/tool_call_answer>|$)/g, "\n")
    .replaceAll(/<\/?(?:tool_call_answer|question)>/g, "")
    .trim();
}
