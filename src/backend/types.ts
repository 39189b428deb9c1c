/** A prompt or completion as token ids. */
export type Tokens = number[];

export interface SamplingParams {
  maxTokens: number;
  /** 0 means greedy. */
  temperature: number;
  topP?: number;
  topK?: number;
  seed?: number;
  /** Token ids that end a completion; the stop token is part of the returned tokens. */
  stop: number[];
  /** GBNF that the completion's text keeps to; only for a sampler that `followsGrammars`. */
  grammar?: string;
}

/** One completion. `tokens` and `logprobs` have equal length; logprobs are those of the sampling distribution at temperature 1. */
export interface SampledSequence {
  tokens: Tokens;
  logprobs: number[];
  stopReason: "stop" | "length";
}

export interface SampleResult {
  sequences: SampledSequence[];
  /** One per prompt token (null for the first), when asked for. */
  promptLogprobs?: (number | null)[];
}

export interface SampleRequest {
  prompt: Tokens;
  /** Number of completions (the group size). */
  count: number;
  params: SamplingParams;
  /** Also return the logprob of every prompt token. */
  promptLogprobs?: boolean;
}

/** A frozen copy of weights that can be sampled. */
export interface SamplingClient {
  /** It keeps to `SamplingParams.grammar`. Default false. */
  readonly followsGrammars?: boolean;
  /**
   * Samples all requests, in one batch where the backend can; results come back in the order of the requests.
   * With a seed in every request the result does not depend on timing.
   */
  sample(
    requests: readonly SampleRequest[],
    options?: { signal?: AbortSignal; onProgress?: (done: number, total: number) => void },
  ): Promise<SampleResult[]>;
}

export type LossName = "cross_entropy" | "importance_sampling" | "ppo" | "cispo";

/**
 * One training sequence of n+1 tokens, shifted: `input` is tokens[0..n), `targetTokens` tokens[1..n+1).
 * All arrays have length n. Prompt positions carry weight, logprob and advantage 0.
 */
export interface Datum {
  input: Tokens;
  targetTokens: number[];
  /** For cross_entropy. */
  weights?: number[];
  /** For the policy losses: logprobs at sampling time, and advantages, per target token. */
  logprobs?: number[];
  advantages?: number[];
}

export interface AdamParams {
  learningRate: number;
  beta1?: number;
  beta2?: number;
  eps?: number;
  weightDecay?: number;
  /** 0 or undefined: no clipping. */
  gradClipNorm?: number;
}

/** One trainable model on a backend. Calls are queued in order; each promise settles when the server is done. */
export interface TrainingClient {
  readonly modelId: string;
  /** Accumulates gradients. Returns the logprob of every target token under the current weights, per datum, and metrics. */
  forwardBackward(
    data: Datum[],
    loss: LossName,
    config?: Record<string, number>,
  ): Promise<{ logprobs: number[][]; metrics: Record<string, number> }>;
  /** The same without gradients. */
  forward(
    data: Datum[],
    loss: LossName,
    config?: Record<string, number>,
  ): Promise<{ logprobs: number[][]; metrics: Record<string, number> }>;
  optimStep(params: AdamParams): Promise<{ metrics: Record<string, number> }>;
  /** Saves weights and optimizer; returns the checkpoint's path (`tinker://…`). */
  saveState(name: string): Promise<string>;
  /** Saves weights for sampling that must last; returns their path. */
  saveForSampler(name: string): Promise<string>;
  /** A sampler of the current weights (ephemeral). Finish all sampling from it before training goes on. */
  sampler(): Promise<SamplingClient>;
  unload(): Promise<void>;
}

export interface LoraConfig {
  /** 0 trains the full weights (local worker only). */
  rank: number;
  seed?: number;
}

/** One session with a server that speaks the training API. */
export interface Backend {
  readonly kind: "local" | "skyrl" | "tinker";
  /** `resumeFrom` is a path returned by `saveState`; it restores weights and optimizer. */
  createModel(options: { baseModel: string; lora: LoraConfig; resumeFrom?: string }): Promise<TrainingClient>;
  /** A sampler of a base model or of a path returned by `saveForSampler`. */
  createSampler(source: { baseModel: string } | { path: string }): Promise<SamplingClient>;
  /** Writes the checkpoint's archive as files into `dir` (adapter or full safetensors). */
  downloadCheckpoint(path: string, dir: string): Promise<void>;
  /** Deletes a checkpoint of `saveState` or `saveForSampler`. One that is gone, or a server that keeps all, is no error. */
  deleteCheckpoint(path: string): Promise<void>;
  /** Ends heartbeats and, for a spawned worker, the whole process group. Idempotent. */
  close(): Promise<void>;
}
