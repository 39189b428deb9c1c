import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import * as v2 from "@modelcontextprotocol/client";
import { StdioClientTransport as StdioV2 } from "@modelcontextprotocol/client/stdio";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as StdioV1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as HttpV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import * as serverV2 from "../../adapters/mcp.js";
import * as serverV1 from "../../adapters/mcp-v1.js";
import type { HttpHost } from "../../adapters/shared/http-host.js";
import { mcpHandlers } from "../../adapters/shared/mcp-handlers.js";
import { type Kennel, kennel } from "./helpers.js";

let pets: Kennel;
const open: { close(): Promise<unknown> }[] = [];
beforeEach(async () => {
  pets = await kennel();
}, 300_000);
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
  await pets.close();
});

const info = { name: "test", version: "1.0.0" };
interface AnyClient {
  listTools(): Promise<{ tools: { name: string; annotations?: object | undefined }[] }>;
  callTool(call: { name: string; arguments?: Record<string, unknown> }): Promise<object>;
}

/** The official clients of both majors, over HTTP. */
const httpClients: [name: string, (url: URL, headers: Record<string, string>) => Promise<AnyClient>][] = [
  [
    "client 1",
    async (url, headers) => {
      const client = new ClientV1(info);
      open.push(client);
      // The SDK's types do not follow exactOptionalPropertyTypes.
      await client.connect(new HttpV1(url, { requestInit: { headers } }) as never);
      return client as AnyClient;
    },
  ],
  [
    "client 2",
    async (url, headers) => {
      const client = new v2.Client(info);
      open.push(client);
      await client.connect(new v2.StreamableHTTPClientTransport(url, { requestInit: { headers } }));
      return client as AnyClient;
    },
  ],
];
const servers = [
  ["server 1", serverV1],
  ["server 2", serverV2],
] as const;
const pairs = servers.flatMap(([serverName, server]) =>
  httpClients.map(([clientName, connect]) => ({ pair: `${serverName}, ${clientName}`, server, connect })),
);

const bearer = ({ token }: HttpHost) => ({ authorization: `Bearer ${token}` });
const textOf = (result: object): string =>
  (result as { content: { text: string }[] }).content.map(({ text }) => text).join("");

describe.each(pairs)("streamable HTTP: $pair", ({ server, connect }) => {
  test("lists tools with annotations, calls the API, refuses what is not allowed", async () => {
    const host = await server.serveHttp(pets.agent);
    open.push(host);
    const client = await connect(new URL(host.url), bearer(host));
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(pets.agent.tools.map(({ name }) => name));
    const hints = (wanted: string) => tools.find(({ name }) => name === wanted)?.annotations;
    expect(hints("getPetById")).toMatchObject({ readOnlyHint: true, destructiveHint: false });
    expect(hints("deletePet")).toMatchObject({
      readOnlyHint: false,
      destructiveHint: true,
      idempotentHint: true,
    });

    const rex = await client.callTool({ name: "getPetById", arguments: { petId: 3 } });
    expect(JSON.parse(textOf(rex))).toEqual({ id: 3, name: "Rex" });
    const wrong = await client.callTool({ name: "getPetById", arguments: { petId: "three" } });
    expect([textOf(wrong), wrong]).toEqual([
      expect.stringContaining("/petId must be integer"),
      expect.objectContaining({ isError: true }),
    ]);
    const refused = await client.callTool({ name: "deletePet", arguments: { petId: 3 } });
    expect(textOf(refused)).toContain("not-confirmed");
    const note = await client.callTool({ name: "note", arguments: { text: "feed Rex" } });
    expect(textOf(note)).toBe('{"noted":"feed Rex"}');
    expect(pets.requests()).toEqual(["GET /pet/3"]);
  });

  test("a large menu is search and call", async () => {
    const host = await server.serveHttp(pets.agent, { maxTools: 5, allow: ["deletePet"] });
    open.push(host);
    const client = await connect(new URL(host.url), bearer(host));
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["search_tools", "call_tool"]);
    const found = JSON.parse(
      textOf(await client.callTool({ name: "search_tools", arguments: { query: "remove a pet" } })),
    ) as { name: string; inputSchema: { required: string[] } }[];
    expect(found.find(({ name }) => name === "deletePet")?.inputSchema.required).toEqual(["petId"]);
    const deleted = await client.callTool({
      name: "call_tool",
      arguments: { name: "deletePet", arguments: { petId: 3 } },
    });
    expect(deleted).toMatchObject({ isError: false });
    expect(pets.requests()).toEqual(["DELETE /pet/3"]);
    const unknown = await client.callTool({ name: "call_tool", arguments: { name: "dropPet" } });
    expect(textOf(unknown)).toContain("Find one with search_tools");
  });
});

describe.each(servers)("the HTTP host of %s", (_, server) => {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };

  test("a missing or wrong token, another path, origin or host is refused", async () => {
    const host = await server.serveHttp(pets.agent);
    open.push(host);
    expect(new URL(host.url).hostname).toBe("127.0.0.1");
    const status = async (more: Record<string, string>, url = host.url) =>
      (await fetch(url, { method: "POST", body, headers: { ...headers, ...more } })).status;
    const own = { authorization: `Bearer ${host.token}` };
    expect([
      await status(own),
      await status({}),
      await status({ authorization: "Bearer wrong" }),
      await status({ authorization: host.token }),
      await status({ ...own, origin: "https://example.com" }),
      await status({ ...own, origin: "http://localhost:5173" }),
      await status(own, new URL("/", host.url).href),
    ]).toEqual([200, 401, 401, 401, 403, 200, 404]);
  });

  test("a host name that leads here from elsewhere is refused", async () => {
    const host = await server.serveHttp(pets.agent, { token: "t" });
    open.push(host);
    const { request } = createRequire(import.meta.url)("node:http") as typeof import("node:http");
    const status = await new Promise((resolve, reject) => {
      const sent = request(
        host.url,
        { method: "POST", headers: { ...headers, authorization: "Bearer t", host: "evil.example" } },
        (response) => resolve(response.resume().statusCode),
      );
      sent.on("error", reject).end(body);
    });
    expect(status).toBe(403);
  });

  test("the port can be chosen, and is free again after close", async () => {
    const first = await server.serveHttp(pets.agent);
    await first.close();
    const port = Number(new URL(first.url).port);
    const second = await server.serveHttp(pets.agent, { port, token: "mine" });
    open.push(second);
    expect([second.url, second.token]).toEqual([first.url, "mine"]);
    await expect(server.serveHttp(pets.agent, { port })).rejects.toThrow("EADDRINUSE");
    await expect(server.serveHttp(pets.agent, { token: "" })).rejects.toThrow("token is empty");
  });
});

describe("stdio", () => {
  const program = fileURLToPath(new URL("./mcp-stdio-server.mjs", import.meta.url));
  test.each(["mcp", "mcp-v1"])(
    "adapters/%s as a program, with the clients of both majors",
    async (adapter) => {
      const command = { command: process.execPath, args: [program, adapter, pets.api.url] };
      const first = new ClientV1(info);
      const second = new v2.Client(info);
      open.push(first, second);
      const patience = { timeout: 110_000 };
      await Promise.all([
        first.connect(new StdioV1(command) as never, patience),
        second.connect(new StdioV2(command), patience),
      ]);
      for (const client of [first, second] as AnyClient[]) {
        const { tools } = await client.listTools();
        expect(tools.find(({ name }) => name === "deletePet")?.annotations).toMatchObject({
          destructiveHint: true,
        });
        const rex = await client.callTool({ name: "getPetById", arguments: { petId: 3 } });
        expect(JSON.parse(textOf(rex))).toEqual({ id: 3, name: "Rex" });
      }
      expect(pets.requests()).toEqual(["GET /pet/3", "GET /pet/3"]);
    },
    120_000,
  );
});

test("handlers offer what was named, and take whatever a client sends", async () => {
  const handlers = mcpHandlers(pets.agent, { tools: ["getPetById"] });
  expect(handlers.listTools().tools.map(({ name }) => name)).toEqual(["getPetById"]);
  const other = await handlers.callTool({ params: { name: "deletePet", arguments: { petId: 3 } } });
  expect(other).toMatchObject({ isError: true });
  const large = mcpHandlers(pets.agent, { maxTools: 1, maxFound: 2 });
  const odd = [
    { name: "search_tools" },
    { name: "search_tools", arguments: { query: 3 } },
    { name: "call_tool", arguments: { name: 3 } },
    { name: "getPetById", arguments: { petId: 3 } },
  ];
  for (const params of odd) expect(await large.callTool({ params })).toMatchObject({ isError: true });
  const found = await large.callTool({ params: { name: "search_tools", arguments: { query: "pet" } } });
  expect(JSON.parse(textOf(found))).toHaveLength(2);
  expect(pets.requests()).toEqual([]);
});
