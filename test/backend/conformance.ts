import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reductionScale } from "../../src/backend/capabilities.js";
import type { ConnectedBackend } from "../../src/backend/client.js";
import type { Datum, LossName, SampleRequest, TrainingClient } from "../../src/backend/types.js";

export interface Target {
  backend: ConnectedBackend;
  /** The base model's name, as the server knows it. */
  model: string;
  /** Token ids that the model knows. */
  prompt: number[];
  answer: number[];
}

const lora = { rank: 4, seed: 7 };

/** What the self-play loop expects of a server of the training API, whichever it is. */
export function conformance(name: string, open: () => Promise<Target>): void {
  describe(name, { timeout: 600_000 }, () => {
    let target: Target;
    let dir: string;
    const models: TrainingClient[] = [];

    beforeAll(async () => {
      target = await open();
      dir = await mkdtemp(join(tmpdir(), "specdojo-conformance-"));
    }, 600_000);
    afterAll(async () => {
      await target?.backend.close();
      await rm(dir, { recursive: true, force: true });
    });

    const model = async (resumeFrom?: string): Promise<TrainingClient> => {
      for (const old of target.backend.capabilities.trainableModels === "one" ? models.splice(0) : [])
        await old.unload();
      const made = await target.backend.createModel({
        baseModel: target.model,
        lora,
        ...(resumeFrom === undefined ? {} : { resumeFrom }),
      });
      models.push(made);
      return made;
    };
    const request = (change: Partial<SampleRequest["params"]> = {}, count = 1): SampleRequest => ({
      prompt: target.prompt,
      count,
      params: { maxTokens: 8, temperature: 1, seed: 5, stop: [], ...change },
    });
    /** The answer after the prompt; every list has one entry per token but the last. */
    const shifted = (fields: { weight?: number; logprobs?: number[]; advantage?: number }): Datum => {
      const tokens = [...target.prompt, ...target.answer];
      const before = new Array<number>(target.prompt.length - 1).fill(0);
      const each = (value: number): number[] => [...before, ...target.answer.map(() => value)];
      return {
        input: tokens.slice(0, -1),
        targetTokens: tokens.slice(1),
        ...(fields.weight === undefined ? {} : { weights: each(fields.weight) }),
        ...(fields.logprobs === undefined ? {} : { logprobs: [...before, ...fields.logprobs] }),
        ...(fields.advantage === undefined ? {} : { advantages: each(fields.advantage) }),
      };
    };
    const scaled = (datum: Datum): Datum => {
      const by = reductionScale(target.backend.capabilities.lossReduction, datum, 1);
      return {
        ...datum,
        ...(datum.weights ? { weights: datum.weights.map((weight) => weight * by) } : {}),
        ...(datum.advantages ? { advantages: datum.advantages.map((advantage) => advantage * by) } : {}),
      };
    };
    /** Logprobs of the answer's tokens. */
    const score = async (trainer: TrainingClient): Promise<number[]> => {
      const { logprobs } = await trainer.forward([scaled(shifted({ weight: 1 }))], "cross_entropy");
      return (logprobs[0] ?? []).slice(-target.answer.length);
    };
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    const learn = async (trainer: TrainingClient, steps: number): Promise<void> => {
      for (let step = 0; step < steps; step++) {
        const pass = trainer.forwardBackward([scaled(shifted({ weight: 1 }))], "cross_entropy");
        await Promise.all([pass, trainer.optimStep({ learningRate: 5e-3 })]);
      }
    };

    it("samples as many completions as asked for, within their limits", async () => {
      const sampler = await target.backend.createSampler({ baseModel: target.model });
      const results = await sampler.sample([request({}, 3), request({ maxTokens: 3 }, 2)]);
      expect(results.map(({ sequences }) => sequences.length)).toEqual([3, 2]);
      for (const [index, { sequences }] of results.entries())
        for (const { tokens, logprobs, stopReason } of sequences) {
          expect(tokens.length).toBe(index === 0 ? 8 : 3);
          expect(logprobs.every((logprob) => logprob <= 0)).toBe(true);
          expect(stopReason).toBe("length");
        }
    });

    it("ends at a stop token and keeps it", async () => {
      const sampler = await target.backend.createSampler({ baseModel: target.model });
      const greedy = request({ temperature: 0 });
      const [free] = await sampler.sample([greedy]);
      const tokens = free?.sequences[0]?.tokens ?? [];
      const stop = tokens[2] ?? 0;
      const [ended] = await sampler.sample([request({ temperature: 0, stop: [stop] })]);
      expect(ended?.sequences[0]).toMatchObject({
        tokens: tokens.slice(0, tokens.indexOf(stop) + 1),
        stopReason: "stop",
      });
    });

    it("draws the same with the same seed, where it says so", async () => {
      const sampler = await target.backend.createSampler({ baseModel: target.model });
      const drawn = async () => (await sampler.sample([request({}, 4)]))[0]?.sequences.map((s) => s.tokens);
      const twice = [await drawn(), await drawn()];
      if (target.backend.capabilities.seededSampling) expect(twice[1]).toEqual(twice[0]);
      expect(new Set((twice[0] ?? []).map(String)).size).toBeGreaterThan(1);
    });

    it("scores prompts", async () => {
      const sampler = await target.backend.createSampler({ baseModel: target.model });
      const [result] = await sampler.sample([{ ...request({ maxTokens: 1 }), promptLogprobs: true }]);
      expect(result?.promptLogprobs).toHaveLength(target.prompt.length);
      expect(result?.promptLogprobs?.[0]).toBeNull();
      expect(result?.promptLogprobs?.slice(1).every((logprob) => logprob !== null && logprob < 0)).toBe(true);
    });

    it("trains on what it samples: both give the same logprobs", async () => {
      const trainer = await model();
      const sampler = await trainer.sampler();
      const [result] = await sampler.sample([{ ...request({}, 1), prompt: target.prompt }]);
      const { tokens = [], logprobs: sampled = [] } = result?.sequences[0] ?? {};
      const all = [...target.prompt, ...tokens];
      const weights = all.slice(1).map((_, index) => (index < target.prompt.length - 1 ? 0 : 1));
      const datum = { input: all.slice(0, -1), targetTokens: all.slice(1), weights };
      const { logprobs } = await trainer.forward([datum], "cross_entropy");
      for (const [index, value] of (logprobs[0] ?? []).slice(-tokens.length).entries())
        expect(Math.abs(value - (sampled[index] ?? 0))).toBeLessThan(0.1);
    });

    it("supervised steps make the answer likelier", async () => {
      const trainer = await model();
      const before = sum(await score(trainer));
      await learn(trainer, 4);
      expect(sum(await score(trainer))).toBeGreaterThan(before + 0.5);
    });

    it.each<LossName>(["importance_sampling", "ppo", "cispo"])("%s follows the advantages", async (loss) => {
      for (const advantage of [1, -1]) {
        const trainer = await model();
        const logprobs = await score(trainer);
        const datum = scaled(shifted({ logprobs, advantage }));
        const pass = trainer.forwardBackward([datum], loss);
        const [{ logprobs: now }] = await Promise.all([pass, trainer.optimStep({ learningRate: 5e-3 })]);
        expect((now[0] ?? []).slice(-target.answer.length)).toHaveLength(target.answer.length);
        expect(Math.sign(sum(await score(trainer)) - sum(logprobs))).toBe(advantage);
        await trainer.unload();
        models.splice(models.indexOf(trainer), 1);
      }
    });

    it("saves and resumes: weights and optimizer", async () => {
      const trainer = await model();
      await learn(trainer, 2);
      const path = await trainer.saveState("state-1");
      const saved = await score(trainer);
      await learn(trainer, 1);
      const next = await score(trainer);
      const resumed = await model(path);
      const again = await score(resumed);
      for (const [index, value] of again.entries()) expect(value).toBeCloseTo(saved[index] ?? 0, 1);
      await learn(resumed, 1);
      expect(sum(await score(resumed))).toBeCloseTo(sum(next), 0);
    });

    it("a saved sampler lasts and can be downloaded", async () => {
      const trainer = await model();
      await learn(trainer, 3);
      const fresh = await (await trainer.sampler()).sample([request({ temperature: 0 })]);
      const path = await trainer.saveForSampler("sampler-1");
      const kept = await target.backend.createSampler({ path });
      expect((await kept.sample([request({ temperature: 0 })]))[0]?.sequences[0]?.tokens).toEqual(
        fresh[0]?.sequences[0]?.tokens,
      );
      await target.backend.downloadCheckpoint(path, join(dir, "sampler"));
      const files = await readdir(join(dir, "sampler"), { recursive: true });
      expect(files.filter((file) => file.endsWith(".safetensors"))).not.toHaveLength(0);
    });

    it("keeps its models apart, or trains only one", async () => {
      const first = await model();
      if (target.backend.capabilities.trainableModels === "one") {
        await expect(target.backend.createModel({ baseModel: target.model, lora })).rejects.toMatchObject({
          code: "option-unsupported",
        });
        return;
      }
      const before = await score(first);
      const second = await model();
      await learn(second, 2);
      for (const [index, value] of (await score(first)).entries())
        expect(value).toBeCloseTo(before[index] ?? 0, 2);
      expect(sum(await score(second))).toBeGreaterThan(sum(before));
    });

    it("an old sampler still has its weights, or says that it has not", async () => {
      const trainer = await model();
      const old = await trainer.sampler();
      const [before] = await old.sample([request({ temperature: 0 })]);
      await learn(trainer, 4);
      const late = old.sample([request({ temperature: 0 })]);
      if (!target.backend.capabilities.samplersOutliveTraining) {
        await expect(late).rejects.toMatchObject({ code: "option-unsupported" });
        return;
      }
      expect((await late)[0]?.sequences[0]?.tokens).toEqual(before?.sequences[0]?.tokens);
    });

    it("refuses mistakes with words and goes on", async () => {
      const refused = { code: expect.stringMatching(/^backend-(rejected|failed)$/) };
      const trainer = await model();
      const missing = "tinker://nobody/weights/nothing";
      await expect(
        target.backend.createModel({ baseModel: target.model, lora, resumeFrom: missing }),
      ).rejects.toMatchObject(refused);
      const datum = shifted({ logprobs: target.answer.map(() => -1), advantage: 1 });
      await expect(trainer.forwardBackward([datum], "no-such-loss" as LossName)).rejects.toMatchObject(
        refused,
      );
      expect(await score(trainer)).toHaveLength(target.answer.length);
    });
  });
}
