export {
  type BenchOptions,
  type BenchReport,
  type Comparison,
  runBench,
} from "./bench.js";
export { type Contamination, findContamination, nearDuplicateThreshold } from "./contamination.js";
export { type ConvertedSuite, convertSuite } from "./convert/index.js";
export { type EndpointOptions, endpointModel, endpointModels } from "./endpoint.js";
export {
  type AgentModel,
  type EvaluatedDecision,
  type EvaluateOptions,
  evaluateBaseline,
  evaluateModels,
} from "./evaluate.js";
export { type EvaluateFolderOptions, evaluateFolder } from "./folder.js";
export { heldOutSource, writeHeldOut } from "./heldout.js";
export {
  bundledModel,
  type LocalBenchModel,
  type LocalModel,
  type LocalModels,
  type LocalOptions,
  startLocalModels,
  styleOf,
} from "./local.js";
export {
  type Ask,
  asks,
  type BenchAnswer,
  type BenchModel,
  type PromptAnswer,
  type PromptModel,
  solverBenchModel,
} from "./models.js";
export { officialVerdict, passesOfficial } from "./official.js";
export { openResponses, type ResponseStore, requestKey } from "./responses.js";
export {
  type EvaluatedAnswer,
  type EvaluatedGroup,
  type Evaluation,
  evaluationSchema,
  type FailureCounts,
  type Summary,
} from "./schema.js";
export {
  type Failure,
  type FailureKind,
  failureKinds,
  type ModelAnswer,
  type Score,
  type ScoredTask,
  scoreAnswer,
  withoutDefaults,
} from "./score.js";
export {
  type Interval,
  mcnemarExact,
  pairedBootstrap,
  passAtK,
  passHatK,
  wilsonInterval,
} from "./statistics.js";
export {
  type AcceptableCall,
  loadSuite,
  parseSuite,
  readSuite,
  type SuiteItem,
  type SuiteLine,
  type SuiteName,
  suiteItemSchema,
  suiteNames,
  suiteTool,
} from "./suite.js";
export { evaluationTaskSchema, loadTasks, parseTasks, type ResolvedTask } from "./tasks.js";
export { benchText, evaluationText, suitesText } from "./text.js";
export {
  type BenchGroup,
  type BenchResult,
  type BenchTotals,
  type Prices,
  Tally,
  type Together,
  together,
} from "./totals.js";
export { type ValueFault, valueFault, valueFaults } from "./values.js";
