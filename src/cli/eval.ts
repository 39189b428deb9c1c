import { existsSync } from "node:fs";
import { join } from "node:path";
import { defineCommand } from "citty";
import { agentFolder } from "../agent/index.js";
import { evaluateFolder } from "../evaluate/folder.js";
import { type LocalModels, startLocalModels } from "../evaluate/local.js";
import { evaluationText } from "../evaluate/text.js";
import { legend } from "../evaluate/totals.js";
import { SpecdojoError } from "../util/errors.js";

/** `specdojo eval DIR`: an exported agent and its base model on the user's own tasks. */
export const evalCommand = defineCommand({
  meta: {
    name: "eval",
    description: "Evaluate an exported agent on your tasks, beside the model it was trained from",
  },
  args: {
    dir: {
      type: "positional",
      description: "Folder of a finished run, or of an exported agent",
      required: true,
    },
    tasks: { type: "string", description: "Your tasks, JSON Lines; without it, held-out tasks are written" },
    count: { type: "string", description: "Number of held-out tasks", default: "60" },
    seed: { type: "string", description: "Seed of the held-out tasks and the intervals", default: "0" },
    base: { type: "string", description: "The model before training: a folder, a name, bundled, or none" },
    trained: { type: "string", description: "JSON Lines with the questions trained on, which are left out" },
    python: { type: "string", description: "Python interpreter for the worker" },
    json: { type: "boolean", description: "Print the evaluation as JSON", default: false },
  },
  async run({ args }) {
    const count = Number(args.count);
    if (!Number.isInteger(count) || count < 1)
      throw new SpecdojoError("invalid-option", `${JSON.stringify(args.count)} is not a number of tasks.`, {
        place: "--count",
        remedy: "Give a whole number above 0.",
      });
    // Said before the worker's environment is made.
    if (!existsSync(join(agentFolder(args.dir), "agent.json")))
      throw new SpecdojoError("agent-missing", "There is no exported agent here.", {
        place: args.dir,
        remedy: "Name the folder of a finished run, or of an exported agent.",
      });
    let models: LocalModels | undefined;
    try {
      const evaluation = await evaluateFolder({
        dir: args.dir,
        models: {
          async open(name) {
            models ??= await startLocalModels({
              python: args.python,
              onProgress: (line) => process.stderr.write(`${line}\n`),
            });
            return await models.open(name);
          },
        },
        tasks: args.tasks,
        count,
        seed: args.seed,
        base: args.base,
        trained: args.trained,
        onNote: (note) => process.stderr.write(`${note}\n`),
      });
      process.stdout.write(
        args.json ? `${JSON.stringify({ ...evaluation, legend })}\n` : evaluationText(evaluation),
      );
    } finally {
      await models?.close();
    }
  },
});
