import { createArgumentValidator } from "../openapi/arguments.js";
import { createMenuIndex } from "../openapi/search.js";
import type { Tool, ToolMenu } from "../openapi/types.js";
import type { ToolCall } from "../task/types.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject } from "../util/json.js";
import { createClient, invalidArguments } from "./client.js";
import type {
  ArgumentIssue,
  CallFailure,
  Client,
  ClientOptions,
  FileContent,
  HttpError,
  PlannedRequest,
  UntypedOperations,
} from "./client-types.js";
import type { DefinedTool } from "./define-tool.js";
import { project, resultText } from "./result-text.js";

export interface ExecuteOptions {
  /** Asked for each call that is not read-only and not in `allow`. */
  confirm?: (call: ToolCall, tool: Tool) => boolean | Promise<boolean>;
  /** Names of tools that may change things without being asked about. */
  allow?: readonly string[];
  /** Plan the requests and send none. */
  dryRun?: boolean;
  signal?: AbortSignal;
  /** Files that calls may send, by name. A model writes the name; it never sees the content. */
  files?: Readonly<Record<string, FileContent>>;
  /** Who the calls are made for: handed to the client's `credentials`, and to the application's own tools. */
  context?: unknown;
  /**
   * By tool, the properties of results that a model sees, e.g. `{ listPets: ["name", "owner.city"] }`; lists on the way
   * are passed through. Default: all. The outcome itself stays whole.
   */
  fields?: Readonly<Record<string, readonly string[]>>;
}

/** The outcome of a call for a model to read. */
export interface ToolAnswer {
  ok: boolean;
  text: string;
}

export interface AnswerOptions extends ExecuteOptions {
  /** Longest answer. Default 8000. */
  maxCharacters?: number;
}

/** What became of one call. */
export type ToolOutcome =
  | { ok: true; data: unknown; status?: number }
  | { ok: true; dryRun: PlannedRequest }
  | { ok: false; error: CallFailure | HttpError<number, unknown> };

/** Tools with the means to run them: what an agent framework needs. An `Agent` is one. */
export interface Toolset<O = UntypedOperations> {
  /** The API's tools and the application's own. */
  readonly tools: readonly Tool[];
  readonly menu: ToolMenu;
  readonly client: Client<O>;
  /** Tools that fit a text, best first: at most `limit`, by default all that fit at all. */
  search(text: string, limit?: number): Tool[];
  /** Whether calls of a tool need `confirm` or `allow`: all that change something but the application's trusted tools. */
  needsConfirmation(name: string): boolean;
  /** What is wrong with the arguments of a call; empty when it fits the tool's schema. */
  check(name: string, args: unknown): ArgumentIssue[];
  /** Runs one call under the safety policy: read-only tools run, others need `confirm` or `allow`. */
  execute(call: ToolCall, options?: ExecuteOptions): Promise<ToolOutcome>;
  /**
   * The same for a call as a framework hands it over, arguments as an object or as JSON text. Gives the outcome as JSON
   * text for a model to read; too much of it is cut, and the text says so.
   */
  answer(name: string, args: unknown, options?: AnswerOptions): Promise<ToolAnswer>;
}

export interface ToolsetOptions {
  menu: ToolMenu;
  /** Options of the client of the API. */
  client?: ClientOptions;
  /** The application's own tools (see `defineTool`). */
  tools?: readonly DefinedTool[];
}

/**
 * The tools of a menu without a solver, for any model to call.
 * @throws SpecdojoError `duplicate-tool` when an own tool has the name of another.
 */
export function createToolset<O = UntypedOperations>(options: ToolsetOptions): Toolset<O> {
  const own = new Map((options.tools ?? []).map((defined) => [defined.tool.name, defined]));
  const menu = joinMenu(options.menu, options.tools ?? []);
  const tools = new Map(menu.tools.map((tool) => [tool.name, tool]));
  const validator = createArgumentValidator();
  const client = createClient<O>(options.menu, options.client);

  function check(name: string, args: unknown): ArgumentIssue[] {
    const tool = tools.get(name);
    if (tool === undefined) return [{ pointer: "", message: "There is no such tool." }];
    const checked = validator.validate(tool, args);
    return checked.ok ? [] : checked.errors;
  }

  function needsConfirmation(name: string): boolean {
    return tools.get(name)?.annotations.readOnly !== true && own.get(name)?.trusted !== true;
  }

  async function execute(call: ToolCall, executeOptions: ExecuteOptions = {}): Promise<ToolOutcome> {
    const operation = call.name;
    const tool = tools.get(call.name);
    const issues = check(call.name, call.arguments);
    if (tool === undefined || issues.length > 0) return failure(invalidArguments(operation, issues));
    const { confirm, allow, dryRun, signal, files = {}, context } = executeOptions;
    const defined = own.get(call.name);
    const free = !needsConfirmation(call.name) || allow?.includes(call.name) === true;
    if (!free && dryRun !== true && (await confirm?.(structuredClone(call), tool)) !== true)
      return failure({
        kind: "not-confirmed",
        operation,
        message: "The call changes something and was not confirmed.",
      });
    if (signal?.aborted) return failure({ kind: "aborted", operation, message: "The call was aborted." });
    if (defined !== undefined) return executeOwn(defined, call, executeOptions);
    const untyped = client as unknown as Client;
    if (dryRun === true) {
      const planned = untyped.dryRun(call.name, call.arguments, { files });
      return planned.ok ? { ok: true, dryRun: planned.request } : { ok: false, error: planned.error };
    }
    const result = await untyped.call(call.name, call.arguments, {
      files,
      context,
      redact: true,
      ...(signal === undefined ? {} : { signal }),
    });
    return result.ok
      ? { ok: true, data: result.data, status: result.status }
      : { ok: false, error: result.error };
  }

  let index: ReturnType<typeof createMenuIndex> | undefined;
  function search(text: string, limit = menu.tools.length): Tool[] {
    index ??= createMenuIndex(menu);
    return index.search(text, limit);
  }

  return {
    tools: menu.tools,
    menu,
    client,
    search,
    needsConfirmation,
    check,
    execute,
    answer: async (name, args, { maxCharacters, ...rest } = {}) => {
      const read = readArguments(args);
      const outcome = read === undefined ? unreadable(name) : await execute({ name, arguments: read }, rest);
      const text = outcomeText(outcome, { maxCharacters, fields: rest.fields?.[name] });
      return { ok: outcome.ok, text };
    },
  };
}

/** The outcome of a call as JSON text for a model, with only these `fields` of its data. */
export function outcomeText(
  outcome: ToolOutcome,
  options: { maxCharacters?: number | undefined; fields?: readonly string[] | undefined } = {},
): string {
  const { maxCharacters, fields } = options;
  if (outcome.ok && "dryRun" in outcome) return resultText({ planned: outcome.dryRun }, maxCharacters);
  if (outcome.ok)
    return resultText(fields === undefined ? outcome.data : project(outcome.data, fields), maxCharacters);
  const { kind, message } = outcome.error;
  const detail =
    outcome.error.kind === "http" ? { status: outcome.error.status, body: outcome.error.body } : {};
  return resultText({ error: kind, message, ...detail }, maxCharacters);
}

function readArguments(args: unknown): JsonObject | undefined {
  if (args === undefined || args === null || args === "") return {};
  if (isObject(args)) return args as JsonObject;
  if (typeof args !== "string") return undefined;
  try {
    const value: unknown = JSON.parse(args);
    return isObject(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

function unreadable(operation: string): ToolOutcome {
  return failure(
    invalidArguments(operation, [{ pointer: "", message: "The arguments are not a JSON object." }]),
  );
}

function failure(error: CallFailure): ToolOutcome {
  return { ok: false, error };
}

async function executeOwn(
  defined: DefinedTool,
  call: ToolCall,
  options: ExecuteOptions,
): Promise<ToolOutcome> {
  if (options.dryRun === true)
    return {
      ok: true,
      dryRun: { method: "CALL", url: call.name, headers: {}, body: JSON.stringify(call.arguments) },
    };
  const result = await defined.run(call.arguments, {
    signal: options.signal ?? new AbortController().signal,
    context: options.context,
  });
  return result.ok ? result : failure(invalidArguments(call.name, result.issues));
}

function joinMenu(menu: ToolMenu, own: readonly DefinedTool[]): ToolMenu {
  if (own.length === 0) return menu;
  const names = new Set(menu.tools.map(({ name }) => name));
  const domains = menu.domains.map((domain) => ({ ...domain, tools: [...domain.tools] }));
  for (const { tool } of own) {
    if (names.has(tool.name))
      throw new SpecdojoError("duplicate-tool", `Two tools are named ${JSON.stringify(tool.name)}.`, {
        place: "createAgent.tools",
        remedy: "Rename the application's own tool.",
      });
    names.add(tool.name);
    const domain = domains.find(({ name }) => name === tool.domain);
    if (domain === undefined)
      domains.push({ name: tool.domain, description: "The application's own tools", tools: [tool.name] });
    else domain.tools.push(tool.name);
  }
  return { ...menu, tools: [...menu.tools, ...own.map(({ tool }) => tool)], domains };
}
