import type { Datum, TrainingClient } from "../backend/types.js";
import { createMenuIndex, shortlist, type Tool, trimmed } from "../openapi/index.js";
import { type Reward, solverReward } from "../reward/index.js";
import { shownTools, type Task } from "../task/index.js";
import { createRandom } from "../util/random.js";
import { adam, roomFor, type StepContext, scaled, trainedTokens } from "./context.js";
import { mean, meanParts, plain, samplerGap } from "./generator-phase.js";
import { groupAdvantages, likelihoodDatum, policyDatum } from "./grpo.js";
import { type SolvedGroup, solve } from "./probe.js";
import { answerDatum, answerTokens, replayData } from "./replay.js";

export interface SolverStep {
  metrics: Record<string, number>;
  groups: { task: Task; passRate: number; rollouts: { text: string; reward: number; correct: boolean }[] }[];
}

export interface StepOptions {
  solver: TrainingClient;
  shelves: readonly Shelf[];
  learningRate: number;
  seed: string;
}

/** Tasks that are trained with the same tools in view, so that their prompts share all but the question. */
export interface Shelf {
  tools: readonly Tool[];
  tasks: Task[];
}

/**
 * Puts tasks on shelves in their order. A shelf shows the tools of its first task: those of its specification, or those
 * that the finished agent will show for its question (a share `deployedMenu` of the shelves), with the right ones added
 * where the search misses them. The next tasks whose tools are among them join it, up to `perMenu`.
 */
export function shelve(context: StepContext, tasks: readonly Task[], seed: string): Shelf[] {
  const { config, menu } = context;
  const random = createRandom(seed);
  const index = createMenuIndex(menu);
  const search = (question: string) => index.search(question, menu.tools.length);
  const room = roomFor(context);
  const deployed = (task: Task): readonly Tool[] => {
    const shown = shortlist(menu.tools, task.question, config.maxTools, search, room);
    const needed = new Set(task.answer.map(({ name }) => name));
    const missed = menu.tools.filter((tool) => needed.has(tool.name) && !shown.includes(tool));
    if (missed.length === 0) return shown;
    const kept = shown.filter(({ name }) => needed.has(name));
    const others = shown.filter(({ name }) => !needed.has(name));
    const most = Math.max(config.maxTools, needed.size);
    const wanted = trimmed([...kept, ...missed, ...others].slice(0, most), needed.size, room);
    const names = new Set(wanted.map(({ name }) => name));
    return menu.tools.filter(({ name }) => names.has(name));
  };
  const shelves: Shelf[] = [];
  let left = [...tasks];
  for (let first = left[0]; first !== undefined; first = left[0]) {
    const tools =
      random.next() < config.solver.deployedMenu ? deployed(first) : random.shuffle(shownTools(first, menu));
    const names = new Set(tools.map(({ name }) => name));
    const own: Task[] = [];
    const others: Task[] = [];
    for (const task of left)
      (task === first || (own.length < config.solver.groupsPerMenu && fits(task, names)) ? own : others).push(
        task,
      );
    shelves.push({ tools, tasks: own });
    left = others;
  }
  return shelves;
}

const fits = ({ answer }: Task, names: ReadonlySet<string>): boolean =>
  answer.every(({ name }) => names.has(name));

/**
 * One GRPO step of the Solver (Tool-R0, phase 4) on a few tasks. Groups without variance give no gradient and are counted.
 * Where every sample fails, the task's own verified answer joins the group (gold-anchored), off-policy with ratio 1, so
 * that an operation which the Solver never samples can be learned; the paper does not do this.
 */
export async function trainSolverStep(context: StepContext, options: StepOptions): Promise<SolverStep> {
  const { config } = context;
  const toolsOf = new Map(options.shelves.flatMap(({ tools, tasks }) => tasks.map((task) => [task, tools])));
  const sampler = await options.solver.sampler();
  const solved = await solve(context, [...toolsOf.keys()], {
    sampler,
    count: config.solver.groupSize,
    seed: `${options.seed}/solve`,
    tools: (task) => toolsOf.get(task) ?? [],
  });
  const scored = solved.map((group) => scoreGroup(context, group));
  const rejectionSampling = config.method === "rejection-sampling";
  const { data, anchored } = rejectionSampling
    ? { data: keepCorrect(scored), anchored: 0 }
    : await policyData(context, options.solver, scored);
  const golds = config.solver.goldWeight === 0 ? [] : goldData(context, options.shelves);
  const training = await solverUpdate(
    context,
    options,
    data,
    rejectionSampling ? "cross_entropy" : "ppo",
    golds,
  );
  const flat = scored.filter(({ rewards }) => isFlat(rewards)).length;
  return {
    metrics: {
      reward: mean(scored.flatMap(({ rewards }) => rewards.map(({ value }) => value))),
      ...meanParts(scored.flatMap(({ rewards }) => rewards)),
      pass_rate: mean(solved.map(({ check }) => check.passRate)),
      zero_variance_groups: flat / Math.max(1, scored.length),
      anchored_groups: anchored / Math.max(1, scored.length),
      ...training,
    },
    groups: scored.map(({ group, rewards, correct }) => ({
      task: group.task,
      passRate: group.check.passRate,
      rollouts: group.rollouts.samples.map(({ text }, i) => ({
        text,
        reward: rewards[i]?.value ?? 0,
        correct: correct[i] ?? false,
      })),
    })),
  };
}

interface ScoredGroup {
  group: SolvedGroup;
  rewards: Reward[];
  correct: boolean[];
}

const isFlat = (rewards: readonly Reward[]): boolean =>
  rewards.every(({ value }) => Math.abs(value - (rewards[0]?.value ?? 0)) < 1e-9);

function scoreGroup({ menu }: StepContext, group: SolvedGroup): ScoredGroup {
  const rewards = group.answers.map((answer) => solverReward(answer, group.task.answer, menu.tools));
  // Full accuracy means that every call, key and value is right and none is too many.
  return { group, rewards, correct: rewards.map(({ parts }) => (parts.accuracy ?? 0) > 1 - 1e-9) };
}

async function policyData(
  context: StepContext,
  solver: TrainingClient,
  scored: readonly ScoredGroup[],
): Promise<{ data: Datum[]; anchored: number }> {
  const { config, menu, tokenizer } = context;
  const failed = config.goldAnchor ? scored.filter(({ correct }) => !correct.some(Boolean)) : [];
  const golds = failed.map(({ group }) => answerTokens(tokenizer, group.task.answer));
  // The gold answer was not sampled; its logprobs under the policy make its importance ratio 1.
  const scoring = failed.map(({ group }, i) => likelihoodDatum(group.rollouts.prompt, golds[i] ?? [], 1));
  const { logprobs } =
    scoring.length === 0 ? { logprobs: [] } : await solver.forward(scoring, "cross_entropy");
  const anchors = new Map(
    failed.map((entry, i) => {
      const tokens = golds[i] ?? [];
      return [entry, { tokens, logprobs: (logprobs[i] ?? []).slice(-tokens.length) }];
    }),
  );
  const data = scored.flatMap((entry) => {
    const { group, rewards } = entry;
    const anchor = anchors.get(entry);
    const samples: { tokens: number[]; logprobs: number[] }[] = [...group.rollouts.samples];
    const values = rewards.map(({ value }) => value);
    if (anchor !== undefined) {
      samples.push(anchor);
      values.push(solverReward(group.task.answer, group.task.answer, menu.tools).value);
    }
    const advantages = groupAdvantages(values, config.divideByDeviation);
    return samples.flatMap((sample, i) => {
      const advantage = advantages[i] ?? 0;
      return advantage === 0 ? [] : [policyDatum({ prompt: group.rollouts.prompt, ...sample, advantage })];
    });
  });
  return { data, anchored: failed.length };
}

/** Rejection sampling: the distinct right samples of each group, equally likely to be learned. */
function keepCorrect(scored: readonly ScoredGroup[]): Datum[] {
  return scored.flatMap(({ group, correct }) => {
    const right = new Map(
      group.rollouts.samples.flatMap((sample, i) =>
        correct[i] ? [[sample.tokens.join(), sample] as const] : [],
      ),
    );
    return [...right.values()].map(({ tokens }) =>
      likelihoodDatum(group.rollouts.prompt, tokens, 1 / right.size),
    );
  });
}

/** One optimizer step on the task data together with the tasks' own answers and replayed requests about other APIs. */
async function solverUpdate(
  context: StepContext,
  { solver, learningRate, seed }: StepOptions,
  data: readonly Datum[],
  loss: "ppo" | "cross_entropy",
  golds: readonly Datum[] = [],
): Promise<Record<string, number>> {
  const { config, tokenizer } = context;
  if (data.length === 0 && golds.length === 0) return {};
  const policy = loss === "ppo";
  const forward =
    data.length === 0
      ? undefined
      : solver.forwardBackward(scaled(context, data, 1 / trainedTokens(data)), loss, {
          ...(policy
            ? { clip_low_threshold: 1 - config.clip.low, clip_high_threshold: 1 + config.clip.high }
            : {}),
          ...(config.solver.klBeta > 0 && context.backend.capabilities.klInLoss
            ? { kl_beta: config.solver.klBeta }
            : {}),
        });
  const replay = replayData(
    context.replay,
    config.solver.replay,
    createRandom(`${seed}/replay`),
    tokenizer,
    config.prompts,
  );
  const imitate = (part: readonly Datum[], weight: number) =>
    part.length === 0 || weight === 0
      ? undefined
      : solver.forwardBackward(scaled(context, part, weight / trainedTokens(part)), "cross_entropy");
  const imitation = [imitate(golds, config.solver.goldWeight), imitate(replay, config.solver.replayWeight)];
  const step = solver.optimStep(adam(context, learningRate));
  const [own, { metrics: optimizer }] = await Promise.all([forward, step, ...imitation]);
  return {
    ...(own !== undefined && policy ? samplerGap(data, own.logprobs) : {}),
    ...plain(own?.metrics ?? {}),
    ...plain(optimizer),
  };
}

/** One step of supervised training on the tasks' own answers, in the same menus and with the same replay. */
export async function trainSupervisedStep(
  context: StepContext,
  options: StepOptions,
): Promise<Record<string, number>> {
  return solverUpdate(context, options, goldData(context, options.shelves), "cross_entropy");
}

/** The tasks' own answers, each after the menu that its shelf shows. */
const goldData = ({ config, tokenizer }: StepContext, shelves: readonly Shelf[]): Datum[] =>
  shelves.flatMap(({ tools, tasks }) =>
    tasks.map((task) => answerDatum(tokenizer, tools, task.question, task.answer, config.prompts, 1)),
  );
