export {
  type Agent,
  type AgentManifest,
  type AnswerOptions,
  CallError,
  type CallEvent,
  type CallFailure,
  type CallOptions,
  type CallResult,
  type Client,
  type ClientOptions,
  createAgent,
  createClient,
  createToolset,
  type Decision,
  type DefinedTool,
  defineTool,
  type ExecuteOptions,
  type ExportOptions,
  exportAgent,
  generateClient,
  type HttpError,
  type LoadAgentOptions,
  loadAgent,
  manifestSchema,
  type OperationTypes,
  type RunEvent,
  type RunResult,
  readMenu,
  type Solver,
  type ToolAnswer,
  type ToolOutcome,
  type Toolset,
  type TypedToolCall,
  unwrap,
  writeMenu,
} from "./agent/index.js";
export { type ConnectOptions, connectBackend } from "./backend/client.js";
export { startWorker, type WorkerOptions } from "./backend/worker.js";
export { type BootstrapOptions, bootstrapAgent, type RunOptions, resumeAgent } from "./bootstrap.js";
export { type Evaluation, evaluateModels, scoreAnswer } from "./evaluate/index.js";
export {
  buildRequest,
  buildToolMenu,
  createMenuIndex,
  type Diagnostic,
  loadOpenApi,
  renderCompact,
  renderFull,
  type Tool,
  type ToolMenu,
  validateArguments,
} from "./openapi/index.js";
export {
  type ChatMessage,
  createSpecGenerator,
  createVerifier,
  type Rejection,
  type SpecOptions,
  type Task,
  type TaskSpec,
  type ToolCall,
} from "./task/index.js";
export { paperConfig, type RunConfig, smallConfig } from "./train/index.js";
export { SpecdojoError } from "./util/errors.js";
export type { JsonObject, JsonSchema, JsonSchemaObject, JsonValue } from "./util/json.js";
export type { Progress } from "./util/progress.js";
