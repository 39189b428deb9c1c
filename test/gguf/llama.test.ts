import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAgent } from "../../src/agent/agent.js";
import { exportGguf, writeGguf } from "../../src/agent/gguf/export.js";
import { ggufFile } from "../../src/agent/gguf/file.js";
import { hasLlama } from "../../src/agent/gguf/llama.js";
import { ggufSolver } from "../../src/agent/gguf/solver.js";
import { menuGrammar } from "../../src/agent/grammar/menu.js";
import { loadAgent } from "../../src/agent/load.js";
import { type CompletionUsage, type Solver, samplerSolver } from "../../src/agent/solver.js";
import { startWorker } from "../../src/backend/worker.js";
import { buildToolMenu, loadOpenApi, type Tool } from "../../src/openapi/index.js";
import { bundledModelDir } from "../../src/rollout/model-files.js";
import { loadTokenizer, type Tokenizer } from "../../src/rollout/tokenizer.js";
import { serveAgent } from "../../src/serve/index.js";
import { briefStyle, solverMessages } from "../../src/task/prompts.js";
import { agentFolder, token } from "../serve/helpers.js";
import { Gbnf } from "./gbnf.js";

/** Set by `npm test`: an interpreter that has the worker's packages. */
const python = process.env.SPECDOJO_TEST_PYTHON;

async function missing(): Promise<string | undefined> {
  if (python === undefined) return "no Python: run npm test, or set SPECDOJO_TEST_PYTHON";
  if (spawnSync(python, ["-c", "import gguf"]).status !== 0)
    return "Python lacks gguf: PYTHON -m pip install gguf==0.19.0";
  if (!(await hasLlama())) return "node-llama-cpp is not installed: npm run frameworks -- llama";
  return undefined;
}
const reason = await missing();

const untrained = `
import sys, torch
from pathlib import Path
from transformers import AutoConfig, AutoModelForCausalLM
torch.manual_seed(0)
AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(sys.argv[1])).save_pretrained(sys.argv[2])
`;

interface Row {
  tools: Tool[];
  items: { question: string }[];
}

describe.skipIf(reason !== undefined)(
  `GGUF in this process (slow)${reason === undefined ? "" : `: ${reason}`}`,
  { timeout: 900_000 },
  () => {
    const temporary = mkdtempSync(join(tmpdir(), "specdojo-gguf-"));
    const model = bundledModelDir();
    let dir: string;
    let remove: () => Promise<void>;
    let file: string;
    let tokenizer: Tokenizer;
    let solver: Solver;

    beforeAll(async () => {
      ({ dir, remove } = await agentFolder());
      const report = await exportGguf(dir, { python });
      expect(report).toMatchObject({ type: "f32", tensors: 68 });
      file = join(dir, ggufFile);
      tokenizer = await loadTokenizer(model);
      solver = await ggufSolver({ file, tokenizer, threads: 1 });
    }, 900_000);
    afterAll(async () => {
      await solver?.close();
      rmSync(temporary, { recursive: true, force: true });
      await remove?.();
    });

    it("answers as the worker does, without and with the grammar, which changes only what it does not allow", async () => {
      const rows = readFileSync(join(model, "other-apis.jsonl"), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Row)
        .filter(({ tools }) => tools.length <= 8)
        .slice(0, 8);
      const prompts = rows.map(({ tools, items }) => solverMessages(tools, items[0]?.question ?? ""));
      const worker = await startWorker({
        ...(python ? { python } : {}),
        args: ["--dtype", "float32", "--threads", "1"],
      });
      const sampled = samplerSolver(await worker.createSampler({ baseModel: model }), tokenizer);
      const wanted = await sampled.complete(prompts, { maxTokens: 160 });
      const tools = rows.map((row) => row.tools);
      const guided = await sampled.complete(prompts, { maxTokens: 160, tools });
      await worker.close();
      expect(await solver.complete(prompts, { maxTokens: 160 })).toEqual(wanted);
      const kept = await solver.complete(prompts, { maxTokens: 160, tools });
      expect(kept).toEqual(guided);
      for (const [i, text] of wanted.entries()) {
        const allowed = new Gbnf(menuGrammar(tools[i] ?? [], { style: briefStyle })).matches(text);
        expect(kept[i] === text).toBe(allowed);
      }
    });

    it("an untrained model, too, writes only calls that the schemas allow", async () => {
      const random = join(temporary, "untrained");
      execFileSync(python ?? "", ["-c", untrained, model, random], { stdio: "pipe" });
      for (const name of [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
      ])
        copyFileSync(join(model, name), join(random, name));
      const out = join(temporary, "untrained.gguf");
      await writeGguf({ model: random, out, python });
      const limits = { calls: 1, string: 6, items: 1, depth: 2 };
      const wild = await ggufSolver({ file: out, tokenizer, threads: 1, limits });
      let made = 0;
      for (const name of ["petstore-3.0.yaml", "museum-3.1.yaml", "uber-2.0.yaml"]) {
        const specs = fileURLToPath(new URL("../fixtures/specs/", import.meta.url));
        const menu = buildToolMenu(await loadOpenApi(join(specs, name)));
        const agent = createAgent({ menu, solver: wild, maxTokens: 160 });
        for (const tool of menu.tools.slice(0, 2)) {
          const { calls, rejected } = await agent.decide(tool.description, {
            tools: [tool.name],
            mustCall: true,
          });
          // An answer that was cut off is no call.
          expect(rejected.filter(({ reason: why }) => why !== "no-answer")).toEqual([]);
          made += calls.length;
        }
      }
      expect(made).toBeGreaterThan(0);
      await wild.close();
    });

    it("keeps the menu between questions, stops when told, and says what it cannot hold", async () => {
      const usage: CompletionUsage[] = [];
      const agent = await loadAgent(dir, { solver });
      const note = (told: CompletionUsage) => usage.push(told);
      const before = await agent.decide("Find pet 7", { onUsage: note });
      await agent.decide("Delete order 12", { onUsage: note });
      await agent.decide("Delete order 12", { onUsage: note });
      const [, second, third] = usage;
      expect(second?.cached).toBeGreaterThan((second?.prompt ?? 0) - 20);
      expect(third).toEqual({ ...second, cached: (second?.prompt ?? 0) - 1 });
      await expect(agent.decide("x", { signal: AbortSignal.abort(new Error("no more")) })).rejects.toThrow(
        "no more",
      );
      const stop = new AbortController();
      const slow = solver.complete([[{ role: "user", content: "Write a lot" }]], {
        maxTokens: 3000,
        signal: stop.signal,
      });
      stop.abort(new Error("enough"));
      await expect(slow).rejects.toThrow("enough");
      await expect(agent.decide("word ".repeat(5000))).rejects.toMatchObject({ code: "prompt-too-long" });
      expect(await agent.decide("Find pet 7")).toEqual(before);
    });

    it("an agent with the file needs no Python, and serve takes it", async () => {
      const agent = await loadAgent(dir, { python: "/no/such/python" });
      const { calls } = await agent.decide("Find pet 7", { mustCall: true });
      expect(calls).toEqual(
        (await (await loadAgent(dir, { solver })).decide("Find pet 7", { mustCall: true })).calls,
      );
      expect(calls.length).toBeGreaterThan(0);
      await agent.close();
      const served = await serveAgent({ dir, token });
      expect(served.runtime).toBe("gguf");
      const reply = await fetch(`${served.url}/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        body: JSON.stringify({
          model: served.model,
          messages: [{ role: "user", content: "Find pet 7" }],
          tool_choice: "required",
        }),
      });
      expect(await reply.json()).toMatchObject({
        choices: [
          {
            message: {
              tool_calls: calls.map((call) => ({
                function: { name: call.name, arguments: JSON.stringify(call.arguments) },
              })),
            },
          },
        ],
      });
      await served.close();
    });

    it("keeps keys and values in half precision where that is asked for", async () => {
      const half = await ggufSolver({ file, tokenizer, threads: 1, cacheType: "F16" });
      const agent = await loadAgent(dir, { solver: half });
      const { calls } = await agent.decide("Find pet 7", { mustCall: true });
      expect(calls.length).toBeGreaterThan(0);
      await agent.close();
    });

    it("what cannot be read is named", async () => {
      await expect(ggufSolver({ file: join(temporary, "none.gguf"), tokenizer })).rejects.toMatchObject({
        code: "gguf-missing",
      });
      await expect(ggufSolver({ file: join(dir, "tools.json"), tokenizer })).rejects.toMatchObject({
        code: "gguf-unreadable",
      });
      const larger = { ...tokenizer, size: 5000 } as Tokenizer;
      await expect(ggufSolver({ file, tokenizer: larger })).rejects.toMatchObject({ code: "gguf-tokenizer" });
      await expect(
        writeGguf({ model: temporary, out: join(temporary, "x.gguf"), python }),
      ).rejects.toMatchObject({
        code: "gguf-failed",
        message: expect.stringContaining("config.json"),
      });
    });
  },
);
