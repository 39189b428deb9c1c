import type { Backend, Datum } from "./types.js";

/** What servers of the training API do differently. The training loop reads these, never the server's name. */
export interface Capabilities {
  /** How `forward_backward` and the large results travel. Servers since SDK 0.25 take only `protobuf`. */
  encoding: "protobuf" | "json";
  /**
   * How a batch's token losses become one number: `sum` over all tokens, or `sequence-mean`, the mean over each
   * sequence's tokens and then over sequences. See `reductionScale`.
   */
  lossReduction: "sum" | "sequence-mean";
  /** The server takes `batch: {id, size}` in `asample`, waits for the whole batch and orders it by `seq_id`. */
  batchHint: boolean;
  /** `lora_config.rank: 0` trains all weights. */
  fullWeights: boolean;
  /** `loss_fn_config.trained_only` leaves out the logprobs of tokens that do not count in the loss. */
  trainedOnly: boolean;
  /** `loss_fn_config.kl_beta` adds a KL term against the base model to the loss. */
  klInLoss: boolean;
  /** `grad_clip_norm` is obeyed; otherwise the server ignores it or has a norm of its own. */
  gradClip: boolean;
  /** `beta1`, `beta2`, `eps` and `weight_decay` are obeyed. */
  adamOptions: boolean;
  /** The same seed, weights and batch give the same tokens. */
  seededSampling: boolean;
  /** `prompt_logprobs` has an entry for each token, null for the first, or leaves the first out. */
  promptLogprobs: "all" | "without-first";
  /** `sampling_params.grammar` (GBNF) limits what is sampled. */
  grammars: boolean;
  /** A sampler may be used after its model has trained on. Where false, such a use is refused. */
  samplersOutliveTraining: boolean;
  /** How many models one server trains at a time; `createModel` refuses a second one where it is one. */
  trainableModels: "one" | "many";
  /** How the archive endpoint spells a checkpoint: `weights/NAME` or `NAME`. */
  archiveId: "typed" | "bare";
}

/** A kind of server, finer than `Backend.kind` where engines behind one API differ. */
export type BackendProfile = "local" | "tinker" | "skyrl-jax" | "skyrl-fsdp" | "skyrl-megatron";

const skyrl = {
  encoding: "protobuf",
  trainedOnly: false,
  batchHint: false,
  fullWeights: false,
  klInLoss: false,
  gradClip: false,
  seededSampling: false,
  promptLogprobs: "all",
  grammars: false,
  samplersOutliveTraining: false,
  archiveId: "bare",
} as const;

export const capabilityTable: Readonly<Record<BackendProfile, Readonly<Capabilities>>> = {
  local: {
    encoding: "protobuf",
    trainedOnly: true,
    lossReduction: "sum",
    batchHint: true,
    fullWeights: true,
    klInLoss: true,
    gradClip: true,
    adamOptions: true,
    seededSampling: true,
    promptLogprobs: "all",
    grammars: true,
    samplersOutliveTraining: true,
    trainableModels: "many",
    archiveId: "typed",
  },
  tinker: {
    encoding: "protobuf",
    trainedOnly: false,
    lossReduction: "sum",
    batchHint: false,
    fullWeights: false,
    klInLoss: false,
    gradClip: true,
    adamOptions: true,
    seededSampling: false,
    promptLogprobs: "all",
    grammars: false,
    samplersOutliveTraining: true,
    trainableModels: "many",
    archiveId: "typed",
  },
  "skyrl-jax": {
    ...skyrl,
    lossReduction: "sequence-mean",
    adamOptions: true,
    promptLogprobs: "without-first",
    trainableModels: "many",
  },
  "skyrl-fsdp": { ...skyrl, lossReduction: "sum", adamOptions: false, trainableModels: "one" },
  "skyrl-megatron": { ...skyrl, lossReduction: "sum", adamOptions: false, trainableModels: "many" },
};

/** Profile taken when only the kind is known. */
export const defaultProfile: Readonly<Record<Backend["kind"], BackendProfile>> = {
  local: "local",
  tinker: "tinker",
  skyrl: "skyrl-jax",
};

/** The kind of server that a profile belongs to. */
export function kindOf(profile: BackendProfile): Backend["kind"] {
  return profile === "local" || profile === "tinker" ? profile : "skyrl";
}

/** The backend's own capabilities where it states them, else those of its kind. */
export function capabilitiesOf(
  backend: Backend & { readonly capabilities?: Capabilities },
): Readonly<Capabilities> {
  return backend.capabilities ?? capabilityTable[defaultProfile[backend.kind]];
}

/**
 * Factor for a datum's advantages (or weights) that turns the server's reduction into a sum over tokens, so that one
 * learning rate means the same on every backend. `count` is the number of data in the batch.
 */
export function reductionScale(
  reduction: Capabilities["lossReduction"],
  datum: Datum,
  count: number,
): number {
  if (reduction === "sum") return 1;
  const counted = datum.weights?.filter((weight) => weight !== 0).length ?? datum.targetTokens.length;
  return counted * count;
}
