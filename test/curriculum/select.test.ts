import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  crossVerify,
  difficultyOf,
  type MeasuredTask,
  operationWeights,
  passRatesByOperation,
  select,
} from "../../src/curriculum/index.js";
import { reject } from "../../src/task/rejection.js";
import type { ToolCall } from "../../src/task/types.js";
import { call, given, menu } from "../task/menu.js";

let made = 0;
function measured(passRate: number, operation = "getPlant", domain = "plants"): MeasuredTask {
  const answer = [call(operation, { n: made++ })];
  return {
    passRate,
    task: { id: String(made), spec: { ...given(answer), domain }, question: `q${made}`, tools: [], answer },
  };
}
const many = (count: number, passRate: number, operation?: string, domain?: string): MeasuredTask[] =>
  Array.from({ length: count }, () => measured(passRate, operation, domain));

describe("crossVerify", () => {
  const plant = (plantId: number | string): ToolCall => call("getPlant", { plantId });
  const bad = reject("unparsable-answer", "", "");
  it.each<[string, { given: (ToolCall[] | typeof bad)[]; want: [number, boolean] }]>([
    ["all agree", { given: [[plant(3)], [plant(3)]], want: [1, false] }],
    ["names alone are not enough", { given: [[plant(4)], [plant(5)], [plant(6)]], want: [0, false] }],
    ["half agree on another answer", { given: [[plant(4)], [plant(4)], [plant(5)], bad], want: [0, true] }],
    ["fewer than half", { given: [[plant(4)], [plant(5)], [plant(6)], bad], want: [0, false] }],
    [
      "one success saves the task",
      { given: [[plant(3)], [plant(4)], [plant(4)], [plant(4)]], want: [0.25, false] },
    ],
    ["unreadable answers agree on nothing", { given: [bad, bad, bad, bad], want: [0, false] }],
    ["agreeing on no call", { given: [[], []], want: [0, true] }],
    ["an extra call is another answer", { given: [[plant(3), plant(3)], [plant(3)]], want: [0.5, false] }],
    ["types as in the schema", { given: [[plant("3")]], want: [1, false] }],
    ["no samples", { given: [], want: [0, false] }],
  ])("%s", (_name, { given: samples, want: [passRate, refuted] }) => {
    const got = crossVerify({ answer: [plant(3)] }, samples, { tools: menu.tools });
    expect(got.passRate).toBe(passRate);
    expect(got.rejection?.reason).toBe(refuted ? "refuted" : undefined);
  });
});

describe("difficulty", () => {
  it.each([
    [0, "hard"],
    [0.24, "hard"],
    [0.25, "medium"],
    [0.75, "medium"],
    [0.76, "easy"],
    [1, "easy"],
  ])("of a pass rate of %d is %s", (passRate, want) => expect(difficultyOf(passRate)).toBe(want));
});

describe("select", () => {
  it("mixes .2 .5 .3, easy first", () => {
    const { tasks, report } = select([...many(100, 1), ...many(100, 0.5), ...many(100, 0)], { size: 50 });
    expect(report.byDifficulty).toEqual({
      easy: { available: 100, wanted: 10, selected: 10 },
      medium: { available: 100, wanted: 25, selected: 25 },
      hard: { available: 100, wanted: 15, selected: 15 },
    });
    const rates = tasks.map(({ passRate }) => passRate);
    expect(rates).toEqual([...rates].sort((a, b) => b - a));
    expect(report.meanPassRate).toBeCloseTo((10 + 12.5) / 50, 12);
  });

  it("fills what a bucket lacks from the others, and says so", () => {
    const { report } = select([...many(100, 1), ...many(5, 0.5), ...many(100, 0)], { size: 50 });
    expect(report.selected).toBe(50);
    expect(report.byDifficulty.medium).toEqual({ available: 5, wanted: 25, selected: 5 });
  });

  it("evens out domains, and operations within them", () => {
    const candidates = [
      ...many(200, 0.5, "getPlant", "plants"),
      ...many(10, 0.5, "addPlant", "plants"),
      ...many(40, 0.5, "bookTour", "visits"),
    ];
    const { report } = select(candidates, { size: 60 });
    expect(report.byDomain).toEqual({
      plants: { available: 210, selected: 30 },
      visits: { available: 40, selected: 30 },
    });
    expect(report.byOperation).toMatchObject({ addPlant: { selected: 10 }, getPlant: { selected: 20 } });
  });

  it("respects quotas", () => {
    const candidates = [
      ...many(100, 0.5, "getPlant", "plants"),
      ...many(100, 0.5, "bookTour", "visits"),
      ...many(50, 0.5, "cancelTour", "visits"),
    ];
    const { report } = select(candidates, {
      size: 40,
      domains: { plants: 3 },
      operations: { cancelTour: 0 },
    });
    expect(report.byDomain).toMatchObject({ plants: { selected: 30 }, visits: { selected: 10 } });
    expect(report.byOperation).toMatchObject({ cancelTour: { selected: 0 }, bookTour: { selected: 10 } });
    const capped = select(candidates, { size: 40, maxOperationShare: 0.25 }).report;
    expect(capped.byOperation.getPlant?.selected).toBe(10);
  });

  it("is reproducible and differs by seed", () => {
    const candidates = many(200, 0.5);
    const ids = (seed: number): string[] =>
      select(candidates, { size: 20, seed }).tasks.map(({ task }) => task.id);
    expect(ids(1)).toEqual(ids(1));
    expect(ids(1)).not.toEqual(ids(2));
  });

  it("never takes a task twice nor more than asked for", () => {
    const candidate = fc.record({
      rate: fc.integer({ min: 0, max: 8 }),
      operation: fc.constantFrom("a", "b", "__proto__"),
      domain: fc.constantFrom("x", "constructor"),
    });
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 40 }), fc.integer({ min: 0, max: 50 }), (list, size) => {
        const candidates = list.map(({ rate, operation, domain }) => measured(rate / 8, operation, domain));
        const { tasks, report } = select(candidates, { size });
        expect(new Set(tasks).size).toBe(tasks.length);
        expect(tasks.length).toBe(Math.min(size, candidates.length));
        expect(report.selected).toBe(tasks.length);
      }),
    );
  });
});

describe("feedback", () => {
  it("weighs what fails more than what works, and nothing down to zero", () => {
    const weights = operationWeights(
      passRatesByOperation([...many(8, 1, "getPlant"), ...many(8, 0, "addPlant"), ...many(1, 0, "bookTour")]),
    );
    expect(weights.addPlant).toBeGreaterThan(weights.getPlant ?? 0);
    expect(weights.getPlant).toBeGreaterThanOrEqual(0.25);
    // One failure says less than eight.
    expect(weights.bookTour).toBeLessThan(weights.addPlant ?? 0);
  });

  it("counts a task of two calls for both", () => {
    const two = measured(0.5);
    two.task.answer = [call("getPlant", { plantId: 1 }), call("deletePlant", { plantId: 1 })];
    expect(passRatesByOperation([two])).toEqual([
      { operation: "getPlant", passRate: 0.5, tasks: 1 },
      { operation: "deletePlant", passRate: 0.5, tasks: 1 },
    ]);
  });
});
