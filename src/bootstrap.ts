import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { OpenAPI } from "openapi-types";
import {
  type Agent,
  type ClientOptions,
  createAgent,
  exportAgent,
  loadAgent,
  samplerSolver,
  type UntypedOperations,
} from "./agent/index.js";
import type { BackendProfile } from "./backend/capabilities.js";
import { type ConnectedBackend, connectBackend } from "./backend/client.js";
import { ensureEnvironment } from "./backend/environment.js";
import { mergeAdapter } from "./backend/merge.js";
import { connectBackends } from "./backend/pool.js";
import type { Backend, SamplingClient } from "./backend/types.js";
import { startWorker } from "./backend/worker.js";
import {
  type AgentModel,
  bundledModel,
  type Evaluation,
  evaluateBaseline,
  evaluateModels,
  parseTasks,
  type ResolvedTask,
  styleOf,
  writeHeldOut,
} from "./evaluate/index.js";
import { buildToolMenu, loadOpenApi, type ToolMenu } from "./openapi/index.js";
import { loadReportData, renderReport } from "./report/index.js";
import { bundledModelDir, resolveModel } from "./rollout/model-files.js";
import { loadTokenizer } from "./rollout/tokenizer.js";
import {
  callsEqual,
  type EvaluationTask,
  type PromptStyle,
  parseCalls,
  solverMessages,
} from "./task/index.js";
import {
  loadReplay,
  lockRun,
  paperConfig,
  type ReplayItem,
  type RunConfig,
  type RunContext,
  RunDirectory,
  readTasks,
  runConfigSchema,
  type StepContext,
  selfPlay,
  smallConfig,
  supervisedBaseline,
} from "./train/index.js";
import { SpecdojoError } from "./util/errors.js";
import { toJsonLines, writeAtomic } from "./util/files.js";
import type { JsonObject, JsonValue } from "./util/json.js";
import { type Progress, silentProgress } from "./util/progress.js";
import { version } from "./version.js";

export type DeepPartial<T> = { [K in keyof T]?: T[K] extends object ? DeepPartial<T[K]> : T[K] };

/** Where and how a run is worked on; may differ between its start and its resumption. */
export interface RunOptions {
  /** An interpreter with torch >= 2.6, transformers and peft; default: an environment of our own, made on first use. */
  python?: string;
  /** What the worker samples with: its own engine (default), or vLLM where `python` has it. */
  sampler?: "own" | "vllm";
  /** A running server of the training API (or several, with commas), instead of a worker. A connected one stays open. */
  backend?:
    | { baseUrl: string; apiKey?: string; kind?: Backend["kind"]; profile?: BackendProfile }
    | ConnectedBackend;
  progress?: Progress;
  /** Every line that the worker writes. */
  onLog?: (line: string) => void;
  signal?: AbortSignal;
  /** How the returned agent calls the API. */
  client?: ClientOptions;
}

export interface BootstrapOptions extends RunOptions {
  /** Folder of the run, with the exported agent in `agent/`. Default: `specdojo-agent`. */
  out?: string;
  /** Default 0. */
  seed?: number;
  /** `bundled` (default), a folder, or a name of the Hugging Face Hub. */
  model?: string;
  /** Deviations from the defaults, which are `smallConfig` for the bundled model and `paperConfig` for others. */
  config?: DeepPartial<Omit<RunConfig, "seed" | "model">>;
  /** Tasks that the result is measured on, as JSONL text or objects; never trained on. Default: held-out ones. */
  tasks?: string | readonly EvaluationTask[];
  /** What errors call the tasks, such as the file that they come from. */
  tasksFile?: string;
}

/** Held-out tasks that a run is measured on when the user gives none. */
export const heldOutCount = 60;

/**
 * From an OpenAPI document to a tuned tool-calling agent: ingests the document, lets a Generator and a Solver play
 * against each other, measures base and tuned model, exports.
 *
 * @example
 * const agent = await bootstrapAgent("openapi.yaml", { out: "petstore-agent" });
 * const { calls } = await agent.decide("Look up the pet with id 42.");
 *
 * @throws SpecdojoError for a document, model, backend or folder that cannot be used.
 */
export async function bootstrapAgent<O = UntypedOperations>(
  openapi: string | URL | Uint8Array | OpenAPI.Document | object,
  options: BootstrapOptions = {},
): Promise<Agent<O>> {
  const dir = options.out ?? "specdojo-agent";
  const { document } = await loadOpenApi(openapi);
  const model = options.model ?? bundledModel;
  const config = await configFor(model, options);
  const menu = buildToolMenu(await loadOpenApi(document), config.menu);
  // Checked before anything is written or started.
  const tasks = tasksText(options.tasks);
  if (tasks !== undefined) parseTasks(tasks, options.tasksFile ?? "tasks", menu);
  return alone(dir, { make: true }, async () => {
    const run = await RunDirectory.create({
      dir,
      config,
      document,
      tasks,
      title: menu.title,
      version: menu.version,
      specdojo: version,
      now: Date.now,
    });
    return work<O>(run, options);
  });
}

/** Goes on with a run that was stopped or killed, from its last finished step. A finished run is loaded. */
export async function resumeAgent<O = UntypedOperations>(
  dir: string,
  options: RunOptions = {},
): Promise<Agent<O>> {
  return alone(dir, { make: false }, async () => {
    const run = await RunDirectory.open(dir, Date.now);
    if (run.manifest.specdojo !== version)
      throw new SpecdojoError(
        "run-version",
        `The run was begun by specdojo ${run.manifest.specdojo}; this is ${version}`,
        {
          place: run.path("run.json"),
          remedy: `Resume it with specdojo ${run.manifest.specdojo}, or begin a new run.`,
        },
      );
    return work<O>(run, options);
  });
}

/** While `body` runs, no other process works on the run's folder. */
async function alone<T>(dir: string, folder: { make: boolean }, body: () => Promise<T>): Promise<T> {
  const release = await lockRun(dir, folder);
  try {
    return await body();
  } finally {
    await release();
  }
}

/** The whole configuration of a run with the model `named`. Throws `invalid-option`. */
export async function configFor(
  named: string,
  { config = {}, seed = 0 }: BootstrapOptions,
): Promise<RunConfig> {
  const defaults = named === bundledModel ? smallConfig : paperConfig;
  // A run may be resumed from another folder.
  const isFolder = named !== bundledModel && existsSync(named);
  const model = isFolder ? resolve(named) : named;
  const prompts: PromptStyle = isFolder
    ? { ...defaults.prompts, instructions: (await styleOf(model)).instructions }
    : defaults.prompts;
  for (const key of ["seed", "model"])
    if (Object.hasOwn(config, key))
      throw new SpecdojoError("invalid-option", `The configuration cannot set ${key}`, {
        place: `config.${key}`,
        remedy: `Use the option of its own: ${key}.`,
      });
  const merged = merge({ ...defaults, prompts, seed, model }, config as JsonObject);
  const parsed = runConfigSchema.safeParse(merged);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new SpecdojoError("invalid-option", `${issue?.message ?? "The configuration is not valid"}`, {
    place: ["config", ...(issue?.path ?? [])].join("."),
    remedy: "docs/configuration.md has the options and their ranges.",
  });
}

function merge(base: object, change: JsonObject): unknown {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change)) {
    if (value === undefined) continue;
    const old = result[key];
    const nested =
      typeof old === "object" &&
      old !== null &&
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value);
    result[key] = nested ? merge(old, value) : value;
  }
  return result;
}

export function tasksText(tasks: BootstrapOptions["tasks"]): string | undefined {
  return tasks === undefined || typeof tasks === "string" ? tasks : toJsonLines(tasks);
}

async function work<O>(run: RunDirectory, options: RunOptions): Promise<Agent<O>> {
  const agentDir = run.path("agent");
  const isDone = run.manifest.position.phase === "done" && existsSync(join(agentDir, "agent.json"));
  if (!isDone) await finish(run, agentDir, options);
  const { python, onLog, client } = options;
  return loadAgent<O>(agentDir, {
    ...(python === undefined ? {} : { python }),
    ...(onLog === undefined ? {} : { onLog }),
    ...(client === undefined ? {} : { client }),
  });
}

/** Everything between an open run and its exported agent. */
async function finish(run: RunDirectory, agentDir: string, options: RunOptions): Promise<void> {
  const { config } = run;
  const menu = buildToolMenu(await loadOpenApi(run.path("document.json")), config.menu);
  options.progress?.phase("starting the worker", 1);
  await withContext(
    config,
    menu,
    { ...options, stateDir: run.path("checkpoints") },
    async (context, files) => {
      context.progress.update(1);
      await train({ ...context, run }, files.modelDir, agentDir, files.python);
    },
  );
}

/**
 * Opens the model and the backend of the options for `body`, and ends a worker that was started for it. A worker keeps its
 * checkpoints in `stateDir` (default: a temporary folder).
 */
export async function withContext<T>(
  config: RunConfig,
  menu: ToolMenu,
  options: RunOptions & { stateDir?: string },
  body: (context: StepContext, files: ModelFiles) => Promise<T>,
): Promise<T> {
  const { progress = silentProgress, signal = new AbortController().signal } = options;
  const files = await modelFiles(config, options, progress, signal);
  const tokenizer = await loadTokenizer(files.modelDir);
  const backend = await openBackend(options.stateDir, files.python, options, signal);
  try {
    const remote = options.backend !== undefined && config.model !== bundledModel;
    const context: StepContext = {
      config,
      menu,
      baseModel: remote ? config.model : files.modelDir,
      backend,
      tokenizer,
      replay: await loadReplay(bundledModelDir(), "replay.jsonl"),
      progress,
      signal,
    };
    return await body(context, files);
  } finally {
    if (backend !== options.backend) await backend.close();
  }
}

interface ModelFiles {
  modelDir: string;
  /** The worker's interpreter; its environment is made at the first call. */
  python: () => Promise<string>;
}

/** The model's folder, downloaded where it must be, and how to get the worker's interpreter. */
async function modelFiles(
  config: RunConfig,
  options: Pick<RunOptions, "python">,
  progress: Progress,
  signal: AbortSignal,
): Promise<ModelFiles> {
  let found: Promise<string> | undefined;
  const onProgress = (line: string): void => progress.line(line);
  const python = (): Promise<string> => {
    found ??= ensureEnvironment({
      onProgress,
      signal,
      ...(options.python === undefined ? {} : { python: options.python }),
    }).then((environment) => environment.python);
    return found;
  };
  const modelDir =
    config.model === bundledModel
      ? bundledModelDir()
      : await resolveModel(config.model, { python, onProgress, signal });
  return { modelDir, python };
}

async function openBackend(
  stateDir: string | undefined,
  python: () => Promise<string>,
  { backend, sampler, onLog }: RunOptions,
  signal: AbortSignal,
): Promise<ConnectedBackend> {
  if (backend !== undefined) {
    if ("createModel" in backend) return backend;
    const servers = backend.baseUrl.split(",").map((baseUrl) => ({ ...backend, baseUrl, signal }));
    return servers.length > 1 ? connectBackends(servers) : connectBackend({ ...backend, signal });
  }
  return startWorker({
    python: await python(),
    ...(stateDir === undefined ? {} : { stateDir }),
    ...(sampler === undefined ? {} : { sampler }),
    signal,
    ...(onLog === undefined ? {} : { onLog }),
  });
}

async function train(
  context: RunContext,
  modelDir: string,
  agentDir: string,
  python: () => Promise<string>,
): Promise<void> {
  const { run, config, menu, backend, progress } = context;
  const tasks = await evaluationTasks(run, menu);
  const asked = (sampler: SamplingClient): AgentModel => askedModel(context, sampler);
  await selfPlay(context, {
    measure: async (sampler) => {
      const { overall } = await evaluateModels({
        tasks: tasks.tasks,
        menu,
        models: { tuned: asked(sampler) },
        origin: tasks.origin,
        seed: config.seed,
      });
      return { accuracy: overall.tuned.accuracy ?? 0 };
    },
  });
  const tunedPath = run.manifest.opponents.at(-1) ?? null;
  const tunedSource = tunedPath === null ? { baseModel: context.baseModel } : { path: tunedPath };
  const { iteration } = run.manifest.position;
  if (run.manifest.position.phase === "baseline") {
    const supervised = config.supervisedBaseline ? await supervisedBaseline(context) : undefined;
    progress.phase("measuring", 4);
    const base = await backend.createSampler({ baseModel: context.baseModel });
    const tuned = await backend.createSampler(tunedSource);
    const trained = new Set<string>();
    for (let i = 0; i < config.iterations; i++)
      for (const { task } of await readTasks(run, i)) trained.add(task.question);
    const evaluation = await evaluateModels({
      tasks: tasks.tasks,
      menu,
      models: { base: asked(base), tuned: asked(tuned) },
      origin: tasks.origin,
      trained,
      seed: config.seed,
    });
    progress.update(2);
    if (supervised !== undefined) {
      const model = asked(await backend.createSampler({ path: supervised }));
      evaluation.baselines.push(
        await evaluateBaseline("supervised training on the same tasks", model, evaluation, menu.tools),
      );
    }
    evaluation.otherApis = await otherApis(context, base, tuned);
    progress.update(4);
    await writeAtomic(run.path("evaluation.json"), `${JSON.stringify(evaluation, undefined, 2)}\n`);
    await run.advance({ iteration, phase: "export", step: 0 });
  }

  progress.phase("exporting the agent", 1);
  const downloaded = run.path("checkpoints", "solver");
  await rm(downloaded, { recursive: true, force: true });
  if (tunedPath !== null) await backend.downloadCheckpoint(tunedPath, downloaded);
  const hasAdapter = existsSync(join(downloaded, "adapter_model.safetensors"));
  const merged = tunedPath === null ? modelDir : hasAdapter ? join(downloaded, "merged") : downloaded;
  // Other servers' checkpoints hold the adapter without the merged weights beside it.
  if (hasAdapter && !existsSync(merged))
    await mergeAdapter({
      python: await python(),
      base: modelDir,
      adapter: downloaded,
      out: merged,
      signal: context.signal,
    });
  await writeAtomic(run.path("config.json"), `${JSON.stringify(config, undefined, 2)}\n`);
  const report = renderReport(await loadReportData(run.dir, `specdojo ${version}`));
  await writeAtomic(run.path("report.html"), report);
  await exportAgent({
    dir: agentDir,
    menu,
    solver: { merged, ...(merged === downloaded || tunedPath === null ? {} : { adapter: downloaded }) },
    evaluation: JSON.parse(await readFile(run.path("evaluation.json"), "utf8")) as JsonValue,
    report,
    version,
    createdAt: new Date(),
    baseModel: { name: config.model, ...(config.model === bundledModel ? { licence: "Apache-2.0" } : {}) },
    prompts: config.prompts,
    maxTools: config.maxTools,
    maxTokens: config.solver.maxTokens,
    training: {
      method: config.method,
      seed: config.seed,
      iterations: config.iterations,
      seconds: Math.round(run.manifest.seconds),
    },
    privatePaths: [run.dir, resolve("."), modelDir],
  });
  await run.advance({ iteration, phase: "done", step: 0 });
  progress.update(1);
}

/** The user's tasks, or held-out ones from templates that no training uses. */
async function evaluationTasks(
  run: RunDirectory,
  menu: ToolMenu,
): Promise<{ tasks: ResolvedTask[]; origin: Evaluation["tasks"]["origin"] }> {
  const path = run.path("tasks.jsonl");
  if (existsSync(path))
    return { tasks: parseTasks(await readFile(path, "utf8"), path, menu), origin: "user" };
  return { tasks: writeHeldOut(menu, { count: heldOutCount, seed: run.config.seed }), origin: "held-out" };
}

/** The model of a sampler as it is measured: as the exported agent asks it. */
export function askedModel({ config, menu, tokenizer }: StepContext, sampler: SamplingClient): AgentModel {
  return createAgent({
    menu,
    sampler,
    tokenizer,
    style: config.prompts,
    maxTokens: config.solver.maxTokens,
    maxTools: config.maxTools,
  });
}

/** Requests about made-up APIs that are in no training data. */
export const otherRequests = (): Promise<ReplayItem[]> => loadReplay(bundledModelDir(), "other-apis.jsonl");

/** What a model writes to such requests. */
export function answerOthers(
  { config, tokenizer }: StepContext,
  sampler: SamplingClient,
  items: readonly ReplayItem[],
): Promise<string[]> {
  return samplerSolver(sampler, tokenizer).complete(
    items.map(({ tools, question }) => solverMessages(tools, question, config.prompts)),
    { maxTokens: config.solver.maxTokens },
  );
}

/** Right answers of base and tuned model on requests about made-up APIs that are in no training data. */
async function otherApis(
  context: StepContext,
  base: SamplingClient,
  tuned: SamplingClient,
): Promise<Evaluation["otherApis"]> {
  const items = await otherRequests();
  if (items.length === 0) return null;
  const share = async (sampler: SamplingClient): Promise<number> => {
    const texts = await answerOthers(context, sampler, items);
    return items.filter((item, i) => isRight(item, texts[i] ?? "")).length / items.length;
  };
  return {
    tasks: items.length,
    base: await share(base),
    tuned: await share(tuned),
    source:
      "requests about made-up APIs, from the generator of the bundled model's corpus with a seed of their own",
  };
}

function isRight({ gold }: ReplayItem, text: string): boolean {
  const calls = parseCalls(text);
  return Array.isArray(calls) && callsEqual(calls, gold);
}
