export { type CrossVerification, type CrossVerifyOptions, crossVerify } from "./cross-verify.js";
export { type DeduplicateOptions, type Duplicate, deduplicate, deduplicateDefaults } from "./deduplicate.js";
export { type OperationPassRate, operationWeights, passRatesByOperation } from "./feedback.js";
export {
  type Difficulty,
  difficultyOf,
  type MeasuredTask,
  type SelectionReport,
  type SelectOptions,
  select,
  selectDefaults,
} from "./select.js";
export {
  clusterSizes,
  createNearIndex,
  jaccard,
  type NearIndex,
  normalizeText,
  type SimilarityOptions,
  similarityDefaults,
  trigrams,
} from "./similarity.js";
