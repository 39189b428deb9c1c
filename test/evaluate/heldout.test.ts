import { expect, test } from "vitest";
import { writeHeldOut } from "../../src/evaluate/heldout.js";
import { createArgumentValidator } from "../../src/openapi/arguments.js";
import { groundCall, readQuestion } from "../../src/task/grounding.js";
import { boats, menuOf, tool } from "./menu.js";

const tasks = writeHeldOut(boats, { count: 40, seed: 5 });

test("as many tasks as asked for, each with its own question and id, over all operations", () => {
  expect(tasks).toHaveLength(40);
  expect(new Set(tasks.map((task) => task.question)).size).toBe(40);
  expect(new Set(tasks.map((task) => task.id)).size).toBe(40);
  expect(new Set(tasks.flatMap((task) => task.gold.map((call) => call.name)))).toEqual(
    new Set(boats.tools.map((t) => t.name)),
  );
  expect(tasks.some((task) => task.gold.length === 2)).toBe(true);
});

test("every gold call fits the schema, and the question says every value", () => {
  const validator = createArgumentValidator();
  for (const { question, gold } of tasks)
    for (const call of gold) {
      const called = boats.tools.find((t) => t.name === call.name);
      if (called === undefined) throw new Error(`no tool ${call.name}`);
      expect(validator.validate(called, call.arguments)).toEqual({ ok: true });
      const grounding = groundCall(readQuestion(question), call, called);
      expect([question, grounding.missing]).toEqual([question, []]);
    }
});

test("the seed decides", () => {
  expect(writeHeldOut(boats, { count: 40, seed: 5 })).toEqual(tasks);
  expect(writeHeldOut(boats, { count: 40, seed: 6 })).not.toEqual(tasks);
});

test("operations that need a file are left out, and nothing comes of a menu of such", () => {
  const upload = tool("upload", { file: { type: "string", format: "binary" } }, ["file"]);
  expect(writeHeldOut(menuOf([upload]), { count: 5, seed: 1 })).toEqual([]);
  const names = writeHeldOut(menuOf([upload, ...boats.tools]), { count: 20, seed: 1 }).flatMap((task) =>
    task.gold.map((call) => call.name),
  );
  expect(names).not.toContain("upload");
});

test("descriptions become wishes", () => {
  const menu = menuOf([
    tool("a", {}, [], { description: "Returns the list of harbours. More text." }),
    tool("b", {}, [], { description: "Opening hours of the quay" }),
    tool("listBuoysByDepth", {}, [], { description: "" }),
  ]);
  const questions = writeHeldOut(menu, { count: 9, seed: 2 }).map((task) => task.question);
  expect(questions.some((question) => /return the list of harbours[.?]/.test(question))).toBe(true);
  expect(questions.some((question) => /see this: opening hours of the quay[.?]/.test(question))).toBe(true);
  expect(questions.some((question) => /list the buoys[.?]/.test(question))).toBe(true);
});
