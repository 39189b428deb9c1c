export {
  type ArgumentCheck,
  type ArgumentError,
  type ArgumentValidator,
  createArgumentValidator,
  validateArguments,
} from "./arguments.js";
export { type LoadedDocument, type LoadOptions, loadOpenApi } from "./load.js";
export { buildToolMenu } from "./menu.js";
export { type RenderableTool, renderCompact, renderFull } from "./render.js";
export { buildRequest, type HttpRequest, type RequestOptions } from "./request.js";
export { createMenuIndex, type MenuIndex, shortlist } from "./search.js";
export type {
  BodyBinding,
  Diagnostic,
  Domain,
  HttpMethod,
  OpenApiVersion,
  ParameterBinding,
  PropertyEncoding,
  Server,
  Tool,
  ToolMenu,
} from "./types.js";
