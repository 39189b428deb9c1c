import type { Tool } from "../openapi/types.js";
import { argumentKeys } from "../task/equality.js";
import { bestAssignment } from "../task/matching.js";
import type { Rejection, ToolCall } from "../task/types.js";
import type { Reward } from "./reward.js";

export interface SolverWeights {
  name: number;
  keys: number;
  values: number;
  /** Each call too many divides the score by one more of this: `1 / (1 + extraCall * extra)`. */
  extraCall: number;
  /** Earned by an answer that parses. */
  format: number;
}

/** Tool-R0's weights; the paper names a format reward without its size, a tenth is ours. */
export const solverWeights: SolverWeights = {
  name: 0.2,
  keys: 0.3,
  values: 0.5,
  extraCall: 0.25,
  format: 0.1,
};

/** How near a predicted call is to a gold one. Everything is 0 for another tool: right arguments of a wrong call are worth nothing. */
export interface CallScore {
  name: number;
  /** F1 over argument names. */
  keys: number;
  /** Share of equal values over all argument names of either call. */
  values: number;
}

const nothing: CallScore = { name: 0, keys: 0, values: 0 };

interface ReadCall {
  name: string;
  arguments: Map<string, string>;
}

function scoreRead(predicted: ReadCall, gold: ReadCall): CallScore {
  if (predicted.name !== gold.name) return nothing;
  let shared = 0;
  let equal = 0;
  for (const [key, value] of gold.arguments) {
    const other = predicted.arguments.get(key);
    if (other === undefined) continue;
    shared++;
    if (other === value) equal++;
  }
  const both = predicted.arguments.size + gold.arguments.size;
  const union = both - shared;
  return { name: 1, keys: both === 0 ? 1 : (2 * shared) / both, values: union === 0 ? 1 : equal / union };
}

const read = (call: ToolCall, tools?: readonly Tool[]): ReadCall => ({
  name: call.name,
  arguments: argumentKeys(call, tools),
});

/** Scores one call against its gold call. `tools` give the types by which values are read. */
export function scoreCall(predicted: ToolCall, gold: ToolCall, tools?: readonly Tool[]): CallScore {
  return scoreRead(read(predicted, tools), read(gold, tools));
}

/**
 * The Solver's reward (Tool-R0): per gold call `.2 name + .3 key F1 + .5 values` with its optimally matched predicted
 * call, averaged over the gold calls, times the extra-call factor, plus the format reward. In [0, 1 + format] with
 * the default weights. Where no call is wanted, the empty answer earns the full score.
 */
export function solverReward(
  prediction: readonly ToolCall[] | Rejection,
  gold: readonly ToolCall[],
  tools?: readonly Tool[],
  weights: Partial<SolverWeights> = {},
): Reward {
  const w: SolverWeights = { ...solverWeights, ...weights };
  if (!isAnswer(prediction))
    return { value: 0, parts: { name: 0, keys: 0, values: 0, extraCalls: 0, accuracy: 0, format: 0 } };
  const predictedCalls = prediction.map((call) => read(call, tools));
  const goldCalls = gold.map((call) => read(call, tools));
  const worth = (score: CallScore): number =>
    w.name * score.name + w.keys * score.keys + w.values * score.values;
  const pairs = goldCalls.map((goldCall) => predictedCalls.map((call) => scoreRead(call, goldCall)));
  const matched = bestAssignment(pairs.map((row) => row.map(worth)));
  const mean: CallScore = { ...nothing };
  for (const [row, column] of matched.entries()) {
    const score = pairs[row]?.[column] ?? nothing;
    mean.name += score.name / gold.length;
    mean.keys += score.keys / gold.length;
    mean.values += score.values / gold.length;
  }
  const full = w.name + w.keys + w.values;
  const extraCalls = Math.max(0, prediction.length - gold.length);
  const right = gold.length === 0 ? (prediction.length === 0 ? full : 0) : worth(mean);
  const accuracy = right / (1 + w.extraCall * extraCalls);
  return { value: accuracy + w.format, parts: { ...mean, extraCalls, accuracy, format: 1 } };
}

function isAnswer(prediction: readonly ToolCall[] | Rejection): prediction is readonly ToolCall[] {
  return Array.isArray(prediction);
}
