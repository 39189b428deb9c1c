import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buildToolMenu, loadOpenApi, type ToolMenu } from "../../src/openapi/index.js";

export const petstorePath = new URL("../../examples/petstore/openapi.yaml", import.meta.url);

let petstore: Promise<ToolMenu> | undefined;

export function petstoreMenu(): Promise<ToolMenu> {
  petstore ??= loadOpenApi(petstorePath).then(buildToolMenu);
  return petstore;
}

/** A menu of an OpenAPI 3.1 document given as its paths and schemas. */
export async function menuOf(document: object): Promise<ToolMenu> {
  const whole = { openapi: "3.1.0", info: { title: "Test", version: "1" }, ...document };
  return buildToolMenu(await loadOpenApi(whole, { validate: false }));
}

export interface SeenRequest {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  body: string;
}

export interface MockServer {
  url: string;
  seen: SeenRequest[];
  close(): Promise<void>;
}

/** A loopback HTTP server that records requests and answers as `answer` says. */
export async function mockServer(
  answer: (request: SeenRequest, response: ServerResponse, count: number) => void,
): Promise<MockServer> {
  const seen: SeenRequest[] = [];
  const server: HttpServer = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const entry = { method, url, headers, body: Buffer.concat(chunks).toString("utf8") };
      seen.push(entry);
      answer(entry, response, seen.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(value));
}
