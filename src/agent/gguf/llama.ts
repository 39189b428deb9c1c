import { SpecdojoError } from "../../util/errors.js";

/** What is used of node-llama-cpp, which is an optional peer: its types may be missing where this is compiled. */
export interface Llama {
  loadModel(options: { modelPath: string; gpuLayers?: number | "auto" }): Promise<LlamaModel>;
  createGrammar(options: { grammar: string }): Promise<object>;
  dispose(): Promise<void>;
}
export interface LlamaModel {
  readonly trainContextSize: number;
  iterateAllTokens(): Iterable<number>;
  createContext(options: {
    contextSize: number;
    threads: number;
    sequences: number;
    flashAttention?: boolean | "auto";
    experimentalKvCacheKeyType?: "F16" | "F32";
    experimentalKvCacheValueType?: "F16" | "F32";
  }): Promise<LlamaContext>;
  dispose(): Promise<void>;
}
export interface LlamaContext {
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}
export interface LlamaSequence {
  /** Tokens whose keys and values are in the cache. */
  readonly nextTokenIndex: number;
  /** Cuts the cache back to what it shares with these tokens. */
  adaptStateToTokens(tokens: number[], allowShift: boolean): Promise<void>;
  evaluate(
    tokens: number[],
    options: { temperature: 0; yieldEogToken: boolean; grammarEvaluationState?: object | undefined },
  ): AsyncGenerator<number, void>;
}
export interface LlamaModule {
  getLlama(options: {
    gpu: "auto" | false;
    maxThreads: number;
    build: "never";
    logLevel: "error";
    progressLogs: false;
  }): Promise<Llama>;
  LlamaGrammarEvaluationState: new (options: { model: LlamaModel; grammar: object }) => object;
}

/** Kept in a variable, so that neither the compiler nor a bundler looks for the package. */
const packageName: string = "node-llama-cpp";

/** @throws SpecdojoError `runtime-missing` when node-llama-cpp is not installed. */
export async function importLlama(): Promise<LlamaModule> {
  try {
    return (await import(packageName)) as LlamaModule;
  } catch (cause) {
    throw new SpecdojoError("runtime-missing", "node-llama-cpp, which runs GGUF files, cannot be loaded.", {
      place: packageName,
      remedy: "Install it beside specdojo: npm install node-llama-cpp",
      cause,
    });
  }
}

export async function hasLlama(): Promise<boolean> {
  return importLlama().then(
    () => true,
    () => false,
  );
}
