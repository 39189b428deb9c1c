import { createReadStream } from "node:fs";
import { isObject, type JsonObject } from "../util/json.js";

/**
 * Lines of a file that end in `\n`, in the memory of one. (Node's `readline` also ends them at U+2028 and U+2029, which
 * JSON allows within texts.)
 */
export async function* linesOf(path: string): AsyncGenerator<string> {
  let parts: string[] = [];
  for await (const chunk of createReadStream(path, { encoding: "utf8", highWaterMark: 1 << 18 })) {
    const [first = "", ...more] = String(chunk).split("\n");
    parts.push(first);
    for (const line of more) {
      yield parts.join("");
      parts = [line];
    }
  }
  const last = parts.join("");
  if (last !== "") yield last;
}

/**
 * Arguments of a call as they come from servers and files: an object, its JSON as text, or nothing for no arguments;
 * undefined where it is none of these.
 */
export function readArguments(given: unknown): JsonObject | undefined {
  if (isObject(given)) return given as JsonObject;
  if (given === undefined || given === null) return {};
  if (typeof given !== "string") return undefined;
  // Models without arguments to give write nothing at all.
  if (given.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(given);
    return isObject(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** The object without fields that say nothing: in a file `null` is as good as leaving a field out. */
export function withoutNulls(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
}

/** `id` as text; lines without one are called by their number. */
export function readId(id: unknown, line: number): unknown {
  return id === undefined || id === "" ? `line-${line}` : typeof id === "number" ? String(id) : id;
}
