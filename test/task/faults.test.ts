import { describe, expect, it } from "vitest";
import { clusterSizes, crossVerify, difficultyOf } from "../../src/curriculum/index.js";
import { createArgumentValidator } from "../../src/openapi/arguments.js";
import { generatorReward, solverReward } from "../../src/reward/index.js";
import { callsEqual, valuesEqual } from "../../src/task/equality.js";
import { parseCompletion } from "../../src/task/parse.js";
import {
  fullStyle,
  generatorCompletion,
  generatorMessages,
  solverCompletion,
  solverMessages,
} from "../../src/task/prompts.js";
import { isRejection } from "../../src/task/rejection.js";
import { createSpecGenerator } from "../../src/task/spec.js";
import type { Rejection, Task, TaskSpec, ToolCall } from "../../src/task/types.js";
import { createVerifier } from "../../src/task/verify.js";
import { call, free, given, menu, tool } from "./menu.js";

/** One test for each fault of the published Tool-R0 scripts that this part of the code could share. */

const verifier = createVerifier(menu);
const plant = (plantId: number): ToolCall => call("getPlant", { plantId });
const reasonOf = (result: Task | Rejection): string => (isRejection(result) ? result.reason : "task");
const accuracy = (predicted: ToolCall[], gold: ToolCall[]): number =>
  solverReward(predicted, gold, menu.tools).parts.accuracy ?? 0;

describe("faults of the published scripts", () => {
  it("answers and predictions were cut to the first call", () => {
    const both = [plant(1), plant(2)];
    const parsed = parseCompletion(solverCompletion(both), { calls: true });
    expect(isRejection(parsed) ? [] : parsed.calls).toEqual(both);
    const task = verifier.verify(free(2), generatorCompletion("Show the plants 1 and 2", both));
    expect(isRejection(task) ? [] : task.answer).toEqual(both);
    expect(accuracy([plant(1)], both)).toBeCloseTo(0.5, 12);
    expect(callsEqual([plant(1)], both)).toBe(false);
  });

  it("parses were cached under an object's id: another task's parse came back", () => {
    const spec: TaskSpec = given([plant(3)]);
    const parts: ToolCall[] = [plant(3)];
    spec.answer = { kind: "given", calls: parts };
    expect(reasonOf(verifier.verify(spec, generatorCompletion("Show plant 3")))).toBe("task");
    // The same objects with another content are another task.
    parts[0] = plant(4);
    expect(reasonOf(verifier.verify(spec, generatorCompletion("Show plant 3")))).toBe("ungrounded-value");
    expect(reasonOf(verifier.verify(spec, generatorCompletion("Show plant 4")))).toBe("task");
  });

  it("required arguments were looked for in one place and written in another", () => {
    // Where the menu writes `required`, validation and sampling look for it.
    for (const { name, parameters } of menu.tools)
      if ((parameters.required ?? []).length > 0)
        expect(createArgumentValidator().validate(tool(name), {}).ok, name).toBe(false);
    const generator = createSpecGenerator(menu);
    for (let i = 0; i < 100; i++) {
      const { answer } = generator.next();
      for (const { name, arguments: args } of answer.kind === "given" ? answer.calls : [])
        for (const key of tool(name).parameters.required ?? []) expect(args).toHaveProperty([key]);
    }
  });

  it.each<[string, ToolCall["arguments"]]>([
    ["a wrong type", { plantId: "3" }],
    ["a boolean for a number", { plantId: true }],
    ["an unknown argument", { plantId: 3, color: "3" }],
    ["a missing argument", {}],
  ])("wrong types and unknown arguments were accepted: %s", (_name, args) => {
    expect(
      reasonOf(verifier.verify(free(1), generatorCompletion("Show plant 3", [call("getPlant", args)]))),
    ).toBe("invalid-arguments");
  });

  it("an ungrounded value survived", () => {
    expect(reasonOf(verifier.verify(free(1), generatorCompletion("Show some plant", [plant(3)])))).toBe(
      "ungrounded-value",
    );
  });

  it("the specification was never enforced", () => {
    const question = "Show plant 3";
    expect(reasonOf(verifier.verify(free(2), generatorCompletion(question, [plant(3)])))).toBe(
      "wrong-number-of-calls",
    );
    expect(
      reasonOf(verifier.verify(free(1, ["deletePlant"]), generatorCompletion(question, [plant(3)]))),
    ).toBe("unknown-tool");
    expect(
      reasonOf(
        verifier.verify({ ...free(1), context: "multi_turn" }, generatorCompletion(question, [plant(3)])),
      ),
    ).toBe("wrong-context");
    // And the reward knows it.
    const reward = (spec: TaskSpec): number => {
      const { format, placeholder, validity, topicality, result } = verifier.assess(
        spec,
        generatorCompletion(question, [plant(3)]),
      );
      return generatorReward({ format, placeholder, validity, topicality, valid: !isRejection(result) })
        .value;
    };
    expect(reward(free(2))).toBeLessThan(reward(free(1)));
    expect(reward({ ...free(1), context: "multi_turn" })).toBeLessThan(reward(free(1)));
  });

  it.each<[string, number, boolean]>([
    ["It is 5 degrees in the soil", -5, false],
    ["It is -5 degrees in the soil", 5, false],
    ["It is 15 degrees in the soil", 1.5, false],
    ["It is 1.5 degrees in the soil", 15, false],
    ["It is -5 degrees in the soil", -5, true],
  ])("grounding dropped signs and dots: %s, %d", (question, temperature, want) => {
    const result = verifier.verify(
      given([call("measureSoil", { temperature })]),
      generatorCompletion(`Record this: ${question}`),
    );
    expect(reasonOf(result)).toBe(want ? "task" : "ungrounded-value");
  });

  it("a judge's score was misread, and a failed judge counted as 3: here there is no judge, and nothing unknown counts as good", () => {
    const { topicality } = verifier.assess(given([plant(3)]), "no tags at all");
    expect(topicality).toBe(0);
    const parts = {
      format: { question: true, shape: true, answer: null },
      placeholder: false,
      validity: { inMenu: 1, fits: 1, grounded: 1 },
      topicality: 0,
      valid: true,
    };
    expect(generatorReward(parts).parts.curriculum).toBe(0);
  });

  it("a wrong tool with the right arguments earned .8", () => {
    expect(accuracy([call("deletePlant", { plantId: 3 })], [plant(3)])).toBe(0);
  });

  it("values were scored only where keys agree: one argument of four earned .82", () => {
    const gold = call("addPlant", { name: "Rosa", height: 2, planted: "2024-05-01", code: "AB-1234" });
    // .2 name, .3 * F1 of 2/5, .5 * 1/4 values.
    expect(accuracy([call("addPlant", { name: "Rosa" })], [gold])).toBeCloseTo(
      0.2 + 0.3 * 0.4 + 0.5 * 0.25,
      12,
    );
  });

  it("calls were matched greedily", () => {
    const gold = [
      call("listPlants", { limit: 1, state: "planted" }),
      call("listPlants", { limit: 2, state: "planted" }),
    ];
    const predicted = [
      call("listPlants", { limit: 2, state: "planted" }),
      call("listPlants", { limit: 3, state: "planted" }),
    ];
    // Greedy pairs the first gold call with the first prediction and earns .75 twice.
    expect(accuracy(predicted, gold)).toBeCloseTo((1 + 0.75) / 2, 12);
  });

  it('true equalled 1, and "1.0" did not equal 1', () => {
    expect(valuesEqual(true, 1)).toBe(false);
    expect(valuesEqual(true, 1, { type: "integer" })).toBe(false);
    expect(valuesEqual("1.0", 1, { type: "number" })).toBe(true);
    expect(valuesEqual("1.0", 1, { type: "string" })).toBe(false);
  });

  it('any "..." inside an answer made it unparsable', () => {
    const calls = [call("searchTours", { query: "roses ... and more" })];
    expect(parseCompletion(solverCompletion(calls), { calls: true })).toEqual({ question: null, calls });
  });

  it("there were several prompts per role in one run", () => {
    // One function per role is the only source; the task's context changes the messages after the system message only.
    const spec = free(1, ["getPlant"]);
    const [system] = generatorMessages(spec, menu, fullStyle);
    expect(generatorMessages({ ...spec, context: "multi_turn" }, menu, fullStyle)[0]).toEqual(system);
    expect(solverMessages([tool("getPlant")], "a", fullStyle)[0]).toEqual(
      solverMessages([tool("getPlant")], "b", fullStyle)[0],
    );
  });

  it("the last tag won in one step and the first in another", () => {
    const twice = `${generatorCompletion("Show plant 4", [plant(4)])}${generatorCompletion("Show plant 3", [plant(3)])}`;
    const asGenerator = parseCompletion(twice, { question: true, calls: true });
    const asSolver = parseCompletion(twice, { calls: true });
    expect(asGenerator).toEqual({ question: "Show plant 3", calls: [plant(3)] });
    expect(isRejection(asSolver) ? [] : asSolver.calls).toEqual([plant(3)]);
  });

  it("fenced JSON was rewarded here and rejected there", () => {
    const fenced =
      '<tool_call_answer>\n```json\n[{"name":"getPlant","arguments":{"plantId":3}}]\n```\n</tool_call_answer>';
    expect(parseCompletion(fenced, { calls: true })).toEqual({ question: null, calls: [plant(3)] });
    expect(reasonOf(verifier.verify(free(1), `<question>Show plant 3</question>${fenced}`))).toBe("task");
  });

  it("there were three notions of equality", () => {
    const values: [ToolCall, ToolCall][] = [
      [plant(3), call("getPlant", { plantId: "3" })],
      [plant(1), call("getPlant", { plantId: true })],
      [
        call("listPlants", { near: { lat: 1, lon: 2 } }),
        call("listPlants", { near: { lon: "2.0", lat: 1 } }),
      ],
      [call("addPlant", { tags: ["a", "b"] }), call("addPlant", { tags: ["b", "a"] })],
    ];
    for (const [gold, predicted] of values) {
      const equal = callsEqual([gold], [predicted], menu.tools);
      expect(accuracy([predicted], [gold]) === 1, JSON.stringify(predicted)).toBe(equal);
      expect(crossVerify({ answer: [gold] }, [[predicted]], { tools: menu.tools }).passRate).toBe(
        equal ? 1 : 0,
      );
    }
  });

  it("cross-verification compared names only", () => {
    const { passRate, rejection } = crossVerify({ answer: [plant(3)] }, [[plant(4)], [plant(4)]], {
      tools: menu.tools,
    });
    expect(passRate).toBe(0);
    expect(rejection?.reason).toBe("refuted");
  });

  it('difficulty was the model\'s own opinion, and every failure became "medium"', () => {
    const failing = crossVerify({ answer: [plant(3)] }, [[plant(4)], [plant(5)], [plant(6)]], {
      tools: menu.tools,
    });
    expect(difficultyOf(failing.passRate)).toBe("hard");
    expect(failing.rejection).toBeNull();
  });

  it("the repetition penalty was never added to the reward", () => {
    const batch = ["Show me plant number 3", "Show me plant number 3!", "Hire a gardener", "List the tours"];
    const rewards = clusterSizes(batch).map(
      (clusterSize) =>
        generatorReward({
          format: { question: true, shape: true, answer: null },
          placeholder: false,
          validity: { inMenu: 1, fits: 1, grounded: 1 },
          topicality: 1,
          valid: true,
          repetition: { clusterSize, batchSize: batch.length },
        }).value,
    );
    const [first = 0, second, third = 0, fourth] = rewards;
    expect(second).toBe(first);
    expect(fourth).toBe(third);
    expect(third - first).toBeCloseTo((0.2 * 2) / 4, 12);
  });

  it("there was no seed", () => {
    const draw = (seed: number): TaskSpec[] => {
      const generator = createSpecGenerator(menu, { seed });
      return Array.from({ length: 20 }, () => generator.next());
    };
    expect(draw(5)).toEqual(draw(5));
    expect(draw(5)).not.toEqual(draw(6));
  });
});
