export {
  type BenchAnswer,
  type BenchModel,
  type BenchReport,
  type BenchResult,
  type BenchTotals,
  runBench,
  solverBenchModel,
} from "./bench.js";
export { type Contamination, findContamination, nearDuplicateThreshold } from "./contamination.js";
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
  type LocalModel,
  type LocalModels,
  type LocalOptions,
  startLocalModels,
  styleOf,
} from "./local.js";
export { passesOfficial } from "./official.js";
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
export { type Interval, mcnemarExact, pairedBootstrap, wilsonInterval } from "./statistics.js";
export {
  type AcceptableCall,
  loadSuite,
  parseSuite,
  type SuiteItem,
  suiteItemSchema,
  suiteTool,
} from "./suite.js";
export { evaluationTaskSchema, loadTasks, parseTasks, type ResolvedTask } from "./tasks.js";
export { benchText, evaluationText } from "./text.js";
export { type ValueFault, valueFault, valueFaults } from "./values.js";
