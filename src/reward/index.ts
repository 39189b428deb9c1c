export {
  difficultyReward,
  type GeneratorParts,
  type GeneratorWeights,
  generatorReward,
  generatorWeights,
} from "./generator.js";
export type { Reward } from "./reward.js";
export { type CallScore, type SolverWeights, scoreCall, solverReward, solverWeights } from "./solver.js";
