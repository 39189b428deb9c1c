import { describe, expect, test } from "vitest";
import { type AgentModel, evaluateBaseline, evaluateModels } from "../../src/evaluate/evaluate.js";
import { evaluationSchema } from "../../src/evaluate/schema.js";
import { parseTasks } from "../../src/evaluate/tasks.js";
import type { ToolCall } from "../../src/task/types.js";
import { boats } from "./menu.js";

const lines = [
  {
    id: "a",
    question: "Which boat is 3?",
    gold: [{ name: "getBoat", arguments: { boatId: 3 } }],
    source: "Ann",
  },
  {
    id: "b",
    question: "Any kayaks?",
    gold: [{ name: "findBoats", arguments: { kind: "kayak" } }],
    source: "Ann",
  },
  {
    id: "c",
    question: "Stop hire H-1 and show boat 4.",
    gold: [
      { name: "endHire", arguments: { hireId: "H-1" } },
      { name: "getBoat", arguments: { boatId: 4 } },
    ],
  },
  {
    id: "d",
    question: "I need something for the sea.",
    gold: [{ name: "findBoats" }],
    args_known: false,
    source: "Ben",
  },
  { id: "e", question: "Good morning!", gold: [] },
];
const tasks = parseTasks(lines.map((line) => JSON.stringify(line)).join("\n"), "t", boats);

/** A model that answers by a table; null stands for text that is no answer. */
function scripted(answers: Record<string, ToolCall[] | null>): AgentModel & { asked: string[][] } {
  const asked: string[][] = [];
  return {
    asked,
    async decideBatch(questions) {
      asked.push([...questions]);
      return questions.map((question) => {
        const id = lines.find((line) => line.question === question)?.id ?? "";
        return { calls: answers[id] ?? null, text: `text of ${id}` };
      });
    },
  };
}

const gold = Object.fromEntries(tasks.map((task) => [task.id, task.gold]));
const base = scripted({
  a: [{ name: "getBoat", arguments: { boatId: 5 } }],
  b: null,
  c: [{ name: "endHire", arguments: { hireId: "H-1" } }],
  d: [{ name: "findBoats", arguments: { seats: 2 } }],
  e: [{ name: "findBoats", arguments: {} }],
});

describe("two models side by side", () => {
  test("totals, groups, failures and the paired difference", async () => {
    const tuned = scripted({ ...gold, d: [{ name: "getBoat", arguments: { boatId: 1 } }] });
    const evaluation = await evaluateModels({
      tasks,
      menu: boats,
      models: { base, tuned },
      origin: "user",
      seed: 3,
    });
    expect(evaluationSchema.parse(JSON.parse(JSON.stringify(evaluation)))).toEqual(evaluation);
    expect(evaluation.overall.base).toMatchObject({ tasks: 5, correct: 1, accuracy: 0.2 });
    expect(evaluation.overall.tuned).toMatchObject({ tasks: 5, correct: 4, accuracy: 0.8 });
    expect(evaluation.overall.difference).toMatchObject({ gained: 4, lost: 1, p: 0.375 });
    expect(evaluation.overall.difference?.value).toBeCloseTo(0.6);
    expect(evaluation.failures).toEqual({
      base: {
        byKind: { "wrong-value": 1, unparsable: 1, "wrong-number-of-calls": 1, "needless-call": 1 },
        byFault: { invented: 1 },
      },
      tuned: { byKind: { "wrong-tool": 1 }, byFault: {} },
    });
    expect(evaluation.tasks).toMatchObject({
      origin: "user",
      count: 5,
      toolChoiceOnly: 1,
      writers: [
        { source: "Ann", tasks: 2 },
        { source: "not stated", tasks: 2 },
        { source: "Ben", tasks: 1 },
      ],
      excluded: [],
      comparedWith: null,
    });
    expect(evaluation.domains.map(({ name, tuned: { tasks: n, correct } }) => [name, n, correct])).toEqual([
      ["boats", 4, 3],
      ["hires", 1, 1],
      ["(no call)", 1, 1],
    ]);
    expect(evaluation.operations.map(({ name, tuned: { tasks: n } }) => [name, n])).toEqual([
      ["findBoats", 2],
      ["getBoat", 2],
      ["endHire", 1],
      ["(no call)", 1],
    ]);
    expect(evaluation.items.map((item) => [item.id, item.base?.correct, item.tuned.correct])).toEqual([
      ["a", false, true],
      ["b", false, true],
      ["c", false, true],
      ["d", true, false],
      ["e", false, true],
    ]);
  });

  test("the same answers give the same evaluation", async () => {
    const options = {
      tasks,
      menu: boats,
      models: { base, tuned: scripted(gold) },
      origin: "user" as const,
      seed: 3,
    };
    expect(await evaluateModels(options)).toEqual(await evaluateModels(options));
  });
});

test("another model is compared on the tasks that were scored", async () => {
  const tuned = scripted(gold);
  const evaluation = await evaluateModels({
    tasks,
    menu: boats,
    models: { tuned },
    origin: "user",
    seed: 1,
    trained: ["any kayaks"],
  });
  const other = scripted({ ...gold, a: [] });
  const baseline = await evaluateBaseline("other", other, evaluation, boats.tools);
  expect(baseline).toMatchObject({
    name: "other",
    summary: { tasks: 4, correct: 3 },
    difference: { value: 0.25, gained: 1, lost: 0 },
  });
  expect(other.asked.flat()).not.toContain("Any kayaks?");
});

test("without a base model there is no difference", async () => {
  const evaluation = await evaluateModels({
    tasks,
    menu: boats,
    models: { tuned: scripted(gold) },
    origin: "user",
    seed: 1,
  });
  expect(evaluation.overall).toMatchObject({ base: null, difference: null, tuned: { accuracy: 1 } });
  expect(evaluation.failures.base).toBeNull();
  expect(evaluation.items[0]?.base).toBeNull();
});

test("tasks that were trained on are left out, named, and never asked", async () => {
  const tuned = scripted(gold);
  const evaluation = await evaluateModels({
    tasks,
    menu: boats,
    models: { tuned },
    origin: "user",
    seed: 1,
    trained: ["any kayaks", "Row!", "Row!"],
  });
  expect(evaluation.tasks).toMatchObject({
    count: 4,
    comparedWith: 2,
    excluded: [{ id: "b", trained: "any kayaks" }],
  });
  expect(tuned.asked.flat()).not.toContain("Any kayaks?");
});

test("when every task was trained on, nothing is claimed", async () => {
  const evaluation = await evaluateModels({
    tasks,
    menu: boats,
    models: { base, tuned: scripted(gold) },
    origin: "user",
    seed: 1,
    trained: tasks.map((task) => task.question),
  });
  expect(evaluation.overall).toMatchObject({
    tuned: { tasks: 0, accuracy: null, interval: { low: 0, high: 1 } },
    difference: null,
  });
});

test("an agent that left an invalid call out is scored by what it wrote", async () => {
  const written =
    '<tool_call_answer>[{"name":"getBoat","arguments":{"boatId":3}},{"name":"sinkBoat","arguments":{}}]</tool_call_answer>';
  const tuned: AgentModel = {
    decideBatch: async (questions) =>
      questions.map(() => ({
        calls: [{ name: "getBoat", arguments: { boatId: 3 } }],
        text: written,
        rejected: [{ reason: "unknown-tool", pointer: "/1/name", message: "" }],
      })),
  };
  const first = tasks.filter((task) => task.id === "a");
  const evaluation = await evaluateModels({
    tasks: first,
    menu: boats,
    models: { tuned },
    origin: "user",
    seed: 1,
  });
  expect(evaluation.items[0]?.tuned).toMatchObject({
    correct: false,
    calls: [{ name: "getBoat" }, { name: "sinkBoat" }],
  });
});

test("an agent that loses a question is refused", async () => {
  const tuned: AgentModel = { decideBatch: async () => [] };
  await expect(
    evaluateModels({ tasks, menu: boats, models: { tuned }, origin: "user", seed: 1 }),
  ).rejects.toThrow(/0 decisions for 5/);
});
