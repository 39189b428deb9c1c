import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundledModelDir } from "../../src/rollout/model-files.js";
import type { Tokenizer } from "../../src/rollout/tokenizer.js";
import {
  type Cost,
  countsOf,
  estimateMemory,
  estimateRun,
  fitCost,
  fitSizes,
  measureRates,
  paperConfig,
  type Rates,
  type RunConfig,
  readModelShape,
  selfPlay,
  smallConfig,
  supervisedBaseline,
  type Work,
  withSizes,
} from "../../src/train/index.js";
import { FakeBackend } from "./fake-backend.js";
import {
  contextOf,
  createRun,
  metricsOf,
  removeScratch,
  scratchFolder,
  toyConfig,
  toyTokenizer,
} from "./setup.js";

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await toyTokenizer();
});
afterAll(removeScratch);

const work = (seconds: number, newTokens = 0): Work => ({
  prompts: 0,
  completions: 0,
  promptTokens: 0,
  newTokens,
  trainedTokens: 0,
  seconds,
});

describe("fitCost", () => {
  it.each<[string, [number, number][], number, number]>([
    [
      "a line",
      [
        [1, 3],
        [2, 5],
        [4, 9],
      ],
      1,
      2,
    ],
    ["one measurement", [[4, 8]], 0, 2],
    [
      "the lower median of one size",
      [
        [4, 8],
        [4, 400],
        [4, 12],
      ],
      0,
      3,
    ],
    [
      "no negative beginning",
      [
        [1, 1],
        [2, 4],
      ],
      0,
      5 / 3,
    ],
    [
      "no negative slope",
      [
        [1, 6],
        [2, 4],
      ],
      5,
      0,
    ],
    ["nothing", [], 0, 0],
  ])("%s", (_, samples, fixed, slope) => {
    const cost = fitCost(samples.map(([n, seconds]) => ({ n, work: work(seconds, 10 * n) })));
    expect(cost.fixed).toBeCloseTo(fixed);
    expect(cost.each.seconds).toBeCloseTo(slope);
    expect(cost.each.newTokens).toBe(samples.length === 0 ? 0 : 10);
  });
});

const each = (seconds: number, fixed = 0): Cost => ({ fixed, each: { ...work(seconds, 2), completions: 1 } });
/** Everything takes a second per unit. */
const rates: Rates = {
  start: 7,
  checkpoint: 0,
  generator: each(1),
  generatorProbes: each(1),
  writing: each(1),
  probes: each(1),
  tasksPerSpec: 1,
  solver: each(1),
  supervised: each(1),
  questions: each(1),
  otherQuestions: each(1),
  upperBound: false,
};
const config: RunConfig = { ...smallConfig, seed: 0, model: "bundled" };
const seconds = (change: Partial<RunConfig>, questions = { tasks: 10, others: 5 }): Record<string, number> =>
  Object.fromEntries(
    estimateRun({ ...config, ...change }, rates, questions).phases.map((phase) => [
      phase.name,
      phase.seconds,
    ]),
  );

describe("estimateRun", () => {
  it("counts what the phases do", () => {
    // 128 tasks in 22 steps of up to 16: two walks, 11.6 tasks a step.
    expect(seconds({})).toEqual({
      starting: 7,
      "Generator training": 3 * 5 * 8,
      "Generator training: Solver probes": 3 * 5 * 8,
      "writing tasks": 3 * 240,
      "Solver probes of the tasks": 3 * 240,
      "Solver training": expect.closeTo(3 * 2 * 128),
      "supervised comparison": expect.closeTo(3 * 2 * 128),
      measuring: 6 * 10 + 2 * 5,
      checkpoints: 0,
    });
    const { total } = estimateRun(config, rates, { tasks: 10, others: 5 });
    expect(total.newTokens).toBe(2 * total.completions);
  });

  it.each<[string, Partial<RunConfig>, Record<string, unknown>]>([
    ["a frozen Generator", { frozenGenerator: true }, { "Generator training": 0 }],
    ["no reinforcement", { method: "supervised" }, { "Generator training": 0 }],
    [
      "no comparison",
      { supervisedBaseline: false },
      { "supervised comparison": 0, measuring: 5 * 10 + 2 * 5 },
    ],
    [
      "few tasks",
      { candidates: { ...config.candidates, specs: 4 } },
      { "Solver training": expect.closeTo(3 * 88 * 4) },
    ],
  ])("with %s", (_, change, want) => {
    expect(seconds(change)).toMatchObject(want);
  });

  it("trains nothing where no task passes", () => {
    const counts = countsOf(config, { tasksPerSpec: 0 });
    expect(counts).toMatchObject({ tasks: 0, solverSteps: 0, tasksPerStep: 0 });
  });
});

describe("fitSizes", () => {
  const questions = { tasks: 10, others: 5 };
  const whole = estimateRun(config, rates, questions).total.seconds;

  it("leaves what fits as it is", () => {
    const found = fitSizes(config, rates, questions, whole);
    expect(withSizes(config, found?.sizes ?? { ...config, iterations: 0 })).toEqual(config);
  });

  it("takes smaller steps before fewer iterations, and never more than the time", () => {
    let iterations = 3;
    let last = whole;
    for (let share = 0.95; share > 0.1; share -= 0.05) {
      const found = fitSizes(config, rates, questions, share * whole);
      if (found === undefined) throw new Error(`nothing fits into ${share} of the time`);
      const { sizes, estimate } = found;
      expect(estimate.total.seconds).toBeLessThanOrEqual(share * whole);
      expect(estimate).toEqual(estimateRun(withSizes(config, sizes), rates, questions));
      expect(sizes.iterations).toBeLessThanOrEqual(iterations);
      expect(estimate.total.seconds).toBeLessThanOrEqual(last);
      expect(estimate.total.seconds).toBeGreaterThan(0.6 * share * whole);
      iterations = sizes.iterations;
      last = estimate.total.seconds;
    }
    expect(iterations).toBe(1);
  });

  it("says when nothing fits", () => {
    expect(fitSizes(config, rates, questions, 20)).toBeUndefined();
  });
});

/** Every call of the backend takes a second. */
async function measured(change: Partial<RunConfig>, allowed: number) {
  const backend = new FakeBackend({ tokenizer });
  const context = await contextOf(await createRun({ ...toyConfig, ...change }), backend, tokenizer);
  const none = { total: 0, ask: async () => undefined };
  const found = await measureRates(context, {
    now: () => 1000 * backend.calls.length,
    begun: 0,
    seconds: allowed,
    standIns: [task],
    questions: none,
    otherQuestions: none,
  });
  return { found, backend };
}
const tools = ["listBooks", "getBook", "createLoan"];
const answer = [{ name: "getBook", arguments: { bookId: 7 } }];
const task = {
  id: "book",
  spec: {
    id: "book",
    domain: "d",
    context: "single_turn" as const,
    tools,
    answer: { kind: "given" as const, calls: answer },
  },
  question: "Show one book: book id is 7.",
  tools,
  answer,
};

describe("measureRates", { timeout: 180_000 }, () => {
  it.each<[string, Partial<RunConfig>]>([
    ["as it is", {}],
    ["with shared weights", { sharedWeights: true }],
    ["with a frozen Generator", { frozenGenerator: true }],
  ])("foretells a run %s, in calls of the backend", async (_, change) => {
    const { found, backend } = await measured(change, 60);
    expect(found.upperBound).toBe(false);
    // Nothing of the measurement is left.
    expect([...backend.store.keys()]).toEqual([]);
    expect(backend.count("unload")).toBe(backend.count("createModel"));

    const real = new FakeBackend({ tokenizer });
    const run = await createRun({ ...toyConfig, ...change });
    const context = await contextOf(run, real, tokenizer);
    await selfPlay(context);
    await supervisedBaseline(context);
    const estimate = estimateRun(run.config, found, { tasks: 0, others: 0 });
    expect(estimate.total.seconds / real.calls.length).toBeGreaterThan(0.8);
    expect(estimate.total.seconds / real.calls.length).toBeLessThan(1.25);
    const written = (await metricsOf(run)).reduce((sum, { candidates = 0 }) => sum + candidates, 0);
    expect(estimate.phases.find(({ name }) => name === "writing tasks")?.completions).toBeCloseTo(written);
  });

  it("draws a few tokens where whole completions take too long, and gives an upper bound", async () => {
    const { found } = await measured({}, 2);
    const whole = (await measured({}, 60)).found;
    expect(found.upperBound).toBe(true);
    const { generator } = toyConfig;
    expect(found.generator.each.newTokens).toBe(generator.groupSize * generator.maxTokens);
    expect(found.tasksPerSpec).toBe(toyConfig.candidates.perSpec);
    for (const key of ["generator", "generatorProbes", "writing", "probes", "solver"] as const)
      expect(found[key].each.newTokens, key).toBeGreaterThanOrEqual(whole[key].each.newTokens);
  });
});

describe("memory", () => {
  it("reads a model's shape", async () => {
    // 3,072 words of width 256; per layer four square matrices, three of 256 by 640, and norms.
    const layer = 4 * 256 * 256 + 3 * 256 * 640 + 2 * 256 + 2 * 64;
    expect(await readModelShape(bundledModelDir())).toEqual({
      parameters: 3072 * 256 + 6 * layer + 256,
      adapterPerRank: 6 * (4 * 2 * 256 + 3 * (256 + 640)),
      layers: 6,
      hidden: 256,
      vocabulary: 3072,
      cache: 2 * 4 * 64,
    });
  });

  it.each([
    ["config.json", "{}", "does not tell its shape"],
    ["model.safetensors", "short", "not a safetensors file"],
    ["model.safetensors", `${"\xff".repeat(6)}{}`, "not a safetensors file"],
  ])("refuses a broken %s", async (name, text, message) => {
    const dir = join(await scratchFolder(), "model");
    await mkdir(dir);
    const shape = { num_hidden_layers: 1, hidden_size: 8, vocab_size: 9, num_attention_heads: 2 };
    await writeFile(join(dir, "config.json"), JSON.stringify(shape));
    await writeFile(join(dir, name), text);
    await expect(readModelShape(dir)).rejects.toThrow(message);
  });

  // Qwen2.5-1.5B.
  const shape = {
    parameters: 1_543_714_304,
    adapterPerRank: 28 * (2 * 3072 + 2 * (1536 + 256) + 3 * (1536 + 8960)),
    layers: 28,
    hidden: 1536,
    vocabulary: 151_936,
    cache: 2 * 2 * 128,
  };
  const paper: RunConfig = { ...paperConfig, seed: 0, model: "m" };
  const gpu = { device: "cuda", dtype: "bfloat16", promptTokens: 600 };

  it("grows with what a run keeps", () => {
    const lora = estimateMemory(paper, shape, gpu);
    expect(lora.base).toBe(2 * shape.parameters);
    expect(lora.training).toBe(2 * 20 * 32 * shape.adapterPerRank);
    const full = estimateMemory({ ...paper, loraRank: 0 }, shape, gpu);
    expect(full.training).toBe(2 * 20 * shape.parameters);
    expect(full.total).toBeGreaterThan(lora.total);
    const one = estimateMemory({ ...paper, sharedWeights: true }, shape, gpu);
    expect(one.training).toBe(lora.training / 2);
    const wide = estimateMemory(paper, shape, { ...gpu, dtype: "float32" });
    expect(wide.base).toBe(2 * lora.base);
    for (const { program, base, training, samplers, sampling, activations, total } of [lora, full, one, wide])
      expect(total).toBe(program + base + training + samplers + Math.max(sampling, activations));
  });
});
