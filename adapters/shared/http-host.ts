/** A small HTTP host for a handler of web requests: loopback, and a bearer token for every request. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";

export interface HttpOptions {
  /** Default 0: any free port. */
  port?: number;
  /** Default 127.0.0.1. Another address is open to that network, guarded by the token alone. */
  host?: string;
  /** What clients send as `Authorization: Bearer TOKEN`. Default: a random one of 256 bits. */
  token?: string;
}

export interface HttpHost {
  /** `http://127.0.0.1:PORT/mcp` */
  url: string;
  token: string;
  close(): Promise<void>;
}

const path = "/mcp";
const loopback = new Set(["127.0.0.1", "::1", "localhost"]);

/**
 * Serves `fetch` at `/mcp`. Refuses wrong tokens (401), and on a loopback address hosts and origins of elsewhere (403),
 * so that no page of a browser reaches it through a name that resolves to this machine.
 */
export async function hostHttp(
  fetch: (request: Request) => Promise<Response>,
  options: HttpOptions = {},
): Promise<HttpHost> {
  const { port = 0, host = "127.0.0.1", token = randomBytes(32).toString("base64url") } = options;
  if (token === "") throw new TypeError("serveHttp: the token is empty. Leave it out to get a random one.");
  const expected = digest(`Bearer ${token}`);

  function refusal({ headers, url }: IncomingMessage): [status: number, message: string] | undefined {
    if (loopback.has(host) && !isLoopback(`http://${headers.host}`)) return [403, "Unknown host."];
    if (headers.origin !== undefined && loopback.has(host) && !isLoopback(headers.origin))
      return [403, "Unknown origin."];
    if (!timingSafeEqual(digest(headers.authorization ?? ""), expected))
      return [401, "The bearer token is missing or wrong."];
    return url?.split("?")[0] === path ? undefined : [404, `Nothing but ${path} is served here.`];
  }

  const server = createServer((incoming, outgoing) => {
    const refused = refusal(incoming);
    if (refused !== undefined) {
      const [status, error] = refused;
      incoming.resume();
      outgoing.writeHead(status, {
        "content-type": "application/json",
        ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
      });
      outgoing.end(JSON.stringify({ error }));
      return;
    }
    answer(fetch, incoming, outgoing).catch(() => {
      if (!outgoing.headersSent) outgoing.writeHead(500).end();
      else outgoing.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}${path}`,
    token,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  fetch: (request: Request) => Promise<Response>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort());
  const { method = "GET", headers, url = "/" } = incoming;
  const hasBody = method !== "GET" && method !== "HEAD";
  const given = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    (Array.isArray(value) ? value : [value ?? ""]).map((one) => [name, one]),
  );
  const request = new Request(`http://${headers.host}${url}`, {
    method,
    headers: given,
    signal: gone.signal,
    ...(hasBody ? { body: Readable.toWeb(incoming) as ReadableStream, duplex: "half" as const } : {}),
  });
  const response = await fetch(request);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  if (response.body === null) outgoing.end();
  else await pipeline(Readable.fromWeb(response.body as NodeReadableStream), outgoing);
}

function isLoopback(url: string): boolean {
  try {
    const { hostname } = new URL(url);
    return loopback.has(hostname.replace(/^\[|\]$/g, ""));
  } catch {
    return false;
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
