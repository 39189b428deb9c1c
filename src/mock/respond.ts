import { isForm, isJsonLike } from "../openapi/body.js";
import { isObject, type JsonValue } from "../util/json.js";
import type { Random } from "../util/random.js";
import { negotiate } from "./negotiate.js";
import { bareType, type MediaExamples, type ResponseSpec } from "./operations.js";
import type { ExampleSampler } from "./sample.js";

/** The response that is given: its status, and what the document says about it. */
export interface ChosenResponse {
  status: number;
  spec: ResponseSpec | undefined;
}

/** The response of a status, or of a success where none is asked for: the first 2xx, else the default, else a redirect. */
export function chooseResponse(responses: readonly ResponseSpec[], code: string | undefined): ChosenResponse {
  const find = (status: string) => responses.find((response) => response.status === status);
  if (code !== undefined)
    return { status: Number(code), spec: find(code) ?? find(`${code[0]}XX`) ?? find("default") };
  const successes = responses.filter(({ status }) => /^2\d\d$/.test(status));
  successes.sort((a, b) => Number(a.status) - Number(b.status));
  const redirect = responses.find(({ status }) => /^3\d\d$/.test(status));
  const spec = successes[0] ?? find("2XX") ?? find("default") ?? redirect;
  return { status: /^\d+$/.test(spec?.status ?? "") ? Number(spec?.status) : 200, spec };
}

/** The media type for an `Accept` header; `null` where the response has no body, undefined where none is acceptable. */
export function chooseMedia(
  spec: ResponseSpec | undefined,
  accept: string | undefined,
): MediaExamples | null | undefined {
  if (spec === undefined || spec.content.length === 0) return null;
  // What the typed client reads best comes first.
  const sorted = [...spec.content].sort(
    (a, b) => Number(isJsonLike(b.mediaType)) - Number(isJsonLike(a.mediaType)),
  );
  const type = negotiate(
    accept,
    sorted.map(({ mediaType }) => mediaType),
  );
  return sorted.find(({ mediaType }) => mediaType === type);
}

export interface Body {
  value: JsonValue;
  warnings: string[];
}

/** The value of a body: an example of the document that fits its schema, else one that is drawn. */
export function bodyExample(
  media: MediaExamples,
  name: string,
  wanted: string | undefined,
  sampler: ExampleSampler,
  random: Random,
): Body {
  const { schema, examples } = media;
  const named = wanted === undefined ? undefined : examples.get(wanted);
  const warnings: string[] = [];
  if (wanted !== undefined && named === undefined)
    warnings.push(`The document has no example ${JSON.stringify(wanted)} here.`);
  for (const [key, given] of named === undefined ? examples : [[wanted ?? "", named] as const]) {
    const value = parsed(given, media);
    const faults = schema === undefined || !isJsonLike(media.mediaType) ? [] : sampler.faults(schema, value);
    if (faults.length === 0 || named !== undefined) return { value, warnings };
    const [{ pointer, message } = { pointer: "", message: "" }] = faults;
    warnings.push(`The example ${JSON.stringify(key)} does not fit its schema: ${pointer} ${message}`);
  }
  if (schema === undefined) return { value: isJsonLike(media.mediaType) ? {} : "", warnings };
  const { value, valid } = sampler.sample(schema, name, random);
  if (!valid) {
    const [fault] = sampler.faults(schema, value);
    warnings.push(
      `No example was found that fits the schema (${fault?.pointer ?? ""} ${fault?.message ?? ""}); add one to the document.`,
    );
  }
  return { value, warnings };
}

/** Some documents write JSON examples as text. */
function parsed(example: JsonValue, media: MediaExamples): JsonValue {
  if (typeof example !== "string" || !isJsonLike(media.mediaType) || !/^\s*[[{]/.test(example))
    return example;
  try {
    return JSON.parse(example) as JsonValue;
  } catch {
    return example;
  }
}

/** A value as bytes of a media type, and the type as it is named in the answer. */
export function encodeBody(
  value: JsonValue,
  mediaType: string,
  random: Random,
): { contentType: string; bytes: Uint8Array } {
  const type = bareType(mediaType);
  const text = (body: string, contentType = mediaType) => ({ contentType, bytes: Buffer.from(body) });
  // One line for each item, or for each of two equal events.
  const lines = Array.isArray(value) ? value : [value, value];
  if (type === "text/event-stream")
    return text(lines.map((line) => `data: ${JSON.stringify(line)}\n\n`).join(""));
  if (/[/+](?:x-)?(?:ndjson|jsonl|json-?lines|json-seq)$/.test(type)) {
    const mark = type.endsWith("json-seq") ? "\u001e" : "";
    return text(lines.map((line) => `${mark}${JSON.stringify(line)}\n`).join(""));
  }
  if (isJsonLike(type))
    return text(JSON.stringify(value), type.includes("*") ? "application/json" : mediaType);
  if (/[/+]xml$/.test(type))
    return text(typeof value === "string" && value.startsWith("<") ? value : xml(value));
  if (isForm(type) && isObject(value)) {
    const pairs = Object.entries(value).map(([name, item]): [string, string] => [
      name,
      plain(item as JsonValue),
    ]);
    return text(new URLSearchParams(pairs).toString(), "application/x-www-form-urlencoded");
  }
  if (type.startsWith("text/")) return text(plain(value), type.includes("*") ? "text/plain" : mediaType);
  const concrete = type.includes("*")
    ? `${type.split("/")[0]}/octet-stream`.replace(/^\*/, "application")
    : mediaType;
  if (typeof value === "string" && value !== "") return text(value, concrete);
  return { contentType: concrete, bytes: Uint8Array.from({ length: 64 }, () => random.int(0, 255)) };
}

function plain(value: JsonValue): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function xml(value: JsonValue): string {
  const escaped = (text: string) =>
    text
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll(/(?![\t\n\r])\p{Cc}/gu, "");
  const element = (name: string, item: JsonValue): string => {
    const tag = /^[A-Za-z_][\w.-]*$/.test(name) ? name : "item";
    if (Array.isArray(item)) return item.map((one) => element(tag, one)).join("");
    const inner = isObject(item)
      ? Object.entries(item)
          .map(([key, one]) => element(key, one as JsonValue))
          .join("")
      : escaped(item === null ? "" : String(item));
    return `<${tag}>${inner}</${tag}>`;
  };
  const content = Array.isArray(value) ? { item: value } : value;
  return `<?xml version="1.0" encoding="UTF-8"?>${element("root", content)}`;
}
