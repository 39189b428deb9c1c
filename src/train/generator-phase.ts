import type { SamplingClient, TrainingClient } from "../backend/types.js";
import { clusterSizes } from "../curriculum/index.js";
import { generatorReward, type Reward } from "../reward/index.js";
import { sampleGroups } from "../rollout/rollout.js";
import {
  type Assessment,
  createVerifier,
  generatorMessages,
  isRejection,
  type SpecGenerator,
  type Task,
} from "../task/index.js";
import { adam, type StepContext, scaled, trainedTokens } from "./context.js";
import { groupAdvantages, policyDatum } from "./grpo.js";
import { solve } from "./probe.js";

export interface GeneratorStep {
  metrics: Record<string, number>;
  /** A few completions with their rewards, for the transcript. */
  transcripts: {
    spec: string;
    text: string;
    reward: number;
    parts: Record<string, number>;
    rejection?: string;
  }[];
}

/**
 * One GRPO step of the Generator (Tool-R0, phase 1): a group of questions for each specification, verified, probed with
 * K samples of the frozen Solver, rewarded, and trained on their group-relative advantages.
 */
export async function trainGeneratorStep(
  context: StepContext,
  options: {
    generator: TrainingClient;
    opponent: SamplingClient;
    specs: SpecGenerator;
    learningRate: number;
    seed: string;
  },
): Promise<GeneratorStep> {
  const { config, menu, tokenizer, signal } = context;
  const { groups, groupSize, probes, maxTokens } = config.generator;
  const specs = Array.from({ length: groups }, () => options.specs.next());
  const sampler = await options.generator.sampler();
  const rollouts = await sampleGroups(
    sampler,
    tokenizer,
    specs.map((spec) => ({ id: spec.id, messages: generatorMessages(spec, menu, config.prompts) })),
    { count: groupSize, maxTokens, temperature: config.temperature, seed: `${options.seed}/write`, signal },
  );
  const verifier = createVerifier(menu);
  const written = rollouts.flatMap((group, index) => {
    const spec = specs[index];
    if (spec === undefined) return [];
    return group.samples.map((sample) => ({
      spec,
      sample,
      group,
      assessment: verifier.assess(spec, sample.text),
    }));
  });

  const valid = written.flatMap(({ assessment }) =>
    isRejection(assessment.result) ? [] : [assessment.result],
  );
  const solved = await solve(context, valid, {
    sampler: options.opponent,
    count: probes,
    seed: `${options.seed}/probe`,
  });
  const checks = new Map(solved.map((group) => [group.task, group.check]));
  const clusters = clusterSizes(written.map(({ assessment }) => assessment.question ?? ""));
  const rewards = written.map(({ assessment }, index) =>
    rewardOf(
      assessment,
      checks.get(assessment.result as Task)?.passRate,
      probes,
      {
        clusterSize: assessment.question === null ? 1 : (clusters[index] ?? 1),
        batchSize: written.length,
      },
      config.difficultyReward,
    ),
  );

  const data = rollouts.flatMap((group) => {
    const own = rewards.filter((_, index) => written[index]?.group === group);
    const advantages = groupAdvantages(
      own.map(({ value }) => value),
      config.divideByDeviation,
    );
    if (advantages.every((advantage) => advantage === 0)) return [];
    return group.samples.map(({ tokens, logprobs }, i) =>
      policyDatum({ prompt: group.prompt, tokens, logprobs, advantage: advantages[i] ?? 0 }),
    );
  });
  const training = await policyStep(context, options.generator, data, options.learningRate);

  const passRates = solved.map(({ check }) => check.passRate);
  return {
    metrics: {
      reward: mean(rewards.map(({ value }) => value)),
      ...meanParts(rewards),
      valid: valid.length / Math.max(1, written.length),
      pass_rate: mean(passRates),
      zero_variance_groups: 1 - data.length / Math.max(1, written.length),
      ...training,
    },
    transcripts: written.slice(0, groupSize).map(({ spec, sample, assessment }, index) => ({
      spec: spec.id,
      text: sample.text,
      reward: rewards[index]?.value ?? 0,
      parts: rewards[index]?.parts ?? {},
      ...(isRejection(assessment.result) ? { rejection: assessment.result.reason } : {}),
    })),
  };
}

function rewardOf(
  assessment: Assessment,
  passRate: number | undefined,
  samples: number,
  repetition: { clusterSize: number; batchSize: number },
  difficulty: boolean,
): Reward {
  const { format, placeholder, validity, topicality, result } = assessment;
  return generatorReward(
    { format, placeholder, validity, topicality, valid: !isRejection(result), passRate, samples, repetition },
    difficulty ? {} : { difficulty: 0 },
  );
}

/** Trains on policy data with the clipped objective and takes one optimizer step. Nothing happens without data. */
export async function policyStep(
  context: StepContext,
  model: TrainingClient,
  data: Parameters<typeof scaled>[1],
  learningRate: number,
): Promise<Record<string, number>> {
  if (data.length === 0) return {};
  const forward = model.forwardBackward(scaled(context, data, 1 / trainedTokens(data)), "ppo", {
    clip_low_threshold: 1 - context.config.clip.low,
    clip_high_threshold: 1 + context.config.clip.high,
  });
  const step = model.optimStep(adam(context, learningRate));
  const [{ logprobs, metrics }, { metrics: optimizer }] = await Promise.all([forward, step]);
  return { ...samplerGap(data, logprobs), ...plain(metrics), ...plain(optimizer) };
}

/** KL between sampler and trainer on the sampled tokens (k1 estimate): above .01 the two disagree about the model. */
export function samplerGap(
  data: Parameters<typeof scaled>[1],
  now: readonly number[][],
): { sampler_kl: number } {
  let sum = 0;
  let count = 0;
  for (const [index, datum] of data.entries())
    for (const [position, advantage] of (datum.advantages ?? []).entries()) {
      if (advantage === 0) continue;
      sum += (datum.logprobs?.[position] ?? 0) - (now[index]?.[position] ?? 0);
      count++;
    }
  return { sampler_kl: count === 0 ? 0 : sum / count };
}

/** Metric names without the wire's reduction suffix. */
export function plain(metrics: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).map(([key, value]) => [key.replace(/:\w+$/, ""), value]));
}

export const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

export function meanParts(rewards: readonly Reward[]): Record<string, number> {
  const names = new Set(rewards.flatMap(({ parts }) => Object.keys(parts)));
  return Object.fromEntries(
    [...names].map((name) => [`reward_${name}`, mean(rewards.map(({ parts }) => parts[name] ?? 0))]),
  );
}
