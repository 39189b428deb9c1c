import type { SamplingClient } from "../backend/types.js";
import type { Tokenizer } from "../rollout/tokenizer.js";
import type { ChatMessage } from "../task/conversation.js";

/** Something that answers chat prompts with text: a sampled model, or another runtime behind the same two methods. */
export interface Solver {
  /** One greedy completion for each prompt, in order. */
  complete(
    prompts: readonly (readonly ChatMessage[])[],
    options: { maxTokens: number; signal?: AbortSignal },
  ): Promise<string[]>;
  close(): Promise<void>;
}

/** A solver that samples greedily from a backend, all prompts in one batch. */
export function samplerSolver(
  sampler: SamplingClient,
  tokenizer: Tokenizer,
  close?: () => Promise<void>,
): Solver {
  return {
    async complete(prompts, { maxTokens, signal }) {
      if (prompts.length === 0) return [];
      const params = { maxTokens, temperature: 0, stop: [...tokenizer.stopTokens] };
      const requests = prompts.map((messages) => ({
        prompt: tokenizer.renderChat([...messages]),
        count: 1,
        params,
      }));
      const results = await sampler.sample(requests, signal === undefined ? {} : { signal });
      return results.map(({ sequences }) => {
        const tokens = sequences[0]?.tokens ?? [];
        const last = tokens.at(-1);
        return tokenizer.decode(
          last !== undefined && params.stop.includes(last) ? tokens.slice(0, -1) : tokens,
        );
      });
    },
    close: async () => close?.(),
  };
}

/** Makes the solver at its first use, so that loading an agent for its client or tools starts nothing. */
export function lazySolver(start: () => Promise<Solver>): Solver {
  let started: Promise<Solver> | undefined;
  let closed = false;
  return {
    async complete(prompts, options) {
      if (closed) throw new Error("The agent is closed.");
      started ??= start();
      // A failed start is tried again by the next question.
      const solver = await started.catch((error: unknown) => {
        started = undefined;
        throw error;
      });
      return solver.complete(prompts, options);
    },
    async close() {
      closed = true;
      const solver = await started?.catch(() => undefined);
      await solver?.close();
    },
  };
}
