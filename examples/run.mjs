// Runs every example as a program of its own; ends with a non-zero status when one fails. An example of a framework
// that is not installed is skipped.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = new URL(".", import.meta.url);
if (!existsSync(new URL("../dist/index.js", here))) {
  console.error("The examples use the built package: run `npm run build` first.");
  process.exit(1);
}

/** The first package that a program imports and that is not there. */
function missingPackage(program) {
  const imports = readFileSync(program, "utf8").matchAll(/^import .* from "([^".][^"]*)";$/gm);
  for (const [, name] of imports) {
    const [first, second] = name.split("/");
    const folder = first.startsWith("@") ? `${first}/${second}` : first;
    if (folder === "specdojo" || name.startsWith("node:")) continue;
    if (!existsSync(new URL(`../node_modules/${folder}/`, here))) return folder;
  }
}

let failed = 0;
for (const folder of ["petstore/examples", "frameworks", "application"]) {
  const programs = new URL(`${folder}/`, here);
  for (const name of readdirSync(programs).sort()) {
    if (!name.endsWith(".mjs") || name.startsWith("_")) continue;
    const program = new URL(name, programs);
    const missing = missingPackage(program);
    if (missing !== undefined) {
      console.log(`skip examples/${folder}/${name}: ${missing} is not installed`);
      continue;
    }
    const { status } = spawnSync(process.execPath, [fileURLToPath(program)], {
      stdio: "inherit",
      timeout: 60_000,
    });
    console.log(`${status === 0 ? "ok  " : "FAIL"} examples/${folder}/${name}`);
    if (status !== 0) failed++;
  }
}
process.exit(failed === 0 ? 0 : 1);
