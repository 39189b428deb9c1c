import {
  buildRequest,
  createArgumentValidator,
  type HttpRequest,
  type Tool,
  type ToolMenu,
} from "../openapi/index.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject } from "../util/json.js";
import {
  type ArgumentIssue,
  type CallFailure,
  type CallOptions,
  type CallResult,
  type Client,
  type ClientOptions,
  type HttpError,
  type PlannedRequest,
  reservedNames,
  type UntypedOperations,
} from "./client-types.js";
import { type Authorisation, authorise } from "./credentials.js";
import {
  type OutgoingRequest,
  type Received,
  send,
  type TransportDeps,
  type TransportLimits,
} from "./transport.js";

/** An HTTP error or failed call, thrown by `unwrap`. */
export class CallError extends SpecdojoError {
  readonly error: CallFailure | HttpError<number, unknown>;

  constructor(error: CallFailure | HttpError<number, unknown>) {
    super(`call-${error.kind}`, `${error.operation}: ${error.message}`, { place: error.operation });
    this.name = "CallError";
    this.error = error;
  }
}

/** The data of a successful call. @throws CallError for every other outcome. */
export function unwrap<
  R extends { ok: true; data: unknown } | { ok: false; error: CallFailure | HttpError<number, unknown> },
>(result: R): Extract<R, { ok: true }>["data"] {
  if (result.ok) return result.data;
  throw new CallError(result.error);
}

/**
 * A client of the API that a menu describes. Arguments are checked against the operation's schema before anything is
 * sent, and every outcome is a value (see `CallResult`). Works without generated types, too.
 *
 * @throws SpecdojoError `no-server` when neither the options nor the document say where the API is.
 */
export function createClient<O = UntypedOperations>(menu: ToolMenu, options: ClientOptions = {}): Client<O> {
  const caller = new Caller(menu, options);
  const client = {};
  const define = (name: string, value: unknown) =>
    Object.defineProperty(client, name, { value, enumerable: true, writable: false, configurable: false });
  define("menu", menu);
  define("call", (name: string, args?: unknown, callOptions?: CallOptions) =>
    caller.call(name, args, callOptions),
  );
  define("dryRun", (name: string, args?: unknown, _?: CallOptions) => caller.plan(name, args));
  const reserved = new Set<string>(reservedNames);
  for (const { name } of menu.tools)
    if (!reserved.has(name))
      define(name, (args?: unknown, callOptions?: CallOptions) => caller.call(name, args, callOptions));
  return Object.freeze(client) as Client<O>;
}

type Planned = { ok: true; request: PlannedRequest } | { ok: false; error: CallFailure };
type Prepared = { tool: Tool; request: HttpRequest };

class Caller {
  readonly #menu: ToolMenu;
  readonly #options: ClientOptions;
  readonly #tools: Map<string, Tool>;
  readonly #validator: ReturnType<typeof createArgumentValidator>;

  constructor(menu: ToolMenu, options: ClientOptions) {
    this.#menu = menu;
    this.#options = options;
    this.#tools = new Map(menu.tools.map((tool) => [tool.name, tool]));
    this.#validator = createArgumentValidator();
    if (options.baseUrl !== undefined) checkUrl(options.baseUrl, "createClient");
  }

  plan(name: string, args: unknown): Planned {
    const prepared = this.#prepare(name, args);
    if (!("tool" in prepared)) return { ok: false, error: prepared };
    const { method, url, headers, body } = prepared.request;
    const request: PlannedRequest = { method, url, headers: { ...headers } };
    if (body !== undefined) request.body = typeof body === "string" ? body : describeBody(body);
    return { ok: true, request };
  }

  async call(name: string, args: unknown, callOptions: CallOptions = {}): Promise<CallResult> {
    const prepared = this.#prepare(name, args);
    if (!("tool" in prepared)) return { ok: false, error: prepared };
    const { tool, request } = prepared;
    const signals = [this.#options.signal, callOptions.signal].filter((signal) => signal !== undefined);
    const operation = tool.name;
    if (signals.some(({ aborted }) => aborted))
      return { ok: false, error: { kind: "aborted", operation, message: "The call was aborted." } };
    const outgoing = await this.#authorised(tool, request, signals, callOptions);
    if (!("url" in outgoing)) return { ok: false, error: outgoing };
    const options = this.#options;
    const limits: TransportLimits = {
      timeoutMs: callOptions.timeoutMs ?? options.timeoutMs ?? defaultTimeoutMs,
      retries: callOptions.retries ?? options.retries ?? 2,
      retryDelayMs: options.retryDelayMs ?? 250,
      maxRetryDelayMs: options.maxRetryDelayMs ?? 30_000,
      maxResponseBytes: options.maxResponseBytes ?? 10 * 1024 * 1024,
    };
    const deps: TransportDeps = {
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      signals,
      now: options.now ?? Date.now,
      onEvent: options.onEvent ?? (() => undefined),
    };
    return resultOf(tool, await send(outgoing, limits, deps), limits);
  }

  #prepare(name: string, args: unknown): Prepared | CallFailure {
    const tool = this.#tools.get(name);
    if (tool === undefined)
      return invalidArguments(name, [
        { pointer: "", message: `The menu has no operation ${JSON.stringify(name)}.` },
      ]);
    const given = withoutUndefined(args ?? {});
    if (!isObject(given))
      return invalidArguments(name, [{ pointer: "", message: "Arguments are given as one object." }]);
    const check = this.#validator.validate(tool, given);
    if (!check.ok) return invalidArguments(name, check.errors);
    const { baseUrl, serverVariables } = this.#options;
    const server = baseUrl !== undefined ? { server: baseUrl } : { variables: serverVariables ?? {} };
    try {
      const request = buildRequest(tool, given as JsonObject, server);
      checkUrl(request.url, tool.name);
      return { tool, request };
    } catch (error) {
      // Valid for the schema, but nothing that a request can carry, such as a line break in a header.
      if (SpecdojoError.isInstance(error) && unsendable.has(error.code))
        return invalidArguments(name, [{ pointer: "", message: error.message }]);
      throw error;
    }
  }

  async #authorised(
    tool: Tool,
    request: HttpRequest,
    signals: AbortSignal[],
    callOptions: CallOptions,
  ): Promise<OutgoingRequest | CallFailure> {
    const operation = tool.name;
    const missing = (schemes: string[], message: string): CallFailure => ({
      kind: "missing-credentials",
      operation,
      message,
      schemes,
    });
    const timeoutMs = callOptions.timeoutMs ?? this.#options.timeoutMs ?? defaultTimeoutMs;
    const signal = AbortSignal.any([...signals, AbortSignal.timeout(timeoutMs)]);
    let authorisation: Authorisation | { missing: string[] };
    try {
      authorisation = await Promise.race([
        authorise(this.#menu, tool, this.#options.credentials, signal),
        ending(signal),
      ]);
    } catch {
      if (signals.some(({ aborted }) => aborted))
        return { kind: "aborted", operation, message: "The call was aborted." };
      // What a provider throws may hold what it was about to return.
      return missing(
        [],
        signal.aborted
          ? `The credentials function took longer than ${timeoutMs} ms.`
          : "The credentials function failed.",
      );
    }
    if ("missing" in authorisation) {
      const names = authorisation.missing.map((scheme) => JSON.stringify(scheme)).join(", ");
      return missing(
        authorisation.missing,
        `No credentials for any alternative of: ${names}. Give createClient a credentials function.`,
      );
    }
    try {
      const headers = new Headers({ ...this.#options.headers, ...callOptions.headers });
      for (const [name, value] of Object.entries(request.headers)) headers.set(name, value);
      for (const [name, value] of authorisation.headers) headers.set(name, value);
      if (authorisation.cookies.length > 0) {
        const cookies = authorisation.cookies.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
        headers.set("cookie", [headers.get("cookie"), ...cookies].filter((part) => part).join("; "));
      }
      const url = new URL(request.url);
      for (const [name, value] of authorisation.query) url.searchParams.set(name, value);
      return {
        operation,
        method: request.method.toUpperCase(),
        // Setting a search parameter rewrites the whole query, so the built URL is kept as it is where there is none.
        url: authorisation.query.length === 0 ? request.url : url.href,
        publicUrl: request.url,
        headers,
        body: request.body,
        secrets: authorisation.secrets,
      };
    } catch {
      return missing([], "A header or credential holds characters that a request cannot carry.");
    }
  }
}

const defaultTimeoutMs = 30_000;

/** Rejects when the signal is aborted. */
function ending(signal: AbortSignal): Promise<never> {
  return new Promise((_, refuse) => {
    const stop = () => refuse(new Error("aborted"));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

function resultOf(tool: Tool, received: Received, limits: TransportLimits): CallResult {
  const operation = tool.name;
  switch (received.kind) {
    case "aborted":
      return { ok: false, error: { kind: "aborted", operation, message: "The call was aborted." } };
    case "timeout": {
      const { attempts } = received;
      const message = `No complete response within ${limits.timeoutMs} ms (attempt ${attempts}).`;
      return {
        ok: false,
        error: { kind: "timeout", operation, message, timeoutMs: limits.timeoutMs, attempts },
      };
    }
    case "network":
      return { ok: false, error: { ...received, operation } };
    case "invalid-response": {
      const { kind, reason, status } = received;
      const messages = {
        "not-json": "The response says that it is JSON, and is not.",
        "too-large": `The response is larger than ${limits.maxResponseBytes} bytes (maxResponseBytes).`,
        "broken-body": "The response broke off.",
      };
      return {
        ok: false,
        error: { kind, operation, message: messages[reason], reason, status, ...requestId(received.headers) },
      };
    }
    case "response": {
      const { status, headers, data, attempts } = received;
      if (status >= 200 && status <= 299) return { ok: true, status, data, headers, ...requestId(headers) };
      const declared = isDeclared(tool, status);
      const message = `The server answered ${status}${describe(tool, status)}.`;
      const error = {
        kind: "http" as const,
        operation,
        message,
        declared,
        status,
        body: data,
        headers,
        attempts,
        ...requestId(headers),
      };
      // `declared` is decided at run time, and CallResult tells its two cases apart.
      return { ok: false, error: error as HttpError<number, unknown, false> };
    }
  }
}

function isDeclared(tool: Tool, status: number): boolean {
  const { responses } = tool;
  return [String(status), `${Math.floor(status / 100)}XX`, "default"].some((key) =>
    Object.hasOwn(responses, key),
  );
}

function describe(tool: Tool, status: number): string {
  const key = String(status);
  const text = Object.hasOwn(tool.responses, key)
    ? tool.responses[key]?.description.replace(/\s+/g, " ").trim()
    : "";
  return text ? ` (${text.slice(0, 120)})` : "";
}

const requestIdHeaders = ["x-request-id", "request-id", "x-correlation-id", "x-amzn-requestid"];

function requestId(headers: Headers): { requestId?: string } {
  for (const name of requestIdHeaders) {
    const value = headers.get(name);
    if (value !== null) return { requestId: value.slice(0, 200) };
  }
  return {};
}

/** The error of a call whose arguments do not fit. */
export function invalidArguments(operation: string, issues: ArgumentIssue[]): CallFailure {
  const message = issues.map((issue) => `${issue.pointer} ${issue.message}`.trim()).join("; ");
  return { kind: "invalid-arguments", operation, message, issues };
}

/** Leaves out properties that are undefined, as JSON does; other values are kept as they are. */
function withoutUndefined(value: unknown, depth = 0): unknown {
  if (depth > 64) return value;
  if (Array.isArray(value)) return value.map((item) => withoutUndefined(item, depth + 1));
  if (!isObject(value) || !isPlain(value)) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([name, item]) => [name, withoutUndefined(item, depth + 1)]));
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const unsendable = new Set(["argument-invalid", "media-type-unsupported"]);

function checkUrl(url: string, place: string): void {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return;
  throw new SpecdojoError("no-server", `${JSON.stringify(url)} is not an absolute http(s) URL.`, {
    place,
    remedy:
      "The document does not say where its API is: give createClient a baseUrl, e.g. https://api.example.com/v1.",
  });
}

function describeBody(body: Uint8Array): string {
  return `[${body.byteLength} bytes]`;
}
