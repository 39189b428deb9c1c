import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonValue } from "../util/json.js";
import { hash32 } from "../util/random.js";
import { isJsonLike } from "./body.js";
import { own } from "./pointer.js";
import {
  encodeNothing,
  encodeReserved,
  encodeStrict,
  expand,
  pairsOf,
  queryText,
  scalarText,
  wellFormed,
} from "./serialize.js";
import type { BodyBinding, ParameterBinding, Tool } from "./types.js";

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
 * (see `createArgumentValidator`); throws `SpecdojoError` where they cannot be put on the wire at all: a missing path
 * argument, an argument that the tool does not have, a value that would change the path or split a header.
 */
export function buildRequest(
  tool: Tool,
  args: Readonly<Record<string, JsonValue>>,
  options: RequestOptions = {},
): HttpRequest {
  const headers: Record<string, string> = {};
  const query: string[] = [];
  const cookies: string[] = [];
  const pathValues = new Map<string, string>();
  const bodyArguments: Record<string, JsonValue> = {};

  for (const [name, value] of Object.entries(args)) {
    if (value === undefined) continue;
    const binding = Object.hasOwn(tool.bindings, name) ? tool.bindings[name] : undefined;
    if (binding === undefined) {
      bodyArguments[name] = value;
      continue;
    }
    if (binding.in === "path") pathValues.set(binding.name, pathText(tool, name, value, binding));
    else if (binding.in === "query") {
      const text = queryParameter(value, binding);
      if (text !== "") query.push(text);
    } else if (binding.in === "header") {
      const text =
        binding.contentType === undefined
          ? expand(value, binding, encodeNothing)
          : contentText(value, binding.contentType);
      headers[binding.name] = headerText(tool, name, text);
    } else {
      const style: ParameterBinding = { ...binding, style: "form" };
      cookies.push(cookieText(value, style));
    }
  }
  if (cookies.length > 0) headers.Cookie = cookies.join("; ");

  const path = tool.path.replaceAll(/\{([^{}]+)\}/g, (_, name: string) => {
    const text = pathValues.get(name);
    if (text === undefined) throw argumentError(tool, name, "the path needs this argument and it is missing");
    return text;
  });
  const body = bodyOfCall(tool, bodyArguments, headers);
  const base = serverUrl(tool, options);
  // A path template may carry a query or fragment of its own.
  const [place = "", fixedQuery] = path.split("#", 1)[0]?.split("?") ?? [];
  const parts = [...(fixedQuery ? [fixedQuery] : []), ...query];
  const url = `${base.replace(/\/+$/, "")}${place.startsWith("/") ? place : `/${place}`}`;
  return {
    method: tool.method.toUpperCase(),
    url: parts.length > 0 ? `${url}?${parts.join("&")}` : url,
    headers,
    ...(body === undefined ? {} : { body }),
  };
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
        `The server URL ${server.url} needs a value for ${whole}.`,
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
  if (text === "." || text === "..")
    throw argumentError(tool, name, `the value ${JSON.stringify(text)} would lead to another path`);
  return text;
}

function queryParameter(value: JsonValue, binding: ParameterBinding): string {
  const encode = binding.allowReserved === true ? encodeReserved : encodeStrict;
  if (binding.contentType !== undefined)
    return `${encodeStrict(binding.name)}=${encode(contentText(value, binding.contentType))}`;
  return queryText(pairsOf(value, binding.name, binding.style, binding.explode), encode);
}

function cookieText(value: JsonValue, binding: ParameterBinding): string {
  if (binding.contentType !== undefined)
    return `${encodeStrict(binding.name)}=${encodeStrict(contentText(value, binding.contentType))}`;
  return pairsOf(value, binding.name, "form", binding.explode)
    .map(({ name, parts }) => `${encodeStrict(name)}=${parts.map(encodeStrict).join(",")}`)
    .join("; ");
}

function contentText(value: JsonValue, contentType: string): string {
  return isJsonLike(contentType) || typeof value !== "string" ? JSON.stringify(value) : value;
}

function headerText(tool: Tool, name: string, text: string): string {
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if ((code < 0x20 && code !== 0x09) || code === 0x7f)
      throw argumentError(tool, name, "a header cannot hold line breaks or control characters");
  }
  // Header values are bytes; what is beyond Latin-1 is percent-encoded.
  return [...wellFormed(text)]
    .map((char) => ((char.codePointAt(0) ?? 0) > 0xff ? encodeURIComponent(char) : char))
    .join("");
}

function bodyOfCall(
  tool: Tool,
  args: Record<string, JsonValue>,
  headers: Record<string, string>,
): string | Uint8Array | undefined {
  const { body } = tool;
  const names = Object.keys(args);
  const open = tool.parameters.additionalProperties !== false && body?.shape.kind === "properties";
  const known = (name: string): boolean =>
    body !== undefined &&
    (body.shape.kind === "whole" ? body.shape.argument === name : Object.hasOwn(body.shape.properties, name));
  const unknown = names.find((name) => !known(name) && !open);
  if (unknown !== undefined) throw argumentError(tool, unknown, "the operation has no such argument");
  if (body === undefined || (names.length === 0 && !body.required)) return undefined;
  if (body.shape.kind === "whole") {
    const value = Object.hasOwn(args, body.shape.argument) ? args[body.shape.argument] : undefined;
    return value === undefined ? undefined : encodeBody(tool, value, body, headers);
  }
  const value: Record<string, JsonValue> = {};
  const { properties } = body.shape;
  for (const name of names)
    value[Object.hasOwn(properties, name) ? (properties[name] as string) : name] = args[name] as JsonValue;
  return encodeBody(tool, value, body, headers);
}

function encodeBody(
  tool: Tool,
  value: JsonValue,
  body: BodyBinding,
  headers: Record<string, string>,
): string | Uint8Array {
  const type = (body.mediaType.split(";")[0] ?? "").trim().toLowerCase();
  const declare = (mediaType: string): void => {
    headers["Content-Type"] = mediaType;
  };
  if (isJsonLike(type)) {
    declare(body.mediaType);
    return JSON.stringify(value);
  }
  if (type === "application/x-www-form-urlencoded") {
    declare(body.mediaType);
    return formText(value, body);
  }
  if (type.startsWith("multipart/")) {
    const { bytes, boundary } = multipart(tool, value, body);
    declare(`${type}; boundary=${boundary}`);
    return bytes;
  }
  if (typeof value === "string") {
    declare(type.includes("*") ? "application/octet-stream" : body.mediaType);
    return bytesOf(value) ?? value;
  }
  if (type.startsWith("text/")) {
    declare(body.mediaType);
    return scalarText(value);
  }
  throw new SpecdojoError(
    "media-type-unsupported",
    `A body of ${body.mediaType} cannot be made from an object.`,
    {
      place: tool.pointer,
      remedy: "Offer application/json in the document, or give the whole body as text.",
    },
  );
}

function formText(value: JsonValue, body: BodyBinding): string {
  if (!isObject(value)) return scalarText(value);
  const pairs: [string, string][] = [];
  for (const [name, item] of Object.entries(value) as [string, JsonValue][]) {
    const encoding = encodingOf(body, name);
    const styled = encoding?.style !== undefined || encoding?.explode !== undefined;
    if (isObject(item) && !styled) {
      pairs.push([name, JSON.stringify(item)]);
      continue;
    }
    const style = encoding?.style ?? "form";
    for (const pair of pairsOf(
      item,
      name,
      style,
      encoding?.explode ?? (style === "form" || style === "deepObject"),
    ))
      pairs.push([pair.name, pair.parts.join(pair.delimiter)]);
  }
  return new URLSearchParams(pairs).toString();
}

function encodingOf(body: BodyBinding, name: string) {
  return body.encoding !== undefined && Object.hasOwn(body.encoding, name) ? body.encoding[name] : undefined;
}

function multipart(tool: Tool, value: JsonValue, body: BodyBinding): { bytes: Uint8Array; boundary: string } {
  const encoder = new TextEncoder();
  const parts: { head: string; data: Uint8Array }[] = [];
  const add = (name: string, item: JsonValue): void => {
    const encoding = encodingOf(body, name);
    const binary = isBinary(tool, body, name) || encoding?.contentType?.startsWith("image/") === true;
    const data =
      typeof item === "string" ? (bytesOf(item) ?? encoder.encode(item)) : encoder.encode(scalarText(item));
    const contentType =
      encoding?.contentType?.split(",")[0]?.trim() ??
      (binary
        ? "application/octet-stream"
        : typeof item === "object" && item !== null
          ? "application/json"
          : undefined);
    const quoted = name.replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
    let head = `Content-Disposition: form-data; name="${quoted}"`;
    if (binary) head += `; filename="${quoted}"`;
    if (contentType !== undefined) head += `\r\nContent-Type: ${contentType.replaceAll(/[\r\n]/g, "")}`;
    parts.push({ head, data });
  };
  const entries = isObject(value)
    ? (Object.entries(value) as [string, JsonValue][])
    : [["body", value] as [string, JsonValue]];
  for (const [name, item] of entries) {
    if (!Array.isArray(item)) add(name, item);
    else {
      const encoding = encodingOf(body, name);
      if (encoding?.explode === false)
        for (const pair of pairsOf(item, name, encoding.style ?? "form", false))
          add(name, pair.parts.join(pair.delimiter));
      else for (const one of item) add(name, one);
    }
  }
  const text = parts.map(({ head, data }) => head + new TextDecoder("latin1").decode(data)).join("\n");
  let boundary = `specdojo-${hash32(text).toString(36)}`;
  for (let i = 0; text.includes(boundary); i++)
    boundary = `specdojo-${hash32(`${text.length}/${i}`).toString(36)}-${i}`;
  const chunks: Uint8Array[] = [];
  for (const { head, data } of parts)
    chunks.push(encoder.encode(`--${boundary}\r\n${head}\r\n\r\n`), data, encoder.encode("\r\n"));
  chunks.push(encoder.encode(`--${boundary}--\r\n`));
  return { bytes: new Uint8Array(Buffer.concat(chunks)), boundary };
}

function isBinary(tool: Tool, body: BodyBinding, property: string): boolean {
  if (body.shape.kind !== "properties") return false;
  const argument = Object.entries(body.shape.properties).find(([, name]) => name === property)?.[0];
  const schema = argument === undefined ? undefined : own(tool.parameters.properties, argument);
  const items = own(schema, "items");
  return [schema, items].some(
    (one) => own(one, "format") === "binary" || own(one, "contentMediaType") === "application/octet-stream",
  );
}

/** The bytes of a `data:` URL; any other text stands for itself. */
function bytesOf(text: string): Uint8Array | undefined {
  const match = /^data:[\w.+-]*\/?[\w.+-]*;base64,([A-Za-z0-9+/=\s]*)$/.exec(text);
  return match === null ? undefined : new Uint8Array(Buffer.from(match[1] as string, "base64"));
}

function argumentError(tool: Tool, name: string, why: string): SpecdojoError {
  return new SpecdojoError("argument-invalid", `${tool.name}: ${name}: ${why}.`, {
    place: `${tool.pointer} (${name})`,
    remedy: "Correct the arguments of the call.",
  });
}
