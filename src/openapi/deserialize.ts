import { isObject, type JsonSchemaObject, type JsonValue } from "../util/json.js";
import { delimiterOf, type Field, scalarText } from "./serialize.js";
import type { ParameterBinding } from "./types.js";
import { typesOf, type Views, viewsOfItem, viewsOfProperty } from "./views.js";

/** Turns the text of one part back: percent-encoding, or nothing. */
export type Decode = (text: string) => string;

/** Percent-encoding undone; what is not well-formed stays as it is. */
export const decodePercent: Decode = (text) => {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
      Buffer.from(run.replaceAll("%", ""), "hex").toString(),
    );
  }
};

/** The same for queries and forms, where a plus sign is a space. */
export const decodeForm: Decode = (text) => decodePercent(text.replaceAll("+", " "));

/** Deepest nesting of a deep object; what is deeper is somebody's attack. */
const maxDepth = 64;
const numberPattern = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/**
 * The value that a text stands for, by what the schema allows there: a value of an `enum`, null, a boolean, a number, JSON,
 * else text. Where a schema allows text and something else, the something else wins if it is written just so. `json` says
 * what of JSON stands in this place as such.
 */
export function readScalar(text: string, views: Views, json: "any" | "object" | "none" = "any"): JsonValue {
  for (const view of views) {
    const values = view.const === undefined ? view.enum : [view.const];
    const found = Array.isArray(values) ? values.find((value) => scalarText(value) === text) : undefined;
    if (found !== undefined) return found;
  }
  const types = typesOf(views);
  if (types.size === 0 || (types.size === 1 && types.has("string"))) return text;
  if (types.has("null") && text === "null") return null;
  if (types.has("boolean") && (text === "true" || text === "false")) return text === "true";
  if ((types.has("number") || types.has("integer")) && numberPattern.test(text)) {
    const number = Number(text);
    const same = JSON.stringify(number) === text;
    const fits = types.has("number") || Number.isInteger(number);
    if (fits && Number.isFinite(number) && (same || !types.has("string"))) return number;
  }
  const isObjectText = json !== "none" && types.has("object") && text.startsWith("{");
  const isArrayText = json === "any" && types.has("array") && text.startsWith("[");
  return isObjectText || isArrayText ? readJson(text) : text;
}

type Kind = "scalar" | "array" | "object";

/** What a value can be, by its schema. All three where the schema says nothing. */
function kindsOf(views: Views): Set<Kind> {
  const types = typesOf(views);
  if (types.size === 0) return new Set(["scalar", "array", "object"]);
  return new Set([...types].map((type) => (type === "array" || type === "object" ? type : "scalar")));
}

function readItems(parts: readonly string[], views: Views, root: JsonSchemaObject): JsonValue[] {
  return parts.map((part, i) => readScalar(part, viewsOfItem(views, i, root)));
}

function readEntries(
  entries: readonly (readonly [string, string])[],
  views: Views,
  root: JsonSchemaObject,
): JsonValue {
  return Object.fromEntries(
    entries.map(([key, part]) => [key, readScalar(part, viewsOfProperty(views, key, root))]),
  );
}

/** One text with delimiters in it: `a,b,c`, or an object as `key,value,key,value`. */
function readList(
  text: string,
  split: (text: string) => string[],
  views: Views,
  root: JsonSchemaObject,
  decode: Decode,
): JsonValue {
  const kinds = kindsOf(views);
  const parts = split(text).map(decode);
  const single = parts.length === 1;
  if (kinds.has("scalar") && single) return readScalar(decode(text), views, "none");
  if (kinds.has("array")) return text === "" && !mustHoldItem(views) ? [] : readItems(parts, views, root);
  if (kinds.has("object") && (text === "" || parts.length % 2 === 0)) {
    const entries = parts.flatMap((part, i): [string, string][] =>
      i % 2 === 0 && !(single && part === "") ? [[part, parts[i + 1] ?? ""]] : [],
    );
    return readEntries(entries, views, root);
  }
  return readScalar(decode(text), views, "none");
}

function mustHoldItem(views: Views): boolean {
  return views.some(({ minItems }) => typeof minItems === "number" && minItems > 0);
}

/** The value of a path or header parameter; undoes `expand`. */
export function readExpanded(
  raw: string,
  binding: ParameterBinding,
  views: Views,
  root: JsonSchemaObject,
  decode: Decode,
): JsonValue {
  const { style, explode } = binding;
  const kinds = kindsOf(views);
  if (style === "matrix") {
    const pairs = raw
      .split(";")
      .filter((part) => part !== "")
      .map(keyAndValue);
    const named = pairs.every(([key]) => decode(key) === binding.name);
    if (!explode || (named && (kinds.has("scalar") || kinds.has("array")))) {
      const texts = pairs.map(([, text]) => text);
      if (explode)
        return texts.length > 1 || !kinds.has("scalar")
          ? readItems(texts.map(decode), views, root)
          : readScalar(decode(texts[0] ?? ""), views, "none");
      return readList(texts.join(";"), (text) => text.split(","), views, root, decode);
    }
    return readEntries(decoded(pairs, decode), views, root);
  }
  const text = style === "label" && raw.startsWith(".") ? raw.slice(1) : raw;
  const separator = explode && style === "label" ? "." : ",";
  if (!kinds.has("array") && !kinds.has("object")) return readScalar(decode(text), views, "none");
  const parts = text === "" ? [] : text.split(separator);
  if (explode && kinds.has("object") && (kinds.size === 1 || parts.every((part) => part.includes("="))))
    return readEntries(decoded(parts.map(keyAndValue), decode), views, root);
  return readList(text, (one) => one.split(separator), views, root, decode);
}

function keyAndValue(text: string): [string, string] {
  const at = text.indexOf("=");
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(pairs: readonly [string, string][], decode: Decode): [string, string][] {
  return pairs.map(([key, text]) => [decode(key), decode(text)]);
}

/** A pair as it was found: the name decoded, the text not. */
export interface RawPair {
  name: string;
  text: string;
}

/** The pairs of a query or a form. */
export function rawPairs(text: string, separator: RegExp | string, decode: Decode): RawPair[] {
  return text
    .split(separator)
    .filter((part) => part !== "")
    .map(keyAndValue)
    .map(([name, value]) => ({ name: decode(name), text: value }));
}

/** The value of a field from its pairs (at least one); undoes `pairsOf`. */
export function readPairs(
  pairs: readonly RawPair[],
  field: Field,
  root: JsonSchemaObject,
  decode: Decode,
): JsonValue {
  const { name, style, views } = field;
  const kinds = kindsOf(views);
  const json = field.jsonObjects === true ? "object" : "none";
  const named = pairs.every((pair) => pair.name === name);
  const texts = pairs.map(({ text }) => decode(text));
  if (style === "deepObject") {
    if (!named) return readDeep(pairs, field, root, decode);
    return texts.length > 1 ? readItems(texts, views, root) : readScalar(texts[0] ?? "", views, json);
  }
  const isList = kinds.has("scalar") || kinds.has("array") || field.jsonObjects === true;
  if (field.explode && !(named && isList))
    return readEntries(
      pairs.map((pair, i) => [pair.name, texts[i] ?? ""]),
      views,
      root,
    );
  const [only] = pairs;
  if (pairs.length > 1 || only === undefined) return readItems(texts, views, root);
  if (field.explode || (!kinds.has("array") && !kinds.has("object")))
    return kinds.has("array") && !kinds.has("scalar")
      ? readWholeArray(texts[0] ?? "", field, root)
      : readScalar(texts[0] ?? "", views, json);
  const delimiter = delimiterOf(style);
  // Other delimiters than the comma are encoded themselves.
  return delimiter === ","
    ? readList(only.text, (text) => text.split(","), views, root, decode)
    : readList(
        texts[0] ?? "",
        (text) => text.split(delimiter),
        views,
        root,
        (text) => text,
      );
}

/** One pair of an exploded array is one item, unless the array is an object's neighbour in JSON. */
function readWholeArray(text: string, field: Field, root: JsonSchemaObject): JsonValue {
  const kinds = kindsOf(field.views);
  if (field.jsonObjects === true && kinds.has("object") && text.startsWith("{")) return readJson(text);
  return readItems([text], field.views, root);
}

interface Node {
  text?: string;
  children: Map<string, Node>;
}

/** `x[a]=1&x[b][0]=2`. */
function readDeep(
  pairs: readonly RawPair[],
  field: Field,
  root: JsonSchemaObject,
  decode: Decode,
): JsonValue {
  const top: Node = { children: new Map() };
  for (const pair of pairs) {
    const path = [...pair.name.slice(field.name.length).matchAll(/\[([^[\]]*)\]/g)].map(
      ([, key = ""]) => key,
    );
    let node = top;
    for (const part of path.slice(0, maxDepth)) {
      // `x[]=1&x[]=2`, as some write lists.
      const key = part === "" && !node.children.has("") && path.length === 1 ? nextIndex(node, field) : part;
      let child = node.children.get(key);
      if (child === undefined) {
        child = { children: new Map() };
        node.children.set(key, child);
      }
      node = child;
    }
    node.text = decode(pair.text);
  }
  return nodeValue(top, field.views, root);
}

function nextIndex(node: Node, field: Field): string {
  return kindsOf(field.views).has("array") ? String(node.children.size) : "";
}

function nodeValue(node: Node, views: Views, root: JsonSchemaObject): JsonValue {
  if (node.children.size === 0) return readScalar(node.text ?? "", views);
  const kinds = kindsOf(views);
  const entries = [...node.children];
  const isList = entries.every(([key], i) => key === String(i));
  if (
    kinds.has("array") &&
    isList &&
    !(kinds.has("object") && views.some((view) => isObject(view.properties)))
  )
    return entries.map(([, child], i) => nodeValue(child, viewsOfItem(views, i, root), root));
  return Object.fromEntries(
    entries.map(([key, child]) => [key, nodeValue(child, viewsOfProperty(views, key, root), root)]),
  );
}

/** JSON, or the text itself where it is none. */
export function readJson(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}
