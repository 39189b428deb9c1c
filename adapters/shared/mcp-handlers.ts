/** What an MCP server of either SDK answers: the tools of a toolset, or for a large menu two tools to search and call. */
import type { JsonSchemaObject, Tool, Toolset } from "specdojo";
import { answerOptions, objectSchema, offeredTools, type ToolOptions } from "./options.js";

export interface McpOptions extends ToolOptions {
  /** A menu with more tools is offered as two tools, `search_tools` and `call_tool`. Default 64. */
  maxTools?: number;
  /** Operations that one search gives, at most. Default 10. */
  maxFound?: number;
}

export interface McpTool {
  name: string;
  description: string;
  inputSchema: JsonSchemaObject & { type: "object" };
  annotations: {
    readOnlyHint: boolean;
    destructiveHint: boolean;
    idempotentHint: boolean;
    openWorldHint: boolean;
  };
  [extension: string]: unknown;
}

export interface McpCallResult {
  content: { type: "text"; text: string }[];
  isError: boolean;
  [extension: string]: unknown;
}

export interface McpHandlers {
  listTools(): { tools: McpTool[] };
  callTool(
    request: { params: { name: string; arguments?: Record<string, unknown> | undefined } },
    extra?: { signal?: AbortSignal },
  ): Promise<McpCallResult>;
}

/**
 * The handlers of `tools/list` and `tools/call` for a low-level server. Calls that change something need `allow` or
 * `confirm`, whatever the client shows its user.
 */
export function mcpHandlers(toolset: Toolset, options: McpOptions = {}): McpHandlers {
  const { maxTools = 64, maxFound = 10, ...toolOptions } = options;
  const offered = offeredTools(toolset, toolOptions);
  const known = new Set(offered.map(({ name }) => name));
  const large = offered.length > maxTools;

  async function call(name: unknown, args: unknown, signal: AbortSignal | undefined): Promise<McpCallResult> {
    if (typeof name !== "string" || !known.has(name))
      return failed(
        `There is no tool ${JSON.stringify(name)}.${large ? " Find one with search_tools." : ""}`,
      );
    const answer = await toolset.answer(name, args, answerOptions(toolOptions, signal));
    return { content: [{ type: "text", text: answer.text }], isError: !answer.ok };
  }

  function search(query: unknown): McpCallResult {
    if (typeof query !== "string" || query.trim() === "")
      return failed("search_tools takes a query in words.");
    const found = toolset.search(query).filter(({ name }) => known.has(name));
    const text = JSON.stringify(found.slice(0, maxFound).map(toMcp));
    return { content: [{ type: "text", text }], isError: false };
  }

  return {
    listTools: () => ({ tools: large ? [searchTool, callTool] : offered.map(toMcp) }),
    async callTool({ params }, extra) {
      const args = params.arguments ?? {};
      if (large && params.name === searchTool.name) return search(args.query);
      if (large && params.name === callTool.name) return call(args.name, args.arguments, extra?.signal);
      return large
        ? failed(`There is no tool ${JSON.stringify(params.name)}.`)
        : call(params.name, args, extra?.signal);
    },
  };
}

/** Name and version that a server gives of itself. */
export function serverInfo({ menu }: Toolset): { name: string; version: string } {
  return { name: menu.title || "API", version: menu.version || "0" };
}

function failed(message: string): McpCallResult {
  return { content: [{ type: "text", text: JSON.stringify({ error: message }) }], isError: true };
}

function toMcp(tool: Tool): McpTool {
  const { name, description, annotations } = tool;
  return {
    name,
    description,
    inputSchema: objectSchema(tool),
    annotations: {
      readOnlyHint: annotations.readOnly,
      destructiveHint: annotations.destructive,
      idempotentHint: annotations.idempotent,
      openWorldHint: true,
    },
  };
}

const searchTool: McpTool = {
  name: "search_tools",
  description:
    "Finds operations of the API by what they do. Gives their names and input schemas for call_tool.",
  inputSchema: {
    type: "object",
    properties: { query: { type: "string", description: "What the operation should do" } },
    required: ["query"],
    additionalProperties: false,
  },
  annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
};

const callTool: McpTool = {
  name: "call_tool",
  description: "Calls one operation that search_tools found.",
  inputSchema: {
    type: "object",
    properties: {
      name: { type: "string", description: "The operation's name" },
      arguments: { type: "object", description: "Arguments that fit the operation's input schema" },
    },
    required: ["name"],
    additionalProperties: false,
  },
  annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true },
};
