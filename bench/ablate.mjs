// The ablations of the method, each with the same seeds: `npm run ablate -- [OPTIONS]`.
//   --file DOCUMENT --tasks TASKS   default: the Petstore example
//   --seeds 0,1,2                   one run per variant and seed
//   --variants full,shared,…        default: all of them
//   --parallel N                    runs at a time (default 1); they share the processor
//   --config FILE                   JSON with deviations that every variant has
//   --model NAME --python PATH      as for `specdojo bootstrap`
//   --out DIR                       the runs' folders (default runs/ablate): finished ones are kept, others resumed
//   --results FILE                  default bench/results/ablate.json
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build, checkNode, installPackages, root } from "../scripts/install.mjs";

const variants = {
  full: { title: "full", change: {} },
  shared: { title: "shared weights", change: { sharedWeights: true, supervisedBaseline: false } },
  frozen: { title: "frozen Generator", change: { frozenGenerator: true, supervisedBaseline: false } },
  "no-difficulty": {
    title: "no difficulty reward",
    change: { difficultyReward: false, supervisedBaseline: false },
  },
  "no-anchor": { title: "no gold anchor", change: { goldAnchor: false, supervisedBaseline: false } },
  free: { title: "free answers", change: { answer: "free", supervisedBaseline: false } },
  verified: {
    title: "verified answers too",
    change: { solver: { goldWeight: 0.5 }, supervisedBaseline: false },
  },
  "no-replay": { title: "no replay", change: { solver: { replay: 0 }, supervisedBaseline: false } },
  supervised: { title: "supervised", change: { method: "supervised", supervisedBaseline: false } },
};

const options = readOptions();
checkNode();
const prepared = (await installPackages()) || (await build());
if (prepared !== 0) process.exit(prepared);

let stopped = false;
// Ctrl-C reaches the runs as well, which stop cleanly; what is finished is still shown.
process.on("SIGINT", () => {
  stopped = true;
});

const jobs = options.variants.flatMap((variant) => options.seeds.map((seed) => ({ variant, seed })));
await mkdir(options.out, { recursive: true });
const queue = [...jobs];
const failed = [];
await Promise.all(
  Array.from({ length: options.parallel }, async () => {
    for (let job = queue.shift(); job !== undefined && !stopped; job = queue.shift()) {
      const problem = await bring(job);
      if (problem !== undefined) failed.push(`${job.variant}, seed ${job.seed}: ${problem}`);
    }
  }),
);
const results = (await Promise.all(jobs.map(resultOf))).filter((result) => result !== undefined);
console.log(`\n${table(results)}`);
await mkdir(dirname(options.results), { recursive: true });
await writeFile(options.results, `${JSON.stringify(summary(results), undefined, 2)}\n`);
console.log(`\n${relative(".", options.results)}`);
for (const line of failed) console.error(`FAILED  ${line}`);
if (results.length < jobs.length) console.error(`${results.length} of ${jobs.length} runs are finished.`);
process.exitCode = results.length < jobs.length ? 1 : 0;

function wrong(message) {
  console.error(message);
  process.exit(1);
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      file: { type: "string", default: "examples/petstore/openapi.yaml" },
      tasks: { type: "string", default: "examples/petstore/tasks.jsonl" },
      seeds: { type: "string", default: "0,1,2" },
      variants: { type: "string", default: Object.keys(variants).join() },
      parallel: { type: "string", default: "1" },
      config: { type: "string" },
      model: { type: "string", default: "bundled" },
      python: { type: "string" },
      out: { type: "string", default: "runs/ablate" },
      results: { type: "string", default: "bench/results/ablate.json" },
    },
  });
  const seeds = values.seeds.split(",").map(Number);
  const names = values.variants.split(",");
  const parallel = Number(values.parallel);
  const unknown = names.filter((name) => !Object.hasOwn(variants, name));
  if (unknown.length > 0)
    wrong(
      `--variants: there is no ${unknown.join(", ")}; the variants are ${Object.keys(variants).join(", ")}`,
    );
  if (seeds.some((seed) => !Number.isSafeInteger(seed) || seed < 0))
    wrong("--seeds: give whole numbers, such as 0,1,2");
  if (!Number.isSafeInteger(parallel) || parallel < 1) wrong("--parallel: give a number from 1 on");
  const { out, results, file, tasks } = values;
  return {
    ...values,
    seeds,
    variants: names,
    parallel,
    ...Object.fromEntries(
      Object.entries({ out, results, file, tasks }).map(([key, path]) => [key, resolve(root, path)]),
    ),
  };
}

function folderOf({ variant, seed }) {
  return join(options.out, `${variant}-${seed}`);
}

async function readJson(path) {
  const text = await readFile(path, "utf8").catch((error) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined ? undefined : JSON.parse(text);
}

/** Deviations with others on top; both may deviate within the same part of the configuration. */
function merged(below, above) {
  const { solver } = above;
  return { ...below, ...above, ...(solver === undefined ? {} : { solver: { ...below.solver, ...solver } }) };
}

/** Brings one run to its end; resolves to what went wrong, if anything did. */
async function bring(job) {
  const dir = folderOf(job);
  const wanted = {
    file: options.file,
    tasks: options.tasks,
    model: options.model,
    config: merged(
      options.config === undefined ? {} : await readJson(resolve(options.config)),
      variants[job.variant].change,
    ),
  };
  const run = await readJson(join(dir, "run.json"));
  const made = await readJson(`${dir}.json`);
  if (run !== undefined && JSON.stringify(made) !== JSON.stringify(wanted))
    return `${relative(".", dir)} was run with other options (see ${relative(".", `${dir}.json`)}); name another --out`;
  if (run?.position.phase === "done") {
    console.log(`kept      ${job.variant}, seed ${job.seed}`);
    return undefined;
  }
  await writeFile(`${dir}.json`, `${JSON.stringify(wanted)}\n`);
  const config = `${dir}.config.json`;
  await writeFile(config, `${JSON.stringify(wanted.config)}\n`);
  const python = options.python === undefined ? [] : ["--python", options.python];
  const args =
    run === undefined
      ? [
          "bootstrap",
          options.file,
          "--out",
          dir,
          "--tasks",
          options.tasks,
          "--config",
          config,
          "--seed",
          String(job.seed),
          "--model",
          options.model,
        ]
      : ["resume", dir];
  console.log(`${run === undefined ? "begun   " : "resumed "}  ${job.variant}, seed ${job.seed}`);
  const begun = performance.now();
  const code = await specdojo([...args, ...python], `${dir}.log`);
  const minutes = ((performance.now() - begun) / 60_000).toFixed(1);
  if (code !== 0) return `exit code ${code} after ${minutes} minutes; see ${relative(".", `${dir}.log`)}`;
  console.log(`finished  ${job.variant}, seed ${job.seed} (${minutes} min)`);
  return undefined;
}

/** Runs the command with its output appended to a file. */
function specdojo(args, log) {
  const threads = Math.max(1, Math.floor(availableParallelism() / options.parallel));
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(root, "dist", "cli.js"), ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...(options.parallel > 1 ? { OMP_NUM_THREADS: String(threads) } : {}) },
    });
    const file = createWriteStream(log, { flags: "a" });
    child.stdout.pipe(file, { end: false });
    child.stderr.pipe(file, { end: false });
    child.on("error", (error) => file.write(`${error.message}\n`));
    child.on("close", (code) => file.end(() => done(code ?? 1)));
  });
}

/** The numbers of a finished run; shares in [0, 1]. */
async function resultOf(job) {
  const dir = folderOf(job);
  const run = await readJson(join(dir, "run.json"));
  if (run?.position.phase !== "done") return undefined;
  const { overall, otherApis, baselines, tasks } = await readJson(join(dir, "evaluation.json"));
  return {
    ...job,
    tasks: tasks.count,
    base: overall.base.accuracy,
    after: overall.tuned.accuracy,
    difference: overall.difference.value,
    interval: [overall.difference.low, overall.difference.high],
    otherApisLost: otherApis === null ? null : otherApis.base - otherApis.tuned,
    supervisedBaseline: baselines[0]?.summary.accuracy ?? null,
    seconds: run.seconds,
  };
}

function median(values) {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  if (sorted.length === 0) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function table(results) {
  const columns = [
    ["before, %", "base", 100],
    ["after, %", "after", 100],
    ["difference, points", "difference", 100],
    ["other APIs lost, points", "otherApisLost", 100],
    ["supervised on the same tasks, %", "supervisedBaseline", 100],
    ["minutes", "seconds", 1 / 60],
  ];
  const show = (value, factor) => (value === null ? "–" : (value * factor).toFixed(1));
  const row = (cells) => `| ${cells.join(" | ")} |`;
  return [
    `Median (seeds ${options.seeds.join(", ")}); ${results[0]?.tasks ?? 0} tasks, ${relative(root, options.file)}`,
    "",
    row(["variant", ...columns.map(([title]) => title)]),
    row(["---", ...columns.map(() => "---:")]),
    ...options.variants.map((variant) => {
      const own = results.filter((result) => result.variant === variant);
      const cells = columns.map(([, key, factor]) => {
        const values = own.map((result) => result[key]);
        return `${show(median(values), factor)} (${values.map((value) => show(value, factor)).join(", ")})`;
      });
      return row([variants[variant].title, ...(own.length === 0 ? columns.map(() => "–") : cells)]);
    }),
  ].join("\n");
}

function summary(results) {
  return {
    document: relative(root, options.file),
    tasks: relative(root, options.tasks),
    model: options.model,
    config: options.config === undefined ? {} : relative(root, resolve(options.config)),
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), node: process.version },
    results,
  };
}
