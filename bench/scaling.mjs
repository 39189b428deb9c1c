// What a run of the paper's size costs: tokens, seconds and GPU hours, by model and number of GPUs. `docs/scaling.md` has the
// formula and says what is measured and what is assumed.
//
//     npm run build
//     node bench/scaling.mjs [--document FILE] [--python PATH [--model DIR] --peak FLOPS --bandwidth BYTES]
//
// Counts come from the configuration; lengths of prompts are measured by rendering them. With --python the local worker is
// timed on this machine's device with the model in DIR (default: the bundled one), and the shares of the device's peak and
// bandwidth that it reaches replace the assumed ones. What is assumed is printed as such.
import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startWorker } from "../dist/backend/worker.js";
import { buildToolMenu, loadOpenApi } from "../dist/index.js";
import { loadTokenizer } from "../dist/rollout/tokenizer.js";
import { generatorMessages, shownTools, solverMessages } from "../dist/task/prompts.js";
import { createSpecGenerator } from "../dist/task/spec.js";
import { paperConfig } from "../dist/train/config.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values } = parseArgs({
  options: {
    python: { type: "string" },
    model: { type: "string", default: here("../worker/base-model") },
    peak: { type: "string", default: "989e12" },
    bandwidth: { type: "string", default: "3.35e12" },
    document: { type: "string", default: here("../examples/petstore/openapi.yaml") },
  },
});

/** Assumptions. Peak and bandwidth are by default the vendor's for an H100 SXM with bf16; the shares are ours. */
const assumed = {
  /** Multiplications and additions per second, bytes per second. */
  peak: Number(values.peak),
  bandwidth: Number(values.bandwidth),
  /** Share of the peak that prefill and training reach. */
  compute: 0.35,
  /** Share of the bandwidth that decoding reaches. */
  decode: 0.5,
  /** Completions decoded together on one GPU. */
  rows: 128,
  /** Tokens per completion, with the full instructions. */
  generatorTokens: 160,
  solverTokens: 120,
  /** Share of the written questions that are valid and therefore probed. */
  valid: 0.7,
  /** Share of the linear speed-up that is left, by GPUs. */
  efficiency: { 1: 1, 8: 0.85, 64: 0.6 },
  /** Seconds per optimizer step that no GPU shortens: weights to the samplers, the queue, verification. */
  overhead: 10,
};
/** Parameters, layers, and width of keys and values together (2 x heads x dimension), of Qwen2.5. */
const models = [
  { name: "0.5B", parameters: 0.494e9, layers: 24, cache: 2 * 2 * 64 },
  { name: "1.5B", parameters: 1.54e9, layers: 28, cache: 2 * 2 * 128 },
  { name: "3B", parameters: 3.09e9, layers: 36, cache: 2 * 2 * 128 },
  { name: "7B", parameters: 7.62e9, layers: 28, cache: 2 * 4 * 128 },
];

/** New tokens per completion where the worker is timed. */
const timedTokens = 24;

const mean = (numbers) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;
const short = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(2)} G` : `${(n / 1e6).toFixed(1)} M`);

/** Mean tokens of the prompts of both roles, over 200 specifications. */
async function promptLengths() {
  const loaded = await loadOpenApi(values.document).catch(async () =>
    loadOpenApi(await readFile(values.document, "utf8")),
  );
  const menu = buildToolMenu(loaded);
  const tokenizer = await loadTokenizer(here("../worker/base-model"));
  const specs = createSpecGenerator(menu, { seed: 1, answer: paperConfig.answer });
  const found = { generator: [], solver: [] };
  for (let i = 0; i < 200; i++) {
    const spec = specs.next();
    const count = (messages) => tokenizer.renderChat(messages).length;
    found.generator.push(count(generatorMessages(spec, menu, paperConfig.prompts)));
    found.solver.push(
      count(
        solverMessages(shownTools(spec, menu), "Show me the order with the number 7.", paperConfig.prompts),
      ),
    );
  }
  return { generator: mean(found.generator), solver: mean(found.solver) };
}

/** Completions, prompt tokens, new tokens and trained tokens of a whole run. A prompt is prefilled once per group. */
function work(prompt) {
  const { iterations, generator, solver, candidates } = paperConfig;
  const { generatorTokens, solverTokens, valid } = assumed;
  const part = (groups, width, before, tokens) => ({
    completions: groups * width,
    prefill: groups * before,
    decoded: groups * width * tokens,
    sequences: groups * width * (before + tokens),
  });
  const written = generator.steps * generator.groups * generator.groupSize;
  const drafts = candidates.specs * candidates.perSpec;
  const solved = solver.steps * solver.groups;
  const phases = {
    "Generator: questions": part(
      written / generator.groupSize,
      generator.groupSize,
      prompt.generator,
      generatorTokens,
    ),
    "Generator: probes": part(written * valid, generator.probes, prompt.solver, solverTokens),
    "candidates: questions": part(
      drafts / candidates.perSpec,
      candidates.perSpec,
      prompt.generator,
      generatorTokens,
    ),
    "candidates: probes": part(drafts * valid, candidates.probes, prompt.solver, solverTokens),
    "Solver: answers": part(solved, solver.groupSize, prompt.solver, solverTokens),
  };
  for (const phase of Object.values(phases)) for (const key of Object.keys(phase)) phase[key] *= iterations;
  const trained = ["Generator: questions", "Solver: answers"].reduce(
    (sum, name) => sum + phases[name].sequences,
    0,
  );
  const steps = iterations * (generator.steps + solver.steps);
  return { phases, trained, steps };
}

/** Seconds on one GPU. */
function seconds({ parameters, layers, cache }, { prefill, decoded, trained, context }) {
  const { peak, bandwidth, compute, decode, rows } = assumed;
  // One decoding step reads the weights once and every row's cache, in bf16.
  const step = (2 * parameters + rows * context * layers * cache * 2) / (bandwidth * decode);
  return {
    prefill: (2 * parameters * prefill) / (peak * compute),
    decode: (decoded / rows) * Math.max(step, (2 * parameters * rows) / (peak * compute)),
    // LoRA: forward 2N, recomputed 2N, backward to the activations 2N.
    train: (6 * parameters * trained) / (peak * compute),
  };
}

/** Parameters, layers and cache width of a model's folder. */
async function sizeOf(folder) {
  const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
  let parameters = 0;
  for (const name of (await readdir(folder)).filter((file) => file.endsWith(".safetensors"))) {
    const file = await open(join(folder, name));
    const length = Number((await file.read(Buffer.alloc(8), 0, 8, 0)).buffer.readBigUInt64LE());
    const header = JSON.parse((await file.read(Buffer.alloc(length), 0, length, 8)).buffer.toString());
    await file.close();
    for (const { shape } of Object.values(header))
      if (shape !== undefined) parameters += shape.reduce((product, n) => product * n, 1);
  }
  const heads = config.num_key_value_heads ?? config.num_attention_heads;
  const width = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  return { parameters, layers: config.num_hidden_layers, cache: 2 * heads * width };
}

/** Times sampling and training of the local worker; the shares of the device's peak and bandwidth that they reach. */
async function measure(python, folder, prompt) {
  const size = await sizeOf(folder);
  const worker = await startWorker({ python });
  const bytes = worker.dtype === "float32" ? 4 : 2;
  const trainer = await worker.createModel({ baseModel: folder, lora: { rank: 16 } });
  const sampler = await trainer.sampler();
  const tokenizer = await loadTokenizer(folder);
  const text = tokenizer.encodeContent("Show me the order with the number 7. ".repeat(200));
  const count = 16;
  const requests = Array.from({ length: assumed.rows / count }, (_, i) => ({
    prompt: [...text.slice(0, Math.round(prompt.solver) - 1), text[i]],
    count,
    params: { maxTokens: timedTokens, temperature: 1, seed: i, stop: [] },
  }));
  const timed = async (work) => {
    await work();
    const started = performance.now();
    const result = await work();
    return { result, seconds: (performance.now() - started) / 1000 };
  };
  // Time with one new token is the prompts'; the rest is decoding.
  const first = await timed(() =>
    sampler.sample(requests.map((request) => ({ ...request, params: { ...request.params, maxTokens: 1 } }))),
  );
  const sampled = await timed(() => sampler.sample(requests));
  const data = sampled.result.flatMap(({ sequences }, i) =>
    sequences.map(({ tokens, logprobs }) => {
      const before = requests[i].prompt.length - 1;
      return {
        input: [...requests[i].prompt, ...tokens.slice(0, -1)],
        targetTokens: [...requests[i].prompt.slice(1), ...tokens],
        logprobs: [...new Array(before).fill(0), ...logprobs],
        advantages: [...new Array(before).fill(0), ...tokens.map(() => 0.01)],
      };
    }),
  );
  const passed = await timed(async () => {
    const pass = trainer.forwardBackward(data, "ppo");
    await Promise.all([pass, trainer.optimStep({ learningRate: 1e-6 })]);
    return pass;
  });
  await worker.close();
  const step = (sampled.seconds - first.seconds) / (timedTokens - 1);
  const context = prompt.solver + timedTokens / 2;
  const read = bytes * (size.parameters + assumed.rows * context * size.layers * size.cache);
  // What a group's sequences have in common is computed once.
  const tokens = passed.result.metrics["packed_tokens:sum"];
  console.log(
    `Measured here: local worker on ${worker.device} in ${worker.dtype}, ${size.parameters} parameters:`,
  );
  console.log(
    `  ${(assumed.rows / step).toFixed(0)} new tokens/s in ${assumed.rows} rows; ${(tokens / passed.seconds).toFixed(0)} tokens/s trained`,
  );
  return {
    compute: (6 * size.parameters * tokens) / passed.seconds / assumed.peak,
    decode: read / step / assumed.bandwidth,
  };
}

const prompt = await promptLengths();
const { phases, trained, steps } = work(prompt);
console.log("Measured: tokens per prompt of the document, full instructions, bundled tokenizer:");
console.log(`  Generator ${prompt.generator.toFixed(0)}, Solver ${prompt.solver.toFixed(0)}`);
if (values.python !== undefined) {
  const found = await measure(values.python, values.model, prompt);
  for (const [name, share] of Object.entries(found)) {
    console.log(`  share of ${name === "compute" ? "the peak" : "the bandwidth"} ${share.toPrecision(2)}`);
    assumed[name] = share;
  }
}
console.log("Assumed, but for the shares where they were measured:");
for (const [name, value] of Object.entries(assumed))
  console.log(
    `  ${name} ${typeof value === "object" ? JSON.stringify(value) : value >= 1e6 ? value.toExponential(3) : value}`,
  );
console.log(
  "\n| phase, all iterations | completions | prefilled tokens | decoded tokens |\n| --- | ---: | ---: | ---: |",
);
for (const [name, { completions, prefill, decoded }] of Object.entries(phases))
  console.log(
    `| ${name} | ${Math.round(completions).toLocaleString("en")} | ${short(prefill)} | ${short(decoded)} |`,
  );
const total = (key) => Object.values(phases).reduce((sum, phase) => sum + phase[key], 0);
console.log(
  `| together | ${Math.round(total("completions")).toLocaleString("en")} | ${short(total("prefill"))} | ${short(total("decoded"))} |`,
);
console.log(`\nTrained on ${short(trained)} tokens in ${steps} steps.\n`);

console.log("| model | GPUs | prefill, s | decode, s | train, s | overhead, s | wall, h | GPU hours |");
console.log("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
const context = prompt.solver + assumed.solverTokens;
for (const size of models)
  for (const [gpus, efficiency] of Object.entries(assumed.efficiency)) {
    const one = seconds(size, { prefill: total("prefill"), decoded: total("decoded"), trained, context });
    const by = Number(gpus) * efficiency;
    const parts = [one.prefill / by, one.decode / by, one.train / by, steps * assumed.overhead];
    const wall = parts.reduce((sum, part) => sum + part, 0) / 3600;
    console.log(
      `| ${size.name} | ${gpus} | ${parts.map((part) => part.toFixed(0)).join(" | ")} | ${wall.toFixed(1)} | ${(wall * Number(gpus)).toFixed(1)} |`,
    );
  }
