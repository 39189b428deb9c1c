import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { version } from "../../src/version.js";
import { ensureBuilt, specdojo } from "./command.js";

const spec = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const petstore = spec("specs/petstore-3.0.yaml");

let dir: string;
let silent: Server;
let silentUrl: string;
beforeAll(async () => {
  ensureBuilt();
  dir = await mkdtemp(join(tmpdir(), "specdojo-cli-"));
  const files = {
    "empty.yaml": "openapi: 3.0.3\ninfo: { title: Nothing, version: '1' }\npaths: {}\n",
    "tasks.jsonl": '{"question":"Show pet 3","gold":[{"name":"getPetById","arguments":{"petId":3}}]}\n',
    "broken.jsonl": '{"question":"Show pet 3","gold":\n',
    "other.jsonl": '\n{"question":"Fly","gold":[{"name":"flyAway","arguments":{}}]}\n',
    "list.json": "[]",
    "half.json": '{"iterations":',
    "wrong.json": '{"solver":{"steps":-1}}',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  // Takes every request and never answers.
  silent = createServer(() => undefined);
  await new Promise<void>((ready) => silent.listen(0, "127.0.0.1", ready));
  const address = silent.address();
  silentUrl = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
}, 120_000);
afterAll(async () => {
  silent.closeAllConnections();
  silent.close();
  await rm(dir, { recursive: true, force: true });
});

const file = (name: string): string => join(dir, name);

it("ends quietly when nobody reads on", async () => {
  const { code, err } = await specdojo(["menu", petstore, "--json"], { unread: true });
  expect([code, err]).toEqual([0, ""]);
});

describe("help", () => {
  const commands = ["bootstrap", "menu", "eval", "bench", "resume", "report", "generate", "doctor"];

  it.each([[], ["--help"], ["-h"]])("%j lists the commands", async (...args) => {
    const { code, out, err } = await specdojo(args);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    for (const name of commands) expect(out).toContain(name);
  });

  it.each(commands)("%s --help shows its own options and does nothing", async (name) => {
    const { code, out, err } = await specdojo([name, "--help"], { cwd: dir });
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain(`specdojo ${name}`);
    expect(out).toContain("--json");
  });

  it.each(["--version", "-v"])("%s", async (option) => {
    expect(await specdojo([option])).toMatchObject({ code: 0, out: `${version}\n`, err: "" });
  });

  it("an unknown command", async () => {
    const { code, out, err } = await specdojo(["bootstrp", petstore]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain('Unknown command "bootstrp"');
    expect(err).toContain("bootstrap");
  });

  it.each([["constructor"], ["__proto__"], ["toString"]])("no command: %s", async (name) => {
    expect((await specdojo([name])).code).toBe(1);
  });
});

describe("menu", () => {
  it("for a person", async () => {
    const { code, out, err } = await specdojo(["menu", petstore]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("getPetById(petId: integer)");
  });

  it("as JSON", async () => {
    const { code, out } = await specdojo(["menu", petstore, "--json"]);
    expect(code).toBe(0);
    const menu = JSON.parse(out) as { tools: { name: string; parameters: object }[]; diagnostics: object[] };
    expect(menu.diagnostics).toBeInstanceOf(Array);
    for (const tool of menu.tools)
      expect(Object.keys(tool)).toEqual(
        expect.arrayContaining(["name", "method", "path", "domain", "description", "parameters"]),
      );
    expect(menu.tools.find(({ name }) => name === "getPetById")?.parameters).toMatchObject({
      type: "object",
      required: ["petId"],
    });
  });
});

/** `AT/` in an argument stands for the folder with the files above. */
const inputs: [string, string[], RegExp[]][] = [
  ["a document that is not there", ["menu", "AT/none.yaml"], [/none\.yaml/, /[Cc]heck/]],
  ["a folder for a document", ["menu", "AT/"], [/./]],
  ["broken YAML", ["menu", spec("specs-bad/bad-yaml-unclosed-quote.yaml")], [/YAML/, /line|:\d/]],
  ["a document without operations, for training", ["bootstrap", "AT/empty.yaml"], [/operation/i, /remedy/]],
  ["no document named", ["bootstrap"], [/FILE/i]],
  ["a document to train on that is not there", ["bootstrap", "AT/none.yaml"], [/none\.yaml/, /remedy/]],
  [
    "tasks that are not there",
    ["bootstrap", petstore, "--tasks", "AT/none.jsonl"],
    [/--tasks/, /none\.jsonl/, /remedy/],
  ],
  [
    "tasks that are not JSON",
    ["bootstrap", petstore, "--tasks", "AT/broken.jsonl"],
    [/:1: not JSON/, /remedy/],
  ],
  [
    "tasks of another API",
    ["bootstrap", petstore, "--tasks", "AT/other.jsonl"],
    [/:2: .*"flyAway"/, /remedy/],
  ],
  ...["x", "-1", "1.5", "", "1e3"].map((seed): [string, string[], RegExp[]] => [
    `the seed ${JSON.stringify(seed)}`,
    ["bootstrap", petstore, `--seed=${seed}`],
    [/--seed/, /whole number/],
  ]),
  ["a misspelled option", ["bootstrap", petstore, "--sede", "1"], [/--sede/, /--seed/]],
  ["a time without a plan", ["bootstrap", petstore, "--within", "30m"], [/--within/, /--plan/]],
  [
    "no time",
    ["bootstrap", petstore, "--plan", "--within", "soon"],
    [/"soon" is not a duration/, /--within/],
  ],
  [
    "a configuration that is not there",
    ["bootstrap", petstore, "--config", "AT/none.json"],
    [/--config/, /remedy/],
  ],
  ["half a configuration", ["bootstrap", petstore, "--config", "AT/half.json"], [/not JSON/, /half\.json/]],
  [
    "a configuration that is a list",
    ["bootstrap", petstore, "--config", "AT/list.json"],
    [/not a JSON object/],
  ],
  [
    "an option out of range",
    ["bootstrap", petstore, "--config", "AT/wrong.json"],
    [/config\.solver\.steps/, /remedy/],
  ],
  [
    "an unknown kind of backend",
    ["bootstrap", petstore, "--backend-url", "http://127.0.0.1:1", "--backend-kind", "cloud"],
    [/"cloud"/, /local, tinker, skyrl/],
  ],
  ["an unknown sampler", ["bootstrap", petstore, "--sampler", "fast"], [/"fast"/, /own or vllm/]],
  [
    "a sampler for a server",
    ["bootstrap", petstore, "--sampler", "vllm", "--backend-url", "http://127.0.0.1:1"],
    [/--sampler/, /Leave out/],
  ],
  ["no run to resume", ["resume", "AT/"], [/no run/, /remedy/]],
  ["nothing to evaluate", ["eval", "AT/none"], [/none/]],
  ["nothing to report on", ["report", "AT/"], [/neither/, /remedy/]],
];

describe("wrong inputs end with what, where and what to do", () => {
  it.each(inputs)("%s", async (_, args, wanted) => {
    const cwd = await mkdtemp(join(dir, "cwd-"));
    const { code, out, err } = await specdojo(
      args.map((arg) => arg.replace(/^AT\//, `${dir}/`)),
      { cwd },
    );
    expect({ code, out }).toEqual({ code: 1, out: "" });
    for (const pattern of wanted) expect(err).toMatch(pattern);
    // A message, not a stack.
    expect(err).not.toMatch(/^\s+at .*\(?(?:file|node):/m);
    expect(await readdir(cwd)).toEqual([]);
  });

  it("a URL that is none", async () => {
    const out = file("no-url");
    const result = await specdojo(["bootstrap", petstore, "--out", out, "--backend-url", "localhost"]);
    expect(result.code).toBe(1);
    expect(result.err).toMatch(/http:\/\//);
  });

  it("a server that does not answer: soon, with its address", { timeout: 60_000 }, async () => {
    const result = await specdojo([
      "bootstrap",
      petstore,
      "--out",
      file("unreachable"),
      "--backend-url",
      "http://127.0.0.1:9",
    ]);
    expect(result.code).toBe(1);
    expect(result.err).toContain("http://127.0.0.1:9");
    expect(result.err).toMatch(/remedy/);
    expect(result.seconds).toBeLessThan(25);
  });

  it("no Python; and then the folder holds a run", { timeout: 180_000 }, async () => {
    const out = file("no-python");
    const args = [
      "bootstrap",
      petstore,
      "--out",
      out,
      "--tasks",
      file("tasks.jsonl"),
      "--python",
      "/nonexistent",
    ];
    const first = await specdojo(args);
    expect(first).toMatchObject({ code: 1, out: "" });
    expect(first.err).toMatch(/Python/);
    expect(first.err).toContain("/nonexistent");
    const second = await specdojo(args);
    expect(second).toMatchObject({ code: 1, out: "" });
    expect(second.err).toContain(`specdojo resume ${out}`);
    expect(await readFile(join(out, "tasks.jsonl"), "utf8")).toBe(
      await readFile(file("tasks.jsonl"), "utf8"),
    );
    const resumed = await specdojo(["resume", out, "--python", "/nonexistent"]);
    expect(resumed.code).toBe(1);
    expect(resumed.err).toContain("/nonexistent");
  });

  it("a folder with other files stays as it is", async () => {
    const before = await readdir(dir);
    const { code, err } = await specdojo(["bootstrap", petstore, "--out", dir]);
    expect(code).toBe(1);
    expect(err).toMatch(/--out/);
    expect((await readdir(dir)).sort()).toEqual(before.sort());
  });

  it("a file where the folder should be", async () => {
    const { code, err } = await specdojo(["bootstrap", petstore, "--out", file("list.json")]);
    expect(code).toBe(1);
    expect(err).toMatch(/another folder/);
  });
});

describe("stopping", () => {
  it.each(["SIGINT", "SIGTERM"] as const)("%s ends cleanly and says how to go on", async (signal) => {
    const out = file(`stopped-${signal}`);
    const result = await specdojo(["bootstrap", petstore, "--out", out, "--backend-url", silentUrl], {
      interrupt: { at: "starting the worker", signal },
    });
    expect(result.code).toBe(130);
    expect(result.err).toContain(`specdojo resume ${out}`);
    expect(result.err).not.toContain("error");
    expect(result.seconds).toBeLessThan(20);
  });
});

it("doctor names what is missing, as text and as JSON", async () => {
  const text = await specdojo(["doctor", "--python", "/nonexistent"]);
  expect(text.code).toBe(1);
  expect(text.out).toContain("/nonexistent");
  const json = await specdojo(["doctor", "--python", "/nonexistent", "--json"]);
  const report = JSON.parse(json.out) as {
    ok: boolean;
    checks: { name: string; status: string; remedy?: string }[];
  };
  expect(report.ok).toBe(false);
  for (const { status, remedy } of report.checks)
    if (status !== "ok") expect(remedy).toEqual(expect.any(String));
});
