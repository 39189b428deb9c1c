import { timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIPv6 } from "node:net";
import { SpecdojoError } from "../util/errors.js";
import { type Chat, RequestError, readRequest } from "./chat.js";
import { completionBody, completionChunks } from "./wire.js";

export interface ServerOptions {
  chat: Chat;
  /** The name under which clients ask for the solver. */
  model: string;
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** What clients must send as `Authorization: Bearer …`; null lets everyone in who reaches the port. */
  token: string | null;
  /** Errors that are no client's. */
  onError?: (error: unknown) => void;
}

export interface RunningServer {
  /** `http://127.0.0.1:8765/v1` */
  url: string;
  /** Refuses new requests, ends those in progress, and waits for the port. */
  close(): Promise<void>;
}

/** Largest request, in bytes. */
const maxBody = 8 * 2 ** 20;
/** A comment in a stream this often, in ms, so that nobody on the way takes it for dead. */
const heartbeat = 10_000;

export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(host);

/** OpenAI's API for one solver. @throws SpecdojoError `port-unavailable`. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const created = Math.floor(Date.now() / 1000);
  const model = { id: options.model, object: "model", created, owned_by: "specdojo" };
  const server = createServer((request, response) => {
    handle(request, response, options, model).catch((error: unknown) => {
      refuse(response, error, options);
    });
  });
  // Longer than clients keep a connection, so that none is closed while one is sending.
  server.keepAliveTimeout = 75_000;
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  const host = isIPv6(options.host) ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}/v1`,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, { host, port }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      reject(
        new SpecdojoError("port-unavailable", `The server cannot listen (${cause.code ?? cause.message}).`, {
          place: `${host}:${port}`,
          remedy: "Choose another port with --port, or 0 for a free one.",
          cause,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: ServerOptions,
  model: object & { id: string },
): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://server");
  if (pathname === "/health" && request.method === "GET") return send(response, 200, { status: "ok" });
  authorise(request, options);
  const route = `${request.method} ${pathname.replace(/\/$/, "")}`;
  if (route === "GET /v1/models") return send(response, 200, { object: "list", data: [model] });
  if (request.method === "GET" && pathname.startsWith("/v1/models/")) {
    checkModel(decodeURIComponent(pathname.slice("/v1/models/".length)), model.id);
    return send(response, 200, model);
  }
  if (route !== "POST /v1/chat/completions")
    throw new RequestError(404, "unknown_url", `There is no ${request.method} ${pathname} here.`);
  const body = readRequest(await readBody(request));
  checkModel(body.model, model.id);

  const left = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) left.abort(new Error("The client has left."));
  });
  if (body.stream !== true) {
    const answer = await options.chat.answer(body, left.signal);
    return send(response, 200, completionBody(answer, model.id));
  }
  // Calls are checked as a whole before any of one is sent, so the stream begins when all are there.
  const headers = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" };
  const waiting = setInterval(() => {
    if (!response.headersSent) response.writeHead(200, headers);
    response.write(": waiting\n\n");
  }, heartbeat);
  try {
    const answer = await options.chat.answer(body, left.signal);
    if (!response.headersSent) response.writeHead(200, headers);
    const usage = body.stream_options?.include_usage === true;
    for (const chunk of completionChunks(answer, model.id, usage))
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
    response.end("data: [DONE]\n\n");
  } finally {
    clearInterval(waiting);
  }
}

function authorise({ headers }: IncomingMessage, { token, host }: ServerOptions): void {
  if (token !== null) {
    const given = /^bearer +(.*)$/i.exec(headers.authorization ?? "")?.[1] ?? "";
    if (!sameText(given, token))
      throw new RequestError(
        401,
        "invalid_api_key",
        "The token is missing or wrong: send it as the API key.",
      );
    return;
  }
  // Without a token, a web page must not get here under a name of its own that it lets point to this machine.
  const named = (headers.host ?? "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (isLoopback(host) && !isLoopback(named))
    throw new RequestError(403, "forbidden_host", "This server answers to the names of this machine only.");
  if (headers.origin !== undefined)
    throw new RequestError(403, "forbidden_origin", "Without a token, this server answers no web pages.");
}

function sameText(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function checkModel(asked: string, known: string): void {
  if (asked !== known)
    throw new RequestError(
      404,
      "model_not_found",
      `There is no model ${JSON.stringify(asked)} here; use ${JSON.stringify(known)}.`,
      "model",
    );
}

function readBody(request: IncomingMessage): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.byteLength;
      if (size <= maxBody) chunks.push(chunk);
      // The rest is not kept; the connection ends with the reply.
      else reject(new RequestError(413, "request_too_large", `The request is larger than ${maxBody} bytes.`));
    });
    request.on("error", reject);
    request.on("end", () => {
      try {
        resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")));
      } catch {
        reject(new RequestError(400, "invalid_request", "The body is not JSON."));
      }
    });
  });
}

function send(response: ServerResponse, status: number, value: object): void {
  const close = response.req.complete ? {} : { connection: "close" };
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store", ...close });
  response.end(JSON.stringify(value));
}

function refuse(response: ServerResponse, cause: unknown, { onError }: ServerOptions): void {
  if (response.destroyed) return;
  const known = cause instanceof RequestError ? cause : undefined;
  const explained = SpecdojoError.isInstance(cause) ? cause : undefined;
  const tooLong = explained?.code === "prompt-too-long";
  if (known === undefined && !tooLong) onError?.(cause);
  const status = known?.status ?? (tooLong ? 400 : 500);
  const type =
    status >= 500 ? "server_error" : status === 401 ? "authentication_error" : "invalid_request_error";
  // What went wrong inside is for the server's own log.
  const message =
    known?.message ?? (tooLong ? explained?.message : "The solver failed; the server's log says why.");
  const code = known?.code ?? (tooLong ? "context_length_exceeded" : "solver_failed");
  const error = { message, type, param: known?.param ?? null, code };
  if (response.headersSent) response.end(`data: ${JSON.stringify({ error })}\n\n`);
  else send(response, status, { error });
}
