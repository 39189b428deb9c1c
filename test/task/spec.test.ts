import { describe, expect, it } from "vitest";
import { createArgumentValidator } from "../../src/openapi/arguments.js";
import { generatorCompletion } from "../../src/task/prompts.js";
import { isRejection } from "../../src/task/rejection.js";
import { createSpecGenerator, type SpecOptions } from "../../src/task/spec.js";
import type { TaskSpec, ToolCall } from "../../src/task/types.js";
import { createVerifier } from "../../src/task/verify.js";
import type { JsonValue } from "../../src/util/json.js";
import { menu, tool } from "./menu.js";

function draw(count: number, options: Partial<SpecOptions> = {}): TaskSpec[] {
  const generator = createSpecGenerator(menu, options);
  return Array.from({ length: count }, () => generator.next());
}
const callsOf = (spec: TaskSpec): ToolCall[] => (spec.answer.kind === "given" ? spec.answer.calls : []);
const share = (specs: TaskSpec[], test: (spec: TaskSpec) => boolean): number =>
  specs.filter(test).length / specs.length;

describe("createSpecGenerator", () => {
  const specs = draw(2000, { seed: 1 });

  it("is reproducible, and differs by seed", () => {
    expect(draw(50, { seed: 1 })).toEqual(specs.slice(0, 50));
    expect(draw(50, { seed: 2 }).map(callsOf)).not.toEqual(specs.slice(0, 50).map(callsOf));
    expect(new Set(specs.map(({ id }) => id)).size).toBe(specs.length);
  });

  it("shows what fits into a prompt, and leaves out what does not fit alone", () => {
    const large = menu.tools[0]?.name ?? "";
    const fits = (tools: readonly { name: string }[]): boolean =>
      tools.length <= 2 && tools.every(({ name }) => name !== large);
    const generator = createSpecGenerator(menu, { seed: 1, fits });
    const drawn = Array.from({ length: 300 }, () => generator.next());
    expect(generator.coverage.unsampled).toEqual([large]);
    expect(new Set(drawn.map(({ tools }) => tools.length))).toEqual(new Set([1, 2]));
    for (const spec of drawn) {
      expect(spec.tools).not.toContain(large);
      for (const call of callsOf(spec)) expect(spec.tools).toContain(call.name);
    }
  });

  it("has the paper's distributions by default", () => {
    const single = specs.filter(({ context }) => context === "single_turn");
    expect(share(specs, ({ context }) => context === "multi_turn")).toBeCloseTo(0.1, 1);
    expect(share(single, (spec) => callsOf(spec).length === 2)).toBeCloseTo(0.2, 1);
    expect(specs.filter((spec) => spec.context === "multi_turn" && callsOf(spec).length > 1)).toEqual([]);
    const one = specs.filter((spec) => callsOf(spec).length === 1);
    expect(share(one, ({ tools }) => tools.length <= 4)).toBeCloseTo(0.4, 1);
    expect(new Set(one.map(({ tools }) => tools.length))).toEqual(new Set([2, 3, 4, 5, 6, 7, 8]));
    expect(
      new Set(specs.filter((spec) => callsOf(spec).length === 2).map(({ tools }) => tools.length)),
    ).toEqual(new Set([3, 4, 5]));
  });

  it("shows every tool once, among them those of the answer", () => {
    for (const spec of specs) {
      expect(new Set(spec.tools).size).toBe(spec.tools.length);
      for (const { name } of callsOf(spec)) expect(spec.tools).toContain(name);
    }
  });

  it("gives the answer's tool no place of its own", () => {
    const four = specs.filter((spec) => spec.tools.length === 4 && callsOf(spec).length === 1);
    for (let place = 0; place < 4; place++)
      expect(share(four, (spec) => spec.tools[place] === callsOf(spec)[0]?.name)).toBeCloseTo(0.25, 1);
  });

  it("takes near neighbours as distractors more often than far ones", () => {
    const small = specs.filter((spec) => spec.tools.length <= 4 && callsOf(spec)[0]?.name === "getPlant");
    const count = (name: string): number => small.filter(({ tools }) => tools.includes(name)).length;
    expect(count("deletePlant")).toBeGreaterThan(count("hireGardener"));
  });

  it("gives only calls that the schemas accept, and never the same call twice", () => {
    const validator = createArgumentValidator();
    for (const spec of specs)
      for (const call of callsOf(spec))
        expect(validator.validate(tool(call.name), call.arguments), JSON.stringify(call)).toEqual({
          ok: true,
        });
    for (const [a, b] of specs.map(callsOf))
      if (b !== undefined) expect(JSON.stringify(a)).not.toBe(JSON.stringify(b));
    const pairs = specs.map(callsOf).filter((calls) => calls.length === 2);
    const same = pairs.filter(([a, b]) => a?.name === b?.name).length;
    expect(same).toBeGreaterThan(0);
    expect(same / pairs.length).toBeLessThan(0.4);
  });

  it("gives only values that a question can say", () => {
    const verifier = createVerifier(menu, { topic: false });
    const words = (value: JsonValue, key: string): string =>
      Array.isArray(value)
        ? value.map((item) => words(item, key)).join(", ")
        : typeof value === "object" && value !== null
          ? Object.entries(value)
              .map(([name, item]) => words(item, name))
              .join(", ")
          : typeof value === "boolean"
            ? `${key}: ${value}`
            : String(value);
    for (const spec of specs) {
      const values = callsOf(spec).map((call) => words(call.arguments, ""));
      const result = verifier.verify(
        { ...spec, context: "single_turn" },
        generatorCompletion(`I want this done: ${values.join("; ")}`),
      );
      expect(isRejection(result) ? `${result.message} in ${JSON.stringify(callsOf(spec))}` : "").toBe("");
      for (const value of values) expect(value.length).toBeLessThan(220);
    }
  });

  it("hardly ever repeats a free value", () => {
    const names = specs
      .flatMap(callsOf)
      .flatMap((call) => (typeof call.arguments.name === "string" ? [call.arguments.name] : []));
    expect(new Set(names).size / names.length).toBeGreaterThan(0.7);
  });

  it("practises every operation alike, and every optional parameter", () => {
    const generator = createSpecGenerator(menu, { seed: 3 });
    for (let i = 0; i < 220; i++) generator.next();
    const { operations, optionalParameters, unsampled } = generator.coverage;
    const counts = Object.values(operations);
    expect(counts).toHaveLength(menu.tools.length);
    expect(Math.min(...counts)).toBeGreaterThan(0.5 * Math.max(...counts));
    for (const [name, parameters] of Object.entries(optionalParameters))
      for (const [parameter, count] of Object.entries(parameters))
        expect(count, `${name}.${parameter}`).toBeGreaterThan(0);
    expect(unsampled).toEqual([]);
    expect(JSON.parse(JSON.stringify(generator.coverage))).toEqual(generator.coverage);
  });

  it("does not take all optional parameters at once", () => {
    for (const call of specs.flatMap(callsOf)) {
      const required = new Set(tool(call.name).parameters.required);
      const optional = Object.keys(call.arguments).filter((name) => !required.has(name));
      expect(optional.length).toBeLessThanOrEqual(3);
    }
  });

  it("says what changes when something is to change", () => {
    for (const call of specs.flatMap(callsOf))
      if (call.name === "updatePlant") expect(Object.keys(call.arguments).length).toBeGreaterThan(1);
  });

  it("practises what is weighted more", () => {
    const generator = createSpecGenerator(menu, {
      seed: 4,
      calls: [1, 0],
      weights: { getPlant: 3, deletePlant: 0 },
    });
    for (let i = 0; i < 300; i++) generator.next();
    const { operations } = generator.coverage;
    expect(operations.deletePlant).toBe(0);
    expect((operations.getPlant ?? 0) / (operations.addPlant ?? 1)).toBeCloseTo(3, 0);
  });

  it("weighs domains", () => {
    const visits = draw(300, { domains: { plants: 0, staff: 1, visits: 3 } });
    expect(share(visits, ({ domain }) => domain === "visits")).toBeCloseTo(0.75, 2);
    expect(share(visits, ({ domain }) => domain === "plants")).toBe(0);
  });

  it.each<[string, { given: Partial<SpecOptions>; want: number[] }]>([
    ["all", { given: { menuSize: "all" }, want: [menu.tools.length] }],
    ["a number", { given: { menuSize: 6 }, want: [6] }],
    ["more than there are", { given: { menuSize: 99 }, want: [menu.tools.length] }],
    ["a range", { given: { menuSize: [{ min: 3, max: 3, weight: 1 }], calls: [1, 0] }, want: [3] }],
  ])("menu size: %s", (_name, { given, want }) => {
    expect([...new Set(draw(60, given).map(({ tools }) => tools.length))]).toEqual(want);
  });

  it("leaves operations and values to the Generator where the answer is free", () => {
    const free = draw(300, { answer: "free" });
    expect(share(free, ({ answer }) => answer.kind === "free")).toBe(1);
    expect(new Set(free.map(({ answer }) => answer.calls))).toEqual(new Set([1, 2]));
  });

  it("can keep to one call where only one is possible", () => {
    const [only] = menu.tools.filter(({ name }) => name === "listGardeners");
    if (only === undefined) throw new Error("no tool");
    const bare = { ...only, parameters: { type: "object", properties: {} } };
    const tiny = {
      ...menu,
      tools: [bare],
      domains: [{ name: "staff", description: "", tools: [bare.name] }],
    };
    const generator = createSpecGenerator(tiny, { calls: [0, 1] });
    expect(callsOf(generator.next())).toEqual([{ name: "listGardeners", arguments: {} }]);
  });

  it.each<[string, { given: Partial<SpecOptions>; want: RegExp }]>([
    ["an unknown operation", { given: { weights: { getTree: 1 } }, want: /weights.*getTree/ }],
    ["a negative weight", { given: { weights: { getPlant: -1 } }, want: /weights\.getPlant is -1/ }],
    ["an unknown domain", { given: { domains: { trees: 1 } }, want: /domains.*trees/ }],
    ["no context", { given: { context: { single_turn: 0, multi_turn: 0 } }, want: /context/ }],
    ["an impossible size", { given: { menuSize: 0 }, want: /menuSize is 0/ }],
    [
      "nothing left",
      { given: { domains: { plants: 0, staff: 0, visits: 0 } }, want: /No operation can be practised/ },
    ],
  ])("names the mistake: %s", (_name, { given, want }) => expect(() => draw(1, given)).toThrow(want));

  it("leaves out, and reports, an operation that no value satisfies", () => {
    const impossible = {
      ...tool("getPlant"),
      parameters: {
        type: "object",
        properties: { plantId: { type: "integer", minimum: 5, maximum: 2 } },
        required: ["plantId"],
      },
    };
    const tools = [impossible, tool("deletePlant")];
    const broken = {
      ...menu,
      tools,
      domains: [{ name: "plants", description: "", tools: tools.map(({ name }) => name) }],
    };
    const generator = createSpecGenerator(broken);
    for (let i = 0; i < 20; i++)
      for (const call of callsOf(generator.next())) expect(call.name).toBe("deletePlant");
    expect(generator.coverage.unsampled).toEqual(["getPlant"]);
  });
});
