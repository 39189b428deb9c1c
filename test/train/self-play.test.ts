import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Tokenizer } from "../../src/rollout/tokenizer.js";
import {
  type RunConfig,
  readCandidates,
  readTasks,
  selfPlay,
  supervisedBaseline,
} from "../../src/train/index.js";
import { silentProgress } from "../../src/util/progress.js";
import { FakeBackend } from "./fake-backend.js";
import { contextOf, createRun, filesOf, metricsOf, removeScratch, toyConfig, toyTokenizer } from "./setup.js";

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await toyTokenizer();
});
afterAll(removeScratch);

async function play(change: Partial<RunConfig> = {}) {
  const run = await createRun({ ...toyConfig, ...change });
  const backend = new FakeBackend({ tokenizer });
  const context = await contextOf(run, backend, tokenizer);
  const path = await selfPlay(context);
  return { run, backend, context, path, metrics: await metricsOf(run) };
}

/** Logits of what the toy Solver does with an operation. */
function solverRow(backend: FakeBackend, path: string, operation: string): number[] | undefined {
  const state = JSON.parse(backend.store.get(path) ?? "{}") as { logits: Record<string, number[]> };
  return state.logits[`solver/${operation}`];
}

describe("the whole loop", () => {
  it("runs through every phase and leaves two trained models", async () => {
    const { run, backend, path, metrics } = await play();
    expect(run.manifest.position).toEqual({ iteration: 1, phase: "baseline", step: 0 });
    expect(run.manifest.opponents).toEqual([null, expect.any(String), path]);
    expect(backend.count("createModel")).toBe(2);
    expect(backend.count("unload")).toBe(2);
    expect(metrics.map(({ iteration, role, phase }) => `${iteration} ${role} ${phase}`)).toEqual(
      [0, 1].flatMap((i) => [
        ...new Array(3).fill(`${i} generator train`),
        `${i} generator candidates`,
        ...new Array(5).fill(`${i} solver train`),
      ]),
    );
    const steps = metrics.map(({ step }) => step);
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
    expect(metrics.every(({ sampler_kl = 0 }) => Math.abs(sampler_kl) < 1e-9)).toBe(true);
    // The opponents, the state of each role, and no older checkpoint.
    expect([...backend.store.keys()].sort()).toEqual(
      [...run.manifest.opponents.slice(1), ...Object.values(run.manifest.checkpoints)].sort(),
    );
    expect(Object.keys(run.manifest.checkpoints).sort()).toEqual(["generator", "solver"]);
  });

  it.each([
    [0.001, 0],
    [1, 16],
  ])("warns of each step in which sampler and trainer disagree (by %d)", async (gap, count) => {
    const lines: string[] = [];
    const context = await contextOf(
      await createRun(toyConfig),
      new FakeBackend({ tokenizer, gap }),
      tokenizer,
      { progress: { ...silentProgress, line: (text) => lines.push(text) } },
    );
    await selfPlay(context);
    const warnings = lines.filter((line) => /sampler and trainer disagree .* above 0\.01/.test(line));
    expect(warnings).toHaveLength(count);
  });

  it("makes the Solver better at what the toy can do", async () => {
    const { metrics, backend, path } = await play({ solver: { ...toyConfig.solver, learningRate: 100 } });
    const rates = metrics.filter(({ phase }) => phase === "candidates").map(({ pass_rate = 0 }) => pass_rate);
    expect(rates[1]).toBeGreaterThan((rates[0] ?? 1) + 0.1);
    for (const operation of ["getBook", "createLoan"]) {
      const [right = 0, ...wrong] = solverRow(backend, path, operation) ?? [];
      expect(right, operation).toBeGreaterThan(Math.max(...wrong));
    }
  });

  it("writes tasks that were verified, easy to hard, and asks more for what fails", async () => {
    const { run } = await play({ candidates: { ...toyConfig.candidates, order: "easy-to-hard" } });
    for (const iteration of [0, 1]) {
      const tasks = await readTasks(run, iteration);
      const rates = tasks.map(({ passRate }) => passRate);
      expect(rates.length).toBeGreaterThan(3);
      expect(rates).toEqual([...rates].sort((a, b) => b - a));
      const measured = new Set((await readCandidates(run, iteration)).map(({ task }) => task.id));
      expect(tasks.every(({ task }) => measured.has(task.id))).toBe(true);
    }
    const coverage = async (iteration: number): Promise<Record<string, number>> => {
      const text = await readFile(run.path(`iteration-${iteration}`, "selection.json"), "utf8");
      return (JSON.parse(text) as { coverage: { operations: Record<string, number> } }).coverage.operations;
    };
    const [first, second] = [await coverage(1), await coverage(2)];
    const ratio = (counts: Record<string, number>) => (counts.createLoan ?? 0) / (counts.removeMember ?? 1);
    expect(ratio(second)).toBeGreaterThan(ratio(first));
  });

  it("gives the same run for the same seed, and another for another", async () => {
    const [first, second, third] = [await play(), await play(), await play({ seed: 4 })];
    expect(await filesOf(second.run)).toEqual(await filesOf(first.run));
    expect((await filesOf(third.run))["metrics.jsonl"]).not.toBe((await filesOf(first.run))["metrics.jsonl"]);
  });

  it("measures the Solver of each iteration", async () => {
    const run = await createRun(toyConfig);
    const backend = new FakeBackend({ tokenizer });
    const asked: number[] = [];
    await selfPlay(await contextOf(run, backend, tokenizer), {
      measure: async (_, iteration) => {
        asked.push(iteration);
        return { accuracy: 0.25 * iteration };
      },
    });
    expect(asked).toEqual([0, 1]);
    const lines = (await metricsOf(run)).filter(({ phase }) => phase === "evaluate");
    expect(lines.map(({ accuracy }) => accuracy)).toEqual([0, 0.25]);
  });

  it("goes on where no task passes the checks", async () => {
    const { run, backend } = await play({
      generator: { ...toyConfig.generator, steps: 0, maxTokens: 2 },
      solver: { ...toyConfig.solver },
    });
    expect(await readTasks(run, 0)).toEqual([]);
    expect(backend.count("forwardBackward")).toBe(0);
    expect(run.manifest.position.phase).toBe("baseline");
    expect(await supervisedBaseline(await contextOf(run, backend, tokenizer))).toContain("supervised");
  });

  it("measures the base model where nothing is to be trained", async () => {
    const { run, backend } = await play({
      generator: { ...toyConfig.generator, steps: 0 },
      solver: { ...toyConfig.solver, steps: 0 },
    });
    expect((await readTasks(run, 1)).length).toBeGreaterThan(0);
    expect(backend.count("optimStep")).toBe(0);
    expect(run.manifest.position).toEqual({ iteration: 1, phase: "baseline", step: 0 });
  });

  it("stops at the signal with its reason", async () => {
    const run = await createRun(toyConfig);
    const backend = new FakeBackend({ tokenizer });
    const stop = new AbortController();
    const progress = {
      phase() {},
      line() {},
      update: () => {
        if (run.manifest.position.phase === "solver") stop.abort(new Error("enough"));
      },
    };
    const context = await contextOf(run, backend, tokenizer, { signal: stop.signal, progress });
    await expect(selfPlay(context)).rejects.toThrow("enough");
    expect(run.manifest.position).toMatchObject({ iteration: 0, phase: "solver" });
  });
});

describe("the ablations", () => {
  const generatorLines = (metrics: Awaited<ReturnType<typeof metricsOf>>) =>
    metrics.filter(({ role, phase }) => role === "generator" && phase === "train");

  it("shared weights: one model in both roles", async () => {
    const { backend, run, metrics } = await play({ sharedWeights: true });
    expect(backend.count("createModel")).toBe(1);
    expect(Object.keys(run.manifest.checkpoints)).toEqual(["solver"]);
    expect(generatorLines(metrics)).toHaveLength(6);
    const state = JSON.parse(backend.store.get(run.manifest.checkpoints.solver ?? "") ?? "{}") as {
      logits: object;
    };
    const roles = new Set(Object.keys(state.logits).map((key) => key.split("/")[0]));
    expect([...roles].sort()).toEqual(["generator", "solver"]);
  });

  it("frozen Generator: it is never trained nor opened", async () => {
    const { backend, run, metrics } = await play({ frozenGenerator: true });
    expect(generatorLines(metrics)).toEqual([]);
    expect(backend.count("createModel")).toBe(1);
    expect(Object.keys(run.manifest.checkpoints)).toEqual(["solver"]);
    expect((await readTasks(run, 0)).length).toBeGreaterThan(0);
  });

  it("no difficulty reward: the same first texts earn less", async () => {
    const [full, without] = [await play(), await play({ difficultyReward: false })];
    const [a, b] = [generatorLines(full.metrics)[0], generatorLines(without.metrics)[0]];
    expect(b?.reward_difficulty).toBe(a?.reward_difficulty);
    expect(b?.reward_curriculum).toBeLessThan(a?.reward_curriculum ?? 0);
  });

  it("no gold anchor: what is never sampled is never learned", async () => {
    const [full, without] = [await play(), await play({ goldAnchor: false })];
    const anchored = ({ metrics }: typeof full) => metrics.map(({ anchored_groups = 0 }) => anchored_groups);
    expect(Math.max(...anchored(full))).toBeGreaterThan(0);
    expect(Math.max(...anchored(without))).toBe(0);
    expect(solverRow(full.backend, full.path, "createLoan")?.[0]).toBeGreaterThan(-40);
    expect(solverRow(without.backend, without.path, "createLoan")?.[0] ?? -40).toBeCloseTo(-40, 9);
  });

  it("free answers: the Generator writes the calls", async () => {
    const { run } = await play({ answer: "free" });
    const tasks = await readTasks(run, 0);
    expect(tasks.length).toBeGreaterThan(0);
    expect(tasks.every(({ task }) => task.spec.answer.kind === "free")).toBe(true);
  });

  it.each(["supervised", "rejection-sampling"] as const)(
    "%s: likelihood on tasks of a frozen Generator",
    async (method) => {
      const { backend, metrics } = await play({ method });
      expect(generatorLines(metrics)).toEqual([]);
      const losses = backend.calls.flatMap(({ method, loss }) =>
        method === "forwardBackward" ? [loss] : [],
      );
      expect(losses.length).toBeGreaterThan(5);
      expect(new Set(losses)).toEqual(new Set(["cross_entropy"]));
      // Two candidate phases of two batches each; only rejection sampling asks the Solver in its steps.
      expect(backend.count("sample")).toBe(method === "supervised" ? 4 : 4 + 10);
    },
  );
});

it("supervised training for comparison takes as many steps, on the run's own tasks, from the base", async () => {
  const { backend, context, run } = await play();
  const before = backend.calls.length;
  const path = await supervisedBaseline(context);
  const later = backend.calls.slice(before);
  expect(later.find(({ method }) => method === "createModel")?.model).toBe("toy");
  expect(later.filter(({ method }) => method === "optimStep")).toHaveLength(10);
  expect(later.filter(({ method }) => method === "sample")).toEqual([]);
  expect(backend.store.has(path)).toBe(true);
  const lines = (await metricsOf(run)).filter(({ role }) => role === "baseline");
  expect(lines).toHaveLength(10);
});
