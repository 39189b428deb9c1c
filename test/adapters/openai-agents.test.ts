import { Agent, OpenAIChatCompletionsModel, Runner } from "@openai/agents";
import OpenAI from "openai";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentsModel, agentsTools } from "../../adapters/openai-agents.js";
import { bodyOf, type Kennel, kennel, scripted } from "./helpers.js";

let pets: Kennel;
beforeEach(async () => {
  pets = await kennel();
}, 300_000);
afterEach(() => pets.close());

const runner = new Runner({ tracingDisabled: true });
const made = () =>
  new Agent({
    name: "Pets",
    model: agentsModel(pets.agent),
    tools: agentsTools(pets.agent, { allow: ["addPet"] }),
  });

test("run: question, solver, API, answer", async () => {
  const { finalOutput } = await runner.run(made(), "What is pet 3 called?");
  expect(JSON.parse(finalOutput ?? "")).toEqual({ id: 3, name: "Rex" });
  expect(pets.requests()).toEqual(["GET /pet/3"]);
});

test("run, streamed: text and calls arrive as events", async () => {
  const result = await runner.run(made(), "What are both?", { stream: true });
  const names: string[] = [];
  for await (const event of result) if (event.type === "run_item_stream_event") names.push(event.name);
  await result.completed;
  expect(names).toEqual([
    "tool_called",
    "tool_called",
    "tool_output",
    "tool_output",
    "message_output_created",
  ]);
  expect(result.finalOutput?.split("\n").map((line) => JSON.parse(line))).toEqual([
    { id: 3, name: "Rex" },
    { id: 4, name: "Ada" },
  ]);
});

test("what the solver says is text, beside calls or instead of them", async () => {
  const looked = await runner.run(made(), "Look at pet 3");
  expect(JSON.parse(looked.finalOutput ?? "")).toEqual({ id: 3, name: "Rex" });
  expect((await runner.run(made(), "Feed that pet")).finalOutput).toBe("Which pet do you mean?");
});

test("a second question of the same conversation is answered, too", async () => {
  const agent = made();
  const first = await runner.run(agent, "What are both?");
  const input = [...first.history, { role: "user" as const, content: "What is pet 3 called?" }];
  expect(JSON.parse((await runner.run(agent, input)).finalOutput ?? "")).toEqual({ id: 3, name: "Rex" });
});

test("what changes something interrupts the run until it is approved", async () => {
  const agent = made();
  const first = await runner.run(agent, "Delete pet 3");
  expect(first.interruptions.map(({ name }) => name)).toEqual(["deletePet"]);
  expect(pets.requests()).toEqual([]);
  for (const item of first.interruptions) first.state.approve(item);
  await runner.run(agent, first.state);
  expect(pets.requests()).toEqual(["DELETE /pet/3"]);
});

test("own zod 4 and zod 3 tools join without being asked about", async () => {
  const { finalOutput, interruptions } = await runner.run(made(), "Note: feed Rex");
  expect([interruptions, finalOutput]).toEqual([[], '{"noted":"feed Rex"}\n{"inDays":2}']);
  expect(pets.notes).toHaveLength(2);
});

test("a model of an OpenAI-compatible server calls the tools, and reads what is wrong with its arguments", async () => {
  const call = (id: string, args: string) => ({
    id,
    type: "function",
    function: { name: "getPetById", arguments: args },
  });
  const reply = (message: object) => ({
    id: "c",
    object: "chat.completion",
    created: 1,
    model: "m",
    choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: null, ...message } }],
  });
  const server = await scripted([
    reply({ tool_calls: [call("a", "{}"), call("b", '{"petId":3}')] }),
    reply({ content: "Pet 3 is Rex." }),
  ]);
  const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  // The SDK's own copy of openai may be of another major than ours.
  const model = new OpenAIChatCompletionsModel(openai as never, "m");
  const agent = new Agent({ name: "Pets", model, tools: agentsTools(pets.agent) });
  const { finalOutput } = await runner.run(agent, "What is pet 3 called?");
  expect(finalOutput).toBe("Pet 3 is Rex.");
  expect(pets.requests()).toEqual(["GET /pet/3"]);
  const { messages } = bodyOf(server, 1) as { messages: { role: string; content: string }[] };
  const results = messages.filter(({ role }) => role === "tool").map(({ content }) => content);
  expect(results[0]).toContain("/petId is required");
  expect(JSON.parse(results[1] ?? "")).toEqual({ id: 3, name: "Rex" });
  await server.close();
});
