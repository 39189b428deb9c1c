import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { validateArguments } from "../../src/openapi/arguments.js";
import { patternText } from "../../src/task/patterns.js";
import { createValueSampler, optionalParameters } from "../../src/task/values.js";
import type { JsonSchemaObject, JsonValue } from "../../src/util/json.js";
import { createRandom } from "../../src/util/random.js";
import { tool } from "./menu.js";

const sampler = createValueSampler();

function sample(
  parameters: JsonSchemaObject,
  seed: number,
  optional: string[] = [],
): Record<string, JsonValue> {
  const changed = { ...tool("getPlant"), parameters };
  const args = sampler.arguments(changed, optional, createRandom(seed));
  if (args === null) throw new Error("nothing sampled");
  expect(validateArguments(changed, args)).toEqual({ ok: true });
  return args;
}
const values = (schema: JsonSchemaObject, name = "value", count = 40): JsonValue[] =>
  Array.from(
    { length: count },
    (_, seed) =>
      sample({ type: "object", properties: { [name]: schema }, required: [name] }, seed)[name] ?? null,
  );

it("headers that the client sends are nothing that a person is asked to say", () => {
  const header = (name: string) => ({ in: "header", name, style: "simple", explode: false }) as const;
  const properties = {
    Authorization: { type: "string" },
    accept: { type: "string" },
    trace: { type: "string" },
  };
  const bindings = {
    Authorization: header("Authorization"),
    accept: header("Accept"),
    trace: header("X-Trace"),
  };
  const shown = { ...tool("getPlant"), parameters: { type: "object", properties }, bindings };
  expect(optionalParameters(shown)).toEqual(["trace"]);
});

describe("sampled values are valid", () => {
  it.each<[string, JsonSchemaObject]>([
    ["integer in a narrow range", { type: "integer", minimum: 7, maximum: 8 }],
    ["integer above the usual", { type: "integer", minimum: 1_000_000 }],
    ["integer below zero", { type: "integer", maximum: -5 }],
    ["open bounds", { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 }],
    ["multiples", { type: "number", multipleOf: 0.25, minimum: 1, maximum: 3 }],
    ["multiples of an integer", { type: "integer", multipleOf: 15 }],
    ["64-bit bounds", { type: "integer", format: "int64", minimum: -(2 ** 63), maximum: 2 ** 63 }],
    ["short text", { type: "string", maxLength: 3 }],
    ["long text", { type: "string", minLength: 40 }],
    ["exact length", { type: "string", minLength: 5, maxLength: 5 }],
    ["pattern", { type: "string", pattern: "^[A-Z]{3}-\\d{2,4}$" }],
    ["pattern with groups", { type: "string", pattern: "^(?:red|green|(blue|teal)-x)+$" }],
    ["enum", { enum: ["a", 2, true] }],
    ["const", { const: { a: [1] } }],
    ["nullable", { type: ["string", "null"] }],
    [
      "one of",
      {
        oneOf: [
          { type: "string", maxLength: 4 },
          { type: "integer", minimum: 100 },
        ],
      },
    ],
    [
      "all of",
      {
        allOf: [
          { type: "object", properties: { a: { type: "integer" } }, required: ["a"] },
          { properties: { b: { type: "string" } }, required: ["b"] },
        ],
      },
    ],
    ["list of distinct", { type: "array", items: { enum: ["x", "y", "z"] }, uniqueItems: true, minItems: 2 }],
    ["list with a length", { type: "array", items: { type: "integer" }, minItems: 4, maxItems: 4 }],
    [
      "nested objects",
      {
        type: "object",
        properties: {
          a: {
            type: "object",
            properties: {
              b: {
                type: "array",
                items: {
                  type: "object",
                  properties: { c: { type: "string", format: "uuid" } },
                  required: ["c"],
                },
              },
            },
            required: ["b"],
          },
        },
        required: ["a"],
      },
    ],
    ["map", { type: "object", additionalProperties: { type: "integer" } }],
    ["anything", {}],
    [
      "a key named __proto__",
      {
        type: "object",
        properties: JSON.parse('{"__proto__":{"type":"integer"}}') as Record<string, JsonSchemaObject>,
        required: ["__proto__"],
      },
    ],
    ...[
      "date",
      "date-time",
      "time",
      "email",
      "uuid",
      "uri",
      "hostname",
      "ipv4",
      "ipv6",
      "duration",
      "uri-reference",
    ].map((format): [string, JsonSchemaObject] => [format, { type: "string", format }]),
  ])("%s", (_name, schema) => {
    expect(values(schema)).toHaveLength(40);
  });

  it("with references and cycles, which end", () => {
    const node: JsonSchemaObject = {
      type: "object",
      properties: {
        label: { type: "string" },
        next: { $ref: "#/$defs/Node" },
        all: { type: "array", items: { $ref: "#/$defs/Node" } },
      },
      required: ["label"],
    };
    for (let seed = 0; seed < 40; seed++) {
      const args = sample(
        {
          type: "object",
          properties: { node: { $ref: "#/$defs/Node" } },
          required: ["node"],
          $defs: { Node: node },
        },
        seed,
      );
      expect(JSON.stringify(args).length).toBeLessThan(600);
    }
  });

  it("where one of several sets of parameters is required", () => {
    const properties = { id: { type: "integer" }, slug: { type: "string" } };
    const parameters = { type: "object", properties, oneOf: [{ required: ["id"] }, { required: ["slug"] }] };
    const kinds = new Set(
      Array.from({ length: 30 }, (_, seed) => Object.keys(sample(parameters, seed)).join()),
    );
    expect(kinds).toEqual(new Set(["id", "slug"]));
  });

  it("where more is required than `required` says", () => {
    const properties = { a: { type: "integer" }, b: { type: "string" }, c: { type: "boolean" } };
    for (let seed = 0; seed < 20; seed++) sample({ type: "object", properties, minProperties: 2 }, seed);
  });

  it("gives up on what cannot be, without an exception", () => {
    const parameters = { type: "object", properties: { a: { not: {} } }, required: ["a"] };
    expect(sampler.arguments({ ...tool("getPlant"), parameters }, [], createRandom(1))).toBeNull();
  });
});

describe("sampled values are realistic", () => {
  it.each<[string, { given: JsonSchemaObject; want: (value: never) => boolean }]>([
    ["email", { given: { type: "string" }, want: (value: string) => /^\S+@\S+\.\w+$/.test(value) }],
    ["latitude", { given: { type: "number" }, want: (value: number) => Math.abs(value) <= 90 }],
    ["limit", { given: { type: "integer" }, want: (value: number) => value >= 1 && value <= 100 }],
    ["price", { given: { type: "number" }, want: (value: number) => value > 0 && value < 1000 }],
    ["year", { given: { type: "integer" }, want: (value: number) => value > 1900 && value < 2100 }],
    ["startDate", { given: { type: "string" }, want: (value: string) => /^\d{4}-\d\d-\d\d$/.test(value) }],
    ["country_code", { given: { type: "string" }, want: (value: string) => /^[A-Z]{2}$/.test(value) }],
    ["currency", { given: { type: "string" }, want: (value: string) => /^[A-Z]{3}$/.test(value) }],
    ["websiteUrl", { given: { type: "string" }, want: (value: string) => value.startsWith("https://") }],
    ["phone", { given: { type: "string" }, want: (value: string) => /^[+\d][\d -]+$/.test(value) }],
  ])("%s", (name, { given, want }) => {
    for (const value of values(given, name)) expect(want(value as never), String(value)).toBe(true);
  });

  it("are one line, short and varied", () => {
    for (const name of ["name", "title", "city", "tag", "description", "query", "id", "anything"]) {
      const list = values({ type: "string" }, name, 200);
      for (const value of list) expect(String(value)).toMatch(/^\S.{0,58}\S$/);
      expect(new Set(list).size, name).toBeGreaterThan(name === "description" ? 25 : 80);
    }
  });

  it("take the document's examples sometimes", () => {
    const list = values({ type: "string", examples: ["Zanzibar"] }, "city", 200);
    const share = list.filter((value) => value === "Zanzibar").length / list.length;
    expect(share).toBeGreaterThan(0.05);
    expect(share).toBeLessThan(0.3);
  });

  it("list nothing twice", () => {
    for (const list of values({ type: "array", items: { type: "boolean" }, maxItems: 3 }) as boolean[][])
      expect(new Set(list).size).toBe(list.length);
  });
});

describe("patternText", () => {
  it.each([
    "^\\d{3}-[a-f0-9]+$",
    "^(a|b)?c*$",
    "^[^a-z]{4}$",
    "^\\w+\\.(com|org)$",
    "^RT[0-9a-fA-F]{32}$",
    "x{2,}",
    "^\\+?[1-9]\\d{6,14}$",
    "^[\\w-]+$",
  ])("%s", (pattern) => {
    for (let seed = 0; seed < 30; seed++)
      expect(patternText(pattern, createRandom(seed))).toMatch(new RegExp(pattern));
  });

  it.each([
    "(?=x)y",
    "(a)\\1",
    "\\p{L}+",
    "[b-a]",
    "(",
    "a)",
    "((((a{99}){99}){99}){99})",
    "(((((){99}){99}){99}){99}){99}",
  ])("is null for %s", (pattern) => expect(patternText(pattern, createRandom(1))).toBeNull());

  it("ends for any pattern", () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 60, unit: fc.constantFrom(..."ab([{*+?|)]}\\d^$,-.129") }),
        (pattern) => {
          const text = patternText(pattern, createRandom(1));
          expect(text === null || typeof text === "string").toBe(true);
        },
      ),
    );
  });
});
