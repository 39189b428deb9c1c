import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "citty";
import { afterEach, describe, expect, test, vi } from "vitest";
import { benchCommand } from "../../src/cli/bench.js";
import type { BenchReport } from "../../src/evaluate/bench.js";
import { evaluateModels } from "../../src/evaluate/evaluate.js";
import { linesOf } from "../../src/evaluate/lines.js";
import { officialVerdict } from "../../src/evaluate/official.js";
import { scoreAnswer } from "../../src/evaluate/score.js";
import { parseSuite, suiteNames } from "../../src/evaluate/suite.js";
import { parseTasks } from "../../src/evaluate/tasks.js";
import { evaluationText } from "../../src/evaluate/text.js";
import type { Together } from "../../src/evaluate/totals.js";
import { boats } from "./menu.js";

const closing: (() => void)[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const close of closing.splice(0)) close();
});
const folder = () => mkdtemp(join(tmpdir(), "specdojo-odd-"));
const tool = {
  name: "a",
  description: "d",
  parameters: { type: "object", properties: { x: { type: "integer" } }, required: ["x"] },
};
const gold = [{ name: "a", arguments: { x: 1 } }];
const plain = { id: "i", question: "q", tools: [tool], gold };

describe("rows of a suite that others wrote", () => {
  test.each<[string, object, object]>([
    ["no id", { ...plain, id: undefined }, { id: "line-1" }],
    ["an id that is a number", { ...plain, id: 7 }, { id: "7" }],
    [
      "null for what is left out",
      {
        ...plain,
        messages: null,
        acceptable: null,
        suite: null,
        category: null,
        group: null,
        args_known: null,
        types: null,
      },
      { suite: undefined, group: "all", argsKnown: true, acceptable: undefined },
    ],
    ["fields of other programs", { more: [1], ...plain, level: 3 }, { id: "i", gold }],
    ["a tool of chat completions", { ...plain, tools: [{ type: "function", function: tool }] }, { gold }],
    [
      "a tool with a name alone",
      { ...plain, tools: [{ name: "a", description: null, parameters: null }] },
      { gold },
    ],
    ["arguments as text", { ...plain, gold: [{ name: "a", arguments: '{"x":1}' }] }, { gold }],
    [
      "arguments that are null",
      { ...plain, gold: [{ name: "a", arguments: null }] },
      { gold: [{ name: "a", arguments: {} }] },
    ],
    ["no arguments", { ...plain, gold: [{ name: "a" }] }, { gold: [{ name: "a", arguments: {} }] }],
    ["a suite without rules here", { ...plain, suite: "mine" }, { suite: undefined, group: "mine" }],
    [
      "turns without a question, in parts, and calls alone",
      {
        ...plain,
        question: undefined,
        messages: [
          { role: "user", content: [{ type: "text", text: "hello" }] },
          { role: "assistant", content: null, tool_calls: [] },
        ],
      },
      { question: "user: hello\nassistant: ", messages: [{ role: "user", content: "hello" }] },
    ],
  ])("%s", (_, row, want) => {
    const [item] = parseSuite(JSON.stringify(row), "s.jsonl");
    expect(item).toMatchObject(want);
  });

  test.each<[string, string, RegExp]>([
    ["no gold", JSON.stringify({ ...plain, gold: undefined }), /^s\.jsonl:3: \/gold/],
    ["no question", JSON.stringify({ ...plain, question: undefined }), /^s\.jsonl:3: \/question/],
    [
      "arguments that are a list",
      JSON.stringify({ ...plain, gold: [{ name: "a", arguments: [1] }] }),
      /\/gold\/0\/arguments/,
    ],
    ["a list", "[]", /^s\.jsonl:3: \/: /],
    ["half a line", '{"id":', /^s\.jsonl:3: not JSON/],
  ])("%s is an error with file and line", (_, line, message) => {
    expect(() => parseSuite(`${JSON.stringify(plain)}\n\n${line}\n`, "s.jsonl")).toThrow(message);
  });

  const strange = [
    { type: "dict", properties: "none" },
    { $ref: "#/$defs/x", $defs: { x: { $ref: "#/$defs/x" } } },
    { type: "object", properties: { x: { enum: "red" }, y: true, z: null }, required: "x" },
    { properties: { x: { type: ["integer", "null"], items: 3 } } },
    {},
  ];
  test.each(strange)("schemas that are none do not stop the scorers: %j", (parameters) => {
    for (const suite of [undefined, ...suiteNames])
      for (const args of [{}, { x: null }, { x: [{ y: [1, null] }], constructor: {}, z: "z" }]) {
        const row = {
          ...plain,
          suite,
          tools: [{ name: "a", parameters }, tool],
          gold: [{ name: "a", arguments: args }],
        };
        const [item] = parseSuite(JSON.stringify(row), "s");
        if (item === undefined) throw new Error("no item");
        expect(scoreAnswer(item, { calls: item.gold }, item.tools).correct).toBe(true);
        for (const calls of [null, [], gold, [...gold, { name: "b", arguments: { x: null } }]])
          expect([true, false, null]).toContain(officialVerdict(item, calls));
      }
  });
});

test("lines end at line feeds alone, however the file is cut into chunks", async () => {
  const path = join(await folder(), "lines");
  const lines = ["\u2028a\u2029é", "", "b".repeat(600_000), "c\r"];
  await writeFile(path, lines.join("\n"));
  const read: string[] = [];
  for await (const line of linesOf(path)) read.push(line);
  expect(read).toEqual(lines);
});

describe("rows of a task file that others wrote", () => {
  const parse = (row: object) => parseTasks(JSON.stringify(row), "t.jsonl", boats)[0];
  const call = { name: "getBoat", arguments: { boatId: 3 } };
  test.each<[string, object, object]>([
    ["an id that is a number", { id: 3, question: "q", gold: [call] }, { id: "3", gold: [call] }],
    [
      "null for what is left out",
      { id: null, question: "q", gold: [call], args_known: null, source: null },
      { id: "line-1", argsKnown: true, source: undefined },
    ],
    [
      "method and path beside null for a name",
      { question: "q", gold: [{ path: "/boats/{id}", method: "GET", name: null, arguments: { boatId: 3 } }] },
      { gold: [call] },
    ],
    [
      "null for method and path",
      { question: "q", gold: [{ ...call, method: null, path: null }] },
      { gold: [call] },
    ],
    [
      "arguments as text",
      { question: "q", gold: [{ ...call, arguments: '{"boatId":3}' }] },
      { gold: [call] },
    ],
    [
      "arguments that are null are not known",
      { question: "q", gold: [{ ...call, arguments: null }] },
      { argsKnown: false, gold: [{ name: "getBoat", arguments: {} }] },
    ],
    [
      "unless the line says so",
      { question: "q", gold: [{ name: "findBoats", arguments: null }], args_known: true },
      { argsKnown: true },
    ],
  ])("%s", (_, row, want) => {
    expect(parse(row)).toMatchObject(want);
  });

  test("operations that the document lacks are kept where asked, told, and never right", async () => {
    const text = JSON.stringify({
      id: "x",
      question: "Fly a kite.",
      gold: [{ method: "POST", path: "/kites" }],
    });
    const tasks = parseTasks(
      `${text}\n${JSON.stringify({ id: "y", question: "Boat 3?", gold: [call] })}`,
      "t",
      boats,
      "kept",
    );
    const evaluation = await evaluateModels({
      tasks,
      menu: boats,
      models: {
        tuned: { decideBatch: async (questions) => questions.map(() => ({ calls: [call], text: "" })) },
      },
      origin: "user",
      seed: 1,
    });
    expect(evaluation.overall.tuned).toMatchObject({ tasks: 2, correct: 1 });
    expect(evaluation.tasks.goldFaults).toEqual([
      { id: "x", tool: "POST /kites", pointer: "", message: "is no operation of the document" },
    ]);
    expect(evaluation.domains.map(({ name }) => name)).toContain("(not in the document)");
    expect(evaluation.operations.map(({ name }) => name)).toContain("POST /kites");
    expect(evaluationText(evaluation)).toContain("x: POST /kites is no operation of the document");
  });
});

test("several suites: one JSON, the means, one table, one page", async () => {
  // Right about everything but the third question; what it says has a line separator of its own.
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      const x = body.includes("third") ? 2 : 1;
      const call = { function: { name: "a", arguments: JSON.stringify({ x }) } };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ choices: [{ message: { content: "\u2028ok", tool_calls: [call] } }] }));
    });
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  closing.push(() => server.close());
  const at = await folder();
  vi.stubEnv("SPECDOJO_CACHE_DIR", at);
  const row = (question: string, more: object = {}) =>
    JSON.stringify({ ...plain, id: question, question, ...more });
  await writeFile(join(at, "one.jsonl"), `${row("first\u2028")}\n`);
  await writeFile(
    join(at, "two.jsonl"),
    `${row("second")}\n${row("third", { gold: [{ name: "b", arguments: {} }] })}\n`,
  );
  const page = join(at, "page.html");
  const files = [join(at, "one.jsonl"), join(at, "two.jsonl")];
  const model = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1#m`;
  const errors = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const written = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const run = async (...more: string[]) => {
    written.mockClear();
    await runCommand(benchCommand, { rawArgs: [...files, "--model", model, ...more] });
    return written.mock.calls.map(([text]) => String(text)).join("");
  };
  const report = JSON.parse(await run("--json", "--page", page)) as {
    suites: BenchReport[];
    together: Together[];
    legend: Record<string, string>;
  };
  expect(report.suites.map(({ suite, items }) => [suite, items])).toEqual([
    ["one", 1],
    ["two", 2],
  ]);
  expect(report.suites[0]?.models[0]?.results).toMatchObject([
    { question: "first\u2028", gold, text: "\u2028ok" },
  ]);
  expect(report.suites[1]?.goldFaults).toMatchObject([{ id: "third" }]);
  expect(report.together).toMatchObject([
    { answered: 3, errors: 0, strict: 0.75, official: null, failures: { "wrong-tool": 1 } },
  ]);
  expect(Object.keys(report.legend)).toContain("strict");
  expect(errors.mock.calls.join("")).toContain("1 gold answers cannot be given");
  expect(await run()).toMatch(/mean of the suites\n {2}http\S+ +3 +0 +75\.0 %/);
  const [only] = files.splice(0, 1);
  expect(only).toContain("one");
  expect(JSON.parse(await run("--json"))).toMatchObject({
    format: "specdojo-bench-1",
    suite: "two",
    items: 2,
  });
});
