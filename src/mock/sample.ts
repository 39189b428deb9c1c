import { createArgumentValidator } from "../openapi/arguments.js";
import { own } from "../openapi/pointer.js";
import { isOpen, propertyNames, typesOf, type Views, viewsOf } from "../openapi/views.js";
import { textFor } from "../task/names.js";
import { patternText } from "../task/patterns.js";
import {
  isObject,
  type JsonObject,
  type JsonSchema,
  type JsonSchemaObject,
  type JsonValue,
} from "../util/json.js";
import type { Random } from "../util/random.js";

export interface Sample {
  value: JsonValue;
  /** False where no try was accepted by the schema, which may then be a schema that nothing fits. */
  valid: boolean;
}

export interface ExampleSampler {
  /** A value that the schema accepts, with as much in it as is reasonable. */
  sample(schema: JsonSchemaObject, name: string, random: Random): Sample;
  /** Why a value is not accepted by the schema; empty where it is. */
  faults(schema: JsonSchemaObject, value: unknown): { pointer: string; message: string }[];
}

/** How a try goes about it: the first ones are rich, the last ones hold what is required and nothing else. */
interface Plan {
  optional: number;
  /** Depth below which optional parts are left out. */
  depth: number;
  /** Take what the schema gives as examples. */
  given: boolean;
}

const plans: readonly Plan[] = [
  { optional: 1, depth: 3, given: true },
  { optional: 1, depth: 3, given: false },
  { optional: 0.5, depth: 3, given: true },
  ...Array.from({ length: 4 }, () => ({ optional: 0, depth: 2, given: false })),
  ...Array.from({ length: 4 }, () => ({ optional: 0, depth: 0, given: true })),
  ...Array.from({ length: 8 }, () => ({ optional: 0.3, depth: 2, given: false })),
];

/** Values in one sample (long texts count for more than one): a document cannot ask for more. */
const maxValues = 2_000;
const maxText = 10_000;
const maxDepth = 24;
/** So far below the depth of a plan the shortest way out of a cycle is taken. */
const tail = 3;
const usualItems = 2;

/** Draws examples from response schemas. Ends on cyclic schemas, and bounds the size of what it gives. */
export function createExampleSampler(): ExampleSampler {
  const validator = createArgumentValidator();
  const faults: ExampleSampler["faults"] = (schema, value) => {
    const check = validator.validate({ name: "example", parameters: schema }, value);
    return check.ok ? [] : check.errors;
  };
  return {
    faults,
    sample(schema, name, random) {
      let first: JsonValue | undefined;
      let spent = 0;
      for (const [i, plan] of plans.entries()) {
        if (spent > 2 * maxValues) break;
        const sampling: Sampling = { root: schema, random: random.fork(i), plan, values: 0 };
        const value = sampleValue(sampling, schema, name, 0);
        spent += sampling.values;
        if (value === undefined) continue;
        first ??= value;
        if (faults(schema, value).length === 0) return { value, valid: true };
      }
      return { value: first ?? null, valid: false };
    },
  };
}

interface Sampling {
  root: JsonSchemaObject;
  random: Random;
  plan: Plan;
  values: number;
}

/** A place of the schema with its choices made: what all of `views` say holds. */
interface Place {
  views: JsonSchemaObject[];
  /** Values of discriminators, by property. */
  fixed: Map<string, string>;
}

/** Decides `anyOf` and `oneOf`, follows `$ref` and `allOf`. */
function decide(sampling: Sampling, schema: JsonSchema | undefined, depth: number): Place {
  const { root, random, plan } = sampling;
  const place: Place = { views: [], fixed: new Map() };
  const seen = new Set<unknown>();
  const visit = (view: unknown): void => {
    if (view === false) place.views.push({ not: {} });
    if (!isObject(view) || seen.has(view) || seen.size > 200) return;
    seen.add(view);
    const one = view as JsonSchemaObject;
    place.views.push(one);
    if (typeof one.$ref === "string") visit(own(root.$defs, one.$ref.slice("#/$defs/".length)));
    if (Array.isArray(one.allOf)) one.allOf.forEach(visit);
    for (const members of [one.oneOf, one.anyOf]) {
      if (!Array.isArray(members) || members.length === 0) continue;
      const member = pickMember(members, random, depth >= plan.depth + tail);
      visit(member);
      const { propertyName, mapping } = objectOf(one.discriminator);
      const reference = objectOf(member).$ref;
      if (typeof propertyName !== "string" || typeof reference !== "string") continue;
      const named = Object.entries(objectOf(mapping)).find(([, target]) => target === reference)?.[0];
      place.fixed.set(propertyName, named ?? reference.slice(reference.lastIndexOf("/") + 1));
    }
  };
  visit(schema);
  return place;
}

function pickMember(members: readonly JsonSchema[], random: Random, short: boolean): JsonSchema {
  const isNull = (member: JsonSchema): boolean => objectOf(member).type === "null";
  const isPlain = (member: JsonSchema): boolean =>
    !["object", "array"].includes(String(objectOf(member).type)) && objectOf(member).$ref === undefined;
  if (short) {
    const ends = members.filter((member) => isNull(member) || isPlain(member));
    if (ends.length > 0) return random.pick(ends);
  }
  const useful = members.filter((member) => member !== false && !isNull(member));
  return random.pick(useful.length > 0 ? useful : members);
}

function sampleValue(
  sampling: Sampling,
  schema: JsonSchema | undefined,
  name: string,
  depth: number,
): JsonValue | undefined {
  const { random, plan } = sampling;
  if (schema === false || depth > maxDepth || ++sampling.values > maxValues) return undefined;
  const { views, fixed } = decide(sampling, schema, depth);
  const constant = views.find((view) => view.const !== undefined);
  if (constant !== undefined) return constant.const as JsonValue;
  const choices = views.flatMap((view) => (Array.isArray(view.enum) ? [view.enum] : []));
  const [shortest] = [...choices].sort((a, b) => a.length - b.length);
  if (shortest !== undefined && shortest.length > 0) {
    const filled = shortest.filter((value) => value !== null);
    return random.pick(filled.length > 0 ? filled : shortest);
  }
  if (plan.given) {
    const given = views.flatMap((view) => (Array.isArray(view.examples) ? view.examples : []));
    if (given.length > 0) return structuredClone(given[0]) as JsonValue;
  }
  switch (typeOf(views)) {
    case "boolean":
      return random.next() < 0.5;
    case "integer":
      return sampleNumber(views, random, true);
    case "number":
      return sampleNumber(views, random, false);
    case "null":
      return null;
    case "array":
      return sampleArray(sampling, views, name, depth);
    case "object":
      return sampleObject(sampling, views, fixed, name, depth);
    default: {
      const text = sampleText(views, name, random);
      sampling.values += Math.floor(text.length / 100);
      return text;
    }
  }
}

/** The type that all views agree on, as far as they do. */
function typeOf(views: Views): string {
  const named = views.flatMap(({ type }) =>
    type === undefined ? [] : [Array.isArray(type) ? type : [type]],
  );
  const all = [...typesOf(views)];
  const shared = all.filter((type) =>
    named.every((types) => types.includes(type) || (type === "integer" && types.includes("number"))),
  );
  const usable = shared.length > 0 ? shared : all;
  const useful = usable.filter((type) => type !== "null");
  if (useful.length === 0 && usable.length > 0) return "null";
  for (const type of ["object", "array", "string", "integer", "number", "boolean"])
    if (useful.includes(type)) return type;
  if (views.some((view) => Array.isArray(view.required) || view.minProperties !== undefined)) return "object";
  if (views.some((view) => typeof view.minimum === "number" || typeof view.multipleOf === "number"))
    return "number";
  return "string";
}

function numbersAt(views: Views, key: string): number[] {
  return views.flatMap((view) => (typeof view[key] === "number" ? [view[key]] : []));
}

const highest = (views: Views, key: string, fallback: number): number =>
  Math.max(fallback, ...numbersAt(views, key));
const lowest = (views: Views, key: string, fallback: number): number =>
  Math.min(fallback, ...numbersAt(views, key));

function sampleNumber(views: Views, random: Random, whole: boolean): number {
  const [step = whole ? 1 : 0.01] = numbersAt(views, "multipleOf").sort((a, b) => b - a);
  const unit = whole ? Math.max(1, step) : step;
  let low = Math.max(
    highest(views, "minimum", -Infinity),
    highest(views, "exclusiveMinimum", -Infinity) + unit,
  );
  let high = Math.min(lowest(views, "maximum", Infinity), lowest(views, "exclusiveMaximum", Infinity) - unit);
  if (low === -Infinity) low = high >= 1 ? 1 : high - 100 * unit;
  if (high === Infinity) high = Math.max(low + 100 * unit, 1_000);
  const [from, to] = [Math.ceil(low / unit - 1e-9), Math.floor(high / unit + 1e-9)];
  if (from > to) return (low + high) / 2;
  const span = Math.min(to - from, 2 ** 30);
  return Number(((from + random.int(0, span)) * unit).toPrecision(15));
}

function sampleText(views: Views, name: string, random: Random): string {
  const least = highest(views, "minLength", 0);
  const most = Math.min(lowest(views, "maxLength", Infinity), maxText);
  for (const { pattern } of views) {
    const text = typeof pattern === "string" ? patternText(pattern, random, least, most) : null;
    if (text !== null) return text;
  }
  const find = (key: string) => views.find((view) => typeof view[key] === "string")?.[key];
  const format = find("format") as string | undefined;
  let text = textFor(name, format, String(find("description") ?? ""), random);
  while (text.length < Math.min(least, maxText)) text += ` ${textFor("word", undefined, "", random)}`;
  return text.slice(0, most).trimEnd().padEnd(Math.min(least, most), "x");
}

function sampleArray(sampling: Sampling, views: Views, name: string, depth: number): JsonValue {
  const { plan } = sampling;
  const least = highest(views, "minItems", 0);
  const most = Math.min(lowest(views, "maxItems", Infinity), maxValues);
  const listed = views.find((view) => Array.isArray(view.prefixItems))?.prefixItems as
    | JsonSchema[]
    | undefined;
  const isRich = depth < Math.max(1, plan.depth) && plan.optional > 0;
  const usual = isRich ? Math.max(usualItems, listed?.length ?? 0) : 0;
  const count = Math.min(most, Math.max(least, usual));
  const rest = views.map((view) => view.items).filter((items) => items !== undefined);
  const contained = views.flatMap((view) => (isObject(view.contains) ? [view.contains as JsonSchema] : []));
  const isSet = views.some((view) => view.uniqueItems === true);
  const singular = name.replace(/(?<=\p{L}{3})s$/u, "");
  const items: JsonValue[] = [];
  const seen = new Set<string>();
  const add = (schema: JsonSchema | undefined): void => {
    const item = sampleValue(sampling, schema, singular, depth + 1);
    const key = isSet ? JSON.stringify(item) : "";
    if (item === undefined || (isSet && seen.has(key))) return;
    seen.add(key);
    items.push(item);
  };
  for (const schema of contained) add(schema);
  const tries = isSet ? 4 * count : count;
  for (let i = 0; i < tries && items.length < count && sampling.values <= maxValues; i++)
    add(listed?.[items.length] ?? (rest.length > 1 ? { allOf: rest as JsonSchema[] } : rest[0]));
  return items;
}

function sampleObject(
  sampling: Sampling,
  views: Views,
  fixed: ReadonlyMap<string, string>,
  name: string,
  depth: number,
): JsonValue {
  const { random, plan } = sampling;
  const required = new Set(views.flatMap((view) => (Array.isArray(view.required) ? view.required : [])));
  const most = lowest(views, "maxProperties", Infinity);
  const object: JsonObject = {};
  const add = (key: string, schema: JsonSchema | undefined): void => {
    const value = fixed.get(key) ?? sampleValue(sampling, schema, key, depth + 1);
    // Also names like `__proto__` are properties of their own.
    if (value !== undefined)
      Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  };
  const declared = propertyNames(views);
  for (const key of required) if (!declared.has(key)) declared.add(key);
  for (const key of fixed.keys()) required.add(key);
  for (const key of [...declared].sort((a, b) => Number(required.has(b)) - Number(required.has(a)))) {
    const isNeeded = required.has(key);
    if (!isNeeded && (depth >= plan.depth || Object.keys(object).length >= most)) continue;
    if (!isNeeded && plan.optional < 1 && random.next() >= plan.optional) continue;
    add(key, propertySchema(views, key));
  }
  const more = propertySchema(views, undefined);
  const least = highest(views, "minProperties", 0);
  const isMap = declared.size === 0 && more !== undefined && depth < plan.depth && plan.optional > 0;
  const wanted = Math.min(Math.max(least, isMap ? 1 : 0), maxValues);
  const missing = wanted - Object.keys(object).length;
  const left = [...declared].filter((key) => !Object.hasOwn(object, key)).slice(0, Math.max(0, missing));
  for (const key of left) add(key, propertySchema(views, key));
  if (isOpen(views))
    for (let i = left.length; i < missing && sampling.values <= maxValues; i++)
      add(keyFor(views, name, random), more);
  return ordered(object, views);
}

/** What all views say about a property; about those that are not declared, where none is named. */
function propertySchema(views: Views, key: string | undefined): JsonSchema | undefined {
  const all = views.flatMap((view) => {
    const declared = key === undefined ? undefined : own(view.properties, key);
    const found = declared ?? (key === undefined ? view.additionalProperties : undefined);
    return found === undefined ? [] : [found as JsonSchema];
  });
  if (all.length === 0 && key !== undefined) return propertySchema(views, undefined);
  return all.length > 1 ? { allOf: all } : all[0];
}

function keyFor(views: Views, name: string, random: Random): string {
  const names = views.find((view) => isObject(view.propertyNames))?.propertyNames as
    | JsonSchemaObject
    | undefined;
  if (names !== undefined) {
    const [choice] = Array.isArray(names.enum) ? random.shuffle(names.enum) : [];
    return typeof choice === "string" ? choice : sampleText(viewsOf(names, names), name, random);
  }
  const patterns = views.flatMap((view) => Object.keys(objectOf(view.patternProperties)));
  return (
    (patterns[0] === undefined ? null : patternText(patterns[0], random)) ??
    textFor("key", undefined, "", random)
  );
}

/** Properties in the order of the schema. */
function ordered(object: JsonObject, views: Views): JsonObject {
  const names = [...propertyNames(views)].filter((name) => Object.hasOwn(object, name));
  const rest = Object.keys(object).filter((name) => !names.includes(name));
  return Object.fromEntries([...names, ...rest].map((name) => [name, object[name] as JsonValue]));
}

function objectOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}
