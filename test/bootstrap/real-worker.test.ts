import { execFileSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bootstrapAgent, resumeAgent } from "../../src/bootstrap.js";
import { evaluationSchema } from "../../src/evaluate/index.js";
import { libraryDocument } from "../train/library.js";
import { removeScratch, scratchFolder, tokenizerDir } from "../train/setup.js";

/** Set by `npm test`: an interpreter that has the worker's packages. */
const python = process.env.SPECDOJO_TEST_PYTHON;

const makeModel = `
import sys, torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
end = tokenizer.convert_tokens_to_ids("<|end|>")
config = Qwen3Config(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
  num_key_value_heads=2, head_dim=8, max_position_embeddings=8192, tie_word_embeddings=True, eos_token_id=end, bos_token_id=end)
Qwen3ForCausalLM(config).save_pretrained(sys.argv[2])
tokenizer.save_pretrained(sys.argv[2])
`;

afterAll(removeScratch);

describe.skipIf(python === undefined)("bootstrap on the real worker (slow)", { timeout: 180_000 }, () => {
  it.each([0, 4])(
    "trains a random model with rank %i, stops, goes on, exports, and decides",
    async (loraRank) => {
      const folder = await scratchFolder();
      const model = join(folder, "random-model");
      execFileSync(python ?? "", ["-c", makeModel, tokenizerDir, model], { stdio: "pipe" });
      const out = join(folder, "run");
      const stop = new AbortController();
      const log: string[] = [];
      const shared = { python: python ?? "", onLog: (line: string) => log.push(line) };
      const progress = {
        phase: (name: string) => {
          if (name.includes("writing and verifying")) stop.abort(new Error("stopped here"));
        },
        update() {},
        line() {},
      };
      const stopped = bootstrapAgent(structuredClone(libraryDocument), {
        ...shared,
        out,
        model,
        tasks: [{ id: "a", question: "Show book 3", gold: [{ name: "getBook", arguments: { bookId: 3 } }] }],
        config: {
          loraRank,
          prompts: { instructions: "brief" },
          iterations: 1,
          generator: { steps: 1, groups: 2, groupSize: 2, probes: 2, maxTokens: 6 },
          candidates: { specs: 4, perSpec: 1, probes: 2, keep: 4 },
          solver: { steps: 1, groups: 2, groupSize: 2, maxTokens: 6, klBeta: 0 },
        },
        signal: stop.signal,
        progress,
      });
      await expect(stopped).rejects.toThrow("stopped here");
      expect(JSON.parse(await readFile(join(out, "run.json"), "utf8"))).toMatchObject({
        position: { iteration: 0, phase: "candidates", step: 0 },
      });

      const agent = await resumeAgent(out, shared);
      const evaluation = evaluationSchema.parse(agent.evaluation);
      expect(evaluation.tasks.count).toBe(1);
      expect(evaluation.baselines).toHaveLength(1);
      const files = await readdir(join(out, "agent", "model"));
      expect(files).toContain("tokenizer.json");
      expect(files.some((name) => name.endsWith(".safetensors"))).toBe(true);
      const { text, calls } = await agent.decide("Show book 3");
      expect(text.length).toBeGreaterThan(0);
      expect(calls).toEqual([]);
      await agent.close();
      expect(await readFile(join(out, "agent", "agent.json"), "utf8")).not.toContain(folder);
    },
  );
});
