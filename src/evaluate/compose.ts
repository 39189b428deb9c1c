import { createArgumentValidator } from "../openapi/arguments.js";
import { renderCompact } from "../openapi/render.js";
import type { Tool, ToolMenu } from "../openapi/types.js";
import { propertyViews, schemaViews, typesOf } from "../task/schema.js";
import type { ToolCall } from "../task/types.js";
import { createValueSampler } from "../task/values.js";
import { wordsOf } from "../task/words.js";
import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import type { Random } from "../util/random.js";
import { TrainedQuestions } from "./contamination.js";
import type { ResolvedTask } from "./tasks.js";

/** Where the questions to a person go. `ask` gives null when there is no more input. */
export interface Dialogue {
  ask(prompt: string): Promise<string | null>;
  say(text: string): void;
}

/** A line of a task file. */
export interface TaskLine {
  id: string;
  question: string;
  gold: { name: string; method: string; path: string; arguments: JsonObject }[];
  args_known: boolean;
  source?: string;
}

/** A call for a question: values that stand in it, and for what is required and does not, values drawn from the schema. */
export function proposeCall(
  tool: Tool,
  question: string,
  random: Random,
): { arguments: JsonObject; guessed: string[] } {
  const root = tool.parameters;
  const views = schemaViews(root, root);
  const required = new Set(root.required ?? []);
  const drawn = createValueSampler().arguments(tool, [], random) ?? {};
  const quoted = [...question.matchAll(/["“'‘]([^"”'’]+)["”'’]/g)].map(([, text = ""]) => text);
  const numbers = [...question.matchAll(/(?<![\w.-])-?\d+(?:\.\d+)?(?![\w-])/g)].map(([text]) =>
    Number(text),
  );
  const dates = [...question.matchAll(/\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+Z?)?/g)].map(([text]) => text);
  const mails = [...question.matchAll(/[\w.+-]+@[\w-]+\.[\w.]+\w/g)].map(([text]) => text);
  const lower = question.toLowerCase();
  const args: JsonObject = {};
  const guessed: string[] = [];
  for (const name of Object.keys(root.properties ?? {})) {
    const own = propertyViews(views, name, root);
    const types = typesOf(own);
    const allowed = own.find((view) => Array.isArray(view.enum))?.enum as JsonValue[] | undefined;
    const format = own.find((view) => typeof view.format === "string")?.format;
    let value: JsonValue | undefined;
    if (allowed !== undefined)
      value = allowed.find(
        (one) => one !== "" && lower.includes(String(one).toLowerCase().replaceAll("_", " ")),
      );
    else if (types.has("integer") || types.has("number")) {
      const at = numbers.findIndex((one) => types.has("number") || Number.isInteger(one));
      value = at < 0 || !(required.has(name) || named(name, lower)) ? undefined : numbers.splice(at, 1)[0];
    } else if (types.has("string")) {
      if (format === "date" || format === "date-time") value = dates.shift();
      else if (format === "email") value = mails.shift();
      else if (required.has(name) || named(name, lower)) value = quoted.shift();
    }
    if (value === undefined && required.has(name)) {
      value = drawn[name] ?? "";
      guessed.push(name);
    }
    if (value !== undefined) args[name] = value;
  }
  return { arguments: args, guessed };
}

/** Whether a text has the words of an argument's name. */
function named(name: string, lower: string): boolean {
  const words = wordsOf(name).filter((word) => word !== "id");
  return words.length > 0 && words.every((word) => lower.includes(word));
}

/** Operations that the fewest tasks need come first. */
function operationsInTurn(menu: ToolMenu, tasks: readonly ResolvedTask[]): Tool[] {
  const counts = new Map<string, number>();
  for (const { gold } of tasks) for (const { name } of gold) counts.set(name, (counts.get(name) ?? 0) + 1);
  return menu.tools
    .map((tool, i) => ({ tool, i, count: counts.get(tool.name) ?? 0 }))
    .sort((a, b) => a.count - b.count || a.i - b.i)
    .map(({ tool }) => tool);
}

/**
 * Helps a person to write tasks: shows operations one after another, takes a question, proposes the call, checks what the
 * person makes of it against the schema, and hands each task to `save`. Returns the number of tasks.
 */
export async function composeTasks(options: {
  menu: ToolMenu;
  /** Tasks that are there. */
  tasks: readonly ResolvedTask[];
  dialogue: Dialogue;
  random: Random;
  source?: string | undefined;
  save: (task: TaskLine) => Promise<void>;
}): Promise<number> {
  const { menu, dialogue } = options;
  const validator = createArgumentValidator();
  const questions = options.tasks.map(({ question }) => question);
  const ids = new Set(options.tasks.map(({ id }) => id));
  const byName = new Map(menu.tools.map((tool) => [tool.name, tool]));
  let written = 0;

  /** The person's arguments for one call; `unknown` where they do not know them, null to leave the question. */
  const takeCall = async (tool: Tool, question: string): Promise<JsonObject | "unknown" | null> => {
    let proposal = proposeCall(tool, question, options.random.fork(`${tool.name}/${question}`));
    for (;;) {
      dialogue.say(`  ${tool.name}(${JSON.stringify(proposal.arguments)})`);
      if (proposal.guessed.length > 0)
        dialogue.say(`  not in the question, drawn from the schema: ${proposal.guessed.join(", ")}`);
      const typed = await dialogue.ask(
        "  arguments as JSON; Enter takes these; u: not known; s: leave this question > ",
      );
      if (typed === null || typed.trim() === "s") return null;
      if (typed.trim() === "u") return "unknown";
      if (typed.trim() !== "") {
        const read = readObject(typed);
        if (typeof read === "string") {
          dialogue.say(`  ${read}`);
          continue;
        }
        proposal = { arguments: read, guessed: [] };
      }
      const checked = validator.validate(tool, proposal.arguments);
      if (checked.ok) return proposal.arguments;
      for (const { pointer, message } of checked.errors) dialogue.say(`  refused: ${pointer} ${message}`);
    }
  };

  for (const [i, tool] of operationsInTurn(menu, options.tasks).entries()) {
    dialogue.say("");
    dialogue.say(`${i + 1} of ${menu.tools.length}  ${tool.method.toUpperCase()} ${tool.path}`);
    dialogue.say(renderCompact(tool));
    for (;;) {
      const typed = await dialogue.ask("question a user would ask; Enter: next operation; q: stop > ");
      if (typed === null || typed.trim() === "q") return written;
      const question = typed.trim();
      if (question === "") break;
      const near = new TrainedQuestions(questions).find(question);
      if (near !== undefined) {
        dialogue.say(`  nearly the same question is there: ${near.trained}`);
        continue;
      }
      const calls: { tool: Tool; call: ToolCall }[] = [];
      let known = true;
      let next: Tool | undefined = tool;
      while (next !== undefined) {
        const args: JsonObject | "unknown" | null = await takeCall(next, question);
        if (args === null) break;
        if (args === "unknown") known = false;
        calls.push({ tool: next, call: { name: next.name, arguments: args === "unknown" ? {} : args } });
        const more: string =
          (await dialogue.ask("  another call for this question? its name, or Enter > ")) ?? "";
        next = byName.get(more.trim());
        if (more.trim() !== "" && next === undefined) dialogue.say(`  there is no operation ${more.trim()}`);
      }
      if (calls.length === 0) continue;
      let number = ids.size + 1;
      while (ids.has(`task-${number}`)) number++;
      const id = `task-${number}`;
      ids.add(id);
      questions.push(question);
      await options.save({
        id,
        question,
        gold: calls.map(({ tool: { operationId, name, method, path }, call }) => ({
          name: operationId ?? name,
          method: method.toUpperCase(),
          path,
          arguments: call.arguments,
        })),
        args_known: known,
        ...(options.source === undefined ? {} : { source: options.source }),
      });
      written++;
      dialogue.say(`  written as ${id}`);
    }
  }
  return written;
}

function readObject(text: string): JsonObject | string {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? (value as JsonObject) : "That is no JSON object.";
  } catch (error) {
    return `That is not JSON (${error instanceof Error ? error.message : String(error)}).`;
  }
}
