import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { isAlias, isCollection, isMap, isPair, isScalar, LineCounter, parseDocument } from "yaml";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject } from "../util/json.js";
import { pointerTo } from "./pointer.js";
import type { Diagnostic } from "./types.js";

export interface ReadLimits {
  /** Bytes of the document, unpacked. */
  maxBytes: number;
  /** Values in the document, aliases expanded. */
  maxNodes: number;
  /** Levels of nesting. */
  maxDepth: number;
}

/** Bytes or text of a document, and how to speak of it in messages. */
export interface Source {
  text: string;
  name: string;
}

/** Reads a regular file, never more than `maxBytes` of it. */
export async function readSource(path: string | URL, limits: ReadLimits): Promise<Source> {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  try {
    const file = await open(path, "r");
    try {
      const status = await file.stat();
      if (!status.isFile())
        throw new SpecdojoError("document-unreadable", `${name} is not a regular file.`, {
          place: name,
          remedy: "Give the path of an OpenAPI document (JSON or YAML, also packed with gzip).",
        });
      if (status.size > limits.maxBytes) throw tooLarge(name, limits.maxBytes);
      return { text: await decode(await file.readFile(), name, limits), name };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (SpecdojoError.isInstance(error)) throw error;
    const code = isObject(error) || error instanceof Error ? Reflect.get(error, "code") : undefined;
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
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      plain = await promisify(gunzip)(bytes, { maxOutputLength: limits.maxBytes });
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
    return new TextDecoder(encoding, { fatal: true }).decode(plain);
  } catch (error) {
    throw new SpecdojoError("document-unreadable", `${name} is not UTF-8 text.`, {
      place: name,
      remedy: "Save the document as UTF-8.",
      cause: error,
    });
  }
}

function tooLarge(name: string, maxBytes: number): SpecdojoError {
  return new SpecdojoError("document-too-large", `${name} has more than ${maxBytes} bytes, unpacked.`, {
    place: name,
    remedy: "Split the document, or raise `limits.maxBytes`.",
  });
}

/** JSON or YAML text to a value. Throws one error with line and column where it is neither. */
export function parseText(source: Source, report: (diagnostic: Diagnostic) => void): unknown {
  const text = source.text.replace(/^\uFEFF/, "");
  const start = text.trimStart();
  if (start === "")
    throw new SpecdojoError("document-unreadable", `${source.name} is empty.`, {
      place: source.name,
      remedy: "Give an OpenAPI document (JSON or YAML).",
    });
  if (start.startsWith("<"))
    throw new SpecdojoError(
      "document-unreadable",
      `${source.name} is HTML or XML, not an OpenAPI document.`,
      {
        place: source.name,
        remedy: "Download the raw JSON or YAML file instead of the page that shows it.",
      },
    );
  const json = start.startsWith("{") || start.startsWith("[");
  if (json) {
    try {
      return JSON.parse(text);
    } catch (error) {
      const lenient = parseYaml(text, source, () => undefined);
      if (lenient.error !== undefined) {
        const position = /position (\d+)/.exec(messageOf(error))?.[1];
        const where = position === undefined ? "" : ` (${lineAndColumn(text, Number(position))})`;
        throw syntaxError(source, `The JSON cannot be parsed: ${messageOf(error)}${where}`, error);
      }
      report({
        code: "json-not-strict",
        severity: "warning",
        pointer: "",
        message: `This is not strict JSON (${messageOf(error)}); it was read as YAML.`,
        remedy: "Remove comments, trailing commas and the like.",
      });
      return lenient.value;
    }
  }
  const parsed = parseYaml(text, source, report);
  if (parsed.error !== undefined) throw parsed.error;
  return parsed.value;
}

function parseYaml(
  text: string,
  source: Source,
  report: (diagnostic: Diagnostic) => void,
): { value: unknown; error?: undefined } | { error: SpecdojoError; value?: undefined } {
  const lines = new LineCounter();
  try {
    // Aliases are not expanded here (the objects are shared), so a bomb costs nothing before it is measured.
    const document = parseDocument(text, {
      lineCounter: lines,
      uniqueKeys: false,
      merge: true,
      prettyErrors: false,
      logLevel: "silent",
      stringKeys: false,
    });
    const fatal = document.errors.filter((error) => error.code !== "MULTIPLE_DOCS");
    if (fatal.length > 0) {
      const reasons = fatal.slice(0, 5).map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        return `line ${line}, column ${col}: ${error.message}`;
      });
      return { error: syntaxError(source, `The YAML cannot be parsed: ${reasons.join("; ")}`, fatal[0]) };
    }
    if (document.errors.length > 0)
      report({
        code: "several-documents",
        severity: "warning",
        pointer: "",
        message: "The file holds several YAML documents; only the first is read.",
        remedy: "Keep one document per file.",
      });
    reportDuplicateKeys(document.contents, lines, report);
    return { value: document.toJS({ maxAliasCount: -1 }) };
  } catch (error) {
    if (error instanceof RangeError)
      return { error: tooDeep(source.name, "is nested too deeply to be read as YAML") };
    return { error: syntaxError(source, `The YAML cannot be parsed: ${messageOf(error)}`, error) };
  }
}

/** The parser's own check compares all pairs of keys; this one is linear. */
function reportDuplicateKeys(
  root: unknown,
  lines: LineCounter,
  report: (diagnostic: Diagnostic) => void,
): void {
  const stack: { node: unknown; pointer: string }[] = [{ node: root, pointer: "" }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, pointer } = next;
    if (!isCollection(node) || isAlias(node)) continue;
    const keys = isMap(node) ? new Set<string>() : undefined;
    node.items.forEach((item, i) => {
      if (!isPair(item)) {
        if (isCollection(item)) stack.push({ node: item, pointer: pointerTo(pointer, i) });
        return;
      }
      const key = isScalar(item.key) ? String(item.key.value) : undefined;
      if (key === undefined) return;
      const place = isCollection(item.value) || keys?.has(key) ? pointerTo(pointer, key) : "";
      if (keys?.has(key) && key !== "<<") {
        const offset = isScalar(item.key) ? item.key.range?.[0] : undefined;
        const where = offset === undefined ? "" : ` (line ${lines.linePos(offset).line})`;
        report({
          code: "duplicate-key",
          severity: "warning",
          pointer: place,
          message: `The key ${JSON.stringify(key)} occurs twice in one mapping${where}; the last one counts.`,
          remedy: "Remove or rename one of them.",
        });
      }
      keys?.add(key);
      if (isCollection(item.value)) stack.push({ node: item.value, pointer: place });
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
  if (!isObject(value))
    throw new SpecdojoError(
      "document-unusable",
      `${name} is not an OpenAPI document: its top level is ${value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`}, not an object.`,
      { place: name, remedy: "Give a document that starts with `openapi:` or `swagger:`." },
    );
  type Frame = {
    from: object;
    to: Record<string, unknown> | unknown[];
    keys: string[];
    at: number;
    size: number;
    pointer: string;
  };
  const done = new Map<object, { copy: unknown; size: number }>();
  const active = new Set<object>();
  const enter = (from: object, pointer: string): Frame => {
    active.add(from);
    return { from, to: Array.isArray(from) ? [] : {}, keys: Object.keys(from), at: 0, size: 1, pointer };
  };
  const stack = [enter(value, "")];
  let result: unknown;
  while (stack.length > 0) {
    const frame = stack[stack.length - 1] as Frame;
    if (frame.size > limits.maxNodes)
      throw new SpecdojoError(
        "document-too-large",
        `${name} has more than ${limits.maxNodes} values once its aliases are expanded.`,
        { place: name, remedy: "Remove nested YAML aliases, or raise `limits.maxNodes`." },
      );
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
      frame.at++;
      report({
        code: "forbidden-key",
        severity: "warning",
        pointer: pointerTo(frame.pointer, key),
        message: "A key called `__proto__` is left out: it could change what other code sees.",
        remedy: "Rename the key.",
      });
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
          `${name} contains itself at ${pointerTo(frame.pointer, key)}, so it is not a JSON document.`,
          { place: name, remedy: "Give the document with its `$ref`s, not a dereferenced one." },
        );
      } else {
        if (stack.length >= limits.maxDepth)
          throw tooDeep(name, `is nested more than ${limits.maxDepth} levels deep`);
        stack.push(enter(item, pointerTo(frame.pointer, key)));
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

function lineAndColumn(text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `line ${before.length}, column ${(before[before.length - 1] ?? "").length + 1}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
