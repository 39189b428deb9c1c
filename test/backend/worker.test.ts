import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWorker, type Worker, type WorkerOptions } from "../../src/backend/worker.js";
import { SpecdojoError } from "../../src/util/errors.js";

let dir: string;
let python: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "specdojo-worker-"));
  python = join(dir, "python");
  const script = await readFile(new URL("fake-python.mjs", import.meta.url), "utf8");
  await writeFile(`${python}.mjs`, script);
  await writeFile(python, `#!/bin/sh\nexec "${process.execPath}" "${python}.mjs" "$@"\n`);
  await chmod(python, 0o755);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const start = (mode: string, options: Partial<WorkerOptions> = {}): Promise<Worker> =>
  startWorker({ python, stateDir: join(dir, "state"), ...options, env: { FAKE_MODE: mode, ...options.env } });

const failureOf = async (work: Promise<unknown>): Promise<SpecdojoError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SpecdojoError);
  return error as SpecdojoError;
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const waitUntil = async (condition: () => boolean): Promise<void> => {
  for (let i = 0; i < 4000 && !condition(); i++) await new Promise((later) => setTimeout(later, 25));
  expect(condition()).toBe(true);
};

describe.skipIf(process.platform === "win32")("the worker's launcher", () => {
  it("waits for the readiness line, connects with the token, and ends the worker", async () => {
    const lines: string[] = [];
    const worker = await start("good", { onLog: (line) => lines.push(line), args: ["--threads", "1"] });
    expect(worker).toMatchObject({ kind: "local", device: "cpu", dtype: "float32" });
    expect(lines).toContain("loading");
    expect(lines.find((line) => line.startsWith("args"))).toBe(
      `args ${JSON.stringify(["-m", "specdojo_worker", "--port", "0", "--parent-pid", String(process.pid), "--state-dir", join(dir, "state"), "--threads", "1"])}`,
    );
    expect(worker.apiKey).toMatch(/^tml-[0-9a-f]{64}$/);
    expect(lines.join("\n")).not.toContain(worker.apiKey);
    await worker.createModel({ baseModel: "x", lora: { rank: 0 } });
    const listeners = process.listenerCount("exit");
    await worker.close();
    await worker.close();
    expect(isAlive(worker.pid)).toBe(false);
    expect(process.listenerCount("exit")).toBe(listeners - 1);
  });

  it("has vLLM sample, and then promises what vLLM can do", async () => {
    const lines: string[] = [];
    const worker = await start("good", { onLog: (line) => lines.push(line), sampler: "vllm" });
    try {
      expect(lines.find((line) => line.startsWith("args"))).toContain('"--sampler","vllm"');
      expect(worker.capabilities).toMatchObject({
        fullWeights: false,
        grammars: false,
        seededSampling: false,
      });
      await expect(worker.createModel({ baseModel: "x", lora: { rank: 0 } })).rejects.toMatchObject({
        code: "option-unsupported",
      });
    } finally {
      await worker.close();
    }
  });

  it("gives the end of the log when the worker is never ready, and kills it", async () => {
    let error = new SpecdojoError("nothing", "");
    // Long enough that it has begun to write, however slow the machine is.
    for (let readyTimeout = 600; !error.message.includes("still loading"); readyTimeout *= 3) {
      error = await failureOf(start("never", { readyTimeout }));
      expect(error.code).toBe("worker-not-ready");
    }
    expect(isAlive(Number(error.place?.replace("process ", "")))).toBe(false);
  });

  it("names the missing package when the worker cannot start", async () => {
    const error = await failureOf(start("import-error"));
    expect(error.code).toBe("worker-died");
    expect(error.message).toContain("No module named 'torch'");
    expect(error.message).toContain("with code 1");
    expect(error.remedy).toContain("specdojo doctor");
  });

  it("says so when there is no such interpreter", async () => {
    const error = await failureOf(start("good", { python: join(dir, "no-such-python") }));
    expect(error).toMatchObject({ code: "python-missing", place: join(dir, "no-such-python") });
  });

  it.each([
    ["dies", "with code 3", "the weights are cursed"],
    ["killed", "by signal SIGKILL", ""],
  ])("rejects pending and later calls when the worker %s", async (mode, how, words) => {
    const worker = await start(mode);
    const model = { baseModel: "x", lora: { rank: 0 } };
    const calls = await Promise.all([
      failureOf(worker.createModel(model)),
      failureOf(worker.createModel(model)),
    ]);
    for (const error of [...calls, await failureOf(worker.createModel(model))]) {
      expect(error.code).toBe("worker-died");
      expect(error.message).toContain(how);
      expect(error.message).toContain(words);
      expect(error.remedy).toContain("resume");
    }
    await worker.close();
  });

  it("stops waiting for readiness at the caller's signal", async () => {
    const stop = new AbortController();
    const reason = new Error("Ctrl-C");
    setTimeout(() => stop.abort(reason), 200);
    await expect(start("never", { signal: stop.signal })).rejects.toBe(reason);
  });

  it("ends the worker's own children too", async () => {
    const lines: string[] = [];
    const worker = await start("family", { onLog: (line) => lines.push(line) });
    const grandchild = Number(lines.find((line) => line.startsWith("grandchild"))?.split(" ")[1]);
    expect(isAlive(grandchild)).toBe(true);
    await worker.close();
    await waitUntil(() => !isAlive(grandchild));
  });

  it("kills a worker that does not heed SIGTERM after 5 s", { timeout: 120_000 }, async () => {
    const worker = await start("deaf");
    const started = performance.now();
    await worker.close();
    expect(performance.now() - started).toBeGreaterThan(4_500);
    expect(isAlive(worker.pid)).toBe(false);
  });

  it("leaves no orphan and does not hold the process when close() was forgotten", {
    timeout: 120_000,
  }, async () => {
    const source = fileURLToPath(new URL("../../src/backend/worker.ts", import.meta.url));
    const program = `
      import { createServer } from "vite";
      const vite = await createServer({ configFile: false, logLevel: "error", server: { middlewareMode: true, ws: false, watch: null }, appType: "custom", optimizeDeps: { noDiscovery: true } });
      const { startWorker } = await vite.ssrLoadModule(${JSON.stringify(source)});
      const worker = await startWorker({ python: ${JSON.stringify(python)}, stateDir: ${JSON.stringify(join(dir, "state"))} });
      console.log(worker.pid);
      await vite.close();
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
    });
    let output = "";
    child.stdout.on("data", (text) => {
      output += String(text);
    });
    const [code] = await once(child, "exit");
    expect(code).toBe(0);
    expect(Number(output)).toBeGreaterThan(0);
    await waitUntil(() => !isAlive(Number(output)));
  });

  it("says so when the state folder cannot be made", async () => {
    await writeFile(join(dir, "file"), "");
    const error = await failureOf(start("good", { stateDir: join(dir, "file", "state") }));
    expect(error).toMatchObject({ code: "not-writable", place: join(dir, "file", "state") });
  });
});
