import { isBinary } from "../openapi/views.js";
import { isObject, type JsonSchema, type JsonSchemaObject, type JsonValue } from "../util/json.js";
import { docComment, propertyName, stringLiteral } from "./code-text.js";
import { definitionName } from "./definitions.js";

/** A printed type and whether it needs parentheses inside a larger one. */
interface Printed {
  text: string;
  kind: "atom" | "union" | "intersection";
}

export interface TypeContext {
  /** `arguments`: readOnly properties may be left out. `response`: writeOnly properties do not come back. */
  direction: "arguments" | "response";
  /**
   * Name of the type for `#/$defs/NAME`, or undefined for `unknown`. `direct` is true where the reference stands in
   * the type itself and not below a property or an element, so that a cycle would make the type refer to itself.
   */
  resolve(name: string, direct: boolean): string | undefined;
  /** Name of the type of a file among arguments. Default: files are text. */
  file?(): string;
}

const unknownType: Printed = { text: "unknown", kind: "atom" };
const deepest = 40;

/** Prints a JSON Schema (2020-12) as a TypeScript type. The text is code made from data: no text of the schema is code. */
export function printType(schema: JsonSchema, context: TypeContext, indent = ""): string {
  return new Printer(context).print(schema, indent, true, 0).text;
}

/** The type of an operation's arguments: optional ones may also be given as `undefined`, which leaves them out. */
export function printArguments(schema: JsonSchemaObject, context: TypeContext, indent = ""): string {
  const printer = new Printer(context);
  if (
    Object.keys(schema.properties ?? {}).length === 0 &&
    schema.$ref === undefined &&
    !hasComposition(schema)
  )
    return schema.additionalProperties === false || schema.additionalProperties === undefined
      ? "{ [name: string]: never }"
      : printer.print(schema, indent, true, 0).text;
  return printer.print(schema, indent, true, 0, true).text;
}

function hasComposition(schema: JsonSchemaObject): boolean {
  return schema.allOf !== undefined || schema.anyOf !== undefined || schema.oneOf !== undefined;
}

class Printer {
  constructor(private readonly context: TypeContext) {}

  print(schema: JsonSchema, indent: string, direct: boolean, depth: number, allowUndefined = false): Printed {
    if (schema === false) return { text: "never", kind: "atom" };
    if (!isObject(schema) || depth > deepest) return unknownType;
    const parts: Printed[] = [];
    if (typeof schema.$ref === "string") {
      const name = definitionName(schema.$ref);
      const exact = name !== undefined && /^#\/\$defs\/[^/]+$/.test(schema.$ref);
      const type = exact ? this.context.resolve(name, direct) : undefined;
      parts.push(type === undefined ? unknownType : { text: type, kind: "atom" });
    }
    const all = list(schema.allOf).map((member) => this.print(member, indent, direct, depth + 1));
    parts.push(this.own(schema, indent, depth, allowUndefined), ...all);
    for (const members of [schema.anyOf, schema.oneOf]) {
      if (Array.isArray(members) && members.length > 0)
        parts.push(union(list(members).map((member) => this.print(member, indent, direct, depth + 1))));
    }
    const printed = intersection(parts);
    return schema.nullable === true ? union([printed, { text: "null", kind: "atom" }]) : printed;
  }

  /** What the schema says itself: const, enum, type. */
  private own(schema: JsonSchemaObject, indent: string, depth: number, allowUndefined: boolean): Printed {
    if (schema.const !== undefined) return { text: literal(schema.const, depth), kind: "atom" };
    if (Array.isArray(schema.enum) && schema.enum.length > 0)
      return union(schema.enum.map((value) => ({ text: literal(value, depth), kind: "atom" })));
    const types = typeof schema.type === "string" ? [schema.type] : list<string>(schema.type);
    if (types.length === 0) {
      if (
        schema.properties !== undefined ||
        schema.required !== undefined ||
        schema.additionalProperties !== undefined
      )
        return this.object(schema, indent, depth, allowUndefined);
      if (schema.items !== undefined || schema.prefixItems !== undefined)
        return this.array(schema, indent, depth);
      return unknownType;
    }
    return union(types.map((type) => this.oneType(type, schema, indent, depth, allowUndefined)));
  }

  private oneType(
    type: unknown,
    schema: JsonSchemaObject,
    indent: string,
    depth: number,
    allowUndefined: boolean,
  ): Printed {
    switch (type) {
      case "string":
        if (this.context.direction === "arguments" && isBinary([schema]) && this.context.file !== undefined)
          return { text: this.context.file(), kind: "atom" };
        return { text: type, kind: "atom" };
      case "boolean":
      case "null":
        return { text: type, kind: "atom" };
      case "integer":
      case "number":
        return { text: "number", kind: "atom" };
      case "array":
        return this.array(schema, indent, depth);
      case "object":
        return this.object(schema, indent, depth, allowUndefined);
      default:
        return unknownType;
    }
  }

  private array(schema: JsonSchemaObject, indent: string, depth: number): Printed {
    const element = (item: JsonSchema | undefined): Printed =>
      item === undefined ? unknownType : this.print(item, indent, false, depth + 1);
    const prefix = list<JsonSchema>(schema.prefixItems);
    if (prefix.length === 0) return { text: `${closed(element(schema.items))}[]`, kind: "atom" };
    const least = typeof schema.minItems === "number" ? schema.minItems : 0;
    const items = prefix.map((item, i) => (i < least ? element(item).text : `${closed(element(item))}?`));
    if (schema.items !== false) items.push(`...${closed(element(schema.items))}[]`);
    return { text: `[${items.join(", ")}]`, kind: "atom" };
  }

  private object(schema: JsonSchemaObject, indent: string, depth: number, allowUndefined: boolean): Printed {
    const properties = isObject(schema.properties)
      ? Object.entries(schema.properties as Record<string, JsonSchema>)
      : [];
    const required = new Set(list<string>(schema.required));
    const known = new Set(properties.map(([name]) => name));
    for (const name of required)
      if (typeof name === "string" && !known.has(name)) properties.push([name, true]);
    const rest = schema.additionalProperties;
    if (properties.length === 0) {
      if (rest === false) return { text: "{ [name: string]: never }", kind: "atom" };
      const value = rest === undefined ? unknownType : this.print(rest, indent, false, depth + 1);
      return { text: `{ [name: string]: ${value.text} }`, kind: "atom" };
    }
    const inner = `${indent}  `;
    let text = "{\n";
    for (const [name, property] of properties) {
      const annotated: JsonSchemaObject = isObject(property) ? property : {};
      const { readOnly, writeOnly, deprecated, description } = annotated;
      if (writeOnly === true && this.context.direction === "response") continue;
      const toServer = readOnly === true && this.context.direction === "arguments";
      const optional = !required.has(name) || toServer;
      const value = this.print(property, inner, false, depth + 1);
      const also = optional && allowUndefined && value.text !== "unknown" ? " | undefined" : "";
      const comment = [
        typeof description === "string" ? description : "",
        deprecated === true ? "Deprecated." : "",
      ];
      text += docComment(comment.filter((part) => part !== "").join("\n"), inner, 400);
      const type = also === "" || value.kind === "atom" ? value.text : closed(value);
      text += `${inner}${readOnly === true ? "readonly " : ""}${propertyName(name)}${optional ? "?" : ""}: ${type}${also};\n`;
    }
    if (rest !== undefined && rest !== false && !allowUndefined) text += `${inner}[name: string]: unknown;\n`;
    return { text: `${text}${indent}}`, kind: "atom" };
  }
}

function list<T = JsonSchema>(value: unknown): T[] {
  return Array.isArray(value) ? (value as T[]) : [];
}

function closed(printed: Printed): string {
  return printed.kind === "atom" ? printed.text : `(${printed.text})`;
}

function union(members: Printed[]): Printed {
  const distinct = new Map<string, Printed>();
  for (const member of members) distinct.set(member.text, member);
  if (distinct.has("unknown")) return unknownType;
  const kept = [...distinct.values()].filter((member) => member.text !== "never");
  if (kept.length === 0) return { text: "never", kind: "atom" };
  if (kept.length === 1) return kept[0] as Printed;
  return {
    text: kept.map((member) => (member.kind === "intersection" ? closed(member) : member.text)).join(" | "),
    kind: "union",
  };
}

function intersection(members: Printed[]): Printed {
  const distinct = new Map<string, Printed>();
  for (const member of members) if (member.text !== "unknown") distinct.set(member.text, member);
  const kept = [...distinct.values()];
  if (kept.length === 0) return unknownType;
  if (kept.length === 1) return kept[0] as Printed;
  return {
    text: kept.map((member) => (member.kind === "union" ? closed(member) : member.text)).join(" & "),
    kind: "intersection",
  };
}

function literal(value: JsonValue, depth: number): string {
  if (typeof value === "string") return stringLiteral(value);
  if (typeof value === "number") return Number.isFinite(value) ? literalNumber(value) : "number";
  if (value === null || typeof value === "boolean") return String(value);
  if (depth > deepest) return "unknown";
  if (Array.isArray(value)) return `[${value.map((item) => literal(item, depth + 1)).join(", ")}]`;
  const entries = Object.entries(value).map(
    ([name, item]) => `${propertyName(name)}: ${literal(item, depth + 1)}`,
  );
  return entries.length === 0 ? "{ [name: string]: never }" : `{ ${entries.join("; ")} }`;
}

/** Literal types are exact for what prints as plain digits; anything else is `number`. */
function literalNumber(value: number): string {
  const text = String(Object.is(value, -0) ? 0 : value);
  return /^-?\d+(\.\d+)?$/.test(text) ? text : "number";
}

/** Definitions referred to without passing below a property or an element (see `TypeContext.resolve`). */
export function directReferences(schema: JsonSchema, depth = 0): Set<string> {
  const found = new Set<string>();
  if (!isObject(schema) || depth > deepest) return found;
  if (typeof schema.$ref === "string") {
    const name = definitionName(schema.$ref);
    if (name !== undefined) found.add(name);
  }
  for (const members of [schema.allOf, schema.anyOf, schema.oneOf])
    for (const member of list(members))
      for (const name of directReferences(member, depth + 1)) found.add(name);
  return found;
}
