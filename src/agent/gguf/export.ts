import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { ensureEnvironment } from "../../backend/environment.js";
import { runProcess } from "../../backend/process.js";
import { lastJson } from "../../backend/python.js";
import { packagedWorkerDir } from "../../backend/worker.js";
import { SpecdojoError } from "../../util/errors.js";
import { writeAtomic, writeProblem } from "../../util/files.js";
import { readManifest } from "../load.js";
import { manifestSchema } from "../manifest.js";
import { ggufFile } from "./file.js";

/** The version of the Python package `gguf` that the writer is tested with; that of `worker/requirements.lock`. */
export const ggufVersion = "0.19.0";

export const ggufTypes = ["auto", "f32", "f16", "bf16", "q8_0"] as const;
export type GgufType = (typeof ggufTypes)[number];

export interface WriteGgufOptions {
  /** A model's folder as transformers reads it. */
  model: string;
  /** The file to write; one that is there is replaced. */
  out: string;
  /** Type of the weights. Default `auto`: f32 for models below 200 M parameters, whose answers stay the same, else bf16. */
  type?: GgufType;
  /** Interpreter with the worker's packages and `gguf`. Default: the one specdojo manages. */
  python?: string | undefined;
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

const report = z.object({
  tensors: z.int(),
  parameters: z.int(),
  bytes: z.int(),
  type: z.enum(["f32", "f16", "bf16", "q8_0"]),
});
export type GgufReport = z.infer<typeof report>;

/**
 * Writes a Qwen2, Qwen3 or Llama model as a GGUF file.
 * @throws SpecdojoError `gguf-missing-package` or `gguf-failed`, or those of `ensureEnvironment`.
 */
export async function writeGguf(options: WriteGgufOptions): Promise<GgufReport> {
  const { onProgress, signal } = options;
  const { python } = await ensureEnvironment({
    ...(options.python === undefined ? {} : { python: options.python }),
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(signal === undefined ? {} : { signal }),
  });
  const out = resolve(options.out);
  await mkdir(dirname(out), { recursive: true }).catch((cause: unknown) => {
    throw writeProblem(cause, out);
  });
  const module = "specdojo_worker.gguf_export";
  const args = ["-m", module, resolve(options.model), out, "--type", options.type ?? "auto"];
  const result = await runProcess(python, args, {
    signal,
    env: {
      ...process.env,
      PYTHONPATH: packagedWorkerDir(),
      PYTHONSAFEPATH: "1",
      PYTHONDONTWRITEBYTECODE: "1",
    },
  });
  const read = report.safeParse(lastJson(result.stdout));
  if (result.code === 0 && read.success) return read.data;
  if (/No module named '?gguf'?/.test(result.tail))
    throw new SpecdojoError("gguf-missing-package", "This Python lacks the package gguf.", {
      place: python,
      remedy: `Install it: ${python} -m pip install gguf==${ggufVersion}`,
    });
  const last = result.tail.split("\n").at(-1) ?? "";
  throw new SpecdojoError(
    "gguf-failed",
    `The model cannot be written as GGUF: ${last || `exit ${result.code}`}`,
    {
      place: options.model,
      remedy: "Read the line above.",
    },
  );
}

/** Adds the solver of an exported agent to its folder as GGUF, and to its manifest. */
export async function exportGguf(
  dir: string,
  options: Omit<WriteGgufOptions, "model" | "out"> = {},
): Promise<GgufReport> {
  const manifest = await readManifest(dir);
  const file = join(dir, ggufFile);
  // The manifest's hash must never speak of a file that is only half there.
  const fresh = join(dirname(file), `.${basename(file)}.new`);
  try {
    const written = await writeGguf({ ...options, model: join(dir, "model"), out: fresh });
    const files = { ...manifest.files, [ggufFile]: await measure(fresh) };
    const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
    const next = manifestSchema.parse({ ...manifest, files: sorted });
    await rename(fresh, file);
    await writeAtomic(join(dir, "agent.json"), `${JSON.stringify(next, undefined, 2)}\n`);
    return written;
  } finally {
    await rm(fresh, { force: true });
  }
}

async function measure(file: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return { sha256: hash.digest("hex"), bytes: (await stat(file)).size };
}
