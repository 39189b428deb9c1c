/** Model Context Protocol (@modelcontextprotocol/server 2): a tool server over stdio and streamable HTTP. */
import { createMcpHandler, type ListToolsResult, Server } from "@modelcontextprotocol/server";
import { type StdioServerHandle, serveStdio as serve } from "@modelcontextprotocol/server/stdio";
import type { Toolset } from "specdojo";
import { type HttpHost, type HttpOptions, hostHttp } from "./shared/http-host.js";
import { type McpOptions, mcpHandlers, serverInfo } from "./shared/mcp-handlers.js";

export type { HttpHost, HttpOptions, McpOptions };

/** A server of the toolset, to connect to any transport. */
export function mcpServer(toolset: Toolset, options: McpOptions = {}): Server {
  const handlers = mcpHandlers(toolset, options);
  const server = new Server(serverInfo(toolset), { capabilities: { tools: {} } });
  server.setRequestHandler("tools/list", () => handlers.listTools() as ListToolsResult);
  server.setRequestHandler("tools/call", ({ params }, { mcpReq }) =>
    handlers.callTool({ params }, { signal: mcpReq.signal }),
  );
  return server;
}

/** Serves on this process's stdin and stdout, which must then be used for nothing else. */
export function serveStdio(toolset: Toolset, options: McpOptions = {}): StdioServerHandle {
  return serve(() => mcpServer(toolset, options));
}

/** Serves streamable HTTP, without sessions: loopback and a token unless `options` say otherwise. */
export async function serveHttp(toolset: Toolset, options: McpOptions & HttpOptions = {}): Promise<HttpHost> {
  const { port: _port, host: _host, token: _token, ...mcpOptions } = options;
  const handler = createMcpHandler(() => mcpServer(toolset, mcpOptions));
  const host = await hostHttp((request) => handler.fetch(request), options);
  return {
    ...host,
    async close() {
      await handler.close();
      await host.close();
    },
  };
}
