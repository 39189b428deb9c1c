export { paperConfig, type RunConfig, runConfigSchema, smallConfig } from "./config.js";
export type { RunContext, StepContext } from "./context.js";
export { groupAdvantages, likelihoodDatum, policyDatum, type WeightedCompletion } from "./grpo.js";
export { measureRates } from "./measure.js";
export { estimateMemory, type MemoryEstimate, type ModelShape, readModelShape } from "./memory.js";
export {
  type Cost,
  countsOf,
  type Estimate,
  estimateRun,
  fitCost,
  fitSizes,
  type Phase,
  type Rates,
  type Sizes,
  type Work,
  withSizes,
} from "./plan.js";
export { readCandidates, readTasks } from "./records.js";
export { loadReplay, type ReplayItem } from "./replay.js";
export { lockRun, RunDirectory, type RunManifest, type RunPosition } from "./run-directory.js";
export { planSteps, type SelfPlayHooks, selfPlay, supervisedBaseline } from "./self-play.js";
