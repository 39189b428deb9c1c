import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolveModel } from "../../src/rollout/model-files.js";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "specdojo-model-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function model(path: string, files: Record<string, string> = complete): Promise<string> {
  const folder = join(dir, path);
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}
const complete = { "config.json": "{}", "tokenizer.json": "{}", "model.safetensors": "" };
const index = JSON.stringify({ weight_map: { a: "model-1.safetensors", b: "model-2.safetensors" } });
const noPython = (): Promise<string> => Promise.reject(new Error("python was asked for"));

/** A program in the place of Python that writes this and ends so. */
async function program(name: string, stdout: string, stderr: string, code: number): Promise<string> {
  const file = join(dir, name);
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  await writeFile(
    file,
    `#!/bin/sh\nprintf '%s\\n' ${quote(stderr)} >&2\nprintf '%s\\n' ${quote(stdout)}\nexit ${code}\n`,
  );
  await chmod(file, 0o755);
  return file;
}

describe("resolveModel", () => {
  it("takes a complete folder as it is", async () => {
    const folder = await model("whole");
    expect(await resolveModel(folder, { python: noPython })).toBe(folder);
    const sharded = await model("sharded", {
      ...complete,
      "model.safetensors.index.json": index,
      "model-1.safetensors": "",
      "model-2.safetensors": "",
    });
    expect(await resolveModel(sharded, { python: noPython })).toBe(sharded);
  });

  it.each([
    ["nothing", {}, "config.json and tokenizer.json and *.safetensors"],
    ["no weights", { "config.json": "{}", "tokenizer.json": "{}", "model.bin": "" }, "*.safetensors"],
    [
      "a shard missing",
      { ...complete, "model.safetensors.index.json": index, "model-1.safetensors": "" },
      "model-2.safetensors",
    ],
  ])("names what a folder lacks: %s", async (name, files, words) => {
    const folder = await model(name, files);
    await expect(resolveModel(folder, { python: noPython })).rejects.toMatchObject({
      code: "model-incomplete",
      place: folder,
      message: expect.stringContaining(words),
    });
  });

  it.each(["no-such-folder", "./a/b", "../x/y", "a/b/c", "a b/c", "-x/y"])(
    "refuses %s at once",
    async (name) => {
      await expect(resolveModel(name, { python: noPython })).rejects.toMatchObject({ code: "model-missing" });
    },
  );

  it("finds a complete snapshot in the Hub's cache", async () => {
    const snapshot = await model("hub/models--Some--Model/snapshots/abc");
    await mkdir(join(dir, "hub/models--Some--Model/refs"), { recursive: true });
    await writeFile(join(dir, "hub/models--Some--Model/refs/main"), "abc\n");
    const env = { HF_HUB_CACHE: join(dir, "hub") };
    expect(await resolveModel("Some/Model", { python: noPython, env })).toBe(snapshot);
    await rm(join(snapshot, "model.safetensors"));
    await expect(resolveModel("Some/Model", { python: noPython, env })).rejects.toThrow(
      "python was asked for",
    );
  });

  it.skipIf(process.platform === "win32")("downloads what is not there, and tells of it", async () => {
    const folder = await model("downloaded");
    const python = await program("good", JSON.stringify({ path: folder }), "Fetching 3 files", 0);
    const lines: string[] = [];
    const env = { HF_HUB_CACHE: join(dir, "empty") };
    const got = await resolveModel("Some/Model", {
      python: async () => python,
      env,
      onProgress: (line) => lines.push(line),
    });
    expect(got).toBe(folder);
    expect(lines).toEqual(expect.arrayContaining(["Fetching 3 files"]));
  });

  it.skipIf(process.platform === "win32").each([
    ["offline", "httpx.ConnectError: [Errno -3] Temporary failure in name resolution", "network-down"],
    [
      "offline-mode",
      "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot",
      "network-down",
    ],
    ["unknown", "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.", "model-missing"],
    ["gated", "huggingface_hub.errors.GatedRepoError: 403 Client Error.", "model-missing"],
    ["full", "OSError: [Errno 28] No space left on device", "disk-full"],
    ["bare", "ModuleNotFoundError: No module named 'huggingface_hub'", "environment-incomplete"],
    ["else", "ValueError: something new", "model-download-failed"],
  ])("says why a download failed: %s", async (name, stderr, code) => {
    const python = await program(name, "", stderr, 1);
    const env = { HF_HUB_CACHE: join(dir, "empty") };
    const work = resolveModel("Some/Model", { python: async () => python, env });
    await expect(work).rejects.toMatchObject({ code, remedy: expect.any(String) });
  });
});
