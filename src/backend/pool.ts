import { SpecdojoError } from "../util/errors.js";
import type { Capabilities } from "./capabilities.js";
import { type ConnectedBackend, type ConnectOptions, connectBackend, type ServerBackend } from "./client.js";
import type { Backend, LoraConfig, SamplingClient, TrainingClient } from "./types.js";

/**
 * Several servers of one kind as one backend, for servers that train a single model each (SkyRL with FSDP): every new model
 * goes to the server that has the fewest, and everything about a checkpoint to the server that holds it.
 * Throws like `connectBackend`, and `option-invalid` when the servers are not of one kind.
 */
export async function connectBackends(servers: readonly ConnectOptions[]): Promise<ConnectedBackend> {
  const connected = await Promise.allSettled(servers.map((server) => connectBackend(server)));
  const backends = connected.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = connected.find((one) => one.status === "rejected");
  const [first] = backends;
  const alike = backends.every(
    ({ kind, capabilities }) =>
      kind === first?.kind && JSON.stringify(capabilities) === JSON.stringify(first.capabilities),
  );
  if (failed === undefined && first !== undefined && alike) return new Pool(first, backends);
  await Promise.all(backends.map((backend) => backend.close()));
  if (failed !== undefined) throw failed.reason;
  throw new SpecdojoError("option-invalid", "The servers are not all of one kind and profile.", {
    place: servers.map(({ baseUrl }) => baseUrl).join(", ") || "servers",
    remedy: "Give at least one server, and every server the same `kind`, `profile` and `capabilities`.",
  });
}

class Pool implements ConnectedBackend {
  readonly kind: Backend["kind"];
  readonly capabilities: Readonly<Capabilities>;
  readonly #backends: readonly ServerBackend[];
  /** Models that each server has open. */
  readonly #open = new Map<ServerBackend, number>();
  /** Servers by the paths that they gave. */
  readonly #owners = new Map<string, ServerBackend>();

  constructor(first: ServerBackend, backends: readonly ServerBackend[]) {
    this.kind = first.kind;
    this.capabilities = {
      ...first.capabilities,
      trainableModels: backends.length > 1 ? "many" : first.capabilities.trainableModels,
    };
    this.#backends = backends;
  }

  get baseUrl(): string {
    return this.#backends.map(({ baseUrl }) => baseUrl).join(", ");
  }

  async createModel(options: {
    baseModel: string;
    lora: LoraConfig;
    resumeFrom?: string;
  }): Promise<TrainingClient> {
    const backend =
      options.resumeFrom === undefined ? this.#idlest() : await this.#ownerOf(options.resumeFrom);
    this.#open.set(backend, this.#count(backend) + 1);
    const release = (): void => {
      this.#open.set(backend, this.#count(backend) - 1);
    };
    try {
      return this.#watched(await backend.createModel(options), backend, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  async createSampler(source: { baseModel: string } | { path: string }): Promise<SamplingClient> {
    const backend = "path" in source ? await this.#ownerOf(source.path) : this.#idlest();
    return backend.createSampler(source);
  }

  async downloadCheckpoint(path: string, dir: string): Promise<void> {
    await (await this.#ownerOf(path)).downloadCheckpoint(path, dir);
  }

  async deleteCheckpoint(path: string): Promise<void> {
    await (await this.#ownerOf(path)).deleteCheckpoint(path);
  }

  async close(): Promise<void> {
    await Promise.all(this.#backends.map((backend) => backend.close()));
  }

  #count(backend: ServerBackend): number {
    return this.#open.get(backend) ?? 0;
  }

  #idlest(): ServerBackend {
    return this.#backends.reduce((least, backend) =>
      this.#count(backend) < this.#count(least) ? backend : least,
    );
  }

  async #ownerOf(path: string): Promise<ServerBackend> {
    const known = this.#owners.get(path);
    if (known !== undefined) return known;
    for (const backend of this.#backends)
      if (await backend.holds(path)) {
        this.#owners.set(path, backend);
        return backend;
      }
    throw new SpecdojoError("checkpoint-unknown", "None of the servers has such a checkpoint.", {
      place: path,
      remedy: `Check the path, and that all servers of the run are given: ${this.baseUrl}`,
    });
  }

  /** Remembers where the model's checkpoints are, and frees its place when it is unloaded. */
  #watched(trainer: TrainingClient, backend: ServerBackend, release: () => void): TrainingClient {
    const remembered = async (path: Promise<string>): Promise<string> => {
      this.#owners.set(await path, backend);
      return path;
    };
    return {
      modelId: trainer.modelId,
      forwardBackward: (...call) => trainer.forwardBackward(...call),
      forward: (...call) => trainer.forward(...call),
      optimStep: (params) => trainer.optimStep(params),
      saveState: (name) => remembered(trainer.saveState(name)),
      saveForSampler: (name) => remembered(trainer.saveForSampler(name)),
      sampler: () => trainer.sampler(),
      unload: async () => {
        await trainer.unload();
        release();
      },
    };
  }
}
