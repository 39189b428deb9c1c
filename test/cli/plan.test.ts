import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { duration, parseDuration, renderPlan } from "../../src/cli/plan.js";
import type { RunPlan } from "../../src/plan.js";
import { smallConfig } from "../../src/train/index.js";

describe("durations", () => {
  it.each([
    ["30m", 1800],
    ["90s", 90],
    ["1.5h", 5400],
    ["2h30m", 9000],
  ])("%s", (text, seconds) => expect(parseDuration(text, "--within")).toBe(seconds));

  it.each(["", "30", "m", "30 m", "-5m", "0s", "30m5", "1d"])("%j is none", (text) => {
    expect(() => parseDuration(text, "--within")).toThrow(
      expect.objectContaining({ code: "invalid-option", place: "--within" }),
    );
  });

  it.each([
    [3, "0:03"],
    [59.7, "1:00"],
    [187, "3:07"],
    [3600 * 2 + 299, "2 h 05 min"],
    [3600 * 24 * 3.4, "3.4 days"],
  ])("%d s are written as %s", (seconds, text) => expect(duration(seconds)).toBe(text));
});

const work = { prompts: 10, completions: 1234, promptTokens: 5, newTokens: 6, trainedTokens: 7, seconds: 61 };
const estimate = {
  phases: [
    { name: "Generator training" as const, ...work },
    { name: "supervised comparison" as const, ...work, seconds: 0 },
  ],
  total: { ...work, seconds: 3600 },
};
const sizes = {
  iterations: 1,
  generator: { steps: 2 },
  candidates: { specs: 3, keep: 4 },
  solver: { steps: 5 },
};
const plan: RunPlan = {
  api: { title: "Town library", operations: 12 },
  config: { ...smallConfig, seed: 0, model: "bundled" },
  machine: { device: "cpu", dtype: "float32" },
  measured: 21,
  upperBound: false,
  tasksPerIteration: 128,
  estimate,
  memory: {
    program: 2 ** 20,
    base: 2 ** 20,
    training: 2 ** 20,
    samplers: 2 ** 20,
    sampling: 2 ** 20,
    activations: 2 ** 31,
    total: 3 * 2 ** 30,
    seen: 2 ** 30,
    free: 2 ** 40,
  },
  within: null,
};
const shown = (change: Partial<RunPlan>): string =>
  stripVTControlCharacters(renderPlan({ ...plan, ...change }));

describe("a plan on the terminal", () => {
  it("has a row per phase, the sum, tasks and memory", () => {
    const text = shown({});
    expect(text).toMatch(/Generator training +1,234 +5 +6 +7 +1:01/);
    expect(text).not.toContain("supervised comparison");
    expect(text).toMatch(/together .* 1 h 00 min/);
    expect(text).toContain("about 128 tasks");
    expect(text).toContain("About 3.0 GiB of memory of the worker");
    expect(text).toContain("1.0 GiB seen");
    expect(text).not.toContain("so at most");
  });

  it.each<[string, Partial<RunPlan>, string]>([
    ["an upper bound", { upperBound: true }, "so at most"],
    [
      "little memory",
      { memory: { ...(plan.memory as NonNullable<RunPlan["memory"]>), free: 2 ** 29 } },
      "Only 512 MiB are free",
    ],
    ["a server", { machine: null, memory: null }, "on the given server"],
    [
      "time enough",
      { within: { seconds: 7200, fits: true, config: sizes, estimate } },
      "fits into 2 h 00 min as it is",
    ],
    [
      "no time",
      { within: { seconds: 5, fits: false, config: null, estimate: null } },
      "No sizes fit into 0:05",
    ],
  ])("tells of %s", (_, change, text) => expect(shown(change)).toContain(text));

  it("ends with a configuration that can be used as a file", () => {
    const text = shown({ within: { seconds: 1800, fits: false, config: sizes, estimate } });
    expect(JSON.parse(text.slice(text.indexOf("{")))).toEqual(sizes);
  });
});
