export {
  type ArgumentCheck,
  type ArgumentError,
  type ArgumentValidator,
  createArgumentValidator,
  validateArguments,
} from "./arguments.js";
export { diffMenus, type MenuDiff, type ToolChange } from "./diff.js";
export { type DrawnMenu, type DrawOptions, drawMenu } from "./draw.js";
export type { ReferenceRules } from "./external.js";
export { createFingerprinter, type Fingerprint, type ToolPart } from "./fingerprint.js";
export { type LoadedDocument, type LoadOptions, loadOpenApi } from "./load.js";
export { buildToolMenu } from "./menu.js";
export { type MenuOptions, menuSchemas, type ToolFilter } from "./menu-options.js";
export { parseCompact, parseFull } from "./parse-rendering.js";
export type { ReadLimits } from "./read.js";
export { type RenderableTool, renderCompact, renderFull } from "./render.js";
export { buildRequest, type HttpRequest, parseRequest, type RequestOptions } from "./request.js";
export {
  createMenuIndex,
  type MenuIndex,
  type MenuIndexOptions,
  shortlist,
  type ToolRanker,
  trimmed,
} from "./search.js";
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
