import { own } from "../../openapi/pointer.js";
import { isObject, type JsonSchema, type JsonSchemaObject, type JsonValue } from "../../util/json.js";
import { repeat } from "./notation.js";
import { decimalNumbers, wholeNumbers } from "./numbers.js";
import { patternGrammar } from "./pattern.js";

/** Limits that keep a grammar, and what a model without sense may write under it, finite. */
export interface GrammarLimits {
  /** Most calls of one answer. */
  calls: number;
  /** Longest string without `maxLength`, in characters. */
  string: number;
  /** Longest list without `maxItems`. */
  items: number;
  /** Objects and lists inside each other; below, only what is required is written. */
  depth: number;
}

/** Properties as the compact rendering lists them (required ones first), or as the schema does. */
export type PropertyOrder = "required-first" | "declared";

/** Rules by name, each text once. */
export class Rules {
  /** What stands between members, and between a key and its value. */
  readonly comma: string;
  readonly colon: string;
  readonly #names = new Map<string, string>();
  readonly #lines: string[] = [];

  /** `spaced`: a space may follow commas and colons, as many models write JSON. */
  constructor(spaced = false) {
    this.comma = spaced ? '"," " "?' : '","';
    this.colon = spaced ? '":" " "?' : '":"';
  }

  /** The name of a rule with this body. */
  add(hint: string, body: string): string {
    const known = this.#names.get(body);
    if (known !== undefined) return known;
    const name = `${hint.replaceAll(/[^A-Za-z0-9]+/g, "-").replace(/^-+|-+$/g, "") || "r"}-${this.#names.size}`;
    this.#names.set(body, name);
    this.#lines.push(`${name} ::= ${body}`);
    return name;
  }

  text(root: string): string {
    return `root ::= ${root}\n${this.#lines.join("\n")}\n`;
  }
}

/** Text of a JSON value as the model is trained to write it, as a GBNF literal. */
export function literal(text: string): string {
  // As in an answer: a tag inside of a value would end it.
  const safe = /<\/?(?:question|tool_call_answer|think)>/.test(text) ? text.replaceAll("<", "\\u003c") : text;
  const escaped = [...safe].map((char) => {
    const code = char.codePointAt(0) ?? 0;
    if (char === '"' || char === "\\") return `\\${char}`;
    if (char === "\n") return "\\n";
    if (code >= 0x20 && code !== 0x7f) return char;
    return `\\x${code.toString(16).padStart(2, "0")}`;
  });
  return `"${escaped.join("")}"`;
}

const json = (value: JsonValue): string => literal(JSON.stringify(value));

/** Rules of the values that the schemas of one tool allow. */
export class SchemaGrammar {
  readonly #flat = new WeakMap<object, Flat[]>();
  readonly #done = new WeakMap<object, Map<number, string | undefined>>();

  constructor(
    private readonly root: JsonSchemaObject,
    private readonly rules: Rules,
    private readonly order: PropertyOrder,
    private readonly limits: GrammarLimits,
  ) {}

  /** The rule of a schema's values; undefined where the grammar knows none. */
  value(schema: JsonSchema | undefined, depth = 0): string | undefined {
    if (schema === false || depth > this.limits.depth + hardDepth) return undefined;
    if (schema === undefined || schema === true) return this.#anything(depth);
    const known = this.#done.get(schema) ?? new Map<number, string | undefined>();
    this.#done.set(schema, known);
    if (known.has(depth)) return known.get(depth);
    // A schema that needs itself at the same depth has no finite value.
    known.set(depth, undefined);
    const options = this.#alternatives(schema).flatMap((flat) => this.#simple(flat, depth) ?? []);
    const name = options.length === 0 ? undefined : this.rules.add("v", [...new Set(options)].join(" | "));
    known.set(depth, name);
    return name;
  }

  #simple(schema: Flat, depth: number): string | undefined {
    if (schema.impossible === true) return undefined;
    if (schema.const !== undefined) return json(schema.const);
    if (Array.isArray(schema.enum)) {
      const values = schema.enum.filter((value) => hasType(value, schema.type));
      return values.length === 0 ? undefined : values.map(json).join(" | ");
    }
    const types = typesOf(schema);
    if (types === undefined) return this.#anything(depth);
    const options = types.flatMap((type) => this.#ofType(type, schema, depth) ?? []);
    return options.length === 0 ? undefined : options.join(" | ");
  }

  #ofType(type: string, schema: Flat, depth: number): string | undefined {
    switch (type) {
      case "null":
        return '"null"';
      case "boolean":
        return '"true" | "false"';
      case "integer":
      case "number":
        return this.#number(schema, type === "integer");
      case "string":
        return this.#string(schema);
      case "array":
        return this.#array(schema, depth);
      case "object":
        return this.#object(schema, depth);
      default:
        return undefined;
    }
  }

  #number(schema: Flat, integer: boolean): string | undefined {
    const step = numberOf(schema.multipleOf);
    const whole = integer || (step !== undefined && Number.isInteger(step));
    const nudge = whole ? 1 : 1e-6;
    let low = numberOf(schema.minimum);
    let high = numberOf(schema.maximum);
    const above = numberOf(schema.exclusiveMinimum);
    const below = numberOf(schema.exclusiveMaximum);
    if (above !== undefined) low = Math.max(low ?? -Infinity, whole ? Math.floor(above) + 1 : above + nudge);
    if (below !== undefined) high = Math.min(high ?? Infinity, whole ? Math.ceil(below) - 1 : below - nudge);
    if (schema.format === "int32") {
      low = Math.max(low ?? -Infinity, -(2 ** 31));
      high = Math.min(high ?? Infinity, 2 ** 31 - 1);
    }
    if (!whole) {
      const decimals = step === undefined ? 15 : Math.max(0, Math.round(-Math.log10(step)));
      const body = decimalNumbers(low, high, decimals);
      return body === undefined ? undefined : this.rules.add("number", body);
    }
    // A multiple of 10 ends in 0; other steps are left to the check.
    const zeros = step === undefined ? 0 : Math.max(0, Math.round(Math.log10(step)));
    const tens = zeros > 0 && 10 ** zeros === step ? 10 ** zeros : 1;
    const body = wholeNumbers({
      low: low === undefined ? undefined : bigintOf(Math.ceil(low / tens)),
      high: high === undefined ? undefined : bigintOf(Math.floor(high / tens)),
    });
    if (body === undefined) return undefined;
    return this.rules.add("integer", tens === 1 ? body : `${body} "${"0".repeat(zeros)}"`);
  }

  #string(schema: Flat): string | undefined {
    const { rules } = this;
    const [least, most] = [numberOf(schema.minLength) ?? 0, numberOf(schema.maxLength)];
    if (most !== undefined && most < least) return undefined;
    const fits = (low: number, high: number): boolean => low >= least && (most === undefined || high <= most);
    if (typeof schema.pattern === "string") {
      const inside = patternGrammar(schema.pattern);
      if (inside !== undefined) return rules.add("pattern", `"\\"" (${inside}) "\\""`);
    }
    const format = typeof schema.format === "string" ? formatRule(schema.format, rules) : undefined;
    if (format !== undefined && fits(...format.lengths))
      return rules.add("string", `"\\"" ${format.name} "\\""`);
    const char = rules.add("char", most === undefined ? freeBody : charBody);
    const high = Math.max(least, Math.min(most ?? this.limits.string, this.limits.string));
    return rules.add("string", `"\\"" ${repeat(char, least, high)} "\\""`);
  }

  #array(schema: Flat, depth: number): string | undefined {
    const [least, most] = [numberOf(schema.minItems) ?? 0, numberOf(schema.maxItems)];
    const prefix = Array.isArray(schema.prefixItems) ? (schema.prefixItems as JsonSchema[]) : [];
    const high = Math.max(least, Math.min(most ?? this.limits.items, this.limits.items));
    if (least > (most ?? least) || least > 200) return undefined;
    if (prefix.length > 0) {
      const rules = prefix.slice(0, high).map((item) => this.value(item, depth + 1));
      return rules.every((rule) => rule !== undefined)
        ? this.rules.add("tuple", `"[" ${rules.join(` ${this.rules.comma} `)} "]"`)
        : undefined;
    }
    if (depth > this.limits.depth && least === 0) return '"[]"';
    const distinct = schema.uniqueItems === true ? this.#distinct(schema.items, least, high) : undefined;
    if (distinct !== undefined) return distinct;
    const item = this.value(schema.items, depth + 1);
    if (item === undefined) return least === 0 ? '"[]"' : undefined;
    if (high === 0) return '"[]"';
    const filled = `${item} ${repeat(`(${this.rules.comma} ${item})`, Math.max(least - 1, 0), high - 1)}`;
    return this.rules.add("array", `"[" ${least === 0 ? `(${filled})?` : filled} "]"`);
  }

  /** Lists of different values of an enumeration: any order of few values, of many only the enumeration's. */
  #distinct(items: JsonSchema | undefined, least: number, most: number): string | undefined {
    if (!isObject(items)) return undefined;
    const values = this.#alternatives(items as JsonSchemaObject).flatMap((flat) =>
      Array.isArray(flat.enum) ? flat.enum.filter((value) => hasType(value, flat.type)) : [undefined],
    );
    if (values.includes(undefined) || values.length > 64 || least > values.length) return undefined;
    const written = [...new Set(values.map((value) => json(value ?? null)))];
    const { rules } = this;
    const anyOrder = written.length <= 5;
    /** The rest of the list after `count` values, of those that are left. */
    const rest = (left: readonly string[], count: number): string => {
      const options = count >= least ? ['""'] : [];
      if (count < most)
        for (const [i, value] of left.entries()) {
          const others = anyOrder ? left.filter((other) => other !== value) : left.slice(i + 1);
          if (count + 1 + others.length < least) continue;
          options.push(
            `${count === 0 ? "" : `${rules.comma} `}${value} ${rest(others, Math.min(count + 1, 64))}`,
          );
        }
      return rules.add("distinct", options.join(" | "));
    };
    return rules.add("array", `"[" ${rest(written, 0)} "]"`);
  }

  #object(schema: Flat, depth: number): string | undefined {
    const properties = schema.properties ?? {};
    const required = new Set(schema.required ?? []);
    const names = Object.keys(properties);
    for (const name of required) if (!names.includes(name)) names.push(name);
    if (names.length === 0) return this.#map(schema, depth);
    const deep = depth > this.limits.depth;
    const ordered =
      this.order === "declared"
        ? names
        : [...names.filter((name) => required.has(name)), ...names.filter((name) => !required.has(name))];
    const members: { text: string; needed: boolean }[] = [];
    for (const name of ordered) {
      const needed = required.has(name);
      if (!needed && (deep || schema.dropped?.has(name))) continue;
      const own = Object.hasOwn(properties, name) ? properties[name] : schema.additionalProperties;
      const value = this.value(own, depth + 1);
      if (value !== undefined) members.push({ text: `${json(name)} ${this.rules.colon} ${value}`, needed });
      else if (needed) return undefined;
    }
    return this.#members(members, Math.min(numberOf(schema.minProperties) ?? 0, members.length));
  }

  /** Any selection of the members that has all needed ones, in their order; at least one where `least` asks for it. */
  #members(members: readonly { text: string; needed: boolean }[], least: number): string {
    const { rules } = this;
    let after = '""';
    let first = least > 0 ? undefined : '""';
    for (const { text, needed } of [...members].reverse()) {
      const start = `${text} ${after}`;
      const skipped = needed ? undefined : first;
      first = rules.add("first", skipped === undefined ? start : `${start} | ${skipped}`);
      const next = `${rules.comma} ${text} ${after}`;
      after = rules.add("next", needed ? next : `${next} | ${after}`);
    }
    return `"{" ${first ?? '""'} "}"`;
  }

  #map(schema: Flat, depth: number): string {
    const open = schema.additionalProperties;
    const value =
      depth > this.limits.depth || open === false ? undefined : this.value(open as JsonSchema, depth + 1);
    if (value === undefined) return '"{}"';
    const key = this.#key();
    const high = Math.min(this.limits.items, numberOf(schema.maxProperties) ?? this.limits.items);
    const filled = `${key} ${value} ${repeat(`(${this.rules.comma} ${key} ${value})`, 0, Math.max(high - 1, 0))}`;
    return this.rules.add(
      "map",
      `"{" ${(numberOf(schema.minProperties) ?? 0) > 0 ? filled : `(${filled})?`} "}"`,
    );
  }

  #key(): string {
    const { rules } = this;
    return rules.add("key", `"\\"" ${rules.add("char", charBody)}{1,40} "\\"" ${rules.colon}`);
  }

  #anything(depth: number): string {
    const { rules, limits } = this;
    const string = rules.add(
      "string",
      `"\\"" ${repeat(rules.add("char", charBody), 0, limits.string)} "\\""`,
    );
    const number = rules.add("number", decimalNumbers(undefined, undefined, 15) ?? "");
    const plain = `${string} | ${number} | "true" | "false" | "null"`;
    if (depth > limits.depth - 2) return rules.add("any", plain);
    const inner = this.#anything(Math.max(depth + 1, limits.depth - 3));
    const key = this.#key();
    const many = (item: string): string =>
      `(${item} ${repeat(`(${rules.comma} ${item})`, 0, limits.items - 1)})?`;
    const list = `"[" ${many(inner)} "]"`;
    const object = `"{" ${many(`${key} ${inner}`)} "}"`;
    return rules.add("any", `${plain} | ${list} | ${object}`);
  }

  /** A schema as alternatives without references, `allOf`, `anyOf` and `oneOf`. */
  #alternatives(schema: JsonSchemaObject): Flat[] {
    const known = this.#flat.get(schema);
    if (known !== undefined) return known;
    // While a schema is being read, what refers back to it adds nothing.
    this.#flat.set(schema, []);
    const result = this.#expand(schema);
    this.#flat.set(schema, result);
    return result;
  }

  #expand(schema: JsonSchemaObject): Flat[] {
    const { $ref, $defs: _, allOf, anyOf, oneOf, ...rest } = schema;
    let found: Flat[] = [rest as Flat];
    const both = (others: readonly Flat[]): void => {
      found = found.flatMap((left) => others.map((right) => merge(left, right))).slice(0, maxAlternatives);
    };
    if (typeof $ref === "string") both(this.#read(this.#target($ref)));
    for (const part of allOf ?? []) both(this.#read(part));
    if (Array.isArray(anyOf)) both(anyOf.flatMap((part) => this.#read(part)));
    if (Array.isArray(oneOf)) both(exclusive(oneOf.map((part) => this.#read(part))));
    return found;
  }

  #read(schema: JsonSchema | undefined): Flat[] {
    if (schema === false) return [];
    return isObject(schema) ? this.#alternatives(schema as JsonSchemaObject) : [{}];
  }

  #target(reference: string): JsonSchema {
    const name = reference.startsWith("#/$defs/") ? reference.slice("#/$defs/".length) : "";
    return (own(this.root.$defs, name) ?? true) as JsonSchema;
  }
}

const maxAlternatives = 48;
/** How far below `limits.depth` what is required may go: a schema may require itself without end. */
const hardDepth = 16;

/** A schema without references and alternatives. */
interface Flat extends JsonSchemaObject {
  /** No value fits. */
  impossible?: boolean;
  /** Optional properties that are not written, since they would make the value fit another alternative, too. */
  dropped?: Set<string>;
}

/**
 * Alternatives of which a value may fit one only. A property that another alternative requires is left out, so that the
 * value does not fit that one; an integer is left to the alternative that wants integers.
 */
function exclusive(parts: readonly (readonly Flat[])[]): Flat[] {
  const whole = parts.some((part) => part.some((flat) => typesOf(flat)?.includes("integer")));
  return parts.flatMap((part, i) =>
    part.map((flat) => {
      const mine = new Set(flat.required ?? []);
      const dropped = new Set(flat.dropped);
      for (const [j, other] of parts.entries())
        if (j !== i)
          for (const { required = [] } of other)
            for (const name of required) if (!mine.has(name)) dropped.add(name);
      const types = typesOf(flat);
      const number = whole && types?.includes("number") && types.length > 1;
      return {
        ...flat,
        ...(dropped.size > 0 ? { dropped } : {}),
        ...(number ? { type: types?.filter((type) => type !== "number") } : {}),
      } as Flat;
    }),
  );
}

/** What both schemas allow, as far as the grammar can say it. */
function merge(left: Flat, right: Flat): Flat {
  const result: Flat = { ...left, ...right };
  const types = typesOf(left, false);
  const others = typesOf(right, false);
  if (types !== undefined && others !== undefined) {
    const shared = types.filter(
      (type) => others.includes(type) || (type === "integer" && others.includes("number")),
    );
    if (types.includes("number") && others.includes("integer") && !shared.includes("integer"))
      shared.push("integer");
    result.type = shared;
    if (shared.length === 0) result.impossible = true;
  }
  if (left.impossible === true) result.impossible = true;
  if (Array.isArray(left.enum) && Array.isArray(right.enum)) {
    const kept = new Set(right.enum.map((value) => JSON.stringify(value)));
    result.enum = left.enum.filter((value) => kept.has(JSON.stringify(value)));
  }
  const required = [...new Set([...(left.required ?? []), ...(right.required ?? [])])];
  if (required.length > 0) result.required = required;
  if (left.dropped !== undefined || right.dropped !== undefined)
    result.dropped = new Set([...(left.dropped ?? []), ...(right.dropped ?? [])]);
  if (left.properties !== undefined && right.properties !== undefined) {
    const properties = new Map<string, JsonSchema>(Object.entries(left.properties));
    for (const [name, schema] of Object.entries(right.properties)) {
      const before = properties.get(name);
      const same = before === undefined || JSON.stringify(before) === JSON.stringify(schema);
      properties.set(name, same ? schema : { allOf: [before, schema] });
    }
    result.properties = Object.fromEntries(properties);
  }
  for (const [name, choose] of [
    ["minimum", Math.max],
    ["exclusiveMinimum", Math.max],
    ["minLength", Math.max],
    ["minItems", Math.max],
    ["minProperties", Math.max],
    ["maximum", Math.min],
    ["exclusiveMaximum", Math.min],
    ["maxLength", Math.min],
    ["maxItems", Math.min],
    ["maxProperties", Math.min],
  ] as const) {
    const [a, b] = [numberOf(left[name]), numberOf(right[name])];
    if (a !== undefined && b !== undefined) result[name] = choose(a, b);
  }
  return result;
}

/** The types that a schema names, or that its keywords speak of; undefined for all. */
function typesOf(schema: Flat, guess = true): string[] | undefined {
  if (typeof schema.type === "string") return [schema.type];
  if (Array.isArray(schema.type)) return schema.type.map(String);
  if (!guess) return undefined;
  if (
    schema.properties !== undefined ||
    schema.required !== undefined ||
    isObject(schema.additionalProperties)
  )
    return ["object"];
  if (schema.items !== undefined || schema.prefixItems !== undefined) return ["array"];
  if (schema.pattern !== undefined || schema.maxLength !== undefined || schema.minLength !== undefined)
    return ["string"];
  if (typeof schema.format === "string" && isStringFormat(schema.format)) return ["string"];
  if (schema.minimum !== undefined || schema.maximum !== undefined || schema.multipleOf !== undefined)
    return ["number"];
  return undefined;
}

function hasType(value: JsonValue, type: string | string[] | undefined): boolean {
  if (type === undefined) return true;
  const types = typeof type === "string" ? [type] : type;
  const actual =
    value === null
      ? "null"
      : Array.isArray(value)
        ? "array"
        : typeof value === "object"
          ? "object"
          : typeof value;
  return (
    types.includes(actual) || (actual === "number" && Number.isInteger(value) && types.includes("integer"))
  );
}

const numberOf = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined;
const bigintOf = (value: number): bigint => BigInt(Math.max(-1e18, Math.min(1e18, value)));

/** One character of a string as JSON.stringify writes it; a `<`, which might begin a tag, only escaped. */
const charBody = '[^"\\\\<\\x00-\\x1f\\x7f-\\x9f] | "\\\\" (["\\\\/bfnrt] | "u00" [01] [0-9a-f] | "u003c")';
/** The same where nobody counts: a `<` may stand before what begins no tag. */
const freeBody = `${charBody} | "<" [ =0-9-]`;

interface Format {
  name: string;
  /** Fewest and most characters. */
  lengths: [number, number];
}

const day =
  '("02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]) | ("04" | "06" | "09" | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | ("01" | "03" | "05" | "07" | "08" | "10" | "12") "-" ("0" [1-9] | [12] [0-9] | "3" [01]))';
const date = `[0-9]{4} "-" ${day}`;
const time =
  '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [+-] ("0" [0-9] | "1" [0-3]) ":" [0-5] [0-9])';
const hex = "[0-9a-fA-F]";
const label = "[A-Za-z0-9] ([A-Za-z0-9-]{0,30} [A-Za-z0-9])?";
const host = `${label} ("." ${label}){0,4}`;
const byte = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9]? [0-9])';
const path = "([A-Za-z0-9._~!$&'()*+,;=:@/-]){0,120}";
const email = `[A-Za-z0-9_+-]{1,40} ("." [A-Za-z0-9_+-]{1,30}){0,2} "@" ${label} ("." ${label}){1,3}`;
const uri = `[A-Za-z] [A-Za-z0-9+.-]{1,9} "://" ${host} (":" [1-9] [0-9]{0,3})? ("/" ${path})? ("?" ${path})? ("#" ${path})?`;

/** Formats of strings: less than each allows, never more. */
const formatBodies: Readonly<Record<string, [body: string, least: number, most: number]>> = {
  date: [date, 10, 10],
  time: [time, 9, 21],
  "date-time": [`${date} "T" ${time}`, 20, 32],
  duration: ['"P" ([0-9]{1,3} "D" | [0-9]{1,3} "W" | "T" [0-9]{1,4} [HMS])', 3, 8],
  uuid: [`${hex}{8} "-" ${hex}{4} "-" ${hex}{4} "-" ${hex}{4} "-" ${hex}{12}`, 36, 36],
  email: [email, 5, 300],
  hostname: [host, 1, 170],
  ipv4: [`${byte} "." ${byte} "." ${byte} "." ${byte}`, 7, 15],
  ipv6: [`${hex}{1,4} (":" ${hex}{1,4}){7}`, 15, 39],
  uri: [uri, 8, 600],
  url: [uri, 8, 600],
  "uri-reference": [`(${uri} | "/" ${path})`, 1, 600],
  byte: ['([A-Za-z0-9+/]{4}){0,60} ([A-Za-z0-9+/]{2} "==" | [A-Za-z0-9+/]{3} "=")?', 0, 244],
  "json-pointer": ['("/" [A-Za-z0-9_-]{0,40}){0,6}', 0, 250],
  regex: ["[A-Za-z0-9 _-]{0,120}", 0, 120],
};

const isStringFormat = (format: string): boolean => Object.hasOwn(formatBodies, format);

function formatRule(format: string, rules: Rules): Format | undefined {
  const entry = Object.hasOwn(formatBodies, format) ? formatBodies[format] : undefined;
  if (entry === undefined) return undefined;
  const [body, least, most] = entry;
  return { name: rules.add(format, body), lengths: [least, most] };
}
