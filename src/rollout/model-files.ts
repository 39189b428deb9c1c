import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { runProcess } from "../backend/process.js";
import { lastJson } from "../backend/python.js";
import { SpecdojoError } from "../util/errors.js";

export interface ResolveModelOptions {
  /** The worker's interpreter, for a download; only asked for when one is needed. */
  python: () => Promise<string>;
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
  /** Default: `process.env`; read for the Hub's cache folder. */
  env?: NodeJS.ProcessEnv;
}

/**
 * The absolute folder of a model: a folder as it is, or a name of the Hugging Face Hub (`Qwen/Qwen2.5-1.5B-Instruct`)
 * from its local cache, downloaded when it is not there. Throws `SpecdojoError` with code `model-missing`,
 * `model-incomplete`, `network-down`, `disk-full` or `model-download-failed`.
 */
export async function resolveModel(name: string, options: ResolveModelOptions): Promise<string> {
  const folder = resolve(name);
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory()) {
    const missing = await missingParts(folder);
    if (missing.length === 0) return folder;
    throw new SpecdojoError("model-incomplete", `The model's folder lacks ${missing.join(" and ")}.`, {
      place: folder,
      remedy: "Give a folder in the layout of transformers, as save_pretrained writes it.",
    });
  }
  if (!/^[\w.-]+\/[\w.-]+$/.test(name) || name.startsWith(".") || name.startsWith("-"))
    throw new SpecdojoError(
      "model-missing",
      `"${name}" is neither a folder nor a name of the Hugging Face Hub.`,
      {
        place: folder,
        remedy: "Give a folder with a model, or a name like Qwen/Qwen2.5-1.5B-Instruct.",
      },
    );
  return (await cachedSnapshot(name, options.env ?? process.env)) ?? (await download(name, options));
}

/** The model that comes with this package. */
export const bundledModelDir = (): string =>
  fileURLToPath(new URL("../../worker/base-model", import.meta.url));

/** What a model's folder needs to be loaded and is not there. */
export async function missingParts(folder: string): Promise<string[]> {
  const missing = ["config.json", "tokenizer.json"].filter((file) => !existsSync(join(folder, file)));
  const index = await readFile(join(folder, "model.safetensors.index.json"), "utf8").catch(() => undefined);
  if (index !== undefined) {
    const shards = new Set(Object.values(indexFile.parse(JSON.parse(index)).weight_map));
    missing.push(...[...shards].filter((shard) => !existsSync(join(folder, shard))));
  } else if (!(await readdir(folder)).some((file) => file.endsWith(".safetensors")))
    missing.push("*.safetensors");
  return missing;
}
const indexFile = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** The complete snapshot of the main branch in the Hub's cache. */
async function cachedSnapshot(name: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const cache =
    env.HF_HUB_CACHE ??
    join(env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface"), "hub");
  const repository = join(cache, `models--${name.replace("/", "--")}`);
  const revision = await readFile(join(repository, "refs", "main"), "utf8").catch(() => undefined);
  if (revision === undefined) return undefined;
  const snapshot = join(repository, "snapshots", revision.trim());
  const missing = await missingParts(snapshot).catch(() => ["all"]);
  return missing.length === 0 ? snapshot : undefined;
}

const script = `
import json, sys
from huggingface_hub import snapshot_download
path = snapshot_download(sys.argv[1], allow_patterns=["*.json", "*.jinja", "*.safetensors", "LICENSE*", "README.md"])
print(json.dumps({"path": path}))
`;

async function download(name: string, options: ResolveModelOptions): Promise<string> {
  const python = await options.python();
  options.onProgress?.(`Downloading ${name} from the Hugging Face Hub.`);
  const result = await runProcess(python, ["-c", script, name], {
    onLine: options.onProgress,
    signal: options.signal,
    env: { ...process.env, ...options.env, PYTHONSAFEPATH: "1", PYTHONUNBUFFERED: "1" },
  });
  const reply = z.object({ path: z.string() }).safeParse(lastJson(result.stdout));
  if (result.code === 0 && reply.success) {
    const missing = await missingParts(reply.data.path);
    if (missing.length === 0) return reply.data.path;
    throw new SpecdojoError("model-incomplete", `The model ${name} has no ${missing.join(" and no ")}.`, {
      place: reply.data.path,
      remedy: "Choose a model that has safetensors and a fast tokenizer.",
    });
  }
  throw downloadProblem(name, result.tail);
}

function downloadProblem(name: string, tail: string): SpecdojoError {
  const place = `https://huggingface.co/${name}`;
  if (/GatedRepo|401 Client Error|403 Client Error/.test(tail))
    return new SpecdojoError("model-missing", `The Hub does not give ${name} to you.`, {
      place,
      remedy:
        "Check the name; accept the model's licence there and set HF_TOKEN when it is gated or private.",
    });
  if (/RepositoryNotFound|404 Client Error/.test(tail))
    return new SpecdojoError("model-missing", `The Hub has no model ${name}.`, {
      place,
      remedy: "Check the name.",
    });
  if (/No space left on device|Errno 28/.test(tail))
    return new SpecdojoError("disk-full", `No space is left for the model ${name}.`, {
      place,
      remedy: "Free some space, or set HF_HOME to a folder on another disk.",
    });
  if (
    /Connect(ion)?(Error|Timeout|Refused)|LocalEntryNotFound|OfflineModeIsEnabled|name resolution|ReadTimeout|ProxyError|Network is unreachable/i.test(
      tail,
    )
  )
    return new SpecdojoError(
      "network-down",
      `The model ${name} is not on this machine, and the Hub cannot be reached.`,
      {
        place,
        remedy: "Check the network, or give a folder that holds the model.",
      },
    );
  if (/No module named '?huggingface_hub/.test(tail))
    return new SpecdojoError("environment-incomplete", "This Python lacks huggingface_hub.", {
      remedy: "Install it with pip, or download the model and give its folder.",
    });
  const last = tail.split("\n").slice(-5).join("\n");
  return new SpecdojoError("model-download-failed", `The model ${name} could not be downloaded.\n${last}`, {
    place,
    remedy: "Read the lines above, or download the model and give its folder.",
  });
}
