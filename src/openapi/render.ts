import type { JsonSchema, JsonSchemaObject, JsonValue } from "../util/json.js";
import { isObject } from "../util/json.js";
import { own } from "./pointer.js";
import type { Tool } from "./types.js";

const maxObjects = 3;
/** Types in one line: schemas that all refer to each other would fill any memory. What comes after is not opened. */
const maxTypes = 5_000;
const maxDescription = 100;
/** Formats that stand for themselves in a compact line. */
export const formats: ReadonlySet<string> = new Set([
  "date",
  "date-time",
  "time",
  "email",
  "uuid",
  "uri",
  "ipv4",
  "binary",
  "byte",
]);
const words = new Set([
  "string",
  "integer",
  "number",
  "boolean",
  "null",
  "object",
  "any",
  "true",
  "false",
  ...formats,
]);

/** What both renderings of a tool read. */
export type RenderableTool = Pick<Tool, "name" | "description" | "parameters">;

/** One line of JSON with name, description and the complete schema of the arguments. */
export function renderFull(tool: RenderableTool): string {
  return JSON.stringify({ name: tool.name, description: tool.description, parameters: tool.parameters });
}

/**
 * One line that costs few tokens: `getPetById(petId: integer) - Find pet by ID`. Required arguments come first, the
 * optional ones have a question mark; types are names, formats, values joined by `|`, `T[]` and `{name: T}`.
 */
export function renderCompact(tool: RenderableTool): string {
  const context: Context = { root: tool.parameters, active: new Set(), depth: 0, types: { count: 0 } };
  const line = `${tool.name}(${members(merged(tool.parameters, context).schema, context)})`;
  const description = firstSentence(tool.description);
  return description === "" ? line : `${line} - ${description}`;
}

function firstSentence(description: string): string {
  const text = description.replaceAll(/\s+/g, " ").trim();
  const end = text.indexOf(". ");
  const sentence = [...(end === -1 ? text : text.slice(0, end)).replace(/\.$/, "")];
  if (sentence.length <= maxDescription) return sentence.join("");
  const head = sentence.slice(0, maxDescription).join("");
  if (sentence[maxDescription] === " ") return head.trimEnd();
  const space = head.lastIndexOf(" ");
  return (space > 0 ? head.slice(0, space) : head).trimEnd();
}

interface Context {
  root: JsonSchemaObject;
  /** References that are being followed. */
  active: Set<string>;
  /** Objects around this place, the arguments object apart. */
  depth: number;
  /** Types that the line has so far. */
  types: { count: number };
}

/** The alternatives of a type, each as text. */
type Alternatives = string[];

function members(schema: JsonSchemaObject, context: Context): string {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  const names = Object.keys(properties);
  const ordered = [
    ...names.filter((name) => required.has(name)),
    ...names.filter((name) => !required.has(name)),
  ];
  return ordered
    .map((name) => {
      const key = /^[\w$.-]+$/.test(name) ? name : jsonText(name);
      return `${key}${required.has(name) ? "" : "?"}: ${typeText(properties[name], context)}`;
    })
    .join(", ");
}

function typeText(schema: JsonSchema | undefined, context: Context): string {
  return alternatives(schema, context).join("|");
}

function alternatives(schema: JsonSchema | undefined, context: Context): Alternatives {
  if (schema === undefined || typeof schema === "boolean") return ["any"];
  context.types.count++;
  const { schema: whole, opened, cyclic } = merged(schema, context);
  if (cyclic) return ["object"];
  for (const reference of opened) context.active.add(reference);
  const result = describe(whole, context);
  for (const reference of opened) context.active.delete(reference);
  return [...new Set(result)];
}

function describe(schema: JsonSchemaObject, context: Context): Alternatives {
  if (Array.isArray(schema.enum)) return schema.enum.map(literal);
  if (schema.const !== undefined) return [literal(schema.const)];
  const types =
    typeof schema.type === "string" ? [schema.type] : Array.isArray(schema.type) ? schema.type : [];
  const choices = schema.anyOf ?? schema.oneOf;
  const simple = types.some((type) => type !== "object" && type !== "array" && type !== "null");
  if (Array.isArray(choices) && choices.length > 0 && !simple && !isObject(schema.properties)) {
    if (context.types.count > maxTypes) return ["any"];
    const result = choices.flatMap((choice) => alternatives(choice, context));
    return types.includes("null") && types.length > 1 ? [...result, "null"] : result;
  }
  if (types.length === 0) {
    if (isObject(schema.properties) || isObject(schema.additionalProperties))
      return [objectText(schema, context)];
    if (schema.items !== undefined) return [arrayText(schema, context)];
    return ["any"];
  }
  return types.map((type) => {
    if (type === "object") return objectText(schema, context);
    if (type === "array") return arrayText(schema, context);
    if (type === "string" && typeof schema.format === "string" && formats.has(schema.format))
      return schema.format;
    return type;
  });
}

function arrayText(schema: JsonSchemaObject, context: Context): string {
  const items = alternatives(schema.items, context);
  return items.length > 1 ? `(${items.join("|")})[]` : `${items[0] ?? "any"}[]`;
}

function objectText(schema: JsonSchemaObject, context: Context): string {
  if (context.depth >= maxObjects || context.types.count > maxTypes) return "object";
  const inside: Context = { ...context, depth: context.depth + 1 };
  if (isObject(schema.properties) && Object.keys(schema.properties).length > 0)
    return `{${members(schema, inside)}}`;
  const values = schema.additionalProperties;
  if (isObject(values) && Object.keys(values).length > 0) return `{*: ${typeText(values, inside)}}`;
  return "object";
}

function literal(value: JsonValue): string {
  if (typeof value === "string" && /^[A-Za-z_][\w./-]*$/.test(value) && !words.has(value)) return value;
  return jsonText(value);
}

/** JSON in one line, in which no character changes the direction or the place of others. */
export function jsonText(value: JsonValue): string {
  return JSON.stringify(value).replaceAll(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

interface Merged {
  schema: JsonSchemaObject;
  /** References that were followed to get here. */
  opened: string[];
  /** One of them is being followed already. */
  cyclic: boolean;
}

/** The schema with its references followed and its `allOf` merged into it. */
function merged(schema: JsonSchemaObject, context: Context): Merged {
  const opened: string[] = [];
  const result: JsonSchemaObject = {};
  const required = new Set<string>();
  let properties: Record<string, JsonSchema> | undefined;
  const take = (part: JsonSchema): boolean => {
    if (typeof part === "boolean") return true;
    if (typeof part.$ref === "string") {
      if (context.active.has(part.$ref) || opened.includes(part.$ref)) return false;
      opened.push(part.$ref);
      const name = part.$ref.startsWith("#/$defs/") ? part.$ref.slice("#/$defs/".length) : "";
      const target = own(context.root.$defs, name);
      if (isObject(target) && !take(target as JsonSchemaObject)) return false;
    }
    if (Array.isArray(part.allOf)) for (const member of part.allOf) if (!take(member)) return false;
    for (const [key, value] of Object.entries(part)) {
      if (key === "$ref" || key === "allOf" || key === "$defs") continue;
      if (key === "properties" && isObject(value)) {
        // Of one part, as most schemas are, they are not copied.
        const more = value as Record<string, JsonSchema>;
        properties = properties === undefined ? more : { ...properties, ...more };
      } else if (key === "required" && Array.isArray(value)) {
        for (const name of value) required.add(String(name));
      } else result[key] = value;
    }
    return true;
  };
  const cyclic = !take(schema);
  if (properties !== undefined) result.properties = properties;
  if (required.size > 0) result.required = [...required];
  return { schema: result, opened, cyclic };
}
