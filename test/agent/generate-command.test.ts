import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand } from "citty";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { generateCommand } from "../../src/cli/generate.js";
import { petstorePath } from "./helpers.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "specdojo-command-"));
  vi.spyOn(console, "log").mockImplementation(() => undefined);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(dir, { recursive: true, force: true });
});

const generate = (...args: string[]) =>
  runCommand(generateCommand, { rawArgs: [fileURLToPath(petstorePath), ...args] });

test("writes the client, and writes it again", async () => {
  await generate("--out", join(dir, "api"));
  expect((await readdir(join(dir, "api"))).sort()).toEqual(["index.ts", "tools.ts", "types.ts"]);
  const before = await readFile(join(dir, "api/types.ts"), "utf8");
  await generate("--out", join(dir, "api"), "--json");
  expect(await readFile(join(dir, "api/types.ts"), "utf8")).toBe(before);
  expect(vi.mocked(console.log).mock.calls.at(-1)?.[0]).toContain('"operations":20');
});

test("never overwrites what it did not write", async () => {
  await writeFile(join(dir, "index.ts"), "export const mine = 1;\n");
  await expect(generate("--out", dir)).rejects.toThrow('"index.ts" is there already');
  expect(await readdir(dir)).toEqual(["index.ts"]);
});

test("knows its languages", async () => {
  await generate("--out", dir, "--language", "js");
  expect(await readdir(dir)).toContain("index.d.ts");
  await expect(generate("--out", dir, "--language", "go")).rejects.toThrow('"go" is not a language');
});
