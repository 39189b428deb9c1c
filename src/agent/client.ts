import { createArgumentValidator } from "../openapi/arguments.js";
import { isJsonLike } from "../openapi/body.js";
import { buildRequest, type HttpRequest } from "../openapi/request.js";
import type { Tool, ToolMenu } from "../openapi/types.js";
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
  type Page,
  type PageOptions,
  type PlannedRequest,
  reservedNames,
  type StreamItem,
  type StreamResult,
  type UntypedOperations,
} from "./client-types.js";
import { type Authorisation, authorise, type Credential, CredentialError } from "./credentials.js";
import { type Attachment, describeFile, putFiles, takeFiles } from "./files.js";
import { Limiter } from "./limiter.js";
import { itemsIn, type NextPage, Pager } from "./pages.js";
import { ItemError, readItems } from "./stream.js";
import {
  Deadline,
  Interruption,
  type OutgoingRequest,
  type Received,
  type RequestBody,
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
  const call = (name: string, args?: unknown, callOptions?: CallOptions) =>
    caller.call(name, args, callOptions);
  const callOrThrow = async (name: string, args?: JsonObject, callOptions?: CallOptions) =>
    unwrap(await call(name, args, callOptions));
  const own = {
    menu,
    call,
    orThrow: methodsOf(menu, { call: callOrThrow }, callOrThrow),
    dryRun: (name: string, args?: unknown, callOptions?: CallOptions) => caller.plan(name, args, callOptions),
    stream: (name: string, args?: unknown, callOptions?: CallOptions) =>
      caller.stream(name, args, callOptions),
    pages: (name: string, args?: unknown, pageOptions?: PageOptions) => caller.pages(name, args, pageOptions),
  };
  return methodsOf(menu, own, call) as Client<O>;
}

/** A frozen object with the client's own members and one method per operation whose name a method can have. */
function methodsOf(
  menu: ToolMenu,
  own: object,
  call: (name: string, args?: JsonObject, options?: CallOptions) => unknown,
): unknown {
  const client = {};
  const define = (name: string, value: unknown) =>
    Object.defineProperty(client, name, { value, enumerable: true, writable: false, configurable: false });
  for (const [name, value] of Object.entries(own)) define(name, value);
  const reserved = new Set<string>(reservedNames);
  for (const { name } of menu.tools)
    if (!reserved.has(name))
      define(name, (args?: JsonObject, callOptions?: CallOptions) => call(name, args, callOptions));
  return Object.freeze(client);
}

type Planned = { ok: true; request: PlannedRequest } | { ok: false; error: CallFailure };

/** A call whose arguments fit. */
interface Prepared {
  tool: Tool;
  /** With an empty `data:` URL for each attachment. */
  args: JsonObject;
  attachments: Attachment[];
  request: HttpRequest;
}

/** What came of a request that was sent. */
interface Sent {
  tool: Tool;
  /** Address of the request, without credentials. */
  url: string;
  received: Received;
  limits: TransportLimits;
}

class Caller {
  readonly #menu: ToolMenu;
  readonly #options: ClientOptions;
  readonly #tools: Map<string, Tool>;
  readonly #validator: ReturnType<typeof createArgumentValidator>;
  readonly #limiter: Limiter | undefined;

  constructor(menu: ToolMenu, options: ClientOptions) {
    this.#menu = menu;
    this.#options = options;
    this.#tools = new Map(menu.tools.map((tool) => [tool.name, tool]));
    this.#validator = createArgumentValidator();
    if (options.maxConcurrency !== undefined) this.#limiter = new Limiter(options.maxConcurrency);
    if (options.baseUrl !== undefined) checkUrl(options.baseUrl, "createClient");
  }

  plan(name: string, args: unknown, callOptions: CallOptions = {}): Planned {
    const prepared = this.#prepare(name, args, callOptions);
    if (!("tool" in prepared)) return { ok: false, error: prepared };
    const { request: planned, attachments } = prepared;
    const { method, url, headers, body } = planned;
    const request: PlannedRequest = { method, url, headers: { ...headers } };
    if (attachments.length > 0) request.body = `[with files: ${attachments.map(describeFile).join("; ")}]`;
    else if (body !== undefined)
      request.body = typeof body === "string" ? body : `[${body.byteLength} bytes]`;
    return { ok: true, request };
  }

  async call(name: string, args: unknown, callOptions: CallOptions = {}): Promise<CallResult> {
    const sent = await this.#send(name, args, callOptions);
    return "received" in sent ? resultOf(sent) : { ok: false, error: sent };
  }

  async stream(name: string, args: unknown, callOptions: CallOptions = {}): Promise<StreamResult> {
    const sent = await this.#send(name, args, callOptions, { mode: "stream" });
    if (!("received" in sent)) return { ok: false, error: sent };
    const { received, limits } = sent;
    if (received.kind !== "stream") return resultOf(sent) as Extract<CallResult, { ok: false }>;
    const { status, headers, chunks } = received;
    const type = headers.get("content-type") ?? "";
    async function* items(): AsyncGenerator<StreamItem, void, undefined> {
      try {
        yield* readItems(chunks, type, limits.maxResponseBytes);
      } catch (error) {
        let failed: Received | undefined;
        if (error instanceof Interruption) failed = error.failed;
        if (error instanceof ItemError)
          failed = { kind: "invalid-response", reason: error.reason, status, headers };
        const result = failed && resultOf({ ...sent, received: failed } as Sent);
        throw result === undefined || result.ok ? error : new CallError(result.error);
      }
    }
    return { ok: true, status, headers, items: items(), ...requestId(headers) };
  }

  async *pages(
    name: string,
    args: unknown,
    pageOptions: PageOptions = {},
  ): AsyncGenerator<Page, void, undefined> {
    const { maxPages = 100, paging, ...callOptions } = pageOptions;
    const tool = this.#tools.get(name);
    const pager = new Pager(tool, isObject(args) ? args : {}, paging);
    let next: NextPage | undefined = { args: args ?? {} };
    for (let number = 1; next !== undefined; number++) {
      const sent: Sent | CallFailure = await this.#send(
        name,
        next.args,
        callOptions,
        next.url === undefined ? {} : { url: next.url },
      );
      const result: CallResult = "received" in sent ? resultOf(sent) : { ok: false, error: sent };
      if (!result.ok || !("received" in sent)) {
        yield { number, result, items: [], more: false };
        return;
      }
      const items = itemsIn(result.data);
      const following = pager.after(result.data, items, result.headers, sent.url);
      next = following === "foreign" ? undefined : following;
      yield { number, result, items, more: following !== undefined };
      if (following === "foreign") {
        const error = invalidResponse(name, "foreign-page", result.status, result.headers, sent.limits);
        yield { number: number + 1, result: { ok: false, error }, items: [], more: false };
      }
      if (number >= maxPages) return;
    }
  }

  /** Checks, authorises and sends a call, at `url` instead of the one that its arguments give. */
  async #send(
    name: string,
    args: unknown,
    callOptions: CallOptions,
    { mode = "whole", url }: { mode?: "whole" | "stream"; url?: string } = {},
  ): Promise<Sent | CallFailure> {
    const prepared = this.#prepare(name, args, callOptions);
    if (!("tool" in prepared)) return prepared;
    const { tool } = prepared;
    const options = this.#options;
    const signals = [options.signal, callOptions.signal].filter((signal) => signal !== undefined);
    const request = await this.#complete(prepared);
    if ("kind" in request) return request;
    if (url !== undefined) request.url = url;
    const leave = this.#limiter === undefined ? () => undefined : await this.#limiter.enter(signals);
    if (leave === undefined || signals.some(({ aborted }) => aborted)) {
      leave?.();
      return aborted(name);
    }
    const limits: TransportLimits = {
      timeoutMs: callOptions.timeoutMs ?? options.timeoutMs ?? defaultTimeoutMs,
      retries: callOptions.retries ?? options.retries ?? 2,
      retryDelayMs: options.retryDelayMs ?? 250,
      maxRetryDelayMs: options.maxRetryDelayMs ?? 30_000,
      maxResponseBytes: options.maxResponseBytes ?? 10 * 1024 * 1024,
    };
    const deps: TransportDeps = {
      fetch: options.fetch ?? ((target, init) => fetch(target, init)),
      signals,
      now: options.now ?? Date.now,
      random: options.random ?? Math.random,
      onEvent: options.onEvent ?? (() => undefined),
    };
    let received: Received | undefined;
    try {
      let authorisation = await this.#authorise(tool, signals, callOptions, limits.timeoutMs);
      if ("kind" in authorisation) return authorisation;
      const headers = this.#headers(tool, request, callOptions);
      for (let round = 1; ; round++) {
        const outgoing = outgoingOf(tool, request, headers, authorisation, callOptions);
        if ("kind" in outgoing) return outgoing;
        received = await send(outgoing, limits, deps, mode);
        const { used } = authorisation;
        const refused = received.kind === "response" && received.status === 401 && used.size > 0;
        if (!refused || round > 1) break;
        // The server did nothing but refuse: with another token the same request may be sent, whatever its method.
        const again = await this.#authorise(tool, signals, callOptions, limits.timeoutMs, used);
        if ("kind" in again || sameCredentials(used, again.used)) break;
        authorisation = again;
      }
      return { tool, url: request.url, received, limits };
    } finally {
      if (received?.kind === "stream") void received.ended.then(leave);
      else leave();
    }
  }

  #prepare(name: string, args: unknown, callOptions: CallOptions): Prepared | CallFailure {
    const tool = this.#tools.get(name);
    if (tool === undefined)
      return invalidArguments(name, [
        { pointer: "", message: `The menu has no operation ${JSON.stringify(name)}.` },
      ]);
    const given = withoutUndefined(args ?? {});
    if (!isObject(given))
      return invalidArguments(name, [{ pointer: "", message: "Arguments are given as one object." }]);
    const { args: plain, attachments, issues } = takeFiles(tool, given, callOptions.files);
    if (issues.length > 0) return invalidArguments(name, issues);
    const check = this.#validator.validate(tool, plain);
    if (!check.ok) return invalidArguments(name, check.errors);
    const fitting = plain as JsonObject;
    const request = this.#build(tool, fitting);
    return "kind" in request ? request : { tool, args: fitting, attachments, request };
  }

  #build(tool: Tool, args: JsonObject): HttpRequest | CallFailure {
    const { baseUrl, serverVariables } = this.#options;
    const server = baseUrl !== undefined ? { server: baseUrl } : { variables: serverVariables ?? {} };
    try {
      const request = buildRequest(tool, args, server);
      checkUrl(request.url, tool.name);
      return request;
    } catch (error) {
      // Valid for the schema, but nothing that a request can carry, such as a line break in a header.
      if (SpecdojoError.isInstance(error) && unsendable.has(error.code))
        return invalidArguments(tool.name, [{ pointer: "", message: error.message }]);
      throw error;
    }
  }

  /** The request with the files' contents in it. */
  async #complete({ tool, args, attachments, request }: Prepared): Promise<OpenRequest | CallFailure> {
    const [first] = attachments;
    if (first === undefined) return { ...request };
    const type = tool.body?.mediaType ?? "";
    if (tool.body?.shape.kind === "whole" && first.path.length === 1 && !isComposite(type))
      return { ...request, body: first.content as RequestBody };
    try {
      const form = isJsonLike(type) ? "base64" : "data-url";
      return this.#build(tool, await putFiles(args, attachments, form));
    } catch (error) {
      if (SpecdojoError.isInstance(error)) throw error;
      return invalidArguments(tool.name, [
        { pointer: pointerOf(first), message: "The file cannot be read." },
      ]);
    }
  }

  async #authorise(
    tool: Tool,
    signals: AbortSignal[],
    { context }: CallOptions,
    timeoutMs: number,
    refused?: ReadonlyMap<string, Credential>,
  ): Promise<Authorisation | CallFailure> {
    const operation = tool.name;
    const deadline = new Deadline(signals, timeoutMs);
    try {
      const { signal } = deadline;
      const { credentials: provider } = this.#options;
      const request = { provider, signal, context, ...(refused === undefined ? {} : { refused }) };
      const authorisation = await deadline.race(authorise(this.#menu, tool, request));
      if (!("missing" in authorisation)) return authorisation;
      const names = authorisation.missing.map((scheme) => JSON.stringify(scheme)).join(", ");
      const message = `No credentials for any alternative of: ${names}. Give createClient a credentials function.`;
      return missing(operation, authorisation.missing, message);
    } catch (error) {
      if (deadline.ended === "aborted") return aborted(operation);
      if (deadline.ended === "timeout")
        return missing(operation, [], `The credentials function took longer than ${timeoutMs} ms.`);
      // What a provider throws may hold what it was about to return.
      const message = error instanceof CredentialError ? error.message : "The credentials function failed.";
      return missing(operation, [], message);
    } finally {
      deadline.close();
    }
  }

  /** Undefined where a header holds what no request can carry. */
  #headers(tool: Tool, request: OpenRequest, callOptions: CallOptions): Headers | undefined {
    try {
      const headers = new Headers({ ...this.#options.headers, ...callOptions.headers });
      const { idempotencyKey: key } = callOptions;
      if (key !== undefined) headers.set(idempotencyHeader(tool), key === true ? this.#newKey() : key);
      for (const [name, value] of Object.entries(request.headers)) headers.set(name, value);
      return headers;
    } catch {
      return undefined;
    }
  }

  #newKey(): string {
    return this.#options.newKey?.() ?? crypto.randomUUID();
  }
}

type OpenRequest = Omit<HttpRequest, "body"> & { body?: RequestBody };

const defaultTimeoutMs = 30_000;

function outgoingOf(
  tool: Tool,
  request: OpenRequest,
  shared: Headers | undefined,
  authorisation: Authorisation,
  { idempotencyKey, redact = false }: CallOptions,
): OutgoingRequest | CallFailure {
  try {
    const headers = new Headers(shared);
    if (shared === undefined) throw new TypeError("header");
    for (const [name, value] of authorisation.headers) headers.set(name, value);
    if (authorisation.cookies.length > 0) {
      const cookies = authorisation.cookies.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
      headers.set("cookie", [headers.get("cookie"), ...cookies].filter((part) => part).join("; "));
    }
    const url = new URL(request.url);
    // The address of a next page may hold the key of the page before.
    const quoted = authorisation.query.some(([name]) => url.searchParams.has(name));
    for (const [name] of authorisation.query) url.searchParams.delete(name);
    const publicUrl = quoted ? url.href : request.url;
    for (const [name, value] of authorisation.query) url.searchParams.set(name, value);
    return {
      operation: tool.name,
      method: request.method.toUpperCase(),
      // Setting a search parameter rewrites the whole query, so the built URL is kept as it is where there is none.
      url: authorisation.query.length === 0 ? request.url : url.href,
      publicUrl,
      headers,
      body: request.body,
      repeatable: idempotencyKey !== undefined,
      secrets: authorisation.secrets,
      redact,
    };
  } catch {
    return missing(tool.name, [], "A header or credential holds characters that a request cannot carry.");
  }
}

/** The header that the operation declares for idempotency keys, or the usual one. */
function idempotencyHeader(tool: Tool): string {
  const declared = Object.values(tool.bindings).find(
    (binding) => binding.in === "header" && /^(?:x-)?idempotency-?key$/i.test(binding.name),
  );
  return declared?.name ?? "Idempotency-Key";
}

function sameCredentials(a: ReadonlyMap<string, Credential>, b: ReadonlyMap<string, Credential>): boolean {
  return JSON.stringify([...a]) === JSON.stringify([...b]);
}

/** Bodies that are made of parts: a file is only one of them. */
function isComposite(mediaType: string): boolean {
  return isJsonLike(mediaType) || /^\s*(?:multipart\/|application\/x-www-form-urlencoded)/i.test(mediaType);
}

function pointerOf({ path }: Attachment): string {
  return path.map((key) => `/${key}`).join("");
}

function aborted(operation: string): CallFailure {
  return { kind: "aborted", operation, message: "The call was aborted." };
}

function missing(operation: string, schemes: string[], message: string): CallFailure {
  return { kind: "missing-credentials", operation, message, schemes };
}

type InvalidResponse = Extract<CallFailure, { kind: "invalid-response" }>;

function invalidResponse(
  operation: string,
  reason: InvalidResponse["reason"],
  status: number,
  headers: Headers,
  limits: TransportLimits,
): InvalidResponse {
  const messages = {
    "not-json": "The response says that it is JSON, and is not.",
    "too-large": `The response is larger than ${limits.maxResponseBytes} bytes (maxResponseBytes).`,
    "broken-body": "The response broke off.",
    "foreign-page": "The next page lies on another origin, where no credentials go.",
  };
  return {
    kind: "invalid-response",
    operation,
    message: messages[reason],
    reason,
    status,
    ...requestId(headers),
  };
}

function resultOf({ tool, received, limits }: Sent): CallResult {
  const operation = tool.name;
  switch (received.kind) {
    case "aborted":
      return { ok: false, error: aborted(operation) };
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
      const { reason, status, headers } = received;
      return { ok: false, error: invalidResponse(operation, reason, status, headers, limits) };
    }
    case "stream": {
      const { status, headers } = received;
      return { ok: true, status, data: undefined, headers, ...requestId(headers) };
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
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed !== undefined && (parsed.username !== "" || parsed.password !== ""))
    throw new SpecdojoError("no-server", "The server's URL holds a user name or a password.", {
      place,
      remedy: "Take it out of the URL, and give it by the client's credentials function.",
    });
  if (parsed !== undefined && /^https?:$/.test(parsed.protocol)) return;
  throw new SpecdojoError("no-server", `${JSON.stringify(url)} is not an absolute http(s) URL.`, {
    place,
    remedy:
      "The document does not say where its API is: give createClient a baseUrl, e.g. https://api.example.com/v1.",
  });
}
