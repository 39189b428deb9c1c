import { sampleFitting } from "../backend/fitting.js";
import type { SampledSequence, SampleRequest, SamplingClient, Tokens } from "../backend/types.js";
import type { ChatMessage } from "../task/conversation.js";
import { hash32 } from "../util/random.js";
import type { Tokenizer } from "./tokenizer.js";

/** One completion of a prompt. `tokens` and `logprobs` have equal length and include the stop token. */
export interface RolloutSample {
  tokens: Tokens;
  /** At sampling time, at temperature 1. */
  logprobs: number[];
  /** Decoded, without the stop token; special tokens by their names. */
  text: string;
  stopReason: SampledSequence["stopReason"];
}

/** The samples of one prompt, which GRPO compares with each other; none where the prompt was too long. */
export interface RolloutGroup {
  id: string;
  /** Token ids. */
  prompt: Tokens;
  samples: RolloutSample[];
  /** The sampling seed of the group. */
  seed: number;
}

export interface GroupPrompt {
  /** Unique in the batch; with the base seed it fixes the group's seed. */
  id: string;
  messages: readonly ChatMessage[];
}

export interface SampleGroupsOptions {
  /** Samples per prompt. */
  count: number;
  maxTokens: number;
  /** 0 means greedy. */
  temperature: number;
  topP?: number;
  topK?: number;
  /** The batch's base seed. */
  seed: number | string;
  /** Token ids that end a completion; default: the tokenizer's. */
  stop?: readonly number[];
  signal?: AbortSignal;
  /** Told of every finished group; those that cannot be sampled do not count. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Samples a group for each prompt, in one batch, in the order of the prompts. A group's seed depends on the base seed
 * and the group's id alone: adding or reordering prompts does not change it. A prompt that leaves no room in the model's
 * context gets no samples.
 */
export async function sampleGroups(
  sampler: SamplingClient,
  tokenizer: Tokenizer,
  prompts: readonly GroupPrompt[],
  options: SampleGroupsOptions,
): Promise<RolloutGroup[]> {
  const stop = [...(options.stop ?? tokenizer.stopTokens)];
  const groups = prompts.map(({ id, messages }) => ({
    id,
    prompt: tokenizer.renderChat(messages),
    seed: groupSeed(options.seed, id),
  }));
  const requests = groups.map(
    ({ prompt, seed }): SampleRequest => ({
      prompt,
      count: options.count,
      params: {
        maxTokens: options.maxTokens,
        temperature: options.temperature,
        seed,
        stop,
        ...(options.topP === undefined ? {} : { topP: options.topP }),
        ...(options.topK === undefined ? {} : { topK: options.topK }),
      },
    }),
  );
  const results = await sampleFitting(sampler, requests, tokenizer.contextLength, {
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  return groups.map((group, index) => ({
    ...group,
    samples: (results[index] ?? []).map((sequence) => toSample(sequence, tokenizer, stop)),
  }));
}

/** Sampling seed of a group, in [0, 2^31). */
export const groupSeed = (base: number | string, id: string): number => hash32(`${base}/${id}`) >>> 1;

function toSample(sequence: SampledSequence, tokenizer: Tokenizer, stop: readonly number[]): RolloutSample {
  const last = sequence.tokens.at(-1);
  const ended = sequence.stopReason === "stop" && last !== undefined && stop.includes(last);
  return {
    tokens: sequence.tokens,
    logprobs: sequence.logprobs,
    text: tokenizer.decode(ended ? sequence.tokens.slice(0, -1) : sequence.tokens),
    stopReason: sequence.stopReason,
  };
}
