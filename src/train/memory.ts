import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { SpecdojoError } from "../util/errors.js";
import type { RunConfig } from "./config.js";

/** What of a model's shape decides how much memory it takes. */
export interface ModelShape {
  /** Number of weights; tied ones count once. */
  parameters: number;
  /** Weights of the linear layers that an adapter of rank 1 adds. */
  adapterPerRank: number;
  layers: number;
  hidden: number;
  vocabulary: number;
  /** Keys and values of one token in one layer, as a number of values. */
  cache: number;
}

const modelConfig = z.looseObject({
  num_hidden_layers: z.int().positive(),
  hidden_size: z.int().positive(),
  vocab_size: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().nullish(),
  head_dim: z.int().positive().nullish(),
});

const tensorHeader = z.record(z.string(), z.looseObject({ shape: z.array(z.int()).optional() }));
const maxHeader = 100 * 2 ** 20;

/** Reads the shape from a model's folder (`config.json` and the headers of the safetensors files). */
export async function readModelShape(dir: string): Promise<ModelShape> {
  const text = await readFile(join(dir, "config.json"), "utf8");
  const parsed = modelConfig.safeParse(JSON.parse(text));
  if (!parsed.success)
    throw new SpecdojoError("model-incomplete", "The model's config.json does not tell its shape.", {
      place: join(dir, "config.json"),
      remedy: "Give a causal language model in the layout of transformers.",
    });
  const config = parsed.data;
  const shapes: [string, number[]][] = [];
  for (const name of (await readdir(dir)).filter((file) => file.endsWith(".safetensors")).sort())
    for (const [tensor, { shape }] of Object.entries(await readHeader(join(dir, name))))
      if (shape !== undefined) shapes.push([tensor, shape]);
  const size = (shape: readonly number[]): number => shape.reduce((product, length) => product * length, 1);
  const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  return {
    parameters: shapes.reduce((sum, [, shape]) => sum + size(shape), 0),
    adapterPerRank: shapes.reduce(
      (sum, [name, shape]) =>
        shape.length === 2 && /(?:_proj|attn|mlp)/.test(name) ? sum + (shape[0] ?? 0) + (shape[1] ?? 0) : sum,
      0,
    ),
    layers: config.num_hidden_layers,
    hidden: config.hidden_size,
    vocabulary: config.vocab_size,
    cache: 2 * (config.num_key_value_heads ?? config.num_attention_heads) * headDim,
  };
}

/** The header of a safetensors file: its length in 8 bytes, then JSON. */
async function readHeader(path: string): Promise<z.infer<typeof tensorHeader>> {
  const file = await open(path, "r");
  try {
    const length = Number((await file.read(Buffer.alloc(8), 0, 8, 0)).buffer.readBigUInt64LE());
    if (length > maxHeader) throw new RangeError(`a header of ${length} bytes`);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, 8);
    return tensorHeader.parse(JSON.parse(buffer.toString("utf8")));
  } catch (cause) {
    throw new SpecdojoError("model-incomplete", "The file is not a safetensors file.", {
      place: path,
      remedy: "Download the model again.",
      cause,
    });
  } finally {
    await file.close();
  }
}

/** Bytes that the local worker takes, in parts; `total` is that of its greatest moment. */
export interface MemoryEstimate {
  program: number;
  /** The frozen base model. */
  base: number;
  /** Weights, gradients and optimizer of the models that are trained at the same time. */
  training: number;
  /** Frozen copies that are sampled: the newest of each model, and opponents. */
  samplers: number;
  /** Keys, values and probabilities while sampling. */
  sampling: number;
  /** Activations of a micro-batch while training. */
  activations: number;
  total: number;
}

// What worker/specdojo_worker does: models.SMALL, workspace.EPHEMERAL_KEPT, sampling.MAX_ROWS and GROW, training.token_budget.
const small = 200e6;
const ephemeralKept = 2;
const cpuRows = 256;
const cacheGrowth = 32;
const cpuCache = 2 * 2 ** 30;
const cpuActivations = 3 * 2 ** 30;
const valuesPerTokenAndLayer = 40;
const mostTokens = 16384;
const logitChunk = 2 ** 24;
/** The interpreter with PyTorch and transformers; on a CPU with the kernels compiled and what the allocator keeps. */
const programBytes = { cpu: 2 ** 30, cuda: 600 * 2 ** 20 };

/**
 * How much memory the local worker needs for a run, from the model's shape and what the worker keeps at a time. With
 * `promptTokens`, the mean length of the prompts. On a GPU this is the GPU's memory.
 */
export function estimateMemory(
  config: RunConfig,
  model: ModelShape,
  { device, dtype, promptTokens }: { device: string; dtype: string; promptTokens: number },
): MemoryEstimate {
  const gpu = device === "cuda";
  const wide = dtype === "float32" ? 4 : 2;
  const base = model.parameters * wide;
  const adapter = model.adapterPerRank * config.loraRank;
  const trained = config.loraRank === 0 ? model.parameters : adapter;
  // Master weights, accumulated gradients and two moments in fp32; the gradient of a backward pass; weights that compute.
  const states = trained * (16 + wide + (wide === 4 ? 0 : wide));
  const copied = config.loraRank > 0 && model.parameters < small ? base : 0;
  const models = config.sharedWeights ? 1 : 2;
  const frozen = config.loraRank === 0 || model.parameters < small ? base : adapter * wide;

  const rows = Math.min(
    gpu ? 4 * cpuRows : cpuRows,
    Math.max(
      config.solver.groups * config.solver.groupSize,
      config.candidates.keep * config.candidates.probes,
      config.candidates.specs * config.candidates.perSpec,
    ),
  );
  const longest = Math.max(config.generator.maxTokens, config.solver.maxTokens) + cacheGrowth;
  const perToken = model.layers * model.cache * wide;
  const groups = rows / Math.min(config.generator.groupSize, config.solver.groupSize);
  const cache = (rows * longest + 2 * groups * promptTokens) * perToken;
  // Logits, their log-softmax, weights, and the running sum in double precision.
  const probabilities = rows * model.vocabulary * (4 + 4 + 4 + 8);
  const perTrained = model.layers * model.hidden * valuesPerTokenAndLayer * wide;
  const tokens = Math.min(
    mostTokens,
    config.solver.groups * (promptTokens + config.solver.groupSize * config.solver.maxTokens),
    Math.max(1024, gpu ? Number.POSITIVE_INFINITY : cpuActivations / perTrained),
  );
  const parts = {
    program: gpu ? programBytes.cuda : programBytes.cpu,
    base,
    training: models * (states + copied),
    samplers: frozen * (models * ephemeralKept + config.iterations),
    sampling: (gpu ? cache : Math.min(cache, cpuCache)) + probabilities,
    activations: tokens * perTrained + 4 * 4 * Math.min(logitChunk, tokens * model.vocabulary),
  };
  const { program, sampling, activations } = parts;
  return {
    ...parts,
    total: program + parts.base + parts.training + parts.samplers + Math.max(sampling, activations),
  };
}
