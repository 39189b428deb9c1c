// `npm run test:skyrl`: SkyRL's server of the training API on the JAX CPU backend, with the bundled model, under our
// conformance suite and two self-play steps. SkyRL comes from the package registry, or from the checkout that SKYRL_DIR names;
// it is installed into a Python 3.12 environment of its own (SKYRL_ENV, default .skyrl in the user's cache folder).
// Exit codes: 0 passed, 1 failed, 77 skipped, because something is missing.
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { root, run } from "./install.mjs";

const version = "0.4.0";
const skipped = 77;
const { SKYRL_DIR, SKYRL_ENV, SKYRL_PYTHON } = process.env;
const environment = resolve(
  SKYRL_ENV ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "specdojo", `skyrl-${version}`),
);
const model = join(root, "worker", "base-model");

class Missing extends Error {}

function versionOf(python) {
  try {
    return execFileSync(python, ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
}

/** The environment's interpreter, with SkyRL in it. */
async function prepare() {
  const python = join(environment, "bin", "python");
  // Another SkyRL than the one that was asked for does not count.
  const wanted = SKYRL_DIR
    ? `pathlib.Path(skyrl.__file__).resolve().is_relative_to(pathlib.Path(${JSON.stringify(resolve(SKYRL_DIR))}).resolve())`
    : `metadata.version("skyrl") == ${JSON.stringify(version)}`;
  const program = `
import pathlib, sys
from importlib import metadata
import jax, skyrl, skyrl.tinker.api, skyrl.train.config
assert ${wanted}
print("SkyRL", metadata.version("skyrl"), "in", pathlib.Path(skyrl.__file__).parent)
print("Python", sys.version.split()[0], "jax", jax.__version__, "transformers", metadata.version("transformers"))`;
  const has = () => {
    try {
      const stdio = ["ignore", "pipe", "ignore"];
      console.log(execFileSync(python, ["-c", program], { encoding: "utf8", stdio }).trim());
      return true;
    } catch {
      return false;
    }
  };
  if (existsSync(python) && has()) return python;
  const candidates = SKYRL_PYTHON ? [SKYRL_PYTHON] : ["python3.12", "python3.13", "python3"];
  const base = candidates.find((name) => ["3.12", "3.13", "3.14"].includes(versionOf(name)));
  if (base === undefined)
    throw new Missing(`Python 3.12 (tried ${candidates.join(", ")}; SKYRL_PYTHON names another)`);
  if (SKYRL_DIR && !existsSync(join(SKYRL_DIR, "pyproject.toml")))
    throw new Missing(`a checkout of SkyRL at SKYRL_DIR=${SKYRL_DIR}`);
  await mkdir(environment, { recursive: true });
  const source = SKYRL_DIR ? `${resolve(SKYRL_DIR)}[tinker,jax]` : `skyrl[tinker,jax]==${version}`;
  console.log(`installing ${source} into ${environment}`);
  const made = (await run(base, ["-m", "venv", environment])) === 0;
  // The server and the configuration of its other engines import these, which the two extras of 0.4.0 do not name.
  const unnamed = ["aiohttp", "psutil", "omegaconf", "loguru", "pybase64", "skyrl-gym"];
  const pip = ["-m", "pip", "install", "--quiet", ...unnamed, ...(SKYRL_DIR ? ["-e"] : []), source];
  if (!made || (await run(python, pip)) !== 0 || !has())
    throw new Missing(`the packages of ${source} (the installation failed; see above)`);
  return python;
}

const freePort = () =>
  new Promise((done, failed) => {
    const probe = createServer();
    probe.on("error", failed);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });

/**
 * SkyRL's server expects to be started by `uv run -m skyrl.tinker.api` and starts its engine the same way. This stands in
 * for uv: it runs the module with the environment's own interpreter.
 */
const uv = (python) => `#!${python}
import subprocess, sys
arguments = sys.argv[1:]
sys.exit(subprocess.call([sys.executable, *arguments[arguments.index("-m"):]]))
`;

async function serve(python, folder) {
  const port = await freePort();
  const bin = join(folder, "bin");
  await mkdir(bin);
  await writeFile(join(bin, "uv"), uv(python), { mode: 0o755 });
  const server = spawn(
    join(bin, "uv"),
    [
      ...["run", "-m", "skyrl.tinker.api", "--host", "127.0.0.1", "--port", String(port)],
      ...["--base-model", model, "--backend", "jax"],
      ...[
        "--backend-config",
        JSON.stringify({ max_lora_adapters: 24, max_lora_rank: 4, enforce_eager: true }),
      ],
      ...["--checkpoints-base", join(folder, "checkpoints")],
      ...["--database-url", `sqlite:///${join(folder, "tinker.db")}`],
    ],
    {
      cwd: folder,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        PATH: `${bin}${delimiter}${process.env.PATH ?? ""}`,
        JAX_PLATFORMS: "cpu",
        // Every new shape is compiled, which takes most of the time here: no optimizations, and none twice.
        JAX_DISABLE_MOST_OPTIMIZATIONS: "1",
        JAX_COMPILATION_CACHE_DIR: join(environment, "jax-cache"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS: "0",
        HF_HUB_OFFLINE: "1",
        PYTHONUNBUFFERED: "1",
      },
    },
  );
  const log = [];
  for (const stream of [server.stdout, server.stderr])
    stream.setEncoding("utf8").on("data", (text) => log.push(text));
  const url = `http://127.0.0.1:${port}`;
  const end = () => {
    try {
      process.kill(-server.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  };
  process.on("exit", end);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  for (const limit = performance.now() + 600_000; ; ) {
    if (server.exitCode !== null || performance.now() > limit) {
      end();
      throw new Error(`SkyRL's server did not start:\n${log.join("").slice(-4000)}`);
    }
    const answer = await fetch(`${url}/api/v1/healthz`).catch(() => undefined);
    if (answer?.ok) return { url, end, log };
    await new Promise((later) => setTimeout(later, 500));
  }
}

/** Two self-play steps of each role; the run is stopped when they are done. */
async function selfPlay(url, folder) {
  const config = join(folder, "config.json");
  await writeFile(
    config,
    JSON.stringify({
      iterations: 1,
      loraRank: 4,
      generator: { steps: 2, groups: 2, groupSize: 3, probes: 2, maxTokens: 40 },
      candidates: { specs: 6, perSpec: 1, probes: 3, keep: 4 },
      solver: { steps: 2, groups: 2, groupSize: 3, maxTokens: 40, replay: 0 },
      supervisedBaseline: false,
    }),
  );
  const tasks = join(folder, "tasks.jsonl");
  const gold = [{ name: "getPetById", arguments: { petId: 7 } }];
  await writeFile(tasks, JSON.stringify({ question: "Show pet 7.", gold }));
  const out = join(folder, "run");
  const command = spawn(
    process.execPath,
    [
      ...[join(root, "dist", "cli.js"), "bootstrap", join(root, "examples", "petstore", "openapi.yaml")],
      ...["--model", model, "--backend-url", url, "--backend-kind", "skyrl"],
      ...["--config", config, "--tasks", tasks, "--out", out, "--seed", "1"],
    ],
    { stdio: ["ignore", "inherit", "pipe"] },
  );
  let said = "";
  command.stderr.setEncoding("utf8").on("data", (text) => {
    process.stderr.write(text);
    if (!said.includes("measuring") && (said + text).includes("measuring")) command.kill("SIGINT");
    said += text;
  });
  await new Promise((ended) => command.on("close", ended));
  const lines = (await readFile(join(out, "metrics.jsonl"), "utf8").catch(() => ""))
    .split("\n")
    .filter(Boolean);
  const steps = lines.map((line) => JSON.parse(line));
  const count = (role) => steps.filter((step) => step.role === role && step.phase === "train").length;
  console.log(`self-play: ${count("generator")} Generator steps, ${count("solver")} Solver steps`);
  return count("generator") >= 2 && count("solver") >= 2;
}

/** SkyRL's own parser must take the configurations of docs/scaling.md; without GPUs no more of them can be tried. */
async function checkCluster(python) {
  const text = await readFile(join(root, "docs", "scaling.md"), "utf8");
  const given = [...text.matchAll(/^config='(\{[^']*\})'$[\s\S]*?--backend (\w+)/gm)];
  const program = `
import json, sys
try:
    from skyrl.train.config import SkyRLTrainConfig
    model = {"trainer.policy.model.path": "m", "trainer.critic.model.path": "m", "trainer.policy.model.lora.rank": 16}
    found = SkyRLTrainConfig.from_cli_overrides({**json.loads(sys.argv[1]), **model, "trainer.strategy": sys.argv[2]})
except ImportError as error:
    sys.exit(print(f"not checked: {error.name} is missing here"))
placement, engines = found.trainer.placement, found.generator.inference_engine
assert not placement.colocate_all or placement.policy_num_nodes * placement.policy_num_gpus_per_node == engines.num_engines * engines.tensor_parallel_size
print("SkyRL's parser takes it")
`;
  if (given.length !== 2) throw new Error("docs/scaling.md does not have its two configurations");
  for (const [, config = "", backend = ""] of given) {
    const options = { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] };
    const said = execFileSync(python, ["-c", program, config, backend], options).trim().split("\n").at(-1);
    console.log(`docs/scaling.md, ${backend}: ${said}`);
  }
}

let python;
try {
  python = await prepare();
} catch (error) {
  if (!(error instanceof Missing)) throw error;
  console.log(`skipped: missing ${error.message}`);
  process.exit(skipped);
}
await checkCluster(python);
const folder = await mkdtemp(join(tmpdir(), "specdojo-skyrl-"));
const server = await serve(python, folder);
console.log(`SkyRL at ${server.url}`);
const suite = await run(
  process.execPath,
  [join(root, "node_modules", "vitest", "vitest.mjs"), "run", "test/backend/conformance.test.ts"],
  {
    SPECDOJO_CONFORMANCE_URL: server.url,
    SPECDOJO_CONFORMANCE_PROFILE: "skyrl-jax",
    SPECDOJO_CONFORMANCE_MODEL: model,
  },
);
const played = await selfPlay(server.url, folder).catch((error) => {
  console.error(error);
  return false;
});
server.end();
await writeFile(join(tmpdir(), "specdojo-skyrl.log"), server.log.join(""));
await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
console.log(`conformance ${suite === 0 ? "passed" : "FAILED"}, self-play ${played ? "passed" : "FAILED"}`);
console.log(`server's log: ${join(tmpdir(), "specdojo-skyrl.log")}`);
process.exitCode = suite === 0 && played ? 0 : 1;
