import type { Datum, TrainingClient } from "../backend/types.js";
import { createMenuIndex, shortlist, type Tool } from "../openapi/index.js";
import { type Reward, solverReward } from "../reward/index.js";
import { shownTools, solverMessages, type Task } from "../task/index.js";
import { createRandom } from "../util/random.js";
import { adam, type RunContext, scaled, trainedTokens } from "./context.js";
import { mean, meanParts, plain, samplerGap } from "./generator-phase.js";
import { groupAdvantages, likelihoodDatum, policyDatum } from "./grpo.js";
import { type SolvedGroup, solve } from "./probe.js";
import { answerTokens, replayData } from "./replay.js";

export interface SolverStep {
  metrics: Record<string, number>;
  groups: { task: Task; passRate: number; rollouts: { text: string; reward: number; correct: boolean }[] }[];
}

/**
 * Picks the tools that a task is trained with: its own, or those that the finished agent will show for its question
 * (`deployedMenu`), to which the right ones are added where the search misses them.
 */
export function trainingMenu(context: RunContext, seed: string): (task: Task) => readonly Tool[] {
  const { config, menu } = context;
  const random = createRandom(seed);
  const index = createMenuIndex(menu);
  const chosen = new Map<Task, readonly Tool[]>();
  const deployed = (task: Task): readonly Tool[] => {
    const shown = shortlist(menu.tools, task.question, config.maxTools, (question) =>
      index.search(question, menu.tools.length),
    );
    const needed = new Set(task.answer.map(({ name }) => name));
    const missed = menu.tools.filter((tool) => needed.has(tool.name) && !shown.includes(tool));
    if (missed.length === 0) return shown;
    const kept = shown.filter(({ name }) => needed.has(name));
    const others = shown.filter(({ name }) => !needed.has(name));
    const names = new Set(
      [...kept, ...missed, ...others]
        .slice(0, Math.max(config.maxTools, needed.size))
        .map(({ name }) => name),
    );
    return menu.tools.filter(({ name }) => names.has(name));
  };
  return (task) => {
    const known = chosen.get(task);
    if (known !== undefined) return known;
    const tools =
      random.next() < config.solver.deployedMenu ? deployed(task) : random.shuffle(shownTools(task, menu));
    chosen.set(task, tools);
    return tools;
  };
}

/**
 * One GRPO step of the Solver (Tool-R0, phase 4) on a few tasks. Groups without variance give no gradient and are counted.
 * Where every sample fails, the task's own verified answer joins the group (gold-anchored), off-policy with ratio 1, so
 * that an operation which the Solver never samples can be learned; the paper does not do this.
 */
export async function trainSolverStep(
  context: RunContext,
  options: { solver: TrainingClient; tasks: readonly Task[]; seed: string },
): Promise<SolverStep> {
  const { config } = context;
  const tools = trainingMenu(context, `${options.seed}/menu`);
  const sampler = await options.solver.sampler();
  const solved = await solve(context, options.tasks, {
    sampler,
    count: config.solver.groupSize,
    seed: `${options.seed}/solve`,
    tools,
  });
  const scored = solved.map((group) => scoreGroup(context, group));
  const rejectionSampling = config.method === "rejection-sampling";
  const { data, anchored } = rejectionSampling
    ? { data: keepCorrect(scored), anchored: 0 }
    : await policyData(context, options.solver, scored);
  const training = await solverUpdate(
    context,
    options.solver,
    data,
    rejectionSampling ? "cross_entropy" : "ppo",
    options.seed,
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

function scoreGroup({ menu }: RunContext, group: SolvedGroup): ScoredGroup {
  const rewards = group.answers.map((answer) => solverReward(answer, group.task.answer, menu.tools));
  // Full accuracy means that every call, key and value is right and none is too many.
  return { group, rewards, correct: rewards.map(({ parts }) => (parts.accuracy ?? 0) > 1 - 1e-9) };
}

async function policyData(
  context: RunContext,
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

/** One optimizer step on the task data together with replayed requests about other APIs. */
export async function solverUpdate(
  context: RunContext,
  solver: TrainingClient,
  data: readonly Datum[],
  loss: "ppo" | "cross_entropy",
  seed: string,
): Promise<Record<string, number>> {
  const { config, tokenizer } = context;
  if (data.length === 0) return {};
  const policy = loss === "ppo";
  const forward = solver.forwardBackward(scaled(context, data, 1 / trainedTokens(data)), loss, {
    ...(policy ? { clip_low_threshold: 1 - config.clip.low, clip_high_threshold: 1 + config.clip.high } : {}),
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
  const rehearsal =
    replay.length === 0 || config.solver.replayWeight === 0
      ? undefined
      : solver.forwardBackward(
          scaled(context, replay, config.solver.replayWeight / trainedTokens(replay)),
          "cross_entropy",
        );
  const step = solver.optimStep(adam(context, config.solver.learningRate));
  const [{ logprobs, metrics }, , { metrics: optimizer }] = await Promise.all([forward, rehearsal, step]);
  return { ...(policy ? samplerGap(data, logprobs) : {}), ...plain(metrics), ...plain(optimizer) };
}

/** One step of supervised training on the tasks' own answers, in the same menus and with the same replay. */
export async function trainSupervisedStep(
  context: RunContext,
  options: { solver: TrainingClient; tasks: readonly Task[]; seed: string },
): Promise<Record<string, number>> {
  const { config, tokenizer } = context;
  const tools = trainingMenu(context, `${options.seed}/menu`);
  const data = options.tasks.map((task) =>
    likelihoodDatum(
      tokenizer.renderChat(solverMessages(tools(task), task.question, config.prompts)),
      answerTokens(tokenizer, task.answer),
      1,
    ),
  );
  return solverUpdate(context, options.solver, data, "cross_entropy", options.seed);
}
