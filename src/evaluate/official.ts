import type { Tool } from "../openapi/types.js";
import { bestAssignment } from "../task/matching.js";
import { propertyViews, schemaViews, typesOf } from "../task/schema.js";
import type { ToolCall } from "../task/types.js";
import { isObject, type JsonSchemaObject, type JsonValue } from "../util/json.js";
import type { AcceptableCall } from "./suite.js";

/** BFCL compares texts without case, quotes' kind, and these characters. */
function standardText(text: string): string {
  return text
    .replace(/[ ,./\-_*^]/g, "")
    .toLowerCase()
    .replaceAll("'", '"');
}

/** Values as BFCL compares them: texts standardised, numbers by value, lists in order, objects by key. */
function standard(value: JsonValue): string {
  if (typeof value === "string") return JSON.stringify(standardText(value));
  if (Array.isArray(value)) return `[${value.map(standard).join()}]`;
  if (isObject(value)) {
    const fields = Object.entries(value as Record<string, JsonValue>).map(([key, inner]) => [
      key,
      standard(inner),
    ]);
    return JSON.stringify(fields.sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)));
  }
  return JSON.stringify(value);
}

const typeChecks: Record<string, (value: JsonValue) => boolean> = {
  string: (value) => typeof value === "string",
  integer: (value) => typeof value === "number" && Number.isInteger(value),
  number: (value) => typeof value === "number",
  boolean: (value) => typeof value === "boolean",
  array: (value) => Array.isArray(value),
  object: (value) => isObject(value),
  null: (value) => value === null,
};

function hasType(value: JsonValue, views: readonly JsonSchemaObject[]): boolean {
  const types = [...typesOf(views)].flatMap((type) => typeChecks[type] ?? []);
  return types.length === 0 || types.some((check) => check(value));
}

/** An object against one acceptable object, whose every property lists its allowed values. */
function objectFits(value: Record<string, JsonValue>, acceptable: Record<string, JsonValue>): boolean {
  const listed = (key: string): JsonValue[] => {
    const values = acceptable[key] ?? null;
    return Array.isArray(values) ? values : [values];
  };
  return (
    Object.keys(value).every((key) => Object.hasOwn(acceptable, key)) &&
    Object.keys(acceptable).every((key) =>
      Object.hasOwn(value, key) ? oneOf(value[key] ?? null, listed(key)) : listed(key).includes(""),
    )
  );
}

function fits(value: JsonValue, acceptable: JsonValue): boolean {
  if (isObject(value) && isObject(acceptable))
    return objectFits(value as Record<string, JsonValue>, acceptable as Record<string, JsonValue>);
  if (Array.isArray(value) && Array.isArray(acceptable) && acceptable.some(isObject))
    return value.length === acceptable.length && value.every((item, i) => fits(item, acceptable[i] ?? null));
  return standard(value) === standard(acceptable);
}

function oneOf(value: JsonValue, acceptable: readonly JsonValue[]): boolean {
  return acceptable.some((allowed) => fits(value, allowed));
}

function callFits(call: ToolCall, acceptable: AcceptableCall, tool: Tool | undefined): boolean {
  if (call.name !== acceptable.name || tool === undefined) return false;
  const root = tool.parameters;
  const views = schemaViews(root, root);
  if (!(root.required ?? []).every((key) => Object.hasOwn(call.arguments, key))) return false;
  const given = Object.entries(call.arguments).every(([key, value]) => {
    const allowed = Object.hasOwn(acceptable.arguments, key) ? acceptable.arguments[key] : undefined;
    return allowed !== undefined && hasType(value, propertyViews(views, key, root)) && oneOf(value, allowed);
  });
  const leftOut = Object.keys(acceptable.arguments).filter((key) => !Object.hasOwn(call.arguments, key));
  return given && leftOut.every((key) => acceptable.arguments[key]?.includes("") === true);
}

/**
 * Whether an answer passes the published rules of BFCL's AST checker: as many calls as acceptable ones, matched in any
 * order; every argument of the declared type and with one of the allowed values (texts compared without case, blanks
 * and `,./-_*^`); an argument may be left out where `""` is allowed. With no acceptable calls (irrelevance) an answer
 * passes when it holds no call, also when it cannot be read as one.
 */
export function passesOfficial(
  calls: readonly ToolCall[] | null,
  acceptable: readonly AcceptableCall[],
  tools: readonly Tool[],
): boolean {
  if (acceptable.length === 0) return calls === null || calls.length === 0;
  if (calls === null || calls.length !== acceptable.length) return false;
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  const weights = acceptable.map((wanted) =>
    calls.map((call) => Number(callFits(call, wanted, byName.get(call.name)))),
  );
  return bestAssignment(weights).every((column, row) => weights[row]?.[column] === 1);
}
