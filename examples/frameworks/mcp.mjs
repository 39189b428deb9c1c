// Model Context Protocol: a server of the API's operations over streamable HTTP, and the official client of it.
// A program that serves stdin and stdout instead is one line: `serveStdio(toolset)`.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { serveHttp } from "specdojo/adapters/mcp";
import { agent, finish } from "./_pets.mjs";

const { url, token, close } = await serveHttp(agent, { allow: ["placeOrder"] });

const client = new Client({ name: "example", version: "1.0.0" });
const headers = { authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
const { tools } = await client.listTools();
const destructive = tools.filter(({ annotations }) => annotations.destructiveHint).map(({ name }) => name);
if (!destructive.includes("deletePet")) throw new Error("deletePet is not marked as destructive.");
const { content } = await client.callTool({ name: "getPetById", arguments: { petId: 3 } });
await client.close();
await close();
await finish(content[0].text);
