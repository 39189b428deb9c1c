// `npm run quickstart [-- OPTIONS]`: installs, builds, and bootstraps the Petstore example.
import { join } from "node:path";
import { build, checkNode, installPackages, root, run } from "./install.mjs";

checkNode();
const prepared = (await installPackages()) || (await build());
if (prepared !== 0) process.exit(prepared);

// Ctrl-C reaches the child as well: it stops cleanly and says how to resume, so we must wait for it.
process.on("SIGINT", () => {});
process.exitCode = await run(process.execPath, [
  join(root, "dist", "cli.js"),
  "bootstrap",
  "examples/petstore/openapi.yaml",
  "--out",
  "runs/petstore",
  "--tasks",
  "examples/petstore/tasks.jsonl",
  ...process.argv.slice(2),
]);
