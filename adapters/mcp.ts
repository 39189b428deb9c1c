/** Model Context Protocol (@modelcontextprotocol/sdk 1): handlers for a low-level `Server`, over any transport. */
import type { AnswerOptions, JsonSchemaObject, Tool, Toolset } from "specdojo";

export interface McpOptions extends AnswerOptions {
  /** Names of the tools to offer. Default: all. */
  tools?: readonly string[];
  /** A menu with more tools is offered as two tools, `search_tools` and `call_tool`. Default 64. */
  maxTools?: number;
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
 * The two handlers of a tool server:
 * `server.setRequestHandler(ListToolsRequestSchema, handlers.listTools)` and
 * `server.setRequestHandler(CallToolRequestSchema, handlers.callTool)`. Calls that change something need `allow` or
 * `confirm`, whatever the client shows its user.
 */
export function mcpHandlers(toolset: Toolset, options: McpOptions = {}): McpHandlers {
  const { tools: names, maxTools = 64, ...answerOptions } = options;
  const offered = toolset.tools.filter(({ name }) => names?.includes(name) ?? true);
  const known = new Map(offered.map((tool) => [tool.name, tool]));
  const large = offered.length > maxTools;

  async function call(name: string, args: unknown, signal: AbortSignal | undefined): Promise<McpCallResult> {
    if (!known.has(name)) return failed(`There is no tool ${JSON.stringify(name)}.`);
    const answer = await toolset.answer(name, args, {
      ...answerOptions,
      ...(signal === undefined ? {} : { signal }),
    });
    return { content: [{ type: "text", text: answer.text }], isError: !answer.ok };
  }

  return {
    listTools: () => ({ tools: large ? [searchTool, callTool] : offered.map(toMcp) }),
    async callTool({ params }, extra) {
      const args = params.arguments ?? {};
      if (!large) return call(params.name, args, extra?.signal);
      if (params.name === callTool.name) return call(String(args.name), args.arguments, extra?.signal);
      if (params.name !== searchTool.name) return failed(`There is no tool ${JSON.stringify(params.name)}.`);
      const found = toolset.search(String(args.query)).filter(({ name }) => known.has(name));
      const text = JSON.stringify(found.slice(0, 10).map(toMcp));
      return { content: [{ type: "text", text }], isError: false };
    },
  };
}

function failed(message: string): McpCallResult {
  return { content: [{ type: "text", text: JSON.stringify({ error: message }) }], isError: true };
}

function toMcp({ name, description, parameters, annotations }: Tool): McpTool {
  return {
    name,
    description,
    inputSchema: { ...parameters, type: "object" },
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
