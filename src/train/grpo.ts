import type { Datum, Tokens } from "../backend/types.js";

/**
 * Group-relative advantages (GRPO, Shao et al. 2024): reward minus the group's mean, divided by the group's population
 * standard deviation when `divide` is set. All zero where all rewards are equal. Sums to zero.
 */
export function groupAdvantages(rewards: readonly number[], divide: boolean): number[] {
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
  const deviation = Math.sqrt(
    rewards.reduce((sum, reward) => sum + (reward - mean) ** 2, 0) / rewards.length,
  );
  if (!(deviation > 1e-8)) return rewards.map(() => 0);
  return rewards.map((reward) => (reward - mean) / (divide ? deviation : 1));
}

/** One completion that is to be made more or less likely. `logprobs` are per completion token, at sampling time. */
export interface WeightedCompletion {
  prompt: Tokens;
  tokens: Tokens;
  logprobs: readonly number[];
  advantage: number;
}

/** A policy-loss datum: advantages on the completion, zeros on the prompt. */
export function policyDatum({ prompt, tokens, logprobs, advantage }: WeightedCompletion): Datum {
  const before = prompt.length - 1;
  return {
    input: [...prompt, ...tokens.slice(0, -1)],
    targetTokens: [...prompt.slice(1), ...tokens],
    logprobs: [...zeros(before), ...logprobs],
    advantages: [...zeros(before), ...tokens.map(() => advantage)],
  };
}

/** A cross-entropy datum: `weight` on every completion token, zero on the prompt. */
export function likelihoodDatum(prompt: Tokens, tokens: Tokens, weight: number): Datum {
  return {
    input: [...prompt, ...tokens.slice(0, -1)],
    targetTokens: [...prompt.slice(1), ...tokens],
    weights: [...zeros(prompt.length - 1), ...tokens.map(() => weight)],
  };
}

const zeros = (count: number): number[] => new Array<number>(count).fill(0);
