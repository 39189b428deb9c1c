import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { z } from "zod";
import { SpecdojoError } from "../../util/errors.js";
import { isObject, type JsonObject } from "../../util/json.js";
import type { SuiteLine } from "../suite.js";

/** A suite in the format of `specdojo bench`. */
export interface Conversion {
  items: SuiteLine[];
  /** Items of each part, beside the numbers that its authors published for it (of several versions). */
  counts: { part: string; items: number; published: readonly number[] }[];
  /** What a person should know: items that were left out, and why. */
  notes: string[];
}

export function unreadable(place: string, what: string, remedy: string, cause?: unknown): SpecdojoError {
  return new SpecdojoError("convert-unreadable", `${place}: ${what}`, { place, remedy, cause });
}

export async function readText(path: string, remedy: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause: unknown) => {
    throw unreadable(path, "the file cannot be read", remedy, cause);
  });
}

/** A value as the schema says, or an error that names file and place. */
export function check<S extends z.ZodType>(
  value: unknown,
  schema: S,
  place: string,
  remedy: string,
): z.infer<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue === undefined ? "" : `/${issue.path.map(String).join("/")}: ${issue.message}`;
  throw unreadable(place, `not in the suite's original format (${where})`, remedy);
}

export function parseJson(text: string, place: string, remedy: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unreadable(
      place,
      `not JSON (${cause instanceof Error ? cause.message : String(cause)})`,
      remedy,
      cause,
    );
  }
}

export async function readJsonFile<S extends z.ZodType>(
  path: string,
  schema: S,
  remedy: string,
): Promise<z.infer<S>> {
  return check(parseJson(await readText(path, remedy), path, remedy), schema, path, remedy);
}

/** JSON Lines. */
export async function readLines<S extends z.ZodType>(
  path: string,
  schema: S,
  remedy: string,
): Promise<z.infer<S>[]> {
  const text = await readText(path, remedy);
  return text.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === "") return [];
    const place = `${path}:${i + 1}`;
    return [check(parseJson(line, place, remedy), schema, place, remedy)];
  });
}

/** Folders that are never looked into. */
const skipped = new Set([".git", "node_modules", "possible_answer", "unused_datasets"]);

/** Files below a path (or the path itself) whose name fits, in order of name. Six levels are enough for every suite. */
export async function findFiles(path: string, name: RegExp, remedy: string): Promise<string[]> {
  const info = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, "there is no such file or folder", remedy, cause);
  });
  if (info.isFile()) {
    if (name.test(basename(path))) return [path];
    throw unreadable(path, "the file is not one of the suite's", remedy);
  }
  const found: string[] = [];
  const visit = async (folder: string, depth: number): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.isDirectory() && depth < 6 && !skipped.has(entry.name))
        await visit(join(folder, entry.name), depth + 1);
      else if (entry.isFile() && name.test(entry.name)) found.push(join(folder, entry.name));
    }
  };
  await visit(path, 0);
  if (found.length === 0) throw unreadable(path, "none of the suite's files are here", remedy);
  return found;
}

/** Types of Python, as several suites write them, in JSON Schema. Types that say nothing are left out. */
export function jsonType(type: string): { type?: string; items?: JsonObject } {
  const plain = type.trim().toLowerCase();
  if (/^(?:str|string|datetime|date|char|enum)/.test(plain)) return { type: "string" };
  if (/^(?:int|integer|long|int32|int64)\b/.test(plain)) return { type: "integer" };
  if (/^(?:float|number|double)/.test(plain)) return { type: "number" };
  if (/^bool/.test(plain)) return { type: "boolean" };
  const list = /^(?:list|array|tuple)(?:[[(<]\s*(\w+))?/.exec(plain);
  if (list !== null) {
    const items = list[1] === undefined ? {} : jsonType(list[1]);
    return { type: "array", ...(items.type === undefined ? {} : { items: { type: items.type } }) };
  }
  return /^(?:dict|object|map)/.test(plain) ? { type: "object" } : {};
}

/** An object schema from arguments with types and descriptions. */
export function objectSchema(
  properties: Record<
    string,
    { type: string; description?: string | undefined; default?: JsonObject[string] }
  >,
  required: readonly string[],
): JsonObject {
  return {
    type: "object",
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, { type, description, default: fallback }]) => [
        name,
        {
          ...jsonType(type),
          ...(description === undefined || description === "" ? {} : { description }),
          ...(fallback === undefined ? {} : { default: fallback }),
        },
      ]),
    ),
    required: [...required],
  };
}

export const asObject = (value: unknown): JsonObject => (isObject(value) ? (value as JsonObject) : {});
