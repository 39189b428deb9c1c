import type { Capabilities } from "../backend/capabilities.js";
import { reductionScale } from "../backend/capabilities.js";
import type { AdamParams, Backend, Datum, TrainingClient } from "../backend/types.js";
import type { Tool, ToolMenu } from "../openapi/types.js";
import { menuRoom } from "../rollout/room.js";
import type { Tokenizer } from "../rollout/tokenizer.js";
import { createSpecGenerator, type SpecGenerator, type SpecOptions } from "../task/index.js";
import type { Progress } from "../util/progress.js";
import type { RunConfig } from "./config.js";
import type { ReplayItem } from "./replay.js";
import type { RunDirectory } from "./run-directory.js";

/** What one step of a role works with. */
export interface StepContext {
  config: RunConfig;
  menu: ToolMenu;
  /** The model's name as the backend knows it. */
  baseModel: string;
  backend: Backend & { readonly capabilities: Readonly<Capabilities> };
  tokenizer: Tokenizer;
  /** Requests about made-up APIs that are trained along; empty for a model without them. */
  replay: readonly ReplayItem[];
  progress: Progress;
  signal: AbortSignal;
}

/** What every phase of a run works with. */
export interface RunContext extends StepContext {
  run: RunDirectory;
}

/** Which tools the prompts of both roles have room for. */
export function roomFor({ config, tokenizer }: StepContext): (tools: readonly Tool[]) => boolean {
  return menuRoom(tokenizer, config.prompts, Math.max(config.generator.maxTokens, config.solver.maxTokens));
}

/** Draws specifications as the configuration wants them, of operations that prompts have room for. */
export function specsOf(
  context: StepContext,
  seed: string,
  options: Partial<SpecOptions> = {},
): SpecGenerator {
  const { config, menu } = context;
  return createSpecGenerator(menu, { seed, answer: config.answer, fits: roomFor(context), ...options });
}

/** Optimizer settings of one role. */
export function adam({ config }: StepContext, learningRate: number): AdamParams {
  return {
    learningRate,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weightDecay: config.weightDecay,
    gradClipNorm: config.gradClipNorm,
  };
}

/** The learning rate of step `step` (from 0) of a role's phase. */
export function rateAt(
  { config }: StepContext,
  { learningRate, steps }: { learningRate: number; steps: number },
  step: number,
): number {
  return config.learningRateDecay === "linear"
    ? learningRate * (1 - step / Math.max(1, steps))
    : learningRate;
}

/** Multiplies every advantage and weight, so that a step is the same whatever the backend's reduction is. */
export function scaled(context: StepContext, data: readonly Datum[], factor: number): Datum[] {
  const { lossReduction } = context.backend.capabilities;
  return data.map((datum) => {
    const by = factor * reductionScale(lossReduction, datum, data.length);
    return {
      ...datum,
      ...(datum.weights === undefined ? {} : { weights: datum.weights.map((weight) => weight * by) }),
      ...(datum.advantages === undefined
        ? {}
        : { advantages: datum.advantages.map((advantage) => advantage * by) }),
    };
  });
}

/** Number of trained tokens. */
export function trainedTokens(data: readonly Datum[]): number {
  let count = 0;
  for (const { advantages, weights } of data)
    for (const value of advantages ?? weights ?? []) if (value !== 0) count++;
  return count;
}

/** Opens the role's model where the run stopped, or from the base. */
export function openModel(
  context: RunContext,
  role: "generator" | "solver" | "baseline",
): Promise<TrainingClient> {
  const { config, backend, baseModel, run } = context;
  const checkpoint = run.manifest.checkpoints[role];
  return backend.createModel({
    baseModel,
    lora: { rank: config.loraRank, seed: config.seed },
    ...(checkpoint === undefined ? {} : { resumeFrom: checkpoint }),
  });
}
