import type { JsonObject } from "../util/json.js";
import type { FaultRule } from "./faults.js";

export interface MockOptions {
  /** Same seed, same answers. Default 0. */
  seed?: number;
  /**
   * Accepted credentials by the name of the security scheme, `*` for all others: a token or key, or `name:password` (for
   * client credentials `id:secret`). A scheme without an entry accepts every credential of its form.
   */
  credentials?: Readonly<Record<string, string>>;
  /** Nothing exists until it is created: without this, every item that is asked for exists until it is deleted. */
  empty?: boolean;
  /** Wait before each answer, in milliseconds: one number, or the bounds of a range. Default 0. */
  latencyMs?: number | readonly [low: number, high: number];
  /** What goes wrong, on purpose. The first rule that applies counts. */
  faults?: readonly FaultRule[];
  /** Let web pages of every origin call the mock (CORS). Default false. */
  cors?: boolean;
  /** Largest request body, in bytes; a larger one is answered with 413. Default 10 MiB. */
  maxRequestBytes?: number;
  /** Lifetime of tokens from the mock's token endpoints, in seconds. Default 3600. */
  tokenLifetimeS?: number;
  /** Milliseconds since the epoch, for the lifetime of tokens. */
  now?: () => number;
  /** Told of each request once its answer is decided. */
  onRequest?: (exchange: MockExchange) => void;
}

/** A request and what became of it. Holds no credentials. */
export interface MockExchange {
  method: string;
  /** Path and query, without credentials. */
  url: string;
  /** Without those that carry credentials. Lower-case names. */
  headers: Record<string, string>;
  /** Name of the tool, where the request belongs to one. */
  operation?: string;
  /** The arguments found in the request, as far as it could be read. */
  arguments?: JsonObject;
  /** Security schemes whose credentials were accepted. */
  authorised: string[];
  /** Why the request was refused; empty where it fits the document. */
  problems: MockProblem[];
  /** Status of the answer; undefined where a fault left none. */
  status?: number;
  /** Kind of the fault that was injected. */
  fault?: string;
  /** What is wrong with the document, where that showed in the answer. */
  warnings: string[];
}

/** One reason why a request does not fit the document. */
export interface MockProblem {
  /** JSON pointer into the request: `/path/petId`, `/query/limit`, `/headers/x-key`, `/cookies/sid`, `/body/tags/0`. */
  pointer: string;
  message: string;
}

export interface MockRequest {
  method: string;
  /** Absolute, or path and query. */
  url: string;
  headers: Readonly<Record<string, string>>;
  body?: Uint8Array;
}

export interface MockAnswer {
  status: number;
  headers: Record<string, string>;
  /** Undefined: no body. */
  body: Uint8Array | undefined;
}
