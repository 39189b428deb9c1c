import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { SpecdojoError } from "../util/errors.js";
import type { Capabilities } from "./capabilities.js";
import { type ConnectedBackend, connectBackend } from "./client.js";
import { ensureEnvironment } from "./environment.js";
import { readLines, Tail } from "./process.js";
import { storageProblem } from "./storage.js";

export interface WorkerOptions {
  /** Where the worker keeps checkpoints; made when missing. Default: a temporary folder that `close` removes. */
  stateDir?: string;
  /** An interpreter that has the worker's packages; default: the environment of `ensureEnvironment`. */
  python?: string;
  /**
   * What samples: the worker's own engine (default), or vLLM, which has to be installed for `python`. vLLM samples LoRA models
   * alone, follows no grammars, and draws other tokens for the same seed when the batch is another.
   */
  sampler?: "own" | "vllm";
  /** Added to the environment of the worker, e.g. `OMP_NUM_THREADS`. */
  env?: Record<string, string>;
  /** Further command-line options of the worker. */
  args?: readonly string[];
  /** The folder that holds the Python package `specdojo_worker`; default: this package's `worker/`. */
  workerDir?: string;
  /** Every line that the worker, or the making of its environment, writes. */
  onLog?: (line: string) => void;
  /** How long the worker may take until it answers, in ms; default 180 000. */
  readyTimeout?: number;
  /** Aborts the start, and every call after it. */
  signal?: AbortSignal;
  capabilities?: Partial<Capabilities>;
}

/** A spawned worker. `close` ends its whole process group. */
export interface Worker extends ConnectedBackend {
  readonly pid: number;
  /** E.g. `cpu` or `cuda`. */
  readonly device: string;
  /** E.g. `float32` or `bfloat16`. */
  readonly dtype: string;
  /** The key for the worker's HTTP endpoints (`X-API-Key`, or a bearer token for `/v1`). Keep it out of logs and files. */
  readonly apiKey: string;
}

/** The one line that a worker writes to stdout when it listens. */
const readyLine = z.object({
  port: z.int().min(1).max(65535),
  pid: z.int(),
  device: z.string(),
  dtype: z.string(),
});

export const packagedWorkerDir = (): string => fileURLToPath(new URL("../../worker", import.meta.url));

const vllmCapabilities: Partial<Capabilities> = {
  fullWeights: false,
  grammars: false,
  seededSampling: false,
};

const termGrace = 5_000;
/** Whoever has aborted waits for nothing; checkpoints are written so that a kill damages none. */
const abortGrace = 1_500;

/**
 * Starts the Python worker on a free loopback port and opens a session with it. Throws `SpecdojoError` with code
 * `python-missing`, `worker-not-ready` or `worker-died`. When the worker dies later, every pending and later call
 * rejects with `worker-died`, which carries the end of its log.
 */
export async function startWorker(options: WorkerOptions = {}): Promise<Worker> {
  const log = options.onLog ?? (() => undefined);
  const python =
    options.python ??
    (await ensureEnvironment({ onProgress: log, ...(options.signal ? { signal: options.signal } : {}) }))
      .python;
  options.signal?.throwIfAborted();
  const stateDir = await makeStateDir(options.stateDir);
  const removeState = async (): Promise<void> => {
    if (options.stateDir === undefined) await rm(stateDir, { recursive: true, force: true });
  };
  // The official SDK of the training API takes only keys that begin like this.
  const apiKey = `tml-${randomBytes(32).toString("hex")}`;
  const running = new WorkerProcess(python, stateDir, apiKey, options, log);
  try {
    const ready = await running.ready(options.readyTimeout ?? 180_000, options.signal);
    const life = options.signal ? AbortSignal.any([options.signal, running.died]) : running.died;
    const backend = await connectBackend({
      baseUrl: `http://127.0.0.1:${ready.port}`,
      apiKey,
      kind: "local",
      signal: life,
      onWarning: log,
      capabilities: { ...(options.sampler === "vllm" ? vllmCapabilities : {}), ...options.capabilities },
    });
    running.unref();
    return {
      kind: backend.kind,
      capabilities: backend.capabilities,
      baseUrl: backend.baseUrl,
      pid: running.pid,
      device: ready.device,
      dtype: ready.dtype,
      get apiKey() {
        return apiKey;
      },
      createModel: (model) => backend.createModel(model),
      createSampler: (source) => backend.createSampler(source),
      downloadCheckpoint: (path, dir) => backend.downloadCheckpoint(path, dir),
      deleteCheckpoint: (path) => backend.deleteCheckpoint(path),
      close: async () => {
        await backend.close();
        await running.end();
        await removeState();
      },
    };
  } catch (error) {
    await running.end();
    await removeState();
    throw error;
  }
}

async function makeStateDir(wanted: string | undefined): Promise<string> {
  const dir = wanted === undefined ? join(tmpdir(), "specdojo-") : resolve(wanted);
  try {
    if (wanted === undefined) return await mkdtemp(dir);
    await mkdir(dir, { recursive: true });
    return dir;
  } catch (error) {
    throw storageProblem(error, dir) ?? error;
  }
}

class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #tail = new Tail();
  readonly #death = new AbortController();
  readonly #exited: Promise<void>;
  readonly #onExit = (): void => this.#kill("SIGKILL");
  readonly #signal: AbortSignal | undefined;
  #ending: Promise<void> | undefined;
  #hasExited = false;
  #onStdout: (line: string) => void;

  constructor(
    python: string,
    stateDir: string,
    token: string,
    options: WorkerOptions,
    log: (line: string) => void,
  ) {
    const workerDir = options.workerDir ?? packagedWorkerDir();
    this.#onStdout = log;
    this.#signal = options.signal;
    this.#child = spawn(
      python,
      [
        "-m",
        "specdojo_worker",
        "--port",
        "0",
        "--parent-pid",
        String(process.pid),
        "--state-dir",
        stateDir,
        ...(options.sampler === undefined ? [] : ["--sampler", options.sampler]),
        ...(options.args ?? []),
      ],
      {
        // A group of its own: Ctrl-C in the terminal reaches only us, and the whole group can be ended.
        detached: process.platform !== "win32",
        // The worker ends when its stdin closes, however we end.
        stdio: ["pipe", "pipe", "pipe"],
        env: {
          ...process.env,
          PYTHONPATH: workerDir,
          // The user's current folder must not shadow Python's modules.
          PYTHONSAFEPATH: "1",
          PYTHONUNBUFFERED: "1",
          PYTHONIOENCODING: "utf-8",
          TOKENIZERS_PARALLELISM: "false",
          ...options.env,
          SPECDOJO_WORKER_TOKEN: token,
        },
      },
    );
    const { stdout, stderr } = this.#child;
    if (stdout !== null) readLines(stdout, (line) => this.#onStdout(line));
    if (stderr !== null)
      readLines(stderr, (line) => {
        if (!isNoise(line)) this.#tail.add(line);
        log(line);
      });
    process.on("exit", this.#onExit);
    this.#exited = new Promise((done) => {
      const exited = (problem: (tail: string) => SpecdojoError): void => {
        if (this.#hasExited) return;
        this.#hasExited = true;
        process.off("exit", this.#onExit);
        // The pipes may still hold the last words; a grandchild may hold them open.
        Promise.race([once(this.#child, "close"), new Promise((late) => setTimeout(late, 300))]).finally(
          () => {
            if (this.#ending === undefined) this.#death.abort(problem(this.#tail.toString()));
            this.#kill("SIGKILL");
            done();
          },
        );
      };
      this.#child.on("exit", (code, signal) => {
        const how = signal === null ? `with code ${code}` : `by signal ${signal}`;
        exited((tail) => died(how, tail, stateDir));
      });
      this.#child.on("error", (cause) => {
        if (this.#child.pid === undefined)
          exited(
            () =>
              new SpecdojoError("python-missing", `Python cannot be started: ${cause.message}`, {
                place: python,
                remedy: "Give the path of a Python interpreter with --python, or run `specdojo doctor`.",
                cause,
              }),
          );
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Aborted with the reason once the process has died without being asked to. */
  get died(): AbortSignal {
    return this.#death.signal;
  }

  ready(timeout: number, signal: AbortSignal | undefined): Promise<z.infer<typeof readyLine>> {
    return new Promise((resolve, reject) => {
      const log = this.#onStdout;
      const settle = (action: () => void): void => {
        clearTimeout(timer);
        this.#onStdout = log;
        this.died.removeEventListener("abort", onDeath);
        signal?.removeEventListener("abort", onAbort);
        action();
      };
      const onDeath = (): void => settle(() => reject(this.died.reason));
      const onAbort = (): void => settle(() => reject(signal?.reason));
      const timer = setTimeout(
        () =>
          settle(() =>
            reject(
              new SpecdojoError(
                "worker-not-ready",
                `The worker did not answer within ${Math.round(timeout / 1000)} s.${quote(this.#tail.toString())}`,
                { place: `process ${this.pid}`, remedy: "Run `specdojo doctor`; on a slow disk, try again." },
              ),
            ),
          ),
        timeout,
      );
      this.died.addEventListener("abort", onDeath, { once: true });
      signal?.addEventListener("abort", onAbort, { once: true });
      if (this.died.aborted) onDeath();
      this.#onStdout = (line) => {
        const ready = readyLine.safeParse(parseJson(line));
        if (ready.success) settle(() => resolve(ready.data));
        else log(line);
      };
    });
  }

  /** Lets our own process end although the worker runs; its exit then ends the worker. */
  unref(): void {
    this.#child.unref();
    for (const stream of this.#child.stdio)
      if (stream && "unref" in stream && typeof stream.unref === "function") stream.unref();
  }

  /** SIGTERM, then SIGKILL for the whole group. Idempotent. */
  end(): Promise<void> {
    this.#ending ??= (async () => {
      if (!this.#hasExited) {
        // Waited for, although `unref` let our process end without it.
        this.#child.ref();
        this.#kill("SIGTERM");
        const timer = setTimeout(() => this.#kill("SIGKILL"), this.#signal?.aborted ? abortGrace : termGrace);
        await this.#exited;
        clearTimeout(timer);
      }
      await this.#exited;
    })();
    return this.#ending;
  }

  #kill(signal: NodeJS.Signals): void {
    const pid = this.#child.pid;
    if (pid === undefined) return;
    try {
      if (process.platform === "win32") this.#child.kill(signal);
      else process.kill(-pid, signal);
    } catch {
      // Nobody is left in the group.
    }
  }
}

function died(how: string, tail: string, stateDir: string): SpecdojoError {
  const killed = how.includes("SIGKILL");
  return new SpecdojoError("worker-died", `The worker ended ${how}.${quote(tail)}`, {
    place: stateDir,
    remedy: /ModuleNotFoundError|ImportError/.test(tail)
      ? "Python lacks a package; run `specdojo doctor`."
      : killed || /MemoryError|out of memory|not enough memory/i.test(tail)
        ? "It may have run out of memory: use smaller batches or a smaller model, then resume the run."
        : "Read the log above, then resume the run.",
  });
}

/** Progress bars, notes and warnings say nothing about why a process died. */
const isNoise = (line: string): boolean => /\d%\|| INFO |Warning: |^\s*warnings\.warn\(/.test(line);

const quote = (tail: string): string => (tail === "" ? " It wrote no error." : ` Its last lines:\n${tail}`);

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
