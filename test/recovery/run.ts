import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { root } from "../cli/command.js";

const cli = join(root, "dist", "cli.js");

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  err: string;
  /** Process ids of the workers that ran when `at` was seen. */
  workers: number[];
  /** From `at` to the end of the command. */
  seconds: number;
}

/** Runs `specdojo ARGS`; once its stderr holds `at`, does what `then` says. */
export function specdojoUntil(
  args: readonly string[],
  at: string,
  then: (command: number, workers: readonly number[]) => Promise<void> | void,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", OMP_NUM_THREADS: "1" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const pid = child.pid ?? 0;
    let err = "";
    let seen: number | undefined;
    let workers: number[] = [];
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
      if (seen !== undefined || !err.includes(at)) return;
      seen = performance.now();
      workers = childrenOf(pid);
      Promise.resolve(then(pid, workers)).catch(reject);
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      const seconds = seen === undefined ? Number.NaN : (performance.now() - seen) / 1000;
      resolve({ code, signal, err, workers, seconds });
    });
  });
}

function childrenOf(pid: number): number[] {
  const table = execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" });
  return table.split("\n").flatMap((line) => {
    const [child, parent] = line.trim().split(/\s+/).map(Number);
    return parent === pid && child !== undefined && isRunning(child) ? [child] : [];
  });
}

/** False also for one that has ended and is only still listed. */
function isRunning(pid: number): boolean {
  try {
    const state = execFileSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" });
    return !state.trim().startsWith("Z");
  } catch {
    return false;
  }
}

/** Waits until none of the processes runs; false when one still does after `limit` milliseconds. */
export async function gone(pids: readonly number[], limit: number): Promise<boolean> {
  for (const end = performance.now() + limit; performance.now() < end; ) {
    if (!pids.some(isRunning)) return true;
    await new Promise((later) => setTimeout(later, 100));
  }
  return false;
}
