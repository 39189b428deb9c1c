// `npm run test:kills -- [--kills 50] [--seed 1] [--python PATH] [--keep DIR]`: kills a small self-play run at random moments
// (its worker, its command, both), resumes it each time, and fills its disk where the system allows a mount of our own.
// Every run must end with the bytes that an undisturbed one gives, and leave no process, port or shared memory behind.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { root } from "./install.mjs";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
    python: { type: "string", default: process.env.SPECDOJO_TEST_PYTHON ?? "" },
    keep: { type: "string", default: "" },
    inside: { type: "string", default: "" },
  },
});
const wanted = Number(values.kills);
const cli = join(root, "dist", "cli.js");
const config = {
  iterations: 1,
  checkpointEvery: 1,
  generator: { steps: 2, groups: 3, groupSize: 3, probes: 2, maxTokens: 40 },
  candidates: { specs: 8, perSpec: 1, probes: 3, keep: 6 },
  solver: { steps: 3, groups: 2, groupSize: 3, maxTokens: 40, replay: 2 },
};
const task = { question: "Show pet 7.", gold: [{ name: "getPetById", arguments: { petId: 7 } }] };
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

/** Runs the command until it ends, or until `limit` seconds and then does what `then` says. */
function specdojo(args, limit, then) {
  return new Promise((done) => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", OMP_NUM_THREADS: "1" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let text = "";
    let finished = false;
    let killed = false;
    const timer = setTimeout(async () => {
      if (finished) return;
      killed = true;
      await then(child.pid);
    }, limit * 1000);
    child.stderr.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      if (finished || killed || !text.includes(end)) return;
      finished = true;
      clearTimeout(timer);
      child.kill("SIGINT");
    });
    child.on("exit", (code) => {
      clearTimeout(timer);
      done({ code, text, finished, killed });
    });
  });
}

/** What self-play has made: each file with its hash, the trained Solver among them. */
async function results(run) {
  const found = {};
  const add = (name, data) => {
    found[name] = createHash("sha256").update(data).digest("hex");
  };
  for (const name of await readdir(join(run, "iteration-1")))
    add(name, await readFile(join(run, "iteration-1", name)));
  for (const name of ["generator.jsonl", "rollouts.jsonl"]) add(name, await readFile(join(run, name)));
  const metrics = (await readFile(join(run, "metrics.jsonl"), "utf8")).split("\n");
  add("metrics.jsonl", metrics.filter((line) => !line.includes('"role":"baseline"')).join("\n"));
  const manifest = JSON.parse(await readFile(join(run, "run.json"), "utf8"));
  const solver = join(run, "checkpoints", manifest.opponents.at(-1).replace("tinker://", ""));
  const weights = (await readdir(solver)).filter((name) => name.endsWith(".safetensors"));
  if (weights.length === 0) throw new Error(`${solver} holds no weights`);
  for (const name of weights) add(name, await readFile(join(solver, name)));
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

const python = values.python === "" ? [] : ["--python", values.python];
const bootstrap = (folder, out) => [
  ...["bootstrap", join(root, "examples", "petstore", "openapi.yaml"), "--seed", "4"],
  ...[
    "--config",
    join(folder, "config.json"),
    "--tasks",
    join(folder, "tasks.jsonl"),
    ...python,
    "--out",
    out,
  ],
];
const resume = (out) => ["resume", out, ...python];

/** In a mount namespace of our own: the run's disk grows by a little each time that it was full. */
async function fullDisk(folder) {
  const out = join(folder, "full");
  await mkdir(out);
  let size = 30;
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}m`, "tmpfs", out]);
  let args = bootstrap(folder, out);
  for (let times = 0; ; times++) {
    const { code, text, finished } = await specdojo(args, 3600, () => undefined);
    if (finished) {
      console.log(`the disk was full ${times} times`);
      process.stdout.write(`${JSON.stringify(await results(out))}\n`);
      return times > 0 ? 0 : 1;
    }
    if (code !== 1 || !/no space/i.test(text))
      throw new Error(`a full disk ended the run with ${code}:\n${text.slice(-2000)}`);
    size += 30;
    execFileSync("mount", ["-o", `remount,size=${size}m`, out]);
    args =
      (await readFile(join(out, "run.json"), "utf8").catch(() => "")) === ""
        ? bootstrap(folder, out)
        : resume(out);
  }
}

if (values.inside !== "") process.exit(await fullDisk(values.inside));

const folder = values.keep === "" ? await mkdtemp(join(tmpdir(), "specdojo-kills-")) : values.keep;
await mkdir(folder, { recursive: true });
await writeFile(join(folder, "config.json"), JSON.stringify(config));
await writeFile(join(folder, "tasks.jsonl"), JSON.stringify(task));
const random = randomFrom(Number(values.seed));
const shared = await readdir("/dev/shm").catch(() => []);

const whole = join(folder, "whole");
const started = performance.now();
const first = await specdojo(bootstrap(folder, whole), 7200, () => undefined);
if (!first.finished) throw new Error(`the undisturbed run ended early:\n${first.text.slice(-2000)}`);
const length = (performance.now() - started) / 1000;
const want = await results(whole);
console.log(`undisturbed: ${length.toFixed(0)} s`);

const count = { worker: 0, command: 0, both: 0 };
let kills = 0;
let runs = 0;
let resumed = 0;
while (kills < wanted) {
  const out = join(folder, `run-${runs++}`);
  let args = bootstrap(folder, out);
  for (;;) {
    // Later and later within a run, so that it gets on; never again once there are enough.
    const limit = kills < wanted ? 0.5 + random() * length * 0.35 : 7200;
    const victim = ["worker", "command", "both"][Math.floor(random() * 3)];
    let ports = [];
    const { code, text, finished, killed } = await specdojo(args, limit, async (command) => {
      const workers = (await processesOf(out)).filter(({ worker }) => worker);
      ports = (await Promise.all(workers.map(({ pid }) => listens(pid)))).flat();
      const kill = (pid) => {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // It has just ended.
        }
      };
      // Before there is a worker only the command can be killed.
      if (victim !== "command") for (const { pid } of workers) kill(pid);
      if (victim !== "worker" || workers.length === 0) kill(command);
      count[workers.length === 0 ? "command" : victim] += 1;
    });
    if (killed) kills += 1;
    else if (!finished) throw new Error(`${out} ended by itself with ${code}:\n${text.slice(-2000)}`);
    let left = [];
    for (const patience = performance.now() + 60_000; performance.now() < patience; await sleep(200)) {
      left = await processesOf(out);
      if (left.length === 0) break;
    }
    if (left.length > 0) throw new Error(`processes are left: ${left.map(({ pid }) => pid).join(", ")}`);
    for (const port of ports) if (await isOpen(port)) throw new Error(`port ${port} is still open`);
    if (finished) break;
    const begun = (await readFile(join(out, "run.json"), "utf8").catch(() => "")) !== "";
    if (!begun) await rm(out, { recursive: true, force: true });
    else resumed += 1;
    args = begun ? resume(out) : bootstrap(folder, out);
  }
  compare(`run ${runs}, ${kills} kills so far`, await results(out), want);
  await rm(out, { recursive: true, force: true });
}
console.log(
  `${kills} kills (${count.worker} worker, ${count.command} command, ${count.both} both), ${resumed} resumed, ${runs} runs ended`,
);

let full = "skipped: no mount of our own is allowed here (unshare -Urm)";
try {
  execFileSync("unshare", ["-Urm", "true"], { stdio: "ignore" });
} catch {
  console.log(`full disk ${full}`);
  full = "";
}
if (full !== "") {
  const script = fileURLToPath(import.meta.url);
  const said = execFileSync(
    "unshare",
    [
      "-Urm",
      process.execPath,
      script,
      "--inside",
      folder,
      ...(values.python === "" ? [] : ["--python", values.python]),
    ],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 2 ** 26 },
  ).trim();
  const lines = said.split("\n");
  compare(lines.at(-2) ?? "full disk", JSON.parse(lines.at(-1) ?? "{}"), want);
}
const leaked = (await readdir("/dev/shm").catch(() => [])).filter(
  (name) => !shared.includes(name) && /torch|specdojo|psm_/.test(name),
);
if (leaked.length > 0) throw new Error(`shared memory is left: ${leaked.join(", ")}`);
if (values.keep === "") await rm(folder, { recursive: true, force: true });
