// What the bundled model can do before any self-play: `npm run eval:base -- [OPTIONS]`. Prints the table of the model card.
//   --model NAME     bundled (default) or a folder of weights
//   --count N        requests of each made-up kind (default 100)
//   --data DIR       sample data with openapi-tasks/ and bench-samples/ (default ../shared/data; left out where missing)
//   --questions FILE writes the Generator's questions, to be read by a person
//   --python PATH    interpreter with the worker's packages
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";
import { build, checkNode, installPackages, root } from "../scripts/install.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "bundled" },
    count: { type: "string", default: "100" },
    data: { type: "string", default: "../shared/data" },
    questions: { type: "string" },
    python: { type: "string" },
  },
});
checkNode();
const prepared = (await installPackages()) || (await build());
if (prepared !== 0) process.exit(prepared);

const dist = (path) => import(join(root, "dist", path));
const { createAgent } = await dist("agent/index.js");
const { ensureEnvironment } = await dist("backend/environment.js");
const { evaluateModels, loadSuite, parseTasks, runBench, solverBenchModel, startLocalModels } =
  await dist("evaluate/index.js");
const { buildToolMenu, loadOpenApi } = await dist("openapi/index.js");
const { loadTokenizer } = await dist("rollout/tokenizer.js");
const { sampleGroups } = await dist("rollout/rollout.js");
const { createSpecGenerator, createVerifier, generatorMessages, isRejection } = await dist("task/index.js");
const { smallConfig } = await dist("train/index.js");

const kinds = {
  one: "one call",
  two: "two calls",
  three: "three calls",
  nested: "one call with an object among its arguments",
  thirty: "one call, 30 operations",
  none: "no tool serves it: no call",
  ask: "a value is missing: no call, a question back",
  talk: "conversation",
  unseen: "one call, wordings of held-out scenarios",
};

const python = options.python ?? (await ensureEnvironment()).python;
const work = await mkdtemp(join(tmpdir(), "specdojo-eval-"));
const local = await startLocalModels({ python });
try {
  const name = options.model === "bundled" ? options.model : resolve(options.model);
  const folder = options.model === "bundled" ? join(root, "worker", "base-model") : name;
  const tokenizer = await loadTokenizer(folder);
  const sampler = await local.backend.createSampler({ baseModel: folder });
  const { solver, style, maxTokens } = await local.open(name);
  const model = solverBenchModel("model", solver, { style, maxTokens });

  console.log("| set | right | of | share |\n|---|---|---|---|");
  await suites();
  console.log("| **made-up APIs, never seen** ||||");
  for (const [kind, title] of Object.entries(kinds)) await score(title, join(work, `${kind}.jsonl`));
  console.log("| **documents, tasks written by others; the 8 tools that a search shows** ||||");
  await document("Petstore, 40 questions", join(root, "examples", "petstore"));
  const tasks = join(options.data, "openapi-tasks");
  if (existsSync(tasks))
    for (const name of (await readdir(tasks)).sort()) await document(name, join(tasks, name));
  const samples = join(options.data, "bench-samples");
  if (existsSync(samples)) {
    console.log("| **samples of public suites, strict match** ||||");
    for (const name of (await readdir(samples)).sort())
      await score(basename(name, ".jsonl"), join(samples, name));
  }
  await generator();

  function row(title, right, of) {
    console.log(`| ${title} | ${right} | ${of} | ${of === 0 ? "" : (right / of).toFixed(2)} |`);
  }

  /** Writes the made-up suites with the corpus's own program. */
  async function suites() {
    const args = ["-m", "specdojo_worker.pretrain.samples", "--out", work, "--suites", options.count];
    await promisify(execFile)(python, args, { cwd: join(root, "worker") });
  }

  /** A suite, as `specdojo bench` asks and scores it. */
  async function score(title, file) {
    const items = await loadSuite(file);
    const report = await runBench({ suite: title, items, models: [model], seed: 0 });
    const { totals } = report.models[0];
    row(title, totals.strict.correct, totals.answered + totals.errors);
  }

  async function document(title, folder) {
    const menu = buildToolMenu(await loadOpenApi(join(folder, "openapi.yaml")));
    const file = join(folder, "tasks.jsonl");
    const agent = createAgent({
      menu,
      solver,
      style,
      maxTokens: smallConfig.solver.maxTokens,
      maxTools: smallConfig.maxTools,
    });
    const tasks = parseTasks(await readFile(file, "utf8"), file, menu);
    const { overall } = await evaluateModels({
      tasks,
      menu,
      models: { tuned: agent },
      origin: "user",
      seed: 0,
    });
    row(title, overall.tuned.correct, overall.tuned.tasks);
  }

  /** The untrained Generator on the documents: given calls, it writes questions. */
  async function generator() {
    const folders = [join(root, "examples", "petstore"), join(root, "examples", "dev")];
    let written = 0;
    let grounded = 0;
    let valid = 0;
    const lines = [];
    for (const folder of folders) {
      const menu = buildToolMenu(await loadOpenApi(join(folder, "openapi.yaml")));
      const specs = createSpecGenerator(menu, { seed: "eval-base", answer: "given" });
      const drawn = Array.from({ length: Number(options.count) }, () => specs.next());
      const groups = await sampleGroups(
        sampler,
        tokenizer,
        drawn.map((spec) => ({ id: spec.id, messages: generatorMessages(spec, menu, style) })),
        {
          count: 1,
          maxTokens: smallConfig.generator.maxTokens,
          temperature: smallConfig.temperature,
          seed: "eval-base",
        },
      );
      const verifier = createVerifier(menu);
      for (const [index, { samples }] of groups.entries()) {
        const { validity, question, result } = verifier.assess(drawn[index], samples[0].text);
        written++;
        grounded += Number(question !== null && validity.grounded > 1 - 1e-9);
        valid += Number(!isRejection(result));
        const outcome = isRejection(result) ? result.reason : "valid";
        lines.push(
          `${outcome}\t${question ?? samples[0].text}\t${JSON.stringify(drawn[index].answer.calls ?? drawn[index].answer)}`,
        );
      }
    }
    console.log("| **questions of the Generator for given calls, temperature 0.8** ||||");
    row("grounded: every value is said", grounded, written);
    row("valid: passes every check", valid, written);
    if (options.questions !== undefined) await writeFile(options.questions, `${lines.join("\n")}\n`);
  }
} finally {
  await local.close();
  await rm(work, { recursive: true, force: true });
}
