import { SpecdojoError } from "../util/errors.js";
import type { Capabilities } from "./capabilities.js";
import { forEachBounded } from "./concurrency.js";
import type { Transport } from "./transport.js";
import type { SampleRequest, SampleResult, SamplingClient } from "./types.js";
import { sampleReply } from "./wire.js";

/** Requests of one batch that may be on the wire at the same time. */
const inFlight = 64;

/** Samples from one sampling session of a server. */
export class RemoteSampler implements SamplingClient {
  readonly #transport: Transport;
  readonly #sessionId: string;
  readonly #capabilities: Readonly<Capabilities>;
  readonly #outdated: () => boolean;
  #nextSeqId = 1;

  /** `outdated` says whether the weights' model has been trained on since they were saved. */
  constructor(
    transport: Transport,
    sessionId: string,
    capabilities: Readonly<Capabilities>,
    outdated: () => boolean = () => false,
  ) {
    this.#transport = transport;
    this.#sessionId = sessionId;
    this.#capabilities = capabilities;
    this.#outdated = outdated;
  }

  get followsGrammars(): boolean {
    return this.#capabilities.grammars;
  }

  async sample(
    requests: readonly SampleRequest[],
    options: { signal?: AbortSignal; onProgress?: (done: number, total: number) => void } = {},
  ): Promise<SampleResult[]> {
    const total = requests.length;
    if (total === 0) return [];
    if (!this.#capabilities.samplersOutliveTraining && this.#outdated())
      throw new SpecdojoError("option-unsupported", "This sampler's model has been trained on since.", {
        place: this.#transport.baseUrl,
        remedy:
          "Finish all sampling before the next optimizer step, or take a new sampler: this server keeps no old weights.",
      });
    const firstSeqId = this.#nextSeqId;
    this.#nextSeqId += total;
    const batch = { id: `${this.#sessionId}/${firstSeqId}`, size: total };
    const calls = requests.map((request, index) => ({
      index,
      body: {
        ...sampleBody(request, this.#sessionId, firstSeqId + index),
        ...(this.#capabilities.batchHint ? { batch } : {}),
      },
      requestId: "",
    }));
    // One failure ends the whole batch, and no call of it may go on in the background.
    const failure = new AbortController();
    const signal = this.#transport.combine(
      options.signal === undefined ? failure.signal : AbortSignal.any([options.signal, failure.signal]),
    );
    const results = new Array<SampleResult>(total);
    let done = 0;
    try {
      // All are posted before any is waited for: a server that gathers a batch answers none before it has all.
      await forEachBounded(calls, inFlight, async (call) => {
        call.requestId = await this.#transport.submit("asample", call.body, signal);
      });
      await forEachBounded(calls, inFlight, async (call) => {
        const reply = await this.#transport.settle("asample", call.body, call.requestId, sampleReply, signal);
        const result = toResult(reply, this.#capabilities.promptLogprobs);
        const asked = requests[call.index]?.count;
        if (result.sequences.length !== asked)
          throw new SpecdojoError(
            "backend-reply-invalid",
            `The server returned ${result.sequences.length} samples instead of ${asked}.`,
            { place: this.#transport.baseUrl, remedy: "Check the server's version." },
          );
        results[call.index] = result;
        done += 1;
        options.onProgress?.(done, total);
      });
    } catch (error) {
      failure.abort(error);
      throw error;
    }
    return results;
  }
}

function sampleBody(request: SampleRequest, sessionId: string, seqId: number): Record<string, unknown> {
  const { params } = request;
  return {
    type: "sample",
    sampling_session_id: sessionId,
    seq_id: seqId,
    num_samples: request.count,
    prompt: { chunks: [{ type: "encoded_text", tokens: request.prompt }] },
    sampling_params: {
      max_tokens: params.maxTokens,
      temperature: params.temperature,
      top_p: params.topP ?? 1,
      top_k: params.topK ?? -1,
      stop: params.stop,
      ...(params.seed === undefined ? {} : { seed: params.seed }),
      ...(params.grammar === undefined ? {} : { grammar: params.grammar }),
    },
    ...(request.promptLogprobs === true ? { prompt_logprobs: true } : {}),
  };
}

function toResult(
  reply: (typeof sampleReply)["_output"],
  shape: Capabilities["promptLogprobs"],
): SampleResult {
  const sequences = reply.sequences.map(({ tokens, logprobs, stop_reason }) => ({
    tokens,
    logprobs,
    stopReason: stop_reason,
  }));
  if (reply.prompt_logprobs == null) return { sequences };
  const promptLogprobs = shape === "all" ? reply.prompt_logprobs : [null, ...reply.prompt_logprobs];
  return { sequences, promptLogprobs };
}
