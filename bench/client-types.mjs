// Generated clients under the strictest compiler options, and what type-checking them costs.
//   npm run build && node bench/client-types.mjs [FILE_OR_FOLDER...] [--peers FOLDER] [--repeat N]
// FOLDER: where openapi-typescript, openapi-fetch and typescript 5 are installed, for comparison.
// Exits with 1 when a client does not compile.
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { generateClient } from "../dist/agent/index.js";
import { buildToolMenu, loadOpenApi } from "../dist/openapi/index.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { peers: { type: "string" }, repeat: { type: "string", default: "3" } },
});
const places = positionals.length > 0 ? positionals : [join(root, "test/fixtures/specs")];
const files = places.flatMap((place) =>
  statSync(place).isDirectory()
    ? readdirSync(place)
        .filter((name) => /\.(?:json|ya?ml)(?:\.gz)?$/.test(name) && name !== "index.json")
        .map((name) => join(place, name))
    : [place],
);
const { compilerOptions: strictest } = JSON.parse(
  readFileSync(new URL("strictest.json", import.meta.url), "utf8"),
);
const tsc = createRequire(import.meta.url)
  .resolve("typescript/package.json")
  .replace("package.json", "bin/tsc");
const work = mkdtempSync(join(tmpdir(), "specdojo-types-"));

/** A folder whose `node_modules` holds what the program imports. */
function project(name, programs, packages, options) {
  const dir = join(work, name);
  mkdirSync(join(dir, "node_modules"), { recursive: true });
  for (const [file, text] of Object.entries(programs)) writeFileSync(join(dir, file), text);
  for (const [file, target] of Object.entries(packages))
    symlinkSync(resolve(target), join(dir, "node_modules", file), "dir");
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
  const compilerOptions = {
    ...strictest,
    types: ["node"],
    typeRoots: [join(root, "node_modules/@types")],
    ...options,
  };
  writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  return dir;
}

/** Errors, processor seconds and types of one compilation on one thread; the middle of `repeat` in time. */
function check(dir) {
  const compile = [
    process.execPath,
    tsc,
    "-p",
    dir,
    "--singleThreaded",
    "--extendedDiagnostics",
    "--pretty",
    "false",
  ];
  const runs = Array.from({ length: Number(values.repeat) }, () => {
    // The last line of `times` is what the shell's children took.
    const { stdout } = spawnSync("sh", ["-c", '"$@"; times', "sh", ...compile], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    const number = (name) =>
      Number(new RegExp(`^${name}:\\s+([\\d.]+)`, "m").exec(stdout)?.[1] ?? Number.NaN);
    const errors = stdout.split("\n").filter((line) => /error TS\d+/.test(line));
    const [, minutes, seconds] = /^(\d+)m([\d.]+)s/.exec(stdout.trim().split("\n").at(-1)) ?? [];
    const time = Number(minutes) * 60 + Number(seconds);
    return { errors, seconds: time, types: number("Types"), memory: number("Memory used") / 1024 };
  });
  return runs.sort((a, b) => a.seconds - b.seconds)[Math.floor(runs.length / 2)];
}

/** Our client with a call of every operation. */
function ours(name, menu) {
  const clients = Object.fromEntries(generateClient(menu));
  const calls = menu.tools.map(
    (tool) =>
      `{ const r = await client.call(${JSON.stringify(tool.name)}, null as never); if (r.ok) void r.data; else void r.error; }\n`,
  );
  const use = `import { createClient } from "./index.js";\nconst client = createClient();\n${calls.join("")}export {};\n`;
  return project(`${name}-ours`, { ...clients, "use.ts": use }, { specdojo: root }, { skipLibCheck: true });
}

/** The same with the client of the peers, from the document as JSON; undefined where they do not read it. */
function theirs(name, menu, document, folder) {
  const modules = join(resolve(folder), "node_modules");
  const plain = join(work, `${name}.json`);
  writeFileSync(plain, JSON.stringify(document));
  const made = join(work, `${name}.ts`);
  const command = [join(modules, "openapi-typescript/bin/cli.js"), plain, "--output", made];
  if (spawnSync(process.execPath, command, { stdio: "ignore" }).status !== 0) return undefined;
  const types = readFileSync(made, "utf8");
  const calls = menu.tools.map(
    ({ method, path }) =>
      `{ const { data, error } = await client.${method.toUpperCase()}(${JSON.stringify(path)}, null as never); void data; void error; }\n`,
  );
  const use = `import create from "openapi-fetch";\nimport type { paths } from "./types.js";\nconst client = create<paths>();\n${calls.join("")}export {};\n`;
  const packages = Object.fromEntries(
    ["openapi-fetch", "openapi-typescript-helpers"].map((one) => [one, join(modules, one)]),
  );
  const relaxed = { skipLibCheck: true, isolatedDeclarations: false };
  return project(`${name}-theirs`, { "types.ts": types, "use.ts": use }, packages, relaxed);
}

const cells = (result) =>
  result === undefined
    ? ["–", "–", "–"]
    : [result.seconds.toFixed(2), String(result.types), result.memory.toFixed(0)];
const head = ["document", "operations", "errors", "seconds", "types", "MB"];
if (values.peers !== undefined) head.push("peers: errors", "seconds", "types", "MB");
console.log(`| ${head.join(" | ")} |\n| --- |${" ---: |".repeat(head.length - 1)}`);
const runtime = 'import { createClient } from "specdojo/agent";\nvoid createClient;\n';
const empty = check(project("empty", { "use.ts": runtime }, { specdojo: root }, { skipLibCheck: true }));
let failed = 0;
for (const file of files) {
  const name = basename(file).replaceAll(/\W/g, "_");
  const loaded = await loadOpenApi(file);
  const menu = buildToolMenu(loaded);
  const strict = check(
    project(
      `${name}-strict`,
      Object.fromEntries(generateClient(menu)),
      { specdojo: root },
      { skipLibCheck: true },
    ),
  );
  const own = check(ours(name, menu));
  const errors = [...strict.errors, ...own.errors];
  if (errors.length > 0) failed++;
  for (const error of errors.slice(0, 3)) console.error(error);
  const row = [basename(file), String(menu.tools.length), String(errors.length), ...cells(own)];
  if (values.peers !== undefined) {
    const dir = theirs(name, menu, loaded.document, values.peers);
    const peer = dir === undefined ? undefined : check(dir);
    row.push(peer === undefined ? "–" : String(peer.errors.length), ...cells(peer));
  }
  console.log(`| ${row.join(" | ")} |`);
}
console.log(`\nThe runtime's own types alone: ${empty.seconds.toFixed(2)} s, ${empty.types} types.`);
rmSync(work, { recursive: true, force: true });
process.exitCode = failed === 0 ? 0 : 1;
