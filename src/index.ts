export { type EndpointSolverOptions, endpointSolver } from "./agent/endpoint.js";
export {
  exportGguf,
  type GgufReport,
  type GgufType,
  type WriteGgufOptions,
  writeGguf,
} from "./agent/gguf/export.js";
export { type GgufSolverOptions, ggufSolver } from "./agent/gguf/solver.js";
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
  type Credential,
  CredentialError,
  type CredentialRequest,
  createAgent,
  createClient,
  createToolset,
  type Decision,
  type DefinedTool,
  defineTool,
  type ExecuteOptions,
  type ExportOptions,
  exportAgent,
  type FileArgument,
  type FileContent,
  generateClient,
  type HttpError,
  type LoadAgentOptions,
  loadAgent,
  manifestSchema,
  type OAuthOptions,
  type OperationTypes,
  oauth2,
  type Page,
  type PageOptions,
  type RunEvent,
  type RunResult,
  readMenu,
  type Solver,
  type StreamItem,
  type ThrowingClient,
  type ToolAnswer,
  type ToolOutcome,
  type Toolset,
  type TypedToolCall,
  unwrap,
  writeMenu,
} from "./agent/index.js";
export { type ConnectOptions, connectBackend } from "./backend/client.js";
export { connectBackends } from "./backend/pool.js";
export { startWorker, type WorkerOptions } from "./backend/worker.js";
export { type BootstrapOptions, bootstrapAgent, type RunOptions, resumeAgent } from "./bootstrap.js";
export { type Evaluation, evaluateModels, scoreAnswer } from "./evaluate/index.js";
export {
  createMock,
  type Mock,
  type MockExchange,
  type MockOptions,
  type RunningMock,
  startMock,
} from "./mock/index.js";
export {
  buildRequest,
  buildToolMenu,
  createFingerprinter,
  createMenuIndex,
  type Diagnostic,
  type DrawnMenu,
  type DrawOptions,
  diffMenus,
  drawMenu,
  type HttpRequest,
  loadOpenApi,
  type MenuDiff,
  type MenuIndex,
  type MenuOptions,
  parseCompact,
  parseFull,
  parseRequest,
  renderCompact,
  renderFull,
  type Tool,
  type ToolMenu,
  type ToolRanker,
  validateArguments,
} from "./openapi/index.js";
export { type PlanOptions, planRun, type RunPlan } from "./plan.js";
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
