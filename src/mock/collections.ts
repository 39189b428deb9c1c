import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import type { MockOperation } from "./operations.js";

export type Role = "list" | "create" | "read" | "replace" | "update" | "remove";

/** The part that an operation plays for a collection such as `/pets` with items at `/pets/{petId}`. */
export interface Part {
  role: Role;
  /** Name of the item's parameter in the path, e.g. `petId`. */
  key: string;
  /** The operation that reads one item, if there is one: its answer is what an item looks like. */
  read: MockOperation | undefined;
}

/** Which operations belong to collections: those of a path that ends in one parameter, and of the path above it. */
export function findParts(operations: readonly MockOperation[]): Map<MockOperation, Part> {
  const byPath = new Map<string, Map<string, MockOperation>>();
  for (const operation of operations) {
    const { path, method } = operation.tool;
    const methods = byPath.get(path) ?? new Map<string, MockOperation>();
    methods.set(method, operation);
    byPath.set(path, methods);
  }
  const parts = new Map<MockOperation, Part>();
  for (const [path, item] of byPath) {
    const [, above, key] = /^(.*\/[^/{}]+)\/\{([^{}]+)\}$/.exec(path) ?? [];
    if (above === undefined || key === undefined) continue;
    const read = item.get("get");
    const add = (operation: MockOperation | undefined, role: Role): void => {
      if (operation !== undefined && !parts.has(operation)) parts.set(operation, { role, key, read });
    };
    const collection = byPath.get(above);
    add(collection?.get("get"), "list");
    add(collection?.get("post"), "create");
    add(read, "read");
    add(item.get("delete"), "remove");
    add(item.get("patch"), "update");
    add(item.get("put"), "replace");
    if (!item.has("patch") && !item.has("put")) add(item.get("post"), "update");
  }
  return parts;
}

/** Items kept over all collections; beyond that the collections start anew. */
const maxItems = 10_000;

export interface Collection {
  items: Map<string, JsonObject>;
  deleted: Set<string>;
  /** Have the items of the first listing been made? */
  listed: boolean;
  /** Items created so far. */
  created: number;
}

/** What was created, changed and deleted, by the path of the collection. */
export class Collections {
  readonly #byPath = new Map<string, Collection>();
  #count = 0;

  at(path: string): Collection {
    let found = this.#byPath.get(path);
    if (found === undefined) {
      if (++this.#count > maxItems) this.reset();
      found = { items: new Map(), deleted: new Set(), listed: false, created: 0 };
      this.#byPath.set(path, found);
    }
    return found;
  }

  keep(collection: Collection, id: string, item: JsonObject): void {
    if (++this.#count > maxItems) this.reset();
    collection.deleted.delete(id);
    collection.items.set(id, item);
  }

  reset(): void {
    this.#byPath.clear();
    this.#count = 0;
  }
}

const bare = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

/** The property of an item that its path names: as the parameter is called, `id`, or the parameter's last word. */
export function idProperty(item: JsonObject, key: string): string | undefined {
  const names = Object.keys(item);
  const last = /[A-Za-z][a-z0-9]*$/.exec(key.replaceAll(/[^A-Za-z0-9]+/g, " ").trim())?.[0] ?? key;
  for (const wanted of [bare(key), "id", bare(last)]) {
    const name = names.find((one) => bare(one) === wanted && isScalar(item[one]));
    if (name !== undefined) return name;
  }
  return undefined;
}

function isScalar(value: JsonValue | undefined): value is string | number {
  return typeof value === "string" || typeof value === "number";
}

/** The item with another id, of the type that its id has. */
export function withId(item: JsonObject, property: string | undefined, id: string): JsonObject {
  if (property === undefined) return item;
  const isNumber = typeof item[property] === "number" && /^-?\d{1,15}$/.test(id);
  return { ...item, [property]: isNumber ? Number(id) : id };
}

/** Where the items stand in the answer of a list: the whole of it, or its first property that is a list of objects. */
export function listIn(
  answer: JsonValue,
): { items: JsonObject[]; put(items: JsonObject[]): JsonValue } | undefined {
  if (isItems(answer)) return { items: answer, put: (items) => items };
  if (!isObject(answer)) return undefined;
  for (const [name, value] of Object.entries(answer))
    if (isItems(value as JsonValue))
      return { items: value as JsonObject[], put: (items) => ({ ...(answer as JsonObject), [name]: items }) };
  return undefined;
}

function isItems(value: JsonValue): value is JsonObject[] {
  return Array.isArray(value) && value.length > 0 && value.every(isObject);
}
