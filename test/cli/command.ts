import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const cli = join(root, "dist", "cli.js");

/** The commands run as processes of their own, from the built package. */
export function ensureBuilt(): void {
  if (existsSync(cli)) return;
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  execFileSync(process.execPath, [tsc, "-b", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
}

export interface Outcome {
  code: number | null;
  out: string;
  err: string;
  seconds: number;
}

export interface RunOptions {
  cwd?: string;
  /** Sent this signal once its stderr or stdout holds `at`. */
  interrupt?: { at: string; signal: NodeJS.Signals };
  /** Nobody reads stdout, as when `| head` has seen enough. */
  unread?: boolean;
}

/** Runs `specdojo ARGS`. */
export function specdojo(
  args: readonly string[],
  { cwd, interrupt, unread }: RunOptions = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const { FORCE_COLOR: _, ...env } = process.env;
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: cwd ?? root,
      env: { ...env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    if (unread) child.stdout.destroy();
    const text = { out: "", err: "" };
    let sent = false;
    for (const [name, stream] of [
      ["out", child.stdout],
      ["err", child.stderr],
    ] as const)
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        text[name] += chunk;
        if (interrupt === undefined || sent || !text[name].includes(interrupt.at)) return;
        sent = true;
        child.kill(interrupt.signal);
      });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...text, seconds: (performance.now() - begun) / 1000 }));
  });
}
