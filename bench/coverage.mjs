// What of a document is in the tools: operations, parameters, top-level properties of bodies, counted twice, once by this
// file's own eyes and once in the schemas of `specdojo menu --json`. Nothing of the library counts the first half.
//   npm run build && node bench/coverage.mjs [FOLDER]     (default: test/fixtures/specs)
// Exits with 1 where something is missing, a name is not valid or not unique, or a schema does not compile.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { parse } from "yaml";

const folder = process.argv[2] ?? fileURLToPath(new URL("../test/fixtures/specs", import.meta.url));
const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

function resolve(document, value) {
  for (let hop = 0; typeof value?.$ref === "string" && hop < 50; hop++)
    value = value.$ref
      .slice(2)
      .split("/")
      .reduce(
        (at, key) => at?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")],
        document,
      );
  return value;
}

/** Names of the properties of a schema, through references and compositions; not those that are only read. */
function propertiesOf(document, schema, names = new Set(), seen = new Set()) {
  const at = resolve(document, schema);
  if (typeof at !== "object" || at === null || seen.has(at)) return names;
  seen.add(at);
  for (const [name, value] of Object.entries(at.properties ?? {}))
    if (value?.readOnly !== true && resolve(document, value)?.readOnly !== true) names.add(name);
  for (const keyword of ["allOf", "oneOf", "anyOf"])
    for (const part of at[keyword] ?? []) propertiesOf(document, part, names, seen);
  return names;
}

function declared(document) {
  const operations = new Map();
  for (const [path, declaredItem] of Object.entries(document.paths ?? {})) {
    const item = resolve(document, declaredItem);
    for (const method of methods) {
      const operation = item?.[method];
      if (typeof operation !== "object" || operation === null) continue;
      const parameters = new Map();
      for (const entry of [...(item.parameters ?? []), ...(operation.parameters ?? [])]) {
        const one = resolve(document, entry);
        if (one) parameters.set(`${one.in} ${one.name}`, one);
      }
      const body = new Set();
      const plain = [];
      for (const one of parameters.values()) {
        if (one.in === "body") propertiesOf(document, one.schema, body);
        else if (one.in === "formData") body.add(one.name);
        else plain.push(one.name);
      }
      for (const media of Object.values(resolve(document, operation.requestBody)?.content ?? {}))
        propertiesOf(document, media?.schema, body);
      operations.set(`${method.toUpperCase()} ${path}`, { parameters: plain, body: [...body] });
    }
  }
  return operations;
}

/** Property names anywhere in the arguments' own objects: at the top, or inside an argument that is the whole body. */
function argumentsOf(parameters) {
  const names = new Set();
  const stack = [parameters];
  const seen = new Set();
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    if (typeof at !== "object" || at === null || seen.has(at)) continue;
    seen.add(at);
    if (typeof at.$ref === "string") stack.push(parameters.$defs?.[at.$ref.slice("#/$defs/".length)]);
    for (const [name, value] of Object.entries(at.properties ?? {})) {
      names.add(name.replace(/_(query|header|cookie|body|path)(_\d+)?$/, ""));
      names.add(name);
      if (at === parameters) stack.push(value);
    }
    for (const keyword of ["allOf", "oneOf", "anyOf"]) for (const part of at[keyword] ?? []) stack.push(part);
  }
  return names;
}

let bad = 0;
const total = { operations: 0, tools: 0, parameters: [0, 0], body: [0, 0] };
const rows = [];
for (const file of readdirSync(folder).filter(
  (name) => /\.(json|ya?ml)(\.gz)?$/.test(name) && name !== "index.json",
)) {
  const bytes = readFileSync(join(folder, file));
  const text = (file.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8").replace(/^\uFEFF/, "");
  const document = text.trimStart().startsWith("{")
    ? JSON.parse(text)
    : parse(text, { uniqueKeys: false, maxAliasCount: -1 });
  const operations = declared(document);
  const { tools } = JSON.parse(
    execFileSync(process.execPath, [cli, "menu", join(folder, file), "--json"], { maxBuffer: 2 ** 30 }),
  );
  const faults = [];
  const byPlace = new Map(tools.map((tool) => [`${tool.method} ${tool.path}`, tool]));
  const parameters = [0, 0];
  const body = [0, 0];
  for (const [place, wanted] of operations) {
    const tool = byPlace.get(place);
    if (tool === undefined) faults.push(`${place}: no tool`);
    const names = tool === undefined ? new Set() : argumentsOf(tool.parameters);
    for (const [list, counts] of [
      [wanted.parameters, parameters],
      [wanted.body, body],
    ])
      for (const name of list) {
        counts[1]++;
        if (names.has(name)) counts[0]++;
        else faults.push(`${place}: ${name}`);
      }
  }
  if (new Set(tools.map(({ name }) => name)).size !== tools.length) faults.push("names are not unique");
  const ajv = new Ajv2020({ strict: false, logger: false });
  formats.default(ajv);
  for (const tool of tools) {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(tool.name)) faults.push(`name ${tool.name}`);
    try {
      ajv.compile(tool.parameters);
    } catch (error) {
      faults.push(`${tool.name}: ${error.message}`);
    }
  }
  if (tools.length !== operations.size) faults.push(`${tools.length} tools of ${operations.size} operations`);
  rows.push([file, operations.size, tools.length, parameters.join(" of "), body.join(" of ")]);
  total.operations += operations.size;
  total.tools += tools.length;
  for (const i of [0, 1]) {
    total.parameters[i] += parameters[i];
    total.body[i] += body[i];
  }
  if (faults.length > 0) bad++;
  for (const fault of faults.slice(0, 10)) console.error(`${file}: ${fault}`);
}
rows.push(["all", total.operations, total.tools, total.parameters.join(" of "), total.body.join(" of ")]);
console.log(
  "| document | operations | tools | parameters | body properties |\n| --- | ---: | ---: | ---: | ---: |",
);
for (const row of rows) console.log(`| ${row.join(" | ")} |`);
process.exitCode = bad > 0 ? 1 : 0;
