import { createArgumentValidator } from "../openapi/arguments.js";
import { isClientHeader } from "../openapi/parameters.js";
import type { Tool } from "../openapi/types.js";
import type { JsonObject, JsonSchemaObject, JsonValue } from "../util/json.js";
import type { Random } from "../util/random.js";
import { bareName, textFor } from "./names.js";
import { patternText } from "./patterns.js";
import { isDeclared, itemViews, propertyViews, schemaViews, typesOf } from "./schema.js";
import { wordsOf } from "./words.js";

export interface ValueOptions {
  /** Chance that a value the document gives (example, default) is taken where there is one. */
  documentValues: number;
  /** Chance of each optional property of a nested object. */
  nestedOptional: number;
  /** Deepest nesting of objects and arrays below an argument; optional parts below that are left out. */
  maxDepth: number;
  maxItems: number;
  /** Longest text taken from the document, in characters: longer ones are not speakable. */
  maxText: number;
  /** Tries before an operation counts as one that cannot be sampled. */
  attempts: number;
}

export const valueDefaults: ValueOptions = {
  documentValues: 0.15,
  nestedOptional: 0.35,
  maxDepth: 3,
  maxItems: 3,
  maxText: 60,
  attempts: 24,
};

export interface ValueSampler {
  /**
   * Arguments with all required parameters and the named optional ones, accepted by the tool's schema. More optional
   * ones are added where the schema asks for them. `null` when no try was accepted.
   */
  arguments(tool: Tool, optional: readonly string[], random: Random): JsonObject | null;
}

/** Names of a tool's optional parameters whose values a person can say, in schema order. */
export function optionalParameters(tool: Tool): string[] {
  const root = tool.parameters;
  const required = new Set(Array.isArray(root.required) ? root.required : []);
  return Object.keys(root.properties ?? {}).filter((name) => {
    if (required.has(name)) return false;
    const binding = Object.hasOwn(tool.bindings, name) ? tool.bindings[name] : undefined;
    if (binding !== undefined && isClientHeader(binding)) return false;
    const views = propertyViews([root], name, root);
    return !views.some(
      ({ format, readOnly }) => format === "binary" || format === "byte" || readOnly === true,
    );
  });
}

/** Draws argument values from the schemas of tools: realistic by property name, short, speakable, valid. */
export function createValueSampler(options: Partial<ValueOptions> = {}): ValueSampler {
  const settings: ValueOptions = { ...valueDefaults, ...options };
  const validator = createArgumentValidator();
  return {
    arguments(tool, optional, random) {
      const root = tool.parameters;
      const others = optionalParameters(tool);
      for (let attempt = 0; attempt < settings.attempts; attempt++) {
        const sampling: Sampling = { root, random, settings, plain: attempt >= settings.attempts / 2 };
        const views = decide(sampling, [root]);
        const required = requiredOf(views);
        const chosen = new Set([...required, ...optional]);
        // The schema may ask for more than `required` says (minProperties): widen, then simplify.
        if (attempt >= settings.attempts / 3)
          for (const name of random.sample(others, attempt % 3)) chosen.add(name);
        const args: JsonObject = {};
        for (const name of orderedKeys(root, chosen)) {
          const value = sampleValue(sampling, propertyViews(views, name, root), name, 0, required.has(name));
          if (value !== undefined) define(args, name, value);
        }
        if (validator.validate(tool, args).ok) return args;
      }
      return null;
    },
  };
}

interface Sampling {
  root: JsonSchemaObject;
  random: Random;
  settings: ValueOptions;
  /** Prefer what the document gives, and leave optional parts out: the last resort. */
  plain: boolean;
}

/** Sets an own property also for names like `__proto__`. */
function define(target: JsonObject, key: string, value: JsonValue): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}

/** Required first, else in schema order: the order in which renderings list parameters. */
function orderedKeys(schema: JsonSchemaObject, chosen: ReadonlySet<string>): string[] {
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  const known = Object.keys(schema.properties ?? {}).filter((name) => chosen.has(name));
  const extra = [...chosen].filter((name) => !known.includes(name));
  return [
    ...known.filter((name) => required.has(name)),
    ...extra,
    ...known.filter((name) => !required.has(name)),
  ];
}

function requiredOf(views: readonly JsonSchemaObject[]): Set<string> {
  return new Set(views.flatMap((view) => (Array.isArray(view.required) ? view.required : [])));
}

/** One consistent reading of a place: combinators with a choice are decided, the rest is merged. */
function decide(sampling: Sampling, views: readonly JsonSchemaObject[]): JsonSchemaObject[] {
  const { random, root } = sampling;
  const [head] = views;
  if (head === undefined) return [];
  const decided: JsonSchemaObject[] = [];
  const seen = new Set<JsonSchemaObject>();
  const visit = (schema: JsonSchemaObject): void => {
    if (seen.has(schema) || seen.size > 64) return;
    seen.add(schema);
    decided.push(schema);
    if (typeof schema.$ref === "string") {
      const target = schemaViews({ $ref: schema.$ref }, root)[1];
      if (target !== undefined) visit(target);
    }
    for (const member of Array.isArray(schema.allOf) ? schema.allOf : [])
      if (typeof member === "object") visit(member);
    for (const members of [schema.anyOf, schema.oneOf]) {
      if (!Array.isArray(members)) continue;
      const usable = members.filter((member) => typeof member === "object" && member.type !== "null");
      if (usable.length > 0) {
        const member = random.pick(usable);
        if (typeof member === "object") visit(member);
      }
    }
  };
  visit(head);
  return decided;
}

function first<T>(
  views: readonly JsonSchemaObject[],
  read: (view: JsonSchemaObject) => T | undefined,
): T | undefined {
  for (const view of views) {
    const value = read(view);
    if (value !== undefined) return value;
  }
  return undefined;
}

const numberAt = (views: readonly JsonSchemaObject[], key: string): number | undefined =>
  first(views, (view) => (typeof view[key] === "number" ? view[key] : undefined));

function sampleValue(
  sampling: Sampling,
  place: readonly JsonSchemaObject[],
  name: string,
  depth: number,
  needed: boolean,
): JsonValue | undefined {
  const { random, settings } = sampling;
  const views = decide(sampling, place);
  const constant = first(views, (view) => view.const);
  if (constant !== undefined) return constant;
  const choices = first(views, (view) =>
    Array.isArray(view.enum) && view.enum.length > 0 ? view.enum : undefined,
  );
  if (choices !== undefined)
    return random.pick(choices.filter((choice) => choice !== null || choices.length === 1));

  const given = documentValues(views, settings.maxText);
  if (given.length > 0 && (sampling.plain || random.next() < settings.documentValues))
    return random.pick(given);

  const types = [...typesOf(views)].filter((type) => type !== "null");
  const type = types.length > 0 ? random.pick(types) : impliedType(views);
  switch (type) {
    case "boolean":
      return random.next() < 0.5;
    case "integer":
      return sampleNumber(sampling, views, name, true);
    case "number":
      return sampleNumber(sampling, views, name, false);
    case "array":
      return sampleArray(sampling, views, name, depth, needed);
    case "object":
      return sampleObject(sampling, views, name, depth, needed);
    case "null":
      return null;
    default:
      return sampleText(sampling, views, name);
  }
}

function impliedType(views: readonly JsonSchemaObject[]): string {
  if (views.some((view) => view.properties !== undefined)) return "object";
  if (views.some((view) => view.items !== undefined)) return "array";
  if (views.some((view) => view.minimum !== undefined || view.maximum !== undefined)) return "number";
  return "string";
}

/** Short examples and defaults of the document. */
function documentValues(views: readonly JsonSchemaObject[], maxText: number): JsonValue[] {
  const values: JsonValue[] = [];
  for (const view of views) {
    if (Array.isArray(view.examples)) values.push(...view.examples);
    for (const value of [view.example, view.default]) if (isScalar(value)) values.push(value);
  }
  return values.filter(
    (value) =>
      isScalar(value) &&
      !(typeof value === "string" && (value.trim() === "" || value.length > maxText || /[\r\n]/.test(value))),
  );
}

function isScalar(value: unknown): value is string | number | boolean {
  return (
    typeof value === "string" ||
    typeof value === "boolean" ||
    (typeof value === "number" && Number.isFinite(value))
  );
}

/** Usual ranges by what a number is called: low, high, decimals. */
const ranges: readonly [RegExp, number, number, number][] = [
  [/^(?:lat|latitude)$/, -60, 70, 4],
  [/^(?:lng|lon|long|longitude)$/, -170, 170, 4],
  [/^(?:price|amount|cost|total|fee|budget|balance|subtotal|salary)$/, 1, 900, 2],
  [/^(?:rating|stars|score)$/, 1, 5, 1],
  [/^(?:limit|size|take|top)$/, 2, 100, 0],
  [/^(?:page|offset|skip|start|cursor|index|position)$/, 1, 60, 0],
  [/^(?:quantity|qty|count|number|guests|people|seats|items|adults|children|copies)$/, 2, 40, 0],
  [/^(?:age)$/, 18, 90, 0],
  [/^(?:year)$/, 1990, 2030, 0],
  [/^(?:month)$/, 1, 12, 0],
  [/^(?:day|days)$/, 1, 28, 0],
  [/^(?:hour|hours)$/, 1, 23, 0],
  [/^(?:minute|minutes|duration|seconds|timeout|ttl)$/, 5, 240, 0],
  [/^(?:percent|percentage|discount|rate|progress)$/, 1, 95, 0],
  [/^(?:weight|height|width|length|depth|distance|radius|temperature)$/, 2, 300, 1],
  [/^(?:port)$/, 1024, 9999, 0],
  [/^(?:timestamp|epoch|time)$/, 1_600_000_000, 1_800_000_000, 0],
];

function sampleNumber(
  sampling: Sampling,
  views: readonly JsonSchemaObject[],
  name: string,
  whole: boolean,
): number {
  const { random } = sampling;
  const last = wordsOf(bareName(name)).at(-1) ?? "";
  const usual = ranges.find(([pattern]) => pattern.test(last));
  const above = numberAt(views, "exclusiveMinimum");
  const below = numberAt(views, "exclusiveMaximum");
  const step = numberAt(views, "multipleOf");
  const decimals = whole ? 0 : (usual?.[3] ?? random.int(0, 2));
  const unit = 10 ** -decimals;
  const least = Math.max(
    numberAt(views, "minimum") ?? -Infinity,
    above === undefined ? -Infinity : above + unit,
  );
  const most = Math.min(
    numberAt(views, "maximum") ?? Infinity,
    below === undefined ? Infinity : below - unit,
  );
  let [low, high] = usual === undefined ? [1, random.pick([9, 99, 999, 99_999])] : [usual[1], usual[2]];
  // The usual range, moved and cut to what the schema allows.
  if (low < least) [low, high] = [least, Math.max(high, Math.min(most, least + (high - low)))];
  if (high > most) [low, high] = [Math.max(least, Math.min(low, most)), most];
  if (low > high) [low, high] = [Number.isFinite(least) ? least : most, Number.isFinite(most) ? most : least];
  if (step !== undefined && step > 0) {
    const [from, to] = [Math.ceil(low / step), Math.floor(high / step)];
    const factor = from <= to ? intBetween(random, from, to) : from;
    return Number((factor * step).toPrecision(12));
  }
  const [from, to] = [Math.ceil(low / unit - 1e-9), Math.floor(high / unit + 1e-9)];
  // A range narrower than the unit: take a point inside it.
  if (from > to) return whole ? Math.round(low) : (low + high) / 2;
  return Number((intBetween(random, from, to) * unit).toFixed(decimals));
}

/** `Random.int` is for 32-bit ranges; wider ones go through the unit interval. */
function intBetween(random: Random, low: number, high: number): number {
  if (Number.isSafeInteger(low) && Number.isSafeInteger(high) && high - low < 2 ** 31)
    return random.int(0, high - low) + low;
  return low + Math.floor(random.next() * Math.min(high - low, 2 ** 31));
}

function sampleText(sampling: Sampling, views: readonly JsonSchemaObject[], name: string): string {
  const { random } = sampling;
  const pattern = first(views, (view) => (typeof view.pattern === "string" ? view.pattern : undefined));
  const least = numberAt(views, "minLength") ?? 0;
  const most = numberAt(views, "maxLength") ?? Infinity;
  if (pattern !== undefined) {
    const text = patternText(pattern, random, least, most);
    if (text !== null) return text;
  }
  const format = first(views, (view) => (typeof view.format === "string" ? view.format : undefined));
  const description = first(views, (view) => view.description) ?? "";
  let text = textFor(name, format, description, random);
  for (let tries = 0; text.length < least && tries < 50; tries++)
    text += ` ${textFor("word", undefined, "", random)}`;
  if (text.length <= most) return text;
  // Whole words where some fit, else the beginning of one.
  const fitting = text.slice(0, most + 1).replace(/\s+\S*$/, "");
  return fitting.length >= Math.max(1, least) && fitting.length <= most
    ? fitting
    : text.replaceAll(" ", "").slice(0, most);
}

function sampleArray(
  sampling: Sampling,
  views: readonly JsonSchemaObject[],
  name: string,
  depth: number,
  needed: boolean,
): JsonValue | undefined {
  const { random, settings } = sampling;
  const least = numberAt(views, "minItems") ?? 0;
  if (depth >= settings.maxDepth && least === 0) return needed ? [] : undefined;
  const most = Math.min(numberAt(views, "maxItems") ?? Infinity, Math.max(least, settings.maxItems));
  const count = Math.min(most, Math.max(least, random.weighted([1, 2, 3], [0.5, 0.35, 0.15])));
  const items: JsonValue[] = [];
  const seen = new Set<string>();
  const below = itemViews(views, sampling.root);
  const singular = name.replace(/(?<=\p{L}{3})s$/u, "");
  for (let tries = 0; items.length < count && tries < count * 8; tries++) {
    const item = sampleValue(sampling, below, singular, depth + 1, true);
    const key = JSON.stringify(item);
    // Nobody lists a thing twice.
    if (item === undefined || seen.has(key)) continue;
    seen.add(key);
    items.push(item);
  }
  return items;
}

function sampleObject(
  sampling: Sampling,
  views: readonly JsonSchemaObject[],
  name: string,
  depth: number,
  needed: boolean,
): JsonValue | undefined {
  const { random, settings, root } = sampling;
  const required = requiredOf(views);
  if (depth >= settings.maxDepth && required.size === 0) return needed ? {} : undefined;
  // A required cycle has no finite value; validation turns down what is cut here.
  if (depth > settings.maxDepth + 4) return undefined;
  const declared = [...new Set(views.flatMap((view) => Object.keys(view.properties ?? {})))];
  const writable = declared.filter(
    (key) => !propertyViews(views, key, root).some((view) => view.readOnly === true),
  );
  const optional = sampling.plain
    ? []
    : writable.filter(
        (key) =>
          !required.has(key) && depth + 1 < settings.maxDepth && random.next() < settings.nestedOptional,
      );
  const chosen = new Set([...required, ...optional.slice(0, 3)]);
  // An empty object cannot be said.
  if (chosen.size === 0 && writable.length > 0) chosen.add(random.pick(writable));
  const object: JsonObject = {};
  for (const key of declared.length > 0
    ? [...declared.filter((key) => chosen.has(key)), ...[...chosen].filter((key) => !isDeclared(views, key))]
    : chosen) {
    const value = sampleValue(sampling, propertyViews(views, key, root), key, depth + 1, required.has(key));
    if (value !== undefined) define(object, key, value);
  }
  const map = views.flatMap((view) => schemaViews(view.additionalProperties, root));
  if (declared.length === 0 && map.length > 0) {
    const value = sampleValue(sampling, map, name, depth + 1, true);
    if (value !== undefined) define(object, textFor("key", undefined, "", random), value);
  }
  return object;
}
