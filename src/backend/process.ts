import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** The last lines of a stream, bounded in lines and in characters per line. */
export class Tail {
  readonly #lines: string[] = [];
  readonly #limit: number;

  constructor(limit = 40) {
    this.#limit = limit;
  }

  add(line: string): void {
    this.#lines.push(line.length > 500 ? `${line.slice(0, 500)}…` : line);
    if (this.#lines.length > this.#limit) this.#lines.shift();
  }

  toString(): string {
    return this.#lines.join("\n");
  }
}

/** Calls `onLine` for each line of a child's output; carriage returns (progress bars) end a line too. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) => {
    const last = line.split("\r").findLast((part) => part.trim() !== "");
    if (last !== undefined) onLine(last);
  });
}

export interface ProcessResult {
  /** Null when the program could not be started or was killed. */
  code: number | null;
  /** True when there is no such program, or it may not be run. */
  missing: boolean;
  stdout: string;
  /** Last lines of stdout and stderr together. */
  tail: string;
}

/** Runs a program to its end. Never throws for what the program does; rejects only when aborted. */
export function runProcess(
  command: string,
  args: readonly string[],
  options: {
    env?: NodeJS.ProcessEnv | undefined;
    onLine?: ((line: string) => void) | undefined;
    signal?: AbortSignal | undefined;
    /** Milliseconds. */
    timeout?: number | undefined;
  } = {},
): Promise<ProcessResult> {
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted) {
      reject(options.signal.reason);
      return;
    }
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: options.env ?? process.env,
    });
    const tail = new Tail();
    let stdout = "";
    let missing = false;
    const stop = (): void => {
      child.kill("SIGKILL");
    };
    options.signal?.addEventListener("abort", stop, { once: true });
    // Not spawn's own timeout: where there is no such program, that one keeps our process waiting until it is over.
    const timer = options.timeout === undefined ? undefined : setTimeout(stop, options.timeout);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout = (stdout + text).slice(-1_000_000);
    });
    for (const stream of [child.stdout, child.stderr])
      readLines(stream, (line) => {
        tail.add(line);
        options.onLine?.(line);
      });
    child.on("error", (error) => {
      missing = true;
      tail.add(error.message);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", stop);
      if (options.signal?.aborted) reject(options.signal.reason);
      else resolve({ code: missing ? null : code, missing, stdout, tail: tail.toString() });
    });
  });
}
