import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { exportAgent } from "../../src/agent/export.js";
import type { Solver } from "../../src/agent/solver.js";
import { evaluateFolder } from "../../src/evaluate/folder.js";
import { evaluationText } from "../../src/evaluate/text.js";
import { briefStyle, solverCompletion } from "../../src/task/prompts.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { boats } from "./menu.js";

/** A solver that answers every question with one text, and remembers what it was asked. */
function scripted(text: string): Solver & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    complete: async (prompts) =>
      prompts.map((messages) => {
        asked.push(messages.at(-1)?.content ?? "");
        return text;
      }),
    close: async () => undefined,
  };
}

let root: string;
let dir: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "specdojo-eval-"));
  const model = join(root, "weights");
  await mkdir(model);
  await writeFile(join(model, "config.json"), "{}");
  await writeFile(join(model, "model.safetensors"), "x");
  dir = join(root, "agent");
  await exportAgent({
    dir,
    menu: boats,
    solver: { merged: model },
    evaluation: null,
    version: "0",
    createdAt: new Date(0),
    baseModel: { name: "lab/base" },
    prompts: briefStyle,
  });
  await writeFile(
    join(root, "tasks.jsonl"),
    [
      {
        id: "a",
        question: "Show me boat 3.",
        gold: [{ name: "getBoat", arguments: { boatId: 3 } }],
        source: "Ann",
      },
      {
        id: "b",
        question: "Which canoes do you have?",
        gold: [{ name: "findBoats", arguments: { kind: "canoe" } }],
        source: "Ann",
      },
    ]
      .map((line) => JSON.stringify(line))
      .join("\n"),
  );
  await writeFile(
    join(root, "trained.jsonl"),
    '{"question":"which canoes do you have"}\n{"question":"x","more":1}\n',
  );
});

function models(solvers: Record<string, Solver>) {
  return {
    open: async (name: string) => {
      const solver = solvers[name];
      if (solver === undefined) throw new SpecdojoError("model-missing", `no ${name}`);
      return { solver, style: briefStyle, maxTokens: 64 };
    },
  };
}
const right = solverCompletion([{ name: "getBoat", arguments: { boatId: 3 } }]);

describe("evaluating an exported agent", () => {
  test("beside its base model, on the user's tasks", async () => {
    const [tuned, base] = [scripted(right), scripted("hello")];
    const evaluation = await evaluateFolder({
      dir,
      models: models({ [dir]: tuned, "lab/base": base }),
      tasks: join(root, "tasks.jsonl"),
      count: 5,
      seed: 1,
    });
    expect(evaluation.overall).toMatchObject({
      base: { correct: 0 },
      tuned: { correct: 1, tasks: 2 },
      difference: { gained: 1, lost: 0 },
    });
    expect(tuned.asked).toEqual(["Show me boat 3.", "Which canoes do you have?"]);
    expect(base.asked).toEqual(tuned.asked);
    const text = evaluationText(evaluation);
    expect(text).toMatch(/right +0 of 2 +1 of 2/);
    expect(text).toMatch(/unparsable +2 +0/);
  });

  test("tasks that were trained on are left out", async () => {
    const evaluation = await evaluateFolder({
      dir,
      models: models({ [dir]: scripted(right) }),
      tasks: join(root, "tasks.jsonl"),
      count: 5,
      seed: 1,
      base: "none",
      trained: join(root, "trained.jsonl"),
    });
    expect(evaluation.tasks).toMatchObject({ count: 1, comparedWith: 2, excluded: [{ id: "b" }] });
    expect(evaluationText(evaluation)).toContain("1 tasks were left out");
  });

  test("without tasks, on held-out ones, and the text says so", async () => {
    const evaluation = await evaluateFolder({
      dir,
      models: models({ [dir]: scripted(right) }),
      count: 12,
      seed: 1,
      base: "none",
    });
    expect(evaluation.tasks).toMatchObject({ origin: "held-out", count: 12 });
    expect(evaluationText(evaluation)).toContain("written by templates");
  });

  test("a base model that is only named and not there is a note; one that was asked for is an error", async () => {
    const notes: string[] = [];
    const options = {
      dir,
      models: models({ [dir]: scripted(right) }),
      count: 3,
      seed: 1,
      onNote: (note: string) => notes.push(note),
    };
    expect((await evaluateFolder(options)).overall.base).toBeNull();
    expect(notes).toEqual([expect.stringContaining('"lab/base"')]);
    await expect(evaluateFolder({ ...options, base: "lab/base" })).rejects.toMatchObject({
      code: "model-missing",
    });
  });

  test("a list of trained questions of another shape is refused by line", async () => {
    const path = join(root, "odd.jsonl");
    await writeFile(path, '{"question":"a"}\n["b"]\n');
    await expect(
      evaluateFolder({ dir, models: models({ [dir]: scripted(right) }), count: 3, seed: 1, trained: path }),
    ).rejects.toMatchObject({ code: "trained-invalid", message: expect.stringContaining(":2") });
  });
});
