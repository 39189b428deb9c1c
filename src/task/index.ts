export { type ChatMessage, isConversation, messagesToQuestion, questionToMessages } from "./conversation.js";
export { answerKey, argumentKeys, callKey, callsEqual, valueKey, valuesEqual } from "./equality.js";
export {
  type Grounding,
  groundCall,
  type QuestionReading,
  readQuestion,
  type Ungrounded,
} from "./grounding.js";
export { bestAssignment } from "./matching.js";
export { type Completion, type Expected, parseCalls, parseCompletion, parseQuestion } from "./parse.js";
export {
  briefStyle,
  fullStyle,
  generatorCompletion,
  generatorMessages,
  type PromptStyle,
  renderCalls,
  shownTools,
  solverCompletion,
  solverMessages,
} from "./prompts.js";
export { isRejection, quote, reject } from "./rejection.js";
export {
  type Coverage,
  createSpecGenerator,
  type SizeRange,
  type SpecGenerator,
  type SpecOptions,
  specDefaults,
} from "./spec.js";
export { likelihoodVerdict, type TopicWeights, topicWeights } from "./topic.js";
export type { EvaluationTask, Rejection, Task, TaskSpec, ToolCall } from "./types.js";
export {
  createValueSampler,
  optionalParameters,
  type ValueOptions,
  type ValueSampler,
  valueDefaults,
} from "./values.js";
export {
  type Assessment,
  createVerifier,
  isPlaceholder,
  type Verifier,
  type VerifierOptions,
  verifierDefaults,
} from "./verify.js";
