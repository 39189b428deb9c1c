import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { agentFolder } from "../agent/load.js";
import { manifestSchema } from "../agent/manifest.js";
import { type Solver, samplerSolver } from "../agent/solver.js";
import { ensureEnvironment } from "../backend/environment.js";
import type { Backend } from "../backend/types.js";
import { packagedWorkerDir, startWorker } from "../backend/worker.js";
import { resolveModel } from "../rollout/model-files.js";
import { loadTokenizer } from "../rollout/tokenizer.js";
import { briefStyle, fullStyle, type PromptStyle } from "../task/prompts.js";
import { SpecdojoError } from "../util/errors.js";

/** The name of the model that comes with this package. */
export const bundledModel = "bundled";

/** A model on this machine, ready to be asked. */
export interface LocalModel {
  solver: Solver;
  style: PromptStyle;
  maxTokens: number;
}

/** One worker that samples any number of local models. */
export interface LocalModels {
  backend: Backend;
  /**
   * Opens an exported agent's folder, a folder of weights, a name of the Hugging Face Hub, or `bundled`, the model that
   * comes with this package. Throws `SpecdojoError` as `resolveModel` and `loadTokenizer` do.
   */
  open(name: string): Promise<LocalModel>;
  close(): Promise<void>;
}

export interface LocalOptions {
  /** Interpreter for the worker; default: the environment that this package manages. */
  python?: string | undefined;
  /** What a person may want to see while that environment is made. */
  onProgress?: (line: string) => void;
}

const modelNote = z.looseObject({ prompts: z.enum(["brief", "full"]).optional() });

/** The prompts that a folder of weights was trained on, as its `specdojo.json` says; without one, the full ones. */
export async function styleOf(folder: string): Promise<PromptStyle> {
  const text = await readFile(join(folder, "specdojo.json"), "utf8").catch(() => undefined);
  if (text === undefined) return fullStyle;
  try {
    return modelNote.parse(JSON.parse(text)).prompts === "brief" ? briefStyle : fullStyle;
  } catch (cause) {
    throw new SpecdojoError("model-unreadable", "The model's specdojo.json cannot be read.", {
      place: join(folder, "specdojo.json"),
      remedy: 'Write {"prompts":"brief"} or {"prompts":"full"}, or take the file away.',
      cause,
    });
  }
}

async function locate(
  name: string,
  python: string,
): Promise<Omit<LocalModel, "solver"> & { folder: string }> {
  const exported = agentFolder(name);
  if (existsSync(join(exported, "agent.json"))) {
    const manifest = manifestSchema.parse(JSON.parse(await readFile(join(exported, "agent.json"), "utf8")));
    return {
      folder: join(exported, "model"),
      style: manifest.prompts,
      maxTokens: manifest.sampling.maxTokens,
    };
  }
  const wanted = name === bundledModel ? join(packagedWorkerDir(), "base-model") : name;
  const folder = await resolveModel(wanted, { python: async () => python });
  return { folder, style: await styleOf(folder), maxTokens: 512 };
}

/** Starts the worker; `close` ends it and removes what it kept. */
export async function startLocalModels(options: LocalOptions = {}): Promise<LocalModels> {
  const { onProgress } = options;
  const python =
    options.python ?? (await ensureEnvironment(onProgress === undefined ? {} : { onProgress })).python;
  const worker = await startWorker({ python });
  return {
    backend: worker,
    async open(name) {
      const { folder, style, maxTokens } = await locate(name, python);
      const tokenizer = await loadTokenizer(folder);
      const sampler = await worker.createSampler({ baseModel: folder });
      return { solver: samplerSolver(sampler, tokenizer), style, maxTokens };
    },
    close: () => worker.close(),
  };
}
