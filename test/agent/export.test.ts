import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ExportOptions, exportAgent } from "../../src/agent/export.js";
import { loadAgent } from "../../src/agent/load.js";
import type { Solver } from "../../src/agent/solver.js";
import { briefStyle } from "../../src/task/prompts.js";
import { menuOf, petstoreMenu } from "./helpers.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "specdojo-export-"));
  for (const folder of ["merged", "lora"]) await mkdir(join(root, folder));
  await writeFile(
    join(root, "merged/config.json"),
    JSON.stringify({ _name_or_path: join(root, "base"), hidden_size: 8 }),
  );
  await writeFile(join(root, "merged/model.safetensors"), Buffer.alloc(4096, 7));
  await writeFile(join(root, "merged/tokenizer.json"), '{"version":"1.0"}');
  await writeFile(join(root, "merged/chat_template.jinja"), "{{ messages }}");
  await writeFile(join(root, "merged/optimizer.pt"), "pickle");
  await writeFile(join(root, "merged/modeling.py"), "raise SystemExit");
  await writeFile(
    join(root, "lora/adapter_config.json"),
    JSON.stringify({ base_model_name_or_path: join(root, "base"), r: 8 }),
  );
  await writeFile(join(root, "lora/adapter_model.safetensors"), Buffer.alloc(64, 1));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function options(change: Partial<ExportOptions> = {}): Promise<ExportOptions> {
  return {
    dir: join(root, "agent"),
    menu: await petstoreMenu(),
    solver: { merged: join(root, "merged"), adapter: join(root, "lora") },
    evaluation: { base: 0.2, tuned: 0.5, tasks: join(root, "tasks.jsonl") },
    report: `<!doctype html><p>${root}</p>`,
    version: "0.1.0",
    createdAt: new Date(Date.UTC(2026, 0, 2)),
    baseModel: { name: join(root, "base"), licence: "Apache-2.0" },
    prompts: briefStyle,
    training: { iterations: 3 },
    licences: [{ what: "document", licence: "MIT" }],
    privatePaths: [root],
    ...change,
  };
}

const noSolver: Solver = {
  complete: (prompts) => Promise.resolve(prompts.map(() => "<tool_call_answer>[]</tool_call_answer>")),
  close: () => Promise.resolve(),
};

async function filesOf(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();
}

describe("exportAgent", () => {
  test("writes the folder, without code, pickles or paths of the machine", async () => {
    const settings = await options();
    const manifest = await exportAgent(settings);
    expect(await filesOf(settings.dir)).toEqual(
      [
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "agent.json",
        "client/index.d.ts",
        "client/index.js",
        "client/tools.d.ts",
        "client/tools.js",
        "client/types.d.ts",
        "evaluation.json",
        "model/chat_template.jinja",
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "report.html",
        "tools.json",
      ].sort(),
    );
    expect(manifest).toMatchObject({
      formatVersion: 1,
      createdAt: "2026-01-02T00:00:00.000Z",
      api: { title: "Swagger Petstore" },
      baseModel: { name: "base" },
    });
    for (const name of await filesOf(settings.dir))
      expect(await readFile(join(settings.dir, name), "latin1")).not.toContain(root);
    expect(await readdir(root)).not.toContain(".agent.partial");
  });

  test("keeps what the document says, but for a password in its server's address", async () => {
    const menu = await menuOf({
      servers: [{ url: "https://ann:hunter2@api.example/v1" }],
      paths: { "/app/users": { get: { operationId: "users", summary: "Users of /app", responses: {} } } },
    });
    const settings = await options({ menu, privatePaths: [root, "/app"] });
    await exportAgent(settings);
    const agent = await loadAgent(settings.dir, { solver: noSolver });
    expect(agent.client.dryRun("users", {})).toMatchObject({
      request: { url: "https://api.example/v1/app/users" },
    });
    for (const name of await filesOf(settings.dir))
      expect(await readFile(join(settings.dir, name), "latin1")).not.toContain("hunter2");
  });

  test("is the same, byte for byte, for the same input", async () => {
    await exportAgent(await options());
    await exportAgent(await options({ dir: join(root, "again") }));
    for (const name of await filesOf(join(root, "agent")))
      expect(await readFile(join(root, "again", name))).toEqual(await readFile(join(root, "agent", name)));
  });

  test("replaces an agent, and nothing else", async () => {
    await exportAgent(await options());
    await exportAgent(await options({ version: "0.2.0" }));
    expect((await loadAgent(join(root, "agent"), { solver: noSolver })).manifest?.specdojo).toBe("0.2.0");
    await expect(exportAgent(await options({ dir: join(root, "merged") }))).rejects.toThrow(
      "not an exported agent",
    );
    expect(await readdir(join(root, "merged"))).toContain("optimizer.pt");
  });

  test("an incomplete model leaves the old agent as it was", async () => {
    await exportAgent(await options());
    const before = await filesOf(join(root, "agent"));
    await rm(join(root, "merged/model.safetensors"));
    await expect(exportAgent(await options())).rejects.toThrow("no config.json or no safetensors");
    await expect(exportAgent(await options({ solver: { merged: join(root, "nowhere") } }))).rejects.toThrow(
      "cannot be read",
    );
    expect(await filesOf(join(root, "agent"))).toEqual(before);
    expect((await readdir(root)).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

describe("loadAgent", () => {
  test("reads what was exported, and starts nothing before the first question", async () => {
    const settings = await options();
    await exportAgent(settings);
    const agent = await loadAgent(settings.dir, {
      solver: noSolver,
      client: { baseUrl: "http://127.0.0.1:1" },
    });
    expect(agent.menu).toEqual(JSON.parse(JSON.stringify(settings.menu)));
    expect(agent.evaluation).toMatchObject({ base: 0.2, tuned: 0.5, tasks: "…/tasks.jsonl" });
    expect(agent.client.dryRun("getPetById", { petId: 3 })).toMatchObject({
      ok: true,
      request: { url: "http://127.0.0.1:1/pet/3" },
    });
    expect((await agent.decide("hello")).calls).toEqual([]);
    await agent.close();
  });

  const damages: [string, (dir: string) => Promise<unknown>, string][] = [
    ["no folder", (dir) => rm(dir, { recursive: true }), "no exported agent here"],
    ["manifest that is not JSON", (dir) => writeFile(join(dir, "agent.json"), "{"), "manifest is not JSON"],
    [
      "manifest of another kind",
      (dir) => writeFile(join(dir, "agent.json"), "{}"),
      "manifest is not valid: /formatVersion",
    ],
    [
      "newer format",
      (dir) => writeFile(join(dir, "agent.json"), '{"formatVersion":2}'),
      "format 2; this version of specdojo reads up to 1",
    ],
    [
      "changed weights",
      (dir) => writeFile(join(dir, "model/model.safetensors"), Buffer.alloc(4096, 8)),
      "its hash differs",
    ],
    [
      "shorter weights",
      (dir) => writeFile(join(dir, "model/model.safetensors"), Buffer.alloc(4095, 7)),
      "4095 bytes instead of 4096",
    ],
    ["missing file", (dir) => rm(join(dir, "tools.json")), "is missing"],
    ["added code", (dir) => writeFile(join(dir, "model/modeling.py"), ""), "does not list"],
    [
      "path that leads out",
      async (dir) => {
        const manifest = JSON.parse(await readFile(join(dir, "agent.json"), "utf8")) as {
          files: Record<string, object>;
        };
        manifest.files["../secret"] = { sha256: "0".repeat(64), bytes: 1 };
        await writeFile(join(dir, "agent.json"), JSON.stringify(manifest));
      },
      "/files/../secret",
    ],
  ];
  test.each(damages)("%s", async (_, damage, message) => {
    const settings = await options();
    await exportAgent(settings);
    await damage(settings.dir);
    await expect(loadAgent(settings.dir, { solver: noSolver })).rejects.toThrow(message);
  });
});
