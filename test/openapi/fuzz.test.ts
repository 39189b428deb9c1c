import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import {
  buildToolMenu,
  createArgumentValidator,
  loadOpenApi,
  renderCompact,
  renderFull,
  type ToolMenu,
} from "../../src/openapi/index.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { fixture } from "./fixtures.js";

// `bench/fuzz.mjs` runs the same with more documents and more mutations.
const runs = Number(process.env.FUZZ_RUNS ?? 300);
const seed = Number(process.env.FUZZ_SEED ?? 7);
const folder = process.env.FUZZ_DOCUMENTS ?? fixture("specs");

const documents = readdirSync(folder)
  .filter((name) => /\.(json|ya?ml)$/.test(name) && name !== "index.json")
  .map((name) => readFileSync(join(folder, name), "utf8").replace(/^\uFEFF/, ""))
  // Large ones make a run slow and find no more.
  .filter((text) => text.length < 100_000)
  .map((text): unknown => parse(text, { maxAliasCount: -1 }));

const keywords = [
  ..."type properties items allOf anyOf oneOf not enum const required schema content parameters in name".split(
    " ",
  ),
  ..."requestBody responses operationId tags pattern patternProperties $ref $defs $id $anchor default".split(
    " ",
  ),
  ..."additionalProperties discriminator mapping nullable servers security summary description style".split(
    " ",
  ),
  ..."explode format example examples minimum exclusiveMinimum maxLength readOnly writeOnly deprecated".split(
    " ",
  ),
  ..."openapi swagger paths components definitions consumes host basePath get post encoding headers".split(
    " ",
  ),
  ..."constructor valueOf __proto__ toString hasOwnProperty length prototype x-specdojo <<".split(" "),
];
const references = [
  ..."# #/ #/nowhere #/paths #/components #/components/schemas/Pet #/definitions/Pet #Pet Pet Pet.yaml".split(
    " ",
  ),
  ..."file:///etc/passwd http://127.0.0.1:1/x //x/y #/components/schemas/%E0 #/a~2b ../../x#/y".split(" "),
];
const odd = [
  ...[null, 0, -1, 1e308, -0, "", " ", "\ud800", "a\u0000b", "(", "(a+)+$", "\\", "{", "{x}", true, false],
  ...[[], {}, [[[]]], ["x", null], ["object", "null"], "null", "object", "array", "file", "body", "formData"],
  ...[
    "path",
    "query",
    "header",
    "cookie",
    "application/json",
    "multipart/form-data",
    "deepObject",
    "2.0",
    "3.1.0",
  ],
  ...[
    { enum: [] },
    { allOf: null },
    { properties: [] },
    { required: {} },
    { type: "object", required: ["x"] },
  ],
  ...[{ oneOf: [{ $ref: "#" }] }, { allOf: [{ $ref: "#/components/schemas/Pet" }, {}] }, { items: [{}] }],
  ...[{ name: "x", in: "query" }, { name: "id", in: "path", schema: {} }, { schema: { type: "array" } }],
];
const value = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<unknown[]>(...odd) },
  { weight: 2, arbitrary: fc.constantFrom(...references).map(($ref): unknown => ({ $ref })) },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) as fc.Arbitrary<unknown> },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<unknown> },
);
/** Go down by these numbers, then change something there. */
const mutation = fc.record({
  way: fc.array(fc.nat(10_000), { minLength: 1, maxLength: 10 }),
  kind: fc.constantFrom("replace", "add", "remove", "repeat", "rename", "move", "wrap", "point"),
  keyword: fc.constantFrom(...keywords),
  value,
});
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;
type Container = Record<string, unknown>;

function put(target: Container, key: string, item: unknown): void {
  Object.defineProperty(target, key, { value: item, enumerable: true, writable: true, configurable: true });
}

function mutate(document: unknown, { way, kind, keyword, value: item }: Mutation): void {
  let at = document as Container;
  let pointer = "#";
  for (const number of way.slice(1)) {
    const inner = Object.entries(at).filter(([, one]) => typeof one === "object" && one !== null);
    const [key, next] = inner[number % Math.max(1, inner.length)] ?? [];
    if (key === undefined || Object.keys(next as Container).length === 0) continue;
    pointer += `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    at = next as Container;
  }
  const keys = Object.keys(at);
  const key = keys[(way[0] ?? 0) % Math.max(1, keys.length)] ?? keyword;
  const old = Object.hasOwn(at, key) ? at[key] : undefined;
  if (kind === "remove") delete at[key];
  else if (kind === "replace") put(at, key, structuredClone(item));
  else if (kind === "repeat") put(at, key, structuredClone(at[keys[0] ?? key]));
  else if (kind === "wrap") put(at, key, way.length % 2 === 0 ? [old] : { [keyword]: old });
  // To something that encloses it: a cycle, as a reference.
  else if (kind === "point")
    put(at, key, {
      $ref: pointer
        .split("/")
        .slice(0, 1 + (way.length % 6))
        .join("/"),
    });
  else if (Array.isArray(at)) at.push(structuredClone(item));
  else if (kind === "rename") {
    delete at[key];
    put(at, keyword, old);
  } else if (kind === "move") put(at, keyword, structuredClone(old));
  else put(at, keyword, structuredClone(item));
}

/** Damage to the text itself. */
const damage = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: fc.constantFrom("cut", "insert", "drop", "double"),
  text: fc.oneof(
    fc.constantFrom(
      "&a ",
      "*a",
      "<<: *a",
      "\t",
      "\n",
      "\r",
      "\u0000",
      '"',
      "'",
      "{",
      "}",
      "[",
      ",",
      ":",
      "#",
      "---\n",
    ),
    fc.constantFrom(
      "\n  ",
      "\uFEFF",
      "!!js/undefined ",
      "? ",
      "| \n",
      "\u2028",
      "\\u0000",
      "\\ud800",
      "-",
      "%YAML 3\n",
    ),
  ),
});
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function hurt(text: string, { at, kind, text: inserted }: Damage): string {
  const place = Math.floor(at * text.length);
  if (kind === "cut") return text.slice(0, place);
  if (kind === "drop") return text.slice(0, place) + text.slice(place + 7);
  if (kind === "double") return text.slice(0, place) + text.slice(Math.max(0, place - 50));
  return text.slice(0, place) + inserted + text.slice(place);
}

/** Tools that can be used, or one error that says what to do; nothing else, and not for ever. */
async function check(input: object | string, validate: boolean): Promise<void> {
  const started = process.cpuUsage();
  let menu: ToolMenu;
  try {
    const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
    menu = buildToolMenu(await loadOpenApi(bytes, { validate }));
  } catch (error) {
    if (!SpecdojoError.isInstance(error) || error.code === "internal-error") throw error;
    expect(error.remedy).toBeTruthy();
    expect(error.message.length).toBeLessThan(50_000);
    return;
  }
  expect(new Set(menu.tools.map(({ name }) => name)).size).toBe(menu.tools.length);
  const validator = createArgumentValidator();
  menu.tools.forEach((tool, i) => {
    expect(tool.name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(renderCompact(tool)).not.toContain("\n");
    expect(JSON.parse(renderFull(tool))).toMatchObject({ name: tool.name });
    // Compiling takes most of the time.
    if (i < 3) validator.validate(tool, {});
  });
  const text = JSON.stringify(menu);
  expect(JSON.stringify(JSON.parse(text))).toBe(text);
  for (const { code, severity, pointer, message } of menu.diagnostics) {
    expect(code).toMatch(/^[a-z0-9-]+$/);
    expect(["error", "warning", "info"]).toContain(severity);
    expect(pointer === "" || pointer.startsWith("/")).toBe(true);
    expect(message).not.toBe("");
  }
  const { user, system } = process.cpuUsage(started);
  expect(user + system).toBeLessThan(20e6);
}

const timeout = 60_000 + runs * 1_000;

describe("a damaged document gives tools or one explained error, never a crash", () => {
  test("changed in its structure", { timeout }, async () => {
    const property = fc.asyncProperty(
      fc.constantFrom(...documents),
      fc.array(mutation, { minLength: 1, maxLength: 8 }),
      fc.nat(19),
      async (from, changes, chance) => {
        const document = structuredClone(from) as object;
        for (const change of changes) mutate(document, change);
        const before = JSON.stringify(document);
        await check(document, chance === 0);
        expect(JSON.stringify(document)).toBe(before);
      },
    );
    await fc.assert(property, { numRuns: Math.ceil(runs * 0.8), seed });
  });

  test("changed in its text", { timeout }, async () => {
    const texts = documents.flatMap((document) => [
      JSON.stringify(document),
      JSON.stringify(document, null, 1),
    ]);
    const yaml = readdirSync(folder)
      .filter((name) => /\.ya?ml$/.test(name))
      .map((name) => readFileSync(join(folder, name), "utf8"))
      .filter((text) => text.length < 50_000);
    const property = fc.asyncProperty(
      fc.constantFrom(...texts, ...yaml, ...yaml),
      fc.array(damage, { minLength: 1, maxLength: 4 }),
      async (from, changes) => {
        await check(changes.reduce(hurt, from), false);
      },
    );
    await fc.assert(property, { numRuns: Math.floor(runs * 0.2), seed });
  });
});
