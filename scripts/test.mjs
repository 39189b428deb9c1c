// `npm test`: installs what is missing, then builds and runs every check. Needs no network once installed.
// `npm test -- --python PATH` uses an interpreter that has the worker's packages and pytest.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { build, checkNode, installPackages, root, run, tool } from "./install.mjs";

checkNode();
const given = process.argv.indexOf("--python");
const wantedPython = given === -1 ? process.env.SPECDOJO_TEST_PYTHON : process.argv[given + 1];
const results = await mkdtemp(join(tmpdir(), "specdojo-test-"));
const vitestFile = join(results, "vitest.json");
const pytestFile = join(results, "pytest.xml");
const steps = [];

async function step(name, work) {
  console.log(`\n── ${name}`);
  const started = performance.now();
  let ok = false;
  try {
    ok = (await work()) === 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    if (error?.remedy) console.error(error.remedy);
  }
  steps.push({ name, ok, seconds: (performance.now() - started) / 1000 });
  return ok;
}

/** The worker is tested with these, where they can be had. */
const officialClients = ["tinker==0.38.0", "openai==3.54.0"];

/** The interpreter for the worker and its tests, with pytest. */
async function preparePython() {
  const module = pathToFileURL(join(root, "dist", "backend", "environment.js")).href;
  const { ensureEnvironment } = await import(module);
  const { python } = await ensureEnvironment({
    ...(wantedPython ? { python: wantedPython } : {}),
    onProgress: (line) => console.log(line),
  });
  const has = (module) => {
    try {
      execFileSync(python, ["-c", `import ${module}`], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  };
  if (wantedPython) {
    if (!has("pytest"))
      throw new Error(`${python} lacks pytest. Install it: ${python} -m pip install "pytest>=9"`);
    return python;
  }
  // Nothing of what the worker itself uses may change with them.
  const lock = ["--quiet", "--constraint", join(root, "worker", "requirements.lock")];
  const pip = has("pip") ? [python, "-m", "pip", "install"] : ["uv", "pip", "install", "--python", python];
  const install = (...packages) => run(pip[0], [...pip.slice(1), ...lock, ...packages]);
  if (!has("pytest") && (await install("pytest>=9,<10")) !== 0)
    throw new Error("pytest could not be installed. Check the network.");
  if (!(has("tinker") && has("openai")) && (await install(...officialClients)) !== 0)
    console.log(`${officialClients.join(" and ")} could not be installed: their tests are skipped.`);
  return python;
}

let python;
const installed = (await step("npm packages", installPackages)) && (await step("build", () => build(true)));
if (installed) {
  await step("Python environment", async () => {
    python = await preparePython();
    return 0;
  });
  await step("format and lint", () => tool("@biomejs/biome/bin/biome", "check", "."));
  await step("types", () => tool("typescript/bin/tsc", "-p", "tsconfig.json", "--noEmit"));
  await step("tests", () =>
    run(
      process.execPath,
      [
        join(root, "node_modules", "vitest", "vitest.mjs"),
        "run",
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${vitestFile}`,
      ],
      python ? { SPECDOJO_TEST_PYTHON: python } : {},
    ),
  );
  if (python !== undefined)
    await step("worker tests", () =>
      run(
        python,
        ["-m", "pytest", "worker/tests", "-q", "-rs", "-p", "no:cacheprovider", `--junitxml=${pytestFile}`],
        {
          PYTHONPATH: join(root, "worker"),
          PYTHONDONTWRITEBYTECODE: "1",
        },
      ),
    );
  await step("examples", () =>
    run(
      process.execPath,
      [join(root, "examples", "run.mjs")],
      python ? { SPECDOJO_TEST_PYTHON: python } : {},
    ),
  );
}

/** Counts from vitest's report; a file that could not be loaded is one failure. */
async function vitestCounts() {
  const report = JSON.parse(await readFile(vitestFile, "utf8"));
  const failures = report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === "failed");
    const file = relative(root, name);
    if (status === "failed" && failed.length === 0) return [`${file}: ${message}`];
    return failed.map((test) => `${file} > ${test.fullName}\n${test.failureMessages.join("\n")}`);
  });
  return {
    passed: report.numPassedTests,
    failed: failures.length,
    skipped: report.numPendingTests,
    failures,
  };
}

async function pytestCounts() {
  const text = await readFile(pytestFile, "utf8");
  const [suite] = text.match(/<testsuite [^>]*>/) ?? [""];
  const failures = [
    ...text.matchAll(
      /<testcase classname="([^"]*)" name="([^"]*)"[^>]*><(?:failure|error) message="([^"]*)"/g,
    ),
  ];
  const count = (name) => Number(new RegExp(` ${name}="(\\d+)"`).exec(suite)?.[1]);
  const failed = count("failures") + count("errors");
  return {
    passed: count("tests") - failed - count("skipped"),
    failed,
    skipped: count("skipped"),
    failures: failures.map(([, file, name, message]) => `${file} > ${name}\n${message}`),
  };
}

const allRan = existsSync(vitestFile) && existsSync(pytestFile);
const counts = allRan ? await Promise.all([vitestCounts(), pytestCounts()]) : [];
await rm(results, { recursive: true, force: true });
// What failed stands at the end, where a log that was cut still has it.
for (const failure of counts.flatMap(({ failures }) => failures))
  console.log(`\nFAILED  ${failure.slice(0, 2000)}`);
console.log("");
for (const { name, ok, seconds } of steps)
  console.log(`${ok ? "ok    " : "FAILED"}  ${name} (${seconds.toFixed(1)} s)`);
const sum = (name) => counts.reduce((total, part) => total + part[name], 0);
if (sum("skipped") > 0) console.log(`${sum("skipped")} skipped`);
if (allRan && counts.every((part) => [part.passed, part.failed, part.skipped].every(Number.isInteger)))
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
else console.log("Not every test could be run.");
process.exitCode = steps.every(({ ok }) => ok) && allRan ? 0 : 1;
