import { describe, expect, it } from "vitest";
import { difficultyReward, type GeneratorParts, generatorReward } from "../../src/reward/index.js";

const good: GeneratorParts = {
  format: { question: true, shape: true, answer: null },
  placeholder: false,
  validity: { inMenu: 1, fits: 1, grounded: 1 },
  topicality: 1,
  valid: true,
  passRate: 0.5,
  samples: 8,
};

describe("difficultyReward", () => {
  it.each<[number, number]>([
    [0, 0],
    [1 / 8, Math.exp(-(0.125 ** 2) / (2 * 0.12 ** 2))],
    [0.1, 0],
    [0.25, 1],
    [0.5, 1],
    [0.75, 1],
    [7 / 8, Math.exp(-(0.125 ** 2) / (2 * 0.12 ** 2))],
    [1, Math.exp(-(0.25 ** 2) / (2 * 0.12 ** 2))],
  ])("of a pass rate of %d over 8 samples is %d", (passRate, want) => {
    expect(difficultyReward(passRate, 8)).toBeCloseTo(want, 12);
  });

  it("one success of K counts for every K", () => {
    for (let k = 1; k <= 64; k++) expect(difficultyReward(1 / k, k), String(k)).toBeGreaterThan(0);
  });
});

describe("generatorReward", () => {
  it.each<[string, { given: Partial<GeneratorParts>; want: number }]>([
    ["all well", { given: {}, want: 3 }],
    [
      "no question earns nothing",
      { given: { format: { question: false, shape: false, answer: null }, valid: false }, want: 0 },
    ],
    [
      "two thirds of a free task's format, no more",
      {
        given: {
          format: { question: true, shape: true, answer: false },
          validity: { inMenu: 0, fits: 0, grounded: 0 },
          valid: false,
        },
        want: 2 / 3,
      },
    ],
    ["a placeholder earns nothing", { given: { placeholder: true, valid: false }, want: 0 }],
    [
      "validity .4 .4 .2",
      {
        given: { validity: { inMenu: 1, fits: 0.5, grounded: 0.5 }, valid: false },
        want: 1 + 0.4 + 0.2 + 0.1,
      },
    ],
    ["never solved: coherence only", { given: { passRate: 0 }, want: 2.5 }],
    ["not probed: coherence only", { given: { passRate: undefined }, want: 2.5 }],
    ["incoherent: difficulty only", { given: { topicality: 0 }, want: 2.5 }],
    ["an invalid task has no curriculum reward, however hard it is", { given: { valid: false }, want: 2 }],
    ["repetition is taken off", { given: { repetition: { clusterSize: 4, batchSize: 8 } }, want: 2.9 }],
    [
      "alone in its cluster, nothing is",
      { given: { repetition: { clusterSize: 1, batchSize: 8 } }, want: 3 },
    ],
  ])("%s", (_name, { given, want }) =>
    expect(generatorReward({ ...good, ...given }).value).toBeCloseTo(want, 12),
  );

  it("weights are options: the ablation without difficulty", () => {
    const without = (passRate: number): number =>
      generatorReward({ ...good, passRate }, { difficulty: 0 }).value;
    expect(without(0)).toBe(without(0.5));
  });

  it("logs its parts", () => {
    const { parts } = generatorReward({ ...good, passRate: 0, repetition: { clusterSize: 2, batchSize: 8 } });
    expect(parts).toEqual({
      format: 1,
      validity: 1,
      difficulty: 0,
      coherence: 1,
      curriculum: 0.5,
      repetition: 0.05,
    });
  });
});
