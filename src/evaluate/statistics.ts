import type { Random } from "../util/random.js";

/** A range that holds the true value with the stated confidence. */
export interface Interval {
  low: number;
  high: number;
}

/** The 0.975 quantile of the standard normal distribution: a two-sided level of 95 %. */
const z95 = 1.959963984540054;

/**
 * 95 % score interval of a proportion (Wilson, JASA 22, 1927). Unlike the normal approximation it stays inside [0, 1]
 * and is not empty at 0 or at `total` successes. No observations give [0, 1].
 */
export function wilsonInterval(successes: number, total: number): Interval {
  if (!(successes >= 0 && successes <= total))
    throw new RangeError(`wilsonInterval: ${successes} of ${total}`);
  if (total === 0) return { low: 0, high: 1 };
  const p = successes / total;
  const z2 = z95 * z95;
  const centre = p + z2 / (2 * total);
  const spread = z95 * Math.sqrt((p * (1 - p)) / total + z2 / (4 * total * total));
  const scale = 1 + z2 / total;
  return {
    low: successes === 0 ? 0 : (centre - spread) / scale,
    high: successes === total ? 1 : (centre + spread) / scale,
  };
}

/** The value below which the share `q` of the sorted values lies, interpolated linearly. */
function quantile(sorted: Float64Array, q: number): number {
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] ?? 0;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? low;
  return low + (position - below) * (high - low);
}

/**
 * 95 % percentile interval of mean(after) - mean(before), resampling pairs (Efron and Tibshirani 1993, chapter 13).
 * `before[i]` and `after[i]` are scores of the same task. The same source of randomness gives the same interval.
 */
export function pairedBootstrap(
  before: readonly number[],
  after: readonly number[],
  random: Random,
  resamples = 2000,
): { difference: number } & Interval {
  if (before.length !== after.length || before.length === 0)
    throw new RangeError(`pairedBootstrap: needs pairs, got ${before.length} and ${after.length} scores`);
  const gains = before.map((score, i) => (after[i] ?? 0) - score);
  const count = gains.length;
  const means = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += gains[random.int(0, count - 1)] ?? 0;
    means[r] = sum / count;
  }
  means.sort();
  return {
    difference: gains.reduce((sum, gain) => sum + gain, 0) / count,
    low: quantile(means, 0.025),
    high: quantile(means, 0.975),
  };
}

/**
 * Exact two-sided p-value of McNemar's test: the chance of a split at least as uneven as (`gained`, `lost`) when each of
 * the tasks on which two models differ is equally likely to fall to either. 1 when they differ nowhere.
 */
export function mcnemarExact(gained: number, lost: number): number {
  const total = gained + lost;
  const fewer = Math.min(gained, lost);
  let logChoose = 0;
  let tail = 0;
  for (let k = 0; k <= fewer; k++) {
    if (k > 0) logChoose += Math.log(total - k + 1) - Math.log(k);
    tail += Math.exp(logChoose - total * Math.LN2);
  }
  return Math.min(1, 2 * tail);
}

/**
 * Estimate without bias of the chance that at least one of `k` answers is right, from `right` right ones of `total`
 * (pass@k; Chen et al. 2021, equation 1): 1 - C(total - right, k) / C(total, k).
 */
export function passAtK(total: number, right: number, k: number): number {
  return 1 - chooseRatio(total - right, total, k);
}

/** The same for the chance that all of `k` answers are right (pass^k; Yao et al. 2024, tau-bench): C(right, k) / C(total, k). */
export function passHatK(total: number, right: number, k: number): number {
  return chooseRatio(right, total, k);
}

/** C(part, k) / C(total, k) without large numbers. */
function chooseRatio(part: number, total: number, k: number): number {
  if (!(k >= 1 && k <= total && part >= 0 && part <= total))
    throw new RangeError(`pass@k: ${part} of ${total} answers, k = ${k}`);
  let ratio = 1;
  for (let i = 0; i < k; i++) ratio *= Math.max(0, part - i) / (total - i);
  return ratio;
}
