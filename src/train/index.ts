export { paperConfig, type RunConfig, runConfigSchema, smallConfig } from "./config.js";
export type { RunContext } from "./context.js";
export { groupAdvantages, likelihoodDatum, policyDatum, type WeightedCompletion } from "./grpo.js";
export { readCandidates, readTasks } from "./records.js";
export { loadReplay, type ReplayItem } from "./replay.js";
export { lockRun, RunDirectory, type RunManifest, type RunPosition } from "./run-directory.js";
export { planSteps, type SelfPlayHooks, selfPlay, supervisedBaseline } from "./self-play.js";
