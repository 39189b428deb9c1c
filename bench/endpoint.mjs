// What `specdojo bench` costs by itself: thousands of items against a local endpoint that answers in 1 ms and whose
// answers are known, then the same killed half way and given again. Exits with 1 when a limit is passed.
//
//   npm run build && node bench/endpoint.mjs [--items 5000] [--concurrency 8]

import { execFile, spawn } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { isMainThread, parentPort, Worker } from "node:worker_threads";

/** Every fifth question is answered wrongly. */
const wrong = 5;
const latency = 1;
/** Limit of the command's heap, in MiB: a suite of any size has to do with it. */
const heap = 96;

if (!isMainThread) serve();
else if (process.argv[2] === "--bare") await bareClient(process.argv.slice(3));
else await main();

/** The endpoint, in a thread of its own. A question ends with its number, which is also the right argument. */
function serve() {
  const counts = new Map();
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(chunks).toString());
      const number = Number(/(\d+)\.$/.exec(body.messages.at(-1).content)[1]);
      counts.set(number, (counts.get(number) ?? 0) + 1);
      const right = number % wrong === 0 ? number + 1 : number;
      const call = { name: "get_record", arguments: JSON.stringify({ id: right }) };
      const reply = {
        id: "r",
        object: "chat.completion",
        choices: [
          {
            index: 0,
            finish_reason: "tool_calls",
            message: {
              role: "assistant",
              content: null,
              tool_calls: [{ id: "c", type: "function", function: call }],
            },
          },
        ],
        usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 },
      };
      setTimeout(() => {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(reply));
      }, latency);
    });
  });
  server.listen(0, "127.0.0.1", () => parentPort.postMessage({ port: server.address().port }));
  parentPort.on("message", ({ id, clear }) => {
    if (clear) counts.clear();
    const asked = [...counts.values()].reduce((a, b) => a + b, 0);
    parentPort.postMessage({ id, asked, different: counts.size });
  });
}

function writeSuite(path, items) {
  const tool = (name) => ({
    name,
    description: `Works on one record of the archive: ${name.replace("_", " ")}.`,
    parameters: {
      type: "object",
      properties: { id: { type: "integer", description: "The record's number" }, note: { type: "string" } },
      required: ["id"],
    },
  });
  const tools = ["get_record", "delete_record", "copy_record"].map(tool);
  const stream = createWriteStream(path);
  for (let i = 1; i <= items; i++)
    stream.write(
      `${JSON.stringify({ id: `record-${i}`, question: `Please show me record ${i}.`, tools, gold: [{ name: "get_record", arguments: { id: i } }] })}\n`,
    );
  return new Promise((done) => stream.end(done));
}

/** Runs the command; resolves with what it printed, its seconds, and what the process used. `killAt` ends it early. */
function bench(suite, url, options, killWhen) {
  const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
  const report = `process.on("exit",()=>process.stderr.write("\\nUSED "+JSON.stringify(process.resourceUsage())+"\\n"))`;
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [
        `--max-old-space-size=${heap}`,
        "--import",
        `data:text/javascript,${encodeURIComponent(report)}`,
        cli,
        "bench",
        suite,
        "--model",
        `${url}#m`,
        "--json",
        ...options,
      ],
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env } },
    );
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk) => (out += chunk));
    child.stderr.on("data", (chunk) => (err += chunk));
    const timer = killWhen && setInterval(async () => (await killWhen()) && child.kill("SIGKILL"), 20);
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(timer);
      const used = /USED (.*)/.exec(err)?.[1];
      resolve({
        code,
        seconds: (performance.now() - begun) / 1000,
        used: used === undefined ? undefined : JSON.parse(used),
        report: code === 0 ? JSON.parse(out) : undefined,
        err,
      });
    });
  });
}

/** Prints the processor time of one request of the client that the command uses, in ms. */
async function bareClient([baseURL, requests, concurrency]) {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL, apiKey: "none" });
  const tools = ["get_record", "delete_record", "copy_record"].map((name) => ({
    type: "function",
    function: {
      name,
      description: `Works on one record of the archive: ${name}.`,
      parameters: { type: "object", properties: { id: { type: "integer" } }, required: ["id"] },
    },
  }));
  let next = 0;
  const work = async (last) => {
    while (next < last) {
      const messages = [{ role: "user", content: `Please show me record ${++next}.` }];
      await client.chat.completions.create({ model: "m", messages, tools, temperature: 0 });
    }
  };
  const all = (last) => Promise.all(Array.from({ length: Number(concurrency) }, () => work(last)));
  await all(100);
  const before = process.cpuUsage();
  await all(100 + Number(requests));
  const { user, system } = process.cpuUsage(before);
  console.log((user + system) / 1000 / Number(requests));
}

async function main() {
  const { values } = parseArgs({
    options: { items: { type: "string", default: "5000" }, concurrency: { type: "string", default: "8" } },
  });
  const items = Number(values.items);
  const folder = mkdtempSync(join(tmpdir(), "specdojo-endpoint-"));
  process.env.SPECDOJO_CACHE_DIR = join(folder, "cache");
  const worker = new Worker(new URL(import.meta.url));
  let questions = 0;
  /** What the endpoint was asked so far, of how many different questions. */
  const counts = (clear = false) => {
    const id = ++questions;
    return new Promise((done) => {
      const hear = (message) => {
        if (message.id !== id) return;
        worker.off("message", hear);
        done(message);
      };
      worker.on("message", hear);
      worker.postMessage({ id, clear });
    });
  };
  const { port } = await new Promise((done) => worker.once("message", done));
  const url = `http://127.0.0.1:${port}/v1`;
  const options = ["--concurrency", values.concurrency];
  const failures = [];
  const need = (holds, what) => holds || failures.push(what);
  try {
    const sizes = [1, Math.round(items / 5), items];
    const runs = [];
    for (const size of sizes) {
      const suite = join(folder, `suite-${size}.jsonl`);
      await writeSuite(suite, size);
      const run = await bench(suite, url, options);
      if (run.code !== 0) throw new Error(run.err);
      const { userCPUTime, systemCPUTime, maxRSS } = run.used;
      const { strict, answered } = run.report.models[0].totals;
      const known = size - Math.floor(size / wrong);
      const cpu = (userCPUTime + systemCPUTime) / 1e6;
      runs.push({ size, known, right: strict.correct, seconds: run.seconds, cpu, mib: maxRSS / 1024 });
      need(answered === size && strict.correct === known, `${size} items: ${strict.correct} right`);
    }
    const [start, fewer, all] = runs;
    console.log(
      "| items | right, as known | right, as scored | seconds | processor time, s | greatest memory, MiB |\n| ----: | --------------: | ---------------: | ------: | ----------------: | -------------------: |",
    );
    for (const { size, known, right, seconds, cpu, mib } of runs)
      console.log(
        `| ${size} | ${known} | ${right} | ${seconds.toFixed(2)} | ${cpu.toFixed(2)} | ${mib.toFixed(0)} |`,
      );
    const bare = [fileURLToPath(import.meta.url), "--bare", url, String(items), values.concurrency];
    const { stdout } = await promisify(execFile)(process.execPath, bare);
    const client = Number(stdout);
    const perItem = ((all.cpu - start.cpu) / (all.size - start.size)) * 1000;
    console.log(
      `\nan item takes ${perItem.toFixed(3)} ms of processor time, of which ${client.toFixed(3)} ms are the HTTP client's (the same requests in a bare loop): the harness costs ${(perItem - client).toFixed(3)} ms`,
    );
    console.log(
      `${all.size - fewer.size} more items take ${(all.mib - fewer.mib).toFixed(0)} MiB more, with a heap of at most ${heap} MiB`,
    );
    need(perItem - client < 1, `an item costs ${(perItem - client).toFixed(3)} ms`);
    need(all.mib - fewer.mib < 40, `memory grows by ${(all.mib - fewer.mib).toFixed(0)} MiB`);

    await counts(true);
    const suite = join(folder, `suite-${items}.jsonl`);
    const killed = await bench(suite, url, options, async () => (await counts()).asked > items * 0.4);
    need(killed.code !== 0, "the run ended before it was killed");
    const before = await counts();
    const resumed = await bench(suite, url, options);
    const after = await counts();
    const kept = resumed.report?.models[0].totals.kept ?? 0;
    const again = after.asked - after.different;
    console.log(
      `killed after ${before.asked} requests; the same command again kept ${kept} answers and repeated ${again}, which were under way`,
    );
    need(resumed.report?.models[0].totals.answered === items, "answers are missing after the resume");
    need(again <= Number(values.concurrency), `${again} requests were repeated`);
    need(before.asked - kept <= Number(values.concurrency), `${before.asked - kept} answers were lost`);
  } finally {
    await worker.terminate();
    rmSync(folder, { recursive: true, force: true });
  }
  for (const failure of failures) console.error(`FAILED: ${failure}`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}
