import { isObject, type JsonSchema, type JsonSchemaObject } from "../util/json.js";

/** Name in `#/$defs/NAME` or deeper; undefined for any other reference. */
export function definitionName(ref: string): string | undefined {
  const match = /^#\/\$defs\/([^/]+)/.exec(ref);
  if (match?.[1] === undefined) return undefined;
  let name = match[1];
  try {
    name = decodeURIComponent(name);
  } catch {
    // A lone percent sign is meant literally.
  }
  return name.replaceAll("~1", "/").replaceAll("~0", "~");
}

const referencesOf = new WeakMap<object, ReadonlySet<string>>();

/** Names of the definitions that a schema refers to directly, also by a discriminator; its own `$defs` are not searched. */
export function references(schema: JsonSchema): ReadonlySet<string> {
  if (!isObject(schema)) return new Set();
  const known = referencesOf.get(schema);
  if (known) return known;
  const found = new Set<string>();
  const stack: unknown[] = [];
  for (const [key, value] of Object.entries(schema))
    if (key !== "$defs") stack.push(key === "$ref" || key === "discriminator" ? { [key]: value } : value);
  while (stack.length > 0) {
    const value = stack.pop();
    if (Array.isArray(value)) for (const item of value) stack.push(item);
    else if (isObject(value)) {
      const { $ref, discriminator } = value;
      const mapping = isObject(discriminator) && isObject(discriminator.mapping) ? discriminator.mapping : {};
      for (const target of [$ref, ...Object.values(mapping)]) {
        const name = typeof target === "string" ? definitionName(target) : undefined;
        if (name !== undefined) found.add(name);
      }
      for (const inner of Object.values(value)) if (typeof inner === "object") stack.push(inner);
    }
  }
  referencesOf.set(schema, found);
  return found;
}

export function definitionsOf(root: JsonSchemaObject): Map<string, JsonSchema> {
  return new Map(Object.entries(root.$defs ?? {}));
}

export interface SharedDefinitions {
  /** Definitions whose name has one meaning in all roots that have it. */
  shared: Map<string, JsonSchema>;
  /** Names that mean different things in different roots. */
  conflicting: Set<string>;
}

/** Compares the `$defs` of many root schemas by content. Equal objects are compared by identity first. */
export function shareDefinitions(roots: Iterable<JsonSchemaObject>): SharedDefinitions {
  const shared = new Map<string, JsonSchema>();
  const conflicting = new Set<string>();
  const texts = new Map<string, string>();
  const seen = new WeakSet<object>();
  for (const root of roots) {
    if (root.$defs === undefined || seen.has(root.$defs)) continue;
    seen.add(root.$defs);
    for (const [name, schema] of definitionsOf(root)) {
      if (conflicting.has(name)) continue;
      const first = shared.get(name);
      if (first === undefined) shared.set(name, schema);
      else if (first !== schema) {
        const text = texts.get(name) ?? JSON.stringify(first);
        texts.set(name, text);
        if (text !== JSON.stringify(schema)) conflicting.add(name);
      }
    }
  }
  for (const name of conflicting) shared.delete(name);
  return { shared, conflicting };
}
