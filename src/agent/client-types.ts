import type { ToolMenu } from "../openapi/types.js";
import type { JsonObject } from "../util/json.js";
import type { CredentialProvider } from "./credentials.js";

/** Types of one operation, as generated into a client's `types` file. Keys of `responses`: `200`, `4XX`, `default`. */
export interface OperationTypes {
  arguments: object;
  responses: object;
}

/** Operations that are not known at compile time. */
export interface UntypedOperations {
  [name: string]: { arguments: JsonObject; responses: { default: unknown } };
}

/** One call, typed by name. */
export type TypedToolCall<O = UntypedOperations> = {
  [Name in keyof O & string]: { name: Name; arguments: ArgumentsOf<O, Name> };
}[keyof O & string];

/** One invalid argument. */
export interface ArgumentIssue {
  /** JSON pointer into the arguments; empty for the arguments as a whole. */
  pointer: string;
  message: string;
}

/** A request as it would go out, without credentials. */
export interface PlannedRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** Text of the body, or a note of its kind and size when it is not text. */
  body?: string;
}

interface CommonError {
  message: string;
  operation: string;
}

/** Why a call has no result, apart from an HTTP error status. */
export type CallFailure = CommonError &
  (
    | { kind: "invalid-arguments"; issues: ArgumentIssue[] }
    /** No alternative of the operation's security requirements could be met. */
    | { kind: "missing-credentials"; schemes: string[] }
    /** The call changes something, and neither `confirm` nor `allow` let it through. */
    | { kind: "not-confirmed" }
    | { kind: "network"; attempts: number }
    | { kind: "timeout"; timeoutMs: number; attempts: number }
    /** The caller's signal was aborted. */
    | { kind: "aborted" }
    /**
     * A body that is not what its media type says, or larger than `maxResponseBytes`; or a next page that lies on
     * another origin (`foreign-page`).
     */
    | {
        kind: "invalid-response";
        reason: "not-json" | "too-large" | "broken-body" | "foreign-page";
        status: number;
        requestId?: string;
      }
  );

/** An HTTP status outside 200-299. `declared` tells whether the document describes this very status. */
export type HttpError<Status = number, Body = unknown, Declared = boolean> = CommonError & {
  kind: "http";
  declared: Declared;
  status: Status;
  body: Body;
  headers: Headers;
  /** `x-request-id` or the like, when the server sent one. */
  requestId?: string;
  attempts: number;
};

type SuccessKey = `2${string}`;
type StatusOf<Key> = Key extends `${infer Status extends number}` ? Status : number;

type SuccessKeys<R> =
  Extract<keyof R, SuccessKey> extends never ? Extract<keyof R, "default"> : Extract<keyof R, SuccessKey>;

/** `data` is undefined for an empty body, text for a text body, and a `Uint8Array` for other media types than JSON. */
export interface CallSuccess<Status = number, Data = unknown> {
  ok: true;
  status: Status;
  data: Data;
  headers: Headers;
  requestId?: string;
}

type Successes<R> = [SuccessKeys<R>] extends [never]
  ? CallSuccess
  : { [Key in SuccessKeys<R>]: CallSuccess<StatusOf<Key>, R[Key]> }[SuccessKeys<R>];

type DeclaredErrors<R> = {
  [Key in Exclude<keyof R, SuccessKey>]: HttpError<StatusOf<Key>, R[Key], true>;
}[Exclude<keyof R, SuccessKey>];

/** What a call returns: never thrown, so that every outcome is in the type. See `unwrap` for the throwing form. */
export type CallResult<R = unknown> =
  | Successes<R>
  | { ok: false; error: CallFailure | DeclaredErrors<R> | HttpError<number, unknown, false> };

/** What a success of this operation holds. */
export type DataOf<O, Name extends keyof O> = O[Name] extends { responses: infer R }
  ? Extract<Successes<R>, { ok: true }>["data"]
  : unknown;

export type ArgumentsOf<O, Name extends keyof O> = O[Name] extends { arguments: infer A } ? A : never;
type ResponsesOf<O, Name extends keyof O> = O[Name] extends { responses: infer R } ? R : unknown;

/** Arguments may be left out where all of them are optional. */
type CallParameters<A, Options = CallOptions> =
  Record<never, never> extends A ? [args?: A, options?: Options] : [args: A, options?: Options];

/** One item of a streaming response. */
export interface StreamItem {
  /** The event's data or the line: its value where it is JSON, else its text. */
  data: unknown;
  /** Name and id of a server-sent event, where the server gave them. */
  event?: string;
  id?: string;
}

/** `items` ends with the response, and throws a `CallError` where it breaks off. Leaving the loop closes the connection. */
export type StreamResult<R = unknown> =
  | {
      ok: true;
      status: number;
      headers: Headers;
      requestId?: string;
      items: AsyncGenerator<StreamItem, void, undefined>;
    }
  | Extract<CallResult<R>, { ok: false }>;

type ItemOf<Data> = Data extends readonly (infer Item)[] ? Item : unknown;

/** One page of a list. */
export interface Page<R = unknown> {
  /** Counted from 1. */
  number: number;
  /** A failure ends the pages. */
  result: CallResult<R>;
  /** The list in the response: the response itself, or its only property that is a list of that size. */
  items: ItemOf<Extract<CallResult<R>, { ok: true }>["data"]>[];
  /** Whether the server has more. On the last page it tells that `maxPages` was reached. */
  more: boolean;
}

/** How an API says what comes next. */
export type Paging =
  /** Header `Link` with `rel="next"`. */
  | { by: "link" }
  /** The address of the next page stands in the response, at this JSON pointer. */
  | { by: "url"; pointer: string }
  /** A cursor for this argument stands in the response, at this JSON pointer. */
  | { by: "cursor"; argument: string; pointer: string }
  /** The argument is the last item's property (default `id`), as long as the response says `has_more`. */
  | { by: "last-item"; argument: string; property?: string }
  /** The argument counts pages. `first` (default 1) is the number of the first. */
  | { by: "page"; argument: string; first?: number }
  /** The argument counts items. */
  | { by: "offset"; argument: string };

export interface PageOptions extends CallOptions {
  /** Default 100. */
  maxPages?: number;
  /** Default: found out from the operation's arguments and each response. */
  paging?: Paging;
}

/** Names that a method cannot have: use `call(name, …)`. */
export const reservedNames = [
  "call",
  "dryRun",
  "menu",
  "orThrow",
  "pages",
  "stream",
  "then",
  "catch",
  "finally",
  "constructor",
  "prototype",
  "__proto__",
  "__defineGetter__",
  "__defineSetter__",
  "__lookupGetter__",
  "__lookupSetter__",
  "hasOwnProperty",
  "isPrototypeOf",
  "propertyIsEnumerable",
  "toJSON",
  "toLocaleString",
  "toString",
  "valueOf",
] as const;
type ReservedName = (typeof reservedNames)[number];

type Methods<O> = {
  readonly [Name in keyof O as Exclude<Name, ReservedName>]: (
    ...parameters: CallParameters<ArgumentsOf<O, Name>>
  ) => Promise<CallResult<ResponsesOf<O, Name>>>;
};

interface ClientBase<O> {
  /** Calls any operation by name, also one whose name no method can have. */
  call<Name extends keyof O & string>(
    name: Name,
    ...parameters: CallParameters<ArgumentsOf<O, Name>>
  ): Promise<CallResult<ResponsesOf<O, Name>>>;
  /** The request that a call would send, without credentials. Sends nothing. */
  dryRun<Name extends keyof O & string>(
    name: Name,
    ...parameters: CallParameters<ArgumentsOf<O, Name>>
  ): { ok: true; request: PlannedRequest } | { ok: false; error: CallFailure };
  /**
   * Calls an operation that answers piece by piece (server-sent events, JSON lines, JSON text sequences). Any other
   * response is one item. `timeoutMs` is the longest wait for the first and each further piece.
   */
  stream<Name extends keyof O & string>(
    name: Name,
    ...parameters: CallParameters<ArgumentsOf<O, Name>>
  ): Promise<StreamResult<ResponsesOf<O, Name>>>;
  /** All pages of a list, one request at a time, at most `maxPages` of them. */
  pages<Name extends keyof O & string>(
    name: Name,
    ...parameters: CallParameters<ArgumentsOf<O, Name>, PageOptions>
  ): AsyncGenerator<Page<ResponsesOf<O, Name>>, void, undefined>;
  /** The same operations for who would rather catch: they give what a success holds, and throw a `CallError` else. */
  readonly orThrow: ThrowingClient<O>;
  readonly menu: ToolMenu;
}

/** Operations that give what a success holds, and throw a `CallError` for every other outcome. */
export type ThrowingClient<O = UntypedOperations> = {
  readonly [Name in keyof O as Exclude<Name, ReservedName>]: (
    ...parameters: CallParameters<ArgumentsOf<O, Name>>
  ) => Promise<DataOf<O, Name>>;
} & {
  call<Name extends keyof O & string>(
    name: Name,
    ...parameters: CallParameters<ArgumentsOf<O, Name>>
  ): Promise<DataOf<O, Name>>;
};

/** A client with one method for each operation. */
export type Client<O = UntypedOperations> = ClientBase<O> & Methods<O>;

export interface CallOptions {
  signal?: AbortSignal;
  /** Per attempt, in milliseconds. */
  timeoutMs?: number;
  /** Attempts after the first one, for idempotent methods and calls with an idempotency key only. */
  retries?: number;
  headers?: Record<string, string>;
  /**
   * The server does a request with the same key once, so that a POST or PATCH may be sent again, too. `true` makes a
   * key for this call. Sent in the header that the operation declares for it, else in `Idempotency-Key`.
   */
  idempotencyKey?: string | true;
  /** Who the call is made for, or whatever else `credentials` has to know. It goes nowhere else. */
  context?: unknown;
  /**
   * Files by name: where the operation takes a file, an argument that is one of these names stands for it. With
   * `files`, any other text there but a `data:` URL is an invalid argument.
   */
  files?: Readonly<Record<string, FileContent>>;
  /** Replace credentials of this call in a success, too, where a server quotes them. For results that a model reads. */
  redact?: boolean;
}

/** `fs.openAsBlob(path)` gives a file of the disk without reading it at once. */
export type FileContent = Blob | Uint8Array;

/** An argument that is a file: its content, a `data:` URL, its text, or a name in `CallOptions.files`. */
export type FileArgument = FileContent | string;

/** Something in the life of a call, for logs: holds no credentials, headers or bodies. */
export type CallEvent =
  | { type: "request"; operation: string; method: string; url: string; attempt: number }
  | { type: "response"; operation: string; status: number; attempt: number }
  | { type: "retry"; operation: string; attempt: number; delayMs: number; reason: string };

export interface ClientOptions {
  /** Replaces the document's servers. */
  baseUrl?: string;
  /** Values of variables of the document's server URL. */
  serverVariables?: Record<string, string>;
  /** Asked for each call and scheme, so that each user and call can have its own. Undefined: none at hand. */
  credentials?: CredentialProvider;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Per attempt, in milliseconds, with the reading of the body. Default 30,000. */
  timeoutMs?: number;
  /** Default 2. Only GET, HEAD, OPTIONS, TRACE, PUT, DELETE and calls with an idempotency key are ever sent again. */
  retries?: number;
  /** First wait before a retry, doubled each time; up to half of it is taken off at random. Default 250. */
  retryDelayMs?: number;
  /** No wait is longer; a server that asks for more (Retry-After) gets no further attempt. Default 30,000. */
  maxRetryDelayMs?: number;
  /** Of a response, or of one item of a streaming response. Default 10 MiB. */
  maxResponseBytes?: number;
  /** Requests of this client in flight at once; further calls wait their turn. Default: no limit. */
  maxConcurrency?: number;
  /** Sent with every request. Not for credentials of users: those come from `credentials`. */
  headers?: Record<string, string>;
  /** Ends all calls of this client. */
  signal?: AbortSignal;
  onEvent?: (event: CallEvent) => void;
  /** Milliseconds since the epoch, for dates in Retry-After. */
  now?: () => number;
  /** For the waits before retries, in [0, 1). Default `Math.random`. */
  random?: () => number;
  /** Makes idempotency keys. Default: random UUIDs. */
  newKey?: () => string;
}
