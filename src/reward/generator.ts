import type { Reward } from "./reward.js";

export interface GeneratorWeights {
  format: number;
  validity: number;
  curriculum: number;
  /** Inside validity. */
  inMenu: number;
  fits: number;
  grounded: number;
  /** Inside curriculum. */
  difficulty: number;
  coherence: number;
  /** Taken off: `repetition * cluster size / batch size`. */
  repetition: number;
  /** Pass rates that are neither too easy nor too hard, both ends included. */
  band: readonly [number, number];
  /** Width of the fall outside the band. */
  sigma: number;
}

/** Tool-R0's weights. */
export const generatorWeights: GeneratorWeights = {
  format: 1,
  validity: 1,
  curriculum: 1,
  inMenu: 0.4,
  fits: 0.4,
  grounded: 0.2,
  difficulty: 0.5,
  coherence: 0.5,
  repetition: 0.2,
  band: [0.25, 0.75],
  sigma: 0.12,
};

/** What one completion of the Generator is rewarded for. The verifier's `Assessment` has the first four as they are. */
export interface GeneratorParts {
  /** Which asked-for parts were written well; `answer` is null where the specification gave it. */
  format: { question: boolean; shape: boolean; answer: boolean | null };
  placeholder: boolean;
  /** Shares in [0, 1]. */
  validity: { inMenu: number; fits: number; grounded: number };
  /** Coherence of question and call, in [0, 1]. */
  topicality: number;
  /** Whether the completion became a task; only a task has a curriculum reward. */
  valid: boolean;
  /** Measured success of the frozen Solver over `samples` rollouts; undefined where it was not probed. */
  passRate?: number | undefined;
  /** K, 8 in the paper. */
  samples?: number;
  /** Size of the question's cluster of near duplicates in its batch (1 when it is alone), and of the batch. */
  repetition?: { clusterSize: number; batchSize: number };
}

/**
 * Difficulty reward of a pass rate p over K samples: 1 inside the band, `exp(-d² / 2σ²)` at distance d from it, and 0
 * when p < 1/K (the Solver never succeeded: too hard or wrong).
 */
export function difficultyReward(
  passRate: number,
  samples: number,
  { band, sigma }: Pick<GeneratorWeights, "band" | "sigma"> = generatorWeights,
): number {
  // k/K need not be exact in binary.
  if (passRate < 1 / samples - 1e-9) return 0;
  const [low, high] = band;
  const distance = passRate < low ? low - passRate : passRate > high ? passRate - high : 0;
  return Math.exp(-(distance ** 2) / (2 * sigma ** 2));
}

/**
 * The Generator's reward: `format + validity + curriculum - repetition`.
 *
 * Format is the share of asked-for parts that are there (the paper's thirds, where the tools are not the Generator's
 * to write and a given answer neither), 0 for a placeholder. Coherence is the verifier's topicality: there is no
 * language model as a judge, so none can fail or be misread.
 */
export function generatorReward(parts: GeneratorParts, weights: Partial<GeneratorWeights> = {}): Reward {
  const w: GeneratorWeights = { ...generatorWeights, ...weights };
  const written = [parts.format.question, parts.format.question && parts.format.shape];
  if (parts.format.answer !== null) written.push(parts.format.answer);
  const real = parts.format.question && !parts.placeholder;
  const format = parts.placeholder ? 0 : written.filter(Boolean).length / written.length;
  const { inMenu, fits, grounded } = parts.validity;
  const validity = real ? w.inMenu * inMenu + w.fits * fits + w.grounded * grounded : 0;
  const probed = parts.valid && parts.passRate !== undefined;
  const difficulty = probed ? difficultyReward(parts.passRate ?? 0, parts.samples ?? 8, w) : 0;
  const coherence = parts.valid ? parts.topicality : 0;
  const curriculum = w.difficulty * difficulty + w.coherence * coherence;
  const { clusterSize = 1, batchSize = 1 } = parts.repetition ?? {};
  const repetition = real && clusterSize > 1 ? w.repetition * (clusterSize / batchSize) : 0;
  return {
    value: w.format * format + w.validity * validity + w.curriculum * curriculum - repetition,
    parts: { format, validity, difficulty, coherence, curriculum, repetition },
  };
}
