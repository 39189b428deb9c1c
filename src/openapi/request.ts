import { SpecdojoError } from "../util/errors.js";
import type { JsonObject, JsonSchemaObject, JsonValue } from "../util/json.js";
import { isJsonLike } from "./body.js";
import {
  type Decode,
  decodeForm,
  decodePercent,
  type RawPair,
  rawPairs,
  readExpanded,
  readJson,
  readPairs,
  readScalar,
} from "./deserialize.js";
import { own } from "./pointer.js";
import { BodyError, type BodyShape, decodeBody, encodeBody } from "./request-body.js";
import {
  ambiguity,
  type Encode,
  encodeNothing,
  encodeReserved,
  encodeStrict,
  expand,
  type Field,
  ownerOf,
  pairsOf,
  pairText,
  percent,
  scalarText,
  wellFormed,
} from "./serialize.js";
import { withoutSpace } from "./text.js";
import type { BodyBinding, ParameterBinding, Tool } from "./types.js";
import { argumentViews, viewsOf } from "./views.js";

export interface RequestOptions {
  /** Base URL. Default: the first server of the tool, its variables filled with their defaults. */
  server?: string;
  /** Values of the server's variables. */
  variables?: Record<string, string>;
}

export interface HttpRequest {
  /** Upper-case. */
  method: string;
  /** Absolute if the server is; else a path. */
  url: string;
  headers: Record<string, string>;
  body?: string | Uint8Array;
}

/**
 * The HTTP request of a call, exactly as the document describes it. The arguments are not checked against the schema
 * (see `createArgumentValidator`); throws `SpecdojoError` where they cannot be put on the wire, or would mean something
 * else there: a missing path argument, an argument that the tool does not have, a value that would change the path,
 * split a header or be read as another argument.
 */
export function buildRequest(
  tool: Tool,
  args: Readonly<Record<string, JsonValue>>,
  options: RequestOptions = {},
): HttpRequest {
  const headers = new Map<string, [name: string, text: string]>();
  const pairs: Record<"query" | "cookie", string[]> = { query: [], cookie: [] };
  const pathValues = new Map<string, string>();
  const bodyArguments: [string, JsonValue][] = [];

  for (const [name, value] of Object.entries(args)) {
    if (value === undefined) continue;
    const binding = Object.hasOwn(tool.bindings, name) ? tool.bindings[name] : undefined;
    if (binding === undefined) bodyArguments.push([name, value]);
    else if (binding.in === "path") pathValues.set(binding.name, pathText(tool, name, value, binding));
    else if (binding.in === "header") {
      const key = binding.name.toLowerCase();
      if (headers.has(key)) throw argumentError(tool, name, `the header ${binding.name} is given twice`);
      headers.set(key, [binding.name, headerText(tool, name, value, binding)]);
    } else if (binding.whole === true)
      pairs.query.push(encodeStrict(contentText(value, binding.contentType ?? "")));
    else pairs[binding.in].push(...fieldTexts(tool, name, value, binding.in));
  }
  if (pairs.cookie.length > 0) {
    if (headers.has("cookie"))
      throw argumentError(tool, "Cookie", "cookies cannot be given both here and by their names");
    headers.set("cookie", ["Cookie", pairs.cookie.join("; ")]);
  }
  const path = fillPath(tool, pathValues);
  const body = bodyOfCall(tool, bodyArguments);
  if (body !== undefined && (!headers.has("content-type") || body.contentType.startsWith("multipart/")))
    headers.set("content-type", ["Content-Type", body.contentType]);
  const base = serverUrl(tool, options);
  // A path template may carry a query or fragment of its own.
  const [place = "", fixedQuery] = path.split("#", 1)[0]?.split("?") ?? [];
  const query = [...(fixedQuery ? [fixedQuery] : []), ...pairs.query];
  const url = `${base.replace(/\/+$/, "")}${place.startsWith("/") ? place : `/${place}`}`;
  return {
    method: tool.method.toUpperCase(),
    url: query.length > 0 ? `${url}?${query.join("&")}` : url,
    headers: Object.fromEntries(headers.values()),
    ...(body === undefined ? {} : { body: body.data }),
  };
}

/**
 * The arguments of a call from its HTTP request: the inverse of `buildRequest`. Server, unknown query parameters, headers
 * and cookies (credentials, for one) do not matter. Where the wire cannot tell two values apart, such as the number 1 and
 * the text "1" of a parameter that may be both, the schema decides; the same request is made from the result.
 *
 * @throws SpecdojoError `request-mismatch` when it is no request of this operation.
 */
export function parseRequest(tool: Tool, request: HttpRequest): JsonObject {
  if (request.method.toUpperCase() !== tool.method.toUpperCase())
    throw mismatch(tool, `the method is ${request.method}`);
  const args = new Map<string, JsonValue>();
  const { values, query } = matchUrl(tool, request.url);
  const headers = new Map(Object.entries(request.headers).map(([name, text]) => [name.toLowerCase(), text]));

  for (const [name, binding] of Object.entries(tool.bindings)) {
    const views = argumentViews(tool.parameters, name);
    if (binding.in === "path") {
      const raw = values.get(binding.name);
      if (raw === undefined) continue;
      const value =
        binding.contentType === undefined
          ? readExpanded(raw, binding, views, tool.parameters, decodePercent)
          : readContent(decodePercent(raw), binding.contentType, tool, name);
      args.set(name, value);
    } else if (binding.in === "header") {
      const text = headers.get(binding.name.toLowerCase());
      if (text === undefined || isImplied(tool, binding, text)) continue;
      const decoded = decodeHeader(text);
      const value =
        binding.contentType === undefined
          ? readExpanded(decoded, binding, views, tool.parameters, (part) => part)
          : readContent(decoded, binding.contentType, tool, name);
      args.set(name, value);
    }
  }
  const [whole, all] = Object.entries(tool.bindings).find(([, binding]) => binding.whole === true) ?? [];
  if (whole === undefined) readFields(tool, "query", rawPairs(query, "&", decodeForm), decodeForm, args);
  else if (query !== "")
    args.set(whole, readContent(decodePercent(query), all?.contentType ?? "", tool, whole));
  readFields(
    tool,
    "cookie",
    rawPairs(headers.get("cookie") ?? "", /;\s*/, decodePercent),
    decodePercent,
    args,
  );
  if (tool.body !== undefined && request.body !== undefined)
    for (const [name, value] of bodyArgumentsOf(tool, tool.body, request.body, headers.get("content-type"))) {
      if (args.has(name) || Object.hasOwn(tool.bindings, name))
        throw mismatch(tool, `the body has ${JSON.stringify(name)}, which is another argument`);
      args.set(name, value);
    }
  return Object.fromEntries(args);
}

function serverUrl(tool: Tool, options: RequestOptions): string {
  if (options.server !== undefined) return options.server;
  const server = tool.servers[0];
  if (server === undefined) return "";
  return server.url.replaceAll(/\{([^{}]+)\}/g, (whole, name: string) => {
    const given = own(options.variables, name);
    const variable = Object.hasOwn(server.variables, name) ? server.variables[name] : undefined;
    const value = typeof given === "string" ? given : variable?.default;
    if (value === undefined)
      throw new SpecdojoError(
        "server-variable-missing",
        `The server URL ${JSON.stringify(server.url.slice(0, 200))} needs a value for ${whole}.`,
        {
          place: tool.pointer,
          remedy: "Give it in `variables`, or give `server`.",
        },
      );
    if (variable?.enum !== undefined && !variable.enum.includes(value))
      throw new SpecdojoError(
        "server-variable-invalid",
        `${whole} in the server URL cannot be ${JSON.stringify(value)}; allowed are ${variable.enum.join(", ")}.`,
        { place: tool.pointer, remedy: "Give one of these in `variables`." },
      );
    return value;
  });
}

function pathText(tool: Tool, name: string, value: JsonValue, binding: ParameterBinding): string {
  const text =
    binding.contentType === undefined
      ? expand(value, binding, encodeStrict)
      : encodeStrict(contentText(value, binding.contentType));
  if (text === "" || value === null) throw argumentError(tool, name, "a path argument cannot be empty");
  return text;
}

/** A path template in pieces: texts and the names between them, segment by segment. */
interface Segment {
  /** One more than `names`. */
  literals: string[];
  names: string[];
}

function segmentsOf(template: string): Segment[] {
  return template.split("/").map((segment) => {
    const pieces = segment.split(/\{([^{}]+)\}/);
    const literals = pieces.filter((_, i) => i % 2 === 0).map(withoutSpace);
    return { literals, names: pieces.filter((_, i) => i % 2 === 1) };
  });
}

/** The path template filled. Several values in one segment can be told apart again. */
function fillPath(tool: Tool, values: ReadonlyMap<string, string>): string {
  const fill = ({ literals, names }: Segment): string => {
    let text = literals[0] ?? "";
    for (const [i, name] of names.entries()) {
      const value = values.get(name);
      const literal = literals[i + 1] ?? "";
      if (value === undefined)
        throw argumentError(tool, name, "the path needs this argument and it is missing");
      const isLast = i === names.length - 1;
      text += (isLast ? value : apart(tool, name, value, literal)) + literal;
    }
    if (names.length > 0 && isDots(text))
      throw argumentError(tool, names.join(", "), `${JSON.stringify(text)} would lead to another path`);
    return text;
  };
  return segmentsOf(tool.path).map(fill).join("/");
}

/** Segments that every reader of URLs takes for the way up or for nothing. */
function isDots(segment: string): boolean {
  return /^(?:\.|%2e){1,2}$/i.test(segment);
}

/** A value in which the text that follows it does not occur, if need be by percent-encoding. */
function apart(tool: Tool, name: string, value: string, literal: string): string {
  const ends = (text: string): boolean => (text + literal).indexOf(literal) === text.length;
  if (literal === "" || ends(value)) return value;
  const safe = value.replaceAll(literal.charAt(0), percent);
  if (ends(safe)) return safe;
  throw argumentError(tool, name, `it cannot hold ${JSON.stringify(literal)}, which ends it in the path`);
}

/** The raw values of the path template's places, and the part of the query that the template does not have itself. */
function matchUrl(tool: Tool, url: string): { values: Map<string, string>; query: string } {
  const [address = "", queryText = ""] = withoutSpace(url.split("#", 1)[0] ?? "").split(/\?(.*)/s, 2);
  const [place = "", fixed] = tool.path.split("#", 1)[0]?.split("?") ?? [];
  const template = segmentsOf(place.replace(/^\//, ""));
  const path = address.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, "").split("/");
  const given = path.slice(-template.length);
  const query = queryText.split("&");
  if (fixed) {
    template.push(...segmentsOf(fixed));
    given.push(query.splice(0, fixed.split("&").length).join("&"));
  }
  const values = new Map<string, string>();
  for (const [i, segment] of template.entries()) {
    const found = matchSegment(segment, given[i] ?? "");
    if (found === undefined || given.length < template.length) throw mismatch(tool, `the URL is ${url}`);
    segment.names.forEach((name, j) => {
      values.set(name, found[j] ?? "");
    });
  }
  return { values, query: query.join("&") };
}

function matchSegment({ literals, names }: Segment, text: string): string[] | undefined {
  const first = literals[0] ?? "";
  const last = literals.at(-1) ?? "";
  if (names.length === 0) return text === first ? [] : undefined;
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length)
    return undefined;
  let rest = text.slice(first.length, text.length - last.length);
  if (rest === "") return undefined;
  const values: string[] = [];
  for (const literal of literals.slice(1, -1)) {
    // Values side by side are told apart by what begins them in the styles label and matrix.
    const next = literal === "" ? rest.slice(1).search(/[.;]/) : rest.indexOf(literal);
    if (next === -1 && literal !== "") return undefined;
    const end = literal === "" ? (next === -1 ? rest.length : next + 1) : next;
    values.push(rest.slice(0, end));
    rest = rest.slice(end + literal.length);
  }
  return [...values, rest];
}

/** The parameters of the query, or those in cookies. */
function fieldsIn(tool: Tool, place: "query" | "cookie"): Field[] {
  return Object.entries(tool.bindings)
    .filter(([, binding]) => binding.in === place && binding.whole !== true)
    .map(([argument, binding]) => ({
      argument,
      name: binding.name,
      style: place === "cookie" ? "form" : binding.style,
      explode: binding.explode,
      allowReserved: binding.allowReserved,
      contentType: binding.contentType,
      views: argumentViews(tool.parameters, argument),
    }));
}

function fieldTexts(tool: Tool, argument: string, value: JsonValue, place: "query" | "cookie"): string[] {
  const fields = fieldsIn(tool, place);
  const field = fields.find((one) => one.argument === argument) as Field;
  const encode: Encode = field.allowReserved === true ? encodeReserved : encodeStrict;
  if (field.contentType !== undefined) {
    const pair = { name: field.name, parts: [contentText(value, field.contentType)] };
    return [pairText(pair, encode, encodeStrict)];
  }
  const why = ambiguity(value, field);
  if (why !== undefined) throw argumentError(tool, argument, why);
  return pairsOf(value, field).map((pair) => {
    if (ownerOf(pair.name, fields) !== field && typeof value === "object")
      throw argumentError(
        tool,
        argument,
        `its ${JSON.stringify(pair.name)} would be taken for another parameter`,
      );
    return pairText(pair, encode, encodeStrict);
  });
}

function readFields(
  tool: Tool,
  place: "query" | "cookie",
  pairs: readonly RawPair[],
  decode: Decode,
  args: Map<string, JsonValue>,
): void {
  const fields = fieldsIn(tool, place);
  const found = new Map<Field, RawPair[]>();
  for (const pair of pairs) {
    const field = ownerOf(pair.name, fields);
    if (field === undefined) continue;
    const known = found.get(field);
    if (known === undefined) found.set(field, [pair]);
    else known.push(pair);
  }
  for (const [field, own] of found) {
    const value =
      field.contentType === undefined
        ? readPairs(own, field, tool.parameters, decode)
        : readContent(decode(own[0]?.text ?? ""), field.contentType, tool, field.argument);
    args.set(field.argument, value);
  }
}

function contentText(value: JsonValue, contentType: string): string {
  return isJsonLike(contentType) || typeof value !== "string" ? JSON.stringify(value) : value;
}

function readContent(text: string, contentType: string, tool: Tool, argument: string): JsonValue {
  return isJsonLike(contentType)
    ? readJson(text)
    : readScalar(text, argumentViews(tool.parameters, argument));
}

function headerText(tool: Tool, name: string, value: JsonValue, binding: ParameterBinding): string {
  const text =
    binding.contentType === undefined
      ? expand(value, binding, encodeNothing)
      : contentText(value, binding.contentType);
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if ((code < 0x20 && code !== 0x09) || code === 0x7f)
      throw argumentError(tool, name, "a header cannot hold line breaks or control characters");
  }
  if (binding.contentType === undefined && typeof value === "object" && value !== null) {
    const parts = Array.isArray(value) ? value : Object.entries(value).flat();
    const bad = parts.map((part) => scalarText(part as JsonValue)).find((part) => part.includes(","));
    if (bad !== undefined)
      throw argumentError(
        tool,
        name,
        `${JSON.stringify(bad)} cannot stand in a list in a header: it has a comma`,
      );
    const key = binding.explode ? Object.keys(value).find((one) => one.includes("=")) : undefined;
    if (key !== undefined) throw argumentError(tool, name, `the key ${JSON.stringify(key)} cannot hold "="`);
  }
  return encodeHeader(text);
}

/**
 * Header values are bytes; what is beyond Latin-1 is percent-encoded as UTF-8. Text that looks like that already gets its
 * percent sign encoded, so that both can be told apart.
 */
function encodeHeader(text: string): string {
  return wellFormed(text)
    .replaceAll(/%(?=(?:25)*[C-F][0-9A-F](?:%|[^\0-\xff]))/gi, "%25")
    .replaceAll(/[^\0-\xff]+/g, encodeURIComponent);
}

function decodeHeader(text: string): string {
  return text.replaceAll(/%25(?=(?:25)*[C-F][0-9A-F]%)|(?:%[C-F][0-9A-F](?:%[89AB][0-9A-F])+)+/gi, (run) =>
    run === "%25" ? "%" : decodePercent(run),
  );
}

/** A parameter for `Content-Type` or `Accept` itself: what a request says without being asked is no argument. */
function isImplied(tool: Tool, binding: ParameterBinding, text: string): boolean {
  const name = binding.name.toLowerCase();
  if (name === "accept") return text.trim() === "*/*";
  const type = name === "content-type" ? tool.body?.mediaType : undefined;
  return type !== undefined && (text === type || type.startsWith("multipart/"));
}

function shapeOf(tool: Tool, binding: BodyBinding): BodyShape {
  const root = tool.parameters;
  if (binding.shape.kind === "whole")
    return { binding, root, views: argumentViews(root, binding.shape.argument) };
  const properties = Object.fromEntries(
    Object.entries(binding.shape.properties).map(([argument, name]) => [
      name,
      (own(root.properties, argument) ?? {}) as JsonSchemaObject,
    ]),
  );
  const open = root.additionalProperties ?? false;
  return { binding, root, views: viewsOf({ type: "object", properties, additionalProperties: open }, root) };
}

function bodyOfCall(tool: Tool, args: readonly [string, JsonValue][]) {
  const { body } = tool;
  const open = tool.parameters.additionalProperties !== false && body?.shape.kind === "properties";
  const known = (name: string): boolean =>
    body !== undefined &&
    (body.shape.kind === "whole" ? body.shape.argument === name : Object.hasOwn(body.shape.properties, name));
  const unknown = args.find(([name]) => !known(name) && !open);
  if (unknown !== undefined) throw argumentError(tool, unknown[0], "the operation has no such argument");
  if (body === undefined || (args.length === 0 && !body.required)) return undefined;
  const { shape } = body;
  if (shape.kind === "whole" && args[0] === undefined) return undefined;
  const value =
    shape.kind === "whole"
      ? (args[0]?.[1] as JsonValue)
      : Object.fromEntries(
          args.map(([name, item]) => [
            Object.hasOwn(shape.properties, name) ? (shape.properties[name] as string) : name,
            item,
          ]),
        );
  try {
    return encodeBody(value, shapeOf(tool, body));
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    if (error.property !== undefined) throw argumentError(tool, error.property, error.message);
    throw new SpecdojoError("media-type-unsupported", `${tool.name}: ${error.message}.`, {
      place: tool.pointer,
      remedy: "Offer application/json in the document, or give the whole body as text.",
    });
  }
}

function bodyArgumentsOf(
  tool: Tool,
  body: BodyBinding,
  data: string | Uint8Array,
  contentType: string | undefined,
): [string, JsonValue][] {
  let value: JsonValue;
  try {
    value = decodeBody(data, contentType, shapeOf(tool, body));
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    throw mismatch(tool, error.message);
  }
  const { shape } = body;
  if (shape.kind === "whole") return [[shape.argument, value]];
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw mismatch(tool, "the body is not an object");
  const byProperty = new Map(Object.entries(shape.properties).map(([argument, name]) => [name, argument]));
  return Object.entries(value).map(([name, item]) => [byProperty.get(name) ?? name, item]);
}

function mismatch(tool: Tool, why: string): SpecdojoError {
  return new SpecdojoError(
    "request-mismatch",
    `This is no request of ${tool.name} (${tool.method.toUpperCase()} ${tool.path}): ${why}.`,
    {
      place: tool.pointer,
      remedy: "Give the request of this operation, or look for the tool it belongs to.",
    },
  );
}

function argumentError(tool: Tool, name: string, why: string): SpecdojoError {
  return new SpecdojoError("argument-invalid", `${tool.name}: ${name}: ${why}.`, {
    place: `${tool.pointer} (${name})`,
    remedy: "Correct the arguments of the call.",
  });
}
