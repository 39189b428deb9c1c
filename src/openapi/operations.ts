import { isObject, type JsonObject } from "../util/json.js";
import { own, pointerTo, textOf } from "./pointer.js";
import { type References, referenceOf, unresolvedDiagnostic } from "./references.js";
import type { Diagnostic, HttpMethod } from "./types.js";

export const httpMethods: readonly HttpMethod[] = [
  "get",
  "put",
  "post",
  "delete",
  "options",
  "head",
  "patch",
  "trace",
];

/** One operation as it stands in the document. */
export interface RawOperation {
  method: HttpMethod;
  path: string;
  value: Record<string, unknown>;
  pointer: string;
  /** The object that holds it, and under which key. */
  holder: Record<string, unknown>;
  key: string;
  /** The path item that it belongs to (through a reference, if need be). */
  item: Record<string, unknown>;
  itemPointer: string;
  /** What the path item lends to its operations, with its place. */
  shared: [unknown, string][];
}

/** All operations under `paths`, in document order. */
export function operationsOf(
  document: JsonObject,
  references: References,
  report: (diagnostic: Diagnostic) => void,
): RawOperation[] {
  const paths = own(document, "paths");
  const operations: RawOperation[] = [];
  if (!isObject(paths)) return operations;
  const newer = textOf(own(document, "openapi")).startsWith("3.2");
  const methods: readonly HttpMethod[] = newer ? [...httpMethods, "query"] : httpMethods;
  for (const path of Object.keys(paths)) {
    if (path.startsWith("x-")) continue;
    const declared = paths[path];
    const place = pointerTo("/paths", path);
    const items: [Record<string, unknown>, string][] = isObject(declared) ? [[declared, place]] : [];
    const reference = referenceOf(declared);
    if (reference !== undefined) {
      const target = references.follow(declared, place);
      if (target.kind === "found" && isObject(target.value)) items.push([target.value, target.pointer]);
      else if (target.kind === "unresolved")
        report(unresolvedDiagnostic(reference, pointerTo(place, "$ref"), "its operations are unknown"));
    }
    if (items.length === 0 && declared !== null)
      report({
        code: "path-item-invalid",
        severity: "error",
        pointer: place,
        message: "A path item must be an object; this one is left out.",
      });
    const taken = new Set<string>();
    for (const [item, itemPointer] of items) {
      const additional = newer ? own(item, "additionalOperations") : undefined;
      const holders: [Record<string, unknown>, string, boolean][] = [[item, itemPointer, false]];
      if (isObject(additional))
        holders.push([additional, pointerTo(itemPointer, "additionalOperations"), true]);
      for (const [key, holder, holderPlace, any] of entriesOf(holders)) {
        const known = methods.find((name) => name === key.toLowerCase());
        // OpenAPI 3.2 allows methods of one's own (COPY, LINK, ...).
        const method =
          known ?? (any && /^[A-Za-z][\w-]{0,39}$/.test(key) ? (key.toLowerCase() as HttpMethod) : undefined);
        if (method === undefined || taken.has(method)) continue;
        // Not in the specification, but there are documents that keep operations elsewhere, too.
        const { value, pointer } = followed(holder[key], pointerTo(holderPlace, key), references, report);
        if (!isObject(value)) {
          if (value !== null)
            report({
              code: "operation-invalid",
              severity: "error",
              pointer,
              message: "An operation must be an object; this one is left out.",
            });
          continue;
        }
        taken.add(method);
        const shared = items.map(([from, at]): [unknown, string] => [
          own(from, "parameters"),
          pointerTo(at, "parameters"),
        ]);
        operations.push({ method, path, value, pointer, key, holder, item, itemPointer, shared });
      }
    }
  }
  return operations;
}

function followed(
  declared: unknown,
  place: string,
  references: References,
  report: (diagnostic: Diagnostic) => void,
) {
  const reference = referenceOf(declared);
  const target = references.follow(declared, place);
  if (target.kind === "found") return target;
  if (target.kind === "unresolved")
    report(unresolvedDiagnostic(reference ?? "", pointerTo(place, "$ref"), "its parameters are unknown"));
  return { value: declared, pointer: place };
}

function entriesOf(holders: readonly [Record<string, unknown>, string, boolean][]) {
  return holders.flatMap(([holder, place, any]) =>
    Object.keys(holder).map((key): [string, Record<string, unknown>, string, boolean] => [
      key,
      holder,
      place,
      any,
    ]),
  );
}
