// Estimate against reality: plans the Petstore run as `specdojo bootstrap --plan` does, then makes the run, phase by phase.
//
//   npm run build
//   node bench/plan.mjs [--model DIR] [--clock wall|processor] [--config FILE] [--seed N] [--python PATH] [--only-plan]
//
// With the clock `processor`, times are those that this process and the worker compute (Linux): with one thread on a busy
// machine they are what the clock on the wall would show on a free one.
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    clock: { type: "string", default: "wall" },
    config: { type: "string" },
    model: { type: "string", default: "bundled" },
    seed: { type: "string", default: "0" },
    python: { type: "string" },
    "only-plan": { type: "boolean", default: false },
  },
});
const root = fileURLToPath(new URL("..", import.meta.url));
const { bootstrapAgent, planRun, startWorker } = await import(join(root, "dist", "index.js"));
const { renderPlan, duration } = await import(join(root, "dist", "cli", "plan.js"));

let worker;
/** Milliseconds. Ticks of /proc are hundredths of a second. */
function processor() {
  const { user, system } = process.cpuUsage();
  const own = (user + system) / 1000;
  if (worker === undefined) return own;
  const fields = readFileSync(`/proc/${worker.pid}/stat`, "utf8").split(") ").at(-1).split(" ");
  return own + 10 * (Number(fields[11]) + Number(fields[12]));
}
const now = values.clock === "processor" ? processor : () => performance.now();

const document = join(root, "examples", "petstore", "openapi.yaml");
const options = {
  seed: Number(values.seed),
  model: values.model,
  tasks: await readFile(join(root, "examples", "petstore", "tasks.jsonl"), "utf8"),
  ...(values.config === undefined ? {} : { config: JSON.parse(await readFile(values.config, "utf8")) }),
};
const folder = await mkdtemp(join(tmpdir(), "specdojo-bench-plan-"));
const start = (name) =>
  startWorker({
    stateDir: join(folder, name),
    ...(values.python === undefined ? {} : { python: values.python }),
  });

try {
  worker = await start("plan");
  const plan = await planRun(document, { ...options, backend: worker, now });
  await worker.close();
  worker = undefined;
  process.stdout.write(renderPlan(plan));
  if (values["only-plan"]) process.exit(0);

  worker = await start("run");
  const took = new Map();
  let current;
  const turn = (name) => {
    const at = now();
    if (current !== undefined) took.set(current.name, (took.get(current.name) ?? 0) + at - current.begun);
    current = { name: name.replace(/^iteration \d+\/\d+: /, ""), begun: at };
  };
  const progress = { phase: (name) => turn(name), update() {}, line() {} };
  const agent = await bootstrapAgent(document, {
    ...options,
    out: join(folder, "run"),
    backend: worker,
    progress,
  });
  turn("");
  await agent.close();
  await worker.close();

  const estimated = (...names) =>
    plan.estimate.phases
      .filter(({ name }) => names.includes(name))
      .reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = [
    ["training the Generator", estimated("Generator training", "Generator training: Solver probes")],
    ["writing and verifying tasks", estimated("writing tasks", "Solver probes of the tasks")],
    ["training the Solver", estimated("Solver training")],
    ["for comparison: supervised training on the same tasks", estimated("supervised comparison")],
  ];
  const real = [...took.values()].reduce((sum, milliseconds) => sum + milliseconds, 0) / 1000;
  process.stdout.write("| phase | estimate | run |\n| --- | ---: | ---: |\n");
  for (const [name, seconds] of rows)
    process.stdout.write(`| ${name} | ${duration(seconds)} | ${duration((took.get(name) ?? 0) / 1000)} |\n`);
  const rest = real - rows.reduce((sum, [name]) => sum + (took.get(name) ?? 0) / 1000, 0);
  const expected = estimated("starting", "measuring", "checkpoints");
  process.stdout.write(
    `| starting, measuring, checkpoints, export | ${duration(expected)} | ${duration(rest)} |\n`,
  );
  process.stdout.write(`| together | ${duration(plan.estimate.total.seconds)} | ${duration(real)} |\n`);
} finally {
  await worker?.close().catch(() => undefined);
  await rm(folder, { recursive: true, force: true });
}
