import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadedDocument } from "../openapi/load.js";
import { SpecdojoError } from "../util/errors.js";
import type { Delivery } from "./faults.js";
import { createMock, type Mock, tooLarge } from "./mock.js";
import { basePathOf } from "./router.js";
import type { MockOptions } from "./types.js";

/** A mock that listens on this machine. */
export interface RunningMock extends Mock {
  /** Base URL for a client: the address with the base path of the document's first server. */
  readonly url: string;
  /** The address without a path. */
  readonly origin: string;
  /** Stops listening and ends all connections. */
  close(): Promise<void>;
}

const host = "127.0.0.1";

/**
 * Serves a mock on the loopback interface; port 0 (the default) takes a free one.
 *
 * @throws SpecdojoError `port-unusable`
 */
export async function startMock(
  loaded: LoadedDocument,
  options: MockOptions & { port?: number } = {},
): Promise<RunningMock> {
  const mock = createMock(loaded, options);
  const limit = options.maxRequestBytes ?? 10 * 1024 * 1024;
  const server = createServer((request, response) => {
    serve(mock, request, response, limit).catch(() => response.destroy());
  });
  // Longer than clients keep a connection: else one may be closed just when it is used again.
  server.keepAliveTimeout = 65_000;
  await listen(server, options.port ?? 0);
  const origin = `http://${host}:${(server.address() as AddressInfo).port}`;
  const [first] = mock.menu.tools[0]?.servers ?? [];
  return Object.freeze({
    ...mock,
    origin,
    url: origin + (first === undefined ? "" : basePathOf(first, true)),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  });
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      reject(
        new SpecdojoError("port-unusable", `The mock cannot listen on port ${port}: ${cause.message}.`, {
          place: "--port",
          remedy: "Choose another port, or 0 for any that is free.",
          cause,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
}

async function serve(
  mock: Mock,
  request: IncomingMessage,
  response: ServerResponse,
  limit: number,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const body = await read(request, limit);
  if (body === undefined) {
    request.resume();
    const { status, headers, body: text } = tooLarge(limit);
    response.writeHead(status, { ...headers, connection: "close" }).end(text);
    return;
  }
  const { delayMs, ...delivery } = mock.handle({
    method: request.method ?? "GET",
    url: request.url ?? "/",
    headers: headersOf(request),
    ...(body.length > 0 ? { body } : {}),
  });
  const { signal } = gone;
  if (delayMs > 0) await sleep(delayMs, undefined, { signal });
  await send(delivery, response, request.socket, signal);
}

async function send(
  { head, body, ending }: Delivery,
  response: ServerResponse,
  socket: Socket,
  signal: AbortSignal,
): Promise<void> {
  if (head !== undefined) {
    response.writeHead(head.status, head.headers);
    for await (const chunk of body(signal)) {
      if (signal.aborted) return;
      if (!response.write(chunk)) await drained(response, signal);
    }
  }
  if (ending === "end") response.end();
  // The head may still be in the socket's buffer: what was written goes out before the connection ends.
  else if (ending === "reset")
    setImmediate(() => (head === undefined ? socket.resetAndDestroy() : socket.destroySoon()));
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      response.removeListener("drain", finish);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    response.once("drain", finish);
    signal.addEventListener("abort", finish, { once: true });
  });
}

/** The whole body; undefined as soon as it is larger than the limit. */
async function read(request: IncomingMessage, limit: number): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > limit) return undefined;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function headersOf(request: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? ""),
    ]),
  );
}
