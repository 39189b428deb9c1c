import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { SampleRequest, SamplingClient } from "../../src/backend/types.js";
import { type GroupPrompt, groupSeed, sampleGroups } from "../../src/rollout/rollout.js";
import { loadTokenizer, type Tokenizer } from "../../src/rollout/tokenizer.js";

const tokenizer = await loadTokenizer(fileURLToPath(new URL("../fixtures/tokenizer/brief", import.meta.url)));
const end = tokenizer.tokenId("<|end|>") ?? -1;
const prompts = ["a", "b"].map((id) => ({
  id,
  messages: [{ role: "user" as const, content: `book ${id}` }],
}));

/** Answers each request with its seed as text: once ended, then cut off. */
function echo(): SamplingClient & { seen: SampleRequest[] } {
  const seen: SampleRequest[] = [];
  return {
    seen,
    sample: async (requests, options) => {
      seen.push(...requests);
      options?.onProgress?.(requests.length, requests.length);
      return requests.map(({ params }) => {
        const text = tokenizer.encode(`<question>${params.seed}`);
        const logprobs = text.map(() => -1);
        return {
          sequences: [
            { tokens: [...text, end], logprobs: [...logprobs, -2], stopReason: "stop" as const },
            { tokens: text, logprobs, stopReason: "length" as const },
          ],
        };
      });
    },
  };
}

describe("sampleGroups", () => {
  it("makes a group of each prompt, text without the stop token, tags by name", async () => {
    const sampler = echo();
    const progress: number[][] = [];
    const groups = await sampleGroups(sampler, tokenizer, prompts, {
      count: 2,
      maxTokens: 16,
      temperature: 0.7,
      topP: 0.9,
      seed: 1,
      onProgress: (done, total) => progress.push([done, total]),
    });
    expect(groups.map(({ id, seed }) => ({ id, seed }))).toEqual([
      { id: "a", seed: groupSeed(1, "a") },
      { id: "b", seed: groupSeed(1, "b") },
    ]);
    for (const [index, group] of groups.entries()) {
      expect(group.prompt).toEqual(tokenizer.renderChat(prompts[index]?.messages ?? []));
      const text = `<question>${group.seed}`;
      expect(group.samples.map((sample) => [sample.text, sample.stopReason])).toEqual([
        [text, "stop"],
        [text, "length"],
      ]);
      expect(group.samples[0]?.tokens.at(-1)).toBe(end);
      for (const { tokens, logprobs } of group.samples) expect(tokens.length).toBe(logprobs.length);
    }
    expect(sampler.seen[0]).toMatchObject({
      count: 2,
      params: { maxTokens: 16, temperature: 0.7, topP: 0.9, stop: [end] },
    });
    expect(progress).toEqual([[2, 2]]);
  });

  it("gives a group the same seed wherever it stands, and another for another base seed", async () => {
    const options = { count: 1, maxTokens: 4, temperature: 1, seed: "run/3" };
    const forward = await sampleGroups(echo(), tokenizer, prompts, options);
    const backward = await sampleGroups(echo(), tokenizer, [...prompts].reverse(), options);
    expect(backward.map(({ seed }) => seed).reverse()).toEqual(forward.map(({ seed }) => seed));
    const other = await sampleGroups(echo(), tokenizer, prompts, { ...options, seed: "run/4" });
    expect(other[0]?.seed).not.toBe(forward[0]?.seed);
  });

  it("gives a prompt that fills the model's context no samples, and its neighbours theirs", async () => {
    const [first, second] = prompts.map(({ messages }) => tokenizer.renderChat(messages).length);
    expect(first).toBe(second);
    const giant = { id: "giant", messages: [{ role: "user" as const, content: "book ".repeat(50) }] };
    const options = { count: 2, maxTokens: 8, temperature: 1, seed: 1 };
    const sampled = async (asked: readonly GroupPrompt[], contextLength: number | undefined) => {
      const sampler = echo();
      const limited: Partial<Tokenizer> = {
        contextLength,
        stopTokens: tokenizer.stopTokens,
        renderChat: (messages) => tokenizer.renderChat(messages),
        decode: (tokens) => tokenizer.decode(tokens),
      };
      const groups = await sampleGroups(sampler, limited as Tokenizer, asked, options);
      return { groups, sent: sampler.seen.length };
    };
    const mixed = await sampled([...prompts.slice(0, 1), giant, ...prompts.slice(1)], (first ?? 0) + 1);
    expect(mixed.groups.map(({ id, samples }) => [id, samples.length])).toEqual([
      ["a", 2],
      ["giant", 0],
      ["b", 2],
    ]);
    expect(mixed.sent).toBe(2);
    // What a neighbour draws does not depend on it.
    const alone = await sampled(prompts, undefined);
    expect([mixed.groups[0], mixed.groups[2]]).toEqual(alone.groups);
    expect((await sampled([giant], undefined)).groups[0]?.samples).toHaveLength(2);
    // No token is left for an answer where the prompt is as long as the context.
    expect((await sampled(prompts, first)).groups.map(({ samples }) => samples)).toEqual([[], []]);
  });

  it("spreads seeds: 10 000 groups have almost no equal ones, all in the allowed range", () => {
    const seeds = Array.from({ length: 10_000 }, (_, index) => groupSeed(7, `task-${index}`));
    expect(new Set(seeds).size).toBeGreaterThan(9_990);
    expect(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31)).toBe(true);
  });
});
