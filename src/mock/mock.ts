import { createArgumentValidator } from "../openapi/arguments.js";
import type { LoadedDocument } from "../openapi/load.js";
import type { ToolMenu } from "../openapi/types.js";
import { SpecdojoError } from "../util/errors.js";
import type { JsonObject } from "../util/json.js";
import { createRandom } from "../util/random.js";
import { findArguments, type RoutedRequest } from "./arguments.js";
import { createFaultPlan, type Delivery, deliver, type FaultRule } from "./faults.js";
import { preferences } from "./negotiate.js";
import { type MockOperation, mockOperations, type ResponseSpec } from "./operations.js";
import { CollectionPlayer } from "./play.js";
import { bodyExample, chooseMedia, chooseResponse, encodeBody } from "./respond.js";
import { createRouter, decodeSegment } from "./router.js";
import { createExampleSampler } from "./sample.js";
import { checkSecurity, type KeyPlaces, keyPlaces } from "./security.js";
import { createTokenStore } from "./tokens.js";
import type { MockAnswer, MockExchange, MockOptions, MockRequest } from "./types.js";

/** A mock of an API, without a server. */
export interface Mock {
  readonly menu: ToolMenu;
  /** What was asked, oldest first; the last 10,000 requests are kept. */
  readonly log: readonly MockExchange[];
  /** Answers a request, as a stand-in for `fetch`: `createClient(menu, { fetch: mock.fetch })`. */
  fetch(url: string, init?: RequestInit): Promise<Response>;
  /** Answers a request. Faults and latency are left to who sends the answer. */
  handle(request: MockRequest): Delivery & { delayMs: number };
  /** Replaces the faults. */
  setFaults(rules: readonly FaultRule[]): void;
  /** Forgets what was created, changed and deleted, the tokens that were issued, and the log. */
  reset(): void;
}

const maxLog = 10_000;
const emptyBytes = new Uint8Array();

/**
 * A mock of the API that a document describes: checks requests against it and answers with its examples or with values
 * drawn from its schemas. Same seed and same requests, same answers.
 *
 * @throws SpecdojoError `invalid-option` where an option names an operation or scheme that the document has not.
 */
export function createMock(loaded: LoadedDocument, options: MockOptions = {}): Mock {
  const { menu, operations } = mockOperations(loaded);
  checkFaults(options.faults ?? [], menu);
  const known = [...Object.keys(menu.securitySchemes), "*"];
  for (const scheme of Object.keys(options.credentials ?? {}))
    if (!known.includes(scheme))
      throw new SpecdojoError(
        "invalid-option",
        `The document has no security scheme ${JSON.stringify(scheme)}.`,
        {
          place: "credentials",
          remedy: `Use one of ${known.join(", ")}.`,
        },
      );
  return new DocumentMock(menu, operations, options).mock;
}

function checkFaults(rules: readonly FaultRule[], menu: ToolMenu): void {
  const names = new Set(menu.tools.map(({ name }) => name));
  const unknown = rules.flatMap(({ operations = [] }) => operations).find((name) => !names.has(name));
  if (unknown === undefined) return;
  throw new SpecdojoError("invalid-option", `The document has no operation ${JSON.stringify(unknown)}.`, {
    place: "faults",
    remedy: "`specdojo menu FILE` shows the names of all operations.",
  });
}

interface Decided extends MockAnswer {
  exchange: MockExchange;
}

class DocumentMock {
  readonly mock: Mock;
  readonly #menu: ToolMenu;
  readonly #options: MockOptions;
  readonly #route: ReturnType<typeof createRouter<MockOperation>>;
  readonly #keys: KeyPlaces;
  readonly #player: CollectionPlayer;
  readonly #validator = createArgumentValidator();
  readonly #sampler = createExampleSampler();
  readonly #random: ReturnType<typeof createRandom>;
  readonly #tokens: ReturnType<typeof createTokenStore>;
  readonly #log: MockExchange[] = [];
  #faultOf: ReturnType<typeof createFaultPlan>;

  constructor(menu: ToolMenu, operations: readonly MockOperation[], options: MockOptions) {
    this.#menu = menu;
    this.#options = options;
    this.#route = createRouter(operations);
    this.#keys = keyPlaces(menu);
    this.#random = createRandom(options.seed ?? 0);
    this.#player = new CollectionPlayer(operations, this.#sampler, this.#random, options.empty === true);
    this.#faultOf = createFaultPlan(options.faults ?? [], this.#random.fork("faults"));
    this.#tokens = createTokenStore(
      menu,
      options.credentials ?? {},
      options.tokenLifetimeS ?? 3600,
      options.now ?? Date.now,
      this.#random.fork("tokens"),
    );
    this.mock = {
      menu,
      log: this.#log,
      fetch: (url, init) => this.#fetch(url, init),
      handle: (request) => this.#handle(request),
      setFaults: (rules) => {
        checkFaults(rules, menu);
        this.#faultOf = createFaultPlan(rules, this.#random.fork("faults"));
      },
      reset: () => {
        this.#player.reset();
        this.#tokens.reset();
        this.#log.length = 0;
      },
    };
  }

  #handle(request: MockRequest): Delivery & { delayMs: number } {
    const decided = this.#decideSafely(request);
    const { exchange } = decided;
    const fault = this.#faultOf(exchange.operation);
    if (this.#options.cors === true) decided.headers["access-control-allow-origin"] = "*";
    const delivery = deliver(decided, fault, this.#random.fork(`garbage/${this.#log.length}`));
    if (fault !== undefined) exchange.fault = fault.kind;
    if (delivery.head === undefined) delete exchange.status;
    else exchange.status = delivery.head.status;
    this.#log.push(exchange);
    if (this.#log.length > maxLog) this.#log.shift();
    this.#options.onRequest?.(exchange);
    const { latencyMs = 0 } = this.#options;
    const delayMs =
      typeof latencyMs === "number"
        ? latencyMs
        : latencyMs[0] + this.#random.next() * (latencyMs[1] - latencyMs[0]);
    return { ...delivery, delayMs };
  }

  /** A schema that cannot be compiled must not end the server. */
  #decideSafely(request: MockRequest): Decided {
    try {
      return this.#decide(request);
    } catch (error) {
      const { path } = partsOfUrl(request.url);
      const warning = `The mock failed: ${error instanceof Error ? error.message : String(error)}`;
      const exchange: MockExchange = {
        ...emptyExchange(),
        method: request.method,
        url: path,
        warnings: [warning],
      };
      return { ...problem(500, warning, exchange, {}), exchange };
    }
  }

  #decide(request: MockRequest): Decided {
    const method = request.method.toUpperCase();
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value]),
    );
    const { path, query } = partsOfUrl(request.url);
    const exchange: MockExchange = {
      method,
      url: path + this.#publicQuery(query),
      headers: this.#publicHeaders(headers),
      authorised: [],
      problems: [],
      warnings: [],
    };
    const refuse = (status: number, detail: string, more: Record<string, string> = {}): Decided => {
      exchange.status = status;
      if (exchange.problems.length === 0) exchange.problems.push({ pointer: "", message: detail });
      return { ...problem(status, detail, exchange, more), exchange };
    };

    const match = this.#route(method, path, query);
    if (match.kind !== "found") {
      const token =
        method === "POST" ? this.#tokens.answer(path, headers, request.body ?? emptyBytes) : undefined;
      if (token !== undefined)
        return { ...token, exchange: Object.assign(exchange, { status: token.status }) };
      if (match.kind === "none") return refuse(404, `The document has no path for ${exchange.url}`);
      const allow = [...new Set([...match.allowed, ...(match.allowed.includes("GET") ? ["HEAD"] : [])])].join(
        ", ",
      );
      if (method === "OPTIONS" && this.#options.cors === true)
        return { ...preflight(allow, headers["access-control-request-headers"]), exchange };
      return refuse(405, `${method} is not declared for this path; ${allow} is`, { allow });
    }

    let refused: Decided | undefined;
    for (const operation of match.targets) {
      const own = structuredClone(exchange);
      const decided = this.#answer(operation, own, {
        base: match.base,
        path: match.path,
        query,
        headers,
        body: request.body,
      });
      const { exchange: at, ...answer } = decided;
      if (at.problems.length === 0 || match.targets.length === 1)
        return { ...withoutBody(answer, method), exchange: at };
      refused ??= { ...withoutBody(answer, method), exchange: at };
    }
    return refused ?? refuse(404, "The document has no such operation");
  }

  #answer(
    operation: MockOperation,
    exchange: MockExchange,
    request: RoutedRequest & { base: string },
  ): Decided {
    const { tool } = operation;
    const { headers } = request;
    exchange.operation = tool.name;
    const decline = (status: number, detail: string, more: Record<string, string> = {}): Decided => {
      exchange.status = status;
      return { ...problem(status, detail, exchange, more), exchange };
    };
    const refuse = (...[status, detail, more]: Parameters<typeof decline>): Decided => {
      if (exchange.problems.length === 0) exchange.problems.push({ pointer: "", message: detail });
      return decline(status, detail, more);
    };

    const security = checkSecurity(
      this.#menu,
      tool,
      { headers, query: new URLSearchParams(request.query), cookies: cookiesOf(headers.cookie) },
      this.#options.credentials ?? {},
      this.#tokens,
    );
    if (!security.ok)
      return refuse(security.status, security.message, { "www-authenticate": security.challenge });
    exchange.authorised = security.schemes;

    const keys = keyPlaces(this.#menu, tool);
    const found = findArguments(
      operation,
      { ...request, query: withoutKeys(request.query, keys, tool) },
      this.#validator,
    );
    if (found.arguments !== undefined) exchange.arguments = withoutSecrets(found.arguments, tool, keys);
    if (found.kind === "refused") {
      exchange.problems = found.problems;
      const reasons = found.problems.map(({ pointer, message }) => `${pointer} ${message}`.trim());
      return refuse(found.status, reasons.join("; "));
    }

    const prefer = preferences(headers.prefer);
    const { status, spec } = chooseResponse(operation.responses(), prefer.code);
    const media = chooseMedia(spec, headers.accept);
    if (media === undefined)
      return refuse(406, `The document offers ${spec?.content.map(({ mediaType }) => mediaType).join(", ")}`);
    const isAsked = prefer.code !== undefined || prefer.example !== undefined;
    const kept = isAsked ? undefined : this.#player.play(operation, request.path, media, found.arguments);
    if (kept === "missing") return decline(404, "There is no such item");
    exchange.status = status;
    const answer: MockAnswer = { status, headers: this.#headersOf(operation, spec), body: undefined };
    if (kept?.location !== undefined && Object.hasOwn(answer.headers, "location"))
      answer.headers.location = headerText(request.base + kept.location);
    if (media !== null && status !== 204 && status !== 304) {
      const random = this.#random.fork(`${tool.name}/${status}/${request.path}?${request.query}`);
      let value = kept?.value;
      if (value === undefined) {
        const example = bodyExample(media, tool.name, prefer.example, this.#sampler, random);
        exchange.warnings.push(...example.warnings);
        value = example.value;
      }
      const { contentType, bytes } = encodeBody(value, media.mediaType, random);
      answer.body = bytes;
      answer.headers["content-type"] = headerText(contentType);
      if (exchange.warnings.length > 0)
        answer.headers["x-mock-warning"] = headerText(exchange.warnings.join(" "));
    }
    return { ...answer, exchange };
  }

  #headersOf(operation: MockOperation, spec: ResponseSpec | undefined): Record<string, string> {
    const headers: Record<string, string> = {};
    for (const { name, schema, example } of spec?.headers ?? []) {
      if (ownHeaders.has(name)) continue;
      const value =
        example ??
        this.#sampler.sample(schema, name, this.#random.fork(`${operation.tool.name}/${name}`)).value;
      headers[name] = headerText(typeof value === "string" ? value : JSON.stringify(value));
    }
    return headers;
  }

  async #fetch(url: string, init: RequestInit = {}): Promise<Response> {
    const request = new Request(url, { ...init, duplex: "half" } as RequestInit);
    const body = new Uint8Array(await request.arrayBuffer());
    const {
      head,
      body: chunks,
      ending,
      delayMs,
    } = this.#handle({
      method: request.method,
      url: request.url,
      headers: Object.fromEntries(request.headers),
      ...(body.length > 0 ? { body } : {}),
    });
    const signal = init.signal ?? new AbortController().signal;
    await until(delayMs, signal);
    if (head === undefined && ending === "hang") await until(undefined, signal);
    if (head === undefined) throw resetError();
    const sent = chunks(signal);
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const next = await sent.next();
        if (next.done !== true) return controller.enqueue(next.value);
        if (ending === "hang") await until(undefined, signal);
        if (ending === "end") controller.close();
        else controller.error(resetError());
      },
      cancel: () => void sent.return(undefined),
    });
    const hasBody = ![204, 205, 304].includes(head.status) && request.method !== "HEAD";
    return new Response(hasBody ? stream : null, head);
  }

  #publicHeaders(headers: Record<string, string>): Record<string, string> {
    const secret = (name: string): boolean =>
      name === "authorization" ||
      name === "proxy-authorization" ||
      this.#keys.header.has(name) ||
      (name === "cookie" && this.#keys.cookie.size > 0);
    return Object.fromEntries(Object.entries(headers).filter(([name]) => !secret(name)));
  }

  #publicQuery(query: string): string {
    const parts = query.split("&").filter((part) => part !== "");
    const shown = parts.map((part) => {
      const name = part.split("=", 1)[0] ?? "";
      return this.#keys.query.has(decodeSegment(name.replaceAll("+", " "))) ? `${name}=[credential]` : part;
    });
    return shown.length === 0 ? "" : `?${shown.join("&")}`;
  }
}

/** Headers that belong to the message and not to the document. */
const ownHeaders = new Set([
  ..."content-type content-length content-encoding transfer-encoding connection keep-alive date trailer".split(
    " ",
  ),
  ..."upgrade te proxy-authenticate www-authenticate set-cookie access-control-allow-origin".split(" "),
]);

function problem(
  status: number,
  detail: string,
  exchange: MockExchange,
  headers: Record<string, string>,
): MockAnswer {
  const title = titles.get(status) ?? "Refused";
  const { operation, problems } = exchange;
  const value = {
    type: "about:blank",
    title,
    status,
    detail,
    ...(operation && { operation }),
    errors: problems,
  };
  return {
    status,
    headers: { ...headers, "content-type": "application/problem+json" },
    body: Buffer.from(JSON.stringify(value)),
  };
}

const titles = new Map([
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [406, "Not Acceptable"],
  [413, "Content Too Large"],
  [415, "Unsupported Media Type"],
  [500, "Internal Server Error"],
]);

function emptyExchange(): MockExchange {
  return { method: "", url: "", headers: {}, authorised: [], problems: [], warnings: [] };
}

/** The answer to a request that is too large to be read. */
export function tooLarge(limit: number): MockAnswer {
  const exchange: MockExchange = {
    method: "",
    url: "",
    headers: {},
    authorised: [],
    problems: [],
    warnings: [],
  };
  exchange.problems.push({ pointer: "/body", message: `has more than ${limit} bytes` });
  return problem(413, `The body has more than ${limit} bytes`, exchange, {});
}

function preflight(allow: string, wanted: string | undefined): MockAnswer {
  const headers: Record<string, string> = { "access-control-allow-methods": allow };
  if (wanted !== undefined) headers["access-control-allow-headers"] = headerText(wanted);
  return { status: 204, headers, body: undefined };
}

function withoutBody(answer: MockAnswer, method: string): MockAnswer {
  return method === "HEAD" ? { ...answer, body: undefined } : answer;
}

function partsOfUrl(url: string): { path: string; query: string } {
  const [address = "", query = ""] = (url.split("#", 1)[0] ?? "").split(/\?(.*)/s, 2);
  return { path: address.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, "") || "/", query };
}

function cookiesOf(header: string | undefined): Map<string, string> {
  const pairs = (header ?? "").split(";").map((part): [string, string] => {
    const [name = "", value = ""] = part.split(/=(.*)/s, 2);
    return [name.trim(), decodeSegment(value.trim())];
  });
  return new Map(pairs);
}

/** The query without API keys that are no arguments. */
function withoutKeys(query: string, keys: KeyPlaces, tool: MockOperation["tool"]): string {
  const bound = new Set(
    Object.values(tool.bindings).flatMap((one) => (one.in === "query" ? [one.name] : [])),
  );
  return query
    .split("&")
    .filter((part) => {
      const name = decodeSegment((part.split("=", 1)[0] ?? "").replaceAll("+", " "));
      return !keys.query.has(name) || bound.has(name);
    })
    .join("&");
}

/** The arguments, those that are API keys of this operation left out. */
function withoutSecrets(args: JsonObject, tool: MockOperation["tool"], keys: KeyPlaces): JsonObject {
  return Object.fromEntries(
    Object.entries(args).filter(([name]) => {
      const binding = Object.hasOwn(tool.bindings, name) ? tool.bindings[name] : undefined;
      if (binding === undefined || binding.in === "path") return true;
      const key = binding.in === "header" ? binding.name.toLowerCase() : binding.name;
      return !keys[binding.in].has(key) && (binding.in !== "header" || key !== "authorization");
    }),
  );
}

/** A text without what a header cannot carry. */
function headerText(text: string): string {
  return text.replaceAll(/[^\t\x20-\x7e]/g, "?").slice(0, 1_000);
}

/** Resolves after a time, never without one; rejects with the signal's reason. */
function until(ms: number | undefined, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  if (ms === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer =
      ms === undefined
        ? undefined
        : setTimeout(() => {
            signal.removeEventListener("abort", stop);
            resolve();
          }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

function resetError(): Error {
  return new TypeError("fetch failed", {
    cause: Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }),
  });
}
