// `npm run test:kills -- [--kills 50] [--seed 1] [--python PATH] [--keep DIR] [--only PARTS]`: what may happen to a run, done to
// a small one. `kills`: at random moments (its worker, its command, both; some while a checkpoint is being written), resumed
// each time. `clients`: two commands share one worker, and one of them vanishes. `memory` is short, and the `disk` full, where
// the system allows a mount of our own. Every run must end with the bytes that an undisturbed one gives, and leave no process,
// port or shared memory behind.
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureEnvironment } from "../dist/backend/environment.js";
import { root } from "./install.mjs";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
    python: { type: "string", default: process.env.SPECDOJO_TEST_PYTHON ?? "" },
    keep: { type: "string", default: "" },
    only: { type: "string", default: "kills,clients,memory,disk" },
    inside: { type: "string", default: "" },
  },
});
const wanted = Number(values.kills);
const cli = join(root, "dist", "cli.js");
/** Two iterations, so that the second depends on the first: the opponent, what it was measured on, both optimizers. */
const config = {
  iterations: 2,
  checkpointEvery: 1,
  temperature: 1.1,
  generator: { steps: 1, groups: 2, groupSize: 3, probes: 2, maxTokens: 40 },
  candidates: { specs: 12, perSpec: 1, probes: 3, keep: 6 },
  solver: { steps: 2, groups: 2, groupSize: 4, maxTokens: 40, replay: 2 },
};
const task = { question: "Show pet 7.", gold: [{ name: "getPetById", arguments: { petId: 7 } }] };
/** By then the worker is up. */
const ready = "starting the worker  1/1";
/** By then self-play is over. */
const end = "for comparison";

/** Uniform in [0, 1), the same for the same seed (mulberry32). */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const seconds = () => performance.now() / 1000;

function kill(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}

/** Processes whose command line names the run's folder, zombies aside. */
async function processesOf(run) {
  const found = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    if (line.includes(run) && Number(pid) !== process.pid && !/\) Z /.test(status))
      found.push({ pid: Number(pid), worker: line.includes("specdojo_worker") });
  }
  return found;
}
const workersOf = async (run) =>
  (await processesOf(run)).filter(({ worker }) => worker).map(({ pid }) => pid);

/** Sockets that a process listens on. */
async function listens(pid) {
  const table = await readFile(`/proc/${pid}/net/tcp`, "utf8").catch(() => "");
  const inodes = new Map(
    table
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((row) => row[3] === "0A")
      .map((row) => [row[9], Number.parseInt(row[1].split(":")[1], 16)]),
  );
  const ports = [];
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
    const port = inodes.get(/socket:\[(\d+)\]/.exec(target)?.[1]);
    if (port !== undefined) ports.push(port);
  }
  return ports;
}

const isOpen = async (port) =>
  fetch(`http://127.0.0.1:${port}/api/v1/healthz`).then(
    () => true,
    () => false,
  );

/**
 * Runs the command until self-play is over or it ends. `disturb` is called at its start, and with what it has written once the
 * worker is up.
 */
function specdojo(args, { env = {}, atStart = () => undefined, atWork = () => undefined } = {}) {
  return new Promise((done) => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", OMP_NUM_THREADS: "1", ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const state = { pid: child.pid, text: "", finished: false, ended: false };
    let works = false;
    child.stderr.setEncoding("utf8").on("data", (chunk) => {
      state.text += chunk;
      if (!works && state.text.includes(ready)) {
        works = true;
        atWork(state);
      }
      if (state.finished || !state.text.includes(end)) return;
      state.finished = true;
      child.kill("SIGINT");
    });
    child.on("close", (code) => {
      state.ended = true;
      done({ code, ...state });
    });
    atStart(state);
  });
}

/** What self-play has made: each file with its hash, the trained Solver and both optimizers among them. */
async function results(run, checkpoints = join(run, "checkpoints")) {
  const found = {};
  const add = (name, data) => {
    found[name] = createHash("sha256").update(data).digest("hex");
  };
  for (let i = 1; i <= config.iterations; i++)
    for (const name of await readdir(join(run, `iteration-${i}`)))
      add(`iteration-${i}/${name}`, await readFile(join(run, `iteration-${i}`, name)));
  for (const name of ["generator.jsonl", "rollouts.jsonl"]) add(name, await readFile(join(run, name)));
  const metrics = (await readFile(join(run, "metrics.jsonl"), "utf8")).split("\n");
  add("metrics.jsonl", metrics.filter((line) => !line.includes('"role":"baseline"')).join("\n"));
  const { opponents, checkpoints: last } = JSON.parse(await readFile(join(run, "run.json"), "utf8"));
  for (const [role, path] of Object.entries({ ...last, sampler: opponents.at(-1) })) {
    if (role === "baseline") continue;
    const folder = join(checkpoints, path.replace("tinker://", ""));
    const files = (await readdir(folder)).filter((name) => name.endsWith(".safetensors"));
    if (files.length === 0) throw new Error(`${folder} holds no weights`);
    for (const name of files) add(`${role}/${name}`, await readFile(join(folder, name)));
  }
  return found;
}

function compare(name, found, want) {
  const different = [...new Set([...Object.keys(found), ...Object.keys(want)])].filter(
    (k) => found[k] !== want[k],
  );
  if (different.length > 0)
    throw new Error(`${name} differs from the undisturbed run in ${different.join(", ")}`);
  console.log(`${name}: ${Object.keys(found).length} files equal those of the undisturbed run`);
}

const begun = async (run) => (await readFile(join(run, "run.json"), "utf8").catch(() => "")) !== "";
/** Where the run stands: the phase of its next step, `start` before there is any. */
const phaseOf = async (run) =>
  (await begun(run)) ? JSON.parse(await readFile(join(run, "run.json"), "utf8")).position.phase : "start";

/** Nothing of the run may be alive, nor any of its ports open. */
async function nothingIsLeft(run, ports) {
  let left = [];
  for (const patience = seconds() + 120; seconds() < patience; await sleep(200)) {
    left = await processesOf(run);
    if (left.length === 0) break;
  }
  if (left.length > 0) throw new Error(`processes are left: ${left.map(({ pid }) => pid).join(", ")}`);
  for (const port of ports) if (await isOpen(port)) throw new Error(`port ${port} is still open`);
}

const folder = values.inside || values.keep || (await mkdtemp(join(tmpdir(), "specdojo-kills-")));
const { python } = await ensureEnvironment(values.python === "" ? {} : { python: values.python });
const bootstrap = (out, given = python) => [
  ...["bootstrap", join(root, "examples", "petstore", "openapi.yaml"), "--seed", "4", "--out", out],
  ...["--config", join(folder, "config.json"), "--tasks", join(folder, "tasks.jsonl"), "--python", given],
];
const resume = (out, given = python) => ["resume", out, "--python", given];
const next = async (out, given) => ((await begun(out)) ? resume(out, given) : bootstrap(out, given));

/** Waits until a checkpoint is being written: its draft lies beside its place. */
async function writing(checkpoints, state, skip) {
  const seen = new Set();
  while (!state.ended && !state.finished) {
    for (const run of await readdir(checkpoints).catch(() => []))
      for (const kind of await readdir(join(checkpoints, run)).catch(() => []))
        for (const name of await readdir(join(checkpoints, run, kind)).catch(() => [])) {
          if (name.startsWith(".tmp-")) seen.add(name);
          if (seen.size > skip) return true;
        }
    await sleep(5);
  }
  return false;
}

async function killed(want, length) {
  const random = randomFrom(Number(values.seed));
  const victims = { worker: 0, command: 0, both: 0 };
  const moments = {};
  let [kills, runs, resumed] = [0, 0, 0];
  while (kills < wanted) {
    const out = join(folder, `run-${runs++}`);
    for (;;) {
      const enough = kills >= wanted;
      const victim = ["worker", "command", "both"][Math.floor(random() * 3)];
      const [which, when] = [random(), random()];
      const ports = [];
      let hit = false;
      let shot = Promise.resolve();
      const shoot = async (state, workers, moment) => {
        if (state.ended || state.finished) return;
        hit = true;
        // Before there is a worker only the command can be killed.
        if (victim !== "command") for (const pid of workers) kill(pid);
        if (victim !== "worker" || workers.length === 0) kill(state.pid);
        victims[workers.length === 0 ? "command" : victim] += 1;
        const name = moment ?? (await phaseOf(out));
        moments[name] = (moments[name] ?? 0) + 1;
        kills += 1;
      };
      const starting = async (state) => {
        await sleep(1000 * when * length.start);
        await shoot(state, await workersOf(out), "starting");
      };
      const working = async (state) => {
        const workers = await workersOf(out);
        for (const pid of workers) ports.push(...(await listens(pid)));
        if (which < 0.4) {
          if (await writing(join(out, "checkpoints"), state, Math.floor(3 * when)))
            await shoot(state, workers, "checkpoint");
          return;
        }
        await sleep(1000 * when * 0.6 * length.work);
        await shoot(state, workers);
      };
      const { code, text, finished } = await specdojo(await next(out), {
        atStart: (state) => {
          if (!enough && which < 0.15) shot = starting(state);
        },
        atWork: (state) => {
          if (!enough && which >= 0.15) shot = working(state);
        },
      });
      await shot;
      if (!hit && !finished) throw new Error(`${out} ended by itself with ${code}:\n${text.slice(-2000)}`);
      await nothingIsLeft(out, ports);
      if (finished) break;
      if (await begun(out)) resumed += 1;
      else await rm(out, { recursive: true, force: true });
    }
    compare(`run ${runs}, ${kills} kills so far`, await results(out), want);
    await rm(out, { recursive: true, force: true });
  }
  const list = (counts) =>
    Object.entries(counts)
      .map(([name, count]) => `${count} ${name}`)
      .join(", ");
  console.log(`${kills} kills (${list(victims)}), ${resumed} times resumed, ${runs} runs ended`);
  console.log(`moments: ${list(moments)}`);
  const missed = ["starting", "generator", "candidates", "solver", "checkpoint"].filter(
    (name) => moments[name] === undefined,
  );
  if (wanted >= 50 && missed.length > 0)
    throw new Error(`nothing was killed at: ${missed.join(", ")}; take another --seed`);
}

/** Two commands on one worker of our own. One is killed at work, and goes on when the worker has forgotten it. */
async function clients(want) {
  const state = join(folder, "shared");
  const key = `tml-${randomBytes(16).toString("hex")}`;
  const worker = spawn(
    python,
    [
      ...["-m", "specdojo_worker", "--state-dir", state, "--device", "cpu", "--threads", "1"],
      ...["--session-timeout", "60"],
    ],
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        OMP_NUM_THREADS: "1",
        PYTHONPATH: join(root, "worker"),
        SPECDOJO_WORKER_TOKEN: key,
      },
    },
  );
  const gone = new Promise((done) => worker.on("exit", done));
  let log = "";
  worker.stderr.setEncoding("utf8").on("data", (chunk) => {
    log += chunk;
  });
  const { port } = JSON.parse(
    await new Promise((done, failed) => {
      worker.stdout.setEncoding("utf8").once("data", done);
      worker.on("exit", () => failed(new Error(`the worker did not start:\n${log}`)));
    }),
  );
  const there = ["--backend-url", `http://127.0.0.1:${port}`, "--backend-kind", "local"];
  const env = { TINKER_API_KEY: key };
  const [stays, vanishes] = [join(folder, "client-1"), join(folder, "client-2")];
  const first = specdojo([...bootstrap(stays), ...there], { env });
  const second = await specdojo([...bootstrap(vanishes), ...there], {
    env,
    atWork: async (command) => {
      while ((await phaseOf(vanishes)) !== "solver" && !command.ended) await sleep(20);
      kill(command.pid);
    },
  });
  if (second.finished) throw new Error("the second client ended before it could vanish");
  if (!(await first).finished)
    throw new Error(`the first client failed:\n${(await first).text.slice(-2000)}`);
  for (const patience = seconds() + 120; seconds() < patience; await sleep(500))
    if (/no request for .* its models are unloaded/.test(log)) break;
  if (!/its models are unloaded/.test(log)) throw new Error("the worker keeps a client that has vanished");
  const again = await specdojo([...resume(vanishes), ...there], { env });
  if (!again.finished) throw new Error(`the second client failed:\n${again.text.slice(-2000)}`);
  compare("two clients: the one that stayed", await results(stays, state), want);
  compare("two clients: the one that vanished and came back", await results(vanishes, state), want);
  worker.kill("SIGTERM");
  await gone;
  if (await isOpen(port)) throw new Error(`port ${port} is still open`);
}

/** The worker may use a little more memory each time that it had too little. */
async function shortMemory(want, peak) {
  const out = join(folder, "memory");
  const limit = join(folder, "memory-limit");
  const wrapper = join(folder, "python");
  await writeFile(wrapper, `#!/bin/sh\nulimit -v "$(cat '${limit}')" && exec '${python}' "$@"\n`);
  await chmod(wrapper, 0o755);
  const step = Math.ceil((peak.end - peak.ready) / 6);
  let times = 0;
  for (let size = peak.ready + step; ; size += step) {
    await writeFile(limit, String(size));
    const { code, text, finished } = await specdojo(await next(out, wrapper));
    await nothingIsLeft(out, []);
    if (finished) break;
    if (code !== 1 || !/memory|bad_alloc/i.test(text))
      throw new Error(`too little memory ended the run with ${code}:\n${text.slice(-2000)}`);
    times += 1;
  }
  if (times === 0) throw new Error("the memory was never short");
  compare(`memory was short ${times} times`, await results(out), want);
}

/** In a mount namespace of our own: the run's disk grows by a little each time that it was full. */
async function fullDisk() {
  const out = join(folder, "full");
  await mkdir(out);
  const step = 40;
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${step}m`, "tmpfs", out]);
  for (let times = 0; ; times++) {
    const { code, text, finished } = await specdojo(await next(out));
    if (finished) {
      console.log(`the disk was full ${times} times`);
      process.stdout.write(`${JSON.stringify(await results(out))}\n`);
      return times > 0 ? 0 : 1;
    }
    if (code !== 1 || !/no space/i.test(text))
      throw new Error(`a full disk ended the run with ${code}:\n${text.slice(-2000)}`);
    execFileSync("mount", ["-o", `remount,size=${step * (times + 2)}m`, out]);
  }
}

async function disk(want) {
  try {
    execFileSync("unshare", ["-Urm", "true"], { stdio: "ignore" });
  } catch {
    console.log("full disk skipped: no mount of our own is allowed here (unshare -Urm)");
    return;
  }
  const script = fileURLToPath(import.meta.url);
  const said = execFileSync(
    "unshare",
    ["-Urm", process.execPath, script, "--inside", folder, "--python", python],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 2 ** 26 },
  );
  const [times, found] = said.trim().split("\n").slice(-2);
  compare(times, JSON.parse(found), want);
}

if (values.inside !== "") process.exit(await fullDisk());

await mkdir(folder, { recursive: true });
await writeFile(join(folder, "config.json"), JSON.stringify(config));
await writeFile(join(folder, "tasks.jsonl"), JSON.stringify(task));
const shared = await readdir("/dev/shm").catch(() => []);

const whole = join(folder, "whole");
const began = seconds();
const length = { start: 0, work: 0 };
const peak = { ready: 0, end: 0 };
const memory = async (pid) =>
  Number(/VmPeak:\s*(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, "utf8").catch(() => ""))?.[1] ?? 0);
const first = await specdojo(bootstrap(whole), {
  atWork: async (state) => {
    length.start = seconds() - began;
    const [worker] = await workersOf(whole);
    for (peak.ready = await memory(worker); !state.ended; await sleep(250))
      peak.end = Math.max(peak.end, await memory(worker));
  },
});
if (!first.finished) throw new Error(`the undisturbed run ended early:\n${first.text.slice(-2000)}`);
length.work = seconds() - began - length.start;
const want = await results(whole);
console.log(
  `undisturbed: ${length.start.toFixed(0)} s until the worker is up, then ${length.work.toFixed(0)} s; ${Object.keys(want).length} files`,
);
const parts = {
  kills: () => killed(want, length),
  clients: () => clients(want),
  memory: () => shortMemory(want, peak),
  disk: () => disk(want),
};
for (const name of values.only.split(",")) await parts[name]();
const leaked = (await readdir("/dev/shm").catch(() => [])).filter(
  (name) => !shared.includes(name) && /torch|specdojo|psm_/.test(name),
);
if (leaked.length > 0) throw new Error(`shared memory is left: ${leaked.join(", ")}`);
if (values.keep === "") await rm(folder, { recursive: true, force: true });
console.log(`passed in ${((seconds() - began) / 60).toFixed(0)} minutes`);
