import { isObject, type JsonValue } from "../util/json.js";
import type { ParameterBinding } from "./types.js";

/** How text is made safe for its place. */
export type Encode = (text: string) => string;

/** Halves of surrogate pairs, which cannot be encoded, become the replacement character. */
export function wellFormed(text: string): string {
  return text.replaceAll(/\p{Surrogate}/gu, "\uFFFD");
}

/** Percent-encoding of everything but unreserved characters (RFC 3986). */
export const encodeStrict: Encode = (text) =>
  encodeURIComponent(wellFormed(text)).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** The same, but reserved characters stay (`allowReserved`), as far as they cannot end the query. */
export const encodeReserved: Encode = (text) =>
  encodeURI(wellFormed(text)).replaceAll("#", "%23").replaceAll("&", "%26").replaceAll("+", "%2B");

export const encodeNothing: Encode = (text) => text;

/** A value inside a parameter, as text: objects and arrays inside others are JSON. */
export function scalarText(value: JsonValue): string {
  return typeof value === "string" ? value : value === null ? "null" : JSON.stringify(value);
}

/** What is written for path, header and cookie parameters, and for one part of a label or matrix. */
export function expand(value: JsonValue, binding: ParameterBinding, encode: Encode): string {
  const { name, style, explode } = binding;
  const text = (part: JsonValue): string => encode(scalarText(part));
  const key = encode(name);
  const prefix = style === "label" ? "." : style === "matrix" ? ";" : "";
  const separator = explode ? (style === "label" ? "." : style === "matrix" ? ";" : ",") : ",";
  if (Array.isArray(value)) {
    if (style !== "matrix") return prefix + value.map(text).join(separator);
    return explode
      ? value.map((item) => `;${key}=${text(item)}`).join("")
      : `;${key}=${value.map(text).join(",")}`;
  }
  if (isObject(value)) {
    const entries = Object.entries(value) as [string, JsonValue][];
    const pairs = entries.map(([name, item]) => encode(name) + (explode ? "=" : ",") + text(item));
    if (style === "matrix" && !explode) return `;${key}=${pairs.join(",")}`;
    return prefix + pairs.join(separator);
  }
  return style === "matrix" ? `;${key}=${text(value)}` : prefix + text(value);
}

/** Name and value pairs of a query or form parameter, unencoded but for delimiters inside values. */
export interface Pair {
  name: string;
  /** Parts to be encoded one by one and joined by `delimiter`. */
  parts: string[];
  delimiter: string;
}

const delimiters: Partial<Record<ParameterBinding["style"], string>> = {
  spaceDelimited: " ",
  pipeDelimited: "|",
  tabDelimited: "\t",
};

/** A query or form parameter as pairs (`form`, `spaceDelimited`, `pipeDelimited`, `tabDelimited`, `deepObject`). */
export function pairsOf(
  value: JsonValue,
  name: string,
  style: ParameterBinding["style"],
  explode: boolean,
): Pair[] {
  const single = (key: string, item: JsonValue): Pair => ({
    name: key,
    parts: [scalarText(item)],
    delimiter: ",",
  });
  if (style === "deepObject" && typeof value === "object" && value !== null) return deepPairs(value, name);
  const delimiter = delimiters[style] ?? ",";
  if (Array.isArray(value)) {
    if (explode) return value.map((item) => single(name, item));
    return [{ name, parts: value.map(scalarText), delimiter }];
  }
  if (isObject(value)) {
    const entries = Object.entries(value) as [string, JsonValue][];
    if (explode) return entries.map(([key, item]) => single(key, item));
    return [{ name, parts: entries.flatMap(([key, item]) => [key, scalarText(item)]), delimiter }];
  }
  return [single(name, value)];
}

function deepPairs(value: JsonValue, name: string): Pair[] {
  const pairs: Pair[] = [];
  const stack: [JsonValue, string][] = [[value, name]];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [item, key] = next;
    if (typeof item !== "object" || item === null)
      pairs.push({ name: key, parts: [scalarText(item)], delimiter: "," });
    else {
      const entries = (
        Array.isArray(item) ? item.map((one, i) => [String(i), one]) : Object.entries(item)
      ) as [string, JsonValue][];
      for (const [inner, one] of entries.reverse()) stack.push([one, `${key}[${inner}]`]);
    }
  }
  return pairs;
}

/** `a=b&c=d` with each part encoded; the delimiter of a list is encoded too, but for the comma. */
export function queryText(pairs: readonly Pair[], encode: Encode): string {
  return pairs
    .map(({ name, parts, delimiter }) => {
      const joint = delimiter === "," ? "," : encodeStrict(delimiter);
      return `${encodeStrict(name)}=${parts.map(encode).join(joint)}`;
    })
    .join("&");
}
