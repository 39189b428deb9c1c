// Turning a document into tools, against other ways: processor seconds and memory, start of the process included,
// alternating in one run, median of several.
//   npm run build && node bench/ingest.mjs [--repeat N] [--limit SECONDS] [--documents FOLDER] [--peers FOLDER]
//     [--only stripe,large,linear]
// A way that takes more processor seconds than the limit is stopped and not tried again.
// The peers are installed into the folder (default: specdojo-bench-peers in the system's folder for temporary files) when
// they are not there: four npm packages, and fastmcp in a Python environment of its own. Nothing of it is in the package.
// Stripe's document is taken from --documents (stripe.json, .yaml or .yaml.gz); the large ones are made here.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";
import { load } from "js-yaml";

const { values: options } = parseArgs({
  options: {
    repeat: { type: "string", default: "5" },
    limit: { type: "string", default: "120" },
    documents: { type: "string", default: fileURLToPath(new URL("../test/fixtures/specs", import.meta.url)) },
    peers: { type: "string", default: process.env.SPECDOJO_PEERS ?? join(tmpdir(), "specdojo-bench-peers") },
    only: { type: "string", default: "stripe,large,linear" },
  },
});
const packages = [
  "openapi-mcp-generator@4.0.1",
  "@ivotoby/openapi-mcp-server@1.16.1",
  "@apidevtools/swagger-parser@13.0.0",
];
const fastmcp = "fastmcp==2.14.7";
const child = fileURLToPath(new URL("./ingest/child.mjs", import.meta.url));
const python = join(options.peers, "venv", "bin", "python");
const only = options.only.split(",");

install();
const folder = mkdtempSync(join(tmpdir(), "specdojo-ingest-"));
try {
  const stripe = only.includes("stripe") ? stripeFile() : undefined;
  if (stripe !== undefined) compare("Stripe", stripe);
  if (only.includes("large")) compare("GitHub's size", made(1_000, 13_000_000));
  if (only.includes("linear")) linear();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function install() {
  mkdirSync(options.peers, { recursive: true });
  if (!existsSync(join(options.peers, "node_modules"))) {
    writeFileSync(join(options.peers, "package.json"), '{"private":true}\n');
    execFileSync("npm", ["install", "--no-audit", "--no-fund", ...packages], {
      cwd: options.peers,
      stdio: "inherit",
    });
  }
  if (!existsSync(python)) {
    execFileSync("python3", ["-m", "venv", join(options.peers, "venv")], { stdio: "inherit" });
    spawnSync(python, ["-m", "pip", "install", "--quiet", fastmcp], { stdio: "inherit" });
  }
}

function stripeFile() {
  for (const name of ["stripe.json", "stripe.yaml", "stripe.yaml.gz"]) {
    const path = join(options.documents, name);
    if (!existsSync(path)) continue;
    if (name.endsWith(".json")) return path;
    const bytes = readFileSync(path);
    const text = (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
    const file = join(folder, "stripe.json");
    writeFileSync(file, JSON.stringify(load(text, { json: true })));
    return file;
  }
  console.log(`Stripe's document is not in ${options.documents}; give its folder with --documents.\n`);
  return undefined;
}

/** A document with so many operations and, by the length of its texts, about so many bytes. */
function made(operations, bytes) {
  const text = (length) =>
    "lorem ipsum dolor sit amet consectetur ".repeat(Math.ceil(length / 39)).slice(0, length);
  const schemaCount = Math.max(10, Math.round(operations * 0.7));
  const ref = (i) => ({ $ref: `#/components/schemas/Thing${i % schemaCount}` });
  const write = (filler) => {
    const schemas = {};
    for (let i = 0; i < schemaCount; i++) {
      const properties = {};
      for (let p = 0; p < 12; p++)
        properties[`field_${p}`] =
          p === 10
            ? { type: "array", items: ref(i * 7 + 1) }
            : p === 11
              ? ref(i + 1)
              : {
                  type: ["string", "integer", "boolean"][p % 3],
                  description: text(filler),
                  nullable: p % 4 === 0,
                };
      schemas[`Thing${i}`] = { type: "object", required: ["field_0"], description: text(filler), properties };
    }
    const paths = {};
    for (let i = 0; i < operations; i++) {
      const path = `/area${i % 40}/things${Math.floor(i / 2)}/{id}`;
      const parameters = [{ name: "id", in: "path", required: true, schema: { type: "integer" } }];
      for (let p = 0; p < 4; p++)
        parameters.push({
          name: `filter_${p}`,
          in: "query",
          description: text(filler),
          schema: { type: "string" },
        });
      const operation = {
        operationId: `area${i % 40}/operation-${i}`,
        summary: text(40),
        description: text(4 * filler),
        tags: [`area${i % 40}`],
        parameters,
        responses: {
          200: {
            description: "ok",
            content: { "application/json": { schema: ref(i), example: { text: text(6 * filler) } } },
          },
          404: { description: text(filler) },
        },
      };
      if (i % 2 === 1) {
        const properties = {};
        for (let p = 0; p < 8; p++) properties[`value_${p}`] = { type: "string", description: text(filler) };
        properties.thing = ref(i);
        operation.requestBody = {
          required: true,
          content: { "application/json": { schema: { type: "object", required: ["value_0"], properties } } },
        };
      }
      paths[path] = { ...paths[path], [i % 2 === 1 ? "post" : "get"]: operation };
    }
    return JSON.stringify({
      openapi: "3.0.3",
      info: { title: "Made", version: "1" },
      paths,
      components: { schemas },
    });
  };
  let filler = 40;
  let json = write(filler);
  if (bytes !== undefined) {
    // The size grows with the filler in a straight line.
    const other = write(filler * 2).length;
    filler = Math.max(1, Math.round(filler + (filler * (bytes - json.length)) / (other - json.length)));
    json = write(filler);
  }
  const file = join(folder, `made-${operations}.json`);
  writeFileSync(file, json);
  return file;
}

function measure(way, file) {
  const [command, args] =
    way === "FastMCP.from_openapi"
      ? [python, [fileURLToPath(new URL("./ingest/child.py", import.meta.url)), file]]
      : [process.execPath, [child, way, file]];
  // Processor seconds, not those of a clock: other work on the machine does not count.
  const limited = ["-c", `ulimit -t ${options.limit}; exec "$@"`, "sh", command, ...args];
  const { stdout, signal } = spawnSync("sh", limited, {
    encoding: "utf8",
    env: { ...process.env, SPECDOJO_PEERS: options.peers },
    maxBuffer: 2 ** 28,
  });
  const line = (stdout ?? "").trim().split("\n").at(-1) ?? "";
  if (line.startsWith("{")) return JSON.parse(line);
  const fault =
    signal === "SIGXCPU" || signal === "SIGKILL" ? `stopped after ${options.limit} s` : "no answer";
  return { tools: 0, cpu: Number.NaN, rss: Number.NaN, fault };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function compare(title, file) {
  const ways = [
    "specdojo",
    "swagger-parser",
    "specdojo, not validated",
    "openapi-mcp-generator",
    "openapi-mcp-generator, dereferenced",
    "@ivotoby/openapi-mcp-server",
    "FastMCP.from_openapi",
  ];
  const results = new Map(ways.map((way) => [way, []]));
  for (let round = 0; round < Number(options.repeat); round++)
    for (const way of ways)
      if (!results.get(way).some((run) => Number.isNaN(run.cpu))) results.get(way).push(measure(way, file));
  const size = (readFileSync(file).length / 1e6).toFixed(1);
  console.log(`${title}: ${size} MB of JSON, median of ${options.repeat}, ${machine()}\n`);
  console.log("| way | processor, s | memory, MiB | operations |\n| --- | ---: | ---: | ---: |");
  for (const [way, runs] of results) {
    const failed = runs.find((run) => Number.isNaN(run.cpu));
    const cpu = failed ? "–" : median(runs.map((run) => run.cpu)).toFixed(2);
    const rss = failed ? "–" : median(runs.map((run) => run.rss)).toFixed(0);
    const note =
      failed?.fault ??
      (way === "swagger-parser" ? "validate + dereference" : (runs[0].fault ?? runs[0].tools));
    console.log(`| ${way} | ${cpu} | ${rss} | ${note} |`);
  }
  console.log("");
}

function linear() {
  console.log(`Cost by the number of operations, median of ${options.repeat}, ${machine()}\n`);
  console.log(
    "| operations | MB | processor, s | µs/operation | memory, MiB |\n| ---: | ---: | ---: | ---: | ---: |",
  );
  for (const operations of [1_000, 3_000, 10_000, 30_000]) {
    const file = made(operations);
    const runs = Array.from({ length: Number(options.repeat) }, () => measure("specdojo", file));
    const cpu = median(runs.map((run) => run.cpu));
    const size = (readFileSync(file).length / 1e6).toFixed(1);
    const each = ((cpu / operations) * 1e6).toFixed(0);
    const rss = median(runs.map((run) => run.rss)).toFixed(0);
    console.log(`| ${operations.toLocaleString("en")} | ${size} | ${cpu.toFixed(2)} | ${each} | ${rss} |`);
  }
}

function machine() {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model.trim()}, Node ${process.versions.node}`;
}
