import { generateText, type LanguageModel, stepCountIs, streamText, type ToolSet } from "ai";
import { afterEach, beforeEach, expect, test } from "vitest";
import { aiTools, solverModel } from "../../adapters/ai.js";
import { type Kennel, kennel } from "./helpers.js";

let pets: Kennel;
beforeEach(async () => {
  pets = await kennel();
}, 300_000);
afterEach(() => pets.close());

/** Typed as the SDK types them: what it takes is checked here. */
function options(prompt: string) {
  const model: LanguageModel = solverModel(pets.agent);
  const tools: ToolSet = aiTools(pets.agent, { allow: ["addPet"] });
  return { model, tools, stopWhen: stepCountIs(4), prompt };
}

test("generateText: question, solver, API, answer", async () => {
  const { text, steps, warnings } = await generateText(options("What is pet 3 called?"));
  expect(JSON.parse(text)).toEqual({ id: 3, name: "Rex" });
  expect(pets.requests()).toEqual(["GET /pet/3"]);
  expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
  expect(warnings ?? []).toEqual([]);
});

test("several calls of one question are answered together", async () => {
  const { text } = await generateText(options("What are both?"));
  expect(text.split("\n").map((line) => JSON.parse(line))).toEqual([
    { id: 3, name: "Rex" },
    { id: 4, name: "Ada" },
  ]);
});

test("streamText: the parts of calls and of the answer", async () => {
  const result = streamText(options("What is pet 3 called?"));
  const types: string[] = [];
  for await (const part of result.fullStream) types.push(part.type);
  expect(JSON.parse(await result.text)).toEqual({ id: 3, name: "Rex" });
  expect(pets.requests()).toEqual(["GET /pet/3"]);
  const order = [
    "tool-input-start",
    "tool-input-delta",
    "tool-input-end",
    "tool-call",
    "tool-result",
    "text-delta",
  ];
  expect(types.filter((type) => order.includes(type))).toEqual(order);
  expect(types.at(-1)).toBe("finish");
});

test("what changes something asks for approval, and runs once approved", async () => {
  const { content, response } = await generateText(options("Delete pet 3"));
  const asked = content.find((part) => part.type === "tool-approval-request");
  expect(pets.requests()).toEqual([]);
  if (asked === undefined) throw new Error("nothing was asked");
  const answer = (approved: boolean) => {
    const reply = { type: "tool-approval-response" as const, approvalId: asked.approvalId, approved };
    const { prompt, ...rest } = options("Delete pet 3");
    return generateText({
      ...rest,
      messages: [{ role: "user", content: prompt }, ...response.messages, { role: "tool", content: [reply] }],
    });
  };
  expect((await answer(false)).text).toMatch(/^Not run|denied/i);
  expect(pets.requests()).toEqual([]);
  await answer(true);
  expect(pets.requests()).toEqual(["DELETE /pet/3"]);
});

test("the application's own zod 4 and zod 3 tools join, without being asked about", async () => {
  const { text } = await generateText(options("Note: feed Rex"));
  expect(pets.notes).toEqual([
    { text: "feed Rex", urgent: false },
    { text: "feed Rex", days: 2 },
  ]);
  expect(text).toBe('{"noted":"feed Rex"}\n{"inDays":2}');
});

test("arguments that do not fit never leave the solver, and other models read what is wrong", async () => {
  const { text, steps } = await generateText(options("The wrong one"));
  expect([text, steps.length]).toEqual(["No tool call: must be integer.", 1]);
  const schema = aiTools(pets.agent).getPetById?.inputSchema["~standard"];
  expect(schema?.validate({ petId: 3 })).toEqual({ value: { petId: 3 } });
  expect(schema?.validate({})).toEqual({ issues: [{ message: "/petId is required" }] });
});

test("what the solver says is text, beside calls or instead of them", async () => {
  const { steps, text } = await generateText(options("Look at pet 3"));
  expect([steps[0]?.text, steps[0]?.toolCalls.length, JSON.parse(text)]).toEqual([
    "Looking.",
    1,
    { id: 3, name: "Rex" },
  ]);
  const asked = await generateText(options("Feed that pet"));
  expect([asked.text, asked.steps.length]).toEqual(["Which pet do you mean?", 1]);
});

test("toolChoice and the tools given limit what the solver may call", async () => {
  const given = options("What is pet 3 called?");
  const none = await generateText({ ...given, toolChoice: "none" });
  expect([none.text, pets.asked]).toEqual(["No tool call: none of the agent's tools is offered.", []]);
  // The SDK holds the model to the tool that it was told to call.
  const other = generateText({ ...given, toolChoice: { type: "tool", toolName: "addPet" } });
  await expect(other).rejects.toThrow("addPet");
  const text = await solverModel(pets.agent).doGenerate({
    prompt: [{ role: "user", content: given.prompt }],
    tools: Object.keys(given.tools).map((name) => ({ type: "function", name })),
    toolChoice: { type: "tool", toolName: "addPet" },
  });
  expect(text.content).toEqual([
    { type: "text", text: 'No tool call: No shown tool is named "getPetById".' },
  ]);
});

test("a solver that fails is an error of the stream", async () => {
  const broken = { ...pets.agent, decide: () => Promise.reject(new Error("The solver is gone.")) };
  const errors: unknown[] = [];
  const result = streamText({
    ...options("What is pet 3 called?"),
    model: solverModel(broken),
    onError({ error }) {
      errors.push(error);
    },
  });
  await result.consumeStream();
  expect(String(errors[0])).toContain("The solver is gone.");
});
