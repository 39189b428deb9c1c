import { describe, expect, test } from "vitest";
import {
  mcnemarExact,
  pairedBootstrap,
  passAtK,
  passHatK,
  wilsonInterval,
} from "../../src/evaluate/statistics.js";
import { createRandom } from "../../src/util/random.js";

// Bounds found by bisection of (share - p)^2 = z^2 p (1 - p) / n.
test.each([
  [0, 0, 0, 1],
  [0, 10, 0, 0.2775328],
  [10, 10, 0.7224672, 1],
  [5, 10, 0.2365931, 0.7634069],
  [29, 40, 0.5716504, 0.8389198],
])("the Wilson interval of %i of %i", (successes, total, low, high) => {
  const interval = wilsonInterval(successes, total);
  expect(interval.low).toBeCloseTo(low, 5);
  expect(interval.high).toBeCloseTo(high, 5);
});

test("a proportion beyond its total is refused", () => {
  expect(() => wilsonInterval(3, 2)).toThrow(RangeError);
});

// Tail sums of the binomial distribution in exact fractions.
test.each([
  [0, 0, 1],
  [1, 0, 1],
  [5, 0, 0.0625],
  [10, 2, 0.03857421875],
  [2, 10, 0.03857421875],
  [8, 8, 1],
  [34, 7, 2.53208e-5],
])("McNemar's exact p for %i against %i", (gained, lost, p) => {
  expect(mcnemarExact(gained, lost)).toBeCloseTo(p, 9);
});

test("McNemar's p stays a number for many tasks", () => {
  expect(mcnemarExact(6000, 4000)).toBeLessThan(1e-50);
  expect(mcnemarExact(5000, 5000)).toBe(1);
});

test("the bootstrap interval holds the difference, excludes zero for a clear gain, and repeats with its seed", () => {
  const before = Array.from({ length: 50 }, (_, i) => Number(i < 10));
  const after = Array.from({ length: 50 }, (_, i) => Number(i < 35));
  const first = pairedBootstrap(before, after, createRandom(7));
  expect(first.difference).toBe(0.5);
  expect(first.low).toBeGreaterThan(0.3);
  expect(first.high).toBeLessThan(0.7);
  expect(first.low).toBeLessThan(first.high);
  expect(pairedBootstrap(before, after, createRandom(7))).toEqual(first);
});

test("without any difference the bootstrap interval is the point zero", () => {
  expect(pairedBootstrap([1, 0, 1], [1, 0, 1], createRandom(1))).toEqual({ difference: 0, low: 0, high: 0 });
});

test("the bootstrap covers the truth about as often as it says", () => {
  const random = createRandom("coverage");
  let covered = 0;
  for (let round = 0; round < 200; round++) {
    const before = Array.from({ length: 60 }, () => Number(random.next() < 0.4));
    const after = Array.from({ length: 60 }, () => Number(random.next() < 0.6));
    const { low, high } = pairedBootstrap(before, after, random.fork(round), 400);
    if (low <= 0.2 && 0.2 <= high) covered++;
  }
  expect(covered).toBeGreaterThan(176);
});

test("unpaired scores are refused", () => {
  expect(() => pairedBootstrap([1], [1, 0], createRandom(1))).toThrow(RangeError);
  expect(() => pairedBootstrap([], [], createRandom(1))).toThrow(RangeError);
});

describe("pass@k and pass^k", () => {
  /** Over all ways to take k of n answers of which c are right. */
  const counted = (n: number, c: number, k: number) => {
    let [sets, any, all] = [0, 0, 0];
    for (let mask = 0; mask < 1 << n; mask++) {
      const chosen = Array.from({ length: n }, (_, i) => i).filter((i) => (mask >> i) & 1);
      if (chosen.length !== k) continue;
      sets++;
      if (chosen.some((i) => i < c)) any++;
      if (chosen.every((i) => i < c)) all++;
    }
    return { any: any / sets, all: all / sets };
  };
  test.each([
    [1, 0, 1],
    [1, 1, 1],
    [5, 2, 1],
    [5, 2, 3],
    [8, 7, 4],
    [8, 3, 8],
  ])("%i answers, %i right, k = %i", (n, c, k) => {
    expect(passAtK(n, c, k)).toBeCloseTo(counted(n, c, k).any, 12);
    expect(passHatK(n, c, k)).toBeCloseTo(counted(n, c, k).all, 12);
  });
  test.each([
    [3, 1, 4],
    [3, 4, 1],
    [3, 1, 0],
  ])("%i answers, %i right, k = %i is refused", (n, c, k) => {
    expect(() => passAtK(n, c, k)).toThrow(RangeError);
  });
});
