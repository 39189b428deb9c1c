import { isObject, type JsonSchema, type JsonSchemaObject, type JsonValue } from "../util/json.js";
import { hash32 } from "../util/random.js";
import { unicodePattern } from "./pattern.js";
import { isShallow, isTrue, own, pointerTo, schemaList, textOf } from "./pointer.js";
import { type References, type Resolution, referenceOf, unresolvedDiagnostic } from "./references.js";
import type { Diagnostic, OpenApiVersion } from "./types.js";

/** `request` leaves out what is `readOnly`, `response` what is `writeOnly`. */
export type Direction = "request" | "response";

const maxInlineDepth = 100;
/**
 * Names that the lists of definitions may have together. Beyond it (a long chain of schemas, each the root of another
 * operation) the further operations get all definitions instead of those that they reach.
 */
const maxListed = 2_000_000;
/** Schemas that may apply to one value, through references. */
const maxInPlace = 20_000;
const inPlaceKeywords = [..."$ref allOf anyOf oneOf not if then else dependentSchemas".split(" ")];
const definitionsPrefix = "#/$defs/";
const jsonTypes = new Set(["string", "number", "integer", "boolean", "object", "array", "null"]);
/** Names of types that documents use although no schema language knows them. */
const typeAliases = new Map<string, { type: string; format?: string }>([
  ["int", { type: "integer" }],
  ["int32", { type: "integer", format: "int32" }],
  ["int64", { type: "integer", format: "int64" }],
  ["long", { type: "integer", format: "int64" }],
  ["float", { type: "number", format: "float" }],
  ["double", { type: "number", format: "double" }],
  ["decimal", { type: "number" }],
  ["bool", { type: "boolean" }],
  ["str", { type: "string" }],
  ["text", { type: "string" }],
  ["date", { type: "string", format: "date" }],
  ["datetime", { type: "string", format: "date-time" }],
  ["date-time", { type: "string", format: "date-time" }],
  ["timestamp", { type: "string", format: "date-time" }],
  ["uuid", { type: "string", format: "uuid" }],
  ["file", { type: "string", format: "binary" }],
  ["list", { type: "array" }],
  ["dict", { type: "object" }],
  ["map", { type: "object" }],
]);

const textKeywords = ["title", "description", "format", "contentMediaType", "contentEncoding", "$comment"];
const flagKeywords = ["deprecated", "readOnly", "writeOnly", "uniqueItems"];
const isCount = (value: number): boolean => Number.isInteger(value) && value >= 0;
const numberTests: [string, (value: number) => boolean][] = [
  ["minimum", Number.isFinite],
  ["maximum", Number.isFinite],
  ..."minLength maxLength minItems maxItems minProperties maxProperties minContains maxContains"
    .split(" ")
    .map((keyword): [string, typeof isCount] => [keyword, isCount]),
  ["multipleOf", (value) => Number.isFinite(value) && value > 0],
];
const schemaKeywords = [
  ..."additionalProperties items not if then else contains propertyNames unevaluatedProperties".split(" "),
  "unevaluatedItems",
  "contentSchema",
];
const schemaListKeywords = ["allOf", "anyOf", "oneOf", "prefixItems"];
const schemaMapKeywords = ["properties", "patternProperties", "dependentSchemas"];

/** Which of the steps of a conversion a keyword concerns: a schema has few keywords, and most steps none of them. */
const step = {
  ...{ types: 1, texts: 2, flags: 4, examples: 8, numbers: 16, values: 32, required: 64 },
  ...{ schemas: 128, lists: 256, maps: 512, others: 1_024 },
};
const steps = new Map<string, number>([["type", step.types]]);
for (const [keywords, bits] of [
  [textKeywords, step.texts],
  [flagKeywords, step.flags],
  [["default", "examples", "example", "x-example"], step.examples],
  [[...numberTests.map(([keyword]) => keyword), "exclusiveMinimum", "exclusiveMaximum"], step.numbers],
  // An `enum` may turn out to be that of the items.
  [["const", "pattern", "enum"], step.values | step.schemas],
  [schemaKeywords, step.schemas],
  [schemaListKeywords, step.lists],
  [schemaMapKeywords, step.maps],
  [["dependentRequired", "$defs"], step.others],
  [["required"], step.required],
  [["properties"], step.maps | step.required],
  [["allOf"], step.lists | step.required],
] as const)
  for (const keyword of keywords) steps.set(keyword, bits);

const noNames: ReadonlySet<string> = new Set();

interface Definition {
  name: string;
  schema: JsonSchema;
  /** Names of the definitions that it refers to. */
  refs: Set<string>;
}

/**
 * Turns the schemas of one document into JSON Schema 2020-12. References become references to `#/$defs/...`; what they
 * lead to is converted once for each direction and shared by all results, so do not change a result.
 */
export class SchemaConverter {
  readonly #references: References;
  readonly #version: OpenApiVersion;
  readonly #report: (diagnostic: Diagnostic) => void;
  readonly #names = new Map<string, string>();
  readonly #places = new Map<string, string>();
  readonly #definitions = { request: new Map<string, Definition>(), response: new Map<string, Definition>() };
  readonly #closures = {
    request: new Map<string, ReadonlySet<string>>(),
    response: new Map<string, ReadonlySet<string>>(),
  };
  readonly #unions = { request: new Map<string, Set<string>>(), response: new Map<string, Set<string>>() };
  readonly #packed = {
    request: new Map<ReadonlySet<string>, Record<string, JsonSchema>>(),
    response: new Map<ReadonlySet<string>, Record<string, JsonSchema>>(),
  };
  readonly #converted = {
    request: new WeakMap<object, JsonSchema>(),
    response: new WeakMap<object, JsonSchema>(),
  };
  /** Names of the definitions that a converted schema refers to directly. */
  readonly #directRefs = new WeakMap<object, ReadonlySet<string>>();
  readonly #omitted = {
    request: new WeakMap<object, ReadonlySet<string>>(),
    response: new WeakMap<object, ReadonlySet<string>>(),
  };
  /** By reference: the definition that it leads to, once that is known. */
  readonly #defined = { request: new Map<string, string>(), response: new Map<string, string>() };
  readonly #pending: { name: string; value: unknown; pointer: string; direction: Direction }[] = [];
  /** How many schemas apply to one value of a definition; of those that were looked at. */
  readonly #costs = new Map<Definition, number>();
  #refs = new Set<string>();
  /** Names in all lists of definitions that were made. */
  #listed = 0;
  readonly #everything: Partial<Record<Direction, Record<string, JsonSchema>>> = {};

  constructor(references: References, version: OpenApiVersion, report: (diagnostic: Diagnostic) => void) {
    this.#references = references;
    this.#version = version;
    this.#report = report;
  }

  /** One schema, without the definitions it refers to. Whoever refers to the same one shares the result. */
  convert(schema: unknown, pointer: string, direction: Direction): JsonSchema {
    if (!isObject(schema)) return this.#convert(schema, pointer, direction, 0);
    const known = this.#converted[direction].get(schema);
    if (known !== undefined) return known;
    const refs = this.#refs;
    this.#refs = new Set();
    const result = this.#convert(schema, pointer, direction, 0);
    this.#converted[direction].set(schema, result);
    if (typeof result === "object") this.#directRefs.set(result, this.#refs);
    this.#refs = refs;
    return result;
  }

  /** A schema that has the parts of another, and so the same references. */
  derive(from: JsonSchema, schema: JsonSchemaObject): JsonSchemaObject {
    const refs = typeof from === "object" ? this.#directRefs.get(from) : undefined;
    if (refs !== undefined) this.#directRefs.set(schema, refs);
    return schema;
  }

  /** Adds to a schema the `$defs` that it needs, and only those. */
  complete(schema: JsonSchemaObject, direction: Direction): JsonSchemaObject {
    this.#drain();
    const roots = [...this.#referenced(schema)].sort();
    const [first] = roots;
    if (first === undefined) return schema;
    if (this.#listed > maxListed) return { ...schema, $defs: this.#all(direction) };
    if (roots.length === 1)
      return { ...schema, $defs: this.#pack(this.#closure(first, direction), direction) };
    const key = roots.join("\n");
    let union = this.#unions[direction].get(key);
    if (union === undefined) {
      union = new Set();
      for (const root of roots) for (const name of this.#closure(root, direction)) union.add(name);
      this.#unions[direction].set(key, union);
      this.#listed += union.size;
    }
    return { ...schema, $defs: this.#pack(union, direction) };
  }

  /** Every definition, in one object that grows with them. */
  #all(direction: Direction): Record<string, JsonSchema> {
    let all = this.#everything[direction];
    if (all === undefined) {
      all = {};
      for (const { name, schema } of this.#definitions[direction].values()) all[name] = schema;
      this.#everything[direction] = all;
    }
    return all;
  }

  /** Names of the definitions that a schema refers to directly. */
  #referenced(schema: JsonSchemaObject): Set<string> {
    const found = new Set<string>();
    const add = (reference: unknown): void => {
      if (typeof reference === "string" && reference.startsWith(definitionsPrefix))
        found.add(reference.slice(definitionsPrefix.length));
    };
    const stack: object[] = [schema];
    const push = (value: unknown): void => {
      if (typeof value === "object" && value !== null) stack.push(value);
    };
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const known = this.#directRefs.get(next);
      if (known !== undefined) {
        for (const name of known) found.add(name);
        continue;
      }
      if (Array.isArray(next)) {
        next.forEach(push);
        continue;
      }
      const value = next as JsonSchemaObject;
      for (const key of Object.keys(value)) {
        const below = value[key];
        if (key === "$ref") add(below);
        if (typeof below !== "object" || below === null || dataKeywords.has(key)) continue;
        if (key === "discriminator") {
          const mapping = own(below, "mapping");
          if (isObject(mapping)) Object.values(mapping).forEach(add);
        } else if (schemaMapKeywords.includes(key)) Object.values(below).forEach(push);
        else stack.push(below);
      }
    }
    return found;
  }

  /** All definitions that one reaches, itself included. Definitions that reach each other share one set. */
  #closure(root: string, direction: Direction): ReadonlySet<string> {
    const closures = this.#closures[direction];
    const known = closures.get(root);
    if (known !== undefined) return known;
    const definitions = this.#definitions[direction];
    const reached = new Set<string>();
    const users = new Map<string, string[]>();
    const stack = [root];
    for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
      if (reached.has(name)) continue;
      reached.add(name);
      for (const next of definitions.get(name)?.refs ?? []) {
        const list = users.get(next);
        if (list === undefined) users.set(next, [name]);
        else list.push(name);
        const finished = closures.get(next);
        if (finished === undefined) stack.push(next);
        else for (const member of finished) reached.add(member);
      }
    }
    this.#listed += reached.size;
    const back = [root];
    for (let name = back.pop(); name !== undefined; name = back.pop()) {
      if (closures.has(name)) continue;
      closures.set(name, reached);
      back.push(...(users.get(name) ?? []));
    }
    return reached;
  }

  #pack(names: ReadonlySet<string>, direction: Direction): Record<string, JsonSchema> {
    const known = this.#packed[direction].get(names);
    if (known !== undefined) return known;
    const definitions = this.#definitions[direction];
    const $defs: Record<string, JsonSchema> = {};
    for (const name of [...names].sort()) $defs[name] = definitions.get(name)?.schema ?? true;
    this.#packed[direction].set(names, $defs);
    this.#listed += names.size;
    return $defs;
  }

  /** Is a property left out in this direction? Looks through references. */
  isOmitted(schema: unknown, direction: Direction): boolean {
    const keyword = direction === "request" ? "readOnly" : "writeOnly";
    if (own(schema, keyword) === true) return true;
    if (referenceOf(schema) === undefined) {
      const parts = own(schema, "allOf");
      return Array.isArray(parts) && parts.length < 8 && parts.some((part) => own(part, keyword) === true);
    }
    const target = this.#references.follow(schema, "");
    return target.kind === "found" && own(target.value, keyword) === true;
  }

  #drain(): void {
    const fresh: [Definition, Direction][] = [];
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      this.#refs = new Set();
      const schema = this.#convert(next.value, next.pointer, next.direction, 0);
      const definition = { name: next.name, schema, refs: this.#refs };
      this.#definitions[next.direction].set(next.name, definition);
      const all = this.#everything[next.direction];
      if (all !== undefined) all[next.name] = schema;
      fresh.push([definition, next.direction]);
    }
    // What is converted next is no part of the last definition.
    this.#refs = new Set();
    for (const [definition, direction] of fresh) this.#breakLoops(definition, direction);
  }

  /**
   * A definition that contains itself at the same place (`A: {allOf: [A]}`) says nothing and would make a validator
   * run for ever: the reference that closes the loop is taken out. Cycles through properties and items stay. One whose
   * parts double with each level (`A: {allOf: [B, B]}`, `B: {allOf: [C, C]}`, ...) loses its parts, too.
   */
  #breakLoops(start: Definition, direction: Direction): void {
    const active = new Set<Definition>();
    /** Returns the number of schemas that apply to one value. */
    const visit = (definition: Definition): number => {
      active.add(definition);
      let cost = 0;
      const closes = (schema: JsonSchema): boolean => {
        const target = this.#target(schema, direction);
        return target !== undefined && active.has(target);
      };
      for (const schema of inPlace(definition.schema)) {
        cost++;
        for (const keyword of ["allOf", "anyOf", "oneOf"] as const) {
          const members = schema[keyword];
          if (!Array.isArray(members) || !members.some(closes)) continue;
          const rest = members.filter((member) => !closes(member));
          if (rest.length > 0) schema[keyword] = rest;
          else delete schema[keyword];
          this.#loop(definition.name);
        }
        if (closes(schema)) {
          delete schema.$ref;
          this.#loop(definition.name);
        }
        const target = this.#target(schema, direction);
        if (target !== undefined)
          cost += this.#costs.get(target) ?? (active.size < 2_000 ? visit(target) : 0);
      }
      if (cost > maxInPlace) {
        cost = 1;
        this.#simplify(definition);
      }
      active.delete(definition);
      this.#costs.set(definition, cost);
      return cost;
    };
    if (!this.#costs.has(start)) visit(start);
  }

  #simplify({ name, schema }: Definition): void {
    if (typeof schema === "object") for (const keyword of inPlaceKeywords) delete schema[keyword];
    this.#report({
      code: "schema-too-complex",
      severity: "error",
      pointer: this.#places.get(name) ?? "",
      message: `More than ${maxInPlace} schemas apply to one value here; those that this one is composed of are left out.`,
      remedy: "Do not repeat references in `allOf`, `anyOf` and `oneOf`.",
    });
  }

  #target(schema: JsonSchema, direction: Direction): Definition | undefined {
    if (typeof schema === "boolean" || schema.$ref === undefined) return undefined;
    return this.#definitions[direction].get(schema.$ref.slice(definitionsPrefix.length));
  }

  #loop(name: string): void {
    this.#report({
      code: "schema-loop",
      severity: "warning",
      pointer: this.#places.get(name) ?? "",
      message: "This schema consists of itself, which says nothing; that reference is left out.",
      remedy: "Refer to itself only in a property or an item.",
    });
  }

  #convert(schema: unknown, pointer: string, direction: Direction, depth: number): JsonSchema {
    if (typeof schema === "boolean") return schema;
    if (!isObject(schema)) {
      if (schema !== undefined && schema !== null)
        this.#invalid(pointer, "A schema must be an object; this one is read as any value.");
      return {};
    }
    if (depth > maxInlineDepth) {
      this.#report({
        code: "schema-too-deep",
        severity: "error",
        pointer: "",
        message: `A schema is nested more than ${maxInlineDepth} levels deep; below that any value is allowed. It starts ${pointer.slice(0, 200)}...`,
        remedy: "Move nested schemas into components and refer to them.",
      });
      return {};
    }
    const out: JsonSchemaObject = {};
    const reference = referenceOf(schema);
    if (reference !== undefined) {
      const name = this.#define(reference, `${pointer}/$ref`, direction);
      if (name !== undefined) out.$ref = definitionsPrefix + name;
      if (this.#version === "2.0" || this.#version === "3.0") {
        annotate(schema, out);
        this.#examples(schema, out);
        return nullable(schema) ? orNull(out) : out;
      }
    }
    let needed = 0;
    for (const key of Object.keys(schema)) needed |= steps.get(key) ?? 0;
    if (needed & step.types) this.#types(schema, pointer, out);
    if (needed & (step.texts | step.flags)) annotate(schema, out);
    if (needed & step.examples) this.#examples(schema, out);
    if (needed & step.numbers) this.#numbers(schema, pointer, out);
    if (needed & step.values) this.#values(schema, pointer, out);
    if (needed & step.schemas) this.#schemas(schema, pointer, direction, depth, out);
    if (needed & step.lists) this.#schemaLists(schema, pointer, direction, depth, out);
    if (needed & step.maps) this.#schemaMaps(schema, pointer, direction, depth, out);
    if (needed & step.others) this.#others(schema, pointer, out);
    if (needed & step.required) this.#required(schema, pointer, direction, out);
    this.#discriminator(schema, pointer, direction, out);
    return nullable(schema) ? orNull(out) : out;
  }

  #examples(schema: Record<string, unknown>, out: JsonSchemaObject): void {
    const fallback = this.#data(own(schema, "default"));
    if (fallback !== undefined) out.default = fallback;
    const examples = this.#data(own(schema, "examples"));
    const example = this.#data(own(schema, "example") ?? own(schema, "x-example"));
    if (Array.isArray(examples)) out.examples = examples;
    else if (example !== undefined) out.examples = [example];
    else if (isObject(examples)) {
      const values = Object.values(examples).map((entry) => own(entry, "value") ?? entry);
      if (values.length > 0) out.examples = values as JsonValue[];
    }
  }

  /** A value of the document that is no schema; left out where it is nested without end. */
  #data(value: unknown): JsonValue | undefined {
    if (isShallow(value)) return value as JsonValue | undefined;
    this.#report({
      code: "value-too-deep",
      severity: "warning",
      pointer: "",
      message:
        "A default, an example or an allowed value is nested more than 100 levels deep; it is left out.",
    });
    return undefined;
  }

  #types(schema: Record<string, unknown>, pointer: string, out: JsonSchemaObject): void {
    const declared = own(schema, "type");
    if (declared === undefined) return;
    const found: string[] = [];
    for (const entry of Array.isArray(declared) ? declared : [declared]) {
      if (typeof entry === "string" && jsonTypes.has(entry)) {
        if (!found.includes(entry)) found.push(entry);
        continue;
      }
      if (entry === null) {
        found.push("null");
        continue;
      }
      if (entry === "any" || entry === "") return;
      const lower = textOf(entry).toLowerCase();
      const alias = typeAliases.get(lower) ?? (jsonTypes.has(lower) ? { type: lower } : undefined);
      if (entry !== "file")
        this.#report({
          code: "type-unknown",
          severity: "warning",
          pointer: pointerTo(pointer, "type"),
          message:
            alias === undefined
              ? `There is no type ${preview(entry)}; any value is allowed.`
              : `There is no type ${preview(entry)}; it is read as ${JSON.stringify(alias.type)}.`,
          remedy: `Use one of ${[...jsonTypes].join(", ")}.`,
        });
      if (alias === undefined) return;
      if (!found.includes(alias.type)) found.push(alias.type);
      if (alias.format !== undefined) out.format ??= alias.format;
    }
    if (found.length === 1) out.type = found[0] as string;
    else if (found.length > 1) out.type = found;
  }

  #numbers(schema: Record<string, unknown>, pointer: string, out: JsonSchemaObject): void {
    for (const [keyword, test] of numberTests)
      if (Object.hasOwn(schema, keyword)) this.#number(schema[keyword], keyword, test, pointer, out);
    for (const [exclusive, bound] of [
      ["exclusiveMinimum", "minimum"],
      ["exclusiveMaximum", "maximum"],
    ] as const) {
      if (own(schema, exclusive) === true) {
        if (out[bound] !== undefined) out[exclusive] = out[bound];
        delete out[bound];
      } else this.#number(own(schema, exclusive), exclusive, Number.isFinite, pointer, out);
    }
  }

  #number(
    value: unknown,
    keyword: string,
    test: (value: number) => boolean,
    pointer: string,
    out: JsonSchemaObject,
  ): void {
    if (value === undefined || value === null || typeof value === "boolean") return;
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    if (typeof number === "number" && test(number)) out[keyword] = number;
    else
      this.#invalid(
        pointerTo(pointer, keyword),
        `\`${keyword}\` cannot be ${preview(value)}; it is left out.`,
      );
  }

  #values(schema: Record<string, unknown>, pointer: string, out: JsonSchemaObject): void {
    const constant = this.#data(own(schema, "const"));
    if (constant !== undefined) out.const = constant;
    const pattern = own(schema, "pattern");
    if (typeof pattern === "string") {
      const usable = unicodePattern(pattern);
      if (usable !== undefined) out.pattern = usable;
      else
        this.#report({
          code: "pattern-invalid",
          severity: "warning",
          pointer: pointerTo(pointer, "pattern"),
          message: `${preview(pattern)} is not a regular expression of JavaScript; it is left out.`,
          remedy: "Write the pattern in the syntax of ECMA-262.",
        });
    }
    const declared = this.#data(own(schema, "enum"));
    if (declared === undefined || declared === null) return;
    if (!Array.isArray(declared) || declared.length === 0) {
      this.#invalid(
        pointerTo(pointer, "enum"),
        "`enum` must be a list with at least one value; it is left out.",
      );
      return;
    }
    const values = distinct(declared.map((value) => toType(value, out.type)));
    if (declared.some((value, i) => toType(value, out.type) !== declared[i]))
      this.#report({
        code: "enum-type",
        severity: "warning",
        pointer: pointerTo(pointer, "enum"),
        message: `Values of \`enum\` are not of the type ${JSON.stringify(out.type)}; they are converted.`,
        remedy: "Put the values in quotes, or correct the type.",
      });
    if (out.type === "array" && values.every((value) => !Array.isArray(value))) {
      // Meant for the items.
      const items = own(schema, "items");
      if (items === undefined || own(items, "enum") === undefined)
        out.items = {
          ...(isObject(items) && referenceOf(items) === undefined ? items : {}),
          enum: values,
        } as JsonSchema;
      this.#invalid(
        pointerTo(pointer, "enum"),
        "An array cannot have these values; they are read as those of its items.",
      );
      return;
    }
    out.enum = values;
  }

  #schemas(
    schema: Record<string, unknown>,
    pointer: string,
    direction: Direction,
    depth: number,
    out: JsonSchemaObject,
  ): void {
    const movedEnum = out.items;
    for (const keyword of schemaKeywords) {
      const value = keyword === "items" && movedEnum !== undefined ? movedEnum : own(schema, keyword);
      if (value === undefined || value === null) continue;
      if (keyword === "items" && Array.isArray(value)) {
        if (value.length > 0)
          out.prefixItems = this.#convertAll(value, pointerTo(pointer, keyword), direction, depth);
        delete out.items;
      } else if (isObject(value) || typeof value === "boolean") {
        out[keyword] = this.#convert(value, `${pointer}/${keyword}`, direction, depth + 1);
      } else {
        this.#invalid(pointerTo(pointer, keyword), `\`${keyword}\` must be a schema; it is left out.`);
        delete out[keyword];
      }
    }
  }

  #convertAll(list: readonly unknown[], pointer: string, direction: Direction, depth: number): JsonSchema[] {
    return list.map((item, i) => this.#convert(item, `${pointer}/${i}`, direction, depth + 1));
  }

  #schemaLists(
    schema: Record<string, unknown>,
    pointer: string,
    direction: Direction,
    depth: number,
    out: JsonSchemaObject,
  ): void {
    for (const keyword of schemaListKeywords) {
      const value = own(schema, keyword);
      if (value === undefined || value === null) continue;
      const list = schemaList(value);
      if (list !== undefined && list.length > 0) {
        if (list !== value)
          this.#invalid(
            pointerTo(pointer, keyword),
            `\`${keyword}\` must be a list; this is read as its only item.`,
          );
        const members = this.#convertAll(list, pointerTo(pointer, keyword), direction, depth);
        const known = Array.isArray(out[keyword]) ? (out[keyword] as JsonSchema[]) : [];
        out[keyword] = [...known, ...members];
      } else
        this.#invalid(
          pointerTo(pointer, keyword),
          `\`${keyword}\` must be a list of schemas; it is left out.`,
        );
    }
  }

  #schemaMaps(
    schema: Record<string, unknown>,
    pointer: string,
    direction: Direction,
    depth: number,
    out: JsonSchemaObject,
  ): void {
    for (const keyword of schemaMapKeywords) {
      const value = own(schema, keyword);
      if (value === undefined || value === null) continue;
      if (!isObject(value)) {
        this.#invalid(
          pointerTo(pointer, keyword),
          `\`${keyword}\` must be an object of schemas; it is left out.`,
        );
        continue;
      }
      const omitted = keyword === "properties" ? this.#omittedOf(schema, direction) : noNames;
      const map: Record<string, JsonSchema> = {};
      out[keyword] = map;
      for (const name of Object.keys(value)) {
        if (omitted.has(name)) continue;
        const place = pointerTo(`${pointer}/${keyword}`, name);
        const key = keyword === "patternProperties" ? unicodePattern(name) : name;
        if (key === undefined)
          this.#invalid(place, `${preview(name)} is not a regular expression of JavaScript; it is left out.`);
        else map[key] = this.#convert(value[name], place, direction, depth + 1);
      }
    }
  }

  #others(schema: Record<string, unknown>, pointer: string, out: JsonSchemaObject): void {
    const dependent = own(schema, "dependentRequired");
    if (isObject(dependent)) {
      const map: Record<string, string[]> = {};
      for (const name of Object.keys(dependent)) map[name] = names(dependent[name]);
      out.dependentRequired = map;
    }
    const local = own(schema, "$defs");
    // Reached by pointers from elsewhere, not needed here.
    if (local !== undefined && !isObject(local))
      this.#invalid(pointerTo(pointer, "$defs"), "`$defs` must be an object; it is left out.");
  }

  #required(
    schema: Record<string, unknown>,
    pointer: string,
    direction: Direction,
    out: JsonSchemaObject,
  ): void {
    const declared = own(schema, "required");
    const required = new Set(names(declared));
    if (
      declared !== undefined &&
      declared !== null &&
      typeof declared !== "boolean" &&
      declared !== "true" &&
      declared !== "false" &&
      !Array.isArray(declared)
    )
      this.#invalid(pointerTo(pointer, "required"), "`required` must be a list of names; it is left out.");
    const properties = own(schema, "properties");
    // The style of JSON Schema draft 3.
    if (isObject(properties))
      for (const name of Object.keys(properties))
        if (isTrue(own(properties[name], "required"))) required.add(name);
    const parts = own(schema, "allOf");
    if (required.size === 0 && !Array.isArray(parts)) return;
    const omitted = [this.#omittedOf(schema, direction)];
    if (Array.isArray(parts)) {
      for (const part of parts) {
        const target = this.#references.follow(part, pointer);
        if (target.kind === "found") omitted.push(this.#omittedOf(target.value, direction));
      }
      if (omitted.some((names) => names.size > 0) && Array.isArray(out.allOf))
        out.allOf = out.allOf.map((part) => without(part, omitted));
    }
    const left = [...required].filter((name) => !omitted.some((names) => names.has(name)));
    if (left.length > 0) out.required = left;
  }

  /** Names of the direct properties that are left out in a direction. */
  #omittedOf(schema: unknown, direction: Direction): ReadonlySet<string> {
    const properties = own(schema, "properties");
    if (!isObject(properties)) return noNames;
    let omitted = this.#omitted[direction].get(properties);
    if (omitted === undefined) {
      const names = Object.keys(properties).filter((name) => this.isOmitted(properties[name], direction));
      omitted = names.length === 0 ? noNames : new Set(names);
      this.#omitted[direction].set(properties, omitted);
    }
    return omitted;
  }

  #discriminator(
    schema: Record<string, unknown>,
    pointer: string,
    direction: Direction,
    out: JsonSchemaObject,
  ): void {
    const declared = own(schema, "discriminator");
    const propertyName = typeof declared === "string" ? declared : own(declared, "propertyName");
    if (typeof propertyName !== "string") return;
    const mapping = own(declared, "mapping");
    const kept: Record<string, string> = {};
    if (isObject(mapping))
      for (const value of Object.keys(mapping)) {
        const target = mapping[value];
        if (typeof target !== "string") continue;
        // One that leaves the document was reported when the document was loaded.
        if (!target.startsWith("#") && /[#/]/.test(target)) continue;
        const reference = target.startsWith("#") ? target : `#/components/schemas/${target}`;
        const place = pointerTo(pointer, "discriminator", "mapping", value);
        const name = this.#define(reference, place, direction);
        if (name !== undefined) kept[value] = definitionsPrefix + name;
      }
    out.discriminator = Object.keys(kept).length > 0 ? { propertyName, mapping: kept } : { propertyName };
  }

  /** Sees to it that the target of a reference becomes a definition, and returns its name. */
  #define(reference: string, pointer: string, direction: Direction): string | undefined {
    const known = this.#defined[direction].get(reference);
    if (known !== undefined) {
      this.#refs.add(known);
      return known;
    }
    const target = this.#targetOf(reference);
    if (target.kind !== "found" || (!isObject(target.value) && typeof target.value !== "boolean")) {
      // One that leaves the document was reported when the document was loaded.
      if (target.kind !== "external")
        this.#report(unresolvedDiagnostic(reference, pointer, "any value is allowed there"));
      return undefined;
    }
    let name = this.#names.get(target.pointer);
    if (name === undefined) {
      const last = target.pointer.slice(target.pointer.lastIndexOf("/") + 1);
      const readable = last
        .replaceAll(/~[01]/g, "_")
        .replaceAll(/[^A-Za-z0-9._-]+/g, "_")
        .slice(0, 100);
      name = readable === "" || readable === "__proto__" ? "schema" : readable;
      // The bare name is the component's, whoever is asked for first.
      const component = this.#component(last);
      const taken = component !== undefined && component !== target.pointer;
      if (taken || this.#places.has(name)) name = `${name}_${hash32(target.pointer).toString(36)}`;
      for (let i = 2; this.#places.has(name); i++) name = `${name}_${i}`;
      this.#names.set(target.pointer, name);
      this.#places.set(name, target.pointer);
    }
    const definitions = this.#definitions[direction];
    if (!definitions.has(name)) {
      definitions.set(name, { name, schema: true, refs: new Set() });
      this.#pending.push({ name, value: target.value, pointer: target.pointer, direction });
    }
    this.#defined[direction].set(reference, name);
    this.#refs.add(name);
    return name;
  }

  /** What a reference leads to; a schema that is nothing but a reference is passed over. */
  #targetOf(reference: string): Resolution {
    let target = this.#references.lookUp(reference);
    const passed = new Set<string>();
    while (target.kind === "found" && !passed.has(target.pointer)) {
      const next = referenceOf(target.value);
      if (next === undefined || Object.keys(target.value as object).length > 1) break;
      const further = this.#references.lookUp(next);
      if (further.kind !== "found") break;
      passed.add(target.pointer);
      target = further;
    }
    return target;
  }

  /** The pointer of the component schema of a name, as it stands in a pointer. */
  #component(name: string): string | undefined {
    for (const place of ["/components/schemas/", "/definitions/"])
      if (this.#references.lookUp(`#${place}${name}`).kind === "found") return place + name;
    return undefined;
  }

  #invalid(pointer: string, message: string): void {
    this.#report({
      code: "schema-invalid",
      severity: "warning",
      pointer: pointer.length > 2_000 ? pointer.slice(0, 2_000) : pointer,
      message,
      remedy: "Correct the schema there.",
    });
  }
}

/** The keywords that say something about a schema and nothing about its values. */
function annotate(schema: Record<string, unknown>, out: JsonSchemaObject): void {
  for (const keyword of textKeywords) {
    const value = own(schema, keyword);
    if (typeof value === "string") out[keyword] = value;
  }
  for (const keyword of flagKeywords) {
    const value = own(schema, keyword);
    if (typeof value === "boolean" && (value || keyword === "uniqueItems")) out[keyword] = value;
  }
}

/** Every schema that applies to the same value as this one, itself included. */
function* inPlace(schema: JsonSchema): Generator<JsonSchemaObject> {
  const stack: unknown[] = [schema];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (!isObject(next)) continue;
    yield next as JsonSchemaObject;
    for (const keyword of ["allOf", "anyOf", "oneOf"]) {
      const members = next[keyword];
      if (Array.isArray(members)) stack.push(...members);
    }
    for (const keyword of ["not", "if", "then", "else"]) stack.push(next[keyword] ?? true);
    if (isObject(next.dependentSchemas)) stack.push(...Object.values(next.dependentSchemas));
  }
}

/** Keywords whose values are data, not schemas. */
const dataKeywords = new Set([
  "default",
  "examples",
  "enum",
  "const",
  "required",
  "dependentRequired",
  "type",
]);

function nullable(schema: Record<string, unknown>): boolean {
  return isTrue(own(schema, "nullable")) || isTrue(own(schema, "x-nullable"));
}

/** The same schema, with null allowed. */
function orNull(schema: JsonSchemaObject): JsonSchemaObject {
  const composed = ["$ref", "allOf", "anyOf", "oneOf", "not", "if"].some((keyword) => keyword in schema);
  if (composed) {
    const outer: JsonSchemaObject = { anyOf: [] };
    const inner: JsonSchemaObject = {};
    for (const [key, value] of Object.entries(schema)) {
      const annotation = [
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
      ];
      (annotation.includes(key) ? outer : inner)[key] = value;
    }
    outer.anyOf = [inner, { type: "null" }];
    return outer;
  }
  const out = { ...schema };
  if (out.type !== undefined) {
    const types = Array.isArray(out.type) ? out.type : [out.type];
    if (!types.includes("null")) out.type = [...types, "null"];
  }
  if (out.enum !== undefined && !out.enum.includes(null)) out.enum = [...out.enum, null];
  if (out.const !== undefined && out.const !== null) {
    out.enum = [out.const, null];
    delete out.const;
  }
  return out;
}

/** An inline part of an `allOf`, without some of its required names. */
function without(part: JsonSchema, omitted: readonly ReadonlySet<string>[]): JsonSchema {
  if (typeof part === "boolean" || part.required === undefined) return part;
  const required = part.required.filter((name) => !omitted.some((names) => names.has(name)));
  const { required: _, ...rest } = part;
  return required.length > 0 ? { ...rest, required } : rest;
}

function names(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return [
    ...new Set(value.filter((name): name is string => typeof name === "string" && name !== "__proto__")),
  ];
}

/** A value of an `enum`, in the one type that the schema has. */
function toType(value: unknown, type: string | string[] | undefined): JsonValue {
  if (type === "string" && (typeof value === "number" || typeof value === "boolean")) return String(value);
  if ((type === "integer" || type === "number") && typeof value === "string" && value.trim() !== "") {
    const number = Number(value);
    if (Number.isFinite(number)) return number;
  }
  if (type === "boolean" && (value === "true" || value === "false")) return value === "true";
  return value as JsonValue;
}

function distinct(values: JsonValue[]): JsonValue[] {
  const seen = new Set<string>();
  return values.filter((value) => {
    const key = JSON.stringify(value);
    return !seen.has(key) && seen.add(key) !== undefined;
  });
}

function preview(value: unknown): string {
  const text = isShallow(value) ? (JSON.stringify(value) ?? String(value)) : "something nested deeply";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
