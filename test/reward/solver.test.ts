import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { solverReward } from "../../src/reward/index.js";
import { bestAssignment } from "../../src/task/matching.js";
import { reject } from "../../src/task/rejection.js";
import type { ToolCall } from "../../src/task/types.js";
import { call, menu } from "../task/menu.js";

const plant = (plantId: number): ToolCall => call("getPlant", { plantId });
const score = (predicted: ToolCall[], gold: ToolCall[]): number =>
  solverReward(predicted, gold, menu.tools, { format: 0 }).value;

describe("solverReward", () => {
  const tour = call("bookTour", { date: "2024-05-01", guests: 4, language: "en", note: "x" });
  it.each<[string, { given: [ToolCall[], ToolCall[]]; want: number }]>([
    ["right", { given: [[plant(3)], [plant(3)]], want: 1 }],
    ["a wrong value: name and keys", { given: [[plant(4)], [plant(3)]], want: 0.5 }],
    [
      "a wrong tool with the right arguments",
      { given: [[call("deletePlant", { plantId: 3 })], [plant(3)]], want: 0 },
    ],
    ["no arguments wanted, none given", { given: [[call("listPlants")], [call("listPlants")]], want: 1 }],
    [
      "no arguments wanted, one given",
      { given: [[call("listPlants", { limit: 3 })], [call("listPlants")]], want: 0.2 },
    ],
    [
      "one argument of four: .2 + .3 * 2/5 + .5 / 4",
      { given: [[call("bookTour", { guests: 4 })], [tour]], want: 0.2 + 0.3 * 0.4 + 0.125 },
    ],
    [
      "all right and one too many: .2 + .3 * 2/3 + .5 / 2",
      { given: [[call("getPlant", { plantId: 3, x: 1 })], [plant(3)]], want: 0.2 + 0.2 + 0.25 },
    ],
    [
      "values are read by the schema's types",
      { given: [[call("getPlant", { plantId: "3.0" })], [plant(3)]], want: 1 },
    ],
    [
      "true is not 1",
      { given: [[call("getPlant", { plantId: true })], [call("getPlant", { plantId: 1 })]], want: 0.5 },
    ],
    [
      "two calls, both in the other order",
      {
        given: [
          [plant(2), plant(1)],
          [plant(1), plant(2)],
        ],
        want: 1,
      },
    ],
    ["two calls wanted, one made", { given: [[plant(1)], [plant(1), plant(2)]], want: 0.5 }],
    ["one call too many", { given: [[plant(1), plant(2)], [plant(1)]], want: 0.8 }],
    [
      "three calls too many",
      { given: [[plant(1), plant(2), plant(3), plant(4)], [plant(1)]], want: 1 / 1.75 },
    ],
    [
      "one call repeated does not count twice",
      {
        given: [
          [plant(1), plant(1)],
          [plant(1), plant(2)],
        ],
        want: (1 + 0.5) / 2,
      },
    ],
    ["no call wanted and none made", { given: [[], []], want: 1 }],
    ["no call wanted but one made", { given: [[plant(1)], []], want: 0 }],
    ["none made", { given: [[], [plant(1)]], want: 0 }],
  ])("%s", (_name, { given: [predicted, gold], want }) =>
    expect(score(predicted, gold)).toBeCloseTo(want, 12),
  );

  it("matches calls optimally, not greedily", () => {
    const gold = [call("bookTour", { date: "a", guests: 1 }), call("bookTour", { date: "b", guests: 1 })];
    // The first predicted call is nearest to the first gold one, but the second has no other use.
    const predicted = [
      call("bookTour", { date: "b", guests: 1 }),
      call("bookTour", { date: "c", guests: 1 }),
    ];
    expect(score(predicted, gold)).toBeCloseTo((1 + 0.75) / 2, 12);
    expect(score([...predicted].reverse(), gold)).toBeCloseTo((1 + 0.75) / 2, 12);
  });

  it("earns the format reward for any answer that parses, nothing for one that does not", () => {
    expect(solverReward([], [plant(1)]).value).toBeCloseTo(0.1, 12);
    expect(solverReward([plant(1)], [plant(1)]).value).toBeCloseTo(1.1, 12);
    expect(solverReward(reject("unparsable-answer", "", ""), [plant(1)]).value).toBe(0);
  });

  it("weights are options and parts are logged", () => {
    const reward = solverReward([plant(4)], [plant(3)], menu.tools, {
      name: 1,
      keys: 0,
      values: 0,
      format: 0,
    });
    expect(reward.value).toBe(1);
    expect(reward.parts).toEqual({ name: 1, keys: 1, values: 0, extraCalls: 0, accuracy: 1, format: 1 });
  });

  it("stays in [0, 1], is 1 exactly for the same multiset of calls, and survives many calls", () => {
    const some = fc.array(
      fc.record({
        name: fc.constantFrom("getPlant", "deletePlant"),
        arguments: fc.dictionary(fc.constantFrom("a", "b"), fc.integer({ min: 0, max: 2 })),
      }),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(some, some, (predicted, gold) => {
        const value = score(predicted, gold);
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1 + 1e-12);
        expect(score([...gold].reverse(), gold)).toBeCloseTo(1, 12);
      }),
    );
    const start = performance.now();
    expect(
      score(
        Array.from({ length: 2000 }, (_, i) => plant(i)),
        [plant(1), plant(2)],
      ),
    ).toBeGreaterThan(0);
    expect(performance.now() - start).toBeLessThan(500);
  });
});

describe("bestAssignment", () => {
  function exhaustive(scores: number[][], row = 0, used = new Set<number>()): number {
    if (row === scores.length) return 0;
    let best = scores.length > (scores[0]?.length ?? 0) ? exhaustive(scores, row + 1, used) : -Infinity;
    for (const [column, value] of (scores[row] ?? []).entries())
      if (!used.has(column))
        best = Math.max(best, value + exhaustive(scores, row + 1, new Set([...used, column])));
    return best;
  }

  it("has the largest total, and uses every column once at most", () => {
    const matrix = fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }))
      .chain(([rows, columns]) =>
        fc.array(fc.array(fc.integer({ min: 0, max: 9 }), { minLength: columns, maxLength: columns }), {
          minLength: rows,
          maxLength: rows,
        }),
      );
    fc.assert(
      fc.property(matrix, (scores) => {
        const result = bestAssignment(scores);
        const columns = result.filter((column) => column >= 0);
        expect(new Set(columns).size).toBe(columns.length);
        expect(columns.length).toBe(Math.min(scores.length, scores[0]?.length ?? 0));
        const total = result.reduce(
          (sum, column, row) => sum + (column < 0 ? 0 : (scores[row]?.[column] ?? 0)),
          0,
        );
        expect(total).toBe(exhaustive(scores));
      }),
    );
  });

  it("has empty cases", () => {
    expect(bestAssignment([])).toEqual([]);
    expect(bestAssignment([[], []])).toEqual([-1, -1]);
  });
});
