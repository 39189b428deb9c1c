import { isObject, type JsonValue } from "../util/json.js";
import type { ParameterBinding } from "./types.js";
import { isOpen, propertyNames, typesOf, type Views } from "./views.js";

/** How text is made safe for its place. */
export type Encode = (text: string) => string;

/** Halves of surrogate pairs, which cannot be encoded, become the replacement character. */
export function wellFormed(text: string): string {
  return text.replaceAll(/\p{Surrogate}/gu, "\uFFFD");
}

export function percent(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

/** Percent-encoding of everything but unreserved characters (RFC 3986). */
export const encodeStrict: Encode = (text) =>
  encodeURIComponent(wellFormed(text)).replaceAll(/[!'()*]/g, percent);

/** The same, but reserved characters stay (`allowReserved`), as far as they cannot end the query. */
export const encodeReserved: Encode = (text) =>
  encodeURI(wellFormed(text)).replaceAll("#", "%23").replaceAll("&", "%26").replaceAll("+", "%2B");

/** As in `application/x-www-form-urlencoded`. */
export const encodeForm: Encode = (text) =>
  encodeURIComponent(wellFormed(text))
    .replaceAll(/[!'()~]/g, percent)
    .replaceAll("%20", "+");

export const encodeNothing: Encode = (text) => text;

/** A value inside a parameter, as text: objects and arrays inside others are JSON. */
export function scalarText(value: JsonValue): string {
  return typeof value === "string" ? value : value === null ? "null" : JSON.stringify(value);
}

/** What is written for path and header parameters. */
export function expand(value: JsonValue, binding: ParameterBinding, encode: Encode): string {
  const { name, style, explode } = binding;
  const prefix = style === "label" ? "." : style === "matrix" ? ";" : "";
  const separator = explode && prefix !== "" ? prefix : ",";
  const composite = typeof value === "object" && value !== null;
  // A dot is an unreserved character, but here it separates.
  const safe: Encode =
    composite && separator === "." ? (text) => encode(text).replaceAll(".", "%2E") : encode;
  const text = (part: JsonValue): string => safe(scalarText(part));
  const key = encode(name);
  if (Array.isArray(value)) {
    if (style !== "matrix") return prefix + value.map(text).join(separator);
    return explode
      ? value.map((item) => `;${key}=${text(item)}`).join("")
      : `;${key}=${value.map(text).join(",")}`;
  }
  if (isObject(value)) {
    const entries = Object.entries(value) as [string, JsonValue][];
    const pairs = entries.map(([name, item]) => safe(name) + (explode ? "=" : ",") + text(item));
    if (style === "matrix" && !explode) return `;${key}=${pairs.join(",")}`;
    return prefix + pairs.join(separator);
  }
  return style === "matrix" ? `;${key}=${text(value)}` : prefix + text(value);
}

/** Something that is written as name and value pairs: a query or cookie parameter, or a property of a form. */
export interface Field {
  /** Name of the argument. */
  argument: string;
  /** Name on the wire. */
  name: string;
  style: ParameterBinding["style"];
  explode: boolean;
  allowReserved?: boolean | undefined;
  /** The value is text of this media type, in one pair. */
  contentType?: string | undefined;
  /** Objects are one pair with JSON in it (forms, where the document names no style). */
  jsonObjects?: boolean;
  views: Views;
}

/** One pair, unencoded but for the delimiters between parts. */
export interface Pair {
  name: string;
  /** Parts of a list, to be encoded one by one and joined by `delimiter`; or the only part. */
  parts: string[];
  delimiter?: string;
}

const delimiters: Partial<Record<ParameterBinding["style"], string>> = {
  spaceDelimited: " ",
  pipeDelimited: "|",
  tabDelimited: "\t",
};

export function delimiterOf(style: ParameterBinding["style"]): string {
  return delimiters[style] ?? ",";
}

/** A value as pairs (`form`, `spaceDelimited`, `pipeDelimited`, `tabDelimited`, `deepObject`). */
export function pairsOf(value: JsonValue, field: Pick<Field, "name" | "style" | "explode">): Pair[] {
  const { name, style, explode } = field;
  const single = (key: string, item: JsonValue): Pair => ({ name: key, parts: [scalarText(item)] });
  if (style === "deepObject" && typeof value === "object" && value !== null) return deepPairs(value, name);
  const delimiter = delimiterOf(style);
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
    if (typeof item !== "object" || item === null) pairs.push({ name: key, parts: [scalarText(item)] });
    else {
      const entries = (
        Array.isArray(item) ? item.map((one, i) => [String(i), one]) : Object.entries(item)
      ) as [string, JsonValue][];
      for (const [inner, one] of entries.reverse()) stack.push([one, `${key}[${inner}]`]);
    }
  }
  return pairs;
}

/** `a=b` with each part encoded; the delimiter of a list is encoded too, but for the comma. */
export function pairText({ name, parts, delimiter }: Pair, encode: Encode, encodeName: Encode): string {
  const joint = delimiter === undefined || delimiter === "," ? "," : encodeName(delimiter);
  const safe: Encode = delimiter === "," ? (text) => encode(text).replaceAll(",", "%2C") : encode;
  return `${encodeName(name)}=${parts.map(safe).join(joint)}`;
}

/** Is the value written as one pair per property? */
function isSpread(field: Field): boolean {
  const plain = field.contentType === undefined && field.jsonObjects !== true;
  return plain && field.explode && field.style !== "deepObject";
}

/**
 * Which field a pair belongs to, by its name: the field of that name, a deep object whose name it begins with, an
 * exploded object that has such a property, then one that may have any property. Undefined: none.
 */
export function ownerOf(key: string, fields: readonly Field[]): Field | undefined {
  const exact = fields.find((field) => {
    const types = typesOf(field.views);
    const onlyObject = types.size === 1 && types.has("object");
    return field.name === key && !(onlyObject && isSpread(field));
  });
  if (exact !== undefined) return exact;
  const [deep] = fields
    .filter((field) => field.style === "deepObject" && key.startsWith(`${field.name}[`))
    .sort((a, b) => b.name.length - a.name.length);
  if (deep !== undefined) return deep;
  const objects = fields.filter((field) => {
    const types = typesOf(field.views);
    return isSpread(field) && (types.size === 0 || types.has("object"));
  });
  return (
    objects.find((field) => propertyNames(field.views).has(key)) ??
    objects.find((field) => isOpen(field.views))
  );
}

/** Why a value cannot be written so that it can be read again; undefined where it can. */
export function ambiguity(value: JsonValue, field: Pick<Field, "style" | "explode">): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (field.style === "deepObject") {
    const stack: JsonValue[] = [value];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (typeof next !== "object" || next === null) continue;
      const key = Array.isArray(next) ? undefined : Object.keys(next).find((one) => /[[\]]/.test(one));
      if (key !== undefined)
        return `the key ${JSON.stringify(key)} cannot hold brackets in the style deepObject`;
      stack.push(...(Object.values(next) as JsonValue[]));
    }
    return undefined;
  }
  const delimiter = delimiterOf(field.style);
  if (field.explode || delimiter === ",") return undefined;
  const parts = Array.isArray(value) ? value : Object.entries(value).flat();
  const bad = parts.map((part) => scalarText(part as JsonValue)).find((part) => part.includes(delimiter));
  return bad === undefined
    ? undefined
    : `${JSON.stringify(bad)} cannot stand in a list that is joined by ${JSON.stringify(delimiter)}`;
}
