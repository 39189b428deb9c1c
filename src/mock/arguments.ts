import type { ArgumentValidator } from "../openapi/arguments.js";
import { pointerKeys, pointerTo } from "../openapi/pointer.js";
import { parseRequest } from "../openapi/request.js";
import type { Tool } from "../openapi/types.js";
import { SpecdojoError } from "../util/errors.js";
import type { JsonObject } from "../util/json.js";
import { inRange } from "./negotiate.js";
import { isReadable, type MockOperation } from "./operations.js";
import type { MockProblem } from "./types.js";

/** A request as the router hands it on: the path below the server's base path. */
export interface RoutedRequest {
  path: string;
  query: string;
  headers: Readonly<Record<string, string>>;
  body: Uint8Array | undefined;
}

export type ArgumentsFound =
  | { kind: "found"; arguments: JsonObject }
  | { kind: "refused"; status: 400 | 415; problems: MockProblem[]; arguments?: JsonObject };

/** The arguments in a request, checked against the document. */
export function findArguments(
  operation: MockOperation,
  request: RoutedRequest,
  validator: ArgumentValidator,
): ArgumentsFound {
  const { tool } = operation;
  const hasBody = request.body !== undefined && request.body.length > 0;
  const contentType = request.headers["content-type"];
  if (hasBody && tool.body !== undefined) {
    const declared = operation.requestTypes();
    if (contentType === undefined || !declared.some((type) => isAccepted(contentType, type)))
      return {
        kind: "refused",
        status: 415,
        problems: [
          {
            pointer: "/headers/content-type",
            message: `must be one of ${declared.join(", ")}${contentType === undefined ? "; there is none" : ""}`,
          },
        ],
      };
  }
  const isRead = hasBody && contentType !== undefined && isReadable(contentType, tool);
  let found: JsonObject;
  try {
    found = parseRequest(tool, {
      method: tool.method,
      url: `${request.path}${request.query === "" ? "" : `?${request.query}`}`,
      headers: { ...request.headers },
      ...(isRead && request.body !== undefined ? { body: textOrBytes(request.body) } : {}),
    });
  } catch (error) {
    if (!SpecdojoError.isInstance(error) || error.code !== "request-mismatch") throw error;
    const message = error.message.replace(/^.*?\): /, "").replace(/\.$/, "");
    return {
      kind: "refused",
      status: 400,
      problems: [{ pointer: message.startsWith("the body") ? "/body" : "", message }],
    };
  }
  const check = validator.validate(tool, found);
  if (check.ok) return { kind: "found", arguments: found };
  const problems = check.errors
    .filter(({ pointer, message }) => !isAllowedExtra(operation, found, pointer, message))
    .map(({ pointer, message }) => ({ pointer: requestPointer(tool, pointer), message }))
    // A body in a media type that has no reader here cannot be told to be wrong.
    .filter(({ pointer }) => !(hasBody && !isRead && pointer.startsWith("/body")));
  if (problems.length === 0) return { kind: "found", arguments: found };
  return { kind: "refused", status: 400, problems: problems.slice(0, 20), arguments: found };
}

/** Bytes of a type that nobody named are as good as any in a range such as `image/*`. */
function isAccepted(contentType: string, declared: string): boolean {
  return (
    inRange(contentType, declared) ||
    (declared.includes("*") && inRange(contentType, "application/octet-stream"))
  );
}

/** A tool takes no other arguments than those it knows; a document allows them in a body where it does not close it. */
function isAllowedExtra(
  operation: MockOperation,
  found: JsonObject,
  pointer: string,
  message: string,
): boolean {
  const keys = pointerKeys(pointer) ?? [];
  const [name] = keys;
  const { tool } = operation;
  if (keys.length !== 1 || name === undefined || tool.body?.shape.kind !== "properties") return false;
  if (!message.endsWith("is not an argument of this operation") || !Object.hasOwn(found, name)) return false;
  return !Object.hasOwn(tool.bindings, name) && operation.openBody();
}

/** A pointer into the arguments as a pointer into the request. */
function requestPointer(tool: Tool, pointer: string): string {
  const [name, ...rest] = pointerKeys(pointer) ?? [];
  if (name === undefined) return tool.body === undefined ? "" : "/body";
  const binding = Object.hasOwn(tool.bindings, name) ? tool.bindings[name] : undefined;
  if (binding !== undefined) {
    const place = { path: "path", query: "query", header: "headers", cookie: "cookies" }[binding.in];
    return pointerTo("", place, binding.in === "header" ? binding.name.toLowerCase() : binding.name, ...rest);
  }
  const shape = tool.body?.shape;
  if (shape?.kind !== "properties") return pointerTo("/body", ...rest);
  const property = Object.hasOwn(shape.properties, name) ? shape.properties[name] : name;
  return pointerTo("/body", property ?? name, ...rest);
}

/** Text, where the bytes are nothing but text: `parseRequest` keeps the two apart. */
function textOrBytes(body: Uint8Array): string | Uint8Array {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    return /(?![\t\n\r])\p{Cc}/u.test(text) ? body : text;
  } catch {
    return body;
  }
}

/** The body of a request as its arguments give it: what a create or update sends. */
export function bodyValue(tool: Tool, args: JsonObject): JsonObject | undefined {
  const shape = tool.body?.shape;
  if (shape === undefined) return undefined;
  if (shape.kind === "whole") {
    const value = args[shape.argument];
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  }
  const entries = Object.entries(args)
    .filter(([name]) => !Object.hasOwn(tool.bindings, name))
    .map(([name, value]) => [Object.hasOwn(shape.properties, name) ? shape.properties[name] : name, value]);
  return Object.fromEntries(entries) as JsonObject;
}
