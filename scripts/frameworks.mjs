// `npm run frameworks [SET]`: the tests of the adapters with the frameworks of test/adapters/frameworks.json, which are
// too heavy for development dependencies or need a newer Node. They are installed beside the others, in
// node_modules/.frameworks, with the Node that the set names. `llama` has the tests of test/gguf and needs, in
// SPECDOJO_TEST_PYTHON, an interpreter with the worker's packages; of node-llama-cpp's builds it takes that for processors.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { npm, root, run } from "./install.mjs";

const sets = JSON.parse(readFileSync(join(root, "test/adapters/frameworks.json"), "utf8"));
const wanted = process.argv[2];
if (wanted !== undefined && !Object.hasOwn(sets, wanted)) {
  console.error(`There is no set ${JSON.stringify(wanted)}. Use one of ${Object.keys(sets).join(", ")}.`);
  process.exit(1);
}

/** Node from the npm registry for this platform, and the script's own without a version. */
function nodeOf(folder, version) {
  if (version === undefined) return process.execPath;
  return join(folder, "node_modules", nodePackage, "bin", process.platform === "win32" ? "node.exe" : "node");
}
const nodePackage = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;

async function install(name, { node, packages, omit }) {
  const folder = join(root, "node_modules", ".frameworks", name);
  const dependencies = node === undefined ? packages : { ...packages, [nodePackage]: node };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, dependencies }));
  const options = [
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    "--ignore-scripts",
    "--engine-strict=false",
    ...(omit === undefined ? [] : ["--omit", omit]),
  ];
  const code = await npm("install", "--prefix", folder, "--loglevel", "error", ...options);
  if (code !== 0) throw new Error(`The packages of ${name} could not be installed. Check the network.`);
  return realpathSync(folder);
}

let failed = false;
for (const [name, set] of Object.entries(sets)) {
  if (wanted !== undefined && wanted !== name) continue;
  const folder = await install(name, set);
  const node = nodeOf(folder, set.node);
  const { stdout } = spawnSync(node, ["--version"], { encoding: "utf8" });
  console.log(`\n── ${name}: Node ${stdout?.trim()}`);
  for (const [one, version] of Object.entries(set.packages)) console.log(`   ${one} ${version}`);
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const code = await run(node, [vitest, "run", "--config", "test/adapters/frameworks.config.ts"], {
    SPECDOJO_FRAMEWORKS: folder,
    SPECDOJO_FRAMEWORK_SET: name,
  });
  failed ||= code !== 0;
}
process.exit(failed ? 1 : 0);
