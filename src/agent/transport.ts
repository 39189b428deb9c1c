import { setMaxListeners } from "node:events";
import type { CallEvent } from "./client-types.js";
import { redact } from "./credentials.js";

/** Whatever `fetch` takes as a body. */
export type RequestBody = NonNullable<RequestInit["body"]>;

/** A request with everything in it, credentials too: never logged, stored or put into an error. */
export interface OutgoingRequest {
  operation: string;
  method: string;
  url: string;
  /** The same without what `authorise` added, for events and messages. */
  publicUrl: string;
  headers: Headers;
  body: RequestBody | undefined;
  /** Whether it may be sent again though its method is not idempotent. */
  repeatable: boolean;
  secrets: string[];
  /** Remove the secrets from a success, too. */
  redact: boolean;
}

export interface TransportLimits {
  timeoutMs: number;
  retries: number;
  retryDelayMs: number;
  maxRetryDelayMs: number;
  maxResponseBytes: number;
}

export interface TransportDeps {
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  signals: AbortSignal[];
  now: () => number;
  random: () => number;
  onEvent: (event: CallEvent) => void;
}

export type Received =
  | { kind: "response"; status: number; headers: Headers; data: unknown; attempts: number }
  /** Only where a stream was asked for and the status is a success. `chunks` throws `Interruption`. */
  | {
      kind: "stream";
      status: number;
      headers: Headers;
      chunks: AsyncGenerator<Uint8Array>;
      ended: Promise<void>;
    }
  | Failed;

export type Failed =
  | { kind: "network"; message: string; attempts: number }
  | { kind: "timeout"; attempts: number }
  | { kind: "aborted" }
  | {
      kind: "invalid-response";
      reason: "not-json" | "too-large" | "broken-body";
      status: number;
      headers: Headers;
    };

/** Why a stream broke off. */
export class Interruption extends Error {
  readonly failed: Failed;

  constructor(failed: Failed) {
    super(failed.kind);
    this.failed = failed;
  }
}

const idempotent = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
const transient = new Set([408, 425, 429, 500, 502, 503, 504]);
const maxRedirects = 5;

/**
 * Sends a request and reads its whole response, or hands on its body where a `stream` is asked for. Every outcome is a
 * value: this neither throws nor hangs longer than the limits allow. Only idempotent methods and `repeatable` requests
 * are sent again, after 408, 425, 429, 5xx of the passing kind, a timeout or a network error.
 */
export async function send(
  request: OutgoingRequest,
  limits: TransportLimits,
  deps: TransportDeps,
  mode: "whole" | "stream" = "whole",
): Promise<Received> {
  const mayRepeat = request.repeatable || idempotent.has(request.method);
  for (let attempt = 1; ; attempt++) {
    const received = await sendOnce(request, limits, deps, attempt, mode);
    if (!mayRepeat || attempt > limits.retries) return received;
    const delayMs = retryDelay(received, attempt, limits, deps);
    if (delayMs === undefined) return received;
    const reason = received.kind === "response" ? `status ${received.status}` : received.kind;
    deps.onEvent({ type: "retry", operation: request.operation, attempt, delayMs, reason });
    if (!(await sleep(delayMs, deps.signals))) return { kind: "aborted" };
  }
}

function retryDelay(
  received: Received,
  attempt: number,
  limits: TransportLimits,
  { now, random }: TransportDeps,
): number | undefined {
  const full = Math.min(limits.retryDelayMs * 2 ** (attempt - 1), limits.maxRetryDelayMs);
  // Clients that failed together do not come back together.
  const backoff = Math.round(full * (1 - random() / 2));
  if (received.kind === "network" || received.kind === "timeout") return backoff;
  if (received.kind !== "response" || !transient.has(received.status)) return undefined;
  const asked = retryAfter(received.headers.get("retry-after"), now);
  if (asked === undefined) return backoff;
  return asked > limits.maxRetryDelayMs ? undefined : Math.max(asked, backoff);
}

/** Milliseconds asked for by a Retry-After header: seconds, or an HTTP date. */
function retryAfter(value: string | null, now: () => number): number | undefined {
  if (value === null) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now());
}

/** Resolves to false when a signal was aborted. */
async function sleep(ms: number, signals: readonly AbortSignal[]): Promise<boolean> {
  const deadline = new Deadline(signals, ms);
  await deadline.race(new Promise<never>(() => undefined)).catch(() => undefined);
  deadline.close();
  return deadline.ended === "timeout";
}

/** Ends work when a caller's signal or the time says so. Has to be closed. */
export class Deadline {
  ended: "timeout" | "aborted" | undefined;
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];
  readonly #stop = (): void => this.#end("aborted");
  #timer: NodeJS.Timeout | undefined;

  /** Without a time, only the signals end it. */
  constructor(signals: readonly AbortSignal[], timeoutMs?: number) {
    this.#signals = signals;
    // A signal may end any number of calls at once. All listeners are taken off again.
    if (signals.length > 0) setMaxListeners(0, ...signals);
    for (const signal of signals) signal.addEventListener("abort", this.#stop, { once: true });
    if (signals.some(({ aborted }) => aborted)) this.#end("aborted");
    else if (timeoutMs !== undefined) this.restart(timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(timeoutMs: number): void {
    this.pause();
    if (this.ended === undefined) this.#timer = setTimeout(() => this.#end("timeout"), timeoutMs);
  }

  pause(): void {
    clearTimeout(this.#timer);
  }

  /** Settles as the work does, or rejects when the time is over, also for work that ignores the signal. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = () => reject(new Error("The time is over."));
      if (this.signal.aborted) stop();
      this.signal.addEventListener("abort", stop, { once: true });
      work.then(resolve, reject).finally(() => this.signal.removeEventListener("abort", stop));
    });
  }

  close(): void {
    this.pause();
    for (const signal of this.#signals) signal.removeEventListener("abort", this.#stop);
  }

  #end(why: "timeout" | "aborted"): void {
    this.ended ??= why;
    this.#controller.abort();
    this.close();
  }
}

async function sendOnce(
  request: OutgoingRequest,
  limits: TransportLimits,
  deps: TransportDeps,
  attempt: number,
  mode: "whole" | "stream",
): Promise<Received> {
  const deadline = new Deadline(deps.signals, limits.timeoutMs);
  if (deadline.ended !== undefined) return { kind: "aborted" };
  const { operation, method, publicUrl: url } = request;
  let streaming = false;
  try {
    deps.onEvent({ type: "request", operation, method, url, attempt });
    const received = await deadline.race(fetchAndRead(request, limits, deps, deadline, attempt, mode));
    streaming = received.kind === "stream";
    return received;
  } catch (error) {
    return failureOf(error, deadline, request, attempt);
  } finally {
    if (!streaming) deadline.close();
  }
}

function failureOf(error: unknown, deadline: Deadline, request: OutgoingRequest, attempts: number): Failed {
  if (deadline.ended === "aborted") return { kind: "aborted" };
  if (deadline.ended === "timeout") return { kind: "timeout", attempts };
  return { kind: "network", message: redact(networkMessage(error), request.secrets), attempts };
}

async function fetchAndRead(
  request: OutgoingRequest,
  limits: TransportLimits,
  deps: TransportDeps,
  deadline: Deadline,
  attempt: number,
  mode: "whole" | "stream",
): Promise<Received> {
  const { signal } = deadline;
  const response = await follow(request, deps, signal);
  const { status } = response;
  const secrets = response.ok && !request.redact ? [] : request.secrets;
  const headers = withoutSecrets(response.headers, secrets);
  deps.onEvent({ type: "response", operation: request.operation, status, attempt });
  if (mode === "stream" && response.ok)
    return streamOf(response, headers, request, limits, deadline, attempt);
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readBody(response, limits.maxResponseBytes);
  } catch (error) {
    if (signal.aborted) throw error;
    return { kind: "invalid-response", reason: "broken-body", status, headers };
  }
  if (bytes === undefined) return { kind: "invalid-response", reason: "too-large", status, headers };
  const read = decode(bytes, headers.get("content-type") ?? "", secrets);
  // An error page that is not JSON is still the answer to an HTTP error.
  if (read.broken && response.ok) return { kind: "invalid-response", reason: "not-json", status, headers };
  return { kind: "response", status, headers, data: read.data, attempts: attempt };
}

/** The body as it comes. The time runs until the first chunk is asked for, and while a chunk is waited for. */
function streamOf(
  response: Response,
  headers: Headers,
  request: OutgoingRequest,
  limits: TransportLimits,
  deadline: Deadline,
  attempt: number,
): Received {
  const { status } = response;
  deadline.restart(limits.timeoutMs);
  const reader = response.body?.getReader();
  let finish = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    finish = resolve;
    deadline.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  async function* chunks(): AsyncGenerator<Uint8Array> {
    let done = false;
    try {
      while (reader !== undefined) {
        deadline.restart(limits.timeoutMs);
        const next = await deadline.race(reader.read());
        deadline.pause();
        if (next.done) break;
        yield next.value;
      }
      done = true;
    } catch (error) {
      done = true;
      const failed = failureOf(error, deadline, request, attempt);
      throw new Interruption(
        failed.kind === "network"
          ? { kind: "invalid-response", reason: "broken-body", status, headers }
          : failed,
      );
    } finally {
      if (!done) await reader?.cancel().catch(() => undefined);
      deadline.close();
      finish();
    }
  }
  return { kind: "stream", status, headers, chunks: chunks(), ended };
}

/** Follows redirects of reads within the same origin only: credentials in headers go nowhere else. */
async function follow(request: OutgoingRequest, deps: TransportDeps, signal: AbortSignal): Promise<Response> {
  let url = request.url;
  for (let hops = 0; ; hops++) {
    const init: RequestInit = {
      method: request.method,
      headers: request.headers,
      redirect: "manual",
      signal,
    };
    if (request.body !== undefined) init.body = request.body;
    const response = await deps.fetch(url, init);
    const location = response.headers.get("location");
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (
      response.status < 300 ||
      response.status > 399 ||
      location === null ||
      !isRead ||
      hops >= maxRedirects
    )
      return response;
    if (!URL.canParse(location, url)) return response;
    const next = new URL(location, url);
    if (next.origin !== new URL(url).origin) return response;
    await response.body?.cancel();
    url = next.href;
  }
}

/** The body's bytes, or undefined as soon as there are more than `limit`. */
async function readBody(response: Response, limit: number): Promise<Uint8Array | undefined> {
  if (response.body === null) return new Uint8Array();
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > limit) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

function withoutSecrets(headers: Headers, secrets: readonly string[]): Headers {
  if (secrets.length === 0) return headers;
  return new Headers([...headers].map(([name, value]): [string, string] => [name, redact(value, secrets)]));
}

/** JSON as its value, text as text, nothing as undefined, other media types as bytes. */
export function decode(
  bytes: Uint8Array,
  contentType: string,
  secrets: readonly string[],
): { data: unknown; broken: boolean } {
  if (bytes.byteLength === 0) return { data: undefined, broken: false };
  const mediaType = contentType.split(";")[0]?.trim().toLowerCase() ?? "";
  const isJson = mediaType === "application/json" || mediaType.endsWith("+json") || mediaType === "text/json";
  if (
    isJson ||
    mediaType.startsWith("text/") ||
    mediaType === "" ||
    mediaType === "application/xml" ||
    mediaType.endsWith("+xml")
  ) {
    const text = redact(new TextDecoder().decode(bytes), secrets);
    if (!isJson) return { data: text, broken: false };
    try {
      return { data: JSON.parse(text) as unknown, broken: false };
    } catch {
      return { data: text, broken: true };
    }
  }
  return { data: bytes, broken: false };
}

function networkMessage(error: unknown): string {
  if (!(error instanceof Error)) return "The request failed.";
  const cause = error.cause;
  return cause instanceof Error && cause.message !== ""
    ? `${error.message}: ${cause.message}`
    : error.message;
}
