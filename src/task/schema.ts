import { isObject, type JsonSchema, type JsonSchemaObject } from "../util/json.js";

/** Bound on followed `$ref`s and expanded combinators at one place: a cyclic schema must not loop. */
const maxViews = 64;

function lookup(root: JsonSchemaObject, ref: string): JsonSchema | undefined {
  if (!ref.startsWith("#")) return undefined;
  let node: unknown = root;
  for (const part of ref.slice(1).split("/").slice(1)) {
    let key = part;
    try {
      key = decodeURIComponent(part);
    } catch {
      // A stray percent sign belongs to the key itself.
    }
    key = key.replaceAll("~1", "/").replaceAll("~0", "~");
    if (Array.isArray(node)) node = node[Number(key)];
    else if (isObject(node) && Object.hasOwn(node, key)) node = node[key];
    else return undefined;
  }
  return typeof node === "boolean" || isObject(node) ? (node as JsonSchema) : undefined;
}

/**
 * Every schema object that may speak about a value at this place: `$ref`s followed inside `root`, members of
 * `allOf`, `anyOf` and `oneOf` included. Ends on cycles.
 */
export function schemaViews(schema: JsonSchema | undefined, root: JsonSchemaObject): JsonSchemaObject[] {
  const views: JsonSchemaObject[] = [];
  const seen = new Set<JsonSchemaObject>();
  const queue: (JsonSchema | undefined)[] = [schema];
  while (queue.length > 0 && views.length < maxViews) {
    const next = queue.shift();
    if (!isObject(next) || seen.has(next)) continue;
    seen.add(next);
    views.push(next);
    if (typeof next.$ref === "string") queue.push(lookup(root, next.$ref));
    for (const members of [next.allOf, next.anyOf, next.oneOf])
      if (Array.isArray(members)) queue.push(...members);
  }
  return views;
}

/** What the views say about a property: declared properties first, else `additionalProperties`. */
export function propertyViews(
  views: readonly JsonSchemaObject[],
  key: string,
  root: JsonSchemaObject,
): JsonSchemaObject[] {
  const declared = views.flatMap((view) =>
    isObject(view.properties) && Object.hasOwn(view.properties, key)
      ? schemaViews(view.properties[key], root)
      : [],
  );
  return declared.length > 0
    ? declared
    : views.flatMap((view) => schemaViews(view.additionalProperties, root));
}

export function isDeclared(views: readonly JsonSchemaObject[], key: string): boolean {
  return views.some((view) => isObject(view.properties) && Object.hasOwn(view.properties, key));
}

export function itemViews(views: readonly JsonSchemaObject[], root: JsonSchemaObject): JsonSchemaObject[] {
  return views.flatMap((view) => schemaViews(view.items, root));
}

/** JSON types that the views name; empty where nothing is known. */
export function typesOf(views: readonly JsonSchemaObject[]): Set<string> {
  const types = new Set<string>();
  for (const view of views) {
    if (typeof view.type === "string") types.add(view.type);
    else if (Array.isArray(view.type)) for (const type of view.type) types.add(type);
    else if (Array.isArray(view.enum))
      for (const value of view.enum) types.add(value === null ? "null" : typeof value);
  }
  return types;
}
