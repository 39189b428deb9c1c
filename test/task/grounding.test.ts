import { describe, expect, it } from "vitest";
import type { Tool } from "../../src/openapi/types.js";
import { groundCall, readQuestion } from "../../src/task/grounding.js";
import { numbersIn } from "../../src/task/numbers.js";
import type { JsonSchemaObject, JsonValue } from "../../src/util/json.js";
import { tool } from "./menu.js";

const base: Tool = tool("listPlants");

function missing(question: string, value: JsonValue, schema: JsonSchemaObject = {}, key = "value"): string[] {
  const changed: Tool = { ...base, parameters: { type: "object", properties: { [key]: schema } } };
  const grounding = groundCall(
    readQuestion(question),
    { name: changed.name, arguments: { [key]: value } },
    changed,
  );
  return grounding.missing.map(({ pointer }) => pointer);
}

describe("numbers", () => {
  it.each<[string, { given: string; want: number[] }]>([
    ["plain", { given: "page 3, please", want: [3] }],
    ["at the end", { given: "Show plant 3.", want: [3] }],
    ["negative", { given: "it is -5 outside", want: [-5] }],
    ["negative in words", { given: "minus five, or negative 7", want: [-5, -7] }],
    ["fraction", { given: "costs $19.99!", want: [19.99] }],
    ["no number inside another", { given: "15 and 5.5", want: [15, 5.5] }],
    ["no number inside a word", { given: "abc5 v2 5abc", want: [] }],
    ["units", { given: "5kg, 10th, 3pm", want: [5, 10, 3] }],
    ["thousands", { given: "1,200 or 1,200,000", want: [1200, 1_200_000] }],
    ["lists", { given: "1,2,3 or 12,34", want: [1, 2, 3, 12, 34] }],
    ["a range is no sign", { given: "5-10", want: [5, 10] }],
    ["scales", { given: "5k and 2 million", want: [5, 5000, 2_000_000] }],
    ["words", { given: "three of twenty-one", want: [3, 21] }],
    ["large words", { given: "two hundred and five, four thousand, a dozen", want: [205, 4000, 12] }],
    ["ordinals", { given: "the third page", want: [3] }],
    ["words side by side", { given: "five six", want: [5, 6] }],
    ["not in a clock time or version", { given: "at 12:30 with 1.2.3", want: [] }],
    ["not in an ISO date", { given: "on 2024-05-01", want: [] }],
    ["exponents", { given: "1e3", want: [1000] }],
  ])("%s", (_name, { given, want }) => {
    expect([...numbersIn(given)].sort((a, b) => a - b)).toEqual([...want].sort((a, b) => a - b));
  });
});

describe("groundCall", () => {
  it.each<[string, { given: [string, JsonValue]; want: boolean }]>([
    ["-5 is not in 5", { given: ["Set it to 5", -5], want: false }],
    ["5 is not in -5", { given: ["Set it to -5", 5], want: false }],
    ["5 is not in 15", { given: ["Set it to 15", 5], want: false }],
    ["1.5 is not in 15", { given: ["Set it to 15", 1.5], want: false }],
    ["1.5 is not in 1 and 5", { given: ["Set it to 1 or 5", 1.5], want: false }],
    ["5 is not in 1.5", { given: ["Set it to 1.5", 5], want: false }],
    ["-5 is in -5", { given: ["Set it to -5.", -5], want: true }],
    ["a number as a text", { given: ["room 12", "12"], want: true }],
    ["a number text keeps its sign", { given: ["room 12", "-12"], want: false }],
    ["any case", { given: ["plants called ROSE", "Rose"], want: true }],
    ["whole words only", { given: ["the rosebud", "rose"], want: false }],
    ["before a comma", { given: ["rose, tulip", "rose"], want: true }],
    ["joined words may be spoken apart", { given: ["those in bloom", "in_bloom"], want: true }],
    ["camel case may be spoken apart", { given: ["those in bloom", "inBloom"], want: true }],
    ["words apart may be joined", { given: ["the sign-up form", "sign up"], want: true }],
    ["a part of the words is not enough", { given: ["those in pots", "in_bloom"], want: false }],
    ["curly quotes", { given: ["it\u2019s called \u201cO'Hara\u2019s\u201d", "O'Hara's"], want: true }],
    ["an address", { given: ["write to ada@x.org.", "ada@x.org"], want: true }],
    ["not the end of another address", { given: ["write to nada@x.org", "ada@x.org"], want: false }],
    ["a code with digits", { given: ["plant AB-1234", "AB-1234"], want: true }],
    ["not the beginning of a longer code", { given: ["plant AB-12345", "AB-1234"], want: false }],
    ["a version is not a longer one", { given: ["version 1.2.3", "1.2"], want: false }],
    ["a country code is not the pronoun", { given: ["show us plants", "US"], want: false }],
    ["a country code in capitals", { given: ["plants from the US", "US"], want: true }],
    ["phone numbers by their digits", { given: ["call +49 555-010 200", "+49555010200"], want: true }],
    ["another phone number", { given: ["call +49 555-010 201", "+49555010200"], want: false }],
    ["a direction in full", { given: ["in descending order", "desc"], want: true }],
    ["a long identifier", { given: ["order 123456789012345678901", "123456789012345678901"], want: true }],
    ["its neighbour", { given: ["order 123456789012345678901", "123456789012345678902"], want: false }],
    ["an ISO date", { given: ["on 2024-05-01", "2024-05-01"], want: true }],
    ["a date in words", { given: ["on May 1st, 2024", "2024-05-01"], want: true }],
    ["a date with the day first", { given: ["on the 1st of May 2024", "2024-05-01"], want: true }],
    ["a short month", { given: ["on 3 Sept 2024", "2024-09-03"], want: true }],
    ["another day", { given: ["on May 2nd, 2024", "2024-05-01"], want: false }],
    ["a date without its year", { given: ["on May 1st", "2024-05-01"], want: false }],
    ["day and month that can be confused", { given: ["on 01/05/2024", "2024-05-01"], want: false }],
    ["day and month that cannot", { given: ["on 25/12/2024", "2024-12-25"], want: true }],
    ["a moment", { given: ["on May 1, 2024 at 9am", "2024-05-01T09:00:00Z"], want: true }],
    [
      "a moment in the afternoon",
      { given: ["on 2024-05-01 at 2:30 pm", "2024-05-01T14:30:00Z"], want: true },
    ],
    ["a moment at another time", { given: ["on May 1, 2024 at 9pm", "2024-05-01T09:00:00Z"], want: false }],
    ["midnight need not be said", { given: ["from May 1, 2024", "2024-05-01T00:00:00Z"], want: true }],
    ["a time", { given: ["at half past, 09:30", "09:30"], want: true }],
    ["null wants a word", { given: ["clear the note", null], want: true }],
    ["null without one", { given: ["the note", null], want: false }],
    ["an empty text without a word", { given: ["the note", ""], want: false }],
    ["a cyrillic word", { given: ["найди роза", "Роза"], want: true }],
    ["a symbol", { given: ["everything: *", "*"], want: true }],
  ])("%s", (_name, { given: [question, value], want }) => {
    expect(missing(question, value)).toEqual(want ? [] : ["/value"]);
  });

  it.each<[string, { given: [string, boolean, string]; want: boolean }]>([
    ["named", { given: ["only shaded plants", true, "shaded"], want: true }],
    ["named and negated is not true", { given: ["plants that are not shaded", true, "shaded"], want: false }],
    ["named and negated", { given: ["plants that are not shaded", false, "shaded"], want: true }],
    ["named and not negated is not false", { given: ["only shaded plants", false, "shaded"], want: false }],
    ["said as false", { given: ["with shaded: false", false, "shaded"], want: true }],
    ["in another form", { given: ["don't include archives", false, "includeArchived"], want: true }],
    ["not spoken of", { given: ["all plants", true, "shaded"], want: false }],
    ["a word of the other kind", { given: ["disable it", false, "enabled"], want: true }],
  ])("booleans: %s", (_name, { given: [question, value, key], want }) => {
    expect(missing(question, value, {}, key)).toEqual(want ? [] : [`/${key}`]);
  });

  it("looks at every element and nested value, and points at the missing one", () => {
    const value = { tags: ["red", "tall"], place: { city: "Porto" } };
    const schema = { properties: { tags: {}, place: { properties: { city: {} } } } };
    expect(missing("red and tall from Porto", value, schema)).toEqual([]);
    expect(missing("red from Porto", value, schema)).toEqual(["/value/tags/1"]);
    expect(missing("red and tall", value, schema)).toEqual(["/value/place/city"]);
  });

  it("a map's own keys are values too", () => {
    const map = { type: "object", additionalProperties: { type: "string" } };
    expect(missing("set color to red", { color: "red" }, map)).toEqual([]);
    expect(missing("make it red", { color: "red" }, map)).toEqual(["/value/color"]);
  });

  it("what the schema fixes need not be said", () => {
    expect(missing("add it", "article", { const: "article" })).toEqual([]);
    expect(missing("add it", "article", { enum: ["article"] })).toEqual([]);
    expect(missing("add it", "article", { enum: ["article", "book"] })).toEqual(["/value"]);
    expect(missing("add it", "article", { anyOf: [{ const: "article" }, { const: "book" }] })).toEqual([
      "/value",
    ]);
  });

  it("takes time linear in hostile text", () => {
    for (const unit of ["1", "1 ", "-", "1,", "a", "a-", "1:", "(1", "may 1 ", "five ", "+1 "]) {
      const start = performance.now();
      const reading = readQuestion(unit.repeat(50_000));
      groundCall(
        reading,
        { name: base.name, arguments: { state: "a-".repeat(100), x: `${"a".repeat(5000)}!` } },
        base,
      );
      expect(performance.now() - start, unit).toBeLessThan(1500);
    }
  });
});
