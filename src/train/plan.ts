import type { RunConfig } from "./config.js";

/** What some part of a run samples and trains. Tokens and completions are totals; seconds are of the clock. */
export interface Work {
  prompts: number;
  completions: number;
  /** Tokens of the prompts as they are sent, each prompt once for all of its completions. */
  promptTokens: number;
  /** Tokens drawn. */
  newTokens: number;
  /** Tokens that forward and backward passes compute; on the local worker without what sequences share. */
  trainedTokens: number;
  seconds: number;
}

/** What `n` units of a work cost: `seconds` is `fixed + n * each.seconds`, all else is `n` times `each`. */
export interface Cost {
  fixed: number;
  each: Work;
}

/** What was measured with one model on one backend. Costs are per unit of what the name says. */
export interface Rates {
  /** Seconds from the start until a model can be sampled and trained. */
  start: number;
  /** Seconds to save a checkpoint. */
  checkpoint: number;
  /** A Generator step, per group, without its Solver probes; and those. */
  generator: Cost;
  generatorProbes: Cost;
  /** Writing candidates and probing the valid ones, per specification. */
  writing: Cost;
  probes: Cost;
  /** Candidates that are verified and can be chosen, per specification. */
  tasksPerSpec: number;
  /** A step of the Solver, and one of the supervised comparison, per task in it. */
  solver: Cost;
  supervised: Cost;
  /** Greedy answers, per question; of the tasks to measure on, and of those about other APIs. */
  questions: Cost;
  otherQuestions: Cost;
  /** The completions were cut when they were measured: times and tokens are for completions of the greatest length. */
  upperBound: boolean;
}

export const phases = [
  "starting",
  "Generator training",
  "Generator training: Solver probes",
  "writing tasks",
  "Solver probes of the tasks",
  "Solver training",
  "supervised comparison",
  "measuring",
  "checkpoints",
] as const;
export type Phase = (typeof phases)[number];

export interface Estimate {
  phases: ({ name: Phase } & Work)[];
  total: Work;
}

export const noWork: Readonly<Work> = {
  prompts: 0,
  completions: 0,
  promptTokens: 0,
  newTokens: 0,
  trainedTokens: 0,
  seconds: 0,
};

export function addWork(...parts: readonly Work[]): Work {
  const sum = { ...noWork };
  for (const part of parts) for (const key of workKeys) sum[key] += part[key];
  return sum;
}

const workKeys = ["prompts", "completions", "promptTokens", "newTokens", "trainedTokens", "seconds"] as const;

const times = (work: Work, factor: number): Work => {
  const scaled = { ...work };
  for (const key of workKeys) scaled[key] *= factor;
  return scaled;
};

/** The work of `repeats` times `n` units. */
const cost = ({ fixed, each }: Cost, n: number, repeats = 1): Work =>
  n === 0 || repeats === 0
    ? { ...noWork }
    : times(addWork(times(each, n), { ...noWork, seconds: fixed }), repeats);

/**
 * Fits a cost to measurements at several sizes: the line of least squares for the seconds, with neither a negative
 * beginning nor a negative slope, and the mean per unit for all else. Of measurements at one size the (lower) median counts.
 */
export function fitCost(samples: readonly { n: number; work: Work }[]): Cost {
  const count = samples.length;
  const units = samples.reduce((sum, { n }) => sum + n, 0);
  if (units === 0) return { fixed: 0, each: { ...noWork } };
  const sizes = new Set(samples.map(({ n }) => n));
  const each = times(addWork(...samples.map(({ work }) => work)), 1 / units);
  if (sizes.size === 1) {
    const ordered = samples.map(({ n, work }) => work.seconds / n).sort((a, b) => a - b);
    return { fixed: 0, each: { ...each, seconds: ordered[(count - 1) >> 1] ?? 0 } };
  }
  const meanN = units / count;
  const mean = samples.reduce((sum, { work }) => sum + work.seconds, 0) / count;
  const spread = samples.reduce((sum, { n }) => sum + (n - meanN) ** 2, 0);
  const slope = samples.reduce((sum, { n, work }) => sum + (n - meanN) * (work.seconds - mean), 0) / spread;
  if (slope <= 0) return { fixed: mean, each: { ...each, seconds: 0 } };
  const fixed = mean - slope * meanN;
  return fixed <= 0 ? { fixed: 0, each } : { fixed, each: { ...each, seconds: slope } };
}

/** How often each thing of a run happens. */
export function countsOf(config: RunConfig, { tasksPerSpec }: Pick<Rates, "tasksPerSpec">) {
  const { iterations, checkpointEvery, candidates, solver } = config;
  const generatorSteps = config.frozenGenerator || config.method !== "self-play" ? 0 : config.generator.steps;
  const tasks = Math.min(candidates.keep, Math.round(candidates.specs * tasksPerSpec));
  const solverSteps = tasks === 0 ? 0 : solver.steps;
  // As `planSteps` does: whole walks through the tasks, spread over the steps.
  const walks = Math.max(1, Math.floor((solver.steps * solver.groups) / Math.max(1, tasks)));
  const tasksPerStep = solverSteps === 0 ? 0 : Math.min(solver.groups, (tasks * walks) / solverSteps);
  const saves = (steps: number): number => Math.ceil(steps / checkpointEvery);
  return {
    generatorSteps,
    tasks,
    solverSteps,
    tasksPerStep,
    checkpoints:
      iterations * (saves(generatorSteps) + (config.supervisedBaseline ? 2 : 1) * saves(solverSteps) + 1),
  };
}

/** What a whole run samples, trains and takes. `questions` are the tasks and the other APIs' requests to measure on. */
export function estimateRun(
  config: RunConfig,
  rates: Rates,
  questions: { tasks: number; others: number },
): Estimate {
  const { iterations, generator, candidates } = config;
  const { generatorSteps, solverSteps, tasksPerStep, checkpoints } = countsOf(config, rates);
  const works: Record<Phase, Work> = {
    starting: { ...noWork, seconds: rates.start },
    "Generator training": cost(rates.generator, generator.groups, iterations * generatorSteps),
    "Generator training: Solver probes": cost(
      rates.generatorProbes,
      generator.groups,
      iterations * generatorSteps,
    ),
    "writing tasks": cost(rates.writing, candidates.specs, iterations),
    "Solver probes of the tasks": cost(rates.probes, candidates.specs, iterations),
    "Solver training": cost(
      config.method === "supervised" ? rates.supervised : rates.solver,
      tasksPerStep,
      iterations * solverSteps,
    ),
    "supervised comparison": cost(
      rates.supervised,
      tasksPerStep,
      config.supervisedBaseline ? iterations * solverSteps : 0,
    ),
    // Each iteration's Solver, then base, tuned and perhaps supervised; base and tuned on other APIs as well.
    measuring: addWork(
      cost(rates.questions, questions.tasks, iterations + (config.supervisedBaseline ? 3 : 2)),
      cost(rates.otherQuestions, questions.others, 2),
    ),
    checkpoints: { ...noWork, seconds: rates.checkpoint * checkpoints },
  };
  return {
    phases: phases.map((name) => ({ name, ...works[name] })),
    total: addWork(...Object.values(works)),
  };
}

/** The part of a configuration that decides how long a run takes. */
export interface Sizes {
  iterations: number;
  generator: { steps: number };
  candidates: { specs: number; keep: number };
  solver: { steps: number };
}

export const withSizes = (config: RunConfig, sizes: Sizes): RunConfig => ({
  ...config,
  iterations: sizes.iterations,
  generator: { ...config.generator, ...sizes.generator },
  candidates: { ...config.candidates, ...sizes.candidates },
  solver: { ...config.solver, ...sizes.solver },
});

/** Shares of a configuration's steps and candidates that are tried, the greatest first. */
const shares = Array.from({ length: 39 }, (_, i) => 1 - i / 40);
/** An iteration with less than this share of its steps is worth less than one iteration fewer. */
const leastShare = 0.5;

/**
 * The greatest sizes with which a run takes at most `seconds`: first fewer steps and candidates in each iteration, down to
 * half of them, then fewer iterations, at last fewer steps again. Undefined when not even the smallest run fits.
 */
export function fitSizes(
  config: RunConfig,
  rates: Rates,
  questions: { tasks: number; others: number },
  seconds: number,
): { sizes: Sizes; estimate: Estimate } | undefined {
  const attempt = (iterations: number, share: number) => {
    const part = (value: number): number => (value === 0 ? 0 : Math.max(1, Math.round(value * share)));
    const sizes: Sizes = {
      iterations,
      generator: { steps: part(config.generator.steps) },
      candidates: { specs: part(config.candidates.specs), keep: part(config.candidates.keep) },
      solver: { steps: part(config.solver.steps) },
    };
    const estimate = estimateRun(withSizes(config, sizes), rates, questions);
    return estimate.total.seconds <= seconds ? { sizes, estimate } : undefined;
  };
  for (let iterations = config.iterations; iterations >= 1; iterations--)
    for (const share of shares) {
      if (share < leastShare && iterations > 1) break;
      const found = attempt(iterations, share);
      if (found !== undefined) return found;
    }
  return undefined;
}
