import type { z } from "zod";
import { SpecdojoError } from "../util/errors.js";
import type { Capabilities } from "./capabilities.js";
import type { Transport } from "./transport.js";
import type { AdamParams, Datum, LossName, SamplingClient, TrainingClient } from "./types.js";
import { anyReply, forwardBackwardReply, optimStepReply, pathReply, samplerReply } from "./wire.js";

/** What a training client needs of its session. */
export interface SessionHooks {
  nextSamplingSeqId(): number;
  /** `outdated` says whether the model has been trained on since. */
  samplerOfSession(samplingSessionId: string, outdated: () => boolean): SamplingClient;
  samplerOfPath(path: string): Promise<SamplingClient>;
  unloaded(modelId: string): void;
}

/** One trainable model of a server. Requests are sent in the order of the calls, and waited for independently. */
export class RemoteTrainer implements TrainingClient {
  readonly modelId: string;
  readonly #transport: Transport;
  readonly #session: SessionHooks;
  readonly #capabilities: Readonly<Capabilities>;
  #nextSeqId = 1;
  #steps = 0;
  /** Ends when the last call made so far has been accepted by the server. */
  #accepted: Promise<void> = Promise.resolve();

  constructor(
    transport: Transport,
    modelId: string,
    session: SessionHooks,
    capabilities: Readonly<Capabilities>,
  ) {
    this.#transport = transport;
    this.modelId = modelId;
    this.#session = session;
    this.#capabilities = capabilities;
  }

  async forwardBackward(
    data: Datum[],
    loss: LossName,
    config?: Record<string, number>,
  ): Promise<{ logprobs: number[][]; metrics: Record<string, number> }> {
    const forward_backward_input = this.#input(data, loss, config);
    return toLosses(
      data,
      await this.#queue("forward_backward", { forward_backward_input }, forwardBackwardReply),
    );
  }

  async forward(
    data: Datum[],
    loss: LossName,
    config?: Record<string, number>,
  ): Promise<{ logprobs: number[][]; metrics: Record<string, number> }> {
    const input = this.#input(data, loss, config);
    // Servers that take protobuf have one call for both.
    const reply =
      this.#capabilities.encoding === "protobuf"
        ? this.#queue(
            "forward_backward",
            { forward_backward_input: input, forward_only: true },
            forwardBackwardReply,
          )
        : this.#queue("forward", { forward_input: input }, forwardBackwardReply);
    return toLosses(data, await reply);
  }

  #input(
    data: readonly Datum[],
    loss: LossName,
    config: Record<string, number> | undefined,
  ): Record<string, unknown> {
    const options = this.#capabilities.trainedOnly ? { ...config, trained_only: 1 } : config;
    return lossInput(data, loss, options);
  }

  async optimStep(params: AdamParams): Promise<{ metrics: Record<string, number> }> {
    const adam_params = {
      learning_rate: params.learningRate,
      beta1: params.beta1 ?? 0.9,
      beta2: params.beta2 ?? 0.95,
      eps: params.eps ?? 1e-8,
      weight_decay: params.weightDecay ?? 0,
      grad_clip_norm: params.gradClipNorm ?? 0,
    };
    this.#steps += 1;
    return this.#queue("optim_step", { type: "optim_step", adam_params }, optimStepReply);
  }

  async saveState(name: string): Promise<string> {
    return (await this.#queue("save_weights", { type: "save_weights", path: name }, pathReply)).path;
  }

  async saveForSampler(name: string): Promise<string> {
    const body = { type: "save_weights_for_sampler", path: name };
    return (await this.#queue("save_weights_for_sampler", body, pathReply)).path;
  }

  async sampler(): Promise<SamplingClient> {
    const body = {
      type: "save_weights_for_sampler",
      sampling_session_seq_id: this.#session.nextSamplingSeqId(),
    };
    const steps = this.#steps;
    const reply = await this.#queue("save_weights_for_sampler", body, samplerReply);
    return "sampling_session_id" in reply
      ? this.#session.samplerOfSession(reply.sampling_session_id, () => this.#steps > steps)
      : this.#session.samplerOfPath(reply.path);
  }

  async unload(): Promise<void> {
    await this.#accepted.catch(() => undefined);
    await this.#transport.request("unload_model", { type: "unload_model", model_id: this.modelId }, anyReply);
    this.#session.unloaded(this.modelId);
  }

  /** Restores a checkpoint; only as the model's first request. */
  async load(path: string): Promise<void> {
    await this.#queue("load_weights", { type: "load_weights", path, optimizer: true }, anyReply);
  }

  async #queue<S extends z.ZodType>(
    path: string,
    fields: Record<string, unknown>,
    schema: S,
  ): Promise<z.infer<S>> {
    // A call behind one that the server refused must not run: an optimizer step without its gradients, say.
    const submitted = this.#accepted.then(async () => {
      const body = { model_id: this.modelId, seq_id: this.#nextSeqId, ...fields };
      const requestId = await this.#transport.submit(path, body);
      this.#nextSeqId += 1;
      return { body, requestId };
    });
    const accepted = submitted.then(() => undefined);
    this.#accepted = accepted;
    accepted.catch(() => {
      if (this.#accepted === accepted) this.#accepted = Promise.resolve();
    });
    const { body, requestId } = await submitted;
    return this.#transport.settle(path, body, requestId, schema);
  }
}

function lossInput(
  data: readonly Datum[],
  loss: LossName,
  config?: Record<string, number>,
): Record<string, unknown> {
  return {
    data: data.map((datum, index) => toWire(datum, loss, index)),
    loss_fn: loss,
    ...(config === undefined ? {} : { loss_fn_config: config }),
  };
}

function toWire(datum: Datum, loss: LossName, index: number): Record<string, unknown> {
  const length = datum.input.length;
  const inputs: Record<string, unknown> = {};
  const add = (name: string, values: readonly number[] | undefined, dtype: "int64" | "float32"): void => {
    if (values === undefined || values.length !== length)
      throw new SpecdojoError(
        "datum-invalid",
        `${name} of datum ${index} has ${values === undefined ? "no values" : `${values.length} values`}; ${loss} needs ${length}, one per input token.`,
        { place: `data/${index}/${name}`, remedy: "Give every array of a datum the length of its input." },
      );
    const wrong = values.findIndex((value) => !Number.isFinite(value));
    if (wrong !== -1)
      throw new SpecdojoError(
        "datum-invalid",
        `${name} of datum ${index} holds ${values[wrong]} at ${wrong}.`,
        {
          place: `data/${index}/${name}/${wrong}`,
          remedy: "Only finite numbers can be trained on.",
        },
      );
    inputs[name] = { data: values, dtype, shape: [length] };
  };
  add("target_tokens", datum.targetTokens, "int64");
  if (loss === "cross_entropy") add("weights", datum.weights, "float32");
  else {
    add("logprobs", datum.logprobs, "float32");
    add("advantages", datum.advantages, "float32");
  }
  return {
    model_input: { chunks: [{ type: "encoded_text", tokens: datum.input }] },
    loss_fn_inputs: inputs,
  };
}

function toLosses(
  data: readonly Datum[],
  reply: z.infer<typeof forwardBackwardReply>,
): { logprobs: number[][]; metrics: Record<string, number> } {
  if (reply.loss_fn_outputs.length !== data.length)
    throw new SpecdojoError(
      "backend-reply-invalid",
      `The server returned ${reply.loss_fn_outputs.length} outputs for ${data.length} data.`,
      { remedy: "Check the server's version, or its kind (`kind`)." },
    );
  const logprobs = reply.loss_fn_outputs.map(({ logprobs }) =>
    Array.isArray(logprobs) ? logprobs : logprobs.data,
  );
  return { logprobs, metrics: reply.metrics };
}
