import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MeasuredTask } from "../../src/curriculum/index.js";
import { groupAdvantages, likelihoodDatum, planSteps, policyDatum } from "../../src/train/index.js";

const rewards = fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 1, maxLength: 16 });
const tokens = fc.array(fc.nat(500), { minLength: 1, maxLength: 20 });

describe("advantages", () => {
  it("sum to zero and keep the order of the rewards", () => {
    fc.assert(
      fc.property(rewards, fc.boolean(), (values, divide) => {
        const advantages = groupAdvantages(values, divide);
        expect(advantages.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 6);
        const best = values.indexOf(Math.max(...values));
        expect(advantages[best]).toBe(Math.max(...advantages));
      }),
    );
  });

  it.each([
    [[1, 1, 1], true, [0, 0, 0]],
    [[0.1 + 0.2, 0.3], true, [0, 0]],
    [[0.7], false, [0]],
    [[], true, []],
    [[0, 2], true, [-1, 1]],
    [[0, 1], false, [-0.5, 0.5]],
    [[0, 0, 0, 4], true, [-1, -1, -1, 3].map((value) => value / Math.sqrt(3))],
  ])("of %j, divided: %s", (values, divide, want) => {
    const got = groupAdvantages(values, divide);
    expect(got).toHaveLength(want.length);
    for (const [i, value] of want.entries()) expect(got[i]).toBeCloseTo(value, 12);
  });
});

describe("data", () => {
  it("are aligned: equal lengths, zeros on the prompt, each completion token a target once", () => {
    fc.assert(
      fc.property(tokens, tokens, (prompt, completion) => {
        const logprobs = completion.map((_, i) => -1 - i);
        const policy = policyDatum({ prompt, tokens: completion, logprobs, advantage: 0.5 });
        const likelihood = likelihoodDatum(prompt, completion, 2);
        const length = prompt.length + completion.length - 1;
        for (const datum of [policy, likelihood]) {
          expect(datum.input).toEqual([...prompt, ...completion].slice(0, length));
          expect(datum.targetTokens).toEqual([...prompt, ...completion].slice(1));
        }
        const before = new Array(prompt.length - 1).fill(0);
        expect(policy.logprobs).toEqual([...before, ...logprobs]);
        expect(policy.advantages).toEqual([...before, ...completion.map(() => 0.5)]);
        expect(policy.weights).toBeUndefined();
        expect(likelihood.weights).toEqual([...before, ...completion.map(() => 2)]);
        expect(likelihood.advantages).toBeUndefined();
      }),
    );
  });
});

describe("batches", () => {
  const made = (count: number): MeasuredTask[] =>
    Array.from({ length: count }, (_, index) => ({
      passRate: 1 - index / count,
      task: {
        id: String(index),
        spec: {
          id: String(index),
          domain: "d",
          context: "single_turn",
          tools: [],
          answer: { kind: "free", calls: 1 },
        },
        question: "",
        tools: [],
        answer: [],
      },
    }));
  const idsOf = (count: number, steps: number, size: number): number[][] =>
    Array.from({ length: steps }, (_, step) => step).map((step) =>
      planSteps(made(count), { steps, groups: size }, (tasks) =>
        tasks.map((task) => ({ tools: [], tasks: [task] })),
      )(step).flatMap(({ tasks }) => tasks.map(({ id }) => Number(id))),
    );

  it("meet every task where there are steps enough", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(20),
        (count, size, more) => {
          const steps = Math.ceil(count / size) + more;
          expect(new Set(idsOf(count, steps, size).flat()).size).toBe(count);
        },
      ),
    );
  });

  it.each([
    [
      "once, easy to hard",
      10,
      5,
      2,
      [
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
        [8, 9],
      ],
    ],
    [
      "one and a half times",
      8,
      4,
      3,
      [
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
      ],
    ],
    [
      "twice",
      4,
      4,
      2,
      [
        [0, 1],
        [2, 3],
        [0, 1],
        [2, 3],
      ],
    ],
    [
      "fewer tasks than a batch holds",
      2,
      2,
      8,
      [
        [0, 1],
        [0, 1],
      ],
    ],
    [
      "fewer steps than tasks",
      100,
      2,
      2,
      [
        [0, 1],
        [50, 51],
      ],
    ],
    ["no tasks", 0, 1, 2, [[]]],
  ])("%s", (_, count, steps, size, want) => {
    expect(idsOf(count, steps, size)).toEqual(want);
  });
});
