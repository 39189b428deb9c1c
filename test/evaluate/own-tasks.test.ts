import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand } from "citty";
import { afterEach, describe, expect, test, vi } from "vitest";
import { tasksCommand } from "../../src/cli/tasks.js";
import { checkTaskFile } from "../../src/evaluate/check.js";
import { composeTasks, proposeCall, type TaskLine } from "../../src/evaluate/compose.js";
import { type AgentModel, evaluateModels } from "../../src/evaluate/evaluate.js";
import { parseTasks, type ResolvedTask } from "../../src/evaluate/tasks.js";
import { evaluationText } from "../../src/evaluate/text.js";
import { readTrained, trainingRun } from "../../src/evaluate/trained.js";
import { renderReport } from "../../src/report/render.js";
import type { ToolCall } from "../../src/task/types.js";
import { createRandom } from "../../src/util/random.js";
import { boats } from "./menu.js";

const lines = (...tasks: object[]) => tasks.map((task) => JSON.stringify(task)).join("\n");
const toolNamed = (name: string) => {
  const found = boats.tools.find((tool) => tool.name === name);
  if (found === undefined) throw new Error(name);
  return found;
};
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = 0;
});

describe("checking a task file", () => {
  const check = (...tasks: object[]) => checkTaskFile(lines(...tasks), "t.jsonl", boats);
  test.each<[string, object, string, RegExp]>([
    ["a missing argument", { gold: [{ name: "getBoat" }] }, "error", /^getBoat \/boatId is required$/],
    [
      "another type",
      { gold: [{ name: "getBoat", arguments: { boatId: "x" } }] },
      "error",
      /\/boatId must be integer/,
    ],
    [
      "a value that is not allowed",
      { gold: [{ name: "findBoats", arguments: { kind: "raft" } }] },
      "error",
      /must be equal to one of the allowed values: "canoe"/,
    ],
    ["an unknown operation", { gold: [{ name: "sink" }] }, "error", /^sink is no operation of the document$/],
    [
      "arguments that are not looked at",
      { gold: [{ name: "getBoat", arguments: { boatId: "x" } }], args_known: false },
      "warning",
      /args_known is false/,
    ],
  ])("%s", (_, task, level, message) => {
    const { findings } = check({ question: "q", gold: [] }, { question: "Something else?", ...task });
    expect(findings).toEqual([{ level, place: "t.jsonl:2", message: expect.stringMatching(message) }]);
  });

  test("what is repeated, what cannot be read, and what no task needs", () => {
    const text = `${lines({ question: "Show me all boats.", gold: [{ name: "findBoats" }] }, { question: "show me all boats", gold: [] })}\n{oops`;
    expect(checkTaskFile(text, "t.jsonl", boats)).toMatchObject({
      tasks: 2,
      uncovered: ["getBoat", "hireBoat", "endHire"],
      findings: [
        { level: "warning", place: "t.jsonl:2", message: expect.stringContaining("nearly the same") },
        { level: "error", place: "t.jsonl:3", message: expect.stringContaining("not JSON") },
      ],
    });
  });

  test("a good file has no findings", () => {
    expect(
      check({ question: "Boat 3?", gold: [{ name: "getBoat", arguments: { boatId: 3 } }] }).findings,
    ).toEqual([]);
  });
});

describe("other files with tasks are told apart", () => {
  test.each<[string, object, RegExp]>([
    [
      "a run's own tasks",
      { task: { id: "x", spec: {}, question: "q" }, passRate: 0.5 },
      /made for training itself/,
    ],
    ["a suite", { id: "x", question: "q", tools: [], gold: [] }, /is a suite/],
  ])("%s", (_, line, message) => {
    expect(() => parseTasks(lines(line), "runs/x/tasks.jsonl", boats)).toThrow(message);
  });
});

describe("tasks in an evaluation", () => {
  const tasks = parseTasks(
    lines(
      { id: "a", question: "Boat 3?", gold: [{ name: "getBoat", arguments: { boatId: 3 } }] },
      { id: "b", question: "A boat for the sea?", gold: [{ name: "findBoats" }], args_known: false },
      { id: "c", question: "Rafts?", gold: [{ name: "findBoats", arguments: { kind: "raft" } }] },
    ),
    "t",
    boats,
  );
  const model = (answers: ToolCall[][]): AgentModel => ({
    decideBatch: async () => answers.map((calls) => ({ calls, text: "" })),
  });
  const get = (boatId: number): ToolCall => ({ name: "getBoat", arguments: { boatId } });
  const find = (args: ToolCall["arguments"] = {}): ToolCall => ({ name: "findBoats", arguments: args });

  test("unknown arguments count for tool choice only; gold that breaks the schema is reported", async () => {
    const evaluation = await evaluateModels({
      tasks,
      menu: boats,
      models: {
        base: model([[get(4)], [get(1)], [find()]]),
        tuned: model([[get(4)], [find({ seats: 2 })], [find({ kind: "raft" })]]),
      },
      origin: "user",
      seed: 1,
    });
    expect(evaluation.tasks).toMatchObject({
      toolChoiceOnly: 1,
      goldFaults: [{ id: "c", tool: "findBoats", pointer: "/kind" }],
    });
    expect(evaluation.overall.tuned).toMatchObject({
      toolChoice: 1,
      whole: { tasks: 2, correct: 1, accuracy: 0.5 },
    });
    expect(evaluation.overall.wholeDifference).toMatchObject({ value: 0.5, gained: 1, lost: 0 });
    expect(evaluation.overall.toolChoiceDifference?.value).toBeCloseTo(1 / 3);
    const text = evaluationText(evaluation);
    expect(text).toMatch(/arguments known +0 of 2 +1 of 2/);
    expect(text).toContain("c: findBoats /kind");
    const page = renderReport({
      api: evaluation.api,
      writtenBy: "test",
      evaluation,
      metrics: [],
      samples: [],
      config: {},
    });
    expect(page).toContain("whole calls 1 of the 2 tasks");
    expect(page).toContain("Contradictions");
  });
});

describe("a proposed call", () => {
  test.each<[string, string, ToolCall["arguments"], string[]]>([
    ["getBoat", "Show me boat 7.", { boatId: 7 }, []],
    ["findBoats", "Which kayaks with 2 seats?", { kind: "kayak", seats: 2 }, []],
    ["hireBoat", "Hire boat 4 from 2025-06-01.", { boatId: 4, from: "2025-06-01" }, []],
    ["endHire", "End 'H-9' now.", { hireId: "H-9" }, []],
  ])("%s: %s", (name, question, args, guessed) => {
    const proposal = proposeCall(toolNamed(name), question, createRandom(1));
    expect(proposal).toEqual({ arguments: args, guessed });
  });

  test("what the question does not say is drawn from the schema, and named", () => {
    const proposal = proposeCall(toolNamed("hireBoat"), "I want a boat.", createRandom(1));
    expect(proposal.guessed).toEqual(["boatId", "from"]);
    expect(proposal.arguments.boatId).toEqual(expect.any(Number));
  });
});

describe("writing tasks with help", () => {
  const compose = async (answers: string[], tasks: ResolvedTask[] = []) => {
    const saved: TaskLine[] = [];
    const said: string[] = [];
    const written = await composeTasks({
      menu: boats,
      tasks,
      random: createRandom(1),
      source: "Ann",
      dialogue: { ask: async () => answers.shift() ?? null, say: (text) => said.push(text) },
      save: async (task) => void saved.push(task),
    });
    return { saved, said: said.join("\n"), written };
  };

  test("operations in turn, the proposal taken, corrected, not known, or left; wrong arguments are refused", async () => {
    const { saved, said, written } = await compose([
      ...["Any canoes?", "", ""],
      "",
      ...["Show boat 3.", '{"boatId":"three"}', "{no", '{"boatId":3}', "endHire", '{"hireId":"H-1"}', ""],
      ...["show boat 3!", ""],
      ...["Something by the sea, please.", "s", ""],
      ...["End my last hire whatever it is called.", "u", "", "q"],
    ]);
    expect(written).toBe(3);
    expect(
      saved.map(({ gold, args_known }) => [
        gold.map(({ name, arguments: args }) => [name, args]),
        args_known,
      ]),
    ).toEqual([
      [[["findBoats", { kind: "canoe" }]], true],
      [
        [
          ["getBoat", { boatId: 3 }],
          ["endHire", { hireId: "H-1" }],
        ],
        true,
      ],
      [[["endHire", {}]], false],
    ]);
    expect(saved[0]).toMatchObject({
      id: "task-1",
      source: "Ann",
      gold: [{ method: "GET", path: "/boats" }],
    });
    expect(said).toMatch(/refused: \/boatId must be integer/);
    expect(said).toContain("That is not JSON");
    expect(said).toContain("nearly the same question is there: Show boat 3.");
    // What is written can be read, and contradicts nothing.
    expect(checkTaskFile(lines(...saved), "t", boats).findings).toEqual([]);
  });

  test("operations without a task come first", async () => {
    const tasks = parseTasks(lines({ question: "Any?", gold: [{ name: "findBoats" }] }), "t", boats);
    const { said } = await compose(["q"], tasks);
    expect(said).toContain("GET /boats/{boatId}");
  });
});

describe("specdojo tasks", () => {
  const api = fileURLToPath(new URL("../fixtures/specs/uber-2.0.yaml", import.meta.url));
  test("check prints what contradicts the document, and fails", async () => {
    const file = join(await mkdtemp(join(tmpdir(), "specdojo-tasks-")), "t.jsonl");
    await writeFile(
      file,
      lines(
        { question: "Who am I?", gold: [{ method: "GET", path: "/me" }] },
        {
          question: "Where to?",
          gold: [{ method: "GET", path: "/products", arguments: { latitude: "here" } }],
        },
      ),
    );
    const written = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    await runCommand(tasksCommand, { rawArgs: ["check", file, "--api", api, "--json"] });
    expect(process.exitCode).toBe(1);
    expect(JSON.parse(String(written.mock.calls[0]?.[0]))).toMatchObject({
      tasks: 2,
      findings: [
        { level: "error", place: `${file}:2`, message: expect.stringContaining("/longitude is required") },
        { level: "error", message: expect.stringContaining("/latitude must be number") },
      ],
    });
  });

  test.each<[string[], string]>([
    [["list", "f", "--api", api], "invalid-option"],
    [["check", "/nowhere.jsonl", "--api", api], "tasks-unreadable"],
  ])("%j", async (rawArgs, code) => {
    await expect(runCommand(tasksCommand, { rawArgs })).rejects.toMatchObject({ code });
  });
});

test("the questions that a run was trained on are found in its folder", async () => {
  const run = await mkdtemp(join(tmpdir(), "specdojo-run-"));
  await mkdir(join(run, "iteration-1"));
  await mkdir(join(run, "iteration-2"));
  await mkdir(join(run, "agent"));
  await writeFile(join(run, "run.json"), "{}");
  const own = (question: string) => JSON.stringify({ task: { id: "x", question }, passRate: 0.5 });
  await writeFile(join(run, "iteration-1", "tasks.jsonl"), `${own("a")}\n${own("b")}\n`);
  await writeFile(join(run, "iteration-2", "tasks.jsonl"), `${own("c")}\n`);
  expect(await trainingRun(join(run, "agent"))).toBe(run);
  expect(await readTrained(run)).toEqual(["a", "b", "c"]);
  expect(await trainingRun(tmpdir())).toBeUndefined();
  const list = join(run, "list.jsonl");
  await writeFile(list, '{"question":"d"}\n');
  expect(await readTrained(list)).toEqual(["d"]);
  expect(await readFile(list, "utf8")).toContain("d");
});
