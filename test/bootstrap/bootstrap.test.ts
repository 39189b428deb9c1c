import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createAgent, loadAgent, readMenu, samplerSolver } from "../../src/agent/index.js";
import { type BootstrapOptions, bootstrapAgent, resumeAgent } from "../../src/bootstrap.js";
import { evaluateFolder, evaluationSchema } from "../../src/evaluate/index.js";
import type { Tokenizer } from "../../src/rollout/tokenizer.js";
import { briefStyle } from "../../src/task/index.js";
import { version } from "../../src/version.js";
import { FakeBackend } from "../train/fake-backend.js";
import { libraryDocument } from "../train/library.js";
import { removeScratch, scratchFolder, tokenizerDir, toyTokenizer } from "../train/setup.js";

/** The toy policy reads prompts of the brief kind, so its model's folder says that it wants them. */
async function toyModel(): Promise<string> {
  const dir = join(await scratchFolder(), "toy-model");
  await mkdir(dir);
  for (const name of await readdir(tokenizerDir)) await copyFile(join(tokenizerDir, name), join(dir, name));
  await writeFile(join(dir, "specdojo.json"), '{"prompts":"brief"}\n');
  await writeFile(join(dir, "model.safetensors"), "");
  return dir;
}

/** The last turn is what the toy reads; the talk before it makes the tasks unlike all that it was trained on. */
const talk = (request: string): string =>
  `user: Good morning, I stand at the desk of the branch by the river.\nassistant: And what may it be today?\nuser: ${request}`;
const tasks = [
  {
    id: "a",
    question: talk("Show one book: book id is 31."),
    gold: [{ name: "getBook", arguments: { bookId: 31 } }],
  },
  {
    id: "b",
    question: talk("Create a loan: copy id is 5; member id is 8."),
    gold: [{ name: "createLoan", arguments: { copyId: 5, memberId: 8 } }],
  },
];

let tokenizer: Tokenizer;
let model: string;
let out: string;
let options: BootstrapOptions;
beforeAll(async () => {
  tokenizer = await toyTokenizer();
  model = await toyModel();
});
beforeEach(async () => {
  out = join(await scratchFolder(), "run");
  options = {
    out,
    model,
    seed: 5,
    tasks,
    config: {
      loraRank: 0,
      temperature: 1,
      iterations: 2,
      generator: { steps: 1, groups: 2, groupSize: 2, probes: 2, maxTokens: 200, learningRate: 1 },
      candidates: { specs: 16, perSpec: 1, probes: 2, keep: 8 },
      solver: { steps: 6, groups: 4, groupSize: 4, maxTokens: 200, learningRate: 100, klBeta: 0 },
      checkpointEvery: 2,
    },
  };
});
afterAll(removeScratch);

const document = () => structuredClone(libraryDocument);

describe("from a document to an agent", () => {
  it("trains, measures, exports, and leaves the given backend open", { timeout: 60_000 }, async () => {
    const backend = new FakeBackend({ tokenizer });
    const phases: string[] = [];
    const progress = { phase: (name: string) => phases.push(name), update() {}, line() {} };
    const agent = await bootstrapAgent(document(), { ...options, backend, progress });
    expect(backend.closed).toBe(0);

    const evaluation = evaluationSchema.parse(agent.evaluation);
    expect(evaluation.tasks).toMatchObject({ origin: "user", count: 2 });
    // The toy answers the first task from the start and never the second before it was trained.
    expect(evaluation.overall.base?.accuracy).toBe(0.5);
    expect(evaluation.overall.tuned.accuracy).toBe(1);
    expect(evaluation.baselines.map(({ name, summary }) => [name, summary.accuracy])).toEqual([
      ["supervised training on the same tasks", 1],
    ]);
    expect(agent.tools.map(({ name }) => name).sort()).toEqual([
      "createLoan",
      "getBook",
      "listBooks",
      "removeMember",
    ]);
    await agent.close();

    expect((await readdir(out)).sort()).toEqual(
      [
        "agent",
        "checkpoints",
        "config.json",
        "document.json",
        "evaluation.json",
        "generator.jsonl",
        "iteration-1",
        "iteration-2",
        "metrics.jsonl",
        "report.html",
        "rollouts.jsonl",
        "run.json",
        "tasks.jsonl",
      ].sort(),
    );
    expect(await readFile(join(out, "report.html"), "utf8")).toContain("Town library");
    const manifest = await readFile(join(out, "agent", "agent.json"), "utf8");
    expect(JSON.parse(manifest)).toMatchObject({
      api: { title: "Town library" },
      baseModel: { name: "toy-model" },
      training: { method: "self-play", seed: 5, iterations: 2 },
    });
    for (const name of ["agent.json", "report.html", "evaluation.json"])
      expect(await readFile(join(out, "agent", name), "utf8"), name).not.toContain(model);
    expect(phases.filter((name) => name.startsWith("iteration 1/2"))).toHaveLength(3);
    expect(phases.at(-1)).toBe("exporting the agent");
  });

  it("decides with the tuned weights", { timeout: 60_000 }, async () => {
    const backend = new FakeBackend({ tokenizer });
    await (await bootstrapAgent(document(), { ...options, backend })).close();
    const run = JSON.parse(await readFile(join(out, "run.json"), "utf8")) as { opponents: string[] };
    const menu = readMenu(await readFile(join(out, "agent", "tools.json"), "utf8"), "tools.json");
    const sampler = await backend.createSampler({ path: run.opponents.at(-1) ?? "" });
    const { calls } = await createAgent({ menu, sampler, tokenizer }).decide(
      "Create a loan: copy id is 77; member id is 12.",
    );
    expect(calls).toMatchObject([{ name: "createLoan", arguments: { copyId: 77, memberId: 12 } }]);

    // `specdojo eval` takes the folder of the run, as the summary at the end says.
    const solver = samplerSolver(sampler, tokenizer);
    const models = {
      backend,
      open: async () => ({ solver, style: briefStyle, maxTokens: 200 }),
      close: async () => undefined,
    };
    const evaluation = await evaluateFolder({
      dir: out,
      models,
      tasks: join(out, "tasks.jsonl"),
      count: 1,
      seed: 0,
      base: "none",
    });
    expect(evaluation.overall).toMatchObject({ base: null, tuned: { accuracy: 1 } });
  });

  it("writes held-out tasks where the user has none", { timeout: 60_000 }, async () => {
    const { tasks: _, ...own } = options;
    const agent = await bootstrapAgent(document(), { ...own, backend: new FakeBackend({ tokenizer }) });
    const evaluation = evaluationSchema.parse(agent.evaluation);
    expect(evaluation.tasks.origin).toBe("held-out");
    expect(evaluation.tasks.count).toBeGreaterThan(10);
  });

  it("goes on after a kill in any phase, and ends with the same evaluation", {
    timeout: 120_000,
  }, async () => {
    const whole = new FakeBackend({ tokenizer });
    await bootstrapAgent(document(), { ...options, backend: whole });
    const read = (dir: string, name: string): Promise<string> => readFile(join(dir, name), "utf8");
    const want = {
      evaluation: await read(out, "evaluation.json"),
      metrics: await read(out, "metrics.jsonl"),
    };
    const total = whole.calls.length;
    const last = whole.calls.findIndex(({ method }) => method === "downloadCheckpoint") + 1;
    for (const killAt of [1, Math.floor(total / 3), Math.floor((2 * total) / 3), total - 4, last]) {
      const dir = join(await scratchFolder(), "run");
      const killed = new FakeBackend({ tokenizer, killAt });
      await expect(bootstrapAgent(document(), { ...options, out: dir, backend: killed })).rejects.toThrow(
        "killed",
      );
      const backend = new FakeBackend({ tokenizer, store: killed.store });
      await resumeAgent(dir, { backend });
      expect(
        { evaluation: await read(dir, "evaluation.json"), metrics: await read(dir, "metrics.jsonl") },
        `killed at call ${killAt} of ${total}`,
      ).toEqual(want);
      expect((await loadAgent(join(dir, "agent"))).evaluation).toEqual(JSON.parse(want.evaluation));
    }
  });

  it("a finished run is loaded, not trained again", { timeout: 60_000 }, async () => {
    await bootstrapAgent(document(), { ...options, backend: new FakeBackend({ tokenizer }) });
    const backend = new FakeBackend({ tokenizer });
    const agent = await resumeAgent(out, { backend });
    expect(backend.calls).toEqual([]);
    expect(agent.tools).toHaveLength(4);
  });
});

describe("what cannot be done is said before anything is written", () => {
  it.each<[string, () => Partial<BootstrapOptions>, object]>([
    [
      "a task of another API",
      () => ({ tasks: [{ id: "x", question: "Fly!", gold: [{ name: "fly", arguments: {} }] }] }),
      { code: "tasks-invalid", message: expect.stringContaining('"fly"') },
    ],
    ["no tasks in the file", () => ({ tasks: "\n" }), { code: "tasks-empty" }],
    [
      "an option out of range",
      () => ({ config: { iterations: 0 } }),
      { code: "invalid-option", place: "config.iterations" },
    ],
    [
      "an option that does not exist",
      () => ({ config: { solver: { stepz: 3 } } as object }),
      { code: "invalid-option", place: "config.solver", message: expect.stringContaining("stepz") },
    ],
    ["the seed in the wrong place", () => ({ config: { seed: 3 } as object }), { place: "config.seed" }],
    ["a negative seed", () => ({ seed: -1 }), { code: "invalid-option", place: "config.seed" }],
  ])("%s", async (_, change, want) => {
    const backend = new FakeBackend({ tokenizer });
    await expect(bootstrapAgent(document(), { ...options, ...change(), backend })).rejects.toMatchObject(
      want,
    );
    await expect(readdir(out)).rejects.toMatchObject({ code: "ENOENT" });
    expect(backend.calls).toEqual([]);
  });

  it("a document without operations", async () => {
    const empty = { openapi: "3.0.3", info: { title: "Nothing", version: "1" }, paths: {} };
    await expect(
      bootstrapAgent(empty, { ...options, backend: new FakeBackend({ tokenizer }) }),
    ).rejects.toMatchObject({
      remedy: expect.any(String),
    });
    await expect(readdir(out)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("a folder with a run of another version", async () => {
    const backend = new FakeBackend({ tokenizer, killAt: 1 });
    await expect(bootstrapAgent(document(), { ...options, backend })).rejects.toThrow("killed");
    const path = join(out, "run.json");
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace(`"specdojo": "${version}"`, '"specdojo": "0.0.1"'));
    await expect(resumeAgent(out, { backend })).rejects.toMatchObject({ code: "run-version" });
  });

  it("a model that is not there", async () => {
    await expect(
      bootstrapAgent(document(), {
        ...options,
        model: "./no such model",
        backend: new FakeBackend({ tokenizer }),
      }),
    ).rejects.toMatchObject({ code: "model-missing", remedy: expect.any(String) });
  });
});
