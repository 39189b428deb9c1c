import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Backend, SamplingClient } from "../backend/types.js";
import type { ToolMenu } from "../openapi/types.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonValue } from "../util/json.js";
import { type Agent, createAgent } from "./agent.js";
import type { ClientOptions, UntypedOperations } from "./client-types.js";
import type { DefinedTool } from "./define-tool.js";
import { ggufFile } from "./gguf/file.js";
import { AGENT_FORMAT, type AgentManifest, manifestSchema } from "./manifest.js";
import { readMenu } from "./menu-file.js";
import { lazySolver, type Solver, samplerSolver } from "./solver.js";

/** Where a solver runs. */
export type Runtime = "gguf" | "worker";

export interface LoadOptions {
  /** Interpreter with torch and transformers for the worker that samples the solver. Default: the one specdojo manages. */
  python?: string;
  /** Every line that the worker writes. */
  onLog?: (line: string) => void;
  /** A running backend to sample on, instead of a worker of the agent's own. It must see the folder. */
  backend?: Backend;
  /** A sampler of these weights, from elsewhere. */
  sampler?: SamplingClient;
  /** Another runtime for the solver. */
  solver?: Solver;
  /**
   * Where the solver runs: in this process from the folder's GGUF file (`gguf`), or in the Python worker (`worker`).
   * Default: in this process where the folder has such a file and node-llama-cpp is installed, otherwise in the worker.
   */
  runtime?: Runtime;
  client?: ClientOptions;
  /** The application's own tools. */
  tools?: readonly DefinedTool[];
  /** `full` (default) reads every file and compares its hash; `sizes` compares sizes only. */
  verify?: "full" | "sizes";
}

/**
 * Reads an exported agent. Nothing is started until the first question.
 * @throws SpecdojoError `agent-missing`, `agent-manifest`, `agent-too-new` or `agent-damaged`, naming the file.
 */
export async function loadAgent<O = UntypedOperations>(
  dir: string,
  options: LoadOptions = {},
): Promise<Agent<O>> {
  const { manifest, menu } = await readAgentFolder(dir, options.verify);
  const evaluation = JSON.parse(await readFile(join(dir, "evaluation.json"), "utf8")) as JsonValue;
  return createAgent<O>({
    menu,
    solver: options.solver ?? lazySolver(() => openSolver(resolve(dir), manifest, options)),
    style: manifest.prompts,
    maxTokens: manifest.sampling.maxTokens,
    maxTools: manifest.menu.maxTools,
    evaluation,
    manifest,
    ...(options.client === undefined ? {} : { client: options.client }),
    ...(options.tools === undefined ? {} : { tools: options.tools }),
  });
}

/** The checked manifest and the menu of an exported agent. Throws as `loadAgent` does. */
export async function readAgentFolder(
  dir: string,
  verify: "full" | "sizes" = "full",
): Promise<{ manifest: AgentManifest; menu: ToolMenu }> {
  const manifest = await readManifest(dir);
  await verifyFiles(dir, manifest, verify);
  const place = join(dir, "tools.json");
  return { manifest, menu: readMenu(await readFile(place, "utf8"), place) };
}

/** The folder of the exported agent: `dir` itself, or the one inside the folder of a run. */
export function agentFolder(dir: string): string {
  const inside = join(dir, "agent");
  return !existsSync(join(dir, "agent.json")) && existsSync(join(inside, "agent.json")) ? inside : dir;
}

/** Starts the solver of an exported agent. */
export async function openSolver(
  dir: string,
  manifest: AgentManifest,
  options: LoadOptions,
): Promise<Solver> {
  const { loadTokenizer } = await import("../rollout/tokenizer.js");
  const model = join(dir, "model");
  const tokenizer = await loadTokenizer(model);
  if ((await chooseRuntime(manifest, options)) === "gguf") {
    const { ggufSolver } = await import("./gguf/solver.js");
    return ggufSolver({ file: join(dir, ggufFile), tokenizer, style: manifest.prompts });
  }
  const style = manifest.prompts;
  if (options.sampler !== undefined) return samplerSolver(options.sampler, tokenizer, { style });
  if (options.backend !== undefined)
    return samplerSolver(await options.backend.createSampler({ baseModel: model }), tokenizer, { style });
  const { startWorker } = await import("../backend/worker.js");
  const { python, onLog } = options;
  const worker = await startWorker({
    ...(python === undefined ? {} : { python }),
    ...(onLog === undefined ? {} : { onLog }),
  });
  try {
    const sampler = await worker.createSampler({ baseModel: model });
    return samplerSolver(sampler, tokenizer, { style, close: () => worker.close() });
  } catch (error) {
    await worker.close();
    throw error;
  }
}

/** Where an agent's solver will run with these options. */
export async function chooseRuntime(manifest: AgentManifest, options: LoadOptions): Promise<Runtime> {
  if (options.runtime !== undefined) return options.runtime;
  if (options.sampler !== undefined || options.backend !== undefined) return "worker";
  if (!Object.hasOwn(manifest.files, ggufFile)) return "worker";
  const { hasLlama } = await import("./gguf/llama.js");
  return (await hasLlama()) ? "gguf" : "worker";
}

export async function readManifest(dir: string): Promise<AgentManifest> {
  const place = join(dir, "agent.json");
  const text = await readFile(place, "utf8").catch((cause: unknown) => {
    throw new SpecdojoError("agent-missing", "There is no exported agent here.", {
      place,
      remedy: "Name the folder that `specdojo bootstrap` or `exportAgent` wrote.",
      cause,
    });
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SpecdojoError("agent-manifest", "The agent's manifest is not JSON.", {
      place,
      remedy: "Export again.",
      cause,
    });
  }
  if (isObject(value) && typeof value.formatVersion === "number" && value.formatVersion > AGENT_FORMAT)
    throw new SpecdojoError(
      "agent-too-new",
      `The agent has format ${value.formatVersion}; this version of specdojo reads up to ${AGENT_FORMAT}.`,
      { place, remedy: "Update specdojo." },
    );
  const manifest = manifestSchema.safeParse(value);
  if (manifest.success) return manifest.data;
  const [issue] = manifest.error.issues;
  throw new SpecdojoError(
    "agent-manifest",
    `The agent's manifest is not valid: /${issue?.path.join("/")}: ${issue?.message}.`,
    {
      place,
      remedy: "Export again.",
    },
  );
}

const required = ["tools.json", "evaluation.json", "model/config.json"];

async function verifyFiles(dir: string, manifest: AgentManifest, how: "full" | "sizes"): Promise<void> {
  const damaged = (place: string, message: string): SpecdojoError =>
    new SpecdojoError("agent-damaged", message, { place, remedy: "Copy the folder again, or export again." });
  for (const name of required)
    if (!Object.hasOwn(manifest.files, name))
      throw damaged(join(dir, name), "The manifest does not list this file.");
  for (const [name, { sha256, bytes }] of Object.entries(manifest.files)) {
    const path = join(dir, name);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || !found.isFile()) throw damaged(path, "A file of the agent is missing.");
    if (found.size !== bytes)
      throw damaged(path, `A file of the agent has ${found.size} bytes instead of ${bytes}.`);
    if (how === "full" && (await hashOf(path)) !== sha256)
      throw damaged(path, "A file of the agent was changed: its hash differs.");
  }
  // A model loader picks up what lies in its folder, so nothing may lie there that was not exported.
  for (const folder of ["model", "adapter"])
    for (const name of await readdir(join(dir, folder)).catch(() => []))
      if (!Object.hasOwn(manifest.files, `${folder}/${name}`))
        throw damaged(
          join(dir, folder, name),
          "A file lies in the model's folder that the manifest does not list.",
        );
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
