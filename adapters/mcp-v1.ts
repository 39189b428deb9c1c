/** Model Context Protocol (@modelcontextprotocol/sdk 1): the same server as `adapters/mcp`, with the SDK's first major. */
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import type { Toolset } from "specdojo";
import { type HttpHost, type HttpOptions, hostHttp } from "./shared/http-host.js";
import { type McpOptions, mcpHandlers, serverInfo } from "./shared/mcp-handlers.js";

export type { HttpHost, HttpOptions, McpOptions };

/** A server of the toolset, to connect to any transport. */
export function mcpServer(toolset: Toolset, options: McpOptions = {}): Server {
  const handlers = mcpHandlers(toolset, options);
  const server = new Server(serverInfo(toolset), { capabilities: { tools: {} } });
  server.setRequestHandler(ListToolsRequestSchema, handlers.listTools);
  server.setRequestHandler(CallToolRequestSchema, handlers.callTool);
  return server;
}

/** Serves on this process's stdin and stdout, which must then be used for nothing else. */
export async function serveStdio(toolset: Toolset, options: McpOptions = {}): Promise<Server> {
  const server = mcpServer(toolset, options);
  await server.connect(new StdioServerTransport());
  return server;
}

/** Serves streamable HTTP, without sessions: loopback and a token unless `options` say otherwise. */
export function serveHttp(toolset: Toolset, options: McpOptions & HttpOptions = {}): Promise<HttpHost> {
  const { port: _port, host: _host, token: _token, ...mcpOptions } = options;
  return hostHttp(async (request) => {
    const transport = new WebStandardStreamableHTTPServerTransport();
    await mcpServer(toolset, mcpOptions).connect(transport);
    return transport.handleRequest(request);
  }, options);
}
