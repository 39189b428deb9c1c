import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Tool, ToolMenu } from "../openapi/types.js";
import type { ToolCall } from "../task/types.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import { readArguments, readId, withoutNulls } from "./lines.js";

const jsonValue: z.ZodType<JsonValue> = z.json();

const goldCallSchema = z
  .object({
    name: z.string().min(1).optional(),
    method: z.string().optional(),
    path: z.string().optional(),
    arguments: z.record(z.string(), jsonValue).optional(),
  })
  .refine((call) => typeof call.name === "string" || (call.method !== undefined && call.path !== undefined), {
    message: "needs `name` (an operationId), or `method` and `path`",
  });

/** One line of a task file; see `docs/evaluation.md`. */
export const evaluationTaskSchema = z.object({
  id: z.string().min(1),
  question: z.string().trim().min(1),
  gold: z.array(goldCallSchema),
  args_known: z.boolean().optional(),
  source: z.string().optional(),
});

/** A task whose operations were looked up in the menu. */
export interface ResolvedTask {
  id: string;
  question: string;
  /** With the menu's tool names; an operation that the menu lacks keeps the name that the file gives. */
  gold: ToolCall[];
  argsKnown: boolean;
  /** Who wrote it, as the file says. */
  source: string | undefined;
}

const maxProblems = 10;

/** Paths are compared without the names of their parameters and without a trailing slash. */
function pathShape(path: string): string {
  return path.replace(/\{[^}]*\}/g, "{}").replace(/(.)\/$/, "$1");
}

/** The tool that a call means: by operationId, then tool name, then method and path. */
export function findOperation(
  menu: ToolMenu,
  call: Pick<z.infer<typeof goldCallSchema>, "name" | "method" | "path">,
): Tool | undefined {
  const byName =
    typeof call.name === "string"
      ? (menu.tools.find((tool) => tool.operationId === call.name) ??
        menu.tools.find((tool) => tool.name === call.name))
      : undefined;
  if (byName !== undefined || call.method === undefined || call.path === undefined) return byName;
  const method = call.method.toLowerCase();
  const path = call.path;
  const candidates = menu.tools.filter((tool) => tool.method === method);
  return (
    candidates.find((tool) => tool.path === path) ??
    candidates.find((tool) => pathShape(tool.path) === pathShape(path))
  );
}

function callLabel(call: z.infer<typeof goldCallSchema>): string {
  return call.name ?? `${call.method} ${call.path}`;
}

/** The tasks of a file that can be read, what is wrong with its other lines, and operations that the menu lacks. */
export interface TaskFile {
  tasks: (ResolvedTask & { line: number })[];
  problems: string[];
  unknown: string[];
}

/** A line as `evaluationTaskSchema` has it: `null` for what is left out. Arguments that are `null` are not known. */
function normalise(value: unknown, line: number): unknown {
  if (!isObject(value)) return value;
  const task = withoutNulls(value);
  task.id = readId(task.id, line);
  const { gold } = task;
  if (!Array.isArray(gold)) return task;
  if (gold.some((call: unknown) => isObject(call) && call.arguments === null)) task.args_known ??= false;
  task.gold = gold.map((call: unknown) =>
    isObject(call)
      ? { ...withoutNulls(call), arguments: readArguments(call.arguments) ?? call.arguments }
      : call,
  );
  return task;
}

/** Reads tasks (JSON Lines) and finds their operations in the menu, by operationId, tool name, or method and path. */
export function readTaskFile(text: string, place: string, menu: ToolMenu): TaskFile {
  const file: TaskFile = { tasks: [], problems: [], unknown: [] };
  const seen = new Map<string, number>();
  for (const [index, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    if (line.trim() === "") continue;
    const at = `${place}:${index + 1}`;
    const task = readLine(line, place, index + 1, file.problems);
    if (task === undefined) continue;
    const { id } = task;
    const first = seen.get(id);
    if (first !== undefined)
      file.problems.push(`${at}: the id ${JSON.stringify(id)} was used in line ${first}`);
    seen.set(id, index + 1);
    const gold: ToolCall[] = [];
    for (const call of task.gold) {
      const tool = findOperation(menu, call);
      if (tool === undefined)
        file.unknown.push(`${at}: the document has no operation ${JSON.stringify(callLabel(call))}`);
      gold.push({
        name: tool?.name ?? callLabel(call),
        arguments: (call.arguments ?? {}) as JsonObject,
      });
    }
    file.tasks.push({
      id,
      question: task.question,
      gold,
      argsKnown: task.args_known ?? true,
      source: task.source,
      line: index + 1,
    });
  }
  return file;
}

/**
 * The tasks of a file, as `readTaskFile`. Throws `tasks-invalid`, which names file, line and remedy of up to ten problems,
 * when a line cannot be used, and when the menu lacks an operation, unless these are `kept`: then no answer is right.
 */
export function parseTasks(
  text: string,
  place: string,
  menu: ToolMenu,
  unknown: "refused" | "kept" = "refused",
): ResolvedTask[] {
  refuseOtherFormats(text, place);
  const file = readTaskFile(text, place, menu);
  const { tasks } = file;
  const problems = unknown === "kept" ? file.problems : [...file.problems, ...file.unknown];
  if (problems.length > 0) {
    const more = problems.length > maxProblems ? `\nand ${problems.length - maxProblems} more` : "";
    throw new SpecdojoError("tasks-invalid", `${problems.slice(0, maxProblems).join("\n")}${more}`, {
      place,
      remedy:
        'Write one task per line as {"id", "question", "gold": [{"name", "arguments"}]}, where name is an operationId of the document (or give "method" and "path").',
    });
  }
  if (tasks.length === 0)
    throw new SpecdojoError("tasks-empty", `${place} has no tasks`, {
      place,
      remedy: "Write at least one task; some 30 or more make the intervals useful.",
    });
  return tasks.map(({ line: _, ...task }) => task);
}

/** Other files with tasks, which look alike from outside: those a run was trained on, and suites. */
function refuseOtherFormats(text: string, place: string): void {
  const [first = ""] = text
    .replace(/^\uFEFF/, "")
    .trimStart()
    .split(/\r?\n/);
  let value: unknown;
  try {
    value = JSON.parse(first);
  } catch {
    return;
  }
  if (!isObject(value)) return;
  if (isObject(value.task) || isObject(value.spec))
    throw new SpecdojoError(
      "tasks-invalid",
      `${place} holds the tasks that a run made for training itself, in the format of the run. They prove nothing about it.`,
      {
        place,
        remedy:
          "Give tasks that a person wrote (`specdojo tasks new FILE` helps), or leave --tasks out for held-out ones.",
      },
    );
  if (Array.isArray(value.tools))
    throw new SpecdojoError("tasks-invalid", `${place} is a suite whose lines bring their own tools.`, {
      place,
      remedy: "Run it with `specdojo bench`.",
    });
}

function readLine(
  line: string,
  place: string,
  number: number,
  problems: string[],
): z.infer<typeof evaluationTaskSchema> | undefined {
  const at = `${place}:${number}`;
  let value: unknown;
  try {
    value = normalise(JSON.parse(line), number);
  } catch (error) {
    problems.push(`${at}: not JSON (${error instanceof Error ? error.message : String(error)})`);
    return undefined;
  }
  const parsed = evaluationTaskSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues)
    problems.push(`${at}: /${issue.path.map(String).join("/")}: ${issue.message}`);
  return undefined;
}

/** Reads a task file; throws `tasks-unreadable` when there is none, otherwise as `parseTasks`. */
export async function loadTasks(
  path: string,
  menu: ToolMenu,
  unknown: "refused" | "kept" = "refused",
): Promise<ResolvedTask[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new SpecdojoError("tasks-unreadable", `cannot read the task file ${path}`, {
      place: path,
      remedy: "Check the path given with --tasks.",
      cause,
    });
  }
  return parseTasks(text, path, menu, unknown);
}
