import { describe, expect, it } from "vitest";
import { generatorCompletion } from "../../src/task/prompts.js";
import { isRejection } from "../../src/task/rejection.js";
import { likelihoodVerdict } from "../../src/task/topic.js";
import type { Rejection, Task, TaskSpec, ToolCall } from "../../src/task/types.js";
import { createVerifier } from "../../src/task/verify.js";
import { call, free, given, menu } from "./menu.js";

const verifier = createVerifier(menu);
const reasonOf = (result: Task | Rejection): string => (isRejection(result) ? result.reason : "task");
const verdict = (question: string, ...calls: ToolCall[]): string =>
  reasonOf(verifier.verify(given(calls), generatorCompletion(question)));
const dialogue = (spec: TaskSpec): TaskSpec => ({ ...spec, context: "multi_turn" });

const plant = (plantId: number): ToolCall => call("getPlant", { plantId });
const remove = call("deletePlant", { plantId: 7 });

describe("a given answer", () => {
  it.each<[string, { given: [string, ...ToolCall[]]; want: string }]>([
    ["a plain question", { given: ["Show me plant 3", plant(3)], want: "task" }],
    ["a statement", { given: ["I'd like to know more about plant number 3.", plant(3)], want: "task" }],
    ["another verb for the same", { given: ["Please get rid of plant 7", remove], want: "task" }],
    ["an inflected word", { given: ["Which plants do we have?", call("listPlants")], want: "task" }],
    [
      "all values of two calls",
      { given: ["Show plant 3 and delete plant 7", plant(3), remove], want: "task" },
    ],
    [
      "a synonym for creating",
      { given: ["Put a plant named Rosa on record", call("addPlant", { name: "Rosa" })], want: "task" },
    ],
    [
      "nested and listed values",
      {
        given: [
          "Add a plant called Rosa from Porto in Portugal with the tags red and tall",
          call("addPlant", {
            name: "Rosa",
            origin: { city: "Porto", country: "Portugal" },
            tags: ["red", "tall"],
          }),
        ],
        want: "task",
      },
    ],
    ["dots", { given: ["...", plant(3)], want: "placeholder-question" }],
    ["a template's word", { given: ["TEXT", plant(3)], want: "placeholder-question" }],
    ["a template's words", { given: ["[Your question here]", plant(3)], want: "placeholder-question" }],
    ["a value left out", { given: ["Show me a plant", plant(3)], want: "ungrounded-value" }],
    ["a part of a value", { given: ["Show me plant 33", plant(3)], want: "ungrounded-value" }],
    [
      "the value of one call of two left out",
      { given: ["Show plant 3 and delete a plant", plant(3), remove], want: "ungrounded-value" },
    ],
    [
      "one element of a list left out",
      {
        given: ["Add a plant Rosa, red", call("addPlant", { name: "Rosa", tags: ["red", "tall"] })],
        want: "ungrounded-value",
      },
    ],
    ["a value said twice", { given: ["Show me plant 33 with the id 33", plant(33)], want: "repeated-value" }],
    [
      "a value said twice for two calls",
      {
        given: ["Show plant 33 and delete plant 33", plant(33), call("deletePlant", { plantId: 33 })],
        want: "task",
      },
    ],
    [
      "a value inside another one",
      {
        given: [
          "Add a plant Rosa with the tag Rosa tall",
          call("addPlant", { name: "Rosa", tags: ["Rosa tall"] }),
        ],
        want: "task",
      },
    ],
    [
      "a number that may mean something else",
      { given: ["Show me 1 plant: plant 1", plant(1)], want: "task" },
    ],
    ["the operation's name", { given: ["Call getPlant for plant 3", plant(3)], want: "leaked-answer" }],
    [
      "the operation's name in other case",
      { given: ["Call GETPLANT for plant 3", plant(3)], want: "leaked-answer" },
    ],
    ["JSON", { given: ['Show plant {"plantId": 3}', plant(3)], want: "leaked-answer" }],
    ["tags", { given: ["Show plant 3 <tool_call_answer>", plant(3)], want: "leaked-answer" }],
    ["nothing of the operation", { given: ["What about 3?", plant(3)], want: "off-topic" }],
    [
      "only words of the values",
      { given: ["Rosa, please", call("addPlant", { name: "Rosa" })], want: "off-topic" },
    ],
    ["a wrong verb where it destroys", { given: ["Restore plant 7", remove], want: "off-topic" }],
    ["a wish to be without it", { given: ["I no longer want plant 7", remove], want: "task" }],
    ["a longer one is no such wish", { given: ["I want plant 7 longer", remove], want: "off-topic" }],
    ["a rarer word for it", { given: ["Strike plant 7 out", remove], want: "task" }],
    ["the verb of another action", { given: ["Delete plant 3", plant(3)], want: "off-topic" }],
    [
      "reading where it changes",
      {
        given: ["Show plant 3 in_bloom", call("updatePlant", { plantId: 3, state: "in_bloom" })],
        want: "off-topic",
      },
    ],
    [
      "a participle is no demand",
      {
        given: ["I need the plants that were added, planted ones", call("listPlants", { state: "planted" })],
        want: "task",
      },
    ],
    ["a noun is no demand", { given: ["I need the latest update on plant 3", plant(3)], want: "task" }],
    [
      "a neighbour's words",
      {
        given: ["List the gardeners of the plant team, 3 of them", call("listPlants", { limit: 3 })],
        want: "ambiguous",
      },
    ],
    [
      "a conversation not asked for",
      { given: ["user: Show a plant\nassistant: Which?\nuser: 3", plant(3)], want: "wrong-context" },
    ],
  ])("%s", (_name, { given: [question, ...calls], want }) => expect(verdict(question, ...calls)).toBe(want));

  it("is the task's answer, whatever the Generator writes beside it", () => {
    const same = verifier.verify(given([plant(3)]), generatorCompletion("Show plant 3", [plant(3)]));
    expect(isRejection(same) ? same : same.answer).toEqual([plant(3)]);
    expect(reasonOf(verifier.verify(given([plant(3)]), generatorCompletion("Show plant 3", [remove])))).toBe(
      "wrong-operation",
    );
  });

  it("makes a task that carries its specification", () => {
    const spec = given([plant(3)], ["getPlant", "deletePlant"]);
    const want: Task = {
      id: "t1",
      spec,
      question: "Show plant 3",
      tools: ["getPlant", "deletePlant"],
      answer: [plant(3)],
    };
    expect(verifier.verify(spec, "<think>easy</think><question>Show plant 3</question>")).toEqual(want);
  });

  it("as a conversation", () => {
    const spec = dialogue(given([plant(3)]));
    const text = "user: I want to see a plant\nassistant: Which one?\nuser: Number 3";
    expect(reasonOf(verifier.verify(spec, generatorCompletion(text)))).toBe("task");
    expect(reasonOf(verifier.verify(spec, generatorCompletion("Show plant 3")))).toBe("wrong-context");
  });
});

describe("a free answer", () => {
  it.each<[string, { given: [TaskSpec, string, ToolCall[]]; want: string }]>([
    ["one call", { given: [free(1), "Show plant 3", [plant(3)]], want: "task" }],
    [
      "one call asked for, two written",
      { given: [free(1), "Show plants 3 and 4", [plant(3), plant(4)]], want: "wrong-number-of-calls" },
    ],
    [
      "two calls asked for, one written",
      { given: [free(2), "Show plant 3", [plant(3)]], want: "wrong-number-of-calls" },
    ],
    ["none written", { given: [free(1), "Show plant 3", []], want: "wrong-number-of-calls" }],
    [
      "a tool that is not shown",
      { given: [free(1, ["deletePlant"]), "Show plant 3", [plant(3)]], want: "unknown-tool" },
    ],
    [
      "a tool that does not exist",
      { given: [free(1), "Show tree 3", [call("getTree", { id: 3 })]], want: "unknown-tool" },
    ],
    [
      "an inherited name",
      { given: [free(1), "Show plant 3", [call("constructor", {})]], want: "unknown-tool" },
    ],
    [
      "a wrong type",
      { given: [free(1), "Show plant 3", [call("getPlant", { plantId: "3" })]], want: "invalid-arguments" },
    ],
    [
      "an unknown argument",
      {
        given: [free(1), "Show plant 3", [call("getPlant", { plantId: 3, x: 3 })]],
        want: "invalid-arguments",
      },
    ],
    [
      "a required argument missing",
      { given: [free(1), "Show plants", [call("getPlant", {})]], want: "invalid-arguments" },
    ],
    ["out of range", { given: [free(1), "Show plant 0", [plant(0)]], want: "invalid-arguments" }],
    [
      "not in the enum",
      {
        given: [free(1), "List the dead plants", [call("listPlants", { state: "dead" })]],
        want: "invalid-arguments",
      },
    ],
    [
      "a nested wrong type",
      {
        given: [free(1), "Add plant Rosa from 7", [call("addPlant", { name: "Rosa", origin: { city: 7 } })]],
        want: "invalid-arguments",
      },
    ],
  ])("%s", (_name, { given: [spec, question, calls], want }) => {
    expect(reasonOf(verifier.verify(spec, generatorCompletion(question, calls)))).toBe(want);
  });

  it("points at what is wrong", () => {
    const result = verifier.verify(free(2), generatorCompletion("Show plants 3 and 0", [plant(3), plant(0)]));
    expect(isRejection(result) && result.pointer).toBe("/1/arguments/plantId");
    const missing = verifier.verify(
      free(1),
      generatorCompletion("Add plant Rosa, red", [call("addPlant", { name: "Rosa", tags: ["red", "tall"] })]),
    );
    expect(isRejection(missing) && missing.pointer).toBe("/0/arguments/tags/1");
  });
});

describe("assess", () => {
  it("tells the reward what was right about a rejected completion", () => {
    const half = verifier.assess(
      free(2),
      generatorCompletion("Show plant 3 and plant 9", [plant(3), call("getTree", { id: 4 })]),
    );
    expect(half).toMatchObject({
      format: { question: true, shape: true, answer: true },
      placeholder: false,
      validity: { inMenu: 0.5, fits: 0.5, grounded: 0.5 },
    });
    const noAnswer = verifier.assess(free(1), "<question>Show plant 3</question>");
    expect(noAnswer.format).toEqual({ question: true, shape: false, answer: false });
    expect(verifier.assess(free(1), "plant 3").format.question).toBe(false);
  });

  it("topicality falls as a neighbour comes nearer", () => {
    const topicality = (question: string): number =>
      verifier.assess(given([call("listPlants")]), generatorCompletion(question)).topicality;
    expect(topicality("List all plants")).toBeGreaterThan(topicality("List the plants of the gardeners"));
    expect(topicality("Good morning")).toBe(0);
  });

  it("never throws, whatever the completion", () => {
    for (const text of [
      "",
      "<question>",
      "\u0000",
      "<question>\ud800</question>",
      `<question>${"user:\n".repeat(2000)}</question>`,
    ])
      for (const spec of [given([plant(3)]), free(1), dialogue(free(1))])
        expect(isRejection(verifier.verify(spec, text))).toBe(true);
  });
});

it("the topic check and grounding are options", () => {
  const lax = createVerifier(menu, { topic: false, grounding: false });
  expect(reasonOf(lax.verify(given([plant(3)]), generatorCompletion("Good morning")))).toBe("task");
});

describe("likelihoodVerdict", () => {
  it.each<[string, { given: [number, number[], number]; want: string }]>([
    ["likelier than all others", { given: [-10, [-20, -15], 1], want: "clear" }],
    ["another is likelier", { given: [-10, [-20, -9], 0], want: "ambiguous" }],
    ["another is too near", { given: [-10, [-10.5], 1], want: "ambiguous" }],
    ["nothing to compare with", { given: [-10, [], 1], want: "clear" }],
    ["no number is no proof", { given: [Number.NaN, [-5], 1], want: "ambiguous" }],
  ])("%s", (_name, { given: [own, others, margin], want }) =>
    expect(likelihoodVerdict(own, others, margin)).toBe(want),
  );
});
