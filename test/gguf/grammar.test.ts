import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { menuGrammar } from "../../src/agent/grammar/menu.js";
import { decimalNumbers, wholeNumbers } from "../../src/agent/grammar/numbers.js";
import { patternGrammar } from "../../src/agent/grammar/pattern.js";
import { createArgumentValidator } from "../../src/openapi/arguments.js";
import { buildToolMenu, loadOpenApi, type Tool } from "../../src/openapi/index.js";
import { parseCalls } from "../../src/task/parse.js";
import { briefStyle, fullStyle, solverCompletion } from "../../src/task/prompts.js";
import { createValueSampler, optionalParameters } from "../../src/task/values.js";
import type { JsonSchemaObject } from "../../src/util/json.js";
import { createRandom } from "../../src/util/random.js";
import { Gbnf } from "./gbnf.js";

const only = (body: string | undefined): Gbnf => new Gbnf(`root ::= ${body}\n`);

describe("numbers", () => {
  it("whole numbers of a range, and no others", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1200, max: 1200 }),
        fc.integer({ min: 0, max: 1500 }),
        fc.array(fc.integer({ min: -3000, max: 3000 }), { minLength: 20, maxLength: 20 }),
        (low, width, values) => {
          const grammar = only(wholeNumbers({ low: BigInt(low), high: BigInt(low + width) }));
          for (const value of [...values, low, low + width, low - 1, low + width + 1])
            expect(grammar.matches(String(value)), `${value} of ${low}..${low + width}`).toBe(
              value >= low && value <= low + width,
            );
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });

  it("decimals of a range, and no others", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -2000, max: 2000 }),
        fc.integer({ min: 0, max: 3000 }),
        fc.array(fc.integer({ min: -60000, max: 60000 }), { minLength: 20, maxLength: 20 }),
        (low, width, values) => {
          const [from, to] = [low / 100, (low + width) / 100];
          const grammar = only(decimalNumbers(from, to, 15));
          for (const thousandths of [...values, low * 10, (low + width) * 10, low * 10 - 1]) {
            const value = thousandths / 1000;
            expect(grammar.matches(String(value)), `${value} of ${from}..${to}`).toBe(
              value >= from && value <= to,
            );
          }
        },
      ),
      { numRuns: 60, seed: 2 },
    );
  });

  it.each([
    [{}, ["0", "-7", "123456789012345678"], ["01", "", "-", "1e3", "1.0", "1234567890123456789"]],
    [{ low: 1n }, ["1", "999"], ["0", "-1"]],
    [{ low: 5n, high: 4n }, undefined, []],
  ])("%o", (bounds, good, bad) => {
    const body = wholeNumbers(bounds);
    if (good === undefined) return expect(body).toBeUndefined();
    expect([...good, ...bad].filter((text) => only(body).matches(text))).toEqual(good);
  });
});

describe("patterns", () => {
  it.each<[string, string[], string[]]>([
    ["^[A-Z]{3}-\\d+$", ["ABC-1", "XYZ-123"], ["AB-1", "ABC-", "abc-1"]],
    ["^(red|gr[ea]y)?$", ["", "red", "grey"], ["blue"]],
    ["^[^/]+$", ["a b", "x-1"], ["", "a/b"]],
    ["^\\+?[0-9]{7,15}$", ["+4917012345", "1234567"], ["123", "+"]],
    ["^pi_[a-zA-Z0-9]{2,}$", ["pi_ab", "pi_abc1"], ["pi_a", "pa_ab"]],
    ["^(?:\\w+\\.)*\\w+$", ["a.b.c", "a"], ["", ".a"]],
  ])("%s", (pattern, good, bad) => {
    const grammar = only(patternGrammar(pattern));
    expect([...good, ...bad].filter((text) => grammar.matches(text))).toEqual(good);
    const random = createRandom(3);
    for (let i = 0; i < 40; i++) expect(grammar.draw(random)).toMatch(new RegExp(pattern, "u"));
  });

  it.each(["^(?=x).*$", "(a)\\1", "\\p{L}+", "\\bword\\b", "[z-a]", "a^b", "(", "x{2,1}{3}*", '^"$'])(
    "leaves %s to the check",
    (pattern) => expect(patternGrammar(pattern)).toBeUndefined(),
  );
});

/** A tool with these arguments. */
const toolOf = (parameters: JsonSchemaObject): Pick<Tool, "name" | "description" | "parameters"> => ({
  name: "t",
  description: "",
  parameters: { type: "object", ...parameters },
});
const answer = (args: string): string =>
  `<tool_call_answer>[{"name":"t","arguments":${args}}]</tool_call_answer>`;

describe("schemas", () => {
  it.each<[string, JsonSchemaObject, string[], string[]]>([
    [
      "required and optional",
      { properties: { b: { type: "integer" }, a: { type: "string", enum: ["x", "y"] } }, required: ["a"] },
      ['{"a":"x"}', '{"a":"y","b":2}'],
      ['{"b":2}', "{}", '{"b":2,"a":"x"}', '{"a":"z"}', '{"a":"x","b":2.5}', '{"a":"x","c":1}', '{"a":"x",}'],
    ],
    ["nothing", { properties: {}, additionalProperties: false }, ["{}"], ['{"a":1}', "[]"]],
    [
      "nullable",
      { properties: { a: { type: ["string", "null"], maxLength: 3 } } },
      ["{}", '{"a":null}', '{"a":"abc"}', '{"a":"\\u003ca"}'],
      ['{"a":"abcd"}', '{"a":1}', '{"a":"</t"}'],
    ],
    [
      "lists",
      { properties: { a: { type: "array", items: { type: "boolean" }, minItems: 1, maxItems: 2 } } },
      ['{"a":[true]}', '{"a":[true,false]}'],
      ['{"a":[]}', '{"a":[true,true,true]}', '{"a":[1]}'],
    ],
    [
      "different members",
      { properties: { a: { type: "array", uniqueItems: true, items: { enum: ["x", "y", "z"] } } } },
      ['{"a":[]}', '{"a":["z","x"]}'],
      ['{"a":["x","x"]}'],
    ],
    [
      "references, cycles and allOf",
      {
        $defs: {
          node: { type: "object", properties: { id: { type: "integer" }, next: { $ref: "#/$defs/node" } } },
        },
        properties: { a: { allOf: [{ $ref: "#/$defs/node" }, { required: ["id"] }] } },
        required: ["a"],
      },
      ['{"a":{"id":1}}', '{"a":{"id":1,"next":{"id":2,"next":{}}}}'],
      ['{"a":{}}', '{"a":{"next":{"id":1}}}'],
    ],
    [
      "alternatives of which one may fit",
      {
        properties: { id: { type: "integer" }, name: { type: "string" } },
        oneOf: [{ required: ["id"] }, { required: ["name"] }],
      },
      ['{"id":1}', '{"name":"x"}'],
      ["{}", '{"id":1,"name":"x"}'],
    ],
    [
      "maps",
      { properties: { a: { type: "object", additionalProperties: { type: "integer" } } } },
      ['{"a":{}}', '{"a":{"x":1,"y z":2}}'],
      ['{"a":{"x":"1"}}'],
    ],
    [
      "constants",
      { properties: { a: { const: "<think>" } }, required: ["a"] },
      ['{"a":"\\u003cthink>"}'],
      ['{"a":"<think>"}'],
    ],
    [
      "formats",
      { properties: { d: { type: "string", format: "date" }, u: { type: "string", format: "uuid" } } },
      ['{"d":"2024-02-28"}', '{"u":"123e4567-e89b-12d3-a456-426614174000"}'],
      ['{"d":"2024-02-30"}', '{"d":"tomorrow"}', '{"u":"x"}'],
    ],
    [
      "tens",
      { properties: { n: { type: "integer", multipleOf: 10, maximum: 50 } } },
      ['{"n":20}'],
      ['{"n":25}', '{"n":60}'],
    ],
    [
      "exclusive bounds",
      { properties: { n: { type: "number", exclusiveMinimum: 0, maximum: 1 } } },
      ['{"n":0.5}', '{"n":1}'],
      ['{"n":0}', '{"n":1.5}', '{"n":0.0}'],
    ],
  ])("%s", (_, schema, good, bad) => {
    const grammar = new Gbnf(menuGrammar([toolOf(schema)], { style: briefStyle }));
    expect([...good, ...bad].filter((args) => grammar.matches(answer(args)))).toEqual(good);
  });

  it("says what comes before the calls, and asks for one where it has to", () => {
    const tools = [toolOf({ properties: {} })];
    const call = answer("{}");
    const none = "<tool_call_answer>[]</tool_call_answer>";
    const thought = `<think>if a < b</think>\n${call}`;
    const texts = [call, none, `Which pet?${none}`, thought, `${call}${call}`, "<tool_call_answer>"];
    const matching = (options: Parameters<typeof menuGrammar>[1]) => {
      const grammar = new Gbnf(menuGrammar(tools, options));
      return texts.filter((text) => grammar.matches(text));
    };
    expect(matching({ style: briefStyle })).toEqual([call, none, `Which pet?${none}`]);
    expect(matching({ style: fullStyle })).toEqual([call, none, `Which pet?${none}`, thought]);
    expect(matching({ style: briefStyle, mustCall: true })).toEqual([call]);
    expect(matching({ style: fullStyle, mustCall: true })).toEqual([call, thought]);
    expect(new Gbnf(menuGrammar([], { style: briefStyle })).matches(none)).toBe(true);
  });

  it("a required schema that contains itself without end leaves the tool out", () => {
    const self = { type: "object", properties: { a: { $ref: "#/$defs/x" } }, required: ["a"] };
    const tool = toolOf({ $defs: { x: self }, properties: { a: { $ref: "#/$defs/x" } }, required: ["a"] });
    const grammar = new Gbnf(menuGrammar([tool], { style: briefStyle }));
    expect(grammar.draw(createRandom(1))).toContain("<tool_call_answer>[]");
  });
});

const specs = fileURLToPath(new URL("../fixtures/specs/", import.meta.url));

describe.each([
  "petstore-3.0.yaml",
  "petstore-3.1.json",
  "petstore-2.0.json",
  "museum-3.1.yaml",
  "uber-2.0.yaml",
])("the grammar of %s", (file) => {
  it("gives only calls that the schemas allow", async () => {
    const menu = buildToolMenu(await loadOpenApi(join(specs, file)));
    const grammar = new Gbnf(menuGrammar(menu.tools, { style: briefStyle }));
    const validator = createArgumentValidator();
    const random = createRandom(file);
    let seen = 0;
    for (let i = 0; i < 150; i++) {
      const text = grammar.draw(random);
      const calls = parseCalls(text);
      if (!Array.isArray(calls)) throw new Error(`${calls.message}: ${text}`);
      for (const call of calls) {
        const tool = menu.tools.find(({ name }) => name === call.name);
        expect(tool && validator.validate(tool, call.arguments), text).toEqual({ ok: true });
        seen++;
      }
    }
    expect(seen).toBeGreaterThan(100);
  });

  it("allows the calls that practice is made of", async () => {
    const menu = buildToolMenu(await loadOpenApi(join(specs, file)));
    const grammar = new Gbnf(menuGrammar(menu.tools, { style: briefStyle }));
    const random = createRandom(file);
    const values = createValueSampler();
    for (const tool of menu.tools) {
      const args = values.arguments(tool, optionalParameters(tool).slice(0, 4), random);
      if (args === null) continue;
      const text = solverCompletion([{ name: tool.name, arguments: args }]);
      expect(grammar.matches(text), text).toBe(true);
    }
  });
});
