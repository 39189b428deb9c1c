import { existsSync } from "node:fs";
import { access, constants, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { SpecdojoError } from "../util/errors.js";
import {
  cacheFolder,
  ensureEnvironment,
  environmentFolder,
  installCommand,
  packagedLockFile,
  pythonIn,
} from "./environment.js";
import { runProcess } from "./process.js";
import {
  checkPackages,
  choosePython,
  findPythons,
  inspectPython,
  isAtLeast,
  lastJson,
  pythonCandidates,
} from "./python.js";
import { packagedWorkerDir } from "./worker.js";

/** One thing that was looked at. */
export interface Check {
  name: string;
  status: "ok" | "problem";
  detail: string;
  remedy?: string;
}

export interface DiagnoseOptions {
  /** The interpreter of `--python`. */
  python?: string;
  /** Where runs are written; default: the current folder. */
  outDir?: string;
  cacheDir?: string;
  lockFile?: string;
  candidates?: readonly string[];
  workerDir?: string;
  nodeVersion?: string;
}

const minimumNode = "20.19";
/** What the Python environment takes, in bytes. */
const environmentSize = 3e9;
/** What a run with the bundled model takes, in bytes. */
const runSize = 5e8;

/** Looks at everything that a run needs on this machine, save the model. Starts nothing and changes nothing. */
export async function diagnose(options: DiagnoseOptions = {}): Promise<Check[]> {
  const cacheDir = resolve(options.cacheDir ?? cacheFolder());
  const outDir = resolve(options.outDir ?? ".");
  const checks = [checkNode(options.nodeVersion ?? process.versions.node)];
  const { python, toBeMade } = await checkPython(options, cacheDir, checks);
  if (python !== undefined) checks.push(await checkTorch(python, options.workerDir ?? packagedWorkerDir()));
  checks.push(await checkSpace("disk space for runs", outDir, runSize));
  if (toBeMade) checks.push(await checkSpace("disk space for Python packages", cacheDir, environmentSize));
  checks.push(await checkWritable("runs folder", outDir));
  if (options.python === undefined) checks.push(await checkWritable("cache folder", cacheDir));
  return checks;
}

function checkNode(version: string): Check {
  const name = "Node";
  if (isAtLeast(version, minimumNode)) return { name, status: "ok", detail: version };
  return { name, status: "problem", detail: version, remedy: `Install Node ${minimumNode} or newer.` };
}

async function checkPython(
  options: DiagnoseOptions,
  cacheDir: string,
  checks: Check[],
): Promise<{ python: string | undefined; toBeMade: boolean }> {
  const nothing = { python: undefined, toBeMade: false };
  if (options.python !== undefined) {
    const info = await inspectPython(options.python);
    try {
      await ensureEnvironment({ python: options.python });
    } catch (error) {
      checks.push(problem("Python", error));
      return nothing;
    }
    checks.push({
      name: "Python",
      status: "ok",
      detail: `${info?.version ?? "?"} at ${options.python}, with the packages`,
    });
    return { python: options.python, toBeMade: false };
  }
  try {
    const found = await findPythons(options.candidates ?? pythonCandidates);
    const base = await choosePython(found);
    checks.push({
      name: "Python",
      status: "ok",
      detail: found.map(({ version, path }) => `${version} (${path})`).join(", "),
    });
    const folder = await environmentFolder(base, options.lockFile ?? packagedLockFile(), cacheDir);
    const python = pythonIn(folder);
    if (!existsSync(python)) {
      checks.push({
        name: "Python packages",
        status: "ok",
        detail: `not installed yet; the first run puts them into ${folder}`,
      });
      return { python: undefined, toBeMade: true };
    }
    const { packages, problems } = await checkPackages(python);
    if (problems.length > 0) {
      checks.push({
        name: "Python packages",
        status: "problem",
        detail: `${folder} lacks ${problems.join(", ")}`,
        remedy: `Delete that folder, so that it is made again; or run ${installCommand(python, problems)}`,
      });
      return nothing;
    }
    const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
    checks.push({ name: "Python packages", status: "ok", detail: versions.join(", ") });
    return { python, toBeMade: false };
  } catch (error) {
    checks.push(problem(checks.some(({ name }) => name === "Python") ? "Python packages" : "Python", error));
    return nothing;
  }
}

const runtimeProbe = `
import json, torch
from specdojo_worker.models import resolve_runtime
runtime = resolve_runtime("auto", "auto")
cuda = torch.cuda.get_device_name() if runtime.device.type == "cuda" else None
print(json.dumps({"torch": torch.__version__, "device": runtime.device.type, "name": cuda,
  "dtype": str(runtime.dtype).removeprefix("torch."), "threads": torch.get_num_threads()}))
`;
const runtimeReply = z.object({
  torch: z.string(),
  device: z.string(),
  name: z.string().nullable(),
  dtype: z.string(),
  threads: z.int(),
});

/** Imports the worker, and asks it what it would compute with. */
async function checkTorch(python: string, workerDir: string): Promise<Check> {
  const name = "PyTorch";
  const result = await runProcess(python, ["-c", runtimeProbe], {
    timeout: 180_000,
    env: { ...process.env, PYTHONPATH: workerDir, PYTHONSAFEPATH: "1" },
  });
  const reply = runtimeReply.safeParse(lastJson(result.stdout));
  if (!reply.success)
    return {
      name,
      status: "problem",
      detail: `The worker cannot be loaded: ${result.tail.split("\n").at(-1) || "no answer in 3 minutes"}`,
      remedy: "Install the packages again, or use --python with an interpreter that has them.",
    };
  const { torch, device, name: card, dtype, threads } = reply.data;
  const speed = dtype === "bfloat16" ? "bf16" : "fp32 (no fast bf16 here)";
  return { name, status: "ok", detail: `${torch} on ${card ?? `${device}, ${threads} threads`}, ${speed}` };
}

async function checkSpace(name: string, folder: string, wanted: number): Promise<Check> {
  const existing = nearestExisting(folder);
  try {
    const { bavail, bsize } = await statfs(existing);
    const free = bavail * bsize;
    const detail = `${gigabytes(free)} free at ${existing}`;
    if (free >= wanted) return { name, status: "ok", detail };
    return {
      name,
      status: "problem",
      detail,
      remedy: `Free ${gigabytes(wanted - free)}, or choose a folder on another disk.`,
    };
  } catch (error) {
    return problem(name, error);
  }
}

async function checkWritable(name: string, folder: string): Promise<Check> {
  const existing = nearestExisting(folder);
  try {
    await access(existing, constants.W_OK | constants.X_OK);
    return { name, status: "ok", detail: `${folder} can be written` };
  } catch {
    const remedy =
      name === "cache folder"
        ? "Set SPECDOJO_CACHE_DIR to a folder of yours."
        : "Change to a folder of yours, or name one with --out.";
    return { name, status: "problem", detail: `${existing} cannot be written`, remedy };
  }
}

function nearestExisting(folder: string): string {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  return existing;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

function problem(name: string, error: unknown): Check {
  const detail = error instanceof Error ? error.message : String(error);
  const remedy = SpecdojoError.isInstance(error) ? error.remedy : undefined;
  const place = SpecdojoError.isInstance(error) && error.place !== undefined ? ` (${error.place})` : "";
  return {
    name,
    status: "problem",
    detail: `${detail}${place}`,
    ...(remedy === undefined ? {} : { remedy }),
  };
}
