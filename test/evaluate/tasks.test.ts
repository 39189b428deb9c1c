import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadTasks, parseTasks } from "../../src/evaluate/tasks.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { boats } from "./menu.js";

const parse = (...lines: unknown[]) =>
  parseTasks(
    lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"),
    "tasks.jsonl",
    boats,
  );

function problem(action: () => unknown): SpecdojoError {
  try {
    action();
  } catch (error) {
    if (SpecdojoError.isInstance(error)) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("finding the operation", () => {
  test.each([
    ["operationId", { name: "getBoat" }],
    ["method and path", { name: null, method: "GET", path: "/boats/{boatId}" }],
    ["a path with another name for its parameter", { method: "get", path: "/boats/{id}/" }],
    ["method and path beside an unknown name", { name: "boat_get", method: "GET", path: "/boats/{boatId}" }],
  ])("by %s", (_, reference) => {
    const [task] = parse({
      question: "Which boat is 3?",
      gold: [{ ...reference, arguments: { boatId: 3 } }],
    });
    expect(task?.gold).toEqual([{ name: "getBoat", arguments: { boatId: 3 } }]);
  });

  test("the operationId goes before a tool's name", () => {
    const renamed = {
      ...boats,
      tools: boats.tools.map((tool, i) =>
        i === 0 ? { ...tool, operationId: "getBoat" } : { ...tool, operationId: `op${i}` },
      ),
    };
    const line = JSON.stringify({ question: "q", gold: [{ name: "getBoat" }] });
    expect(parseTasks(line, "t", renamed)[0]?.gold[0]?.name).toBe("findBoats");
  });
});

test("fields that may be left out, blank lines, a byte order mark and Windows line ends", () => {
  const text = `\uFEFF${JSON.stringify({ question: " Hello? ", gold: [] })}\r\n\r\n${JSON.stringify({ id: "b", question: "x", gold: [{ name: "findBoats" }], args_known: false, source: "Ann" })}\r\n`;
  expect(parseTasks(text, "t", boats)).toEqual([
    { id: "line-1", question: "Hello?", gold: [], argsKnown: true, source: undefined },
    { id: "b", question: "x", gold: [{ name: "findBoats", arguments: {} }], argsKnown: false, source: "Ann" },
  ]);
});

describe("what is wrong is said with file and line", () => {
  test.each<[string, unknown[], RegExp]>([
    ["not JSON", [{ question: "a", gold: [] }, "{oops"], /^tasks\.jsonl:2: not JSON/],
    ["no question", [{ gold: [] }], /^tasks\.jsonl:1: \/question/],
    ["an empty question", [{ question: "  ", gold: [] }], /^tasks\.jsonl:1: \/question/],
    ["no gold", [{ question: "a" }], /^tasks\.jsonl:1: \/gold/],
    ["a call without name and path", [{ question: "a", gold: [{ method: "GET" }] }], /needs `name`/],
    [
      "arguments that are a list",
      [{ question: "a", gold: [{ name: "getBoat", arguments: [1] }] }],
      /\/gold\/0\/arguments/,
    ],
    [
      "an unknown operation",
      [{ question: "a", gold: [{ name: "sinkBoat" }] }],
      /:1: the document has no operation "sinkBoat"/,
    ],
    [
      "an unknown path",
      [{ question: "a", gold: [{ method: "PUT", path: "/boats" }] }],
      /no operation "PUT \/boats"/,
    ],
    [
      "an id twice",
      [
        { id: "x", question: "a", gold: [] },
        { id: "x", question: "b", gold: [] },
      ],
      /:2: the id "x" was used in line 1/,
    ],
  ])("%s", (_, lines, message) => {
    const error = problem(() => parse(...lines));
    expect(error.code).toBe("tasks-invalid");
    expect(error.message).toMatch(message);
    expect(error.remedy).toContain("operationId");
  });

  test("several at once, but not hundreds", () => {
    const error = problem(() => parse(...Array.from({ length: 14 }, () => "x")));
    expect(error.message.split("\n")).toHaveLength(11);
    expect(error.message).toContain("and 4 more");
  });

  test("a file without tasks", () => {
    expect(problem(() => parse("")).code).toBe("tasks-empty");
  });

  test("a file that is not there", async () => {
    await expect(loadTasks("/nowhere/tasks.jsonl", boats)).rejects.toMatchObject({
      code: "tasks-unreadable",
      place: "/nowhere/tasks.jsonl",
    });
  });
});

test("a file is read", async () => {
  const path = join(await mkdtemp(join(tmpdir(), "specdojo-")), "t.jsonl");
  await writeFile(path, JSON.stringify({ id: "1", question: "q", gold: [{ name: "findBoats" }] }));
  expect(await loadTasks(path, boats)).toHaveLength(1);
});
