import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { callKey, callsEqual, valuesEqual } from "../../src/task/equality.js";
import type { ToolCall } from "../../src/task/types.js";
import type { JsonSchemaObject, JsonValue } from "../../src/util/json.js";
import { call, menu } from "./menu.js";

const number: JsonSchemaObject = { type: "number" };
const cases: [string, { given: [JsonValue, JsonValue, JsonSchemaObject?]; want: boolean }][] = [
  ["true is not 1", { given: [true, 1], want: false }],
  ["false is not 0, nor null", { given: [false, 0], want: false }],
  ["1.0 is 1", { given: [JSON.parse("1.0"), 1], want: true }],
  ["-0 is 0", { given: [-0, 0], want: true }],
  ["a text is not a number where nothing is known", { given: ["1.0", 1], want: false }],
  ["a text is read as the number that the schema asks for", { given: ["1.0", 1, number], want: true }],
  ["an integer text for an integer", { given: ["3", 3, { type: "integer" }], want: true }],
  ["a fraction is no integer", { given: ["3.5", 3.5, { type: "integer" }], want: false }],
  [
    "a text stays a text where the schema allows texts",
    { given: ["3", 3, { type: ["string", "integer"] }], want: false },
  ],
  ["leading zeros belong to a text", { given: ["007", 7, number], want: false }],
  ["a number is not read as a text", { given: [3, "3", { type: "string" }], want: false }],
  [
    "digits beyond 2^53 are not lost",
    { given: ["9007199254740993", "9007199254740992", number], want: false },
  ],
  ["a boolean text for a boolean", { given: ["true", true, { type: "boolean" }], want: true }],
  ["True is not true", { given: ["True", true, { type: "boolean" }], want: false }],
  [
    "keys in any order",
    {
      given: [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
      want: true,
    },
  ],
  ["a missing key is not null", { given: [{ a: null }, {}], want: false }],
  [
    "arrays are ordered",
    {
      given: [
        [1, 2],
        [2, 1],
      ],
      want: false,
    },
  ],
  ["case counts", { given: ["Rose", "rose"], want: false }],
  ["dates are texts", { given: ["2024-05-01", "2024-05-01T00:00:00Z"], want: false }],
  [
    "types of nested values, through references",
    {
      given: [
        { at: [{ n: "2" }] },
        { at: [{ n: 2 }] },
        {
          properties: { at: { type: "array", items: { $ref: "#/$defs/N" } } },
          $defs: { N: { type: "object", properties: { n: number } } },
        },
      ],
      want: true,
    },
  ],
  ["a schema that refers to itself", { given: [{ a: 1 }, { a: 1 }, { $ref: "#" }], want: true }],
  ["__proto__ is a key like others", { given: [JSON.parse('{"__proto__":1}'), {}], want: false }],
];

describe("valuesEqual", () => {
  it.each(cases)("%s", (_name, { given, want }) => {
    const [left, right, schema] = given;
    expect(valuesEqual(left, right, schema)).toBe(want);
    expect(valuesEqual(right, left, schema)).toBe(want);
  });

  it("is reflexive, symmetric and survives JSON", () => {
    const json = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<JsonValue>;
    const schema = fc.constantFrom<JsonSchemaObject | undefined>(
      undefined,
      number,
      { type: "boolean" },
      { type: "array", items: number },
    );
    fc.assert(
      fc.property(json, json, schema, (left, right, type) => {
        expect(valuesEqual(left, JSON.parse(JSON.stringify(left)) as JsonValue, type)).toBe(true);
        expect(valuesEqual(left, right, type)).toBe(valuesEqual(right, left, type));
      }),
    );
  });
});

describe("callsEqual", () => {
  const plant = (plantId: JsonValue): ToolCall => call("getPlant", { plantId });
  it.each<[string, { given: [ToolCall[], ToolCall[]]; want: boolean }]>([
    [
      "any order",
      {
        given: [
          [plant(1), plant(2)],
          [plant(2), plant(1)],
        ],
        want: true,
      },
    ],
    [
      "each as often",
      {
        given: [
          [plant(1), plant(1), plant(2)],
          [plant(1), plant(2), plant(2)],
        ],
        want: false,
      },
    ],
    ["all calls count, not only the first", { given: [[plant(1), plant(2)], [plant(1)]], want: false }],
    ["the name counts", { given: [[plant(1)], [call("deletePlant", { plantId: 1 })]], want: false }],
    ["the tools give the types", { given: [[plant("1")], [plant(1)]], want: true }],
    [
      "an unknown argument is not ignored",
      { given: [[plant(1)], [call("getPlant", { plantId: 1, x: 2 })]], want: false },
    ],
    ["no calls", { given: [[], []], want: true }],
  ])("%s", (_name, { given: [left, right], want }) => {
    expect(callsEqual(left, right, menu.tools)).toBe(want);
    expect(callsEqual(right, left, menu.tools)).toBe(want);
  });

  it("agrees with callKey", () => {
    expect(callKey(plant("1"), menu.tools)).toBe(callKey(plant(1), menu.tools));
    expect(callKey(plant("1"))).not.toBe(callKey(plant(1)));
  });
});
