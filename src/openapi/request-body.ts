import { isObject, type JsonObject, type JsonSchemaObject, type JsonValue } from "../util/json.js";
import { isJsonLike } from "./body.js";
import { decodeForm, decodePercent, rawPairs, readJson, readPairs, readScalar } from "./deserialize.js";
import { type Part, readMultipart, writeMultipart } from "./multipart.js";
import {
  ambiguity,
  delimiterOf,
  encodeForm,
  type Field,
  ownerOf,
  pairsOf,
  pairText,
  scalarText,
} from "./serialize.js";
import type { BodyBinding, PropertyEncoding } from "./types.js";
import { isBinary, propertyNames, typesOf, type Views, viewsOfItem, viewsOfProperty } from "./views.js";

/** Why a body cannot be written or read. */
export class BodyError extends Error {
  /** The property at fault, where it is one. */
  readonly property: string | undefined;

  constructor(message: string, property?: string) {
    super(message);
    this.property = property;
  }
}

/** What is known about a body: how it is written, and the schema of its value. */
export interface BodyShape {
  binding: BodyBinding;
  views: Views;
  /** The schema whose `$defs` the views refer to. */
  root: JsonSchemaObject;
}

export interface EncodedBody {
  /** Value of the header `Content-Type`. */
  contentType: string;
  data: string | Uint8Array;
}

/** The body of a request from its value; undefined where nothing is left to send of an optional form. @throws BodyError */
export function encodeBody(value: JsonValue, shape: BodyShape): EncodedBody | undefined {
  const { mediaType, required } = shape.binding;
  const type = bareType(mediaType);
  if (isJsonLike(type)) return { contentType: mediaType, data: JSON.stringify(value) };
  if (type === "application/x-www-form-urlencoded") {
    const data = isObject(value) ? formText(value as JsonObject, shape) : scalarText(value);
    return data === "" && !required ? undefined : { contentType: mediaType, data };
  }
  if (type.startsWith("multipart/")) {
    const parts = partsOf(value, shape);
    if (parts.length === 0 && !required) return undefined;
    const { bytes, boundary } = writeMultipart(parts);
    return { contentType: `${type}; boundary=${boundary}`, data: bytes };
  }
  if (typeof value === "string") {
    const file = !type.startsWith("text/") || isBinary(shape.views) ? readDataUrl(value) : undefined;
    const declared = type.includes("*") ? matching(file?.type, type, "application/octet-stream") : mediaType;
    return { contentType: declared, data: file?.data ?? value };
  }
  const isComposite = typeof value === "object" && value !== null;
  if (type.startsWith("text/") && (type === "text/plain" || !isComposite))
    return { contentType: mediaType, data: scalarText(value) };
  throw new BodyError(`a body of ${mediaType} cannot be made from ${isComposite ? "an object" : "this"}`);
}

/** The value of a body; undoes `encodeBody`. @throws BodyError */
export function decodeBody(
  data: string | Uint8Array,
  contentType: string | undefined,
  shape: BodyShape,
): JsonValue {
  const { views } = shape;
  const type = bareType(contentType ?? shape.binding.mediaType);
  const text = (): string => (typeof data === "string" ? data : Buffer.from(data).toString("utf8"));
  if (isJsonLike(type)) {
    try {
      return JSON.parse(text()) as JsonValue;
    } catch {
      throw new BodyError("the body is not JSON");
    }
  }
  if (type === "application/x-www-form-urlencoded")
    return typesOf(views).size === 0 || typesOf(views).has("object")
      ? readForm(text(), shape)
      : readScalar(text(), views);
  if (type.startsWith("multipart/")) {
    const [, quoted, bare] = /boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType ?? "") ?? [];
    const boundary = quoted ?? bare;
    const parts =
      boundary === undefined
        ? undefined
        : readMultipart(typeof data === "string" ? Buffer.from(data) : data, boundary);
    if (parts === undefined) throw new BodyError("the body is not multipart, or its boundary is not given");
    return valueOfParts(parts, shape);
  }
  if (typeof data === "string") return type.startsWith("text/") ? readScalar(data, views) : data;
  return dataUrl(data, type);
}

function bareType(mediaType: string): string {
  return (mediaType.split(";")[0] ?? "").trim().toLowerCase();
}

function encodingOf(shape: BodyShape, name: string): PropertyEncoding | undefined {
  const { encoding } = shape.binding;
  return encoding !== undefined && Object.hasOwn(encoding, name) ? encoding[name] : undefined;
}

/** A property of a form. Without a style in the document, lists are repeated and objects are JSON. */
function fieldOf(name: string, shape: BodyShape): Field {
  const { style = "form", explode, contentType, ...declared } = encodingOf(shape, name) ?? {};
  const styled = encodingOf(shape, name)?.style !== undefined || explode !== undefined;
  return {
    argument: name,
    name,
    style,
    explode: explode ?? (style === "form" || style === "deepObject"),
    allowReserved: declared.allowReserved,
    contentType: !styled && contentType !== undefined && isJsonLike(contentType) ? contentType : undefined,
    jsonObjects: !styled,
    views: viewsOfProperty(shape.views, name, shape.root),
  };
}

function declaredFields(shape: BodyShape): Field[] {
  return [...propertyNames(shape.views)].map((name) => fieldOf(name, shape));
}

function formText(value: JsonObject, shape: BodyShape): string {
  const fields = declaredFields(shape);
  const byName = new Map(fields.map((field) => [field.name, field]));
  const texts: string[] = [];
  for (const [name, item] of Object.entries(value)) {
    const field = byName.get(name) ?? fieldOf(name, shape);
    if (field.contentType !== undefined || (field.jsonObjects === true && isObject(item))) {
      const text = field.contentType === undefined ? scalarText(item) : JSON.stringify(item);
      texts.push(pairText({ name, parts: [text] }, encodeForm, encodeForm));
      continue;
    }
    const why = ambiguity(item, field);
    if (why !== undefined) throw new BodyError(why, name);
    for (const pair of pairsOf(item, field)) {
      if ((ownerOf(pair.name, fields) ?? fieldOf(pair.name, shape)).name !== name)
        throw new BodyError(`its ${JSON.stringify(pair.name)} would be taken for another field`, name);
      texts.push(pairText(pair, encodeForm, encodeForm));
    }
  }
  return texts.join("&");
}

function readForm(text: string, shape: BodyShape): JsonValue {
  const fields = declaredFields(shape);
  const found = new Map<string, { field: Field; pairs: { name: string; text: string }[] }>();
  for (const pair of rawPairs(text, "&", decodeForm)) {
    const field = ownerOf(pair.name, fields) ?? fieldOf(pair.name, shape);
    const known = found.get(field.name);
    if (known === undefined) found.set(field.name, { field, pairs: [pair] });
    else known.pairs.push(pair);
  }
  return Object.fromEntries(
    [...found.values()].map(({ field, pairs }) => {
      const value =
        field.contentType === undefined
          ? readPairs(pairs, field, shape.root, decodeForm)
          : readJson(decodeForm(pairs[0]?.text ?? ""));
      return [field.name, value];
    }),
  );
}

const encoder = new TextEncoder();

function partsOf(value: JsonValue, shape: BodyShape): Part[] {
  const parts: Part[] = [];
  const add = (name: string, item: JsonValue, views: Views): void => {
    const declared = encodingOf(shape, name)?.contentType;
    const isFile = isFileField(views, declared);
    const file = isFile && typeof item === "string" ? readDataUrl(item) : undefined;
    const asJson = declared === undefined ? typeof item === "object" && item !== null : isJsonLike(declared);
    parts.push({
      name,
      filename: isFile ? (file?.name ?? name) : undefined,
      contentType: isFile
        ? matching(file?.type, declared, "application/octet-stream")
        : asJson
          ? (concrete(declared) ?? "application/json")
          : concrete(declared),
      data: file?.data ?? encoder.encode(asJson ? JSON.stringify(item) : scalarText(item)),
    });
  };
  const entries = (isObject(value) ? Object.entries(value) : [["body", value]]) as [string, JsonValue][];
  for (const [name, item] of entries) {
    const views = isObject(value) ? viewsOfProperty(shape.views, name, shape.root) : shape.views;
    const encoding = encodingOf(shape, name);
    if (!Array.isArray(item)) add(name, item, views);
    else if (encoding?.explode === false) {
      const field = { name, style: encoding.style ?? "form", explode: false } as const;
      const delimiter = delimiterOf(field.style);
      const bad = item.map(scalarText).find((text) => text.includes(delimiter));
      if (bad !== undefined)
        throw new BodyError(
          `${JSON.stringify(bad)} cannot stand in a list that is joined by ${JSON.stringify(delimiter)}`,
          name,
        );
      for (const pair of pairsOf(item, field)) add(name, pair.parts.join(delimiter), []);
    } else for (const [i, one] of item.entries()) add(name, one, viewsOfItem(views, i, shape.root));
  }
  return parts;
}

function valueOfParts(parts: readonly Part[], shape: BodyShape): JsonValue {
  const byName = new Map<string, Part[]>();
  for (const part of parts) {
    const known = byName.get(part.name);
    if (known === undefined) byName.set(part.name, [part]);
    else known.push(part);
  }
  const types = typesOf(shape.views);
  if (types.size > 0 && !types.has("object")) {
    const items = byName.get("body") ?? [];
    return types.has("array")
      ? items.map((part, i) => valueOfPart(part, viewsOfItem(shape.views, i, shape.root), undefined))
      : items[0] === undefined
        ? null
        : valueOfPart(items[0], shape.views, undefined);
  }
  return Object.fromEntries(
    [...byName].map(([name, found]) => {
      const views = viewsOfProperty(shape.views, name, shape.root);
      const encoding = encodingOf(shape, name);
      const isList = typesOf(views).has("array");
      const [first] = found;
      if (isList && encoding?.explode === false && first !== undefined) {
        const text = Buffer.from(first.data).toString("utf8");
        const texts = text === "" ? [] : text.split(delimiterOf(encoding.style ?? "form"));
        return [name, texts.map((one, i) => readScalar(one, viewsOfItem(views, i, shape.root)))];
      }
      const couldBeOne = [...typesOf(views)].some((type) => type !== "array");
      if (found.length > 1 || (isList && !couldBeOne) || first === undefined)
        return [
          name,
          found.map((part, i) => valueOfPart(part, viewsOfItem(views, i, shape.root), encoding?.contentType)),
        ];
      return [name, valueOfPart(first, views, encoding?.contentType)];
    }),
  );
}

function valueOfPart(part: Part, views: Views, declared: string | undefined): JsonValue {
  if (isFileField(views, declared)) {
    const type = bareType(part.contentType ?? "");
    const text = printable(part.data);
    const plain = matching(undefined, declared, "application/octet-stream");
    return text !== undefined && (type === "" || type === plain) ? text : dataUrl(part.data, type);
  }
  const text = Buffer.from(part.data).toString("utf8");
  return isJsonLike(part.contentType ?? "") ? readJson(text) : readScalar(text, views, "none");
}

/** Does the field hold bytes, given as text or as a `data:` URL? */
function isFileField(views: Views, declared: string | undefined): boolean {
  if (isBinary(views)) return true;
  return declared !== undefined && !isJsonLike(declared) && !/^\s*text\//i.test(declared);
}

/** The first media type of a list that is no range. */
function concrete(declared: string | undefined): string | undefined {
  return declared
    ?.split(",")
    .map((type) => type.trim())
    .find((type) => type !== "" && !type.includes("*"));
}

/** The type that a file says it has, if it is among those declared; else the first of them, else a fallback. */
function matching(given: string | undefined, declared: string | undefined, fallback: string): string {
  const allowed = (declared ?? "*/*").split(",").map((type) => type.trim().toLowerCase());
  const fits = (type: string): boolean =>
    allowed.some(
      (one) => one === "*/*" || one === type || (one.endsWith("/*") && type.startsWith(one.slice(0, -1))),
    );
  return given !== undefined && fits(given) ? given : (concrete(declared) ?? fallback);
}

/** Bytes, media type and file name (`;name=`) of a `data:` URL in base64; undefined for any other text. */
function readDataUrl(
  text: string,
): { data: Uint8Array; type: string | undefined; name: string | undefined } | undefined {
  const match = /^data:([\w.+-]*\/?[\w.+-]*)(?:;name=([\w.%~-]+))?;base64,([A-Za-z0-9+/=\s]*)$/.exec(text);
  if (match === null) return undefined;
  const type = match[1] === "" ? undefined : match[1]?.toLowerCase();
  const name = match[2] === undefined ? undefined : decodePercent(match[2]);
  return { data: new Uint8Array(Buffer.from(match[3] ?? "", "base64")), type, name };
}

function dataUrl(data: Uint8Array, type: string): string {
  return `data:${type};base64,${Buffer.from(data).toString("base64")}`;
}

/** Text, where the bytes are nothing but text. */
function printable(data: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    return /(?![\t\n\r])\p{Cc}/u.test(text) || readDataUrl(text) !== undefined ? undefined : text;
  } catch {
    return undefined;
  }
}
