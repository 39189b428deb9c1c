import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { agentFolder } from "../agent/load.js";
import { manifestSchema } from "../agent/manifest.js";
import { type Solver, samplerSolver } from "../agent/solver.js";
import { ensureEnvironment } from "../backend/environment.js";
import { sampleFitting } from "../backend/fitting.js";
import type { Backend, SamplingClient } from "../backend/types.js";
import { packagedWorkerDir, startWorker } from "../backend/worker.js";
import { resolveModel } from "../rollout/model-files.js";
import { loadTokenizer, type Tokenizer } from "../rollout/tokenizer.js";
import { briefStyle, fullStyle, type PromptStyle } from "../task/prompts.js";
import { SpecdojoError } from "../util/errors.js";
import type { PromptModel } from "./models.js";

/** The name of the model that comes with this package. */
export const bundledModel = "bundled";

/** A model on this machine, ready to be asked. */
export interface LocalModel {
  solver: Solver;
  style: PromptStyle;
  maxTokens: number;
}

/** The same, for benchmarks. */
export interface LocalBenchModel extends Omit<LocalModel, "solver"> {
  /** Also draws at a temperature, and shows tools through the model's own chat template. */
  sampler: PromptModel;
  /** Hash of the folder's files. */
  fingerprint: string;
  /** Whether the chat template takes tools. */
  takesTools: boolean;
}

/** One worker that samples any number of local models. */
export interface LocalModels {
  backend: Backend;
  /**
   * Opens an exported agent's folder, a folder of weights, a name of the Hugging Face Hub, or `bundled`, the model that
   * comes with this package. Throws `SpecdojoError` as `resolveModel` and `loadTokenizer` do.
   */
  open(name: string): Promise<LocalModel>;
  /** The same, for benchmarks. */
  openBench(name: string): Promise<LocalBenchModel>;
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
      return { solver: samplerSolver(sampler, tokenizer, { style }), style, maxTokens };
    },
    async openBench(name) {
      const { folder, style, maxTokens } = await locate(name, python);
      const tokenizer = await loadTokenizer(folder);
      const sampler = await worker.createSampler({ baseModel: folder });
      return {
        sampler: samplerModel(sampler, tokenizer),
        style,
        maxTokens,
        fingerprint: await fingerprintOf(folder),
        takesTools: await takesTools(folder),
      };
    },
    close: () => worker.close(),
  };
}

/** Samples prompts in one batch, each with its own seed; tools go to the chat template. */
function samplerModel(sampler: SamplingClient, tokenizer: Tokenizer): PromptModel {
  return {
    async complete(prompts, { maxTokens, temperature = 0, seeds, tools }) {
      const stop = [...tokenizer.stopTokens];
      const requests = prompts.map((messages, i) => ({
        // Templates take any JSON, though ours are typed for the scalars that they otherwise need.
        prompt: tokenizer.renderChat(
          [...messages],
          tools === undefined ? {} : { variables: { tools: tools[i] as never } },
        ),
        count: 1,
        params: { maxTokens, temperature, stop, ...(seeds === undefined ? {} : { seed: seeds[i] ?? 0 }) },
      }));
      const answers = await sampleFitting(sampler, requests, tokenizer.contextLength);
      return answers.map(([answer], i) => {
        const { tokens, stopReason } = answer ?? { tokens: [], stopReason: "length" };
        const last = tokens.at(-1);
        return {
          text: tokenizer.decode(last !== undefined && stop.includes(last) ? tokens.slice(0, -1) : tokens),
          tokens: { prompt: requests[i]?.prompt.length ?? 0, completion: tokens.length },
          truncated: stopReason === "length",
        };
      });
    },
    close: async () => undefined,
  };
}

/** Files up to this size are hashed whole; of larger ones size and time of change count. */
const hashedWhole = 64 * 1024 * 1024;

async function fingerprintOf(folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(folder)).sort()) {
    const info = await stat(join(folder, name));
    if (!info.isFile()) continue;
    hash.update(`\n${name} ${info.size} `);
    if (info.size <= hashedWhole) hash.update(await readFile(join(folder, name)));
    else hash.update(String(info.mtimeMs));
  }
  return hash.digest("hex");
}

async function takesTools(folder: string): Promise<boolean> {
  for (const name of ["chat_template.jinja", "tokenizer_config.json"]) {
    const text = await readFile(join(folder, name), "utf8").catch(() => "");
    if (/\btools\b/.test(text)) return true;
  }
  return false;
}
