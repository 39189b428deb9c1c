// Damaged documents: each must give tools or one explained error. The tests run a few hundred, this runs many.
//   node bench/fuzz.mjs [RUNS] [SEED] [FOLDER]     (default: 20000, 1, test/fixtures/specs)
// A failure prints the smallest document that shows it; it belongs into test/openapi/hostile.ts.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const [runs = "20000", seed = "1", folder] = process.argv.slice(2);
const root = fileURLToPath(new URL("..", import.meta.url));
const started = performance.now();
const { status } = spawnSync(
  process.execPath,
  [`${root}node_modules/vitest/vitest.mjs`, "run", "test/openapi/fuzz.test.ts", "--maxWorkers=1"],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      FUZZ_RUNS: runs,
      FUZZ_SEED: seed,
      ...(folder === undefined ? {} : { FUZZ_DOCUMENTS: folder }),
    },
  },
);
const minutes = ((performance.now() - started) / 60_000).toFixed(1);
console.log(`${runs} documents, seed ${seed}: ${status === 0 ? "no failure" : "FAILED"}, ${minutes} minutes`);
process.exitCode = status === 0 ? 0 : 1;
