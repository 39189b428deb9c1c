import type { Datum, SamplingClient, TrainingClient } from "../backend/types.js";
import { sampleGroups } from "../rollout/rollout.js";
import { generatorMessages, shownTools, solverMessages, type Task } from "../task/index.js";
import { createRandom } from "../util/random.js";
import { makeCandidates } from "./candidates-phase.js";
import { adam, type StepContext, specsOf, trainedTokens } from "./context.js";
import { trainGeneratorStep } from "./generator-phase.js";
import { policyDatum } from "./grpo.js";
import { addWork, type Cost, countsOf, fitCost, noWork, type Rates, type Work } from "./plan.js";
import { shelve, trainSolverStep, trainSupervisedStep } from "./solver-phase.js";

export interface MeasureOptions {
  /** Tells the time in ms. */
  now: () => number;
  /** When the backend was asked for, by that clock. */
  begun: number;
  /** About how many seconds the measurement may take once the models are loaded. */
  seconds: number;
  /** Tasks that stand in for the Generator's where it writes none that is valid. At least one. */
  standIns: readonly Task[];
  /** Greedy answers to the first `count` of the `total` questions to measure on. */
  questions: Asked;
  otherQuestions: Asked;
}

interface Asked {
  total: number;
  ask: (solver: SamplingClient, count: number) => Promise<void>;
}

/** Counts what passes through samplers and models, and the seconds that it takes. */
class Meter {
  readonly #now: () => number;
  #work: Work = { ...noWork };

  constructor(now: () => number) {
    this.#now = now;
  }

  /** What was counted since the last call. */
  take(): Work {
    const work = this.#work;
    this.#work = { ...noWork };
    return work;
  }

  sampler(inner: SamplingClient): SamplingClient {
    return {
      sample: async (requests, options) => {
        const begun = this.#now();
        const results = await inner.sample(requests, options);
        const drawn = results.flatMap(({ sequences }) => sequences);
        this.#add({
          prompts: requests.length,
          completions: drawn.length,
          promptTokens: requests.reduce((sum, { prompt }) => sum + prompt.length, 0),
          newTokens: drawn.reduce((sum, { tokens }) => sum + tokens.length, 0),
          seconds: (this.#now() - begun) / 1000,
        });
        return results;
      },
    };
  }

  model(inner: TrainingClient): TrainingClient {
    const counted = (data: readonly Datum[], metrics: Record<string, number>): void =>
      this.#add({
        trainedTokens: metrics["packed_tokens:sum"] ?? data.reduce((sum, { input }) => sum + input.length, 0),
      });
    return {
      modelId: inner.modelId,
      forwardBackward: async (data, loss, config) => {
        const result = await inner.forwardBackward(data, loss, config);
        counted(data, result.metrics);
        return result;
      },
      forward: async (data, loss, config) => {
        const result = await inner.forward(data, loss, config);
        counted(data, result.metrics);
        return result;
      },
      optimStep: (params) => inner.optimStep(params),
      saveState: (name) => inner.saveState(name),
      saveForSampler: (name) => inner.saveForSampler(name),
      sampler: async () => this.sampler(await inner.sampler()),
      unload: () => inner.unload(),
    };
  }

  #add(part: Partial<Work>): void {
    this.#work = addWork(this.#work, { ...noWork, ...part });
  }
}

type Sample = { n: number; work: Work };

/** New tokens of the first measurement, which says whether whole completions can be waited for. */
const pilotTokens = 8;

/**
 * Measures what the steps of a run cost, by taking a few of them: the run's own code, prompts and batch sizes, on models
 * of their own that are dropped again. Where whole completions would take too long, a few tokens of each are drawn at the
 * full batch size, and the rates are those of completions that all have the greatest length (`upperBound`).
 */
export async function measureRates(context: StepContext, options: MeasureOptions): Promise<Rates> {
  const { backend, baseModel, config } = context;
  const { now } = options;
  const meter = new Meter(now);
  const probes = new Meter(now);
  const open = async (): Promise<TrainingClient> =>
    meter.model(await backend.createModel({ baseModel, lora: { rank: config.loraRank, seed: config.seed } }));
  const generator = await open();
  const solver = config.sharedWeights ? generator : await open();
  try {
    const opponent = probes.sampler(await backend.createSampler({ baseModel }));
    const start = (now() - options.begun) / 1000;
    const saving = now();
    await backend.deleteCheckpoint(await solver.saveState("specdojo-plan"));
    const checkpoint = (now() - saving) / 1000;
    const bench: Bench = { context, options, meter, probes, generator, solver, opponent };

    const [once] = await writeCut(bench, 1, pilotTokens);
    const longest = config.generator.maxTokens / pilotTokens;
    let quick = (once?.work.seconds ?? 0) * longest < options.seconds;
    if (quick) {
      const [full] = await writeCut(bench, config.generator.groups, pilotTokens);
      quick = (full?.work.seconds ?? 0) * longest < 2 * options.seconds;
    }
    meter.take();
    const rates = quick ? await measureSteps(bench) : await measureTokens(bench);
    return { start, checkpoint, upperBound: !quick, ...rates };
  } finally {
    await generator.unload();
    if (solver !== generator) await solver.unload();
  }
}

interface Bench {
  context: StepContext;
  options: MeasureOptions;
  /** Counts all but the opponent's work. */
  meter: Meter;
  probes: Meter;
  generator: TrainingClient;
  solver: TrainingClient;
  opponent: SamplingClient;
}

type StepRates = Omit<Rates, "start" | "checkpoint" | "upperBound">;

/**
 * Runs `run` for about `seconds`: once with few units, which warms up (kernels are compiled for new shapes) and does not
 * count where others follow, then at the full size `most`, or, where that would take too long, at doubling sizes.
 */
async function grow(most: number, seconds: number, run: (n: number) => Promise<Work>): Promise<Sample[]> {
  const samples: Sample[] = [];
  let spent = 0;
  let n = Math.max(1, Math.ceil(most / 4));
  while (samples.length < 6) {
    const work = await run(n);
    samples.push({ n, work });
    spent += work.seconds;
    const each = work.seconds / n;
    n = spent + each * most <= seconds ? most : Math.min(most, 2 * n);
    if (spent + each * n > seconds && (samples.length > 1 || spent > seconds)) break;
  }
  return samples.length > 1 ? samples.slice(1) : samples;
}

/** Takes steps of each kind as the run does. */
async function measureSteps(bench: Bench): Promise<StepRates> {
  const { context, options, meter, probes, generator, solver, opponent } = bench;
  const { config } = context;
  const { now, seconds } = options;
  const quiet: StepContext = { ...context, progress: { ...context.progress, phase() {}, update() {} } };
  let count = 0;
  const label = (name: string): string => `plan/${config.seed}/${name}/${count++}`;
  /** All that `body` takes, and apart from it what the opponent's samples took. */
  const timed = async (body: () => Promise<void>): Promise<{ own: Work; probing: Work }> => {
    const begun = now();
    await body();
    const probing = probes.take();
    return {
      own: { ...meter.take(), seconds: Math.max(0, (now() - begun) / 1000 - probing.seconds) },
      probing,
    };
  };
  const specs = specsOf(context, label("specs"));
  const both = async (most: number, share: number, body: (n: number) => Promise<void>) => {
    const probing: Sample[] = [];
    const own = await grow(most, share * seconds, async (n) => {
      const parts = await timed(() => body(n));
      probing.push({ n, work: parts.probing });
      return addWork(parts.own, { ...noWork, seconds: parts.probing.seconds });
    });
    const used = probing.slice(-own.length);
    return {
      own: fitCost(
        own.map(({ n, work }, i) => ({
          n,
          work: { ...work, seconds: work.seconds - (used[i]?.work.seconds ?? 0) },
        })),
      ),
      probing: fitCost(used),
    };
  };

  const { generatorSteps } = countsOf(config, { tasksPerSpec: 1 });
  const stepped =
    generatorSteps === 0
      ? undefined
      : await both(config.generator.groups, 0.2, async (groups) => {
          await trainGeneratorStep(
            { ...quiet, config: { ...config, generator: { ...config.generator, groups } } },
            { generator, opponent, specs, learningRate: config.generator.learningRate, seed: label("step") },
          );
        });

  const tasks: Task[] = [];
  let verified = 0;
  let written = 0;
  // From trained weights or the base: here the work is the same, and the model is at hand.
  const writer = await generator.sampler();
  const candidates = await both(config.candidates.specs, 0.2, async (number) => {
    const made = await makeCandidates(
      { ...quiet, config: { ...config, candidates: { ...config.candidates, specs: number } } },
      { writer, opponent, specs, seed: label("candidates") },
    );
    tasks.push(...made.tasks.map(({ task }) => task));
    verified += made.measured.length;
    written += number;
  });
  const tasksPerSpec = verified / written;

  const { tasksPerStep } = countsOf(config, { tasksPerSpec: tasksPerSpec || 1 });
  const pool = tasks.length > 0 ? tasks : [...options.standIns];
  const most = Math.max(1, Math.round(tasksPerStep));
  const random = createRandom(label("tasks"));
  const chosen = (n: number): Task[] =>
    n <= pool.length
      ? random.sample(pool, n)
      : Array.from({ length: n }, (_, i) => ({ ...(pool[i % pool.length] as Task) }));
  const step = (n: number) => ({
    solver,
    shelves: shelve(quiet, chosen(n), label("shelves")),
    learningRate: config.solver.learningRate,
    seed: label("solver"),
  });
  const trained =
    config.method === "supervised" || config.solver.steps === 0
      ? undefined
      : await both(most, 0.35, async (n) => {
          await trainSolverStep(quiet, step(n));
        });
  const supervised =
    config.solver.steps === 0
      ? undefined
      : await both(most, 0.15, async (n) => {
          await trainSupervisedStep(quiet, step(n));
        });
  const asked = async ({ total, ask }: Asked): Promise<Cost> =>
    total === 0 ? nothing : (await both(total, 0.05, async (n) => ask(await solver.sampler(), n))).own;
  return {
    generator: stepped?.own ?? nothing,
    generatorProbes: stepped?.probing ?? nothing,
    writing: candidates.own,
    probes: candidates.probing,
    tasksPerSpec,
    solver: trained?.own ?? nothing,
    supervised: supervised?.own ?? nothing,
    questions: await asked(options.questions),
    otherQuestions: await asked(options.otherQuestions),
  };
}

const nothing: Cost = { fixed: 0, each: { ...noWork } };

/** Draws `maxTokens` tokens for `n` groups of the Generator, and for as many of one token. */
async function writeCut(bench: Bench, n: number, maxTokens: number): Promise<Sample[]> {
  const { context, generator } = bench;
  const { config, menu, tokenizer, signal } = context;
  const specs = specsOf(context, `plan/${config.seed}/cut`);
  const prompts = Array.from({ length: n }, () => specs.next()).map((spec) => ({
    id: spec.id,
    messages: generatorMessages(spec, menu, config.prompts),
  }));
  const sampler = await generator.sampler();
  bench.meter.take();
  await sampleGroups(sampler, tokenizer, prompts, {
    count: config.generator.groupSize,
    maxTokens,
    temperature: config.temperature,
    seed: `plan/${config.seed}`,
    // Nothing ends before its length is reached.
    stop: [],
    signal,
  });
  return [{ n, work: bench.meter.take() }];
}

/** Rates from a few tokens of each completion and from single sequences, for backends that are slow for the model. */
async function measureTokens(bench: Bench): Promise<StepRates> {
  const { context, options, meter, generator, solver } = bench;
  const { config, menu, tokenizer, signal } = context;
  const { seconds, now } = options;

  /** Cost per prompt of `count` completions of `maxTokens`, from two short lengths. */
  const sampling = async (
    sampler: SamplingClient,
    prompts: { id: string; messages: ReturnType<typeof solverMessages> }[],
    count: number,
    maxTokens: number,
  ): Promise<Cost> => {
    const draw = async (n: number, length: number): Promise<Work> => {
      meter.take();
      const settings = {
        count,
        maxTokens: length,
        temperature: config.temperature,
        seed: "plan",
        stop: [],
        signal,
      };
      await sampleGroups(sampler, tokenizer, prompts.slice(0, n), settings);
      return meter.take();
    };
    let n = 1;
    let first = await draw(n, 1);
    while (n < prompts.length && first.seconds * 2 < seconds / 4) {
      n = Math.min(prompts.length, 4 * n);
      first = await draw(n, 1);
    }
    const more = await draw(n, 1 + pilotTokens);
    const perToken = Math.max(0, more.seconds - first.seconds) / pilotTokens;
    const whole = {
      ...more,
      newTokens: first.newTokens * maxTokens,
      seconds: first.seconds + perToken * (maxTokens - 1),
    };
    return fitCost([{ n, work: whole }]);
  };
  const specs = specsOf(context, `plan/${config.seed}/tokens`);
  const writing = Array.from({ length: config.generator.groups }, () => specs.next()).map((spec) => ({
    id: spec.id,
    messages: generatorMessages(spec, menu, config.prompts),
  }));
  const solving = Array.from({ length: config.solver.groups }, (_, i) => {
    const task = options.standIns[i % options.standIns.length] as Task;
    return { id: `${i}`, messages: solverMessages(shownTools(task, menu), task.question, config.prompts) };
  });
  const { groupSize, maxTokens } = config.generator;
  const written = await sampling(await generator.sampler(), writing, groupSize, maxTokens);
  const answers = await sampling(
    await solver.sampler(),
    solving,
    config.solver.groupSize,
    config.solver.maxTokens,
  );

  /** Seconds per token of forward, backward and optimizer, with prompts of the Solver. */
  const prompts = solving.map(({ messages }) => tokenizer.renderChat(messages));
  const length = Math.min(config.solver.maxTokens, 64);
  const update = await grow(prompts.length, seconds / 4, async (n) => {
    const data = prompts.slice(0, n).map((prompt) => {
      const tokens = prompt.slice(0, 1).concat(Array.from({ length: length - 1 }, () => prompt.at(-1) ?? 0));
      return policyDatum({ prompt, tokens, logprobs: tokens.map(() => -1), advantage: 1 / length });
    });
    meter.take();
    const begun = now();
    const forward = solver.forwardBackward(data, "ppo");
    const optimizer = solver.optimStep(adam(context, 1e-9 / Math.max(1, trainedTokens(data))));
    await Promise.all([forward, optimizer]);
    return { ...meter.take(), seconds: (now() - begun) / 1000 };
  });
  const trained = addWork(...update.map(({ work }) => work));
  const perToken = trained.seconds / Math.max(1, trained.trainedTokens);
  /** The cost of training on a prompt's completions, where completions of a group share the prompt. */
  const training = (of: Cost, count: number, maximum: number): Work => {
    const tokens = of.each.promptTokens + count * maximum;
    return { ...noWork, trainedTokens: tokens, seconds: tokens * perToken };
  };
  const scaled = ({ each }: Cost, factor: number): Cost => ({
    fixed: 0,
    each: {
      prompts: each.prompts,
      completions: each.completions * factor,
      promptTokens: each.promptTokens,
      newTokens: each.newTokens * factor,
      trainedTokens: 0,
      seconds: each.seconds * factor,
    },
  });
  const own = config.solver.groupSize;
  const single = scaled(answers, 1 / own);
  const probed = (probes: number, written: number): Cost => scaled(answers, (probes * written) / own);
  const imitated = training(single, 1, config.solver.maxTokens);
  return {
    generator: { fixed: 0, each: addWork(written.each, training(written, groupSize, maxTokens)) },
    generatorProbes: probed(config.generator.probes, groupSize),
    writing: scaled(written, config.candidates.perSpec / groupSize),
    probes: probed(config.candidates.probes, config.candidates.perSpec),
    tasksPerSpec: config.candidates.perSpec,
    solver: {
      fixed: 0,
      each: addWork(
        answers.each,
        training(answers, own, config.solver.maxTokens),
        config.solver.goldWeight > 0 ? imitated : noWork,
      ),
    },
    supervised: { fixed: 0, each: imitated },
    questions: options.questions.total === 0 ? nothing : single,
    otherQuestions: options.otherQuestions.total === 0 ? nothing : single,
  };
}
