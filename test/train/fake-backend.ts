import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Capabilities, capabilityTable } from "../../src/backend/capabilities.js";
import type { ConnectedBackend } from "../../src/backend/client.js";
import type {
  AdamParams,
  Datum,
  LossName,
  SampleRequest,
  SampleResult,
  SamplingClient,
  TrainingClient,
} from "../../src/backend/types.js";
import type { Tokenizer } from "../../src/rollout/tokenizer.js";
import { createRandom } from "../../src/util/random.js";
import { classes, type Situation, situationOf, startLogits } from "./toy-policy.js";

type Table = Record<string, number[]>;
/** Weights and optimizer state. */
interface State {
  logits: Table;
  momentum: Table;
}

export interface FakeOptions {
  tokenizer: Tokenizer;
  /** Checkpoints by path: what survives a server's end. Share one to resume a run. */
  store?: Map<string, string>;
  /** The call with this number (from 1) and all later ones fail, as when the process is killed there. */
  killAt?: number;
  capabilities?: Partial<Capabilities>;
  /** By how much the trainer's logprobs are below those of its own sampler. */
  gap?: number;
}

export interface FakeCall {
  method: string;
  model: string;
  loss?: LossName;
  data?: Datum[];
  config?: Record<string, number> | undefined;
}

const softmax = (logits: readonly number[]): number[] => {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
};

const rowOf = (table: Table, key: string): number[] => table[key] ?? startLogits(key);

/**
 * A server of the training API in memory: a table of logits over four behaviours for each kind of prompt, sampled with
 * the seeds of the requests and trained by the policy gradient with momentum. Everything is deterministic.
 */
export class FakeBackend implements ConnectedBackend {
  readonly kind = "local";
  readonly baseUrl = "memory:";
  readonly capabilities: Readonly<Capabilities>;
  readonly calls: FakeCall[] = [];
  readonly store: Map<string, string>;
  closed = 0;
  readonly #tokenizer: Tokenizer;
  readonly #killAt: number;
  readonly #gap: number;
  #models = 0;

  constructor(options: FakeOptions) {
    this.#tokenizer = options.tokenizer;
    this.#killAt = options.killAt ?? Number.POSITIVE_INFINITY;
    this.#gap = options.gap ?? 0;
    this.store = options.store ?? new Map();
    this.capabilities = { ...capabilityTable.local, ...options.capabilities };
  }

  count(method: string): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  async createModel(options: {
    baseModel: string;
    lora: { rank: number };
    resumeFrom?: string;
  }): Promise<TrainingClient> {
    this.#enter({ method: "createModel", model: options.resumeFrom ?? options.baseModel });
    const state: State =
      options.resumeFrom === undefined ? { logits: {}, momentum: {} } : this.#read(options.resumeFrom);
    return new FakeModel(
      `model-${++this.#models}`,
      state,
      this.#tokenizer,
      this.store,
      (call) => this.#enter(call),
      this.#gap,
    );
  }

  async createSampler(source: { baseModel: string } | { path: string }): Promise<SamplingClient> {
    const path = "path" in source ? source.path : undefined;
    this.#enter({ method: "createSampler", model: path ?? "base" });
    const logits = path === undefined ? {} : this.#read(path).logits;
    return new FakeSampler(logits, this.#tokenizer, () => this.#enter({ method: "sample", model: "frozen" }));
  }

  async downloadCheckpoint(path: string, dir: string): Promise<void> {
    this.#enter({ method: "downloadCheckpoint", model: path });
    this.#read(path);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, "config.json"), '{"model_type":"toy"}\n');
    await writeFile(join(dir, "model.safetensors"), this.store.get(path) ?? "");
  }

  async deleteCheckpoint(path: string): Promise<void> {
    this.#enter({ method: "deleteCheckpoint", model: path });
    this.store.delete(path);
  }

  async close(): Promise<void> {
    this.closed++;
  }

  #enter(call: FakeCall): void {
    if (this.calls.length + 1 >= this.#killAt) throw new Error("killed");
    this.calls.push(call);
  }

  #read(path: string): State {
    const text = this.store.get(path);
    if (text === undefined) throw new Error(`No checkpoint ${path}`);
    return JSON.parse(text) as State;
  }
}

class FakeModel implements TrainingClient {
  readonly modelId: string;
  readonly #state: State;
  readonly #tokenizer: Tokenizer;
  readonly #store: Map<string, string>;
  readonly #enter: (call: FakeCall) => void;
  readonly #gap: number;
  #gradients: Table = {};

  constructor(
    modelId: string,
    state: State,
    tokenizer: Tokenizer,
    store: Map<string, string>,
    enter: (call: FakeCall) => void,
    gap: number,
  ) {
    this.#gap = gap;
    this.modelId = modelId;
    this.#state = state;
    this.#tokenizer = tokenizer;
    this.#store = store;
    this.#enter = enter;
  }

  async forwardBackward(data: Datum[], loss: LossName, config?: Record<string, number>) {
    this.#enter({ method: "forwardBackward", model: this.modelId, loss, data, config });
    return this.#score(data, true);
  }

  async forward(data: Datum[], loss: LossName, config?: Record<string, number>) {
    this.#enter({ method: "forward", model: this.modelId, loss, data, config });
    return this.#score(data, false);
  }

  async optimStep({ learningRate }: AdamParams) {
    this.#enter({ method: "optimStep", model: this.modelId });
    for (const [key, gradient] of Object.entries(this.#gradients)) {
      const momentum = gradient.map((value, i) => value + 0.5 * (this.#state.momentum[key]?.[i] ?? 0));
      this.#state.momentum[key] = momentum;
      this.#state.logits[key] = rowOf(this.#state.logits, key).map(
        (logit, i) => logit + learningRate * (momentum[i] ?? 0),
      );
    }
    this.#gradients = {};
    return { metrics: { "rows:max": Object.keys(this.#state.logits).length } };
  }

  async saveState(name: string): Promise<string> {
    this.#enter({ method: "saveState", model: this.modelId });
    return this.#save(`tinker://toy/weights/${name}`);
  }

  async saveForSampler(name: string): Promise<string> {
    this.#enter({ method: "saveForSampler", model: this.modelId });
    return this.#save(`tinker://toy/sampler_weights/${name}`);
  }

  async sampler(): Promise<SamplingClient> {
    this.#enter({ method: "sampler", model: this.modelId });
    return new FakeSampler(structuredClone(this.#state.logits), this.#tokenizer, () =>
      this.#enter({ method: "sample", model: this.modelId }),
    );
  }

  async unload(): Promise<void> {
    this.#enter({ method: "unload", model: this.modelId });
  }

  #save(path: string): string {
    this.#store.set(path, JSON.stringify(this.#state));
    return path;
  }

  #score(data: readonly Datum[], backward: boolean) {
    const logprobs = data.map((datum) => {
      const values = datum.advantages ?? datum.weights ?? [];
      const first = values.findIndex((value) => value !== 0);
      const sequence = [...datum.input, ...datum.targetTokens.slice(-1)];
      const situation = situationOf(this.#tokenizer.decode(sequence.slice(0, first + 1)));
      const chosen = choiceOf(situation, sequence.slice(first + 1), this.#tokenizer);
      const shares = softmax(rowOf(this.#state.logits, situation.key));
      if (backward) {
        const scale = values.reduce((sum, value) => sum + value, 0);
        const gradient = this.#gradients[situation.key] ?? new Array<number>(classes).fill(0);
        this.#gradients[situation.key] = gradient.map(
          (value, i) => value + scale * ((i === chosen ? 1 : 0) - (shares[i] ?? 0)),
        );
      }
      return datum.targetTokens.map((_, i) => (i === first ? Math.log(shares[chosen] ?? 1) - this.#gap : 0));
    });
    return { logprobs, metrics: { "data:sum": data.length } };
  }
}

function choiceOf(situation: Situation, tokens: readonly number[], tokenizer: Tokenizer): number {
  const last = tokens.at(-1);
  const ended = last !== undefined && tokenizer.stopTokens.includes(last);
  return situation.classify(tokenizer.decode(ended ? tokens.slice(0, -1) : tokens));
}

class FakeSampler implements SamplingClient {
  readonly #logits: Table;
  readonly #tokenizer: Tokenizer;
  readonly #enter: () => void;

  constructor(logits: Table, tokenizer: Tokenizer, enter: () => void) {
    this.#logits = logits;
    this.#tokenizer = tokenizer;
    this.#enter = enter;
  }

  async sample(requests: readonly SampleRequest[]): Promise<SampleResult[]> {
    this.#enter();
    return requests.map(({ prompt, count, params }) => {
      const situation = situationOf(this.#tokenizer.decode(prompt));
      const logits = rowOf(this.#logits, situation.key);
      const shares = softmax(logits);
      const random = createRandom(`${params.seed ?? 0}`);
      const sequences = Array.from({ length: count }, () => {
        const drawn = random.weighted([...shares.keys()], shares);
        const choice = params.temperature === 0 ? logits.indexOf(Math.max(...logits)) : drawn;
        const text = situation.complete(choice, random.int(0, 8999));
        const all = [...this.#tokenizer.encode(text), ...this.#tokenizer.stopTokens.slice(0, 1)];
        const tokens = all.slice(0, params.maxTokens);
        const logprobs = tokens.map((_, i) => (i === 0 ? Math.log(shares[choice] ?? 1) : 0));
        return { tokens, logprobs, stopReason: all.length > tokens.length ? "length" : "stop" } as const;
      });
      return { sequences };
    });
  }
}
