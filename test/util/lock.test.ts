import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeLock } from "../../src/util/lock.js";

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "specdojo-lock-"));
  file = join(dir, "a.lock");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function taken(): Promise<() => Promise<void>> {
  const release = await takeLock(file);
  if (typeof release === "number") throw new Error(`held by ${release}`);
  return release;
}

describe("a lock", () => {
  it("is held until it is released", async () => {
    const release = await taken();
    expect(await takeLock(file)).toBe(process.pid);
    await release();
    expect(await readdir(dir)).toEqual([]);
    await taken();
  });

  it("is taken over from a process that is gone", async () => {
    const dead = execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).trim();
    await writeFile(file, `${dead} 1`);
    await taken();
    expect((await readFile(file, "utf8")).split(" ")[0]).toBe(String(process.pid));
  });

  it.runIf(process.platform === "linux")(
    "is taken over when the id is another process's by now",
    async () => {
      await writeFile(file, `${process.pid} 1`);
      await taken();
      expect(await takeLock(file)).toBe(process.pid);
    },
  );

  it("is respected when nothing says when its owner began", async () => {
    await writeFile(file, `${process.pid}`);
    expect(await takeLock(file)).toBe(process.pid);
  });

  it("may be empty for a moment, but not for long", async () => {
    await writeFile(file, "");
    expect(await takeLock(file)).toBe(0);
    const old = new Date(Date.now() - 60_000);
    await utimes(file, old, old);
    await taken();
  });

  it("needs a folder", async () => {
    await expect(takeLock(join(dir, "none", "a.lock"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
