import { readFile } from "node:fs/promises";
import { freemem } from "node:os";
import type { OpenAPI } from "openapi-types";
import type { SamplingClient } from "./backend/types.js";
import type { Worker } from "./backend/worker.js";
import {
  answerOthers,
  askedModel,
  type BootstrapOptions,
  configFor,
  heldOutCount,
  otherRequests,
  tasksText,
  withContext,
} from "./bootstrap.js";
import { bundledModel, parseTasks, type ResolvedTask, writeHeldOut } from "./evaluate/index.js";
import { buildToolMenu, loadOpenApi, type ToolMenu } from "./openapi/index.js";
import type { Task } from "./task/index.js";
import {
  countsOf,
  type Estimate,
  estimateMemory,
  estimateRun,
  fitSizes,
  type MemoryEstimate,
  measureRates,
  type RunConfig,
  readModelShape,
  type Sizes,
} from "./train/index.js";
import { SpecdojoError } from "./util/errors.js";
import { silentProgress } from "./util/progress.js";

export interface PlanOptions extends Omit<BootstrapOptions, "out" | "client"> {
  /** Seconds that the run may take; the plan then proposes sizes that fit. */
  within?: number;
  /** About how long the measurement may take, in seconds, besides starting the worker. Default 20. */
  measure?: number;
  /** Tells the time in ms; default `performance.now`. */
  now?: () => number;
}

/** Tools that a stand-in's menu shows. */
const usualMenu = 6;

/** What a run will do and take, here. Times are in seconds, sizes of memory in bytes. */
export interface RunPlan {
  api: { title: string; operations: number };
  config: RunConfig;
  /** Where it was measured, e.g. `cpu` and `float32`; null for a server that does not say. */
  machine: { device: string; dtype: string } | null;
  /** Seconds that the measurement took. */
  measured: number;
  /** Times and tokens are for completions that all have the greatest length. */
  upperBound: boolean;
  /** Tasks that each iteration is expected to train the Solver on. */
  tasksPerIteration: number;
  estimate: Estimate;
  /** Of the local worker; null for servers. `seen` is what the worker had used at most when it was measured, on Linux. */
  memory: (MemoryEstimate & { seen: number | null; free: number | null }) | null;
  /** With `within`: whether the run fits as it is; else sizes that do, as deviations for `config`, or null when none do. */
  within: { seconds: number; fits: boolean; config: Sizes | null; estimate: Estimate | null } | null;
}

/**
 * Tells what `bootstrapAgent` with the same options would sample and train, how long it would take here and how much memory
 * it needs, from a short measurement with the model on the backend. Writes nothing but a temporary folder.
 *
 * @example
 * const { estimate, within } = await planRun("openapi.yaml", { within: 30 * 60 });
 * console.log(estimate.total.seconds, within?.config);
 *
 * @throws SpecdojoError for a document, model or backend that cannot be used.
 */
export async function planRun(
  openapi: string | URL | Uint8Array | OpenAPI.Document | object,
  options: PlanOptions = {},
): Promise<RunPlan> {
  const now = options.now ?? (() => performance.now());
  const { within, measure = 20 } = options;
  for (const [place, seconds] of Object.entries({ within, measure }))
    if (seconds !== undefined && !(seconds > 0 && Number.isFinite(seconds)))
      throw new SpecdojoError("invalid-option", `${seconds} is not a number of seconds above 0`, {
        place,
        remedy: "Give a number of seconds.",
      });
  const loaded = await loadOpenApi(openapi);
  const config = await configFor(options.model ?? bundledModel, options);
  const menu = buildToolMenu(loaded, config.menu);
  const given = tasksText(options.tasks);
  const tasks =
    given === undefined
      ? writeHeldOut(menu, { count: heldOutCount, seed: config.seed })
      : parseTasks(given, options.tasksFile ?? "tasks", menu);

  options.progress?.phase("measuring", 1);
  const begun = now();
  return withContext(config, menu, options, async (context, { modelDir }): Promise<RunPlan> => {
    const { backend, progress } = context;
    const others = await otherRequests();
    const rates = await measureRates(
      { ...context, progress: silentProgress },
      {
        now,
        begun,
        seconds: measure,
        standIns: writeHeldOut(menu, { count: 32, seed: config.seed + 1 }).map((task) => standIn(task, menu)),
        questions: {
          total: tasks.length,
          ask: async (sampler: SamplingClient, count: number) => {
            const questions = tasks.slice(0, count).map(({ question }) => question);
            await askedModel(context, sampler).decideBatch(questions);
          },
        },
        otherQuestions: {
          total: others.length,
          ask: async (sampler: SamplingClient, count: number) => {
            await answerOthers(context, sampler, others.slice(0, count));
          },
        },
      },
    );
    const questions = { tasks: tasks.length, others: others.length };
    const estimate = estimateRun(config, rates, questions);
    const measured = (now() - begun) / 1000;
    progress.update(1);

    const worker = "pid" in backend ? (backend as Worker) : undefined;
    const machine = worker === undefined ? null : { device: worker.device, dtype: worker.dtype };
    const { prompts, promptTokens } = estimate.total;
    const shape = machine === null ? undefined : await readModelShape(modelDir);
    const found = within === undefined ? undefined : fitSizes(config, rates, questions, within);
    return {
      api: { title: menu.title, operations: menu.tools.length },
      config,
      machine,
      measured,
      upperBound: rates.upperBound,
      tasksPerIteration: countsOf(config, rates).tasks,
      estimate,
      memory:
        machine === null || shape === undefined || worker === undefined
          ? null
          : {
              ...estimateMemory(config, shape, {
                ...machine,
                promptTokens: promptTokens / Math.max(1, prompts),
              }),
              seen: await peakMemory(worker.pid),
              free: machine.device === "cpu" ? freemem() : null,
            },
      within:
        within === undefined
          ? null
          : {
              seconds: within,
              fits: estimate.total.seconds <= within,
              config: found?.sizes ?? null,
              estimate: found?.estimate ?? null,
            },
    };
  });
}

/** A task with the question and the answer of a held-out one, in a menu of a usual size. */
function standIn({ id, question, gold }: ResolvedTask, menu: ToolMenu): Task {
  const needed = gold.map(({ name }) => name);
  const tools = [...new Set([...needed, ...menu.tools.map(({ name }) => name)])].slice(0, usualMenu);
  return {
    id,
    spec: { id, domain: "", context: "single_turn", tools, answer: { kind: "given", calls: gold } },
    question,
    tools,
    answer: gold,
  };
}

/** The most memory that a process has had at a time, in bytes; null where the system does not tell. */
async function peakMemory(pid: number): Promise<number | null> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const kilobytes = /^VmHWM:\s*(\d+) kB/m.exec(status)?.[1];
  return kilobytes === undefined ? null : Number(kilobytes) * 1024;
}
