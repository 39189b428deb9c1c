import { z } from "zod";
import type { Tool } from "../openapi/types.js";
import type { ChatMessage } from "../task/conversation.js";
import type { ToolCall } from "../task/types.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonSchemaObject, type JsonValue } from "../util/json.js";
import { linesOf, readArguments, readId, withoutNulls } from "./lines.js";

const jsonObject = z.record(z.string(), z.json());

/** Suites whose published rules are known here. */
export const suiteNames = [
  "bfcl",
  "toolalpaca",
  "seal-tools",
  "nexusraven",
  "api-bank",
  "snips",
  "restbench",
] as const;
export type SuiteName = (typeof suiteNames)[number];

/** Name of a type as the suite's own files write it, and that of a list's items. */
const argumentTypeSchema = z.union([z.tuple([z.string()]), z.tuple([z.string(), z.string()])]);
export type ArgumentType = z.infer<typeof argumentTypeSchema>;

/** One line of a suite: its own tools, and the calls that answer it; see `docs/evaluation.md`. */
export const suiteItemSchema = z.object({
  id: z.string().min(1),
  question: z.string(),
  /** The turns of a conversation; `question` then has them joined. */
  messages: z.array(z.object({ role: z.string(), content: z.string() })).optional(),
  tools: z.array(
    z.object({
      name: z.string().min(1),
      description: z.string().optional(),
      parameters: jsonObject.optional(),
    }),
  ),
  /** Empty where no tool should be called. */
  gold: z.array(z.object({ name: z.string(), arguments: jsonObject })),
  /** Every allowed value of each argument, as BFCL has them. `""` allows to leave the argument out. */
  acceptable: z
    .array(z.object({ name: z.string(), arguments: z.record(z.string(), z.array(z.json())) }))
    .optional(),
  /** Whose published rules count; default: those that the `id` names (`snips-…`), or BFCL's where there is `acceptable`. */
  suite: z.enum(suiteNames).optional(),
  /** A part of the suite, such as `parallel`; for BFCL it says the language of the arguments. */
  category: z.string().optional(),
  /** What the item is counted under in the analysis, such as the API that its tools belong to. */
  group: z.string().optional(),
  /** False where the arguments are not known: only the choice of tools counts. */
  args_known: z.boolean().optional(),
  /** The types of arguments in the suite's own words, by tool and argument, where JSON Schema has fewer. */
  types: z.record(z.string(), z.record(z.string(), argumentTypeSchema)).optional(),
});
export type SuiteLine = z.input<typeof suiteItemSchema>;

export interface SuiteItem {
  id: string;
  question: string;
  messages: ChatMessage[];
  tools: Tool[];
  gold: ToolCall[];
  acceptable: AcceptableCall[] | undefined;
  suite: SuiteName | undefined;
  category: string | undefined;
  /** Heading in the analysis. */
  group: string;
  argsKnown: boolean;
  types: Record<string, Record<string, ArgumentType>> | undefined;
}

export interface AcceptableCall {
  name: string;
  arguments: Record<string, JsonValue[]>;
}

const noSchema: JsonSchemaObject = { type: "object", properties: {} };

/** Without `properties` and `required` that are none, of schemas that others wrote. */
function asSchema(parameters: object): JsonSchemaObject {
  const schema: JsonSchemaObject = { ...parameters };
  if (!isObject(schema.properties)) delete schema.properties;
  if (!Array.isArray(schema.required)) delete schema.required;
  return schema;
}

/** A tool that no HTTP request belongs to: what is shown to a model and scored, and nothing else. */
export function suiteTool(tool: {
  name: string;
  description?: string | undefined;
  parameters?: object | undefined;
}): Tool {
  return {
    name: tool.name,
    method: "post",
    path: "/",
    domain: "suite",
    description: tool.description ?? "",
    parameters: tool.parameters === undefined ? noSchema : asSchema(tool.parameters),
    bindings: {},
    responses: {},
    deprecated: false,
    annotations: { readOnly: false, destructive: false, idempotent: false },
    servers: [],
    pointer: "",
  };
}

/**
 * Suites call the answering side `agent`, `assistant`, `bot` or `system`; whoever is not the user answers. A system
 * message that comes first instructs.
 */
function toRole(role: string, index: number): ChatMessage["role"] {
  if (role.toLowerCase() === "user") return "user";
  return index === 0 && role.toLowerCase() === "system" ? "system" : "assistant";
}

/** The suite that an item's `id` begins with. */
function suiteOf(id: string): SuiteName | undefined {
  return suiteNames.find((name) => id.startsWith(`${name}-`));
}

/** The text of a message; others give it in parts, or none beside calls. */
function contentText(content: unknown): unknown {
  if (content === undefined || content === null) return "";
  if (!Array.isArray(content)) return content;
  const parts: unknown[] = content.flatMap((part: unknown) =>
    isObject(part) && part.type === "text" ? [part.text] : [],
  );
  return parts.every((part) => typeof part === "string") ? parts.join("\n") : content;
}

/**
 * A line as `suiteItemSchema` has it, from one that others wrote: `null` for what is left out, tools as chat completions
 * take them, arguments as text, no `id`, no `question` beside `messages`, a suite without rules here.
 */
function normalise(value: unknown, line: number): unknown {
  if (!isObject(value)) return value;
  const item = withoutNulls(value);
  const each = (key: string, change: (entry: Record<string, unknown>) => unknown) => {
    const list = item[key];
    if (Array.isArray(list))
      item[key] = list.map((entry: unknown) => (isObject(entry) ? change(entry) : entry));
  };
  item.id = readId(item.id, line);
  each("messages", (message) => ({ ...message, content: contentText(message.content) }));
  each("tools", (tool) => withoutNulls(isObject(tool.function) ? tool.function : tool));
  each("gold", (call) => ({ ...call, arguments: readArguments(call.arguments) ?? call.arguments }));
  if (item.question === undefined && Array.isArray(item.messages))
    item.question = item.messages
      .map((message: unknown) => (isObject(message) ? `${message.role}: ${message.content}` : ""))
      .join("\n");
  if (typeof item.suite === "string" && !suiteNames.some((name) => name === item.suite)) {
    item.group ??= item.suite;
    delete item.suite;
  }
  return item;
}

/** `""` and `\uFEFF` are no items. */
function parseLine(line: string, path: string, number: number, checked = false): SuiteItem | undefined {
  const place = `${path}:${number}`;
  const bare = line.replace(/^\uFEFF/, "");
  if (bare.trim() === "") return undefined;
  const fail = (what: string) =>
    new SpecdojoError("suite-invalid", `${place}: ${what}`, {
      place,
      remedy:
        'Each line is an object with "id", "question", "tools", "gold" and, for BFCL, "acceptable". `specdojo bench convert` writes it from a suite\'s own files.',
    });
  let value: unknown;
  try {
    value = normalise(JSON.parse(bare), number);
  } catch (error) {
    throw fail(`not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  const parsed = checked
    ? { success: true as const, data: value as z.infer<typeof suiteItemSchema> }
    : suiteItemSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw fail(
      issue === undefined ? "not an item" : `/${issue.path.map(String).join("/")}: ${issue.message}`,
    );
  }
  const { id, question, messages, tools, gold, acceptable, suite, category, group, args_known, types } =
    parsed.data;
  const own = suite ?? suiteOf(id) ?? (acceptable === undefined ? undefined : "bfcl");
  // Turns that hold calls alone say nothing that a model could be shown as text.
  const spoken = (messages ?? [])
    .map(({ role, content }, i) => ({ role: toRole(role, i), content }))
    .filter(({ content }) => content !== "");
  return {
    id,
    question,
    messages: spoken.length > 0 ? spoken : [{ role: "user", content: question }],
    tools: tools.map(suiteTool),
    gold,
    acceptable,
    suite: own,
    category,
    group: group ?? category ?? own ?? "all",
    argsKnown: args_known ?? true,
    types,
  };
}

function noItems(place: string): SpecdojoError {
  return new SpecdojoError("suite-empty", `${place} has no items`, {
    place,
    remedy: "Give a file with one item per line.",
  });
}

/** Reads a suite (JSON Lines). Throws `suite-invalid`, which names file and line, where a line has another shape. */
export function parseSuite(text: string, place: string): SuiteItem[] {
  const items = text.split(/\r?\n/).flatMap((line, index) => parseLine(line, place, index + 1) ?? []);
  if (items.length === 0) throw noItems(place);
  return items;
}

/**
 * The items of a suite file, read as they are asked for; a file of any size takes the memory of one line. Throws
 * `suite-unreadable` when there is none, otherwise as `parseSuite`. `checked` says that the file was read before.
 */
export async function* readSuite(path: string, checked = false): AsyncGenerator<SuiteItem> {
  let number = 0;
  let found = false;
  try {
    for await (const line of linesOf(path)) {
      number++;
      const item = parseLine(line, path, number, checked);
      if (item === undefined) continue;
      found = true;
      yield item;
    }
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && "syscall" in cause)) throw cause;
    throw new SpecdojoError("suite-unreadable", `cannot read the suite ${path}`, {
      place: path,
      remedy: "Give the path of a JSON Lines file.",
      cause,
    });
  }
  if (!found) throw noItems(path);
}

/** All items of a suite file; throws as `readSuite`. */
export async function loadSuite(path: string): Promise<SuiteItem[]> {
  const items: SuiteItem[] = [];
  for await (const item of readSuite(path)) items.push(item);
  return items;
}
