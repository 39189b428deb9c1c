import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Datum } from "../../src/backend/types.js";
import { startWorker, type Worker } from "../../src/backend/worker.js";
import { sampleGroups } from "../../src/rollout/rollout.js";
import { loadTokenizer, type Tokenizer } from "../../src/rollout/tokenizer.js";

/** Set by `npm test`: an interpreter that has the worker's packages. */
const python = process.env.SPECDOJO_TEST_PYTHON;

const makeModel = `
import sys, torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
end = tokenizer.convert_tokens_to_ids("<|end|>")
config = Qwen3Config(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
  num_key_value_heads=2, head_dim=8, max_position_embeddings=512, tie_word_embeddings=True, eos_token_id=end, bos_token_id=end)
Qwen3ForCausalLM(config).save_pretrained(sys.argv[2])
tokenizer.save_pretrained(sys.argv[2])
`;

describe.skipIf(python === undefined)("the real worker (slow)", { timeout: 600_000 }, () => {
  let dir: string;
  let model: string;
  let worker: Worker;
  let tokenizer: Tokenizer;
  const log: string[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "specdojo-real-"));
    model = join(dir, "model");
    const fixture = fileURLToPath(new URL("../fixtures/tokenizer/brief", import.meta.url));
    execFileSync(python ?? "", ["-c", makeModel, fixture, model], { stdio: "pipe" });
    tokenizer = await loadTokenizer(model);
    worker = await startWorker({
      ...(python === undefined ? {} : { python }),
      stateDir: join(dir, "state"),
      args: ["--dtype", "float32", "--threads", "1"],
      onLog: (line) => log.push(line),
    });
  }, 600_000);
  afterAll(async () => {
    await worker?.close();
    await rm(dir, { recursive: true, force: true });
  });

  const prompts = Array.from({ length: 6 }, (_, index) => ({
    id: `p${index}`,
    messages: [{ role: "user" as const, content: `Find the book ${index}` }],
  }));
  const options = { count: 3, maxTokens: 12, temperature: 1, seed: 5 };

  it("is on the CPU and keeps its token to itself", () => {
    expect(worker).toMatchObject({ kind: "local", device: "cpu", dtype: "float32" });
    expect(log.join("\n")).not.toContain(worker.apiKey);
  });

  it("samples the same tokens for the same seeds, from two sessions", async () => {
    const runs = [];
    for (let run = 0; run < 2; run++) {
      const sampler = await worker.createSampler({ baseModel: model });
      runs.push(await sampleGroups(sampler, tokenizer, prompts, options));
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(new Set(runs[0]?.flatMap(({ samples }) => samples.map(({ text }) => text))).size).toBeGreaterThan(
      3,
    );
  });

  it.each([0, 4])("trains with rank %i, and what it samples agrees with what it trains on", async (rank) => {
    const trainer = await worker.createModel({ baseModel: model, lora: { rank, seed: 1 } });
    const groups = await sampleGroups(await trainer.sampler(), tokenizer, prompts, options);
    const data = groups.flatMap(({ prompt, samples }) =>
      samples.map((sample, index): Datum => {
        const all = [...prompt, ...sample.tokens];
        const before = new Array(prompt.length - 1).fill(0);
        return {
          input: all.slice(0, -1),
          targetTokens: all.slice(1),
          logprobs: [...before, ...sample.logprobs],
          advantages: [...before, ...sample.tokens.map(() => index - 1)],
        };
      }),
    );
    const { logprobs, metrics } = await trainer.forwardBackward(data, "importance_sampling");
    for (const [i, datum] of data.entries())
      for (const [j, sampled] of (datum.logprobs ?? []).entries())
        if (sampled !== 0) expect(logprobs[i]?.[j]).toBeCloseTo(sampled, 3);
    expect(Object.keys(metrics).length).toBeGreaterThan(0);
    await trainer.optimStep({ learningRate: 0.01, gradClipNorm: 1 });
    const after = await trainer.forward(data, "importance_sampling");
    const good = data.findIndex((datum) => datum.advantages?.at(-1) === 1);
    expect(after.logprobs[good]?.at(-1)).not.toBe(logprobs[good]?.at(-1));

    const checkpoint = await trainer.saveState("step-1");
    const saved = await trainer.saveForSampler("final");
    await worker.downloadCheckpoint(saved, join(dir, `final-${rank}`));
    expect(
      (await readdir(join(dir, `final-${rank}`))).filter((name) => name.endsWith(".safetensors")),
    ).toHaveLength(1);
    await trainer.unload();
    const resumed = await worker.createModel({
      baseModel: model,
      lora: { rank, seed: 1 },
      resumeFrom: checkpoint,
    });
    expect((await resumed.forward(data, "importance_sampling")).logprobs).toEqual(after.logprobs);
    const sampler = await worker.createSampler({ path: saved });
    expect(await sampleGroups(sampler, tokenizer, prompts, options)).toHaveLength(prompts.length);
    await resumed.unload();
  });

  it("refuses what it cannot do with words", async () => {
    await expect(
      worker.createModel({ baseModel: join(dir, "nothing"), lora: { rank: 4 } }),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/^backend-(rejected|failed)$/),
      message: expect.stringContaining("nothing"),
    });
    const tooLong = {
      prompt: new Array(600).fill(1),
      count: 1,
      params: { maxTokens: 4, temperature: 1, stop: [] },
    };
    const sampler = await worker.createSampler({ baseModel: model });
    await expect(sampler.sample([tooLong])).rejects.toMatchObject({ code: "backend-rejected" });
  });

  it("stops sampling at the caller's signal and works on", async () => {
    const sampler = await worker.createSampler({ baseModel: model });
    const stop = new AbortController();
    const work = sampleGroups(sampler, tokenizer, prompts, {
      ...options,
      count: 64,
      maxTokens: 400,
      signal: stop.signal,
      stop: [],
    });
    setTimeout(() => stop.abort(new Error("enough")), 50);
    await expect(work).rejects.toThrow("enough");
    expect(await sampleGroups(sampler, tokenizer, prompts.slice(0, 1), options)).toHaveLength(1);
  });

  it("tells of its death", async () => {
    const other = await startWorker({
      ...(python === undefined ? {} : { python }),
      args: ["--threads", "1"],
    });
    const sampler = await other.createSampler({ baseModel: model });
    const work = sampleGroups(sampler, tokenizer, prompts, {
      ...options,
      count: 64,
      maxTokens: 400,
      stop: [],
    });
    setTimeout(() => process.kill(other.pid, "SIGKILL"), 200);
    await expect(work).rejects.toMatchObject({ code: "worker-died" });
    await other.close();
  });
});
