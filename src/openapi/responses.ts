import { isObject } from "../util/json.js";
import { isJsonLike } from "./body.js";
import type { RawOperation } from "./operations.js";
import { own, pointerTo } from "./pointer.js";
import { type References, referenceOf, unresolvedDiagnostic } from "./references.js";
import type { SchemaConverter } from "./schema.js";
import type { Diagnostic, OpenApiVersion, Tool } from "./types.js";

/** The JSON responses of an operation by status. */
export function responsesOf(
  operation: RawOperation,
  version: OpenApiVersion,
  references: References,
  converter: SchemaConverter,
  report: (diagnostic: Diagnostic) => void,
): Tool["responses"] {
  const declared = own(operation.value, "responses");
  const result: Tool["responses"] = {};
  if (!isObject(declared)) return result;
  for (const status of Object.keys(declared)) {
    if (status.startsWith("x-")) continue;
    const place = pointerTo(operation.pointer, "responses", status);
    const target = references.follow(declared[status], place);
    if (target.kind !== "found" || !isObject(target.value)) {
      if (target.kind === "unresolved")
        report(
          unresolvedDiagnostic(referenceOf(declared[status]) ?? "", place, "the response is not described"),
        );
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
