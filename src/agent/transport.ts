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
  secrets: string[];
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
  onEvent: (event: CallEvent) => void;
}

export type Received =
  | { kind: "response"; status: number; headers: Headers; data: unknown; attempts: number }
  | { kind: "network"; message: string; attempts: number }
  | { kind: "timeout"; attempts: number }
  | { kind: "aborted" }
  | {
      kind: "invalid-response";
      reason: "not-json" | "too-large" | "broken-body";
      status: number;
      headers: Headers;
    };

const idempotent = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
const transient = new Set([408, 425, 429, 500, 502, 503, 504]);
const maxRedirects = 5;

/**
 * Sends a request and reads its whole response. Every outcome is a value: this neither throws nor hangs longer than
 * the limits allow. Only idempotent methods are sent again, after 408, 425, 429, 5xx of the passing kind, a timeout
 * or a network error.
 */
export async function send(
  request: OutgoingRequest,
  limits: TransportLimits,
  deps: TransportDeps,
): Promise<Received> {
  const mayRepeat = idempotent.has(request.method);
  for (let attempt = 1; ; attempt++) {
    const received = await sendOnce(request, limits, deps, attempt);
    if (!mayRepeat || attempt > limits.retries) return received;
    const delayMs = retryDelay(received, attempt, limits, deps.now);
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
  now: () => number,
): number | undefined {
  const backoff = Math.min(limits.retryDelayMs * 2 ** (attempt - 1), limits.maxRetryDelayMs);
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
function sleep(ms: number, signals: readonly AbortSignal[]): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (done: boolean) => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", stop);
      resolve(done);
    };
    const stop = () => finish(false);
    const timer = setTimeout(() => finish(true), ms);
    for (const signal of signals) {
      if (signal.aborted) return finish(false);
      signal.addEventListener("abort", stop, { once: true });
    }
  });
}

async function sendOnce(
  request: OutgoingRequest,
  limits: TransportLimits,
  deps: TransportDeps,
  attempt: number,
): Promise<Received> {
  const controller = new AbortController();
  let ended: "timeout" | "aborted" | undefined;
  const end = (why: "timeout" | "aborted") => {
    ended ??= why;
    controller.abort();
  };
  const stop = () => end("aborted");
  for (const signal of deps.signals) {
    if (signal.aborted) return { kind: "aborted" };
    signal.addEventListener("abort", stop, { once: true });
  }
  const timer = setTimeout(() => end("timeout"), limits.timeoutMs);
  try {
    deps.onEvent({
      type: "request",
      operation: request.operation,
      method: request.method,
      url: request.publicUrl,
      attempt,
    });
    // The race ends the wait also with a fetch that ignores its signal.
    const work = fetchAndRead(request, limits, deps, controller.signal, attempt);
    work.catch(() => undefined);
    const aborted = new Promise<never>((_, refuse) =>
      controller.signal.addEventListener("abort", () => refuse(new Error("aborted")), { once: true }),
    );
    aborted.catch(() => undefined);
    return await Promise.race([work, aborted]);
  } catch (error) {
    if (ended === "aborted") return { kind: "aborted" };
    if (ended === "timeout") return { kind: "timeout", attempts: attempt };
    return { kind: "network", message: redact(networkMessage(error), request.secrets), attempts: attempt };
  } finally {
    clearTimeout(timer);
    for (const signal of deps.signals) signal.removeEventListener("abort", stop);
  }
}

async function fetchAndRead(
  request: OutgoingRequest,
  limits: TransportLimits,
  deps: TransportDeps,
  signal: AbortSignal,
  attempt: number,
): Promise<Received> {
  const response = await follow(request, deps, signal);
  const { status, headers } = response;
  deps.onEvent({ type: "response", operation: request.operation, status, attempt });
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readBody(response, limits.maxResponseBytes);
  } catch (error) {
    if (signal.aborted) throw error;
    return { kind: "invalid-response", reason: "broken-body", status, headers };
  }
  if (bytes === undefined) return { kind: "invalid-response", reason: "too-large", status, headers };
  const read = decode(bytes, headers.get("content-type") ?? "", response.ok ? [] : request.secrets);
  // An error page that is not JSON is still the answer to an HTTP error.
  if (read.broken && response.ok) return { kind: "invalid-response", reason: "not-json", status, headers };
  return { kind: "response", status, headers, data: read.data, attempts: attempt };
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

function decode(
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
