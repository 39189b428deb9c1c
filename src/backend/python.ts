import { z } from "zod";
import { SpecdojoError } from "../util/errors.js";
import { runProcess } from "./process.js";

export const minimumPython = [3, 11] as const;

/** What the worker imports, with the lowest version that it works with (`worker/pyproject.toml`). */
export const requiredPackages: Readonly<Record<string, string>> = {
  torch: "2.6",
  transformers: "5.0",
  peft: "0.18",
  safetensors: "0.5",
  numpy: "2.0",
  jinja2: "3.1",
  starlette: "0.50",
  uvicorn: "0.40",
  llguidance: "1.7",
};

export interface PythonInfo {
  /** As it can be run. */
  path: string;
  /** The same with links followed: two paths may be one interpreter. */
  file: string;
  /** E.g. `3.11.7`. */
  version: string;
  /** `venv` and `ensurepip` are there. */
  canMakeEnvironments: boolean;
}

export interface PackageCheck {
  /** Installed version, or null. */
  packages: Record<string, string | null>;
  /** What is missing or too old, e.g. `torch >= 2.6 (found 2.1)`. */
  problems: string[];
}

const probe = `
import importlib.util as u, json, os, platform, sys
print(json.dumps({"path": sys.executable, "file": os.path.realpath(sys.executable), "version": platform.python_version(),
  "canMakeEnvironments": all(u.find_spec(m) for m in ("venv", "ensurepip"))}))
`;
const probeReply = z.object({
  path: z.string(),
  file: z.string(),
  version: z.string(),
  canMakeEnvironments: z.boolean(),
});

const packageProbe = `
import importlib.metadata as m, importlib.util as u, json, sys
def version(name):
    if u.find_spec(name) is None:
        return None
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return "unknown"
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
`;

/** Undefined when it is no working Python. */
export async function inspectPython(command: string): Promise<PythonInfo | undefined> {
  const result = await runProcess(command, ["-c", probe], { timeout: 20_000 });
  const info = result.code === 0 ? probeReply.safeParse(lastJson(result.stdout)) : undefined;
  return info?.success ? { ...info.data, path: info.data.path || command } : undefined;
}

export const pythonCandidates: readonly string[] =
  process.platform === "win32"
    ? ["python", "python3"]
    : ["python3.13", "python3.12", "python3.11", "python3", "python"];

/** All different interpreters among the candidates, in their order. */
export async function findPythons(candidates: readonly string[] = pythonCandidates): Promise<PythonInfo[]> {
  const found = await Promise.all(candidates.map(inspectPython));
  const byFile = new Map<string, PythonInfo>();
  for (const info of found) if (info !== undefined && !byFile.has(info.file)) byFile.set(info.file, info);
  return [...byFile.values()];
}

/** The first interpreter that is new enough. Throws `python-missing` or `python-too-old`. */
export async function choosePython(found: readonly PythonInfo[]): Promise<PythonInfo> {
  const good = found.filter(({ version }) => isAtLeast(version, minimumPython.join(".")));
  const chosen = good.find((info) => info.canMakeEnvironments) ?? good[0];
  if (chosen !== undefined) return chosen;
  const wanted = `Install Python ${minimumPython.join(".")} or newer, or give the path of one with --python.`;
  if (found.length === 0)
    throw new SpecdojoError("python-missing", "No Python was found.", { place: "PATH", remedy: wanted });
  throw new SpecdojoError(
    "python-too-old",
    `Python ${minimumPython.join(".")} or newer is needed; found ${found.map(({ version }) => version).join(", ")}.`,
    { place: found.map(({ path }) => path).join(", "), remedy: wanted },
  );
}

/** Which of the worker's packages an interpreter has. Does not import them. */
export async function checkPackages(python: string): Promise<PackageCheck> {
  const names = Object.keys(requiredPackages);
  const result = await runProcess(python, ["-c", packageProbe, ...names], { timeout: 60_000 });
  const parsed = z.record(z.string(), z.string().nullable()).safeParse(lastJson(result.stdout));
  const packages: Record<string, string | null> = parsed.success
    ? parsed.data
    : Object.fromEntries(names.map((name) => [name, null]));
  const problems: string[] = [];
  for (const [name, minimum] of Object.entries(requiredPackages)) {
    const version = packages[name] ?? null;
    const wanted = `${name} >= ${minimum}`;
    if (version === null) problems.push(wanted);
    else if (version !== "unknown" && !isAtLeast(version, minimum))
      problems.push(`${wanted} (found ${version})`);
  }
  return { packages, problems };
}

/** Whether a dotted version (suffixes like `+cpu` ignored) is at least another. */
export function isAtLeast(version: string, minimum: string): boolean {
  const numbers = (text: string): number[] =>
    text
      .split(/[^\d.]/, 1)[0]
      ?.split(".")
      .map(Number) ?? [];
  const have = numbers(version);
  for (const [index, wanted] of numbers(minimum).entries()) {
    const part = have[index] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

/** The JSON of the last line: some interpreters print banners before. */
export function lastJson(stdout: string): unknown {
  try {
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  } catch {
    return undefined;
  }
}
