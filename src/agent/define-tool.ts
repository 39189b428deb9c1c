import * as z from "zod";
import type * as z3 from "zod/v3";
import { zodToJsonSchema } from "zod-to-json-schema";
import type { Tool } from "../openapi/types.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonSchemaObject } from "../util/json.js";
import type { ArgumentIssue } from "./client-types.js";

/** What an own tool gets beside its arguments. */
export interface ToolContext {
  signal: AbortSignal;
  /** `context` of `execute` or `run`: who the call is made for. */
  context?: unknown;
}

/** A tool of the application's own, which joins the tools of an API. */
export interface DefinedTool {
  tool: Tool;
  /** Whether `agent.run` may call it without asking. */
  trusted: boolean;
  /** Checks (and, with a zod schema, transforms) the arguments, then executes. Rejects with what `execute` throws. */
  run(
    args: unknown,
    context: ToolContext,
  ): Promise<{ ok: true; data: unknown } | { ok: false; issues: ArgumentIssue[] }>;
}

export interface ToolDefinition<Schema, Arguments> {
  /** `[A-Za-z0-9_-]{1,64}`. */
  name: string;
  description: string;
  /** A zod 4 object, a zod 3 object, or a JSON Schema of type object. */
  parameters: Schema;
  execute(args: Arguments, context: ToolContext): unknown;
  /** Domain in which the tool is listed. Default `own`. */
  domain?: string;
  /** It changes nothing. Default false. */
  readOnly?: boolean;
  /** False: `agent.run` asks `confirm` first. Default true, since the application brought the tool itself. */
  trusted?: boolean;
}

type Zod3 = z3.ZodTypeAny;
type Parsed = { ok: true; value: unknown } | { ok: false; issues: ArgumentIssue[] };

export function defineTool<S extends z.ZodType>(definition: ToolDefinition<S, z.output<S>>): DefinedTool;
export function defineTool<S extends Zod3>(definition: ToolDefinition<S, z3.output<S>>): DefinedTool;
export function defineTool(
  definition: ToolDefinition<JsonSchemaObject, Record<string, unknown>>,
): DefinedTool;
/**
 * Makes a tool of a name, a description, a parameter schema and a function.
 * @throws SpecdojoError `invalid-tool` for a name or schema that no tool can have.
 */
export function defineTool(definition: ToolDefinition<unknown, never>): DefinedTool {
  const { name, description, parameters: schema } = definition;
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name))
    throw new SpecdojoError("invalid-tool", `${JSON.stringify(name)} is not a tool name.`, {
      place: "defineTool.name",
      remedy: "Use 1 to 64 letters, digits, `_` and `-`.",
    });
  const { parameters, parse } = readSchema(name, schema);
  return {
    tool: {
      name,
      method: "post",
      path: "",
      domain: definition.domain ?? "own",
      description,
      parameters,
      bindings: {},
      responses: {},
      deprecated: false,
      annotations: { readOnly: definition.readOnly ?? false, destructive: false, idempotent: false },
      servers: [],
      pointer: "",
    },
    trusted: definition.trusted ?? true,
    async run(args, context) {
      const parsed = parse(args);
      // `parse` comes from the very schema that `execute` is typed by.
      return parsed.ok
        ? { ok: true, data: await definition.execute(parsed.value as never, context) }
        : parsed;
    },
  };
}

function readSchema(
  name: string,
  schema: unknown,
): { parameters: JsonSchemaObject; parse: (args: unknown) => Parsed } {
  const place = `defineTool(${JSON.stringify(name)}).parameters`;
  if (isZod4(schema)) {
    const { $schema: _, ...parameters } = z.toJSONSchema(schema, { io: "input" }) as JsonSchemaObject;
    return { parameters: objectSchema(parameters, place), parse: (args) => fromZod(schema.safeParse(args)) };
  }
  if (isZod3(schema)) {
    const converted = zodToJsonSchema(schema, {
      $refStrategy: "none",
      target: "jsonSchema7",
    }) as JsonSchemaObject;
    const { $schema: _, ...parameters } = converted;
    return { parameters: objectSchema(parameters, place), parse: (args) => fromZod(schema.safeParse(args)) };
  }
  if (!isObject(schema))
    throw new SpecdojoError("invalid-tool", "The parameters are neither a zod schema nor a JSON Schema.", {
      place,
      remedy: "Give z.object({…}) or {type: 'object', properties: {…}}.",
    });
  const parameters = objectSchema(structuredClone(schema) as JsonSchemaObject, place);
  return { parameters, parse: (args) => ({ ok: true, value: args }) };
}

function isZod4(value: unknown): value is z.ZodType {
  return isObject(value) && "_zod" in value;
}

function isZod3(value: unknown): value is Zod3 {
  return (
    isObject(value) && !("_zod" in value) && isObject(value._def) && typeof value.safeParse === "function"
  );
}

function objectSchema(schema: JsonSchemaObject, place: string): JsonSchemaObject {
  if (schema.type === "object") return schema;
  throw new SpecdojoError("invalid-tool", "The parameters of a tool are an object.", {
    place,
    remedy: "Wrap the value: z.object({ value: … }).",
  });
}

type ZodResult =
  | { success: true; data: unknown }
  | { success: false; error: { issues: readonly { path: readonly PropertyKey[]; message: string }[] } };

function fromZod(result: ZodResult): Parsed {
  if (result.success) return { ok: true, value: result.data };
  const issues = result.error.issues.map(({ path, message }) => ({
    pointer: path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join(""),
    message,
  }));
  return { ok: false, issues };
}
