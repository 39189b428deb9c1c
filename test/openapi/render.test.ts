import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { renderCompact, renderFull } from "../../src/openapi/index.js";
import type { JsonSchema, JsonSchemaObject } from "../../src/util/json.js";
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
