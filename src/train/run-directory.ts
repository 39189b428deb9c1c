import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import { SpecdojoError } from "../util/errors.js";
import { appendLines, cutTo, sizeOf, writeAtomic, writeProblem } from "../util/files.js";
import type { JsonValue } from "../util/json.js";
import { takeLock } from "../util/lock.js";
import { type RunConfig, runConfigSchema } from "./config.js";

export const phases = ["generator", "candidates", "solver", "measure", "baseline", "export", "done"] as const;

const manifestSchema = z.object({
  format: z.literal("specdojo-run-1"),
  specdojo: z.string(),
  createdAt: z.iso.datetime(),
  config: runConfigSchema,
  document: z.object({ title: z.string(), version: z.string(), sha256: z.string() }),
  /** The next step to do; all before it is finished and saved. `iteration` counts from 0. */
  position: z.object({
    iteration: z.int().nonnegative(),
    phase: z.enum(phases),
    step: z.int().nonnegative(),
  }),
  /** Where training goes on: paths of the backend. */
  checkpoints: z.object({
    generator: z.string().optional(),
    solver: z.string().optional(),
    baseline: z.string().optional(),
  }),
  /** The frozen Solver that iteration i plays against; entry 0 is null, the base model. */
  opponents: z.array(z.string().nullable()),
  /** Sizes of the files that are appended to, in bytes, at the last finished step. */
  sizes: z.record(z.string(), z.int().nonnegative()),
  /** Seconds of work so far, over all starts. */
  seconds: z.number().nonnegative(),
});
export type RunManifest = z.infer<typeof manifestSchema>;
export type RunPosition = RunManifest["position"];

/** Files that grow line by line: numbers of each step, tasks with what the Solver wrote, what the Generator wrote. */
const appended = ["metrics.jsonl", "rollouts.jsonl", "generator.jsonl"] as const;

const lockFile = "run.lock";

/** What a run that has finished no step may have written. */
const beginnings = new Set<string>([
  "run.json",
  "run.json.partial",
  "tasks.jsonl",
  "tasks.jsonl.partial",
  "document.json",
  "document.json.partial",
  "checkpoints",
  ...appended,
]);

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Empties the folder of a run that has finished no step: it failed at its start, or was killed then. */
async function makeFree(dir: string, named: string): Promise<void> {
  const entries = (await readdir(dir).catch((): string[] => [])).filter((name) => name !== lockFile);
  const manifest = entries.includes("run.json") ? await readFile(join(dir, "run.json"), "utf8") : undefined;
  const others = entries.filter((name) => !beginnings.has(name));
  if (manifest !== undefined && !(isUntouched(manifest) && others.length === 0))
    throw new SpecdojoError("run-exists", "The folder holds a run already", {
      place: dir,
      remedy: `Go on with it: specdojo resume ${named}, or name another folder with --out.`,
    });
  // Without a manifest, files of these names may be the user's.
  if (manifest === undefined && entries.some((name) => name !== "run.json.partial"))
    throw new SpecdojoError("folder-not-empty", "The folder holds files of others", {
      place: dir,
      remedy: "Name a new or empty folder with --out.",
    });
  for (const name of entries) await rm(join(dir, name), { recursive: true, force: true });
}

function isUntouched(text: string): boolean {
  try {
    const { position, checkpoints } = manifestSchema.parse(JSON.parse(text));
    const { iteration, phase, step } = position;
    return iteration === 0 && phase === "generator" && step === 0 && Object.values(checkpoints).length === 0;
  } catch {
    return false;
  }
}

const runMissing = (dir: string, cause: unknown): SpecdojoError =>
  new SpecdojoError("run-missing", "The folder holds no run", {
    place: dir,
    remedy: "Name a folder that `specdojo bootstrap FILE --out DIR` made.",
    cause,
  });

/**
 * Makes sure that one process works on the folder; returns the release. The lock of a process that is gone is taken over.
 * `make`: a folder that is not there is made.
 * @throws SpecdojoError `run-busy`, `run-missing`, `not-writable`.
 */
export async function lockRun(dir: string, { make }: { make: boolean }): Promise<() => Promise<void>> {
  const file = join(resolve(dir), lockFile);
  try {
    if (make) await mkdir(resolve(dir), { recursive: true });
  } catch (cause) {
    throw writeProblem(cause, resolve(dir));
  }
  const taken = await takeLock(file).catch((cause: NodeJS.ErrnoException) => {
    throw ["ENOENT", "ENOTDIR"].includes(cause.code ?? "")
      ? runMissing(dir, cause)
      : writeProblem(cause, file);
  });
  if (typeof taken !== "number") return taken;
  throw new SpecdojoError("run-busy", `Process ${taken} is working on this run`, {
    place: resolve(dir),
    remedy: `Wait for it, or stop it first. If it is none of specdojo, remove ${file}`,
  });
}

/**
 * A run's folder. `run.json` is the one truth of how far it is, written as a whole after each finished step; what a
 * killed step left in other files is cut off when the run is opened again.
 */
export class RunDirectory {
  readonly dir: string;
  #manifest: RunManifest;
  #since: number;
  readonly #now: () => number;

  private constructor(dir: string, manifest: RunManifest, now: () => number) {
    this.dir = dir;
    this.#manifest = manifest;
    this.#now = now;
    this.#since = now();
  }

  get manifest(): Readonly<RunManifest> {
    return this.#manifest;
  }

  get config(): RunConfig {
    return this.#manifest.config;
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  /** @throws SpecdojoError `run-exists` when the folder holds a run, `folder-not-empty` when it holds files that a run would mix with its own. */
  static async create(options: {
    dir: string;
    config: RunConfig;
    /** The OpenAPI document as JSON; kept so that a run can be resumed and exported without the original. */
    document: JsonValue;
    /** The user's tasks to measure on, as JSONL. */
    tasks?: string | undefined;
    title: string;
    version: string;
    specdojo: string;
    now: () => number;
  }): Promise<RunDirectory> {
    const dir = resolve(options.dir);
    await makeFree(dir, options.dir);
    const text = JSON.stringify(options.document);
    const manifest: RunManifest = {
      format: "specdojo-run-1",
      specdojo: options.specdojo,
      createdAt: new Date(options.now()).toISOString(),
      config: options.config,
      document: {
        title: options.title,
        version: options.version,
        sha256: sha256(text),
      },
      position: { iteration: 0, phase: "generator", step: 0 },
      checkpoints: {},
      opponents: [null],
      sizes: {},
      seconds: 0,
    };
    const run = new RunDirectory(dir, manifest, options.now);
    await run.#save();
    if (options.tasks !== undefined) await writeAtomic(join(dir, "tasks.jsonl"), options.tasks);
    // Last: a folder without it cannot be resumed.
    await writeAtomic(join(dir, "document.json"), text);
    return run;
  }

  /** @throws SpecdojoError `run-missing`, `run-damaged`. */
  static async open(dir: string, now: () => number): Promise<RunDirectory> {
    const path = join(resolve(dir), "run.json");
    const text = await readFile(path, "utf8").catch((cause: unknown) => {
      throw runMissing(dir, cause);
    });
    let manifest: RunManifest;
    try {
      manifest = manifestSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new SpecdojoError("run-damaged", "The run's manifest cannot be read", {
        place: path,
        remedy: "Restore run.json, or start again in another folder.",
        cause,
      });
    }
    const document = await readFile(join(resolve(dir), "document.json"), "utf8").catch(() => "");
    if (sha256(document) !== manifest.document.sha256)
      throw new SpecdojoError(
        "run-damaged",
        "The run's copy of the OpenAPI document was changed or is missing",
        {
          place: join(resolve(dir), "document.json"),
          remedy: "Restore document.json, or start again in another folder.",
        },
      );
    const run = new RunDirectory(resolve(dir), manifest, now);
    for (const name of appended) await cutTo(run.path(name), manifest.sizes[name] ?? 0);
    return run;
  }

  /** Appends lines; they count once `advance` has been called. */
  append(name: (typeof appended)[number], values: readonly unknown[]): Promise<void> {
    return appendLines(this.path(name), values);
  }

  /** Everything before `position` is done. */
  async advance(
    position: RunPosition,
    change: Partial<Pick<RunManifest, "checkpoints" | "opponents">> = {},
  ): Promise<void> {
    const sizes: Record<string, number> = {};
    for (const name of appended) sizes[name] = await sizeOf(this.path(name));
    const now = this.#now();
    const next = {
      ...this.#manifest,
      ...change,
      position,
      sizes,
      seconds: this.#manifest.seconds + (now - this.#since) / 1000,
    };
    const before = this.#manifest;
    this.#manifest = next;
    try {
      await this.#save();
    } catch (error) {
      this.#manifest = before;
      throw error;
    }
    this.#since = now;
  }

  #save(): Promise<void> {
    return writeAtomic(this.path("run.json"), `${JSON.stringify(this.#manifest, undefined, 2)}\n`);
  }
}
