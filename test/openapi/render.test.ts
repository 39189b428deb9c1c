import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  buildToolMenu,
  loadOpenApi,
  parseCompact,
  parseFull,
  renderCompact,
  renderFull,
} from "../../src/openapi/index.js";
import { SpecdojoError } from "../../src/util/errors.js";
import type { JsonSchema, JsonSchemaObject, JsonValue } from "../../src/util/json.js";
import { fixture, menuOf } from "./fixtures.js";

const golden = (name: string) => new URL(`goldens/${name}`, import.meta.url);

test.each(["petstore-3.0.yaml", "museum-3.1.yaml"])("compact rendering of %s", async (file) => {
  const menu = await menuOf(fixture(`specs/${file}`));
  const text = menu.tools.map((tool) => `${renderCompact(tool)}\n`).join("");
  expect(text).toBe(readFileSync(golden(`${file}.txt`), "utf8"));
});

test("full rendering", async () => {
  const menu = await menuOf(fixture("specs/petstore-3.0.yaml"));
  const tool = menu.tools.find(({ name }) => name === "getPetById");
  expect(tool === undefined ? "" : renderFull(tool)).toBe(
    '{"name":"getPetById","description":"Find pet by ID. Returns a single pet","parameters":{"type":"object","properties":{"petId":{"type":"integer","format":"int64","description":"ID of pet to return"}},"required":["petId"],"additionalProperties":false}}',
  );
});

const compact = (parameters: JsonSchemaObject, description = "") =>
  renderCompact({ name: "f", description, parameters });
const one = (x: JsonSchema, $defs: Record<string, JsonSchema> = {}) =>
  compact({ type: "object", properties: { x }, required: ["x"], $defs }).slice("f(x: ".length, -1);

describe("types", () => {
  const nested = (depth: number): JsonSchemaObject =>
    depth === 0 ? { type: "string" } : { type: "object", properties: { a: nested(depth - 1) } };
  test.each<[string, JsonSchema, string]>([
    [
      "enum",
      { enum: ["a", "b c", "string", "true", 1, null, "x/y-z"] },
      'a|"b c"|"string"|"true"|1|null|x/y-z',
    ],
    ["const", { const: "a" }, "a"],
    ["format", { type: "string", format: "date-time" }, "date-time"],
    ["other format", { type: "string", format: "password" }, "string"],
    ["number", { type: "number", format: "double" }, "number"],
    ["array", { type: "array", items: { type: "integer" } }, "integer[]"],
    ["array of anything", { type: "array" }, "any[]"],
    ["array of a union", { type: "array", items: { enum: ["a", "b"] } }, "(a|b)[]"],
    [
      "array of objects with a union",
      { type: "array", items: { properties: { a: { enum: [1, 2] } } } },
      "{a?: 1|2}[]",
    ],
    [
      "object",
      { type: "object", properties: { a: {}, b: { type: "null" } }, required: ["b"] },
      "{b: null, a?: any}",
    ],
    ["map", { type: "object", additionalProperties: { type: "string" } }, "{*: string}"],
    ["free object", { type: "object", additionalProperties: true }, "object"],
    ["types", { type: ["string", "null"], format: "uuid" }, "uuid|null"],
    [
      "choice without repeats",
      { anyOf: [{ type: "string" }, { type: "string" }, { type: "null" }] },
      "string|null",
    ],
    ["allOf", { allOf: [{ properties: { a: { type: "string" } } }, { required: ["a"] }] }, "{a: string}"],
    ["nothing", {}, "any"],
    ["true", true, "any"],
    ["three deep", nested(3), "{a?: {a?: {a?: string}}}"],
    ["four deep", nested(4), "{a?: {a?: {a?: object}}}"],
  ])("%s", (_, schema, want) => {
    expect(one(schema)).toBe(want);
  });

  test("references and cycles", () => {
    const node = { type: "object", properties: { name: { type: "string" }, next: { $ref: "#/$defs/Node" } } };
    expect(one({ $ref: "#/$defs/Node" }, { Node: node })).toBe("{name?: string, next?: object}");
    const both = { properties: { a: { $ref: "#/$defs/S" }, b: { $ref: "#/$defs/S" } } };
    expect(one(both, { S: { type: "string", format: "uuid" } })).toBe("{a?: uuid, b?: uuid}");
  });
});

test.each([
  ["", ""],
  ["Find it.", " - Find it"],
  ["Find\n it. And more.", " - Find it"],
  [`${"word ".repeat(30)}`, ` - ${"word ".repeat(20).trim()}`],
  ["x".repeat(120), ` - ${"x".repeat(100)}`],
])("description %j", (description, want) => {
  expect(compact({ type: "object" }, description)).toBe(`f()${want}`);
});

test("names", () => {
  const properties = { "filter[a]": {}, $top: {}, "a-b.c": {} };
  expect(compact({ type: "object", properties, required: ["$top"] })).toBe(
    'f($top: any, "filter[a]"?: any, a-b.c?: any)',
  );
});

describe("renderings are read back", () => {
  const files = readdirSync(fixture("specs")).map((name) => fixture(`specs/${name}`));
  // More documents where they are at hand; the repository does not need them.
  const shared = fileURLToPath(new URL("../../../shared/data/specs", import.meta.url));
  if (existsSync(shared))
    for (const name of readdirSync(shared)) if (name !== "index.json") files.push(`${shared}/${name}`);

  test.each([...files, fixture("openapi/wire.yaml")])("%s", async (file) => {
    const { tools } = buildToolMenu(await loadOpenApi(file, { validate: false }));
    for (const tool of tools) {
      const { name, description, parameters } = tool;
      expect(isDeepStrictEqual(parseFull(renderFull(tool)), { name, description, parameters })).toBe(true);
      const line = renderCompact(tool);
      const parsed = parseCompact(line);
      expect(renderCompact(parsed)).toBe(line.trimEnd());
      expect(parsed.name).toBe(name);
      const required = new Set(parameters.required ?? []);
      const declared = Object.keys(parameters.properties ?? {});
      // A line puts the required ones first; an `allOf` may add to both.
      expect(Object.keys(parsed.parameters.properties ?? {})).toEqual(expect.arrayContaining(declared));
      expect(parsed.parameters.required ?? []).toEqual(expect.arrayContaining([...required]));
      if (parameters.allOf === undefined) {
        expect(Object.keys(parsed.parameters.properties ?? {})).toHaveLength(declared.length);
        expect(parsed.parameters.required ?? []).toHaveLength(required.size);
      }
    }
  });

  const name = fc
    .oneof(fc.constantFrom("a", "$b", "c-d.e", "f[g]", "h: i", '"', "\\", "", "ä"), fc.string())
    .filter(
      (text) => text !== "__proto__", // what is read has no such keys
    );
  const value = fc.oneof(
    fc.constantFrom("a", "b c", "string", "true", "a|b", "[]", "(", "x/y", "- d"),
    fc.oneof(
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constant(null),
    ),
    fc.jsonValue({ maxDepth: 2 }),
  ) as fc.Arbitrary<JsonValue>;
  const { schema } = fc.letrec<{ schema: JsonSchema; object: JsonSchema }>((tie) => ({
    object: fc
      .dictionary(name, tie("schema"), { maxKeys: 3 })
      .chain((properties) =>
        fc
          .subarray(Object.keys(properties))
          .map((required) => ({ type: "object", properties, ...(required.length > 0 ? { required } : {}) })),
      ),
    schema: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom<JsonSchema>(
        {},
        true,
        { type: "string" },
        { type: ["integer", "null"] },
        { format: "date", type: "string" },
      ),
      fc.array(value, { minLength: 1, maxLength: 3 }).map((values) => ({ enum: values })),
      tie("object"),
      tie("schema").map((items) => ({ type: "array", items })),
      tie("schema").map((values) => ({ type: "object", additionalProperties: values })),
      fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    ),
  }));

  test("any schema", () => {
    fc.assert(
      fc.property(
        fc.dictionary(name, schema, { maxKeys: 4 }),
        fc.constantFrom("", "Find it", "a - b (c: d)"),
        (properties, description) => {
          const parameters = {
            type: "object",
            properties: structuredClone(properties),
            required: Object.keys(properties).slice(0, 2),
          };
          const line = renderCompact({ name: "f", description, parameters });
          const parsed = parseCompact(line);
          expect(renderCompact(parsed)).toBe(line.trimEnd());
          expect(new Set(Object.keys(parsed.parameters.properties ?? {}))).toEqual(
            new Set(Object.keys(properties)),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  test.each([
    "",
    "f",
    "f(",
    "f(a)",
    "f(a: )",
    "f(a: integer",
    "f(a: {b: string)",
    'f("a: string)',
    "f(a: -)",
    "f() and more",
    `f(a: ${"(".repeat(100)}`,
  ])("%s is no rendering", (line) => {
    expect(() => parseCompact(line)).toThrowError(SpecdojoError);
  });

  test.each(["", "{}", "[]", '{"name":1,"parameters":{}}', '{"name":"f"}'])(
    "%s is no full rendering",
    (line) => {
      expect(() => parseFull(line)).toThrowError(SpecdojoError);
    },
  );
});
