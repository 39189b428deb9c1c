import { sampleFitting } from "../backend/fitting.js";
import type { SamplingClient } from "../backend/types.js";
import type { RenderableTool } from "../openapi/render.js";
import type { Tokenizer } from "../rollout/tokenizer.js";
import type { ChatMessage } from "../task/conversation.js";
import { briefStyle, callStart, type PromptStyle } from "../task/prompts.js";
import { menuGrammar } from "./grammar/menu.js";

export interface CompleteOptions {
  maxTokens: number;
  signal?: AbortSignal;
  /**
   * The tools shown in each prompt. A solver that can keep to a grammar then writes calls of these alone; others pass
   * it over.
   */
  tools?: readonly (readonly RenderableTool[])[];
  /** The answer begins with a call: of the only tool where one is shown. */
  mustCall?: boolean;
  /** Told once for each prompt, by its index. */
  onUsage?: (index: number, usage: CompletionUsage) => void;
}

/** Counts of tokens; `cached` are those of the prompt that were known from before. */
export interface CompletionUsage {
  prompt: number;
  cached: number;
  completion: number;
  finish: "stop" | "length";
}

/** Something that answers chat prompts with text: a sampled model, or another runtime behind the same two methods. */
export interface Solver {
  /** One greedy completion for each prompt, in order. */
  complete(prompts: readonly (readonly ChatMessage[])[], options: CompleteOptions): Promise<string[]>;
  /** Tells which tools a prompt has room for, beside a question and an answer of `maxTokens`; absent where it is unknown. */
  room?(maxTokens: number): Promise<((tools: readonly RenderableTool[]) => boolean) | undefined>;
  close(): Promise<void>;
}

export interface SamplerSolverOptions {
  /** The prompts that the model was trained on. */
  style?: PromptStyle;
  /**
   * Default true: where the tools of a question are known and the sampler follows grammars, only calls that their
   * schemas allow can be written. A sampler that does not is held to the start of an answer alone (`mustCall`).
   */
  constrained?: boolean;
  close?: () => Promise<void>;
}

/** A solver that samples greedily from a backend, all prompts in one batch. */
export function samplerSolver(
  sampler: SamplingClient,
  tokenizer: Tokenizer,
  options: SamplerSolverOptions = {},
): Solver {
  const { style = briefStyle, close } = options;
  const guided = options.constrained !== false && sampler.followsGrammars === true;
  return {
    async complete(prompts, { maxTokens, signal, tools, mustCall, onUsage }) {
      if (prompts.length === 0) return [];
      const params = { maxTokens, temperature: 0, stop: [...tokenizer.stopTokens] };
      const grammars = prompts.map((_, i) => {
        const shown = tools?.[i];
        return guided && shown !== undefined ? menuGrammar(shown, { style, mustCall }) : undefined;
      });
      const starts = prompts.map((_, i) =>
        mustCall === true && grammars[i] === undefined ? callStart(tools?.[i] ?? []) : "",
      );
      const rendered = prompts.map((messages, i) => [
        ...tokenizer.renderChat([...messages]),
        ...tokenizer.encode(starts[i] ?? ""),
      ]);
      const requests = rendered.map((prompt, i) => {
        const grammar = grammars[i];
        return { prompt, count: 1, params: grammar === undefined ? params : { ...params, grammar } };
      });
      const options = signal === undefined ? {} : { signal };
      const answers = await sampleFitting(sampler, requests, tokenizer.contextLength, options);
      return answers.map(([answer], i) => {
        const tokens = answer?.tokens ?? [];
        const prompt = rendered[i]?.length ?? 0;
        const finish = answer?.stopReason ?? "length";
        onUsage?.(i, { prompt, cached: 0, completion: tokens.length, finish });
        const last = tokens.at(-1);
        const ended = last !== undefined && params.stop.includes(last);
        return (starts[i] ?? "") + tokenizer.decode(ended ? tokens.slice(0, -1) : tokens);
      });
    },
    room: async (maxTokens) => {
      const { menuRoom } = await import("../rollout/room.js");
      return menuRoom(tokenizer, style, maxTokens);
    },
    close: async () => close?.(),
  };
}

/** Makes the solver at its first use, so that loading an agent for its client or tools starts nothing. */
export function lazySolver(start: () => Promise<Solver>): Solver {
  let started: Promise<Solver> | undefined;
  let closed = false;
  async function ready(): Promise<Solver> {
    if (closed) throw new Error("The agent is closed.");
    started ??= start();
    // A failed start is tried again by the next question.
    return started.catch((error: unknown) => {
      started = undefined;
      throw error;
    });
  }
  return {
    complete: async (prompts, options) => (await ready()).complete(prompts, options),
    room: async (maxTokens) => (await ready()).room?.(maxTokens),
    async close() {
      closed = true;
      const solver = await started?.catch(() => undefined);
      await solver?.close();
    },
  };
}
