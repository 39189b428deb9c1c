// Where the solver runs: the Python worker, this process (GGUF, llama.cpp), or behind `specdojo serve`.
//
//   node bench/runtimes.mjs equal|valid|time [--python PATH] [--model DIR] [--count N] [--documents DIR] [--tokens N]
//                                            [--untrained] [--runtime gguf|worker]
//
// equal: greedy answers of worker and GGUF to the made-up questions of worker/base-model/other-apis.jsonl, without and with
//        the grammar of the tools. Exits with 1 when one differs.
// valid: constrained decoding over up to ten documents of a folder (`--documents`, default: the repository's), eight tools shown; every call
//        must fit its schema. An answer that is cut off (`--tokens`) has no call.
// time:  first and following answers, with and without the kept cache, and the memory of the processes.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import OpenAI from "openai";
import { writeGguf } from "../dist/agent/gguf/export.js";
import { ggufSolver } from "../dist/agent/gguf/solver.js";
import { createAgent, samplerSolver } from "../dist/agent/index.js";
import { startWorker } from "../dist/backend/worker.js";
import { buildToolMenu, loadOpenApi } from "../dist/openapi/index.js";
import { bundledModelDir } from "../dist/rollout/model-files.js";
import { loadTokenizer } from "../dist/rollout/tokenizer.js";
import { batched } from "../dist/serve/batcher.js";
import { Chat } from "../dist/serve/chat.js";
import { startServer } from "../dist/serve/server.js";
import { briefStyle, solverMessages } from "../dist/task/prompts.js";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: "string" },
    model: { type: "string", default: bundledModelDir() },
    count: { type: "string" },
    documents: { type: "string" },
    tokens: { type: "string", default: "512" },
    untrained: { type: "boolean", default: false },
    runtime: { type: "string", default: "gguf" },
  },
});
const [what = "equal"] = positionals;
const root = fileURLToPath(new URL("..", import.meta.url));
const python = options.python === undefined ? {} : { python: options.python };
const dir = mkdtempSync(join(tmpdir(), "specdojo-runtimes-"));
const row = (...cells) => console.log(`| ${cells.join(" | ")} |`);

/** At most ten documents of a folder, those with fewer than three operations left out. */
async function menusOf(folder) {
  const menus = [];
  for (const name of readdirSync(folder).sort()) {
    if (!/\.(ya?ml|json)$/.test(name) || menus.length === 10) continue;
    const document = await loadOpenApi(join(folder, name)).catch(() => undefined);
    const menu = document && buildToolMenu(document);
    if (menu && menu.tools.length >= 3) menus.push([name, menu]);
  }
  return menus;
}

/** The same architecture and tokenizer with random weights. */
const untrained = `
import json, shutil, sys, torch
from pathlib import Path
from transformers import AutoConfig, AutoModelForCausalLM
torch.manual_seed(0)
source, out = map(Path, sys.argv[1:])
AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source)).to(torch.bfloat16).save_pretrained(out)
for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "specdojo.json", "generation_config.json"):
    shutil.copy(source / name, out / name)
`;

async function prepare() {
  let model = options.model;
  if (options.untrained) {
    model = join(dir, "untrained");
    execFileSync(options.python ?? "python3", ["-c", untrained, options.model, model], { stdio: "inherit" });
  }
  const file = join(dir, "model.gguf");
  const report = await writeGguf({ model, out: file, ...python });
  return { model, file, report, tokenizer: await loadTokenizer(model) };
}

const otherApis = () =>
  readFileSync(join(root, "worker/base-model/other-apis.jsonl"), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

async function equal() {
  const { model, file, tokenizer } = await prepare();
  const rows = otherApis().slice(0, Number(options.count ?? 200));
  const prompts = rows.map(({ tools, items }) => solverMessages(tools, items[0].question));
  const ask = { maxTokens: 512, tools: rows.map(({ tools }) => tools) };
  const worker = await startWorker({ ...python, args: ["--dtype", "float32"] });
  const sampler = await worker.createSampler({ baseModel: model });
  row("decoding", "questions", "same answer of GGUF and worker (float32)");
  row("---", "--:", "--:");
  for (const [name, constrained] of [
    ["free", false],
    ["with the grammar", true],
  ]) {
    const wanted = await samplerSolver(sampler, tokenizer, { constrained }).complete(prompts, ask);
    const solver = await ggufSolver({ file, tokenizer, constrained });
    const got = await solver.complete(prompts, ask);
    const same = got.filter((text, i) => text === wanted[i]).length;
    row(name, rows.length, same);
    for (const [i, text] of got.entries())
      if (text !== wanted[i]) console.error(`${name} ${i}\n  worker ${wanted[i]}\n  gguf   ${text}`);
    if (same < rows.length) process.exitCode = 1;
    await solver.close();
  }
  await worker.close();
}

async function workerSolver(model, tokenizer) {
  const worker = await startWorker({ ...python, args: ["--dtype", "float32"] });
  const sampler = await worker.createSampler({ baseModel: model });
  return samplerSolver(sampler, tokenizer, { close: () => worker.close() });
}

async function valid() {
  const { model, file, tokenizer } = await prepare();
  const menus = await menusOf(options.documents ?? join(root, "test/fixtures/specs"));
  const each = Math.ceil(Number(options.count ?? 1000) / menus.length);
  // A model without sense fills every string and list to its limit, and calls nothing where it may.
  const limits = options.untrained ? { calls: 1, string: 6, items: 1, depth: 2 } : { string: 100 };
  const mustCall = options.untrained;
  const solver =
    options.runtime === "worker"
      ? await workerSolver(model, tokenizer)
      : await ggufSolver({ file, tokenizer, limits });
  row("document", "tools", "questions", "calls", "calls that do not fit", "answers cut off", "s");
  row("---", "--:", "--:", "--:", "--:", "--:", "--:");
  const total = { questions: 0, calls: 0, wrong: 0, cut: 0 };
  for (const [name, menu] of menus) {
    const agent = createAgent({ menu, solver, maxTools: 8, maxTokens: Number(options.tokens) });
    const started = performance.now();
    const sums = { questions: 0, calls: 0, wrong: 0, cut: 0 };
    const questions = Array.from({ length: each }, (_, i) => {
      const tool = menu.tools[i % menu.tools.length];
      const about = (tool.description || tool.name).split(/[.\n]/)[0].slice(0, 120);
      const round = Math.floor(i / menu.tools.length);
      return [`${about}: number ${i + 3}, please`, `I want this for ${i} and "Ada": ${about}`][round % 2];
    });
    for (let i = 0; i < each; i += 20) {
      for (const decision of await agent.decideBatch(questions.slice(i, i + 20), { mustCall })) {
        sums.questions++;
        sums.calls += decision.calls.length;
        const cut = decision.rejected.some(({ reason }) => reason === "no-answer");
        if (cut) sums.cut++;
        else sums.wrong += decision.rejected.length;
        for (const { message } of decision.rejected)
          console.error(`${name}: ${message}\n  ${decision.completion.slice(0, 400)}`);
      }
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    row(name, menu.tools.length, sums.questions, sums.calls, sums.wrong, sums.cut, seconds);
    for (const key of Object.keys(total)) total[key] += sums[key];
  }
  row("all", "", total.questions, total.calls, total.wrong, total.cut, "");
  await solver.close();
  process.exitCode = total.wrong === 0 ? 0 : 1;
}

/** Processor time in ms and memory in MiB of a process, its own or another's (Linux). */
function costOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  const pages = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return { cpu: 10 * (Number(user) + Number(system)), memory: Number(pages?.[1]) / 1024 };
}
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Answers of one runtime, in a process of its own, which prints its row. */
async function time() {
  const [, runtime] = positionals;
  if (runtime === undefined) {
    const { model, file } = await prepare();
    row(
      "runtime",
      "start, ms",
      "first answer, ms (processor)",
      "following, median ms (mean of processor)",
      "memory, MiB",
    );
    row("---", "--:", "--:", "--:", "--:");
    for (const name of [
      "worker",
      "gguf",
      "gguf without kept cache",
      "serve over worker",
      "serve over gguf",
    ]) {
      const args = [
        fileURLToPath(import.meta.url),
        "time",
        name,
        file,
        "--model",
        model,
        "--count",
        options.count ?? "20",
      ];
      execFileSync(process.execPath, [...args, ...(options.python ? ["--python", options.python] : [])], {
        stdio: "inherit",
      });
    }
    return;
  }
  const [, , file] = positionals;
  const tokenizer = await loadTokenizer(options.model);
  const menu = buildToolMenu(await loadOpenApi(join(root, "examples/petstore/openapi.yaml")));
  const begun = performance.now();
  const pids = [process.pid];
  let solver;
  if (runtime.endsWith("worker")) {
    const worker = await startWorker(python);
    pids.push(worker.pid);
    const sampler = await worker.createSampler({ baseModel: options.model });
    solver = samplerSolver(sampler, tokenizer, { close: () => worker.close() });
  } else solver = await ggufSolver({ file, tokenizer, keepCache: !runtime.includes("without") });
  let ask = async (question) => void (await agent.decide(question));
  const agent = createAgent({ menu, solver });
  let close = () => solver.close();
  if (runtime.startsWith("serve")) {
    const chat = new Chat({
      menu,
      solver: batched(solver, 32),
      style: briefStyle,
      maxTokens: 512,
      maxTools: 64,
    });
    const server = await startServer({ chat, model: "m", host: "127.0.0.1", port: 0, token: "benchmark" });
    const openai = new OpenAI({ baseURL: server.url, apiKey: "benchmark" });
    ask = (content) => openai.chat.completions.create({ model: "m", messages: [{ role: "user", content }] });
    close = async () => {
      await server.close();
      await solver.close();
    };
  }
  const started = performance.now() - begun;
  const measured = [];
  for (let i = 0; i <= Number(options.count); i++) {
    const before = pids.map(costOf);
    const at = performance.now();
    await ask(`Find pet ${i + 3}`);
    const wall = performance.now() - at;
    const cpu = pids.map(costOf).reduce((sum, cost, j) => sum + cost.cpu - (before[j]?.cpu ?? 0), 0);
    measured.push({ wall, cpu });
  }
  const [first, ...rest] = measured;
  const memory = pids.reduce((sum, pid) => sum + costOf(pid).memory, 0);
  const cell = (wall, cpu) => `${wall.toFixed(0)} (${cpu.toFixed(0)})`;
  const mean = rest.reduce((sum, { cpu }) => sum + cpu, 0) / rest.length;
  row(
    runtime,
    started.toFixed(0),
    cell(first.wall, first.cpu),
    cell(median(rest.map(({ wall }) => wall)), mean),
    memory.toFixed(0),
  );
  await close();
}

try {
  const modes = { equal, valid, time };
  if (!Object.hasOwn(modes, what)) throw new Error(`There is no ${what}: use equal, valid or time.`);
  await modes[what]();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
