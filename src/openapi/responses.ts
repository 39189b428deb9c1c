import { isObject } from "../util/json.js";
import { isJsonLike } from "./body.js";
import type { RawOperation } from "./operations.js";
import { own, pointerTo } from "./pointer.js";
import { eachReference, type References, referenceOf, unresolvedDiagnostic } from "./references.js";
import type { SchemaConverter } from "./schema.js";
import type { Diagnostic, OpenApiVersion, Tool } from "./types.js";

/** A tool whose `responses` are made when they are first read: most uses never do, and they are most of a document. */
export function withResponses(tool: Tool, make: () => Tool["responses"]): Tool {
  const set = (value: Tool["responses"]): Tool["responses"] => {
    Object.defineProperty(tool, "responses", { value, enumerable: true, writable: true, configurable: true });
    return value;
  };
  return Object.defineProperty(tool, "responses", {
    get: () => set(make()),
    set,
    enumerable: true,
    configurable: true,
  });
}

/** Reports the references of the responses that lead nowhere. What was looked at before is in `seen`. */
export function checkResponses(
  operation: RawOperation,
  references: References,
  report: (diagnostic: Diagnostic) => void,
  seen: Set<unknown>,
): void {
  const declared = own(operation.value, "responses");
  if (!isObject(declared)) return;
  const pending: [unknown, string][] = [];
  for (const status of Object.keys(declared)) {
    if (status.startsWith("x-")) continue;
    const place = pointerTo(operation.pointer, "responses", status);
    const target = references.follow(declared[status], place);
    if (target.kind === "found") pending.push([target.value, target.pointer]);
    else if (target.kind === "unresolved")
      report(
        unresolvedDiagnostic(referenceOf(declared[status]) ?? "", place, "the response is not described"),
      );
  }
  for (let next = pending.pop(); next !== undefined; next = pending.pop())
    eachReference(
      next[0],
      next[1],
      ({ reference, key, pointer }) => {
        const target = references.lookUp(reference);
        if (target.kind === "found") {
          if (!seen.has(target.value)) pending.push([target.value, target.pointer]);
        } else if (target.kind === "unresolved" && key === "$ref")
          report(unresolvedDiagnostic(reference, pointer(), "any value is allowed there"));
      },
      seen,
    );
}

/** The JSON responses of an operation by status. */
export function responsesOf(
  operation: RawOperation,
  version: OpenApiVersion,
  references: References,
  converter: SchemaConverter,
): Tool["responses"] {
  const declared = own(operation.value, "responses");
  const result: Tool["responses"] = {};
  if (!isObject(declared)) return result;
  for (const status of Object.keys(declared)) {
    if (status.startsWith("x-")) continue;
    const place = pointerTo(operation.pointer, "responses", status);
    const target = references.follow(declared[status], place);
    if (target.kind !== "found" || !isObject(target.value)) {
      result[status] = { description: "", schema: null };
      continue;
    }
    const description = own(target.value, "description");
    const found = schemaOf(target.value, target.pointer, version);
    const schema =
      found === undefined ? undefined : converter.convert(found.value, found.pointer, "response");
    result[status] = {
      description: typeof description === "string" ? description.replaceAll(/\s+/g, " ").trim() : "",
      schema:
        schema === undefined
          ? null
          : converter.complete(schema === true ? {} : schema === false ? { not: {} } : schema, "response"),
    };
  }
  return result;
}

function schemaOf(
  response: Record<string, unknown>,
  pointer: string,
  version: OpenApiVersion,
): { value: unknown; pointer: string } | undefined {
  if (version === "2.0") {
    const value = own(response, "schema");
    return isObject(value) && own(value, "type") !== "file"
      ? { value, pointer: pointerTo(pointer, "schema") }
      : undefined;
  }
  const content = own(response, "content");
  if (!isObject(content)) return undefined;
  const mediaType = Object.keys(content).find(isJsonLike);
  if (mediaType === undefined) return undefined;
  const value = own(content[mediaType], "schema");
  return value === undefined
    ? undefined
    : { value, pointer: pointerTo(pointer, "content", mediaType, "schema") };
}
