import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { passesOfficial } from "../../src/evaluate/official.js";
import { scoreAnswer } from "../../src/evaluate/score.js";
import { type AcceptableCall, parseSuite } from "../../src/evaluate/suite.js";
import type { ToolCall } from "../../src/task/types.js";
import { tool } from "./menu.js";

const items = parseSuite(
  readFileSync(new URL("../fixtures/suites/bfcl.jsonl", import.meta.url), "utf8"),
  "bfcl.jsonl",
);

test.each(items.map((item) => [item.id, item] as const))(
  "the gold answer of %s passes both scorers, in any order",
  (_, item) => {
    for (const calls of [item.gold, [...item.gold].reverse()]) {
      expect(passesOfficial(calls, item.acceptable ?? [], item.tools)).toBe(true);
      expect(
        scoreAnswer({ question: item.question, gold: item.gold, argsKnown: true }, { calls }, item.tools)
          .correct,
      ).toBe(true);
    }
  },
);

const tools = [
  tool(
    "trip.plan",
    {
      to: { type: "string" },
      days: { type: "integer" },
      cost: { type: "number" },
      stops: { type: "array", items: { type: "string" } },
      with: { type: "object", properties: {} },
      legs: { type: "array", items: { type: "object", properties: {} } },
    },
    ["to"],
  ),
  tool("trip.cancel", {}),
];
const acceptable = (args: AcceptableCall["arguments"]): AcceptableCall[] => [
  { name: "trip.plan", arguments: { to: ["New York", "NYC"], ...args } },
];
const plan = (args: ToolCall["arguments"], name = "trip.plan"): ToolCall[] => [
  { name, arguments: { to: "NYC", ...args } },
];

describe("BFCL's rules", () => {
  test.each<[string, boolean, ToolCall[] | null, AcceptableCall[]]>([
    ["text in other case and without marks", true, plan({ to: "new-york" }), acceptable({})],
    ["another text", false, plan({ to: "New Orleans" }), acceptable({})],
    ["an argument that may be left out", true, plan({}), acceptable({ days: [3, ""] })],
    ["an argument that may not", false, plan({}), acceptable({ days: [3] })],
    [
      "a required argument missing",
      false,
      [{ name: "trip.plan", arguments: {} }],
      [{ name: "trip.plan", arguments: { to: ["NYC", ""] } }],
    ],
    ["an argument that is not allowed", false, plan({ days: 3 }), acceptable({})],
    ["an integer for a number", true, plan({ cost: 5 }), acceptable({ cost: [5.0] })],
    ["a fraction for an integer", false, plan({ days: 3.5 }), acceptable({ days: [3] })],
    // The checker takes values of the acceptable answers' type for names of variables.
    ["a value of the acceptable answers' type", true, plan({ days: 3.5 }), acceptable({ days: [3.5] })],
    ["a text for an integer", false, plan({ days: "3" }), acceptable({ days: [3, "3"] })],
    ["a list in order", true, plan({ stops: ["Troy", "erie"] }), acceptable({ stops: [["troy", "Erie"]] })],
    [
      "a list in another order",
      false,
      plan({ stops: ["Erie", "Troy"] }),
      acceptable({ stops: [["Troy", "Erie"]] }),
    ],
    [
      "an object with listed values",
      true,
      plan({ with: { who: "ann" } }),
      acceptable({ with: [{ who: ["Ann", "Anna"], dog: [true, ""] }] }),
    ],
    [
      "an object with another value",
      false,
      plan({ with: { who: "Ben" } }),
      acceptable({ with: [{ who: ["Ann"] }] }),
    ],
    [
      "an object with a key too many",
      false,
      plan({ with: { who: "Ann", cat: 1 } }),
      acceptable({ with: [{ who: ["Ann"] }] }),
    ],
    [
      "a list of objects",
      true,
      plan({ legs: [{ by: "Train" }] }),
      acceptable({ legs: [[{ by: ["train", "rail"] }]] }),
    ],
    ["a shorter list of objects", false, plan({ legs: [] }), acceptable({ legs: [[{ by: ["train"] }]] })],
    ["another tool", false, plan({}, "trip.cancel"), acceptable({})],
    ["a call too many", false, [...plan({}), ...plan({})], acceptable({})],
    ["no readable answer", false, null, acceptable({})],
    ["no call where none is wanted", true, [], []],
    ["an unreadable answer where no call is wanted", true, null, []],
    ["a call where none is wanted", false, plan({}), []],
  ])("%s: %s", (_, passes, calls, allowed) => {
    expect(passesOfficial(calls, allowed, tools)).toBe(passes);
  });

  test("calls are matched greedily: an acceptable call takes the first answer that fits it", () => {
    const allowed = [...acceptable({ days: [1, 2] }), ...acceptable({ days: [1] })];
    expect(passesOfficial([...plan({ days: 2 }), ...plan({ days: 1 })], allowed, tools)).toBe(true);
    expect(passesOfficial([...plan({ days: 1 }), ...plan({ days: 2 })], allowed, tools)).toBe(false);
    expect(passesOfficial([...plan({ days: 2 }), ...plan({ days: 2 })], allowed, tools)).toBe(false);
  });
});
