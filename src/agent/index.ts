export {
  type Agent,
  type CreateAgentOptions,
  createAgent,
  type DecideOptions,
  type Decision,
  type ExecutedCall,
  type Question,
  type RunEvent,
  type RunOptions,
  type RunResult,
  type RunStep,
} from "./agent.js";
export { CallError, createClient, unwrap } from "./client.js";
export type {
  ArgumentIssue,
  ArgumentsOf,
  CallEvent,
  CallFailure,
  CallOptions,
  CallResult,
  CallSuccess,
  Client,
  ClientOptions,
  DataOf,
  FileArgument,
  FileContent,
  HttpError,
  OperationTypes,
  Page,
  PageOptions,
  Paging,
  PlannedRequest,
  StreamItem,
  StreamResult,
  ThrowingClient,
  TypedToolCall,
  UntypedOperations,
} from "./client-types.js";
export {
  type Credential,
  CredentialError,
  type CredentialProvider,
  type CredentialRequest,
} from "./credentials.js";
export { type DefinedTool, defineTool, type ToolContext, type ToolDefinition } from "./define-tool.js";
export { type EndpointSolverOptions, endpointSolver } from "./endpoint.js";
export { type ExportOptions, exportAgent } from "./export.js";
export { type GenerateOptions, generateClient } from "./generate-client.js";
export { type GgufSolverOptions, ggufSolver } from "./gguf/solver.js";
export { type MenuGrammarOptions, menuGrammar } from "./grammar/menu.js";
export { agentFolder, type LoadOptions as LoadAgentOptions, loadAgent, type Runtime } from "./load.js";
export { AGENT_FORMAT, type AgentManifest, manifestSchema } from "./manifest.js";
export { readMenu, writeMenu } from "./menu-file.js";
export { type OAuthOptions, oauth2 } from "./oauth.js";
export { resultText } from "./result-text.js";
export {
  type CompleteOptions,
  type CompletionUsage,
  lazySolver,
  type Solver,
  samplerSolver,
} from "./solver.js";
export {
  type AnswerOptions,
  createToolset,
  type ExecuteOptions,
  outcomeText,
  type ToolAnswer,
  type ToolOutcome,
  type Toolset,
  type ToolsetOptions,
} from "./toolset.js";
