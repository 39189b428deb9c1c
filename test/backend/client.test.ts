import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type ConnectedBackend, connectBackend } from "../../src/backend/client.js";
import type { Datum, SampleRequest } from "../../src/backend/types.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { type FakeServer, plainServer, testClock } from "./fake-server.js";

let server: FakeServer;
let baseUrl: string;
let clock: ReturnType<typeof testClock>;
let backend: ConnectedBackend;

beforeEach(async () => {
  server = plainServer();
  baseUrl = await server.start();
  clock = testClock();
  backend = await connectBackend({ baseUrl, apiKey: "secret-key", kind: "local", clock });
});
afterEach(async () => {
  await backend.close();
  await server.stop();
});

const request = (seed: number, count = 2): SampleRequest => ({
  prompt: [1, 2, seed],
  count,
  params: { maxTokens: 8, temperature: 1, seed, stop: [0] },
});
const datum: Datum = { input: [1, 2], targetTokens: [2, 3], logprobs: [0, -1], advantages: [0, 1] };
const model = () => backend.createModel({ baseModel: "tiny", lora: { rank: 4, seed: 7 } });
const failureOf = async (work: Promise<unknown>): Promise<SpecdojoError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SpecdojoError);
  return error as SpecdojoError;
};

describe("requests", () => {
  it("sends the key as X-API-Key and the session's id", async () => {
    await model();
    const [created] = server.to("create_model");
    expect(created?.headers["x-api-key"]).toBe("secret-key");
    expect(created?.body).toMatchObject({
      session_id: "s1",
      model_seq_id: 0,
      base_model: "tiny",
      lora_config: { rank: 4, seed: 7 },
    });
  });

  it("numbers a model's requests from 1, in the order of the calls", async () => {
    const trainer = await model();
    const calls = [
      trainer.forwardBackward([datum], "importance_sampling"),
      trainer.optimStep({ learningRate: 0.1 }),
      trainer.saveState("a"),
      trainer.forward([datum], "ppo", { clip_low_threshold: 0.8 }),
    ];
    await Promise.all(calls);
    const sent = server.requests.filter(({ body }) => body.model_id === "m0");
    expect(sent.map(({ path, body }) => [path, body.seq_id])).toEqual([
      ["forward_backward", 1],
      ["optim_step", 2],
      ["save_weights", 3],
      ["forward_backward", 4],
    ]);
    expect(sent.map(({ body }) => body.forward_only)).toEqual([undefined, undefined, undefined, true]);
  });

  it("writes data and options as the API wants them", async () => {
    const trainer = await model();
    const result = await trainer.forwardBackward([datum], "cispo", { clip_high_threshold: 1.2 });
    await trainer.optimStep({ learningRate: 0.1, gradClipNorm: 1 });
    expect(server.to("forward_backward")[0]?.body.forward_backward_input).toEqual({
      data: [
        {
          model_input: { chunks: [{ type: "encoded_text", tokens: [1, 2] }] },
          loss_fn_inputs: {
            target_tokens: { data: [2, 3], dtype: "int64", shape: [2] },
            logprobs: { data: [0, -1], dtype: "float32", shape: [2] },
            advantages: { data: [0, 1], dtype: "float32", shape: [2] },
          },
        },
      ],
      loss_fn: "cispo",
      loss_fn_config: { clip_high_threshold: 1.2, trained_only: 1 },
    });
    expect(server.to("optim_step")[0]?.body.adam_params).toMatchObject({
      learning_rate: 0.1,
      grad_clip_norm: 1,
    });
    expect(result).toEqual({ logprobs: [[-1, -1]], metrics: { "loss:sum": 2 } });
  });

  it("writes JSON for servers of the older kind, with a call of its own for forward", async () => {
    const older = await connectBackend({ baseUrl: backend.baseUrl, capabilities: { encoding: "json" } });
    const trainer = await older.createModel({ baseModel: "tiny", lora: { rank: 2 } });
    await trainer.forwardBackward([datum], "cispo");
    await trainer.forward([datum], "cispo");
    expect(server.to("forward_backward")[0]?.headers["content-type"]).toBe("application/json");
    expect(server.to("forward")[0]?.body.forward_input).toEqual(
      server.to("forward_backward")[0]?.body.forward_backward_input,
    );
    await older.close();
  });

  it("asks for the trained tokens alone where the server knows that", async () => {
    const local = await connectBackend({ baseUrl: backend.baseUrl, kind: "local" });
    const trainer = await local.createModel({ baseModel: "tiny", lora: { rank: 2 } });
    await trainer.forwardBackward([datum], "ppo", { clip_low_threshold: 0.5 });
    expect(server.to("forward_backward")[0]?.body.forward_backward_input).toMatchObject({
      loss_fn_config: { clip_low_threshold: 0.5, trained_only: 1 },
    });
    await local.close();
  });

  it("opens one model at a time where a server trains one", async () => {
    const narrow = await connectBackend({
      baseUrl: backend.baseUrl,
      kind: "skyrl",
      profile: "skyrl-fsdp",
    });
    const options = { baseModel: "tiny", lora: { rank: 2 } };
    const first = await narrow.createModel(options);
    await expect(narrow.createModel(options)).rejects.toMatchObject({ code: "option-unsupported" });
    await first.unload();
    await expect(narrow.createModel(options)).resolves.toBeDefined();
    await narrow.close();
  });

  it("refuses a sampler whose model went on, where the server keeps no old weights", async () => {
    const skyrl = await connectBackend({ baseUrl: backend.baseUrl, kind: "skyrl" });
    const trainer = await skyrl.createModel({ baseModel: "tiny", lora: { rank: 2 } });
    const sampler = await trainer.sampler();
    const ask = { prompt: [1], count: 1, params: { maxTokens: 2, temperature: 1, stop: [] } };
    await expect(sampler.sample([ask])).resolves.toHaveLength(1);
    await trainer.optimStep({ learningRate: 1 });
    await expect(sampler.sample([ask])).rejects.toMatchObject({ code: "option-unsupported" });
    await skyrl.close();
  });

  it("leaves out metrics that are null", async () => {
    expect(await (await model()).optimStep({ learningRate: 1 })).toEqual({
      metrics: { "grad_norm:mean": 0.5 },
    });
  });

  it("restores a checkpoint as the model's first request", async () => {
    const trainer = await backend.createModel({
      baseModel: "tiny",
      lora: { rank: 0 },
      resumeFrom: "tinker://m9/weights/a",
    });
    await trainer.optimStep({ learningRate: 1 });
    expect(server.to("load_weights")[0]?.body).toMatchObject({
      model_id: "m0",
      seq_id: 1,
      path: "tinker://m9/weights/a",
      optimizer: true,
    });
    expect(server.to("optim_step")[0]?.body.seq_id).toBe(2);
  });

  it("gives every sampling session of the session its own number", async () => {
    const trainer = await model();
    await trainer.sampler();
    await backend.createSampler({ baseModel: "tiny" });
    await backend.createSampler({ path: "tinker://m0/sampler_weights/a" });
    expect(server.to("save_weights_for_sampler")[0]?.body.sampling_session_seq_id).toBe(0);
    expect(server.to("create_sampling_session").map(({ body }) => body.sampling_session_seq_id)).toEqual([
      1, 2,
    ]);
  });

  it("uses a path where the server answers an ephemeral save with one", async () => {
    server.on("save_weights_for_sampler", () => ({ path: "tinker://m0/x" }));
    await (await model()).sampler();
    expect(server.to("create_sampling_session")[0]?.body.model_path).toBe("tinker://m0/x");
  });
});

describe("sampling", () => {
  it("returns results in the order of the requests and reports progress", async () => {
    const sampler = await backend.createSampler({ baseModel: "tiny" });
    const progress: [number, number][] = [];
    const results = await sampler.sample([request(5), request(6, 1)], {
      onProgress: (done, total) => progress.push([done, total]),
    });
    expect(results).toEqual([
      {
        sequences: [
          { tokens: [1, 0], logprobs: [-0.5, -0.25], stopReason: "stop" },
          { tokens: [1, 1], logprobs: [-0.5, -0.25], stopReason: "length" },
        ],
      },
      { sequences: [{ tokens: [2, 0], logprobs: [-0.5, -0.25], stopReason: "stop" }] },
    ]);
    expect(progress).toEqual([
      [1, 2],
      [2, 2],
    ]);
    const [again] = await sampler.sample([{ ...request(7), promptLogprobs: true }]);
    expect(again?.sequences[0]?.tokens).toEqual([3, 0]);
    expect(again?.promptLogprobs).toEqual([null, -1]);
  });

  it("gives one prompt logprob per token, also where the server leaves out the first", async () => {
    server.on("asample", () => ({
      sequences: [{ tokens: [3], logprobs: [-0.5], stop_reason: "stop" }],
      prompt_logprobs: [-1, -2],
    }));
    const skyrl = await connectBackend({ baseUrl, kind: "skyrl", profile: "skyrl-jax", clock });
    const sampler = await skyrl.createSampler({ baseModel: "tiny" });
    const [result] = await sampler.sample([{ ...request(7, 1), promptLogprobs: true }]);
    expect(result?.promptLogprobs).toEqual([null, -1, -2]);
    await skyrl.close();
  });

  it("posts a whole batch before waiting, with the batch's size, and at most 64 at a time", async () => {
    server.holdBatches = true;
    const sampler = await backend.createSampler({ baseModel: "tiny" });
    const results = await sampler.sample(Array.from({ length: 200 }, (_, i) => request(i, 1)));
    expect(results.map(({ sequences }) => sequences[0]?.tokens[0])).toEqual(
      Array.from({ length: 200 }, (_, i) => i + 1),
    );
    const batches = new Set(server.to("asample").map(({ body }) => JSON.stringify(body.batch)));
    expect(batches).toEqual(new Set(['{"id":"sample-0/1","size":200}']));
    expect(server.maxInFlight).toBeLessThanOrEqual(64);
  });

  it("sends no batch to servers that do not know it", async () => {
    const plain = await connectBackend({ baseUrl, kind: "tinker", clock });
    await (await plain.createSampler({ baseModel: "tiny" })).sample([request(1)]);
    expect(server.to("asample")[0]?.body).not.toHaveProperty("batch");
    await plain.close();
  });

  it("does nothing for an empty batch", async () => {
    const sampler = await backend.createSampler({ baseModel: "tiny" });
    expect(await sampler.sample([])).toEqual([]);
    expect(server.to("asample")).toEqual([]);
  });

  it("stops at the caller's signal with its reason", async () => {
    server.tryAgain = Number.POSITIVE_INFINITY;
    const sampler = await backend.createSampler({ baseModel: "tiny" });
    const stop = new AbortController();
    const reason = new Error("the user pressed Ctrl-C");
    const work = sampler.sample([request(1), request(2)], { signal: stop.signal });
    setTimeout(() => stop.abort(reason), 30);
    await expect(work).rejects.toBe(reason);
    // What was on its way may still arrive, one request of each; nothing new is sent.
    const before = server.requests.length;
    await new Promise((later) => setTimeout(later, 200));
    expect(server.requests.length).toBeLessThanOrEqual(before + 2);
  });

  it("ends the whole batch when one request fails", async () => {
    server.on("asample", (body) => {
      if (body.seq_id === 2) throw { status: 400, body: { detail: "the prompt is too long" } };
      return { sequences: [{ tokens: [1], logprobs: [0], stop_reason: "stop" }] };
    });
    const sampler = await backend.createSampler({ baseModel: "tiny" });
    const error = await failureOf(sampler.sample([request(1, 1), request(2, 1), request(3, 1)]));
    expect(error.message).toContain("the prompt is too long");
  });
});

describe("faults that pass", () => {
  it.each([
    ["429 with Retry-After", { status: 429, headers: { "retry-after": "2" } }, [2000]],
    ["429", { status: 429 }, [250]],
    ["500", { status: 500, body: { detail: "oops" } }, [250]],
    ["503 with a page of HTML", { status: 503, text: "<html>" }, [250]],
    ["408", { status: 408 }, [250]],
    ["a dropped connection", "drop", [250]],
    ["a reply that was lost", "drop-after", [250]],
  ] as const)("%s on a submission: the same body again, once done", async (_name, fault, slept) => {
    const trainer = await model();
    server.fail("optim_step", fault);
    await trainer.optimStep({ learningRate: 1 });
    const sent = server.to("optim_step").map(({ body }) => JSON.stringify(body));
    expect(sent).toHaveLength(2);
    expect(new Set(sent).size).toBe(1);
    expect(clock.slept).toEqual(slept);
  });

  it.each([
    ["429", { status: 429 }],
    ["500", { status: 500 }],
    ["408", { status: 408, body: { type: "try_again" } }],
    ["a dropped connection", "drop"],
    [
      "try_again",
      { status: 200, body: { type: "try_again", request_id: "r0", queue_state: "paused_capacity" } },
    ],
  ] as const)("%s while waiting: asked again", async (_name, fault) => {
    const trainer = await model();
    server.fail("retrieve_future", fault, fault);
    expect(await trainer.saveState("a")).toBe("tinker://m0/weights/a");
    expect(server.to("save_weights")).toHaveLength(1);
  });

  it("410: sends the original request again", async () => {
    const trainer = await model();
    server.fail("retrieve_future", { status: 410 });
    expect(await trainer.saveState("a")).toBe("tinker://m0/weights/a");
    const sent = server.to("save_weights").map(({ body }) => JSON.stringify(body));
    expect(sent).toHaveLength(2);
    expect(new Set(sent).size).toBe(1);
  });

  it("410 in a batch: the same seq_id again, the rest untouched", async () => {
    server.holdBatches = true;
    const sampler = await backend.createSampler({ baseModel: "tiny" });
    server.fail("retrieve_future", { status: 410 });
    const results = await sampler.sample([request(1, 1), request(2, 1)]);
    expect(results.map(({ sequences }) => sequences[0]?.tokens)).toEqual([
      [1, 0],
      [2, 0],
    ]);
    expect(server.to("asample")).toHaveLength(3);
  });

  it("waits longer and longer, up to 15 s, and then gives the last problem", async () => {
    const trainer = await model();
    server.fail("optim_step", ...new Array(30).fill({ status: 503, body: { detail: "starting" } }));
    const error = await failureOf(trainer.optimStep({ learningRate: 1 }));
    expect(error.code).toBe("backend-failed");
    expect(error.message).toContain("503 to optim_step: starting");
    expect(clock.slept.slice(0, 8)).toEqual([250, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
    expect(clock.slept.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(140_000);
  });

  it("waits for a slow result without end", async () => {
    server.tryAgain = 500;
    expect(await (await model()).saveState("a")).toBe("tinker://m0/weights/a");
  });
});

describe("faults that stay", () => {
  it.each([
    [
      "the hosted form, user",
      { status: 200, body: { error: "bad rank", category: "user" } },
      "backend-rejected",
      "bad rank",
    ],
    [
      "the hosted form, server",
      { status: 200, body: { error: "crash", category: "server" } },
      "backend-failed",
      "crash",
    ],
    ["SkyRL's form", { status: 400, body: { detail: "no free slot" } }, "backend-rejected", "no free slot"],
    [
      "a validation list",
      { status: 422, body: { detail: [{ loc: ["body", "rank"], msg: "too small" }] } },
      "backend-rejected",
      "body/rank too small",
    ],
    ["a reused seq_id", { status: 409, body: { detail: "other body" } }, "backend-rejected", "other body"],
    ["a wrong key", { status: 401, body: { detail: "no" } }, "backend-unauthorized", "401"],
    ["no such path", { status: 404, text: "nothing here" }, "backend-rejected", "404"],
    ["a reply that is no JSON", { status: 200, text: "<html>" }, "backend-reply-invalid", "application/json"],
    [
      "a reply of another shape",
      { status: 200, body: { surprise: 1 } },
      "backend-reply-invalid",
      "/model_id",
    ],
  ])("%s", async (_name, fault, code, words) => {
    server.fail("retrieve_future", fault);
    const error = await failureOf(model());
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
    expect(error.place).toContain(baseUrl);
    expect(error.remedy).toBeTruthy();
    expect(JSON.stringify([error.message, error.place, error.remedy])).not.toContain("secret-key");
  });

  it("a refused call takes those queued behind it along, and later ones go on with its number", async () => {
    const trainer = await model();
    server.fail("forward_backward", { status: 422, body: { detail: "bad" } });
    const first = failureOf(trainer.forwardBackward([datum], "ppo"));
    const second = failureOf(trainer.optimStep({ learningRate: 1 }));
    expect((await first).message).toContain("bad");
    expect((await second).message).toContain("bad");
    expect(server.to("optim_step")).toEqual([]);
    await trainer.optimStep({ learningRate: 1 });
    expect(server.to("optim_step")[0]?.body.seq_id).toBe(1);
  });

  it.each([
    ["a full disk", "checkpoint x could not be written: No space left on device", "disk-full", /Free some/],
    ["too little memory", "out of memory: tried to allocate 2 GiB", "backend-failed", /smaller batches/],
  ])("%s says what to do", async (_, error, code, remedy) => {
    server.on("optim_step", () => ({ status: 200, body: { error, category: "server" } }));
    const failure = await failureOf((await model()).optimStep({ learningRate: 0.1 }));
    expect(failure.code).toBe(code);
    expect(failure.message).toContain(error);
    expect(failure.remedy).toMatch(remedy);
  });

  it("no server at all", async () => {
    const free = plainServer();
    const url = await free.start();
    await free.stop();
    const error = await failureOf(connectBackend({ baseUrl: url, clock }));
    expect(error.code).toBe("backend-unreachable");
    expect(error.place).toBe(url);
    expect(error.message).toMatch(/ECONNREFUSED/);
  });

  it.each(["not a url", "ftp://x"])("an address that is none: %s", async (bad) => {
    expect((await failureOf(connectBackend({ baseUrl: bad }))).code).toBe("option-invalid");
  });

  it("full weights where only LoRA is trained", async () => {
    const hosted = await connectBackend({ baseUrl, kind: "tinker", clock });
    const error = await failureOf(hosted.createModel({ baseModel: "tiny", lora: { rank: 0 } }));
    expect(error).toMatchObject({ code: "option-unsupported", place: "lora.rank" });
    await hosted.close();
  });

  it.each<[string, Datum, string]>([
    [
      "a missing array",
      { input: [1], targetTokens: [2], logprobs: [0] },
      "advantages of datum 0 has no values",
    ],
    ["a short array", { ...datum, advantages: [1] }, "advantages of datum 0 has 1 values"],
    ["a number that is none", { ...datum, logprobs: [0, Number.NaN] }, "holds NaN at 1"],
  ])("a datum with %s is refused before it is sent", async (_name, bad, words) => {
    const trainer = await model();
    const error = await failureOf(trainer.forwardBackward([bad], "ppo"));
    expect(error.code).toBe("datum-invalid");
    expect(error.message).toContain(words);
    expect(server.to("forward_backward")).toEqual([]);
  });

  it("fewer samples than asked for", async () => {
    server.on("asample", () => ({ sequences: [] }));
    const sampler = await backend.createSampler({ baseModel: "tiny" });
    expect((await failureOf(sampler.sample([request(1, 3)]))).message).toContain("0 samples instead of 3");
  });
});

describe("the session", () => {
  it("close() ends pending calls, twice is fine, and later calls fail too", async () => {
    server.tryAgain = Number.POSITIVE_INFINITY;
    const pending = failureOf(model());
    await new Promise((later) => setTimeout(later, 30));
    await backend.close();
    await backend.close();
    expect((await pending).code).toBe("backend-closed");
    expect((await failureOf(model())).code).toBe("backend-closed");
  });

  it("the connection's signal ends pending calls with its reason", async () => {
    const stop = new AbortController();
    const other = await connectBackend({ baseUrl, clock, signal: stop.signal });
    server.tryAgain = Number.POSITIVE_INFINITY;
    const pending = other.createModel({ baseModel: "tiny", lora: { rank: 1 } });
    const reason = new SpecdojoError("worker-died", "gone");
    setTimeout(() => stop.abort(reason), 20);
    await expect(pending).rejects.toBe(reason);
    await other.close();
  });

  it("sends a heartbeat every 10 s and survives one that fails", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const warnings: string[] = [];
      const other = await connectBackend({ baseUrl, clock, onWarning: (message) => warnings.push(message) });
      server.fail("session_heartbeat", { status: 404, body: { detail: "unknown session" } });
      for (let beat = 1; beat <= 2; beat++) {
        vi.advanceTimersByTime(10_000);
        await vi.waitFor(
          () => {
            expect(server.to("session_heartbeat")).toHaveLength(beat);
            expect(warnings).toHaveLength(1);
          },
          { timeout: 20_000 },
        );
      }
      expect(server.to("session_heartbeat")[0]?.body.session_id).toBe("s1");
      expect(warnings).toEqual([expect.stringContaining("unknown session")]);
      await other.close();
      vi.advanceTimersByTime(30_000);
      await new Promise((later) => setTimeout(later, 20));
      expect(server.to("session_heartbeat")).toHaveLength(2);
    } finally {
      vi.useRealTimers();
    }
  });
});
