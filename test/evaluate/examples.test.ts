import { expect, test } from "vitest";
import { loadTasks } from "../../src/evaluate/tasks.js";
import { buildToolMenu, createArgumentValidator, loadOpenApi } from "../../src/openapi/index.js";

const at = (path: string) => new URL(`../../${path}`, import.meta.url);

test.each([
  ["examples/petstore/tasks.jsonl", "test/fixtures/specs/petstore-3.0.yaml", 40, 18],
  ["examples/dev/tasks.jsonl", "examples/dev/openapi.yaml", 60, 18],
])("%s fits its document", async (tasksPath, documentPath, count, operations) => {
  const menu = buildToolMenu(await loadOpenApi(at(documentPath)));
  const tasks = await loadTasks(at(tasksPath).pathname, menu);
  expect(tasks).toHaveLength(count);
  expect(new Set(tasks.map((task) => task.question)).size).toBe(count);
  expect(new Set(tasks.flatMap((task) => task.gold.map((call) => call.name))).size).toBe(operations);
  const validator = createArgumentValidator();
  const faults = tasks.flatMap((task) =>
    task.gold.flatMap((call) => {
      const tool = menu.tools.find((candidate) => candidate.name === call.name);
      if (tool === undefined) return [`${task.id}: no tool ${call.name}`];
      const check = validator.validate(tool, call.arguments);
      return check.ok ? [] : check.errors.map((error) => `${task.id}: ${error.pointer} ${error.message}`);
    }),
  );
  expect(faults).toEqual([]);
});
