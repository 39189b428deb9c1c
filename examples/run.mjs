// Runs every example as a program of its own; ends with a non-zero status when one fails.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = new URL(".", import.meta.url);
if (!existsSync(new URL("../dist/index.js", here))) {
  console.error("The examples use the built package: run `npm run build` first.");
  process.exit(1);
}
let failed = 0;
for (const folder of readdirSync(here, { withFileTypes: true })) {
  const programs = new URL(`${folder.name}/examples/`, here);
  if (!folder.isDirectory() || !existsSync(programs)) continue;
  for (const name of readdirSync(programs).sort()) {
    if (!name.endsWith(".mjs") || name.startsWith("_")) continue;
    const { status } = spawnSync(process.execPath, [fileURLToPath(new URL(name, programs))], {
      stdio: "inherit",
      timeout: 60_000,
    });
    console.log(`${status === 0 ? "ok  " : "FAIL"} examples/${folder.name}/examples/${name}`);
    if (status !== 0) failed++;
  }
}
process.exit(failed === 0 ? 0 : 1);
