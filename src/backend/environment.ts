import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SpecdojoError } from "../util/errors.js";
import { takeLock } from "../util/lock.js";
import { systemClock } from "./clock.js";
import { runProcess } from "./process.js";
import {
  checkPackages,
  choosePython,
  findPythons,
  inspectPython,
  isAtLeast,
  minimumPython,
  type PythonInfo,
  pythonCandidates,
} from "./python.js";
import { storageProblem } from "./storage.js";

export interface EnvironmentOptions {
  /** An interpreter that already has the packages: it is checked and used as it is. */
  python?: string;
  /** Where environments are kept; default: `cacheFolder()`. */
  cacheDir?: string;
  /** Default: the package's `worker/requirements.lock`. */
  lockFile?: string;
  /** Commands tried to find Python and uv; for tests. */
  candidates?: readonly string[];
  uv?: string;
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

export interface PythonEnvironment {
  /** The interpreter to run the worker with. */
  python: string;
  /** True when it was made just now. */
  created: boolean;
}

/** This package's folder in the user's cache; `SPECDOJO_CACHE_DIR` overrides it. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const own = env.SPECDOJO_CACHE_DIR;
  if (own) return own;
  const xdg = env.XDG_CACHE_HOME;
  if (xdg) return join(xdg, "specdojo");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "specdojo");
  if (process.platform === "win32")
    return join(env.LOCALAPPDATA || join(homedir(), "AppData", "Local"), "specdojo", "Cache");
  return join(homedir(), ".cache", "specdojo");
}

export const packagedLockFile = (): string =>
  fileURLToPath(new URL("../../worker/requirements.lock", import.meta.url));

/** Where the environment for an interpreter and a lock file lies, whether or not it is there. */
export async function environmentFolder(
  python: PythonInfo,
  lockFile: string,
  cacheDir: string,
): Promise<string> {
  const hash = createHash("sha256");
  hash.update(await readLock(lockFile));
  hash.update(`\n${python.version} ${process.platform} ${process.arch}`);
  return join(cacheDir, `python-${hash.digest("hex").slice(0, 16)}`);
}

export const pythonIn = (folder: string): string =>
  process.platform === "win32" ? join(folder, "Scripts", "python.exe") : join(folder, "bin", "python");

/**
 * The worker's Python environment, made on first use. Throws `SpecdojoError` with code `python-missing`,
 * `python-too-old`, `python-no-venv`, `environment-incomplete`, `network-down`, `disk-full`, `not-writable` or
 * `environment-failed`.
 */
export async function ensureEnvironment(options: EnvironmentOptions = {}): Promise<PythonEnvironment> {
  if (options.python !== undefined) return { python: await checkGiven(options.python), created: false };
  const progress = options.onProgress ?? (() => undefined);
  const lockFile = options.lockFile ?? packagedLockFile();
  const cacheDir = options.cacheDir ?? cacheFolder();
  const base = await choosePython(await findPythons(options.candidates ?? pythonCandidates));
  const folder = await environmentFolder(base, lockFile, cacheDir);
  if (existsSync(pythonIn(folder))) return { python: pythonIn(folder), created: false };
  try {
    await mkdir(cacheDir, { recursive: true });
    const release = await acquireLock(`${folder}.lock`, progress, options.signal);
    try {
      // Another process may have made it while we waited.
      if (existsSync(pythonIn(folder))) return { python: pythonIn(folder), created: false };
      await removeLeftovers(folder);
      await build(base, folder, lockFile, options, progress);
    } finally {
      await release();
    }
  } catch (error) {
    throw storageProblem(error, cacheDir) ?? error;
  }
  return { python: pythonIn(folder), created: true };
}

async function checkGiven(python: string): Promise<string> {
  const info = await inspectPython(python);
  if (info === undefined)
    throw new SpecdojoError("python-missing", "This is no Python interpreter that can be run.", {
      place: python,
      remedy: "Give the path of a Python interpreter, e.g. --python /usr/bin/python3",
    });
  if (!isAtLeast(info.version, minimumPython.join(".")))
    throw new SpecdojoError(
      "python-too-old",
      `Python ${minimumPython.join(".")} or newer is needed; this is ${info.version}.`,
      {
        place: python,
        remedy: "Give the path of a newer one, or leave --python out.",
      },
    );
  const { problems } = await checkPackages(python);
  if (problems.length > 0)
    throw new SpecdojoError("environment-incomplete", `This Python lacks ${problems.join(", ")}.`, {
      place: python,
      remedy: `Install them: ${installCommand(python, problems)}`,
    });
  return python;
}

/** The pip command that mends what `checkPackages` found. */
export function installCommand(python: string, problems: readonly string[]): string {
  const wanted = problems.map((problem) => problem.replace(/ \(.*$/, "").replaceAll(" ", ""));
  return `${python} -m pip install ${wanted.map((name) => `"${name}"`).join(" ")}`;
}

async function build(
  base: PythonInfo,
  folder: string,
  lockFile: string,
  options: EnvironmentOptions,
  progress: (line: string) => void,
): Promise<void> {
  const uv = options.uv ?? "uv";
  const hasUv = (await runProcess(uv, ["--version"], { timeout: 20_000 })).code === 0;
  if (!hasUv && !base.canMakeEnvironments)
    throw new SpecdojoError("python-no-venv", `Python ${base.version} has no module venv.`, {
      place: base.path,
      remedy: "Install it (Debian, Ubuntu: apt install python3-venv), or install uv, or use --python.",
    });
  const partial = `${folder}.tmp-${process.pid}`;
  const python = pythonIn(partial);
  progress(`Making the Python environment in ${folder} (once; this downloads PyTorch).`);
  const steps: [string, string[]][] = hasUv
    ? [
        [uv, ["venv", "--no-project", "--python", base.path, partial]],
        [uv, ["pip", "install", "--python", python, "-r", lockFile]],
      ]
    : [
        [base.path, ["-m", "venv", partial]],
        [
          python,
          [
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar",
            "off",
            "-r",
            lockFile,
          ],
        ],
      ];
  try {
    for (const [command, args] of steps) {
      const result = await runProcess(command, args, {
        onLine: progress,
        signal: options.signal,
        env: { ...process.env, PYTHONUNBUFFERED: "1", PYTHONNOUSERSITE: "1" },
      });
      if (result.code !== 0) throw installProblem(result.tail, lockFile, folder, base);
    }
    await rename(partial, folder);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  progress("The Python environment is ready.");
}

function installProblem(tail: string, lockFile: string, folder: string, base: PythonInfo): SpecdojoError {
  const lines = tail.split("\n").slice(-12).join("\n");
  if (/No space left on device|Errno 28|ENOSPC|Disk quota exceeded|os error 28/i.test(tail))
    return new SpecdojoError("disk-full", "No space is left for the Python environment (about 2 GB).", {
      place: folder,
      remedy: "Free some space, or set SPECDOJO_CACHE_DIR to a folder on another disk.",
    });
  if (/ensurepip is not available|No module named '?(venv|ensurepip|pip)'?/i.test(tail))
    return new SpecdojoError("python-no-venv", `Python ${base.version} cannot make environments.`, {
      place: base.path,
      remedy: "Install venv (Debian, Ubuntu: apt install python3-venv), or install uv, or use --python.",
    });
  if (networkTrouble.test(tail))
    return new SpecdojoError("network-down", `The Python packages could not be downloaded.\n${lines}`, {
      place: lockFile,
      remedy:
        "Check the network and proxy, then run the same command again; or use --python with an interpreter that has the packages.",
    });
  return new SpecdojoError("environment-failed", `The Python packages could not be installed.\n${lines}`, {
    place: lockFile,
    remedy: "Read the lines above; or use --python with an interpreter that has the packages.",
  });
}

const networkTrouble =
  /NewConnectionError|ConnectTimeout|ReadTimeout|Connection(Reset|Refused)?Error|Connection refused|ProxyError|SSLError|name resolution|Could not resolve|dns error|Network is unreachable|Max retries exceeded|Failed to fetch|error sending request|timed out/i;

async function readLock(lockFile: string): Promise<string> {
  try {
    return await readFile(lockFile, "utf8");
  } catch (cause) {
    throw new SpecdojoError("environment-failed", "The list of Python packages is missing.", {
      place: lockFile,
      remedy: "Install the package again; or use --python with an interpreter that has the packages.",
      cause,
    });
  }
}

/** What a killed process left behind. */
async function removeLeftovers(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  for (const name of await readdir(dirname(folder)))
    if (name.startsWith(`${basename(folder)}.tmp-`))
      await rm(join(dirname(folder), name), { recursive: true, force: true });
}

/** Waits for the lock as long as its owner lives. */
async function acquireLock(
  file: string,
  progress: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<() => Promise<void>> {
  for (let told = false; ; told = true) {
    const taken = await takeLock(file);
    if (typeof taken !== "number") return taken;
    if (!told) progress("Another process is making the Python environment; waiting for it.");
    await systemClock.sleep(200, signal);
  }
}
