import { setMaxListeners } from "node:events";
import type { z } from "zod";
import { SpecdojoError } from "../util/errors.js";
import type { Clock } from "./clock.js";
import type { Codec } from "./codec.js";
import { detailReply, failedReply, futureReply, tryAgainReply } from "./wire.js";

export interface TransportOptions {
  /** Without a trailing slash and without `/api/v1`. */
  baseUrl: string;
  apiKey: string | undefined;
  fetch: typeof globalThis.fetch;
  clock: Clock;
  codec: Codec;
  /** Aborts everything, with its reason as the error. */
  signal: AbortSignal;
  /** How long an unreachable or failing server is tried again, per call, in ms. */
  patience: number;
}

interface Reply {
  status: number;
  retryAfter: string | null;
  body: unknown;
}

const firstDelay = 250;
const longestDelay = 15_000;
const maxResubmissions = 5;

/** HTTP calls of the training API: encoding, retries, futures, errors. Holds no state between calls. */
export class Transport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get baseUrl(): string {
    return this.#options.baseUrl;
  }

  /** A call that is answered at once. */
  async post<S extends z.ZodType>(
    path: string,
    body: unknown,
    schema: S,
    signal: AbortSignal = this.#options.signal,
  ): Promise<z.infer<S>> {
    return this.#parse(path, await this.#call("POST", path, body, signal), schema);
  }

  async get<S extends z.ZodType>(
    path: string,
    schema: S,
    signal: AbortSignal = this.#options.signal,
  ): Promise<z.infer<S>> {
    return this.#parse(path, await this.#call("GET", path, undefined, signal), schema);
  }

  /** Posts a request that is answered by a future; returns once the server has accepted it. */
  async submit(path: string, body: unknown, signal: AbortSignal = this.#options.signal): Promise<string> {
    return (await this.post(path, body, futureReply, signal)).request_id;
  }

  /**
   * Waits for a future's result. When the server no longer knows it (410), the original request is sent again: its
   * seq_id makes that safe.
   */
  async settle<S extends z.ZodType>(
    path: string,
    body: unknown,
    requestId: string,
    schema: S,
    signal: AbortSignal = this.#options.signal,
  ): Promise<z.infer<S>> {
    let id = requestId;
    for (let resubmissions = 0; ; resubmissions++) {
      const reply = await this.#poll(path, id, signal);
      if (reply !== "gone") return this.#parse(path, reply, schema);
      if (resubmissions === maxResubmissions)
        throw new SpecdojoError(
          "backend-failed",
          `The server forgot the request ${path} ${maxResubmissions} times.`,
          {
            place: this.#options.baseUrl,
            remedy: "Look at the server's log: it may be restarting or out of memory.",
          },
        );
      id = await this.submit(path, body, signal);
    }
  }

  /** Submits and waits. */
  async request<S extends z.ZodType>(
    path: string,
    body: unknown,
    schema: S,
    signal: AbortSignal = this.#options.signal,
  ): Promise<z.infer<S>> {
    return this.settle(path, body, await this.submit(path, body, signal), schema, signal);
  }

  /** One raw exchange without a body, with the connection retries of every call; statuses are the caller's. */
  async fetchRaw(
    url: string,
    init: { method?: "GET" | "DELETE"; redirect?: "follow" | "manual"; authorized: boolean },
    signal: AbortSignal = this.#options.signal,
  ): Promise<Response> {
    const patience = new Patience(this.#options);
    for (;;) {
      try {
        return await this.#options.fetch(url, {
          method: init.method ?? "GET",
          headers: init.authorized ? this.#credentials() : {},
          redirect: init.redirect ?? "follow",
          signal: signal,
        });
      } catch (error) {
        signal.throwIfAborted();
        await patience.wait(connectionProblem(this.#options.baseUrl, error), signal);
      }
    }
  }

  url(path: string): string {
    return `${this.#options.baseUrl}/api/v1/${path}`;
  }

  /** Waits as an unreachable server is waited for; throws once the patience is used up. */
  patience(): Patience {
    return new Patience(this.#options);
  }

  /** A signal that ends with the caller's and with the connection. */
  combine(signal: AbortSignal | undefined): AbortSignal {
    if (signal === undefined) return this.#options.signal;
    const both = AbortSignal.any([signal, this.#options.signal]);
    setMaxListeners(0, both);
    return both;
  }

  async #poll(
    path: string,
    requestId: string,
    signal: AbortSignal = this.#options.signal,
  ): Promise<unknown | "gone"> {
    const body = { request_id: requestId, allow_metadata_only: false };
    let patience = new Patience(this.#options);
    for (;;) {
      const started = this.#options.clock.now();
      const reply = await this.#exchange("POST", "retrieve_future", body, signal, patience, path);
      if (reply === undefined) continue;
      if (reply.status === 410) return "gone";
      const pending =
        reply.status === 408 || (reply.status < 300 && tryAgainReply.safeParse(reply.body).success);
      if (pending) {
        // A server that answers "not yet" at once must not be asked in a tight loop.
        patience = new Patience(this.#options);
        if (this.#options.clock.now() - started < 20) await this.#options.clock.sleep(50, signal);
        continue;
      }
      if (isTransient(reply.status)) {
        await patience.wait(problemOf(path, reply, this.#options.baseUrl), signal, reply.retryAfter);
        continue;
      }
      return this.#accept(path, reply);
    }
  }

  async #call(
    method: "GET" | "POST",
    path: string,
    body: unknown,
    signal: AbortSignal = this.#options.signal,
  ): Promise<unknown> {
    const patience = new Patience(this.#options);
    for (;;) {
      const reply = await this.#exchange(method, path, body, signal, patience);
      if (reply === undefined) continue;
      if (isTransient(reply.status)) {
        await patience.wait(problemOf(path, reply, this.#options.baseUrl), signal, reply.retryAfter);
        continue;
      }
      return this.#accept(path, reply);
    }
  }

  /** One exchange; undefined after a dropped connection that was waited for. `call` is what the reply answers. */
  async #exchange(
    method: "GET" | "POST",
    path: string,
    body: unknown,
    signal: AbortSignal,
    patience: Patience,
    call: string = path,
  ): Promise<Reply | undefined> {
    const { codec, fetch } = this.#options;
    signal.throwIfAborted();
    const sent = body === undefined ? undefined : codec.encode(path, body);
    let status: number;
    let retryAfter: string | null;
    let contentType: string;
    let bytes: Uint8Array;
    try {
      const response = await fetch(this.url(path), {
        method,
        headers: {
          ...this.#credentials(),
          accept: codec.accept,
          ...(sent === undefined ? {} : { "content-type": sent.contentType }),
        },
        ...(sent === undefined ? {} : { body: sent.content }),
        signal,
      });
      status = response.status;
      retryAfter = response.headers.get("retry-after");
      contentType = response.headers.get("content-type") ?? "";
      bytes = new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      signal.throwIfAborted();
      await patience.wait(connectionProblem(this.#options.baseUrl, error), signal);
      return undefined;
    }
    try {
      return { status, retryAfter, body: codec.decode(call, contentType, bytes) };
    } catch (error) {
      if (status >= 400) return { status, retryAfter, body: null };
      throw new SpecdojoError("backend-reply-invalid", `The reply to ${path} is not ${codec.accept}.`, {
        place: this.url(path),
        remedy: "Check that the URL is that of a server of the training API.",
        cause: error,
      });
    }
  }

  /** The body of a success; throws for both forms of failure. */
  #accept(path: string, reply: Reply): unknown {
    if (reply.status >= 300) throw problemOf(path, reply, this.#options.baseUrl);
    const failed = failedReply.safeParse(reply.body);
    if (!failed.success) return reply.body;
    if (/No space left on device|os error 28|Disk quota exceeded/i.test(failed.data.error))
      throw new SpecdojoError("disk-full", `The server could not do ${path}: ${clip(failed.data.error)}`, {
        place: this.#options.baseUrl,
        remedy: "Free some space where it keeps checkpoints; nothing that was finished is lost.",
      });
    const ours = failed.data.category === "user";
    throw new SpecdojoError(
      ours ? "backend-rejected" : "backend-failed",
      `The server could not do ${path}: ${clip(failed.data.error)}`,
      {
        place: this.#options.baseUrl,
        remedy: ours
          ? "Correct the request; trying again will not help."
          : /out of memory/i.test(failed.data.error)
            ? "Use smaller batches or a smaller model; nothing that was finished is lost."
            : "Look at the server's log, then try again.",
      },
    );
  }

  #parse<S extends z.ZodType>(path: string, body: unknown, schema: S): z.infer<S> {
    const parsed = schema.safeParse(body);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw new SpecdojoError(
      "backend-reply-invalid",
      `The reply to ${path} is not what the training API says: ${issue?.message ?? "unknown"} at /${issue?.path.join("/") ?? ""}`,
      {
        place: this.url(path),
        remedy: "Check the server's version, or its kind (`kind`).",
        cause: parsed.error,
      },
    );
  }

  #credentials(): Record<string, string> {
    return this.#options.apiKey === undefined ? {} : { "x-api-key": this.#options.apiKey };
  }
}

/** Waits longer and longer between attempts of one call, and gives up with the last problem. */
export class Patience {
  readonly #options: TransportOptions;
  readonly #started: number;
  #delay = firstDelay;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#started = options.clock.now();
  }

  async wait(
    problem: SpecdojoError,
    signal: AbortSignal = this.#options.signal,
    retryAfter: string | null = null,
  ): Promise<void> {
    if (this.#options.clock.now() - this.#started >= this.#options.patience) throw problem;
    const asked = Number.parseFloat(retryAfter ?? "") * 1000;
    await this.#options.clock.sleep(asked >= 0 ? Math.min(asked, 60_000) : this.#delay, signal);
    this.#delay = Math.min(this.#delay * 2, longestDelay);
  }
}

const isTransient = (status: number): boolean =>
  status === 408 || status === 425 || status === 429 || status >= 500;

export function connectionProblem(baseUrl: string, error: unknown): SpecdojoError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why = cause instanceof Error ? cause.message || cause.name : String(cause);
  return new SpecdojoError("backend-unreachable", `No answer from the training server: ${clip(why)}`, {
    place: baseUrl,
    remedy: "Check that the server runs and that the address is right.",
    cause: error,
  });
}

function problemOf(path: string, reply: Reply, baseUrl: string): SpecdojoError {
  const said = sayDetail(reply.body);
  const message = `The server answered ${reply.status} to ${path}${said === "" ? "" : `: ${said}`}`;
  if (reply.status === 401 || reply.status === 403)
    return new SpecdojoError("backend-unauthorized", message, {
      place: baseUrl,
      remedy: "Check the API key (`apiKey`).",
    });
  if (reply.status === 429)
    return new SpecdojoError("backend-overloaded", message, {
      place: baseUrl,
      remedy: "Wait, or ask the server's owner for more capacity.",
    });
  if (reply.status >= 500)
    return new SpecdojoError("backend-failed", message, {
      place: baseUrl,
      remedy: "Look at the server's log.",
    });
  if (reply.status === 404 && said === "")
    return new SpecdojoError("backend-rejected", message, {
      place: baseUrl,
      remedy: "Check that the address is that of a server of the training API (without /api/v1).",
    });
  return new SpecdojoError("backend-rejected", message, {
    place: baseUrl,
    remedy: "The server's words say what it did not accept; trying again will not help.",
  });
}

function sayDetail(body: unknown): string {
  const parsed = detailReply.safeParse(body);
  if (parsed.success) {
    const { detail } = parsed.data;
    if (typeof detail === "string") return clip(detail);
    if (Array.isArray(detail))
      return clip(detail.map((item) => `${item.loc?.join("/") ?? ""} ${item.msg}`.trim()).join("; "));
    return clip(JSON.stringify(detail));
  }
  const failed = failedReply.safeParse(body);
  return failed.success ? clip(failed.data.error) : "";
}

const clip = (text: string): string => (text.length > 2000 ? `${text.slice(0, 2000)}…` : text);
