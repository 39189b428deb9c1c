// An MCP server over stdio, of the built package: `node mcp-stdio-server.mjs ADAPTER URL_OF_THE_API`.
import { buildToolMenu, createToolset, loadOpenApi } from "specdojo";

const [adapter, baseUrl] = process.argv.slice(2);
const { serveStdio } = await import(`specdojo/adapters/${adapter}`);
const document = new URL("../../examples/petstore/openapi.yaml", import.meta.url);
const menu = buildToolMenu(await loadOpenApi(document));
await serveStdio(createToolset({ menu, client: { baseUrl, credentials: () => "key" } }));
