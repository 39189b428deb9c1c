import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type FailureKind, scoreAnswer, withoutDefaults } from "../../src/evaluate/score.js";
import type { ToolCall } from "../../src/task/types.js";
import { createValueSampler, optionalParameters } from "../../src/task/values.js";
import { createRandom } from "../../src/util/random.js";
import { boats } from "./menu.js";

const call = (name: string, args: ToolCall["arguments"] = {}): ToolCall => ({ name, arguments: args });
const hire = call("hireBoat", { boatId: 7, from: "2025-06-01", hours: 2.5 });
const score = (gold: ToolCall[], calls: ToolCall[] | null, question = "", argsKnown = true) =>
  scoreAnswer({ question, gold, argsKnown }, { calls }, boats.tools);

describe("what counts as right", () => {
  test.each<[string, ToolCall[], ToolCall[]]>([
    ["the same call", [hire], [hire]],
    ["arguments in another order", [hire], [call("hireBoat", { hours: 2.5, from: "2025-06-01", boatId: 7 })]],
    [
      "two calls in another order",
      [hire, call("getBoat", { boatId: 1 })],
      [call("getBoat", { boatId: 1 }), hire],
    ],
    [
      "a number as text where the schema wants a number",
      [hire],
      [call("hireBoat", { ...hire.arguments, boatId: "7" })],
    ],
    ["an optional argument at its default", [call("findBoats")], [call("findBoats", { limit: 20 })]],
    ["the default in the gold answer only", [call("findBoats", { limit: 20 })], [call("findBoats")]],
    ["no call where none is needed", [], []],
  ])("%s", (_, gold, calls) => {
    expect(score(gold, calls)).toMatchObject({
      correct: true,
      toolChoice: true,
      name: 1,
      keyF1: 1,
      value: 1,
      failures: [],
    });
  });
});

describe("what counts as wrong, and why", () => {
  test.each<[string, ToolCall[], ToolCall[] | null, FailureKind[]]>([
    ["text that is no answer", [hire], null, ["unparsable"]],
    ["no call", [hire], [], ["refused"]],
    ["a call where none is needed", [], [hire], ["needless-call"]],
    ["another tool", [hire], [call("endHire", { hireId: "7" })], ["wrong-tool"]],
    [
      "another tool with the right arguments",
      [call("getBoat", { boatId: 7 })],
      [call("hireBoat", { boatId: 7 })],
      ["wrong-tool"],
    ],
    ["one call too few", [hire, call("getBoat", { boatId: 1 })], [hire], ["wrong-number-of-calls"]],
    ["one call too many", [hire], [hire, hire], ["wrong-number-of-calls"]],
    [
      "one call of two with another tool",
      [hire, call("getBoat", { boatId: 1 })],
      [hire, call("findBoats")],
      ["wrong-tool"],
    ],
    [
      "a required argument missing",
      [hire],
      [call("hireBoat", { boatId: 7, hours: 2.5 })],
      ["missing-argument"],
    ],
    [
      "an argument too many",
      [hire],
      [call("hireBoat", { ...hire.arguments, note: "x" })],
      ["extra-argument"],
    ],
    [
      "an optional argument not at its default",
      [call("findBoats")],
      [call("findBoats", { limit: 5 })],
      ["extra-argument"],
    ],
    ["true for 1", [hire], [call("hireBoat", { ...hire.arguments, boatId: true })], ["wrong-value"]],
    [
      "a wrong value and one missing",
      [hire],
      [call("hireBoat", { boatId: 8, from: "2025-06-01" })],
      ["wrong-value", "missing-argument"],
    ],
  ])("%s", (_, gold, calls, kinds) => {
    const result = score(gold, calls);
    expect(result.correct).toBe(false);
    expect(result.failures.map((failure) => failure.kind)).toEqual(kinds);
  });

  test("a repeated call is matched with the nearer of two", () => {
    const gold = [
      call("getBoat", { boatId: 1 }),
      call("hireBoat", { boatId: 2, from: "a" }),
      call("hireBoat", { boatId: 3, from: "b" }),
    ];
    const given = [
      call("hireBoat", { boatId: 3, from: "b" }),
      call("hireBoat", { boatId: 2, from: "x" }),
      call("getBoat", { boatId: 1 }),
    ];
    const { failures } = score(gold, given);
    expect(failures).toEqual([
      { kind: "wrong-value", tool: "hireBoat", argument: "from", want: "a", got: "x", fault: "invented" },
    ]);
  });
});

describe("the kind of a wrong value", () => {
  const question = "Hire boat 7 from 2025-06-01 for 2 hours, for Mr Lind of 14 Mill Lane.";
  test.each<[string, ToolCall["arguments"][string], ToolCall["arguments"][string], string]>([
    ["from", "2025-06-01", 20250601, "type"],
    ["from", "2025-06-01", "June 1, 2025", "format"],
    ["from", "2025-06-01", "2025/06/01", "format"],
    ["from", "2025-06-01", "2025-06-01T00:00:00Z", "incomplete"],
    ["from", "2025-06-01", "2025-06-02", "invented"],
    ["hours", 2, 120, "unit"],
    ["hours", 2, 7, "wrong-place"],
    ["hours", 2, 5, "invented"],
    ["paid", true, "yes", "type"],
    ["extras", ["vest", "tent"], ["vest"], "incomplete"],
    ["extras", ["vest"], ["vests"], "enum-spelling"],
    ["extras", ["vest"], ["tent"], "other-choice"],
    ["note", "for Mr Lind", "for mr. lind", "format"],
    ["note", "for Mr Lind", "Lind", "incomplete"],
    ["note", "for Mr Lind", "14 Mill Lane", "wrong-place"],
    ["note", "for Mr Lind", "ahoy", "invented"],
  ])("%s: %j given as %j is %s", (argument, want, got, fault) => {
    const base = { boatId: 7, from: "2025-06-01" };
    const { failures } = score(
      [call("hireBoat", { ...base, [argument]: want })],
      [call("hireBoat", { ...base, [argument]: got })],
      question,
    );
    expect(failures.map((failure) => failure.fault)).toEqual([fault]);
  });

  test("another allowed value of an enumeration", () => {
    const { failures } = score(
      [call("findBoats", { kind: "canoe" })],
      [call("findBoats", { kind: "kayak" })],
    );
    expect(failures).toMatchObject([{ fault: "other-choice", argument: "kind" }]);
    const spelled = score([call("findBoats", { kind: "canoe" })], [call("findBoats", { kind: "Canoe" })]);
    expect(spelled.failures).toMatchObject([{ fault: "enum-spelling" }]);
  });
});

describe("the parts of a score", () => {
  test("one value of three wrong", () => {
    const result = score([hire], [call("hireBoat", { ...hire.arguments, hours: 9 })]);
    expect(result).toMatchObject({ correct: false, toolChoice: true, name: 1, keyF1: 1 });
    expect(result.value).toBeCloseTo(2 / 3);
  });
  test("one of three arguments missing", () => {
    const result = score([hire], [call("hireBoat", { boatId: 7, from: "2025-06-01" })]);
    expect(result.keyF1).toBeCloseTo(4 / 5);
    expect(result.value).toBeCloseTo(2 / 3);
  });
  test("an extra call halves what one right call earns", () => {
    expect(score([hire], [hire, call("findBoats")])).toMatchObject({
      name: 0.5,
      keyF1: 0.5,
      value: 0.5,
      toolChoice: false,
    });
  });
  test("a wrong name earns nothing, whatever the arguments", () => {
    expect(score([call("getBoat", { boatId: 7 })], [call("hireBoat", { boatId: 7 })])).toMatchObject({
      name: 0,
      keyF1: 0,
      value: 0,
    });
  });
});

describe("tasks whose arguments are not known", () => {
  test("the choice of tools alone counts", () => {
    const right = score([call("hireBoat")], [hire], "", false);
    expect(right).toMatchObject({ correct: true, toolChoice: true, keyF1: null, value: null, failures: [] });
    const wrong = score([call("hireBoat")], [call("getBoat", { boatId: 7 })], "", false);
    expect(wrong).toMatchObject({ correct: false, toolChoice: false, name: 0 });
  });
});

test("defaults are dropped from optional arguments only", () => {
  const tools = boats.tools.map((tool) =>
    tool.name === "findBoats" ? { ...tool, parameters: { ...tool.parameters, required: ["limit"] } } : tool,
  );
  expect(withoutDefaults(call("findBoats", { limit: 20 }), tools).arguments).toEqual({ limit: 20 });
  expect(withoutDefaults(call("hireBoat", { boatId: 1, paid: false }), tools).arguments).toEqual({
    boatId: 1,
  });
});

test("an argument named __proto__ is an argument", () => {
  const odd = JSON.parse('{"__proto__": 1}') as ToolCall["arguments"];
  expect(score([call("findBoats", odd)], [call("findBoats")]).failures).toEqual([
    { kind: "missing-argument", tool: "findBoats", argument: "__proto__", want: 1 },
  ]);
});

test("property: an answer is right exactly when nothing is found wrong with it", () => {
  const sampler = createValueSampler();
  const draw = (seed: number): ToolCall[] => {
    const random = createRandom(seed);
    return Array.from({ length: random.int(1, 3) }, (_, i) => {
      const tool = random.pick(boats.tools);
      const optional = random.sample(optionalParameters(tool), random.int(0, 2));
      return call(tool.name, sampler.arguments(tool, optional, random.fork(i)) ?? {});
    });
  };
  fc.assert(
    fc.property(fc.nat(40), fc.nat(40), (a, b) => {
      const [gold, given] = [draw(a), draw(b)];
      expect(score(gold, [...gold].reverse()).failures).toEqual([]);
      const result = score(gold, given);
      expect(result.correct).toBe(result.failures.length === 0);
      expect(score(given, gold).correct).toBe(result.correct);
      for (const part of [result.name, result.keyF1, result.value]) {
        expect(part).toBeGreaterThanOrEqual(0);
        expect(part).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test.each<[string, ToolCall[], ToolCall[], boolean, number | null]>([
  ["one call", [call("findBoats")], [call("findBoats")], true, null],
  [
    "in order",
    [call("findBoats"), call("getBoat"), call("endHire")],
    [call("findBoats"), call("getBoat"), call("endHire")],
    true,
    1,
  ],
  [
    "the first one last",
    [call("findBoats"), call("getBoat"), call("endHire")],
    [call("getBoat"), call("endHire"), call("findBoats")],
    true,
    2 / 3,
  ],
  ["one missing", [call("findBoats"), call("getBoat")], [call("getBoat")], false, 0.5],
  ["none", [call("findBoats"), call("getBoat")], [], false, 0],
])("number of calls and their order: %s", (_, gold, given, count, order) => {
  expect(score(gold, given)).toMatchObject({ count, order });
});
