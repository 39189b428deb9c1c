import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  cacheFolder,
  type EnvironmentOptions,
  ensureEnvironment,
  installCommand,
} from "../../src/backend/environment.js";
import { isAtLeast } from "../../src/backend/python.js";
import { type FakePython, fakePython } from "./fake-interpreter.js";

let dir: string;
let lockFile: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "specdojo-env-"));
  lockFile = join(dir, "requirements.lock");
  await writeFile(lockFile, "torch==2.13.0\n");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const fake = (name: string, behaviour: FakePython = {}): Promise<string> => fakePython(dir, name, behaviour);
const calls = async (): Promise<string[]> => (await readFile(join(dir, "calls"), "utf8")).trim().split("\n");
const options = (python: string, more: Partial<EnvironmentOptions> = {}): EnvironmentOptions => ({
  candidates: [python],
  uv: join(dir, "no-uv"),
  cacheDir: join(dir, "cache"),
  lockFile,
  ...more,
});
const left = async (): Promise<string[]> =>
  (await readdir(join(dir, "cache"))).map((name) => name.replace(/[0-9a-f]{16}/, "KEY"));

describe.skipIf(process.platform === "win32")("ensureEnvironment", () => {
  it("makes the environment with venv and pip, tells of it, and uses it again", async () => {
    const python = await fake("python3");
    const lines: string[] = [];
    const first = await ensureEnvironment(options(python, { onProgress: (line) => lines.push(line) }));
    expect(first.created).toBe(true);
    expect(existsSync(first.python)).toBe(true);
    expect(lines).toContain("Collecting torch==2.13.0");
    expect(await left()).toEqual(["python-KEY"]);
    const ran = await calls();
    expect(ran.some((line) => line.includes("pip install") && line.endsWith(`-r ${lockFile}`))).toBe(true);
    expect(await ensureEnvironment(options(python))).toEqual({ python: first.python, created: false });
  });

  it("uses uv when it is there", async () => {
    const python = await fake("python3", { venv: false });
    const uv = await fake("uv");
    await ensureEnvironment(options(python, { uv }));
    const ran = await calls();
    expect(ran.filter((line) => line.startsWith("uv "))).toHaveLength(3);
    expect(ran.some((line) => line.startsWith(`uv pip install --python ${join(dir, "cache")}`))).toBe(true);
  });

  it("makes another one for another lock file or Python", async () => {
    const first = await ensureEnvironment(options(await fake("python3")));
    await writeFile(lockFile, "torch==2.14.0\n");
    const second = await ensureEnvironment(options(await fake("python3")));
    const third = await ensureEnvironment(options(await fake("python3", { version: "3.13.0" })));
    expect(new Set([first.python, second.python, third.python]).size).toBe(3);
  });

  it("is made once when several ask at the same time", async () => {
    const python = await fake("python3");
    const lines: string[] = [];
    const made = await Promise.all(
      [1, 2, 3].map(() => ensureEnvironment(options(python, { onProgress: (line) => lines.push(line) }))),
    );
    expect(made.filter(({ created }) => created)).toHaveLength(1);
    expect(new Set(made.map(({ python }) => python)).size).toBe(1);
    expect(lines.some((line) => line.includes("Another process"))).toBe(true);
    expect((await calls()).filter((line) => line.includes("pip install"))).toHaveLength(1);
    expect(await left()).toEqual(["python-KEY"]);
  });

  it("clears up what a killed process left: its lock and its half-made folder", async () => {
    const python = await fake("python3");
    const { python: made } = await ensureEnvironment(options(python));
    const folder = join(made, "..", "..");
    await rm(folder, { recursive: true });
    const dead = execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).trim();
    await writeFile(`${folder}.lock`, dead);
    await mkdir(`${folder}.tmp-${dead}/bin`, { recursive: true });
    expect((await ensureEnvironment(options(python))).created).toBe(true);
    expect(await left()).toEqual(["python-KEY"]);
  });

  it("leaves nothing behind when it is aborted", async () => {
    const stop = new AbortController();
    const reason = new Error("Ctrl-C");
    const python = await fake("python3");
    const onProgress = (line: string): void => {
      if (line.startsWith("Collecting")) stop.abort(reason);
    };
    await expect(ensureEnvironment(options(python, { signal: stop.signal, onProgress }))).rejects.toBe(
      reason,
    );
    expect(await left()).toEqual([]);
  });

  it.each<[string, FakePython, string, string]>([
    [
      "no network",
      {
        pip: {
          stderr:
            "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution found for torch==2.13.0",
          code: 1,
        },
      },
      "network-down",
      "No matching distribution",
    ],
    [
      "a full disk",
      { pip: { stderr: "ERROR: [Errno 28] No space left on device", code: 1 } },
      "disk-full",
      "space",
    ],
    [
      "a broken package",
      { pip: { stderr: "ERROR: Failed building wheel", code: 1 } },
      "environment-failed",
      "Failed building",
    ],
    ["no venv", { venv: false }, "python-no-venv", "venv"],
    ["an old Python", { version: "3.9.2" }, "python-too-old", "3.9.2"],
  ])("says what is wrong: %s", async (_name, behaviour, code, words) => {
    const python = await fake("python3", behaviour);
    await expect(ensureEnvironment(options(python))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words),
      remedy: expect.any(String),
    });
    if (existsSync(join(dir, "cache"))) expect(await left()).toEqual([]);
  });

  it("says so when there is no Python, no lock file, or no place to write", async () => {
    await expect(ensureEnvironment(options(join(dir, "none")))).rejects.toMatchObject({
      code: "python-missing",
    });
    const python = await fake("python3");
    const missing = options(python, { lockFile: join(dir, "none.lock") });
    await expect(ensureEnvironment(missing)).rejects.toMatchObject({
      code: "environment-failed",
      place: join(dir, "none.lock"),
    });
    await writeFile(join(dir, "cache"), "a file");
    await expect(ensureEnvironment(options(python))).rejects.toMatchObject({ code: "not-writable" });
  });

  it("prefers an interpreter that is new enough and can make environments", async () => {
    const candidates = [
      await fake("old", { version: "3.10.0" }),
      await fake("bare", { version: "3.13.0", venv: false }),
      await fake("whole", { version: "3.11.0" }),
    ];
    await ensureEnvironment(options("", { candidates }));
    expect((await calls()).some((line) => line.startsWith("whole -m venv"))).toBe(true);
  });
});

describe.skipIf(process.platform === "win32")("--python", () => {
  const packages = {
    torch: "2.6.0+cu124",
    transformers: "5.0.0",
    peft: "0.18.0",
    safetensors: "0.5.0",
    numpy: "2.2.1",
    jinja2: "3.1.6",
    starlette: "1.0.0",
    uvicorn: "0.40.0",
    llguidance: "1.7.0",
  };

  it("is used as it is when it has the packages", async () => {
    const python = await fake("mine", { packages });
    expect(await ensureEnvironment({ python })).toEqual({ python, created: false });
  });

  it.each<[string, FakePython, string, string]>([
    [
      "lacks packages",
      { packages: { torch: "2.7" } },
      "environment-incomplete",
      "lacks transformers >= 5.0, peft >= 0.18, safetensors >= 0.5, numpy",
    ],
    [
      "has an old torch",
      { packages: { ...packages, torch: "2.5.1" } },
      "environment-incomplete",
      "torch >= 2.6 (found 2.5.1)",
    ],
    ["is too old itself", { packages, version: "3.10.9" }, "python-too-old", "3.10.9"],
  ])("is refused when it %s", async (_name, behaviour, code, words) => {
    const python = await fake("mine", behaviour);
    const work = ensureEnvironment({ python });
    await expect(work).rejects.toMatchObject({
      code,
      place: python,
      message: expect.stringContaining(words),
    });
  });

  it("is refused when it is no Python", async () => {
    const work = ensureEnvironment({ python: join(dir, "nothing") });
    await expect(work).rejects.toMatchObject({ code: "python-missing", place: join(dir, "nothing") });
  });

  it("comes with the command that mends it", () => {
    expect(installCommand("py", ["torch >= 2.6 (found 2.1)", "peft >= 0.18"])).toBe(
      'py -m pip install "torch>=2.6" "peft>=0.18"',
    );
  });
});

describe("versions and folders", () => {
  it.each([
    ["2.13.0+cpu", "2.6", true],
    ["2.6.0", "2.6", true],
    ["2.5.9", "2.6", false],
    ["3.9", "3.11", false],
    ["3.11.7", "3.11", true],
    ["3", "3.11", false],
    ["2.10.0.dev2025", "2.6", true],
  ])("%s is at least %s: %s", (version, minimum, want) => {
    expect(isAtLeast(version, minimum)).toBe(want);
  });

  it("keeps to the user's cache folder", () => {
    expect(cacheFolder({ SPECDOJO_CACHE_DIR: "/x", XDG_CACHE_HOME: "/y" })).toBe("/x");
    expect(cacheFolder({ XDG_CACHE_HOME: "/y" })).toBe(join("/y", "specdojo"));
    expect(cacheFolder({})).toMatch(/specdojo/);
  });
});
