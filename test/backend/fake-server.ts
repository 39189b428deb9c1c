import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../src/backend/clock.js";
import { isObject } from "../../src/util/json.js";
import { readRequest, writeResult } from "./fake-protobuf.js";

export type Body = Record<string, unknown>;
export interface Recorded {
  path: string;
  body: Body;
  headers: IncomingMessage["headers"];
}
/** What a scripted reply does instead of the normal one. */
export type Fault =
  | { status: number; body?: unknown; headers?: Record<string, string>; text?: string }
  /** The connection is cut: before the request was handled, or after it took effect. */
  | "drop"
  | "drop-after";
export type Work = (body: Body, path: string) => unknown;

/**
 * A server of the training API, scripted: futures answer what `work` returns (thrown objects become failures),
 * `faults` replaces the next replies of a path, `holdBatches` answers no sample before its whole batch has arrived.
 */
export class FakeServer {
  readonly requests: Recorded[] = [];
  readonly faults = new Map<string, Fault[]>();
  readonly lost = new Set<string>();
  /** Replies of `try_again` before each result. */
  tryAgain = 0;
  holdBatches = false;
  maxInFlight = 0;
  #inFlight = 0;
  readonly #work = new Map<string, Work>();
  readonly #futures = new Map<string, { result: unknown; asked: number; batch: string | undefined }>();
  readonly #byKey = new Map<string, { id: string; body: string }>();
  readonly #batches = new Map<string, { size: number; seen: Set<unknown> }>();
  readonly #server = createServer((request, response) => void this.#handle(request, response));
  #nextId = 0;

  async start(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  on(path: string, work: Work): void {
    this.#work.set(path, work);
  }

  fail(path: string, ...faults: Fault[]): void {
    this.faults.set(path, [...(this.faults.get(path) ?? []), ...faults]);
  }

  to(path: string): Recorded[] {
    return this.requests.filter((request) => request.path === path);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#inFlight += 1;
    this.maxInFlight = Math.max(this.maxInFlight, this.#inFlight);
    response.on("close", () => {
      this.#inFlight -= 1;
    });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const content = Buffer.concat(chunks);
    const parsed: unknown =
      request.headers["content-type"] === "application/x-protobuf"
        ? readRequest(content)
        : content.length === 0
          ? {}
          : JSON.parse(content.toString());
    const body = isObject(parsed) ? parsed : {};
    const path = (request.url ?? "").replace("/api/v1/", "");
    this.requests.push({ path, body, headers: request.headers });
    const fault = this.faults.get(path)?.shift();
    if (fault === "drop") {
      request.socket.destroy();
      return;
    }
    if (fault === "drop-after") {
      this.#reply(path, body);
      request.socket.destroy();
      return;
    }
    const { status, headers, ...rest } = fault ?? this.#reply(path, body);
    const packed =
      (request.headers.accept ?? "").includes("protobuf") && status === 200
        ? writeResult(rest.body)
        : undefined;
    const answer = "text" in rest && rest.text !== undefined ? rest.text : JSON.stringify(rest.body ?? null);
    const type = packed === undefined ? "application/json" : "application/x-protobuf";
    response.writeHead(status, { "content-type": type, ...headers }).end(packed ?? answer);
  }

  #reply(path: string, body: Body): Exclude<Fault, string> {
    if (path === "retrieve_future") return this.#retrieve(String(body.request_id));
    const work = this.#work.get(path);
    if (work === undefined) return { status: 404, body: { detail: "Not Found" } };
    if (immediate.has(path)) return { status: 200, body: work(body, path) };
    return this.#accept(path, body, work);
  }

  #accept(path: string, body: Body, work: Work): Exclude<Fault, string> {
    const owner = body.model_id ?? body.sampling_session_id ?? body.session_id;
    const seqId = body.seq_id ?? body.model_seq_id;
    const key = `${seqId === undefined ? this.#nextId : seqId} ${String(owner)}`;
    const text = JSON.stringify(body);
    const known = this.#byKey.get(key);
    if (known !== undefined && known.body !== text)
      return { status: 409, body: { detail: `seq_id ${String(seqId)} was used with another body` } };
    if (known !== undefined && !this.lost.has(known.id))
      return { status: 200, body: { request_id: known.id } };
    const id = `r${this.#nextId++}`;
    this.#byKey.set(key, { id, body: text });
    let result: unknown;
    try {
      result = work(body, path);
    } catch (failure) {
      result = failure;
    }
    const batch = isObject(body.batch) ? body.batch : undefined;
    if (batch !== undefined && this.holdBatches) {
      const entry = this.#batches.get(String(batch.id)) ?? { size: Number(batch.size), seen: new Set() };
      entry.seen.add(seqId);
      this.#batches.set(String(batch.id), entry);
    }
    this.#futures.set(id, { result, asked: 0, batch: batch === undefined ? undefined : String(batch.id) });
    return { status: 200, body: { request_id: id } };
  }

  #retrieve(id: string): Exclude<Fault, string> {
    const future = this.#futures.get(id);
    if (future === undefined) return { status: 404, body: { detail: `no request ${id}` } };
    if (this.lost.has(id)) return { status: 410, body: { detail: "expired" } };
    const batch =
      this.holdBatches && future.batch !== undefined ? this.#batches.get(future.batch) : undefined;
    const waiting = batch !== undefined && batch.seen.size < batch.size;
    if (waiting || future.asked++ < this.tryAgain)
      return { status: 200, body: { type: "try_again", request_id: id, queue_state: "active" } };
    return isHttpFailure(future.result) ? future.result : { status: 200, body: future.result };
  }
}

const immediate = {
  has: (path: string): boolean =>
    ["create_session", "session_heartbeat", "create_sampling_session"].includes(path) ||
    path.startsWith("training_runs/"),
};
const isHttpFailure = (value: unknown): value is { status: number; body: unknown } =>
  isObject(value) && typeof value.status === "number";

/** A server with every call of the API answered plainly. */
export function plainServer(): FakeServer {
  const server = new FakeServer();
  server.on("create_session", () => ({ type: "create_session", session_id: "s1" }));
  server.on("session_heartbeat", () => ({ type: "session_heartbeat" }));
  server.on("create_sampling_session", (body) => ({
    sampling_session_id: `sample-${String(body.sampling_session_seq_id)}`,
  }));
  server.on("create_model", (body) => ({ model_id: `m${String(body.model_seq_id)}` }));
  server.on("load_weights", () => ({ type: "load_weights" }));
  server.on("optim_step", () => ({ metrics: { "grad_norm:mean": 0.5, "nothing:mean": null } }));
  server.on("forward_backward", (body) => losses(body.forward_backward_input));
  server.on("forward", (body) => losses(body.forward_input));
  server.on("save_weights", (body) => ({
    path: `tinker://${String(body.model_id)}/weights/${String(body.path)}`,
  }));
  server.on("save_weights_for_sampler", (body) =>
    body.path === undefined
      ? { sampling_session_id: `sample-${String(body.sampling_session_seq_id)}` }
      : { path: `tinker://${String(body.model_id)}/sampler_weights/${String(body.path)}` },
  );
  server.on("unload_model", () => ({ type: "unload_model" }));
  server.on("asample", (body) => ({
    sequences: Array.from({ length: Number(body.num_samples) }, (_, index) => ({
      tokens: [Number(body.seq_id), index],
      logprobs: [-0.5, -0.25],
      stop_reason: index === 0 ? "stop" : "length",
    })),
    prompt_logprobs: body.prompt_logprobs === true ? [null, -1] : null,
  }));
  return server;
}

function losses(input: unknown): unknown {
  const data = isObject(input) && Array.isArray(input.data) ? (input.data as Body[]) : [];
  return {
    loss_fn_output_type: "ArrayRecord",
    loss_fn_outputs: data.map((datum) => {
      const { shape } = (datum.loss_fn_inputs as { target_tokens: { shape: number[] } }).target_tokens;
      return { logprobs: { data: new Array(shape[0]).fill(-1), dtype: "float32", shape } };
    }),
    metrics: { "loss:sum": 2 },
  };
}

/** Time that passes only by sleeping, and then at once. */
export function testClock(): Clock & { slept: number[] } {
  let time = 0;
  const slept: number[] = [];
  return {
    slept,
    now: () => time,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      slept.push(ms);
      time += ms;
      await new Promise((next) => setImmediate(next));
      signal?.throwIfAborted();
    },
  };
}
