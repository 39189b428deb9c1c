import { isAscii } from "node:buffer";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject } from "../util/json.js";
import { pointerTo } from "./pointer.js";
import type { Diagnostic } from "./types.js";

export interface ReadLimits {
  /** Bytes of the document, unpacked; with those that it refers to. Default 128 MiB. */
  maxBytes: number;
  /** Values in the document, aliases expanded. Default 5 million. */
  maxNodes: number;
  /** Levels of nesting. Default 20,000; YAML 1,000 at most. */
  maxDepth: number;
  /** Other documents that are read for references. Default 5,000. */
  maxDocuments: number;
  /** References from document to document in a row. Default 20. */
  maxHops: number;
  /** Milliseconds for all downloads together. Default 30,000. */
  timeout: number;
}

export const defaultLimits: ReadLimits = {
  maxBytes: 128 * 1024 * 1024,
  maxNodes: 5_000_000,
  maxDepth: 20_000,
  maxDocuments: 5_000,
  maxHops: 20,
  timeout: 30_000,
};

/** Bytes or text of a document, and how to speak of it in messages. */
export interface Source {
  text: string;
  name: string;
}

/** Reads a regular file, never more than `maxBytes` of it. */
export async function readSource(path: string | URL, limits: ReadLimits): Promise<Source> {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  try {
    // Not blocking: a named pipe would never open.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const status = await file.stat();
      if (!status.isFile())
        throw new SpecdojoError("document-unreadable", `${name} is not a regular file.`, {
          place: name,
          remedy: "Give the path of an OpenAPI document (JSON or YAML, also packed with gzip).",
        });
      if (status.size > limits.maxBytes) throw tooLarge(name, limits.maxBytes);
      // One byte more than it has, and it has grown meanwhile.
      const bytes = Buffer.allocUnsafe(status.size + 1);
      let size = 0;
      for (let read = -1; read !== 0 && size < bytes.length; size += read)
        read = (await file.read(bytes, size)).bytesRead;
      if (size > status.size) throw tooLarge(name, status.size);
      return { text: await decode(bytes.subarray(0, size), name, limits), name };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (SpecdojoError.isInstance(error)) throw error;
    const code = error instanceof Error ? Reflect.get(error, "code") : undefined;
    throw new SpecdojoError(
      "document-unreadable",
      code === "ENOENT" ? `There is no file ${name}.` : `${name} cannot be read: ${messageOf(error)}`,
      { place: name, remedy: "Check the path and the permissions.", cause: error },
    );
  }
}

/** Unpacks gzip and decodes UTF-8 (or UTF-16 with a byte order mark). */
export async function decode(bytes: Uint8Array, name: string, limits: ReadLimits): Promise<string> {
  let plain = bytes;
  // Twice: servers pack what is packed already.
  for (let layer = 0; layer < 2 && plain[0] === 0x1f && plain[1] === 0x8b; layer++) {
    try {
      plain = await promisify(gunzip)(plain, { maxOutputLength: limits.maxBytes });
    } catch (error) {
      if (error instanceof Error && Reflect.get(error, "code") === "ERR_BUFFER_TOO_LARGE")
        throw tooLarge(name, limits.maxBytes);
      throw new SpecdojoError("document-unreadable", `${name} is damaged gzip: ${messageOf(error)}`, {
        place: name,
        remedy: "Pack the document again.",
        cause: error,
      });
    }
  }
  if (plain.length > limits.maxBytes) throw tooLarge(name, limits.maxBytes);
  const encoding =
    plain[0] === 0xff && plain[1] === 0xfe
      ? "utf-16le"
      : plain[0] === 0xfe && plain[1] === 0xff
        ? "utf-16be"
        : "utf-8";
  try {
    // Much the fastest way for what is ASCII.
    if (encoding === "utf-8" && isAscii(plain))
      return Buffer.from(plain.buffer, plain.byteOffset, plain.length).toString("latin1");
    return new TextDecoder(encoding, { fatal: true }).decode(plain);
  } catch (error) {
    throw new SpecdojoError("document-unreadable", `${name} is not UTF-8 text.`, {
      place: name,
      remedy: "Save the document as UTF-8.",
      cause: error,
    });
  }
}

export function tooLarge(name: string, maxBytes: number): SpecdojoError {
  return new SpecdojoError("document-too-large", `${name} has more than ${maxBytes} bytes, unpacked.`, {
    place: name,
    remedy: "Split the document, or raise `limits.maxBytes`.",
  });
}

/** A parsed text. `plain`: it is known to be a tree of JSON within the limits, and nobody else holds it. */
export interface Parsed {
  value: unknown;
  plain: boolean;
  /** All references of the text (and perhaps some that are none), where they are known without looking at the value. */
  references?: Set<string> | undefined;
}

/** JSON or YAML text to a value. Throws one error with line and column where it is neither. */
export async function parseText(
  source: Source,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): Promise<Parsed> {
  const { name } = source;
  const text = source.text.charCodeAt(0) === 0xfeff ? source.text.slice(1) : source.text;
  const first = /\S/.exec(text)?.[0];
  if (first === undefined)
    throw new SpecdojoError("document-unreadable", `${name} is empty.`, {
      place: name,
      remedy: "Give an OpenAPI document (JSON or YAML).",
    });
  if (first === "<")
    throw new SpecdojoError("document-unreadable", `${name} is HTML or XML, not an OpenAPI document.`, {
      place: name,
      remedy: "Download the raw JSON or YAML file instead of the page that shows it.",
    });
  if (first !== "{" && first !== "[") return { value: await parseYaml(text, name, report), plain: false };
  const measured = measureJson(text);
  if (measured.values > limits.maxNodes) throw tooManyValues(name, limits.maxNodes);
  if (measured.depth > limits.maxDepth)
    throw tooDeep(name, `is nested more than ${limits.maxDepth} levels deep`);
  try {
    const value: unknown = JSON.parse(text);
    if (text.length <= maxCheckedForRepetition && countKeys(value) < measured.keys)
      await reportRepeatedKeys(text, name, report);
    const plain = isObject(value) && !text.includes("__proto__") && !/\\u005f/i.test(text);
    return { value, plain, references: plain ? referencesIn(text) : undefined };
  } catch (error) {
    let value: unknown;
    try {
      value = withoutExtras(text) ?? (await parseYaml(text, name, () => undefined));
    } catch {
      const position = /position (\d+)/.exec(messageOf(error))?.[1];
      const where = position === undefined ? "" : ` (${lineAndColumn(text, Number(position))})`;
      throw syntaxError(source, `The JSON cannot be parsed: ${shortened(messageOf(error))}${where}`, error);
    }
    report({
      code: "json-not-strict",
      severity: "warning",
      pointer: "",
      message: `This is not strict JSON (${shortened(messageOf(error))}); it is read as people mean it.`,
      remedy: "Remove comments, trailing commas and the like.",
    });
    return { value, plain: false };
  }
}

/** JSON with comments and trailing commas; undefined where that is not all that is wrong with it. */
function withoutExtras(text: string): unknown {
  const bare = outsideStrings(text, /"|\/\/|\/\*/g, (from) => {
    const block = text[from + 1] === "*";
    const end = text.indexOf(block ? "*/" : "\n", from + 2);
    return end < 0 ? text.length : block ? end + 2 : end;
  });
  const strict = outsideStrings(bare, /"|,(?=\s*[}\]])/g, (from) => from + 1);
  try {
    return JSON.parse(strict);
  } catch {
    return undefined;
  }
}

/** A text without what a pattern finds outside of strings, up to where `endOf` says. The pattern has to find `"`, too. */
function outsideStrings(text: string, pattern: RegExp, endOf: (from: number) => number): string {
  const parts: string[] = [];
  let kept = 0;
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    if (found[0] === '"') {
      let end = text.indexOf('"', found.index + 1);
      while (end > 0 && escaped(text, end)) end = text.indexOf('"', end + 1);
      if (end < 0) break;
      pattern.lastIndex = end + 1;
      continue;
    }
    parts.push(text.slice(kept, found.index));
    kept = endOf(found.index);
    pattern.lastIndex = kept;
  }
  return parts.join("") + text.slice(kept);
}

/** The values of all `$ref`s in a JSON text; undefined where that takes a parser. */
function referencesIn(text: string): Set<string> | undefined {
  if (text.includes("\\u0024")) return undefined;
  const references = new Set<string>();
  const value = /\s*:\s*("[^"\\]*"|[^"\s])/y;
  for (let at = text.indexOf('"$ref"'); at >= 0; at = text.indexOf('"$ref"', at + 6)) {
    value.lastIndex = at + 6;
    const found = value.exec(text)?.[1];
    if (found === undefined) return undefined;
    if (found.length > 1) references.add(found.slice(1, -1));
  }
  return references;
}

/** The parser is loaded when there is YAML. */
async function parseYaml(
  text: string,
  name: string,
  report: (diagnostic: Diagnostic) => void,
): Promise<unknown> {
  const yaml = await import("./yaml.js");
  return yaml.parseYaml(text, name, report);
}

/** Characters of a JSON text that is searched for keys written twice. */
const maxCheckedForRepetition = 2_000_000;

/** What a JSON text holds, without parsing it: cheap, and before any memory is taken. */
function measureJson(text: string): { values: number; depth: number; keys: number } {
  let values = 1;
  let keys = 0;
  let depth = 0;
  let deepest = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: {
        let end = text.indexOf('"', i + 1);
        while (end > 0 && escaped(text, end)) end = text.indexOf('"', end + 1);
        i = end < 0 ? text.length : end;
        break;
      }
      case 0x2c: // ,
        values++;
        break;
      case 0x3a: // :
        keys++;
        break;
      case 0x5b: // [
      case 0x7b: // {
        values++;
        if (++depth > deepest) deepest = depth;
        break;
      case 0x5d:
      case 0x7d:
        depth--;
        break;
    }
  }
  return { values, depth: deepest, keys };
}

function escaped(text: string, quote: number): boolean {
  let slashes = 0;
  while (text.charCodeAt(quote - 1 - slashes) === 0x5c) slashes++;
  return slashes % 2 === 1;
}

/** Values below a value; shared ones once for each place. For trees only. */
export function countValues(root: unknown): number {
  let count = 0;
  const stack = [root];
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    count++;
    if (typeof value === "object" && value !== null)
      for (const item of Object.values(value)) stack.push(item);
  }
  return count;
}

function countKeys(root: unknown): number {
  let keys = 0;
  const stack = [root];
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    if (Array.isArray(value)) {
      for (const item of value) if (typeof item === "object" && item !== null) stack.push(item);
    } else if (isObject(value))
      for (const key of Object.keys(value)) {
        const item = value[key];
        keys++;
        if (typeof item === "object" && item !== null) stack.push(item);
      }
  }
  return keys;
}

/** Strict JSON is YAML, and that parser says what is written twice. */
async function reportRepeatedKeys(
  text: string,
  name: string,
  report: (diagnostic: Diagnostic) => void,
): Promise<void> {
  try {
    await parseYaml(text, name, report);
  } catch {
    report({
      code: "duplicate-key",
      severity: "warning",
      pointer: "",
      message: "A key occurs twice in one object; the last one counts.",
      remedy: "Remove or rename one of them.",
    });
  }
}

/**
 * A copy with only JSON in it: shared parts stay shared, `__proto__` keys are left out, what JSON cannot carry is
 * dropped. Refuses a value that is cyclic, too deep, or too large once its shared parts are expanded.
 */
export function toPlainDocument(
  value: unknown,
  name: string,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): JsonObject {
  try {
    return copyDocument(value, name, limits, report);
  } catch (error) {
    if (SpecdojoError.isInstance(error)) throw error;
    // A getter or a proxy of the caller's object.
    throw new SpecdojoError("document-unusable", `${name} cannot be read: ${messageOf(error)}`, {
      place: name,
      remedy: "Give a plain object, as JSON.parse makes it.",
      cause: error,
    });
  }
}

function copyDocument(
  value: unknown,
  name: string,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): JsonObject {
  if (!isObject(value))
    throw new SpecdojoError(
      "document-unusable",
      `${name} is not an OpenAPI document: its top level is ${kindOf(value)}, not an object.`,
      { place: name, remedy: "Give a document that starts with `openapi:` or `swagger:`." },
    );
  type Frame = {
    from: object;
    to: Record<string, unknown> | unknown[];
    keys: string[];
    at: number;
    size: number;
  };
  const done = new Map<object, { copy: unknown; size: number }>();
  const active = new Set<object>();
  const enter = (from: object): Frame => {
    active.add(from);
    return { from, to: Array.isArray(from) ? [] : {}, keys: Object.keys(from), at: 0, size: 1 };
  };
  const stack = [enter(value)];
  const place = (): string =>
    pointerTo("", ...stack.slice(0, 1_000).map(({ keys, at }) => keys[at] as string));
  let result: unknown;
  while (stack.length > 0) {
    const frame = stack[stack.length - 1] as Frame;
    if (frame.size > limits.maxNodes) throw tooManyValues(name, limits.maxNodes);
    const key = frame.keys[frame.at];
    if (key === undefined) {
      stack.pop();
      active.delete(frame.from);
      done.set(frame.from, { copy: frame.to, size: frame.size });
      const parent = stack[stack.length - 1];
      if (parent === undefined) result = frame.to;
      else {
        put(parent.to, parent.keys[parent.at] as string, frame.to);
        parent.size += frame.size;
        parent.at++;
      }
      continue;
    }
    if (key === "__proto__") {
      report({
        code: "forbidden-key",
        severity: "warning",
        pointer: place(),
        message: "A key called `__proto__` is left out: it could change what other code sees.",
        remedy: "Rename the key.",
      });
      frame.at++;
      continue;
    }
    const item: unknown = Reflect.get(frame.from, key);
    if (typeof item === "object" && item !== null && !(item instanceof Date)) {
      const known = done.get(item);
      if (known !== undefined) {
        put(frame.to, key, known.copy);
        frame.size += known.size;
        frame.at++;
      } else if (active.has(item)) {
        throw new SpecdojoError(
          "document-cyclic",
          `${name} contains itself at ${place()}, so it is not a JSON document.`,
          { place: name, remedy: "Give the document with its `$ref`s, not a dereferenced one." },
        );
      } else {
        if (stack.length >= limits.maxDepth)
          throw tooDeep(name, `is nested more than ${limits.maxDepth} levels deep`);
        stack.push(enter(item));
      }
      continue;
    }
    const scalar = toScalar(item);
    if (scalar !== undefined) put(frame.to, key, scalar);
    else if (Array.isArray(frame.to)) frame.to.push(null);
    frame.size++;
    frame.at++;
  }
  return result as JsonObject;
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return value === null ? "null" : "nothing";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}

function put(target: Record<string, unknown> | unknown[], key: string, value: unknown): void {
  if (Array.isArray(target)) target.push(value);
  else target[key] = value;
}

function toScalar(value: unknown): string | number | boolean | null | undefined {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString();
  return undefined;
}

function tooManyValues(name: string, maxNodes: number): SpecdojoError {
  return new SpecdojoError(
    "document-too-large",
    `${name} has more than ${maxNodes} values once its aliases are expanded.`,
    { place: name, remedy: "Remove nested YAML aliases, split the document, or raise `limits.maxNodes`." },
  );
}

function tooDeep(name: string, what: string): SpecdojoError {
  return new SpecdojoError("document-too-deep", `${name} ${what}.`, {
    place: name,
    remedy: "Move nested schemas into components and refer to them.",
  });
}

function syntaxError(source: Source, message: string, cause: unknown): SpecdojoError {
  return new SpecdojoError("document-unreadable", message, {
    place: source.name,
    remedy: "Correct the syntax there; quotes and indentation are the usual reason.",
    cause,
  });
}

/** A message without what it quotes at length. */
function shortened(message: string): string {
  return message.length > 300 ? `${message.slice(0, 297)}...` : message;
}

function lineAndColumn(text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `line ${before.length}, column ${(before[before.length - 1] ?? "").length + 1}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
