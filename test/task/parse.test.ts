import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { parseCalls, parseCompletion, parseText } from "../../src/task/parse.js";
import { generatorCompletion, solverCompletion } from "../../src/task/prompts.js";
import { isRejection } from "../../src/task/rejection.js";
import type { Rejection, ToolCall } from "../../src/task/types.js";
import type { JsonObject } from "../../src/util/json.js";

const answer = (json: string): string => `<tool_call_answer>${json}</tool_call_answer>`;
const one = '[{"name":"getPlant","arguments":{"plantId":3}}]';
const plant: ToolCall = { name: "getPlant", arguments: { plantId: 3 } };

describe("parseCompletion, calls", () => {
  it.each<[string, { given: string; want: ToolCall[] | Rejection["reason"] }]>([
    ["a list", { given: answer(one), want: [plant] }],
    ["a single object", { given: answer('{"name":"getPlant","arguments":{"plantId":3}}'), want: [plant] }],
    [
      "several calls, none cut off",
      { given: answer(`[${[1, 2, 3].map(() => one.slice(1, -1)).join()}]`), want: [plant, plant, plant] },
    ],
    ["no calls", { given: answer("[]"), want: [] }],
    ["a code fence", { given: answer(`\n\`\`\`json\n${one}\n\`\`\`\n`), want: [plant] }],
    ["a code fence on one line", { given: answer(`\`\`\`json ${one}\`\`\``), want: [plant] }],
    ["a code fence without a language", { given: answer(`\`\`\`\n${one}\n\`\`\``), want: [plant] }],
    [
      "arguments as a JSON text",
      { given: answer('[{"name":"getPlant","arguments":"{\\"plantId\\":3}"}]'), want: [plant] },
    ],
    [
      "dots inside a value",
      {
        given: answer('[{"name":"n","arguments":{"q":"wait..."}}]'),
        want: [{ name: "n", arguments: { q: "wait..." } }],
      },
    ],
    ["text around the tags", { given: `Sure! ${answer(one)} Done.`, want: [plant] }],
    ["the last pair wins", { given: answer("[]") + answer(one), want: [plant] }],
    [
      "a later unfinished tag does not undo a complete one",
      { given: `${answer(one)}<tool_call_answer>[{`, want: [plant] },
    ],
    [
      "tags in the reasoning do not count",
      { given: `<think>maybe ${answer("[]")}</think>${answer(one)}`, want: [plant] },
    ],
    ["an answer only in the reasoning", { given: `<think>${answer(one)}</think>`, want: "no-answer" }],
    [
      "reasoning whose opening is in the prompt",
      { given: `so ${answer("[]")} no</think>${answer(one)}`, want: [plant] },
    ],
    ["reasoning that never ends", { given: `<think>${answer(one)}`, want: "no-answer" }],
    ["no tag", { given: one, want: "no-answer" }],
    ["an unfinished tag", { given: `<tool_call_answer>${one}`, want: "no-answer" }],
    ["an empty tag", { given: answer("  "), want: "no-answer" }],
    ["junk behind the JSON", { given: answer(`${one} ok`), want: "unparsable-answer" }],
    ["a trailing comma", { given: answer('[{"name":"n","arguments":{}},]'), want: "unparsable-answer" }],
    ["single quotes", { given: answer("[{'name':'n','arguments':{}}]"), want: "unparsable-answer" }],
    ["no name", { given: answer('[{"arguments":{}}]'), want: "unparsable-answer" }],
    ["an empty name", { given: answer('[{"name":"","arguments":{}}]'), want: "unparsable-answer" }],
    ["no arguments", { given: answer('[{"name":"n"}]'), want: "unparsable-answer" }],
    ["arguments as a list", { given: answer('[{"name":"n","arguments":[1]}]'), want: "unparsable-answer" }],
    ["another key", { given: answer('[{"name":"n","arguments":{},"id":1}]'), want: "unparsable-answer" }],
    ["one bad call among good ones", { given: answer(`[${one.slice(1, -1)},7]`), want: "unparsable-answer" }],
    ["a bare value", { given: answer('"getPlant"'), want: "unparsable-answer" }],
    [
      "a number out of range",
      { given: answer('[{"name":"n","arguments":{"x":1e999}}]'), want: "unparsable-answer" },
    ],
    [
      "nesting without end",
      {
        given: answer(`[{"name":"n","arguments":{"x":${"[".repeat(9999)}${"]".repeat(9999)}}}]`),
        want: "unparsable-answer",
      },
    ],
    [
      "inherited names are no names",
      { given: answer('[{"__proto__":{"name":"n","arguments":{}}}]'), want: "unparsable-answer" },
    ],
  ])("%s", (_name, { given, want }) => {
    const got = parseCompletion(given, { calls: true });
    if (typeof want === "string") expect(isRejection(got) ? got.reason : got).toBe(want);
    else expect(got).toEqual({ question: null, calls: want });
  });

  it("parseCalls is the same for calls alone", () => {
    expect(parseCalls(`<think>x</think>${answer(one)}`)).toEqual([plant]);
    const nothing = parseCalls(one);
    expect(isRejection(nothing) && nothing.reason).toBe("no-answer");
  });

  it("keeps a __proto__ argument as data", () => {
    const got = parseCompletion(answer('[{"name":"n","arguments":{"__proto__":{"x":1}}}]'), { calls: true });
    if (isRejection(got)) throw new Error(got.message);
    expect(Object.keys(got.calls?.[0]?.arguments ?? {})).toEqual(["__proto__"]);
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});

describe("parseCompletion, questions", () => {
  it.each<[string, { given: string; want: string | Rejection["reason"] }]>([
    ["trimmed", { given: "<question> Show plant 3 \n</question>", want: "Show plant 3" }],
    ["the last pair wins", { given: "<question>a</question><question>b</question>", want: "b" }],
    [
      "reasoning is ignored",
      { given: "<think><question>a</question></think><question>b</question>", want: "b" },
    ],
    ["empty", { given: "<question> </question>", want: "no-question" }],
    ["missing", { given: "Show plant 3", want: "no-question" }],
    ["unfinished", { given: "<question>Show plant 3", want: "no-question" }],
  ])("%s", (_name, { given, want }) => {
    const got = parseCompletion(given, { question: true });
    expect(isRejection(got) ? got.reason : got.question).toBe(want);
  });

  it("wants both parts of a free task", () => {
    const both = parseCompletion(`<question>a</question>${answer(one)}`, { question: true, calls: true });
    expect(both).toEqual({ question: "a", calls: [plant] });
    const half = parseCompletion("<question>a</question>", { question: true, calls: true });
    expect(isRejection(half) && half.reason).toBe("no-answer");
  });
});

describe("rendering and parsing", () => {
  const args = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })) as fc.Arbitrary<JsonObject>;
  const calls = fc.array(fc.record({ name: fc.string({ minLength: 1 }), arguments: args }), { maxLength: 3 });
  const tagged = fc.constantFrom("</tool_call_answer>", "<question>", "</think>", "```", "...");

  it("are inverse for any calls", () => {
    fc.assert(
      fc.property(calls, tagged, (list, text) => {
        const all = [...list, { name: "n", arguments: { text, [text]: [text] } }];
        const got = parseCompletion(solverCompletion(all), { calls: true });
        if (isRejection(got)) throw new Error(got.message);
        expect(JSON.stringify(got.calls)).toBe(JSON.stringify(all));
      }),
    );
  });

  it("are inverse for any question without tags", () => {
    const question = fc
      .string({ minLength: 1 })
      .map((text) => text.replace(/[<>]/g, "").trim())
      .filter((text) => text !== "");
    fc.assert(
      fc.property(question, calls, (text, list) => {
        const got = parseCompletion(generatorCompletion(text, list), { question: true, calls: true });
        expect(isRejection(got) ? got : got.question).toBe(text);
      }),
    );
  });

  it("never throw, whatever the text", () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom(
        "<question>",
        "</question>",
        "<tool_call_answer>",
        "</tool_call_answer>",
        "<think>",
        "</think>",
        "[",
        "{",
        "}",
        "]",
        '"',
        "\\",
        "```",
        one,
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        expect(typeof parseCompletion(pieces.join(""), { question: true, calls: true })).toBe("object");
      }),
      { numRuns: 500 },
    );
  });

  it("take time linear in a hostile text", () => {
    const seconds = (text: string): number => {
      const start = performance.now();
      parseCompletion(text, { question: true, calls: true });
      return (performance.now() - start) / 1000;
    };
    const size = 300_000;
    for (const unit of [
      "<question>",
      "</question>",
      "<tool_call_answer>",
      "<think>",
      "</think>",
      "`",
      " ",
      "{",
      '"',
      "\\",
    ]) {
      const text = unit.repeat(size / unit.length);
      for (const hostile of [
        text,
        `${text}</question></tool_call_answer>`,
        `<question>q</question>${answer(text)}`,
      ])
        expect(seconds(hostile), unit).toBeLessThan(0.5);
    }
  });
});

test.each([
  ["Which pet?\n<tool_call_answer>[]</tool_call_answer>", "Which pet?"],
  ["<think>no id</think>Which pet?<tool_call_answer>[]</tool_call_answer> Thanks", "Which pet?\n Thanks"],
  ["<tool_call_answer>[{}]</tool_call_answer>", ""],
  ["Which pet?", "Which pet?"],
  ["Let me <tool_call_answer>[{", "Let me"],
  ["<think>never ends", ""],
  ["<question>Which?</question>", "Which?"],
])("parseText(%j)", (text, want) => expect(parseText(text)).toBe(want));
