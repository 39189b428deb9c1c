import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { defineCommand } from "citty";
import colors from "picocolors";
import type { Agent } from "../agent/index.js";
import { type BackendProfile, capabilityTable, kindOf } from "../backend/capabilities.js";
import { bootstrapAgent, type RunOptions, resumeAgent } from "../bootstrap.js";
import { type Evaluation, evaluationSchema } from "../evaluate/index.js";
import { type PlanOptions, planRun } from "../plan.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject } from "../util/json.js";
import { parseDuration, renderPlan } from "./plan.js";
import { clock, plainProgress, type ShownProgress, terminalProgress } from "./progress.js";

const shared = {
  python: { type: "string", description: "Python interpreter that has torch >= 2.6, transformers and peft" },
  sampler: {
    type: "string",
    description: "What the local worker samples with: own (default), or vllm where it is installed",
  },
  "backend-url": {
    type: "string",
    description:
      "A running server of the training API (SkyRL, Tinker) to train on; two with a comma, one per role",
  },
  "backend-kind": {
    type: "string",
    description: "What that server is: local, tinker, skyrl (-jax, -fsdp, -megatron)",
  },
  verbose: { type: "boolean", description: "Show what the worker writes", default: false },
  json: { type: "boolean", description: "Print the result as JSON", default: false },
} as const;

interface SharedArguments {
  python?: string | undefined;
  sampler?: string | undefined;
  "backend-url"?: string | undefined;
  "backend-kind"?: string | undefined;
  verbose: boolean;
  json: boolean;
}

/** `specdojo bootstrap FILE`: the whole way from a document to an exported agent. */
export const bootstrapCommand = defineCommand({
  meta: {
    name: "bootstrap",
    description: "Train a solver for an API by self-play and export it with a typed client",
  },
  args: {
    file: { type: "positional", description: "OpenAPI document (JSON or YAML)", required: true },
    out: {
      type: "string",
      description: "Folder of the run; the agent comes to lie in its agent/",
      default: "specdojo-agent",
    },
    seed: { type: "string", description: "Seed of everything", default: "0" },
    model: {
      type: "string",
      description: "bundled, a folder, or a name of the Hugging Face Hub",
      default: "bundled",
    },
    tasks: { type: "string", description: "Your own tasks to measure on (JSON Lines); never trained on" },
    config: { type: "string", description: "JSON file with deviations from the default configuration" },
    plan: {
      type: "boolean",
      description:
        "Only measure for some seconds, and tell what the run would do, how long and how much memory",
      default: false,
    },
    within: { type: "string", description: "With --plan: propose sizes that fit into a time, such as 30m" },
    ...shared,
  },
  async run({ args }) {
    const tasks = args.tasks === undefined ? undefined : await readInput(args.tasks, "--tasks");
    const config =
      args.config === undefined
        ? undefined
        : parseConfig(await readInput(args.config, "--config"), args.config);
    const seed = Number(args.seed);
    if (!/^\d+$/.test(args.seed) || !Number.isSafeInteger(seed))
      throw new SpecdojoError("invalid-option", `${JSON.stringify(args.seed)} is not a seed`, {
        place: "--seed",
        remedy: "Give a whole number of 0 or more.",
      });
    const run = {
      seed,
      model: args.model,
      ...(config === undefined ? {} : { config }),
      ...(tasks === undefined || args.tasks === undefined ? {} : { tasks, tasksFile: args.tasks }),
    };
    if (args.plan) return showPlan(args, run);
    if (args.within !== undefined)
      throw new SpecdojoError("invalid-option", "--within is for plans", {
        place: "--within",
        remedy: "Give --plan as well.",
      });
    await watched(args.out, args, (options) =>
      bootstrapAgent(args.file, { ...options, ...run, out: args.out }),
    );
  },
});

/** `specdojo bootstrap FILE --plan`: nothing is trained but what the measurement needs. */
async function showPlan(
  args: SharedArguments & { file: string; within?: string | undefined },
  run: PlanOptions,
): Promise<void> {
  const within = args.within === undefined ? undefined : parseDuration(args.within, "--within");
  const plan = await shown(
    (options) => planRun(args.file, { ...options, ...run, ...(within === undefined ? {} : { within }) }),
    args,
    () => new SpecdojoError("stopped", "Stopped."),
  );
  process.stdout.write(args.json ? `${JSON.stringify(plan)}\n` : renderPlan(plan));
}

/** `specdojo resume DIR`. */
export const resumeCommand = defineCommand({
  meta: { name: "resume", description: "Go on with a run that was stopped, from its last finished step" },
  args: { dir: { type: "positional", description: "Folder of the run", required: true }, ...shared },
  run: ({ args }) => watched(args.dir, args, (options) => resumeAgent(args.dir, options)),
});

async function readInput(path: string, option: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new SpecdojoError("file-unreadable", `The file given with ${option} cannot be read`, {
      place: path,
      remedy: "Check the path.",
      cause,
    });
  });
}

function parseConfig(text: string, place: string): Record<string, never> {
  const wrong = (message: string, cause?: unknown): SpecdojoError =>
    new SpecdojoError("invalid-option", message, { place, remedy: "Mend the file.", cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong("The configuration is not JSON", cause);
  }
  if (!isObject(value)) throw wrong("The configuration is not a JSON object");
  // Its contents are checked with the configuration as a whole.
  return value as Record<string, never>;
}

/** Runs with progress on stderr, stops cleanly on Ctrl-C, and says at the end what came of it. */
async function watched(
  dir: string,
  args: SharedArguments,
  start: (options: RunOptions) => Promise<Agent>,
): Promise<void> {
  const begun = Date.now();
  const agent = await shown(start, args, () => new Stopped(dir), dir);
  const evaluation = evaluationSchema.parse(agent.evaluation);
  await agent.close();
  if (args.json) process.stdout.write(`${JSON.stringify({ agent: join(dir, "agent"), evaluation })}\n`);
  else process.stdout.write(summary(dir, evaluation, Date.now() - begun));
}

/** Progress on stderr and a clean stop on Ctrl-C. Errors say how the run in `dir` can go on once its work has begun. */
async function shown<T>(
  start: (options: RunOptions) => Promise<T>,
  args: SharedArguments,
  stopped: () => SpecdojoError,
  dir?: string,
): Promise<T> {
  const stop = new AbortController();
  const progress: ShownProgress = process.stderr.isTTY
    ? terminalProgress(process.stderr, Date.now)
    : plainProgress((line) => process.stderr.write(`${line}\n`), Date.now);
  const onSignal = (): void => stop.abort(stopped());
  // The second Ctrl-C ends this process at once; the worker then ends by itself.
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  let atWork = false;
  const phase = (name: string, total: number): void => {
    atWork = true;
    progress.phase(name, total);
  };
  try {
    return await start({
      progress: { ...progress, phase },
      signal: stop.signal,
      ...(args.python === undefined ? {} : { python: args.python }),
      ...(args.sampler === undefined ? {} : { sampler: samplerOf(args.sampler, args["backend-url"]) }),
      ...(args.verbose ? { onLog: (line: string) => process.stderr.write(`${line}\n`) } : {}),
      ...(args["backend-url"] === undefined ? {} : { backend: backendOf(args, args["backend-url"]) }),
    });
  } catch (error) {
    if (stop.signal.aborted) throw stop.signal.reason;
    throw atWork && dir !== undefined ? withResume(error, dir) : error;
  } finally {
    progress.end();
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

function samplerOf(given: string, backendUrl: string | undefined): NonNullable<RunOptions["sampler"]> {
  if (given !== "own" && given !== "vllm")
    throw new SpecdojoError("invalid-option", `${JSON.stringify(given)} is not a sampler`, {
      place: "--sampler",
      remedy: "Use own or vllm.",
    });
  if (backendUrl !== undefined)
    throw new SpecdojoError("invalid-option", "A server samples with what it was started with", {
      place: "--sampler",
      remedy: "Leave out --sampler or --backend-url.",
    });
  return given;
}

function backendOf(args: SharedArguments, baseUrl: string): NonNullable<RunOptions["backend"]> {
  const given = args["backend-kind"] ?? "tinker";
  const profile = given === "skyrl" ? "skyrl-jax" : given;
  if (!Object.hasOwn(capabilityTable, profile))
    throw new SpecdojoError("invalid-option", `${JSON.stringify(given)} is not a kind of backend`, {
      place: "--backend-kind",
      remedy: "Use local, tinker, skyrl, skyrl-jax, skyrl-fsdp or skyrl-megatron.",
    });
  const known = profile as BackendProfile;
  const apiKey = process.env.TINKER_API_KEY;
  return { baseUrl, kind: kindOf(known), profile: known, ...(apiKey === undefined ? {} : { apiKey }) };
}

/** Not a fault: the user stopped the run. */
export class Stopped extends SpecdojoError {
  constructor(dir: string) {
    super("stopped", "Stopped. Nothing that was finished is lost.", {
      remedy: `Go on with: specdojo resume ${dir}`,
    });
  }
}

/** Says how to go on once the cause of an error is mended. */
function withResume(error: unknown, dir: string): unknown {
  if (!SpecdojoError.isInstance(error)) return error;
  const { code, message, place, remedy } = error;
  const resume = `Go on with: specdojo resume ${dir}`;
  return new SpecdojoError(code, message, {
    ...(place === undefined ? {} : { place }),
    remedy: remedy === undefined ? resume : `${remedy}\n          ${resume}`,
    cause: error,
  });
}

const percent = (share: number | null): string => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);

function summary(
  dir: string,
  { overall, tasks, baselines, otherApis, api }: Evaluation,
  milliseconds: number,
): string {
  const { base, tuned, difference } = overall;
  const row = (name: string, share: number | null, note: string): string =>
    `  ${name.padEnd(38)}${percent(share).padStart(8)}   ${note}`;
  const range = ({ low, high }: { low: number; high: number }): string =>
    `95 % interval ${percent(low)} to ${percent(high)}`;
  const origin =
    tasks.origin === "user" ? "your own tasks" : "held-out tasks from templates that training never uses";
  const lines = [
    "",
    colors.bold(`${api.title}: ${tasks.count} tasks (${origin}), whole calls right`),
    ...(base === null ? [] : [row("before", base.accuracy, range(base.interval))]),
    row("after self-play", tuned.accuracy, range(tuned.interval)),
    ...(difference === null
      ? []
      : [
          row(
            "difference",
            difference.value,
            `${range(difference)}, ${difference.gained} gained, ${difference.lost} lost`,
          ),
        ]),
    ...baselines.map(({ name, summary: { accuracy, interval } }) => row(name, accuracy, range(interval))),
    ...(otherApis === null
      ? []
      : [
          row(
            "other, made-up APIs",
            otherApis.tuned,
            `before ${percent(otherApis.base)}, ${otherApis.tasks} tasks`,
          ),
        ]),
    "",
    `  agent    ${relative(".", join(dir, "agent")) || "."}`,
    `  report   ${relative(".", join(dir, "report.html"))}`,
    `  time     ${clock(milliseconds)}`,
    "",
    `Next: specdojo eval ${dir} --tasks YOUR_TASKS.jsonl, or in TypeScript: await loadAgent(${JSON.stringify(join(dir, "agent"))})`,
    "",
  ];
  return `${lines.join("\n")}\n`;
}
