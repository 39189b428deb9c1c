import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mergeAdapter } from "../../src/backend/merge.js";

describe.skipIf(process.platform === "win32")("mergeAdapter", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "specdojo-merge-"));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const python = async (lines: string): Promise<string> => {
    const file = join(dir, "python");
    await writeFile(file, `#!/bin/sh\n${lines}\n`);
    await chmod(file, 0o755);
    return file;
  };
  const folders = { base: "/a base", adapter: "/an adapter", out: "/out" };

  it("runs the worker's program on the folders", async () => {
    const said = join(dir, "said");
    await mergeAdapter({ python: await python(`printf '%s|' "$@" "$PYTHONPATH" > '${said}'`), ...folders });
    expect(await readFile(said, "utf8")).toMatch(
      /^-m\|specdojo_worker\.merge\|\/a base\|\/an adapter\|\/out\|.*worker\|$/,
    );
  });

  it("gives the program's reason", async () => {
    const failing = await python("echo 'the adapter covers x, which the base model lacks' >&2; exit 1");
    await expect(mergeAdapter({ python: failing, ...folders })).rejects.toMatchObject({
      code: "archive-invalid",
      message: expect.stringContaining("covers x"),
      place: "/an adapter",
    });
  });
});
