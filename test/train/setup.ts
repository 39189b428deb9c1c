import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadTokenizer, type Tokenizer } from "../../src/rollout/tokenizer.js";
import { type RunConfig, type RunContext, RunDirectory, smallConfig } from "../../src/train/index.js";
import { silentProgress } from "../../src/util/progress.js";
import type { FakeBackend } from "./fake-backend.js";
import { libraryDocument, libraryMenu } from "./library.js";

export const tokenizerDir = fileURLToPath(new URL("../fixtures/tokenizer/brief", import.meta.url));
export const toyTokenizer = (): Promise<Tokenizer> => loadTokenizer(tokenizerDir);

/** Two iterations, a few steps each. */
export const toyConfig: RunConfig = {
  ...smallConfig,
  seed: 3,
  model: "toy",
  iterations: 2,
  generator: { ...smallConfig.generator, steps: 3, groups: 3, groupSize: 4, probes: 4, learningRate: 2 },
  candidates: { ...smallConfig.candidates, specs: 16, perSpec: 1, probes: 4, keep: 12 },
  solver: {
    ...smallConfig.solver,
    steps: 5,
    groups: 3,
    groupSize: 4,
    learningRate: 2,
    replay: 0,
    deployedMenu: 0.5,
  },
  checkpointEvery: 2,
  maxTools: 8,
};

const menu = await libraryMenu();
const scratch: string[] = [];

export async function scratchFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "specdojo-train-"));
  scratch.push(dir);
  return dir;
}

export async function removeScratch(): Promise<void> {
  for (const dir of scratch.splice(0)) await rm(dir, { recursive: true, force: true });
}

export const createRun = async (config: RunConfig, dir?: string): Promise<RunDirectory> =>
  RunDirectory.create({
    dir: dir ?? join(await scratchFolder(), "run"),
    config,
    document: structuredClone(libraryDocument),
    title: "Town library",
    version: "1.0",
    specdojo: "0.0.0",
    now: () => 0,
  });

export async function contextOf(
  run: RunDirectory,
  backend: FakeBackend,
  tokenizer: Tokenizer,
  change: Partial<RunContext> = {},
): Promise<RunContext> {
  return {
    config: run.config,
    menu,
    baseModel: "toy",
    backend,
    tokenizer,
    run,
    replay: [],
    progress: silentProgress,
    signal: new AbortController().signal,
    ...change,
  };
}

/** Every file of a run by its path, but for the manifest. */
export async function filesOf(run: RunDirectory): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const entry of await readdir(run.dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && entry.name !== "run.json")
      files[path.slice(run.dir.length + 1)] = await readFile(path, "utf8");
  }
  return files;
}

/** The lines of metrics.jsonl. */
export async function metricsOf(run: RunDirectory): Promise<MetricLine[]> {
  const text = await readFile(run.path("metrics.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as MetricLine);
}

export type MetricLine = { role: string; phase: string; iteration: number; step: number } & {
  [name: string]: number | undefined;
};
