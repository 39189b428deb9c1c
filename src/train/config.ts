import { z } from "zod";
import { menuSchemas } from "../openapi/index.js";

const positive = z.int().positive();
const share = z.number().min(0).max(1);
const rate = z.number().positive();

/** Everything that decides what a run does. Written to `run.json`; the same configuration and seed give the same run. */
export const runConfigSchema = z.strictObject({
  seed: z.int().nonnegative(),
  /** Which operations become tools, and their domains. */
  menu: menuSchemas(z).menuOptionsSchema.default({}),
  /** A folder with a Hugging Face causal language model, or a name on the hub. */
  model: z.string().min(1),
  /** How prompts are worded; see `PromptStyle`. */
  prompts: z.strictObject({
    instructions: z.enum(["brief", "full"]),
    rendering: z.enum(["compact", "full"]),
  }),
  /** Rank of the LoRA adapters; 0 trains all weights. */
  loraRank: z.int().nonnegative(),
  /** `self-play` is Tool-R0. The other two are baselines on tasks that a frozen Generator wrote. */
  method: z.enum(["self-play", "rejection-sampling", "supervised"]),
  iterations: positive,
  /** `given`: the specification fixes operations and values. `free`: the Generator chooses them, as in the paper. */
  answer: z.enum(["given", "free"]),
  /** Ablation: one model plays both roles. */
  sharedWeights: z.boolean(),
  /** Ablation: the Generator is never trained. */
  frozenGenerator: z.boolean(),
  /** Ablation when false: the Generator is not rewarded for difficulty. */
  difficultyReward: z.boolean(),
  /** Where all samples of a group fail, the task's verified answer joins the group. Not in the paper. */
  goldAnchor: z.boolean(),
  /** Divide advantages by the group's standard deviation (GRPO) or not (Dr. GRPO). */
  divideByDeviation: z.boolean(),
  temperature: z.number().positive(),
  /** `linear`: within each iteration both roles' learning rates fall to 0 with their steps. */
  learningRateDecay: z.enum(["none", "linear"]),
  /** Clipping of the importance ratio, 1 - low and 1 + high. */
  clip: z.strictObject({ low: z.number().positive(), high: z.number().positive() }),
  generator: z.strictObject({
    steps: z.int().nonnegative(),
    /** Specifications per step. */
    groups: positive,
    groupSize: z.int().min(2),
    learningRate: rate,
    /** Solver samples per valid task, K. */
    probes: positive,
    maxTokens: positive,
  }),
  candidates: z.strictObject({
    /** Specifications per iteration, and completions for each. */
    specs: positive,
    perSpec: positive,
    probes: positive,
    /** Tasks kept per iteration. */
    keep: positive,
    mix: z.strictObject({ easy: share, medium: share, hard: share }),
    order: z.enum(["easy-to-hard", "shuffled"]),
  }),
  solver: z.strictObject({
    steps: z.int().nonnegative(),
    /** Tasks per step. */
    groups: positive,
    /** Most tasks of a step that are shown the same tools. One menu for several tasks costs a fraction of one for each. */
    groupsPerMenu: positive,
    groupSize: z.int().min(2),
    learningRate: rate,
    maxTokens: positive,
    /** Weight of the KL divergence to the base model in the loss; 0 leaves it out. */
    klBeta: z.number().nonnegative(),
    /** Weight of the cross entropy of the tasks' own verified answers against the policy loss; 0 leaves it out. */
    goldWeight: z.number().nonnegative().default(0),
    /** Share of the menus that are those which the finished agent will show for a question, not a specification's own. */
    deployedMenu: share,
    /** Made-up-API requests per step that are trained along (cross entropy), so that other APIs are not forgotten. */
    replay: z.int().nonnegative(),
    /** Weight of the replay loss against the policy loss. */
    replayWeight: z.number().nonnegative(),
  }),
  gradClipNorm: z.number().nonnegative(),
  weightDecay: z.number().nonnegative(),
  /** Also train on the run's tasks with supervision, from the base model and with as many steps, to compare. */
  supervisedBaseline: z.boolean().default(true),
  /** Steps between checkpoints. A killed run repeats at most this many. */
  checkpointEvery: positive,
  /** The finished agent shows all tools up to this number, and searches the menu above it. */
  maxTools: positive,
});
export type RunConfig = z.infer<typeof runConfigSchema>;

/** The paper's sizes (arXiv 2602.21320), with LoRA. Meant for a GPU. */
export const paperConfig: Omit<RunConfig, "seed" | "model"> = {
  menu: {},
  prompts: { instructions: "full", rendering: "compact" },
  loraRank: 32,
  method: "self-play",
  iterations: 3,
  answer: "given",
  sharedWeights: false,
  frozenGenerator: false,
  difficultyReward: true,
  goldAnchor: true,
  divideByDeviation: true,
  temperature: 0.7,
  learningRateDecay: "none",
  clip: { low: 0.2, high: 0.2 },
  generator: { steps: 50, groups: 40, groupSize: 4, learningRate: 2e-5, probes: 8, maxTokens: 1024 },
  candidates: {
    specs: 5000,
    perSpec: 2,
    probes: 8,
    keep: 2000,
    mix: { easy: 0.2, medium: 0.5, hard: 0.3 },
    order: "easy-to-hard",
  },
  solver: {
    steps: 50,
    groups: 40,
    groupsPerMenu: 1,
    groupSize: 4,
    learningRate: 2e-5,
    maxTokens: 1024,
    klBeta: 0.01,
    goldWeight: 0,
    deployedMenu: 0,
    replay: 0,
    replayWeight: 0,
  },
  gradClipNorm: 1,
  weightDecay: 0,
  supervisedBaseline: true,
  checkpointEvery: 5,
  maxTools: 16,
};

/** The same method at the size of the bundled model: minutes on two CPU cores. */
export const smallConfig: Omit<RunConfig, "seed" | "model"> = {
  ...paperConfig,
  prompts: { instructions: "brief", rendering: "compact" },
  loraRank: 0,
  temperature: 0.8,
  learningRateDecay: "linear",
  generator: { steps: 5, groups: 8, groupSize: 6, learningRate: 1e-4, probes: 8, maxTokens: 96 },
  candidates: {
    specs: 240,
    perSpec: 2,
    probes: 8,
    keep: 128,
    mix: { easy: 0.25, medium: 0.6, hard: 0.15 },
    order: "shuffled",
  },
  solver: {
    steps: 22,
    groups: 16,
    groupsPerMenu: 8,
    groupSize: 8,
    learningRate: 3e-4,
    maxTokens: 112,
    klBeta: 0,
    goldWeight: 0,
    deployedMenu: 0.5,
    replay: 16,
    replayWeight: 0.5,
  },
  checkpointEvery: 4,
  maxTools: 8,
};
