import { appendFile, chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { lockRun, RunDirectory } from "../../src/train/index.js";
import { createRun, removeScratch, scratchFolder, toyConfig } from "./setup.js";

afterAll(removeScratch);

const line = (step: number) => ({ step, iteration: 0, role: "solver" });

describe("a run's folder", () => {
  it("begins at the first step with the document, and nothing else", async () => {
    const run = await createRun(toyConfig);
    expect((await readdir(run.dir)).sort()).toEqual(["document.json", "run.json"]);
    expect(run.manifest).toMatchObject({
      position: { iteration: 0, phase: "generator", step: 0 },
      opponents: [null],
      checkpoints: {},
      config: toyConfig,
    });
    const again = await RunDirectory.open(run.dir, () => 0);
    expect(again.manifest).toEqual(run.manifest);
  });

  it("remembers where it is, what it has, and the time", async () => {
    let now = 1000;
    const run = await createRun(toyConfig);
    const opened = await RunDirectory.open(run.dir, () => now);
    await opened.append("metrics.jsonl", [line(0)]);
    now = 3500;
    await opened.advance(
      { iteration: 1, phase: "solver", step: 7 },
      { checkpoints: { solver: "tinker://a/b" } },
    );
    now = 9000;
    const again = await RunDirectory.open(run.dir, () => now);
    now = 10_000;
    await again.advance({ iteration: 1, phase: "measure", step: 0 }, { opponents: [null, "tinker://c/d"] });
    expect(again.manifest).toMatchObject({
      position: { iteration: 1, phase: "measure", step: 0 },
      checkpoints: { solver: "tinker://a/b" },
      opponents: [null, "tinker://c/d"],
      seconds: 3.5,
    });
  });

  it("cuts off what a killed step left, and no more", async () => {
    const run = await createRun(toyConfig);
    await run.append("metrics.jsonl", [line(0), line(1)]);
    await run.append("rollouts.jsonl", [{ question: "Où est le livre ?" }]);
    await run.advance({ iteration: 0, phase: "solver", step: 2 });
    const before = await readFile(run.path("metrics.jsonl"), "utf8");
    await run.append("metrics.jsonl", [line(2)]);
    await run.append("generator.jsonl", [line(2)]);
    await appendFile(run.path("metrics.jsonl"), '{"step":3,"itera');
    await RunDirectory.open(run.dir, () => 0);
    expect(await readFile(run.path("metrics.jsonl"), "utf8")).toBe(before);
    expect(await readFile(run.path("rollouts.jsonl"), "utf8")).toBe('{"question":"Où est le livre ?"}\n');
    expect(await readFile(run.path("generator.jsonl"), "utf8")).toBe("");
  });

  it("is written as a whole: a half-written manifest is never read", async () => {
    const run = await createRun(toyConfig);
    await writeFile(run.path("run.json.partial"), '{"format":"specdojo-run-1","spec');
    expect((await RunDirectory.open(run.dir, () => 0)).manifest).toEqual(run.manifest);
    await run.advance({ iteration: 0, phase: "candidates", step: 0 });
    expect(await readdir(run.dir)).not.toContain("run.json.partial");
  });

  it("stays where it was when the manifest cannot be written", async () => {
    const run = await createRun(toyConfig);
    await mkdir(run.path("run.json.partial"));
    await expect(run.advance({ iteration: 0, phase: "solver", step: 1 })).rejects.toThrow();
    expect(run.manifest.position).toEqual({ iteration: 0, phase: "generator", step: 0 });
  });
});

describe("folders that cannot be used", () => {
  const at = async (files: Record<string, string>): Promise<string> => {
    const dir = await scratchFolder();
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    return dir;
  };

  it("a run is there", async () => {
    const run = await createRun(toyConfig);
    await run.advance({ iteration: 0, phase: "generator", step: 1 });
    await expect(createRun(toyConfig, run.dir)).rejects.toMatchObject({
      code: "run-exists",
      place: run.dir,
      remedy: expect.stringContaining(`specdojo resume ${run.dir}`),
    });
    expect((await RunDirectory.open(run.dir, () => 0)).manifest).toEqual(run.manifest);
  });

  it("files of others are there, and stay as they are", async () => {
    const dir = await at({ "metrics.jsonl": "mine\n", "tasks.jsonl": "mine\n" });
    await expect(createRun(toyConfig, dir)).rejects.toMatchObject({ code: "folder-not-empty" });
    expect(await readFile(join(dir, "tasks.jsonl"), "utf8")).toBe("mine\n");
  });

  it.each([
    ["empty", {}],
    ["of a run that was killed while it was made", { "run.json.partial": "{" }],
  ])("but a folder that is %s can", async (_, files) => {
    const run = await createRun(toyConfig, await at(files));
    expect((await RunDirectory.open(run.dir, () => 0)).manifest.config).toEqual(toyConfig);
  });

  it("but a folder of a run that finished no step can, and keeps nothing of it", async () => {
    const run = await createRun(toyConfig);
    await writeFile(run.path("tasks.jsonl"), "old\n");
    await run.append("metrics.jsonl", [{ step: 0 }]);
    await createRun({ ...toyConfig, seed: 77 }, run.dir);
    expect((await readdir(run.dir)).sort()).toEqual(["document.json", "run.json"]);
    expect((await RunDirectory.open(run.dir, () => 0)).config.seed).toBe(77);
  });

  it("nor one that such a run shares with other files", async () => {
    const run = await createRun(toyConfig);
    await writeFile(run.path("mine.txt"), "mine\n");
    await expect(createRun(toyConfig, run.dir)).rejects.toMatchObject({ code: "run-exists" });
  });

  it("another process works on it", async () => {
    const run = await createRun(toyConfig);
    const release = await lockRun(run.dir, { make: false });
    await expect(lockRun(run.dir, { make: true })).rejects.toMatchObject({
      code: "run-busy",
      message: expect.stringContaining(String(process.pid)),
    });
    await release();
    await (await lockRun(run.dir, { make: false }))();
    expect(await readdir(run.dir)).not.toContain("run.lock");
  });

  it("a folder to be resumed that is not there is not made", async () => {
    const dir = join(await scratchFolder(), "none");
    await expect(lockRun(dir, { make: false })).rejects.toMatchObject({ code: "run-missing" });
    await (await lockRun(dir, { make: true }))();
    expect(await readdir(dir)).toEqual([]);
  });

  it("a file stands there", async () => {
    const dir = await at({ run: "" });
    await expect(createRun(toyConfig, join(dir, "run"))).rejects.toMatchObject({ code: "not-writable" });
  });

  it.runIf(process.getuid?.() !== 0)("nothing can be written there", async () => {
    const dir = await at({});
    await chmod(dir, 0o555);
    await expect(createRun(toyConfig, join(dir, "run"))).rejects.toMatchObject({ code: "not-writable" });
  });

  it("no run is there", async () => {
    await expect(RunDirectory.open(await at({}), () => 0)).rejects.toMatchObject({ code: "run-missing" });
  });

  it.each([
    ["not JSON", (text: string) => text.slice(0, 40)],
    ["another format", (text: string) => text.replace("specdojo-run-1", "specdojo-run-9")],
    ["a phase that does not exist", (text: string) => text.replace('"generator"', '"dreaming"')],
    ["an option out of range", (text: string) => text.replace('"iterations": 2', '"iterations": 0')],
    ["an option that does not exist", (text: string) => text.replace('"seed"', '"sede"')],
  ])("the manifest is damaged: %s", async (_, damage) => {
    const run = await createRun(toyConfig);
    const path = run.path("run.json");
    const text = await readFile(path, "utf8");
    expect(damage(text)).not.toBe(text);
    await writeFile(path, damage(text));
    await expect(RunDirectory.open(run.dir, () => 0)).rejects.toMatchObject({
      code: "run-damaged",
      place: path,
    });
  });

  it.each([
    ["was changed", (path: string) => appendFile(path, " ")],
    ["is gone", (path: string) => rm(path)],
  ])("the document %s", async (_, damage) => {
    const run = await createRun(toyConfig);
    await damage(run.path("document.json"));
    await expect(RunDirectory.open(run.dir, () => 0)).rejects.toMatchObject({
      code: "run-damaged",
      place: run.path("document.json"),
    });
  });
});
