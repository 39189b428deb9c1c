import { isObject, type JsonSchema, type JsonSchemaObject } from "../util/json.js";
import { own, pointerKeys } from "./pointer.js";

/** Bound on the parts of one schema: a cyclic one must end. */
const maxViews = 64;

/** Every schema object that speaks about the value at one place: through `$ref`, `allOf`, `anyOf` and `oneOf`. */
export type Views = readonly JsonSchemaObject[];

/** What a local reference leads to in `root`; undefined where it leads nowhere or elsewhere. */
function lookUp(reference: string, root: JsonSchemaObject): unknown {
  const keys = reference.startsWith("#") ? pointerKeys(decoded(reference.slice(1))) : undefined;
  if (keys === undefined) return undefined;
  let at: unknown = root;
  for (const key of keys) at = Array.isArray(at) ? at[Number(key)] : own(at, key);
  return at;
}

function decoded(pointer: string): string {
  try {
    return decodeURIComponent(pointer);
  } catch {
    // A stray percent sign belongs to the key itself.
    return pointer;
  }
}

/** The views of a schema whose references are pointers into `root`. */
export function viewsOf(schema: unknown, root: JsonSchemaObject): JsonSchemaObject[] {
  const views: JsonSchemaObject[] = [];
  const seen = new Set<unknown>();
  const queue: unknown[] = [schema];
  for (let i = 0; i < queue.length && views.length < maxViews; i++) {
    const next = queue[i];
    if (!isObject(next) || seen.has(next)) continue;
    seen.add(next);
    views.push(next as JsonSchemaObject);
    if (typeof next.$ref === "string") queue.push(lookUp(next.$ref, root));
    for (const members of [next.allOf, next.anyOf, next.oneOf])
      if (Array.isArray(members)) queue.push(...members);
  }
  return views;
}

/** The views of a property: as declared, else of what else is allowed. */
export function viewsOfProperty(views: Views, name: string, root: JsonSchemaObject): JsonSchemaObject[] {
  const declared = views.flatMap((view) => viewsOf(own(view.properties, name), root));
  return declared.length > 0
    ? declared
    : views.flatMap((view) => viewsOf(view.additionalProperties ?? view.unevaluatedProperties, root));
}

export function viewsOfItem(views: Views, index: number, root: JsonSchemaObject): Views {
  const listed = views.flatMap((view) =>
    Array.isArray(view.prefixItems) ? viewsOf(view.prefixItems[index], root) : [],
  );
  return listed.length > 0 ? listed : views.flatMap((view) => viewsOf(view.items, root));
}

/** Names of the properties that the views declare. */
export function propertyNames(views: Views): Set<string> {
  return new Set(views.flatMap((view) => (isObject(view.properties) ? Object.keys(view.properties) : [])));
}

/** Can there be properties that are not declared? */
export function isOpen(views: Views): boolean {
  return !views.some((view) => (view.additionalProperties ?? view.unevaluatedProperties) === false);
}

/** JSON types that a value may have, as far as the views say; empty where they say nothing. */
export function typesOf(views: Views): Set<string> {
  const types = new Set<string>();
  for (const view of views) {
    const values = view.const === undefined ? view.enum : [view.const];
    if (typeof view.type === "string") types.add(view.type);
    else if (Array.isArray(view.type)) for (const type of view.type) types.add(type);
    else if (Array.isArray(values)) for (const value of values) types.add(typeOf(value));
    else if (isObject(view.properties) || isObject(view.additionalProperties)) types.add("object");
    else if (view.items !== undefined || view.prefixItems !== undefined) types.add("array");
  }
  return types;
}

function typeOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

/** Bytes and not text: `format: binary`, or a media type without an encoding. */
export function isBinary(views: Views): boolean {
  return views.some(
    ({ format, contentMediaType, contentEncoding }) =>
      format === "binary" ||
      (typeof contentMediaType === "string" &&
        contentEncoding === undefined &&
        !/^text\/|[/+]json$/.test(contentMediaType)),
  );
}

/** The schema of one argument of a tool. */
export function argumentViews(parameters: JsonSchemaObject, name: string): Views {
  const declared = own(parameters.properties, name) as JsonSchema | undefined;
  return viewsOf(declared ?? parameters.additionalProperties, parameters);
}
