import { existsSync } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { defineCommand } from "citty";
import { agentFolder, readMenu } from "../agent/index.js";
import { checkTaskFile } from "../evaluate/check.js";
import { composeTasks, type Dialogue } from "../evaluate/compose.js";
import { parseTasks } from "../evaluate/tasks.js";
import { taskCheckText } from "../evaluate/text.js";
import { loadOpenApi } from "../openapi/load.js";
import { buildToolMenu } from "../openapi/menu.js";
import type { ToolMenu } from "../openapi/types.js";
import { SpecdojoError } from "../util/errors.js";
import { writeProblem } from "../util/files.js";
import { createRandom } from "../util/random.js";

/** The tools of a document, or of a run's or an exported agent's folder. */
async function openMenu(api: string): Promise<ToolMenu> {
  const tools = join(agentFolder(api), "tools.json");
  if (existsSync(tools)) return readMenu(await readFile(tools, "utf8"), tools);
  const document = existsSync(join(api, "document.json")) ? join(api, "document.json") : api;
  return buildToolMenu(await loadOpenApi(document));
}

/** A dialogue over standard input, which may also be a pipe. */
function terminalDialogue(): Dialogue & { close(): void } {
  const lines = createInterface({ input: process.stdin });
  const waiting: string[] = [];
  let wake: ((line: string | null) => void) | undefined;
  let over = false;
  lines.on("line", (line) => {
    if (wake === undefined) waiting.push(line);
    else wake(line);
    wake = undefined;
  });
  lines.on("close", () => {
    over = true;
    wake?.(null);
  });
  return {
    say: (text) => process.stderr.write(`${text.replaceAll(/(?!\n)\p{Cc}/gu, " ")}\n`),
    ask(prompt) {
      process.stderr.write(prompt);
      const line = waiting.shift();
      if (line !== undefined || over) return Promise.resolve(line ?? null);
      return new Promise((resolve) => {
        wake = resolve;
      });
    },
    close: () => lines.close(),
  };
}

/** `specdojo tasks new FILE` and `specdojo tasks check FILE`: tasks that a person writes to measure on. */
export const tasksCommand = defineCommand({
  meta: { name: "tasks", description: "Write tasks of your own to measure on, or check a file of them" },
  args: {
    action: {
      type: "positional",
      description: "new: write tasks with help; check: find contradictions with the document",
      required: true,
    },
    file: { type: "positional", description: "Task file, JSON Lines", required: true },
    api: {
      type: "string",
      description: "OpenAPI document, or the folder of a run or an exported agent",
      required: true,
    },
    source: { type: "string", description: "With new: who writes the tasks, as the report repeats it" },
    seed: { type: "string", description: "With new: seed of the values that are proposed", default: "0" },
    json: { type: "boolean", description: "Print the result as JSON", default: false },
  },
  async run({ args }) {
    const { action, file, json } = args;
    if (action !== "new" && action !== "check")
      throw new SpecdojoError("invalid-option", `${JSON.stringify(action)} is neither new nor check.`, {
        place: "specdojo tasks",
        remedy: "Write `specdojo tasks new FILE` or `specdojo tasks check FILE`.",
      });
    const menu = await openMenu(args.api);
    if (action === "check") {
      const text = await readFile(file, "utf8").catch((cause: unknown) => {
        throw new SpecdojoError("tasks-unreadable", `cannot read the task file ${file}`, {
          place: file,
          remedy: "Check the path.",
          cause,
        });
      });
      const result = checkTaskFile(text, file, menu);
      process.stdout.write(json ? `${JSON.stringify(result)}\n` : taskCheckText(result));
      if (result.findings.some(({ level }) => level === "error")) process.exitCode = 1;
      return;
    }
    const before = existsSync(file) ? await readFile(file, "utf8") : "";
    const tasks = before.trim() === "" ? [] : parseTasks(before, file, menu);
    const dialogue = terminalDialogue();
    try {
      // A file whose last line was not ended by its editor.
      let lead = before === "" || before.endsWith("\n") ? "" : "\n";
      const written = await composeTasks({
        menu,
        tasks,
        dialogue,
        random: createRandom(args.seed),
        source: args.source,
        async save(task) {
          await appendFile(file, `${lead}${JSON.stringify(task)}\n`).catch((cause: unknown) => {
            throw writeProblem(cause, file);
          });
          lead = "";
        },
      });
      process.stdout.write(
        json
          ? `${JSON.stringify({ file, written, tasks: tasks.length + written })}\n`
          : `${written} tasks were written to ${file}, which has ${tasks.length + written}\n`,
      );
    } finally {
      dialogue.close();
    }
  },
});
