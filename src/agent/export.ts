import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import type { ToolMenu } from "../openapi/types.js";
import type { PromptStyle } from "../task/prompts.js";
import { SpecdojoError } from "../util/errors.js";
import { writeProblem } from "../util/files.js";
import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import { generateClient } from "./generate-client.js";
import { AGENT_FORMAT, type AgentManifest, manifestSchema } from "./manifest.js";
import { writeMenu } from "./menu-file.js";

export interface ExportOptions {
  /** The folder to make. An exported agent that is there is replaced; anything else is left alone. */
  dir: string;
  menu: ToolMenu;
  solver: {
    /** Folder with the merged weights (safetensors), config and tokenizer files. */
    merged: string;
    /** Folder of the LoRA adapter, if there is one. */
    adapter?: string;
  };
  evaluation: JsonValue;
  /** The self-contained page `report.html`. */
  report?: string;
  /** Version of specdojo. */
  version: string;
  createdAt: Date;
  baseModel: { name: string; licence?: string };
  prompts: PromptStyle;
  /** Default 64 (see `Agent.decide`). */
  maxTools?: number;
  /** Longest completion, in tokens. Default 512. */
  maxTokens?: number;
  training?: JsonObject;
  licences?: { what: string; licence: string }[];
  /** Paths of this machine: where one of them occurs in a text of the export, `…` is written. */
  privatePaths?: readonly string[];
}

/** Files that make up a model; pickles, optimizer states and code stay behind. */
const modelFile = /\.(?:safetensors|json|jinja|txt|model)$/;
const pathKeys = new Set(["_name_or_path", "name_or_path", "base_model_name_or_path", "tokenizer_file"]);

/**
 * Writes an agent as a folder (see `AgentManifest`): first beside `dir`, then moved there as a whole, so that a
 * reader never sees half of one. Returns the manifest.
 * @throws SpecdojoError `export-target` when `dir` holds something else, `export-model` when the model is incomplete.
 */
export async function exportAgent(options: ExportOptions): Promise<AgentManifest> {
  const target = resolve(options.dir);
  await checkTarget(target);
  const partial = join(dirname(target), `.${basename(target)}.partial`);
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  try {
    const files: AgentManifest["files"] = {};
    const put = async (name: string, text: string, hidden = options.privatePaths ?? []): Promise<void> => {
      const data = Buffer.from(hide(text, hidden), "utf8");
      await mkdir(dirname(join(partial, name)), { recursive: true });
      await writeFile(join(partial, name), data);
      files[name] = { sha256: createHash("sha256").update(data).digest("hex"), bytes: data.byteLength };
    };
    // These two hold the document's text and nothing of the machine: an API may well have a path like `/app`.
    await put("tools.json", writeMenu(options.menu), []);
    for (const [name, text] of generateClient(options.menu, { language: "js" }))
      await put(`client/${name}`, text, []);
    await put("evaluation.json", `${JSON.stringify(options.evaluation, undefined, 2)}\n`);
    if (options.report !== undefined) await put("report.html", options.report);
    await copyModel(options.solver.merged, partial, "model", options.baseModel.name, files, put);
    if (
      !("model/config.json" in files) ||
      !Object.keys(files).some((name) => /^model\/.*\.safetensors$/.test(name))
    )
      throw new SpecdojoError(
        "export-model",
        "The solver's folder has no config.json or no safetensors file.",
        {
          place: options.solver.merged,
          remedy: "Give the folder with the merged weights.",
        },
      );
    if (options.solver.adapter !== undefined)
      await copyModel(options.solver.adapter, partial, "adapter", options.baseModel.name, files, put);
    const manifest = manifestSchema.parse({
      formatVersion: AGENT_FORMAT,
      specdojo: options.version,
      createdAt: options.createdAt.toISOString(),
      api: { title: options.menu.title, version: options.menu.version },
      baseModel: { ...options.baseModel, name: publicName(options.baseModel.name) },
      prompts: options.prompts,
      menu: { maxTools: options.maxTools ?? 64 },
      sampling: { maxTokens: options.maxTokens ?? 512 },
      training: options.training ?? {},
      licences: options.licences ?? [],
      files: Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))),
    } satisfies AgentManifest);
    const text = hide(`${JSON.stringify(manifest, undefined, 2)}\n`, options.privatePaths ?? []);
    await writeFile(join(partial, "agent.json"), text);
    await moveInto(partial, target);
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw writeProblem(error, target);
  }
}

async function checkTarget(target: string): Promise<void> {
  const entries = await readdir(target).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === "ENOENT") return [];
    throw new SpecdojoError("export-target", "The export's target cannot be used.", {
      place: target,
      remedy: "Name a folder that does not exist yet.",
      cause: error,
    });
  });
  if (entries.length > 0 && !entries.includes("agent.json"))
    throw new SpecdojoError("export-target", "The folder holds something that is not an exported agent.", {
      place: target,
      remedy: "Name a new or empty folder.",
    });
}

async function moveInto(partial: string, target: string): Promise<void> {
  const old = join(dirname(target), `.${basename(target)}.old`);
  await rm(old, { recursive: true, force: true });
  const had = await rename(target, old).then(
    () => true,
    () => false,
  );
  try {
    await rename(partial, target);
  } catch (error) {
    if (had) await rename(old, target);
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}

async function copyModel(
  from: string,
  partial: string,
  folder: string,
  baseModel: string,
  files: AgentManifest["files"],
  put: (name: string, text: string) => Promise<void>,
): Promise<void> {
  const entries = await readdir(from, { withFileTypes: true }).catch((cause: unknown) => {
    throw new SpecdojoError("export-model", "The solver's folder cannot be read.", { place: from, cause });
  });
  await mkdir(join(partial, folder), { recursive: true });
  for (const entry of entries) {
    const source = join(from, entry.name);
    if (!modelFile.test(entry.name) || !(await stat(source)).isFile()) continue;
    const name = `${folder}/${entry.name}`;
    if (extname(entry.name) === ".json" && entry.name !== "tokenizer.json" && entry.name !== "vocab.json")
      await put(name, withoutPaths(await readFile(source, "utf8"), baseModel));
    else files[name] = await copyHashed(source, join(partial, name));
  }
}

/** Configuration files record where their model was loaded from. */
function withoutPaths(text: string, baseModel: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  if (!isObject(value)) return text;
  let changed = false;
  for (const key of Object.keys(value)) {
    const entry = value[key];
    if (!pathKeys.has(key) || typeof entry !== "string" || publicName(entry) === entry) continue;
    value[key] = publicName(baseModel);
    changed = true;
  }
  return changed ? `${JSON.stringify(value, undefined, 2)}\n` : text;
}

/** A hub name as it is; of a path only its last part. */
function publicName(name: string): string {
  return /^(?:[/~.\\]|[A-Za-z]:)/.test(name) ? basename(name.replaceAll("\\", "/")) : name;
}

function hide(text: string, paths: readonly string[]): string {
  let clean = text;
  for (const path of [...paths].sort((a, b) => b.length - a.length))
    if (path.length > 1) clean = clean.replaceAll(path, "…");
  return clean;
}

async function copyHashed(from: string, to: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  await pipeline(
    createReadStream(from),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        bytes += chunk.byteLength;
        yield chunk;
      }
    },
    createWriteStream(to),
  );
  return { sha256: hash.digest("hex"), bytes };
}
