import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { RenderableTool } from "../../openapi/render.js";
import type { Tokenizer } from "../../rollout/tokenizer.js";
import type { ChatMessage } from "../../task/conversation.js";
import { briefStyle, type PromptStyle } from "../../task/prompts.js";
import { SpecdojoError } from "../../util/errors.js";
import { menuGrammar } from "../grammar/menu.js";
import type { GrammarLimits } from "../grammar/schema.js";
import type { CompleteOptions, Solver } from "../solver.js";
import {
  importLlama,
  type Llama,
  type LlamaContext,
  type LlamaModel,
  type LlamaModule,
  type LlamaSequence,
} from "./llama.js";

export interface GgufSolverOptions {
  /** The GGUF file, as `specdojo export DIR --format gguf` writes it. */
  file: string;
  /** The model's tokenizer, or the folder that holds it: llama.cpp gets token ids. */
  tokenizer: Tokenizer | string;
  /** The prompts that the model was trained on. */
  style?: PromptStyle;
  /** Default true: where the tools of a question are known, only calls that their schemas allow can be written. */
  constrained?: boolean;
  /** Where the schemas set no limit; see `menuGrammar`. Smaller ones keep a weak model from writing without end. */
  limits?: Partial<GrammarLimits>;
  /** Default true: keys and values of what a prompt shares with the one before are kept. */
  keepCache?: boolean;
  /** Type of the kept keys and values. Default `F32`, as exact as the worker; `F16` takes half the memory. */
  cacheType?: "F16" | "F32";
  /** CPU threads; default: as many as this process may use, at most 8. Threads without a core of their own only wait. */
  threads?: number;
  /** `auto` uses a GPU where node-llama-cpp finds one. Default false: small models answer at once on a CPU. */
  gpu?: "auto" | false;
}

/** Grammars that are kept: one per selection of tools. */
const maxGrammars = 16;
/** Contexts grow in steps of this many tokens. */
const contextStep = 1024;

/**
 * A solver in this process, without Python: greedy decoding of a GGUF file by llama.cpp. One question at a time; the
 * menu's part of the prompt is computed once and kept for the questions that follow.
 * @throws SpecdojoError `runtime-missing`, `gguf-missing`, `gguf-unreadable` or `gguf-tokenizer`.
 */
export async function ggufSolver(options: GgufSolverOptions): Promise<Solver> {
  const { file } = options;
  if (!existsSync(file))
    throw new SpecdojoError("gguf-missing", "There is no GGUF file here.", {
      place: file,
      remedy: "Write it: specdojo export DIR --format gguf",
    });
  const tokenizer =
    typeof options.tokenizer === "string"
      ? await (await import("../../rollout/tokenizer.js")).loadTokenizer(options.tokenizer)
      : options.tokenizer;
  const module = await importLlama();
  const threads = options.threads ?? Math.min(8, availableParallelism());
  const llama = await module.getLlama({
    maxThreads: threads,
    gpu: options.gpu ?? false,
    build: "never",
    logLevel: "error",
    progressLogs: false,
  });
  try {
    const model = await llama.loadModel({ modelPath: file, gpuLayers: options.gpu === "auto" ? "auto" : 0 });
    let size = 0;
    for (const _ of model.iterateAllTokens()) size++;
    if (size < tokenizer.size)
      throw new SpecdojoError(
        "gguf-tokenizer",
        `The GGUF file has ${size} tokens, its model's folder ${tokenizer.size}.`,
        { place: file, remedy: "Export again: the file belongs to another model." },
      );
    return new GgufSolver(module, llama, model, tokenizer, { ...options, threads });
  } catch (cause) {
    await llama.dispose();
    if (SpecdojoError.isInstance(cause)) throw cause;
    throw new SpecdojoError("gguf-unreadable", "llama.cpp cannot read the GGUF file.", {
      place: file,
      remedy: "Export it again.",
      cause,
    });
  }
}

class GgufSolver implements Solver {
  readonly #style: PromptStyle;
  #context: LlamaContext | undefined;
  #sequence: LlamaSequence | undefined;
  #size = 0;
  /** The end of the queue: one question is answered at a time. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #grammars = new Map<string, object>();
  readonly #ids = new WeakMap<object, number>();
  #nextId = 0;
  #closed: Promise<void> | undefined;

  constructor(
    private readonly module: LlamaModule,
    private readonly llama: Llama,
    private readonly model: LlamaModel,
    private readonly tokenizer: Tokenizer,
    private readonly options: GgufSolverOptions & { threads: number },
  ) {
    this.#style = options.style ?? briefStyle;
  }

  async complete(prompts: readonly (readonly ChatMessage[])[], options: CompleteOptions): Promise<string[]> {
    const texts: string[] = [];
    for (const [index, messages] of prompts.entries()) {
      const answer = this.#last.then(() => this.#answer(messages, index, options));
      this.#last = answer.catch(() => undefined);
      texts.push(await answer);
    }
    return texts;
  }

  async #answer(messages: readonly ChatMessage[], index: number, options: CompleteOptions): Promise<string> {
    const { maxTokens, signal, onUsage } = options;
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw new Error("The solver is closed.");
    const tools = options.tools?.[index];
    const prompt = this.tokenizer.renderChat([...messages]);
    const most = Math.min(maxTokens, this.#contextLength - prompt.length);
    if (most <= 0) {
      onUsage?.(index, { prompt: prompt.length, cached: 0, completion: 0, finish: "length" });
      return "";
    }
    const sequence = await this.#sequenceFor(prompt.length + most);
    const state =
      tools === undefined || this.options.constrained === false
        ? undefined
        : new this.module.LlamaGrammarEvaluationState({
            model: this.model,
            grammar: await this.#grammar(tools, options.mustCall === true),
          });
    // The last token is computed anew even where all is known: the answer is read off it.
    const kept = this.options.keepCache === false ? [] : prompt.slice(0, -1);
    await sequence.adaptStateToTokens(kept, false);
    const cached = sequence.nextTokenIndex;
    const tokens: number[] = [];
    let stopped = false;
    const steps = sequence.evaluate(prompt.slice(cached), {
      temperature: 0,
      yieldEogToken: true,
      grammarEvaluationState: state,
    });
    for await (const token of steps) {
      if (this.tokenizer.stopTokens.includes(token)) {
        stopped = true;
        break;
      }
      tokens.push(token);
      if (tokens.length >= most) break;
      signal?.throwIfAborted();
    }
    onUsage?.(index, {
      prompt: prompt.length,
      cached,
      completion: tokens.length + (stopped ? 1 : 0),
      finish: stopped ? "stop" : "length",
    });
    return this.tokenizer.decode(tokens);
  }

  async room(maxTokens: number): Promise<(tools: readonly RenderableTool[]) => boolean> {
    const { menuRoom } = await import("../../rollout/room.js");
    return menuRoom(this.tokenizer, this.#style, maxTokens, this.#contextLength);
  }

  get #contextLength(): number {
    return Math.min(this.model.trainContextSize, this.tokenizer.contextLength ?? Number.POSITIVE_INFINITY);
  }

  /** The one sequence, in a context that holds so many tokens. */
  async #sequenceFor(tokens: number): Promise<LlamaSequence> {
    if (this.#sequence !== undefined && tokens <= this.#size) return this.#sequence;
    await this.#context?.dispose();
    this.#sequence = undefined;
    this.#size = Math.min(this.#contextLength, Math.ceil(tokens / contextStep) * contextStep);
    this.#context = await this.model.createContext({
      contextSize: this.#size,
      sequences: 1,
      flashAttention: false,
      // As exact as the worker's: with fewer bits, near ties fall the other way.
      experimentalKvCacheKeyType: this.options.cacheType ?? "F32",
      experimentalKvCacheValueType: this.options.cacheType ?? "F32",
      threads: this.options.threads,
    });
    this.#sequence = this.#context.getSequence();
    return this.#sequence;
  }

  async #grammar(tools: readonly RenderableTool[], mustCall: boolean): Promise<object> {
    const key = `${mustCall} ${tools.map((tool) => this.#idOf(tool)).join(" ")}`;
    let grammar = this.#grammars.get(key);
    if (grammar === undefined) {
      grammar = await this.llama.createGrammar({
        grammar: menuGrammar(tools, { style: this.#style, mustCall, limits: this.options.limits }),
      });
      const [oldest] = this.#grammars.keys();
      if (this.#grammars.size >= maxGrammars && oldest !== undefined) this.#grammars.delete(oldest);
    } else this.#grammars.delete(key);
    // The one used last is at the end.
    this.#grammars.set(key, grammar);
    return grammar;
  }

  #idOf(tool: object): number {
    let id = this.#ids.get(tool);
    if (id === undefined) {
      id = this.#nextId++;
      this.#ids.set(tool, id);
    }
    return id;
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#last;
      await this.#context?.dispose();
      await this.model.dispose();
      await this.llama.dispose();
    })();
    return this.#closed;
  }
}
