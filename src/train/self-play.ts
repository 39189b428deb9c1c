import type { SamplingClient, TrainingClient } from "../backend/types.js";
import { type MeasuredTask, operationWeights, passRatesByOperation } from "../curriculum/index.js";
import type { SpecGenerator, Task } from "../task/index.js";
import { toJsonLines, writeAtomic } from "../util/files.js";
import { makeCandidates } from "./candidates-phase.js";
import type { RunConfig } from "./config.js";
import { openModel, type RunContext, rateAt, specsOf } from "./context.js";
import { trainGeneratorStep } from "./generator-phase.js";
import { readCandidates, readTasks } from "./records.js";
import type { RunPosition } from "./run-directory.js";
import { type Shelf, shelve, trainSolverStep, trainSupervisedStep } from "./solver-phase.js";

export interface SelfPlayHooks {
  /** Called with a sampler of the Solver after each iteration, to measure it; what it returns goes into the metrics. */
  measure?: (solver: SamplingClient, iteration: number) => Promise<Record<string, number>>;
}

type Role = "generator" | "solver" | "baseline";

/**
 * The self-play of Tool-R0: for each iteration the Generator is trained against the frozen Solver, then, frozen itself,
 * writes the tasks on which the Solver is trained; the new Solver is the next opponent. It goes on from `run.json` and
 * leaves the run at the phase `baseline`, or throws when `signal` is aborted. Returns the path of the tuned Solver.
 */
export async function selfPlay(context: RunContext, hooks: SelfPlayHooks = {}): Promise<string> {
  const { config, run } = context;
  const models = new Models(context);
  for (;;) {
    const { iteration, phase, step } = run.manifest.position;
    context.signal.throwIfAborted();
    if (phase === "generator") await generatorPhase(context, models, iteration, step);
    else if (phase === "candidates") await candidatesPhase(context, models, iteration);
    else if (phase === "solver") await solverPhase(context, models, iteration, step);
    else if (phase === "measure") {
      const solver = await models.get("solver");
      const path = await solver.saveForSampler(`solver-${iteration + 1}`);
      if (hooks.measure !== undefined) {
        const measured = await hooks.measure(await context.backend.createSampler({ path }), iteration);
        await log(context, { iteration, role: "solver", phase: "evaluate", step }, measured);
      }
      const last = iteration + 1 >= config.iterations;
      await run.advance(
        last
          ? { iteration, phase: "baseline", step: 0 }
          : { iteration: iteration + 1, phase: "generator", step: 0 },
        { opponents: [...run.manifest.opponents, path] },
      );
    } else break;
  }
  await models.close();
  return run.manifest.opponents.at(-1) ?? "";
}

/** Keeps the two models open between phases, and their checkpoints few. */
class Models {
  readonly #context: RunContext;
  readonly #open = new Map<Role, Promise<TrainingClient>>();

  constructor(context: RunContext) {
    this.#context = context;
  }

  get(role: Role): Promise<TrainingClient> {
    const name = this.#context.config.sharedWeights && role === "generator" ? "solver" : role;
    const known = this.#open.get(name);
    if (known !== undefined) return known;
    const opened = openModel(this.#context, name);
    this.#open.set(name, opened);
    return opened;
  }

  /** Saves the role's model when a checkpoint is due, then moves the run on. The model's older checkpoint is deleted. */
  async advance(role: Role, due: boolean, position: RunPosition): Promise<void> {
    if (!due) return;
    const { run, backend, config } = this.#context;
    const name = config.sharedWeights && role === "generator" ? "solver" : role;
    const model = await this.get(role);
    const { iteration, phase, step } = position;
    const path = await model.saveState(`${name}-${iteration + 1}-${phase}-${step}`);
    const old = run.manifest.checkpoints[name];
    await run.advance(position, { checkpoints: { ...run.manifest.checkpoints, [name]: path } });
    if (old !== undefined) await backend.deleteCheckpoint(old);
  }

  async close(): Promise<void> {
    for (const model of this.#open.values()) await (await model).unload();
    this.#open.clear();
  }
}

const generatorSteps = ({ frozenGenerator, method, generator }: RunConfig): number =>
  frozenGenerator || method !== "self-play" ? 0 : generator.steps;

async function generatorPhase(
  context: RunContext,
  models: Models,
  iteration: number,
  from: number,
): Promise<void> {
  const { config, progress, run } = context;
  const steps = generatorSteps(config);
  const next: RunPosition = { iteration, phase: "candidates", step: 0 };
  if (steps === 0) return run.advance(next);
  const generator = await models.get("generator");
  const opponent = await opponentOf(context, iteration);
  const specs = await specsFor(context, iteration, "generator");
  for (let i = 0; i < from * config.generator.groups; i++) specs.next();
  progress.phase(`iteration ${iteration + 1}/${config.iterations}: training the Generator`, steps);
  for (let step = from; step < steps; step++) {
    context.signal.throwIfAborted();
    const seed = `${config.seed}/${iteration}/generator/${step}`;
    const { metrics, transcripts } = await trainGeneratorStep(context, {
      generator,
      opponent,
      specs,
      learningRate: rateAt(context, { ...config.generator, steps }, step),
      seed,
    });
    await log(context, { iteration, role: "generator", phase: "train", step }, metrics);
    await run.append("generator.jsonl", [{ iteration, step, transcripts }]);
    const last = step + 1 === steps;
    await models.advance(
      "generator",
      last || (step + 1) % config.checkpointEvery === 0,
      last ? next : { iteration, phase: "generator", step: step + 1 },
    );
    progress.update(step + 1, note(metrics));
  }
}

async function candidatesPhase(context: RunContext, models: Models, iteration: number): Promise<void> {
  const { config, progress, run, backend, baseModel } = context;
  progress.phase(`iteration ${iteration + 1}/${config.iterations}: writing and verifying tasks`, 100);
  const untrained = generatorSteps(config) === 0 && !config.sharedWeights;
  const writer = untrained
    ? await backend.createSampler({ baseModel })
    : await (await models.get("generator")).sampler();
  const seed = `${config.seed}/${iteration}/candidates`;
  const specs = await specsFor(context, iteration, "candidates");
  const result = await makeCandidates(context, {
    writer,
    opponent: await opponentOf(context, iteration),
    specs,
    seed,
  });
  const folder = (name: string) => run.path(`iteration-${iteration + 1}`, name);
  await writeAtomic(folder("candidates.jsonl"), toJsonLines(result.candidates));
  await writeAtomic(folder("tasks.jsonl"), toJsonLines(result.tasks));
  await writeAtomic(folder("measured.jsonl"), toJsonLines(result.measured));
  await writeAtomic(
    folder("selection.json"),
    `${JSON.stringify({ selection: result.report, coverage: specs.coverage }, undefined, 2)}\n`,
  );
  const { candidates, measured, tasks } = result;
  await log(
    context,
    { iteration, role: "generator", phase: "candidates", step: config.generator.steps },
    {
      candidates: candidates.length,
      verified:
        candidates.filter(({ question }) => question !== undefined).length / Math.max(1, candidates.length),
      measured: measured.length,
      tasks: tasks.length,
      pass_rate: measured.reduce((sum, { passRate }) => sum + passRate, 0) / Math.max(1, measured.length),
    },
  );
  progress.update(100, `${tasks.length} of ${candidates.length} kept`);
  await run.advance({ iteration, phase: "solver", step: 0 });
}

async function solverPhase(
  context: RunContext,
  models: Models,
  iteration: number,
  from: number,
): Promise<void> {
  const { config, progress, run } = context;
  const next: RunPosition = { iteration, phase: "measure", step: 0 };
  if (config.solver.steps === 0) return run.advance(next);
  const tasks = await readTasks(run, iteration);
  if (tasks.length === 0)
    progress.line(`Iteration ${iteration + 1}: no task passed the checks; the Solver stays as it is.`);
  if (tasks.length === 0 || config.solver.steps === 0) return run.advance(next);
  const solver = await models.get("solver");
  const { steps } = config.solver;
  const plan = planSteps(tasks, config.solver, (own, walk) =>
    shelve(context, own, `${config.seed}/${iteration}/solver/shelves/${walk}`),
  );
  progress.phase(`iteration ${iteration + 1}/${config.iterations}: training the Solver`, steps);
  for (let step = from; step < steps; step++) {
    context.signal.throwIfAborted();
    const seed = `${config.seed}/${iteration}/solver/${step}`;
    const shelves = plan(step);
    const learningRate = rateAt(context, config.solver, step);
    let told: string | undefined;
    if (config.method === "supervised") {
      const metrics = await trainSupervisedStep(context, { solver, shelves, learningRate, seed });
      await log(context, { iteration, role: "solver", phase: "train", step }, metrics);
    } else {
      const { metrics, groups: written } = await trainSolverStep(context, {
        solver,
        shelves,
        learningRate,
        seed,
      });
      await log(context, { iteration, role: "solver", phase: "train", step }, metrics);
      await run.append(
        "rollouts.jsonl",
        written.slice(0, 2).map(({ task, passRate, rollouts }) => ({
          iteration,
          step,
          domain: task.spec.domain,
          question: task.question,
          answer: task.answer,
          passRate,
          rollouts,
        })),
      );
      told = note(metrics);
    }
    const last = step + 1 === steps;
    await models.advance(
      "solver",
      last || (step + 1) % config.checkpointEvery === 0,
      last ? next : { iteration, phase: "solver", step: step + 1 },
    );
    progress.update(step + 1, told);
  }
}

/**
 * What each step trains on. Steps walk through the tasks from easy to hard, once or as often as there are steps for; each
 * walk meets every task once, on shelves of its own.
 */
export function planSteps(
  tasks: readonly MeasuredTask[],
  { steps, groups }: { steps: number; groups: number },
  shelvesOf: (tasks: readonly Task[], walk: number) => Shelf[],
): (step: number) => Shelf[] {
  const walks = Math.max(1, Math.floor((steps * groups) / Math.max(1, tasks.length)));
  const perWalk = Math.max(1, Math.ceil(steps / walks));
  const plans = new Map<number, Shelf[]>();
  return (step) => {
    const walk = Math.floor(step / perWalk);
    const shelves =
      plans.get(walk) ??
      shelvesOf(
        tasks.map(({ task }) => task),
        walk,
      );
    plans.set(walk, shelves);
    const at = step % perWalk;
    const from = Math.floor((at * shelves.length) / perWalk);
    const to = Math.max(from + 1, Math.floor(((at + 1) * shelves.length) / perWalk));
    let size = 0;
    return shelves.slice(from, to).filter(({ tasks: own }, i) => {
      size += own.length;
      return i === 0 || size <= groups;
    });
  };
}

/**
 * Supervised training from the base model on the very tasks of the run, with as many steps and the same menus and replay:
 * the measure that self-play has to be compared with. Goes on from `run.json` at the phase `baseline`. Returns the path of
 * its weights.
 */
export async function supervisedBaseline(context: RunContext): Promise<string> {
  const { config, progress, run } = context;
  const tasks: MeasuredTask[] = [];
  for (let i = 0; i < config.iterations; i++) tasks.push(...(await readTasks(run, i)));
  const steps = tasks.length === 0 ? 0 : config.iterations * config.solver.steps;
  const { position } = run.manifest;
  const models = new Models(context);
  const model = await models.get("baseline");
  progress.phase("for comparison: supervised training on the same tasks", steps);
  const plans: ((step: number) => Shelf[])[] = [];
  for (let i = 0; i < config.iterations; i++) {
    const own = await readTasks(run, i);
    plans.push(
      planSteps(own.length === 0 ? tasks : own, config.solver, (shown, walk) =>
        shelve(context, shown, `${config.seed}/baseline/${i}/shelves/${walk}`),
      ),
    );
  }
  for (let step = position.step; step < steps; step++) {
    context.signal.throwIfAborted();
    const iteration = Math.floor(step / config.solver.steps);
    const metrics = await trainSupervisedStep(context, {
      solver: model,
      shelves: plans[iteration]?.(step % config.solver.steps) ?? [],
      learningRate: rateAt(context, config.solver, step % config.solver.steps),
      seed: `${config.seed}/baseline/${step}`,
    });
    await log(
      context,
      { iteration, role: "baseline", phase: "train", step: step % config.solver.steps },
      metrics,
    );
    const due = step + 1 === steps || (step + 1) % config.checkpointEvery === 0;
    await models.advance("baseline", due, { ...position, step: step + 1 });
    progress.update(step + 1);
  }
  const path = await model.saveForSampler("supervised");
  await models.close();
  return path;
}

function opponentOf({ backend, baseModel, run }: RunContext, iteration: number): Promise<SamplingClient> {
  const path = run.manifest.opponents[iteration];
  return backend.createSampler(path == null ? { baseModel } : { path });
}

/** Specifications of one phase. What the Solver failed at in the iteration before is asked for more often. */
async function specsFor(context: RunContext, iteration: number, phase: string): Promise<SpecGenerator> {
  const { config, run } = context;
  const measured = iteration === 0 ? [] : await readCandidates(run, iteration - 1);
  return specsOf(context, `${config.seed}-${iteration + 1}-${phase}`, {
    weights: operationWeights(passRatesByOperation(measured)),
  });
}

async function log(
  { config, run, progress }: RunContext,
  at: { iteration: number; role: string; phase: string; step: number },
  metrics: Record<string, number>,
): Promise<void> {
  const { generator, solver, iterations } = config;
  const perIteration = generator.steps + solver.steps + 1;
  const begin = at.iteration * perIteration;
  const place =
    at.role === "baseline"
      ? iterations * perIteration + at.iteration * solver.steps + at.step
      : at.phase === "evaluate"
        ? begin + perIteration
        : at.role === "solver"
          ? begin + generator.steps + at.step
          : begin + at.step;
  // The backend has metrics of its own, one of them named `step`.
  await run.append("metrics.jsonl", [{ ...metrics, ...at, step: place }]);
  if (Math.abs(metrics.sampler_kl ?? 0) > greatestGap)
    progress.line(
      `Warning: iteration ${at.iteration + 1}, ${at.role}, step ${at.step + 1}: sampler and trainer disagree about the model (KL ${(metrics.sampler_kl ?? 0).toFixed(3)}, above ${greatestGap}).`,
    );
}

/** Greatest KL between sampler and trainer on the sampled tokens; above it the update is off-policy without knowing. */
const greatestGap = 0.01;

const note = (metrics: Record<string, number>): string =>
  `reward ${(metrics.reward ?? 0).toFixed(2)}, pass rate ${(metrics.pass_rate ?? 0).toFixed(2)}`;
