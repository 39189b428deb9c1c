import { existsSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Check, type DiagnoseOptions, diagnose } from "../../src/backend/diagnose.js";
import { ensureEnvironment } from "../../src/backend/environment.js";
import { checkModel, doctorText } from "../../src/cli/doctor.js";
import { type FakePython, fakePython } from "./fake-interpreter.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "specdojo-doctor-"));
  await writeFile(join(dir, "requirements.lock"), "torch==2.13.0\n");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const packages = {
  torch: "2.13.0",
  transformers: "5.1.0",
  peft: "0.19.0",
  safetensors: "0.8.0",
  numpy: "2.2.1",
  jinja2: "3.1.6",
  starlette: "1.0.0",
  uvicorn: "0.40.0",
  llguidance: "1.7.0",
};
const runtime = { torch: "2.13.0", device: "cpu", name: null, dtype: "bfloat16", threads: 2 };
const look = async (behaviour: FakePython | undefined, more: DiagnoseOptions = {}): Promise<Check[]> =>
  diagnose({
    outDir: join(dir, "runs"),
    cacheDir: join(dir, "cache"),
    lockFile: join(dir, "requirements.lock"),
    candidates: behaviour === undefined ? [join(dir, "none")] : [await fakePython(dir, "python3", behaviour)],
    ...more,
  });
const named = (checks: Check[], name: string): Check | undefined =>
  checks.find((check) => check.name === name);
const problems = (checks: Check[]): string[] =>
  checks.filter(({ status }) => status === "problem").map(({ name }) => name);

describe.skipIf(process.platform === "win32")("diagnose", () => {
  it("finds nothing amiss before the first run, and changes nothing", async () => {
    const checks = await look({});
    expect(problems(checks)).toEqual([]);
    expect(named(checks, "Python packages")?.detail).toContain("not installed yet");
    expect(named(checks, "disk space for Python packages")?.detail).toMatch(/GB free at/);
    expect(existsSync(join(dir, "cache"))).toBe(false);
  });

  it("tells what the environment computes with once it is there", async () => {
    const candidates = [await fakePython(dir, "python3", { packages, runtime })];
    await ensureEnvironment({
      candidates,
      cacheDir: join(dir, "cache"),
      lockFile: join(dir, "requirements.lock"),
      uv: join(dir, "no-uv"),
    });
    const checks = await look({ packages, runtime });
    expect(problems(checks)).toEqual([]);
    expect(named(checks, "PyTorch")?.detail).toBe("2.13.0 on cpu, 2 threads, bf16");
    expect(named(checks, "Python packages")?.detail).toContain("peft 0.19.0");
  });

  it.each<[string, FakePython | undefined, DiagnoseOptions, string, string, string]>([
    ["no Python", undefined, {}, "Python", "No Python", "--python"],
    ["an old Python", { version: "3.8.1" }, {}, "Python", "3.8.1", "3.11"],
    ["an old Node", {}, { nodeVersion: "18.2.0" }, "Node", "18.2.0", "20.19"],
    ["no lock file", {}, { lockFile: "/nothing/here" }, "Python packages", "missing", "--python"],
  ])("names the problem and the remedy: %s", async (_name, behaviour, more, name, detail, remedy) => {
    const checks = await look(behaviour, more);
    expect(problems(checks)).toEqual([name]);
    expect(named(checks, name)?.detail).toContain(detail);
    expect(named(checks, name)?.remedy).toContain(remedy);
  });

  it.each<[string, FakePython, string, string]>([
    ["lacks packages", { packages: { ...packages, peft: "0.1" } }, "Python", "peft >= 0.18 (found 0.1)"],
    ["cannot load the worker", { packages }, "PyTorch", "ImportError: libtorch.so"],
  ])("looks at --python: one that %s", async (_name, behaviour, name, detail) => {
    const python = await fakePython(dir, "mine", behaviour);
    const checks = await look(undefined, { python });
    expect(problems(checks)).toEqual([name]);
    expect(named(checks, name)?.detail).toContain(detail);
  });

  it("says fp32 where bf16 is slow, and the card's name", async () => {
    const python = await fakePython(dir, "mine", {
      packages,
      runtime: { ...runtime, device: "cuda", name: "NVIDIA T4", dtype: "float32" },
    });
    const checks = await look(undefined, { python });
    expect(named(checks, "PyTorch")?.detail).toBe("2.13.0 on NVIDIA T4, fp32 (no fast bf16 here)");
  });
});

describe("the doctor's words", () => {
  it("writes a line per check and the remedy below a problem", () => {
    const text = doctorText([
      { name: "Node", status: "ok", detail: "20.20.2" },
      { name: "Python", status: "problem", detail: "none", remedy: "Install it." },
    ]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours
    expect(text.replace(/\u001b\[\d+m/g, "").split("\n")).toEqual([
      "ok       Node    20.20.2",
      "problem  Python  none",
      "                 → Install it.",
      "1 problem.",
      "",
    ]);
  });

  it("looks at the bundled model", async () => {
    expect(await checkModel(join(dir, "nothing"))).toMatchObject({ status: "problem" });
    const model = join(dir, "model");
    await cp(fileURLToPath(new URL("../fixtures/tokenizer/brief", import.meta.url)), model, {
      recursive: true,
    });
    expect(await checkModel(model)).toMatchObject({
      status: "problem",
      detail: expect.stringContaining("safetensors"),
    });
    await writeFile(join(model, "model.safetensors"), "");
    expect(await checkModel(model)).toMatchObject({ status: "ok" });
    await writeFile(join(model, "tokenizer.json"), "{");
    expect(await checkModel(model)).toMatchObject({ status: "problem", remedy: expect.any(String) });
  });
});
