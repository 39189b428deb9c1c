import type { Tool } from "../openapi/types.js";
import type { JsonSchemaObject, JsonValue } from "../util/json.js";
import { itemViews, propertyViews, schemaViews, typesOf } from "./schema.js";
import type { ToolCall } from "./types.js";

/**
 * The one notion of equality, used by verification, rewards, cross-verification and evaluation.
 *
 * Two values are equal when their canonical texts are the same: numbers by value (`1.0` is `1`), objects by key
 * whatever the order, arrays in order, strings exactly (dates are strings), `true` is never `1`. A text is another
 * writing of a number or boolean only where the schema asks for that type and forbids strings: `"1.0"` is `1` for
 * `{type: "number"}` and for nothing else. Being equality of texts, it is reflexive, symmetric and transitive.
 */
const decimal = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function readAs(text: string, types: ReadonlySet<string>): JsonValue {
  if (types.size === 0 || types.has("string")) return text;
  if (types.has("number") || types.has("integer")) {
    const value = decimal.test(text) ? Number(text) : Number.NaN;
    // Beyond 2^53 distinct texts become one number, so the reading would lose something.
    if (Math.abs(value) <= Number.MAX_SAFE_INTEGER && (types.has("number") || Number.isInteger(value)))
      return value;
  }
  if (types.has("boolean") && (text === "true" || text === "false")) return text === "true";
  return text;
}

function canonical(value: JsonValue, views: readonly JsonSchemaObject[], root: JsonSchemaObject): string {
  if (typeof value === "string") return JSON.stringify(readAs(value, typesOf(views)));
  if (typeof value === "number") return Number.isFinite(value) ? JSON.stringify(value) : `"${value}"`;
  if (value === null || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) {
    const items = views.length > 0 ? itemViews(views, root) : views;
    return `[${value.map((item) => canonical(item, items, root)).join()}]`;
  }
  const keys = Object.keys(value).sort();
  const fields = keys.map((key) => {
    const below = views.length > 0 ? propertyViews(views, key, root) : views;
    return `${JSON.stringify(key)}:${canonical(value[key] ?? null, below, root)}`;
  });
  return `{${fields.join()}}`;
}

/** The canonical text of a value. `root` is the document that the schema's `$ref`s point into. */
export function valueKey(
  value: JsonValue,
  schema?: JsonSchemaObject,
  root: JsonSchemaObject = schema ?? {},
): string {
  return canonical(value, schemaViews(schema, root), root);
}

export function valuesEqual(
  left: JsonValue,
  right: JsonValue,
  schema?: JsonSchemaObject,
  root: JsonSchemaObject = schema ?? {},
): boolean {
  return valueKey(left, schema, root) === valueKey(right, schema, root);
}

/** A call in canonical text: equal calls have equal keys. */
export function callKey(call: ToolCall, tools?: readonly Tool[]): string {
  const schema = tools?.find((tool) => tool.name === call.name)?.parameters;
  return `${call.name}(${valueKey(call.arguments, schema)})`;
}

/** The key of a whole answer: its calls as a multiset. */
export function answerKey(calls: readonly ToolCall[], tools?: readonly Tool[]): string {
  return calls
    .map((call) => callKey(call, tools))
    .sort()
    .join("\n");
}

/** Whether two answers hold the same calls, each as often, in any order. */
export function callsEqual(
  left: readonly ToolCall[],
  right: readonly ToolCall[],
  tools?: readonly Tool[],
): boolean {
  return left.length === right.length && answerKey(left, tools) === answerKey(right, tools);
}

/**
 * Keys of a call's arguments with the canonical text of each value, read by the tool's schema. What a per-argument
 * score compares.
 */
export function argumentKeys(call: ToolCall, tools?: readonly Tool[]): Map<string, string> {
  const root = tools?.find((tool) => tool.name === call.name)?.parameters ?? {};
  const views = schemaViews(root, root);
  return new Map(
    Object.keys(call.arguments).map((key) => [
      key,
      canonical(call.arguments[key] ?? null, propertyViews(views, key, root), root),
    ]),
  );
}
