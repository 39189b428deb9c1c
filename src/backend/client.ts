import { setMaxListeners } from "node:events";
import { SpecdojoError } from "../util/errors.js";
import { deleteArchive, downloadArchive, holdsCheckpoint } from "./archive.js";
import { type BackendProfile, type Capabilities, capabilityTable, defaultProfile } from "./capabilities.js";
import { type Clock, systemClock } from "./clock.js";
import { jsonCodec, protobufCodec } from "./codec.js";
import { RemoteSampler } from "./sampling.js";
import { RemoteTrainer, type SessionHooks } from "./training.js";
import { connectionProblem, Transport, type TransportOptions } from "./transport.js";
import type { Backend, LoraConfig, SamplingClient, TrainingClient } from "./types.js";
import { anyReply, createModelReply, samplingSessionReply, sessionReply } from "./wire.js";

const sdkVersion = "0.1.0";
const heartbeatEvery = 10_000;
/** A server that does not answer at all is mostly a wrong address, which should be said soon. In ms. */
const openingPatience = 5_000;
/** How long one that takes the first call may be silent, in ms. */
const openingSilence = 20_000;

export interface ConnectOptions {
  /** Address of the server, e.g. `http://127.0.0.1:8000`; `/api/v1` is added. */
  baseUrl: string;
  /** Sent as `X-API-Key`. */
  apiKey?: string;
  /** What the server is; default `tinker`, the reference. */
  kind?: Backend["kind"];
  /** For `skyrl`: the engine behind it, when not JAX. */
  profile?: BackendProfile;
  /** Corrections of the profile's capabilities. */
  capabilities?: Partial<Capabilities>;
  /** Aborts every call, with the signal's reason as the error. */
  signal?: AbortSignal;
  /** How long one call waits for an unreachable or failing server, in ms; default 120 000. The first waits 5 000 at most. */
  patience?: number;
  /** Told of things that are no errors yet, such as a missed heartbeat. */
  onWarning?: (message: string) => void;
  fetch?: typeof globalThis.fetch;
  clock?: Clock;
}

/** A connected backend, with what it can do. */
export interface ConnectedBackend extends Backend {
  readonly capabilities: Readonly<Capabilities>;
  readonly baseUrl: string;
}

/** One server. */
export interface ServerBackend extends ConnectedBackend {
  /** Whether the server has the checkpoint with this path. */
  holds(path: string): Promise<boolean>;
}

/**
 * Opens a session with a server of the training API. Throws `SpecdojoError` with code `backend-unreachable`,
 * `backend-unauthorized`, `backend-rejected`, `backend-failed` or `backend-reply-invalid`; every later call does too.
 */
export async function connectBackend(options: ConnectOptions): Promise<ServerBackend> {
  const kind = options.kind ?? "tinker";
  const capabilities = {
    ...capabilityTable[options.profile ?? defaultProfile[kind]],
    ...options.capabilities,
  };
  const closing = new AbortController();
  const signal =
    options.signal === undefined ? closing.signal : AbortSignal.any([options.signal, closing.signal]);
  setMaxListeners(0, signal);
  const settings: TransportOptions = {
    baseUrl: normalizeBaseUrl(options.baseUrl),
    apiKey: options.apiKey,
    fetch: options.fetch ?? globalThis.fetch,
    clock: options.clock ?? systemClock,
    codec: capabilities.encoding === "protobuf" ? protobufCodec : jsonCodec,
    patience: options.patience ?? 120_000,
    signal,
  };
  const transport = new Transport(settings);
  const opening = new Transport({ ...settings, patience: Math.min(settings.patience, openingPatience) });
  const silence = AbortSignal.timeout(openingSilence);
  const { session_id } = await opening
    .post(
      "create_session",
      { type: "create_session", tags: ["specdojo"], user_metadata: {}, sdk_version: sdkVersion },
      sessionReply,
      AbortSignal.any([signal, silence]),
    )
    .catch((error: unknown) => {
      if (signal.aborted || error !== silence.reason) throw error;
      throw connectionProblem(settings.baseUrl, new Error(`it was silent for ${openingSilence / 1000} s`));
    });
  return new RemoteBackend({
    kind,
    capabilities,
    transport,
    sessionId: session_id,
    closing,
    onWarning: options.onWarning ?? (() => undefined),
  });
}

interface Parts {
  kind: Backend["kind"];
  capabilities: Capabilities;
  transport: Transport;
  sessionId: string;
  closing: AbortController;
  onWarning: (message: string) => void;
}

class RemoteBackend implements ServerBackend {
  readonly kind: Backend["kind"];
  readonly capabilities: Readonly<Capabilities>;
  readonly #transport: Transport;
  readonly #sessionId: string;
  readonly #closing: AbortController;
  readonly #heartbeat: NodeJS.Timeout;
  /** Models that were made and not unloaded. */
  readonly #open = new Set<string>();
  #nextModelSeqId = 0;
  #nextSamplingSeqId = 0;

  constructor(parts: Parts) {
    this.kind = parts.kind;
    this.capabilities = parts.capabilities;
    this.#transport = parts.transport;
    this.#sessionId = parts.sessionId;
    this.#closing = parts.closing;
    let beating = false;
    this.#heartbeat = setInterval(() => {
      if (beating) return;
      beating = true;
      const body = { type: "session_heartbeat", session_id: this.#sessionId };
      this.#transport
        .post("session_heartbeat", body, anyReply)
        .catch((error: unknown) => {
          if (!this.#closing.signal.aborted)
            parts.onWarning(`A heartbeat failed: ${error instanceof Error ? error.message : String(error)}`);
        })
        .finally(() => {
          beating = false;
        });
    }, heartbeatEvery);
    this.#heartbeat.unref();
  }

  get baseUrl(): string {
    return this.#transport.baseUrl;
  }

  async createModel(options: {
    baseModel: string;
    lora: LoraConfig;
    resumeFrom?: string;
  }): Promise<TrainingClient> {
    const { rank, seed } = options.lora;
    if (!Number.isInteger(rank) || rank < 0)
      throw new SpecdojoError("option-invalid", `LoRA rank ${rank} is not a whole number of 0 or more.`, {
        place: "lora.rank",
        remedy: "Use 0 for full weights, or a rank such as 8 or 32.",
      });
    if (rank === 0 && !this.capabilities.fullWeights)
      throw new SpecdojoError("option-unsupported", `The backend "${this.kind}" cannot train full weights.`, {
        place: "lora.rank",
        remedy: "Use a LoRA rank above 0, or the local backend.",
      });
    if (this.capabilities.trainableModels === "one" && this.#open.size > 0)
      throw new SpecdojoError("option-unsupported", "This server trains one model at a time.", {
        place: this.baseUrl,
        remedy:
          "Unload the other model first, train both roles with `sharedWeights`, or give each role a server of its own.",
      });
    const body = {
      type: "create_model",
      session_id: this.#sessionId,
      model_seq_id: this.#nextModelSeqId++,
      base_model: options.baseModel,
      lora_config: {
        rank,
        train_mlp: true,
        train_attn: true,
        train_unembed: false,
        ...(seed === undefined ? {} : { seed }),
      },
    };
    const { model_id } = await this.#transport.request("create_model", body, createModelReply);
    this.#open.add(model_id);
    const trainer = new RemoteTrainer(this.#transport, model_id, this.#hooks, this.capabilities);
    if (options.resumeFrom !== undefined) await trainer.load(options.resumeFrom);
    return trainer;
  }

  async createSampler(source: { baseModel: string } | { path: string }): Promise<SamplingClient> {
    const body = {
      type: "create_sampling_session",
      session_id: this.#sessionId,
      sampling_session_seq_id: this.#nextSamplingSeqId++,
      ...("path" in source ? { model_path: source.path } : { base_model: source.baseModel }),
    };
    const reply = await this.#transport.post("create_sampling_session", body, samplingSessionReply);
    return new RemoteSampler(this.#transport, reply.sampling_session_id, this.capabilities);
  }

  async downloadCheckpoint(path: string, dir: string): Promise<void> {
    await downloadArchive(this.#transport, path, dir, this.capabilities.archiveId);
  }

  async deleteCheckpoint(path: string): Promise<void> {
    await deleteArchive(this.#transport, path, this.capabilities.archiveId);
  }

  async holds(path: string): Promise<boolean> {
    return holdsCheckpoint(this.#transport, path);
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(
      new SpecdojoError("backend-closed", "The backend was closed while a call was under way.", {
        place: this.baseUrl,
        remedy: "Await every call before close().",
      }),
    );
  }

  get #hooks(): SessionHooks {
    return {
      nextSamplingSeqId: () => this.#nextSamplingSeqId++,
      samplerOfSession: (id, outdated) => new RemoteSampler(this.#transport, id, this.capabilities, outdated),
      samplerOfPath: (path) => this.createSampler({ path }),
      unloaded: (modelId) => this.#open.delete(modelId),
    };
  }
}

function normalizeBaseUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new SpecdojoError("option-invalid", `"${text}" is not a URL.`, {
      place: "baseUrl",
      remedy: "Write it like http://127.0.0.1:8000",
      cause,
    });
  }
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new SpecdojoError("option-invalid", `The backend's URL must begin with http:// or https://.`, {
      place: "baseUrl",
      remedy: "Write it like http://127.0.0.1:8000",
    });
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "").replace(/\/api\/v1$/, "");
}
