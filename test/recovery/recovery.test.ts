import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ensureBuilt, root, specdojo } from "../cli/command.js";
import { type Ended, gone, specdojoUntil } from "./run.js";

/** Set by `npm test`: an interpreter that has the worker's packages. */
const python = process.env.SPECDOJO_TEST_PYTHON;

/** With the bundled model: a random one writes no valid task, gets no reward, and then no step changes a weight. */
const config = {
  iterations: 1,
  checkpointEvery: 1,
  generator: { steps: 2, groups: 3, groupSize: 3, probes: 2, maxTokens: 40 },
  candidates: { specs: 8, perSpec: 1, probes: 3, keep: 6 },
  solver: { steps: 3, groups: 2, groupSize: 3, maxTokens: 40, replay: 2 },
};
const task = { question: "Show pet 7.", gold: [{ name: "getPetById", arguments: { petId: 7 } }] };
/** By then self-play is over. */
const end = "for comparison";

const interrupt = (command: number): void => {
  process.kill(command, "SIGINT");
};

describe.skipIf(python === undefined)("a run that is interrupted (slow)", { timeout: 180_000 }, () => {
  let dir: string;
  const at = (name: string): string => join(dir, name);

  beforeAll(async () => {
    ensureBuilt();
    dir = await mkdtemp(join(tmpdir(), "specdojo-recovery-"));
    await writeFile(at("config.json"), JSON.stringify(config));
    await writeFile(at("tasks.jsonl"), JSON.stringify(task));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const bootstrap = (out: string): string[] => [
    "bootstrap",
    join(root, "examples", "petstore", "openapi.yaml"),
    ...["--seed", "4", "--config", at("config.json"), "--tasks", at("tasks.jsonl")],
    ...["--python", python ?? "", "--out", out],
  ];
  const resume = (out: string): string[] => ["resume", out, "--python", python ?? ""];

  async function expectStopped(ended: Ended, out: string): Promise<void> {
    expect(ended).toMatchObject({ code: 130, err: expect.stringContaining(`specdojo resume ${out}`) });
    expect(ended.seconds).toBeLessThan(6);
    expect(ended.workers).toHaveLength(1);
    expect(await gone(ended.workers, 1000)).toBe(true);
  }

  it("by Ctrl-C, a killed worker and a killed command ends like one that is not", async () => {
    const whole = at("whole");
    await expectStopped(await specdojoUntil(bootstrap(whole), end, interrupt), whole);

    const out = at("broken");
    // Even when the worker does not answer.
    const stopped = await specdojoUntil(bootstrap(out), "training the Generator  1/2", (command, workers) => {
      for (const worker of workers) process.kill(worker, "SIGSTOP");
      interrupt(command);
    });
    await expectStopped(stopped, out);

    const workerKilled = await specdojoUntil(resume(out), "writing and verifying tasks", (_, workers) => {
      for (const worker of workers) process.kill(worker, "SIGKILL");
    });
    expect(workerKilled.code).toBe(1);
    expect(workerKilled.err).toContain("The worker ended by signal SIGKILL");
    expect(workerKilled.err).toContain(`specdojo resume ${out}`);

    const killed = await specdojoUntil(resume(out), "training the Solver  1/3", async (command) => {
      process.kill(command, "SIGSTOP");
      const second = await specdojo(resume(out));
      expect(second).toMatchObject({
        code: 1,
        err: expect.stringContaining(`Process ${command} is working`),
      });
      process.kill(command, "SIGKILL");
    });
    expect(killed.signal).toBe("SIGKILL");
    expect(killed.workers).toHaveLength(1);
    expect(await gone(killed.workers, 10_000)).toBe(true);

    await expectStopped(await specdojoUntil(resume(out), end, interrupt), out);
    expect(await results(out)).toEqual(await results(whole));
  });
});

/** What self-play has made: each file with its hash, the trained Solver among them. */
async function results(run: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const add = (name: string, data: string | Buffer): void => {
    found[name] = createHash("sha256").update(data).digest("hex");
  };
  for (const name of await readdir(join(run, "iteration-1")))
    add(name, await readFile(join(run, "iteration-1", name)));
  for (const name of ["generator.jsonl", "rollouts.jsonl"]) add(name, await readFile(join(run, name)));
  const metrics = (await readFile(join(run, "metrics.jsonl"), "utf8")).split("\n");
  add("metrics.jsonl", metrics.filter((line) => !line.includes('"role":"baseline"')).join("\n"));
  const manifest = JSON.parse(await readFile(join(run, "run.json"), "utf8")) as { opponents: string[] };
  const solver = (manifest.opponents.at(-1) ?? "").replace("tinker://", "");
  const weights = (await readdir(join(run, "checkpoints", solver))).filter((name) =>
    name.endsWith(".safetensors"),
  );
  expect(weights).toHaveLength(1);
  for (const name of weights) add(name, await readFile(join(run, "checkpoints", solver, name)));
  return found;
}
