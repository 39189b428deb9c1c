import { isJsonLike } from "../openapi/body.js";
import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import type { Random } from "../util/random.js";
import { bodyValue } from "./arguments.js";
import {
  type Collection,
  Collections,
  findParts,
  idProperty,
  listIn,
  type Part,
  withId,
} from "./collections.js";
import type { MediaExamples, MockOperation } from "./operations.js";
import { bodyExample, chooseMedia, chooseResponse } from "./respond.js";
import { decodeSegment } from "./router.js";
import type { ExampleSampler } from "./sample.js";

/** What a collection has for an answer: its value, where it has one, and the place of what was created. */
export interface Played {
  value?: JsonValue;
  /** Path below the server's base path. */
  location?: string;
}

/** An operation at work on a collection. */
interface Scene {
  operation: MockOperation;
  part: Part;
  media: MediaExamples | null;
  /** Of the request, below the server's base path. */
  path: string;
}

const maxListed = 1_000;

/** Plays the parts of the operations that belong to collections. */
export class CollectionPlayer {
  readonly #parts: Map<MockOperation, Part>;
  readonly #collections = new Collections();
  readonly #sampler: ExampleSampler;
  readonly #random: Random;
  readonly #empty: boolean;

  constructor(operations: readonly MockOperation[], sampler: ExampleSampler, random: Random, empty: boolean) {
    this.#parts = findParts(operations);
    this.#sampler = sampler;
    this.#random = random;
    this.#empty = empty;
  }

  reset(): void {
    this.#collections.reset();
  }

  /** Undefined where the operation has no part, or the answer no use for the collection's items. */
  play(
    operation: MockOperation,
    path: string,
    media: MediaExamples | null,
    args: JsonObject,
  ): Played | "missing" | undefined {
    const part = this.#parts.get(operation);
    if (part === undefined) return undefined;
    if (part.role === "list") return this.#list(media, part.key, path);
    const body = bodyValue(operation.tool, args) ?? {};
    if (part.role === "create") return this.#create({ operation, part, media, path }, body);
    const at = path.lastIndexOf("/");
    const id = decodeSegment(path.slice(at + 1));
    const collection = this.#collections.at(path.slice(0, at));
    const isGone = collection.deleted.has(id) || (this.#empty && !collection.items.has(id));
    if (isGone && part.role !== "replace") return "missing";
    if (part.role !== "remove") return this.#item({ operation, part, media, path }, collection, id, body);
    collection.items.delete(id);
    collection.deleted.add(id);
    return {};
  }

  #create(scene: Scene, body: JsonObject): Played | undefined {
    const { part, path, media } = scene;
    const collection = this.#collections.at(path);
    const number = ++collection.created;
    const fresh = this.#blank(scene, `${path}/new/${number}`);
    const item = { ...fresh, ...body };
    const property = idProperty(item, part.key);
    if (property === undefined) return undefined;
    let id = String(item[property]);
    // An id that the request gives stays; one that is drawn must be new.
    while (
      !Object.hasOwn(body, property) &&
      (collection.items.has(id) || collection.deleted.has(id) || id === "")
    )
      id = typeof item[property] === "number" ? String(Number(id) + 1) : `${id}-${number}`;
    const whole = this.#fitting(withId(item, property, id), fresh, shapeOf(part, media));
    this.#collections.keep(collection, id, whole);
    const location = `${path}/${encodeURIComponent(id)}`;
    const value = this.#shown(whole, scene, location);
    return value === undefined ? { location } : { value, location };
  }

  #item(scene: Scene, collection: Collection, id: string, body: JsonObject): Played | undefined {
    const { part, path, media } = scene;
    const known = collection.items.get(id);
    const fresh = known ?? this.#blank(scene, path);
    if (fresh === undefined) return undefined;
    const start = part.role === "replace" ? this.#blank(scene, path) : fresh;
    const changed = part.role === "read" ? fresh : { ...start, ...body };
    const item = this.#fitting(withId(changed, idProperty(fresh, part.key), id), fresh, shapeOf(part, media));
    // An item that is only looked at is the same again by its seed.
    if (part.role !== "read") this.#collections.keep(collection, id, item);
    const value = this.#shown(item, scene, path);
    return value === undefined ? {} : { value };
  }

  #list(media: MediaExamples | null, key: string, path: string): Played | undefined {
    if (media?.schema === undefined || !isJsonLike(media.mediaType)) return undefined;
    const collection = this.#collections.at(path);
    const { value } = bodyExample(media, path, undefined, this.#sampler, this.#random.fork(`${path}/list`));
    const list = listIn(value);
    if (list === undefined) return undefined;
    if (!collection.listed && !this.#empty)
      for (const item of list.items) {
        const property = idProperty(item, key);
        const id = property === undefined ? undefined : String(item[property]);
        if (id !== undefined && !collection.deleted.has(id) && !collection.items.has(id))
          this.#collections.keep(collection, id, item);
      }
    collection.listed = true;
    const kept = [...collection.items.values()].slice(0, maxListed);
    const [example] = list.items;
    const ways = [
      kept,
      kept.map((item) => ({ ...example, ...item })),
      kept.map((item) => pick(item, example)),
    ];
    for (const items of ways) {
      const answer = list.put(items);
      if (this.#sampler.faults(media.schema, answer).length === 0) return { value: answer };
    }
    return undefined;
  }

  /** An item as nobody has changed it, the same for the same label. */
  #blank({ operation, part, media }: Scene, label: string): JsonObject | undefined {
    const shape = shapeOf(part, media);
    if (shape === null || !isJsonLike(shape.mediaType)) return undefined;
    const random = this.#random.fork(label);
    const { value } = bodyExample(shape, operation.tool.name, undefined, this.#sampler, random);
    return isObject(value) ? (value as JsonObject) : undefined;
  }

  /** The item, as far as the schema of what is shown allows. */
  #shown(item: JsonObject, { media, operation }: Scene, label: string): JsonObject | undefined {
    if (media?.schema === undefined || !isJsonLike(media.mediaType)) return undefined;
    if (this.#sampler.faults(media.schema, item).length === 0) return item;
    const random = this.#random.fork(`${operation.tool.name}/${label}`);
    const { value } = bodyExample(media, operation.tool.name, undefined, this.#sampler, random);
    if (!isObject(value)) return undefined;
    const merged = pick(item, value as JsonObject);
    return this.#sampler.faults(media.schema, merged).length === 0 ? merged : undefined;
  }

  /** What is sent may have properties that an item has not: then only those that an item has are kept. */
  #fitting(item: JsonObject, fresh: JsonObject | undefined, media: MediaExamples | null): JsonObject {
    const schema = media?.schema;
    if (schema === undefined || this.#sampler.faults(schema, item).length === 0) return item;
    const merged = pick(item, fresh ?? {});
    return this.#sampler.faults(schema, merged).length === 0 ? merged : item;
  }
}

/** What an item looks like: as the operation that reads one says, else as this answer does. */
function shapeOf({ read }: Part, media: MediaExamples | null): MediaExamples | null {
  const spec = read === undefined ? undefined : chooseResponse(read.responses(), undefined).spec;
  const shown = chooseMedia(spec, undefined);
  return shown && isJsonLike(shown.mediaType) ? shown : media;
}

/** The properties of an example, with the values of the item where it has them. */
function pick(item: JsonObject, example: JsonObject | undefined): JsonObject {
  if (example === undefined) return item;
  return Object.fromEntries(
    Object.entries(example).map(([name, value]) => [
      name,
      Object.hasOwn(item, name) ? (item[name] ?? null) : value,
    ]),
  );
}
