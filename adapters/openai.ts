/** OpenAI's chat completions and responses APIs, and every endpoint that speaks them. */
import type { RunnableToolFunctionWithoutParse } from "openai/lib/RunnableFunction";
import type {
  ChatCompletionFunctionTool,
  ChatCompletionMessageToolCall,
  ChatCompletionToolMessageParam,
} from "openai/resources/chat/completions";
import type {
  FunctionTool,
  ResponseInputItem,
  ResponseOutputItem,
} from "openai/resources/responses/responses";
import type { AnswerOptions, JsonSchema, JsonSchemaObject, Toolset } from "specdojo";
import { answerOptions, offeredTools, type ToolOptions } from "./shared/options.js";

export interface StrictOptions {
  /** Names of the tools to offer. Default: all. */
  tools?: readonly string[];
  /** Ask for strict mode where a tool's schema is in the subset that it takes. Default true. */
  strict?: boolean;
}

/** `tools` of a chat completion. */
export function chatTools(toolset: Toolset, options: StrictOptions = {}): ChatCompletionFunctionTool[] {
  return offered(toolset, options).map(({ name, description, parameters, strict }) => ({
    type: "function",
    function: { name, description, parameters, ...(strict ? { strict } : {}) },
  }));
}

/** `tools` of a response. */
export function responseTools(toolset: Toolset, options: StrictOptions = {}): FunctionTool[] {
  return offered(toolset, options).map((tool) => ({ type: "function", ...tool }));
}

/** `tools` of `chat.completions.runTools`, the package's own loop. */
export function runnableTools(
  toolset: Toolset,
  options: StrictOptions & ToolOptions = {},
): RunnableToolFunctionWithoutParse[] {
  const { strict: _, ...toolOptions } = options;
  return chatTools(toolset, options).map(
    ({ function: { name, description = "", parameters = {}, strict } }) => ({
      type: "function",
      function: {
        name,
        description,
        parameters,
        ...(strict ? { strict } : {}),
        function: async (args, runner) =>
          (
            await toolset.answer(
              name,
              args,
              answerOptions(toolOptions, toolOptions.signal ?? runner.controller.signal),
            )
          ).text,
      },
    }),
  );
}

/** Runs the tool calls of a chat completion's message; the replies go into the next request after that message. */
export function runToolCalls(
  toolset: Toolset,
  calls: readonly ChatCompletionMessageToolCall[] | undefined | null,
  options?: AnswerOptions,
): Promise<ChatCompletionToolMessageParam[]> {
  return Promise.all(
    (calls ?? []).map(async (call) => ({
      role: "tool" as const,
      tool_call_id: call.id,
      content:
        call.type === "function"
          ? (await toolset.answer(call.function.name, call.function.arguments, options)).text
          : JSON.stringify({ error: "Only function tools can be called." }),
    })),
  );
}

/** Runs the function calls among a response's output; the outputs go into the next request's input. */
export function runFunctionCalls(
  toolset: Toolset,
  output: readonly ResponseOutputItem[],
  options?: AnswerOptions,
): Promise<ResponseInputItem.FunctionCallOutput[]> {
  const calls = output.filter((item) => item.type === "function_call");
  return Promise.all(
    calls.map(async (call) => ({
      type: "function_call_output" as const,
      call_id: call.call_id,
      output: (await toolset.answer(call.name, call.arguments, options)).text,
    })),
  );
}

function offered(toolset: Toolset, options: StrictOptions) {
  return offeredTools(toolset, options).map(({ name, description, parameters }) => {
    const strict = options.strict === false ? undefined : strictSchema(parameters);
    return {
      name,
      description: description.slice(0, 1024),
      parameters: { ...(strict ?? parameters) } as Record<string, unknown>,
      strict: strict !== undefined,
    };
  });
}

// The keywords of strict mode; `default` and `examples` say nothing about validity and are left out.
const plain = new Set(["type", "enum", "const", "description", "title", "$ref", "pattern", "multipleOf"]);
const bounds = new Set([
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "minItems",
  "maxItems",
]);
const dropped = new Set(["default", "examples", "deprecated", "readOnly", "writeOnly"]);
const formats = new Set([
  "date-time",
  "time",
  "date",
  "duration",
  "email",
  "hostname",
  "ipv4",
  "ipv6",
  "uuid",
]);
const limits = { properties: 5000, depth: 10, enums: 1000 };

/**
 * The schema as strict mode takes it, or undefined when it is outside that subset: all properties of every object must
 * be required. Objects that leave further properties open are closed, which only narrows them.
 */
export function strictSchema(schema: JsonSchemaObject): JsonSchemaObject | undefined {
  const count = { properties: 0, enums: 0 };
  const convert = (part: JsonSchema | undefined, depth: number): JsonSchemaObject | undefined => {
    if (typeof part !== "object" || depth > limits.depth) return undefined;
    const result: JsonSchemaObject = {};
    for (const [keyword, value] of Object.entries(part)) {
      if (dropped.has(keyword)) continue;
      if (keyword === "format") {
        if (part.type === "integer" || part.type === "number") continue;
        if (!formats.has(String(value))) return undefined;
        result.format = String(value);
      } else if (plain.has(keyword) || bounds.has(keyword) || keyword === "required") result[keyword] = value;
      else if (keyword === "additionalProperties") {
        if (value !== false) return undefined;
      } else if (keyword === "items") {
        const items = convert(part.items, depth + 1);
        if (items === undefined) return undefined;
        result.items = items;
      } else if (keyword === "anyOf") {
        const members = (part.anyOf ?? []).map((member) => convert(member, depth + 1));
        if (members.some((member) => member === undefined)) return undefined;
        result.anyOf = members.filter((member) => member !== undefined);
      } else if (keyword === "properties" || keyword === "$defs") {
        const converted = new Map<string, JsonSchemaObject>();
        for (const [name, inner] of Object.entries(part[keyword] ?? {})) {
          const below = convert(inner, depth + (keyword === "$defs" ? 0 : 1));
          if (below === undefined) return undefined;
          converted.set(name, below);
        }
        result[keyword] = Object.fromEntries(converted);
      } else return undefined;
    }
    if (Array.isArray(part.enum)) count.enums += part.enum.length;
    if (part.type === "object" || part.properties !== undefined) {
      const names = Object.keys(part.properties ?? {});
      const required = new Set(part.required ?? []);
      if (
        part.type !== "object" ||
        names.length !== required.size ||
        names.some((name) => !required.has(name))
      )
        return undefined;
      count.properties += names.length;
      result.properties ??= {};
      result.required = names;
      result.additionalProperties = false;
    } else if (
      part.type === undefined &&
      part.$ref === undefined &&
      part.anyOf === undefined &&
      part.enum === undefined &&
      part.const === undefined
    )
      return undefined;
    return result;
  };
  // An object that takes anything cannot be closed without changing what it means.
  const free = (part: unknown): boolean =>
    typeof part === "object" &&
    part !== null &&
    ("type" in part && part.type === "object" && !("properties" in part)
      ? part !== schema
      : Object.values(part).some(free));
  if (schema.type !== "object" || free(schema)) return undefined;
  const result = convert(schema, 0);
  return count.properties > limits.properties || count.enums > limits.enums ? undefined : result;
}
