import { beforeAll, describe, expect, it } from "vitest";
import { planRun } from "../../src/plan.js";
import { bundledModelDir } from "../../src/rollout/model-files.js";
import { loadTokenizer, type Tokenizer } from "../../src/rollout/tokenizer.js";
import { FakeBackend } from "../train/fake-backend.js";
import { libraryDocument } from "../train/library.js";

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await loadTokenizer(bundledModelDir());
});
const small = {
  iterations: 2,
  generator: { steps: 4, groups: 2, groupSize: 2, probes: 2 },
  candidates: { specs: 8, perSpec: 1, probes: 2, keep: 8 },
  solver: { steps: 6, groups: 2, groupSize: 2, replay: 0 },
};

describe("planRun", { timeout: 180_000 }, () => {
  it("plans on a connected backend, leaves it open, and finds sizes that fit", async () => {
    const backend = new FakeBackend({ tokenizer });
    const now = (): number => 1000 * backend.calls.length;
    const options = { backend, now, config: small, measure: 100 };
    const plan = await planRun(structuredClone(libraryDocument), options);
    expect(backend.closed).toBe(0);
    expect(plan).toMatchObject({ machine: null, memory: null, within: null, upperBound: false });
    expect(plan.config.iterations).toBe(2);
    expect(plan.estimate.total.seconds).toBeGreaterThan(2 * (4 + 6));

    const within = 0.7 * plan.estimate.total.seconds;
    const again = await planRun(structuredClone(libraryDocument), { ...options, within });
    expect(again.within).toMatchObject({ seconds: within, fits: false });
    const sizes = again.within?.config;
    if (sizes == null) throw new Error("nothing fits");
    expect(again.within?.estimate?.total.seconds).toBeLessThanOrEqual(within);
    // What is proposed is a configuration that is taken.
    const shorter = await planRun(structuredClone(libraryDocument), {
      ...options,
      config: {
        ...small,
        ...sizes,
        generator: { ...small.generator, ...sizes.generator },
        candidates: { ...small.candidates, ...sizes.candidates },
        solver: { ...small.solver, ...sizes.solver },
      },
    });
    expect(shorter.estimate.total.seconds).toBeLessThan(plan.estimate.total.seconds);
  });

  it.each([{ within: 0 }, { within: Number.NaN }, { measure: -1 }])("refuses %j", async (options) => {
    await expect(planRun(structuredClone(libraryDocument), options)).rejects.toMatchObject({
      code: "invalid-option",
      place: Object.keys(options)[0],
    });
  });
});

const python = process.env.SPECDOJO_TEST_PYTHON;

describe.skipIf(python === undefined)("on the real worker (slow)", { timeout: 180_000 }, () => {
  it("measures, and tells time and memory", async () => {
    const plan = await planRun(structuredClone(libraryDocument), {
      python: python ?? "",
      config: small,
      measure: 4,
    });
    expect(plan.machine?.device).toMatch(/cpu|cuda/);
    expect(plan.memory?.total).toBeGreaterThan(2 ** 20);
    if (process.platform === "linux") expect(plan.memory?.seen).toBeGreaterThan(2 ** 20);
    expect(plan.estimate.total.seconds).toBeGreaterThan(0);
    for (const { seconds } of plan.estimate.phases) expect(seconds).toBeGreaterThanOrEqual(0);
  });
});
