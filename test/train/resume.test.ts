import { appendFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Tokenizer } from "../../src/rollout/tokenizer.js";
import { type RunConfig, RunDirectory, selfPlay, supervisedBaseline } from "../../src/train/index.js";
import { FakeBackend } from "./fake-backend.js";
import { contextOf, createRun, filesOf, removeScratch, toyConfig, toyTokenizer } from "./setup.js";

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await toyTokenizer();
});
afterAll(removeScratch);

const config: RunConfig = {
  ...toyConfig,
  generator: { ...toyConfig.generator, steps: 2, groups: 2, groupSize: 2, probes: 2 },
  candidates: { ...toyConfig.candidates, specs: 8, probes: 2, keep: 4 },
  solver: { ...toyConfig.solver, steps: 3, groups: 2, groupSize: 2 },
};

async function work(run: RunDirectory, backend: FakeBackend): Promise<string> {
  const context = await contextOf(run, backend, tokenizer);
  await selfPlay(context, { measure: async () => ({ accuracy: 0.5 }) });
  return supervisedBaseline(context);
}

/** Between two of these calls nothing is written: a kill anywhere between them is a kill at the later one. */
const boundaries = new Set([
  "createModel",
  "createSampler",
  "sampler",
  "saveState",
  "saveForSampler",
  "deleteCheckpoint",
  "unload",
]);

/** Everything that a run leaves: its files, and the weights by the path of their checkpoint. */
async function outcome(run: RunDirectory, backend: FakeBackend, supervised: string) {
  const { opponents, checkpoints, position } = run.manifest;
  const paths = [...opponents.slice(1), ...Object.values(checkpoints), supervised];
  return {
    files: await filesOf(run),
    weights: Object.fromEntries(paths.map((path) => [path, backend.store.get(path ?? "")])),
    position,
  };
}

it.each([
  ["two models", config],
  ["shared weights", { ...config, sharedWeights: true, iterations: 1 }],
])(
  "killed anywhere and resumed, a run ends byte for byte as if nothing had been: %s",
  async (_, config) => {
    const whole = new FakeBackend({ tokenizer });
    const wholeRun = await createRun(config);
    const want = await outcome(wholeRun, whole, await work(wholeRun, whole));
    expect(Object.values(want.weights)).not.toContain(undefined);
    expect(want.files["metrics.jsonl"]?.split("\n").length).toBeGreaterThan(8);

    for (const [index, { method }] of whole.calls.entries()) {
      if (!boundaries.has(method)) continue;
      const killAt = index + 1;
      const run = await createRun(config);
      const killed = new FakeBackend({ tokenizer, killAt });
      await expect(work(run, killed)).rejects.toThrow("killed");
      // The last words of a process that is killed while it writes.
      for (const name of ["metrics.jsonl", "rollouts.jsonl"])
        await appendFile(run.path(name), '{"iteration":0,"ro');
      const resumed = new FakeBackend({ tokenizer, store: killed.store });
      const again = await RunDirectory.open(run.dir, () => 0);
      const got = await outcome(again, resumed, await work(again, resumed));
      expect(got, `killed at call ${killAt} of ${whole.calls.length}, ${method}`).toEqual(want);
    }
  },
  120_000,
);

it("killed again and again, it still comes to its end", async () => {
  const whole = new FakeBackend({ tokenizer });
  const wholeRun = await createRun(config);
  const want = await outcome(wholeRun, whole, await work(wholeRun, whole));
  const { dir } = await createRun(config);
  const store = new Map<string, string>();
  for (let start = 1; ; start++) {
    expect(start).toBeLessThan(40);
    const run = await RunDirectory.open(dir, () => 0);
    const backend = new FakeBackend({ tokenizer, store, killAt: 18 });
    const supervised = await work(run, backend).catch(() => undefined);
    if (supervised === undefined) continue;
    expect(await outcome(run, backend, supervised)).toEqual(want);
    expect(start).toBeGreaterThan(3);
    return;
  }
});
