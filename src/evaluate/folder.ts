import { existsSync } from "node:fs";
import { join } from "node:path";
import { createAgent } from "../agent/agent.js";
import { agentFolder, loadAgent, readAgentFolder } from "../agent/load.js";
import { SpecdojoError } from "../util/errors.js";
import { evaluateModels } from "./evaluate.js";
import { writeHeldOut } from "./heldout.js";
import type { LocalModels } from "./local.js";
import type { Evaluation } from "./schema.js";
import { loadTasks } from "./tasks.js";
import { readTrained, trainingRun } from "./trained.js";

export interface EvaluateFolderOptions {
  /** An exported agent's folder. */
  dir: string;
  models: Pick<LocalModels, "open">;
  /** A task file; without one, held-out tasks are written. */
  tasks?: string | undefined;
  /** Number of held-out tasks. */
  count: number;
  seed: number | string;
  /** The model before training: a folder or a name; `none` for no comparison; default: what the agent says. */
  base?: string | undefined;
  /** JSON Lines with the `question`s that were trained on, or a run's folder; default: the run that `dir` belongs to. */
  trained?: string | undefined;
  /** What a person should know, e.g. that the base model was not found. */
  onNote?: (note: string) => void;
}

/**
 * Evaluates an exported agent on a user's tasks or, without any, on held-out ones, beside the model it was trained from.
 * Where the agent only names its base model and that is not on this machine, there is no comparison, and a note says so.
 */
export async function evaluateFolder(options: EvaluateFolderOptions): Promise<Evaluation> {
  const { models } = options;
  const dir = agentFolder(options.dir);
  const note = options.onNote ?? (() => undefined);
  const run = await trainingRun(options.dir);
  const trainedAt = options.trained ?? run;
  const trained = trainedAt === undefined ? undefined : await readTrained(trainedAt);
  if (options.tasks === undefined && run !== undefined && existsSync(join(run, "tasks.jsonl")))
    note(`The run was measured on tasks of its own: --tasks ${join(run, "tasks.jsonl")}`);
  // What is wrong with the files is said before any model is opened.
  const { menu, manifest } = await readAgentFolder(dir);
  const tasks =
    options.tasks === undefined
      ? writeHeldOut(menu, { count: options.count, seed: options.seed })
      : await loadTasks(options.tasks, menu, "kept");
  if (tasks.length === 0)
    throw new SpecdojoError("tasks-empty", "No task can be written for this document.", {
      place: dir,
      remedy: "Write tasks of your own and give them with --tasks.",
    });
  const tunedModel = await models.open(dir);
  const tuned = await loadAgent(dir, { solver: tunedModel.solver, verify: "sizes" });
  const named = manifest.baseModel.name;
  const base = options.base ?? named;
  const baseModel =
    base === undefined || base === "none"
      ? undefined
      : await models.open(base).catch((error: unknown) => {
          if (options.base !== undefined || !SpecdojoError.isInstance(error)) throw error;
          note(
            `The base model ${JSON.stringify(base)} cannot be opened (${error.message}); there is no comparison. Name it with --base.`,
          );
          return undefined;
        });
  const evaluation = await evaluateModels({
    tasks,
    menu,
    models: {
      tuned,
      ...(baseModel === undefined
        ? {}
        : {
            base: createAgent({
              menu,
              solver: baseModel.solver,
              style: baseModel.style,
              maxTokens: baseModel.maxTokens,
              maxTools: manifest.menu.maxTools,
            }),
          }),
    },
    origin: options.tasks === undefined ? "held-out" : "user",
    seed: options.seed,
    ...(trained === undefined ? {} : { trained }),
  });
  const asked = { base: baseModel === undefined ? null : (base ?? null), tuned: dir };
  return { ...evaluation, models: asked };
}
