import OpenAI from "openai";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runnableTools } from "../../adapters/openai.js";
import { bodyOf, type Kennel, kennel, type MockServer, scripted } from "./helpers.js";

let pets: Kennel;
let server: MockServer;
beforeEach(async () => {
  pets = await kennel();
}, 300_000);
afterEach(async () => {
  await pets.close();
  await server.close();
});

const call = (id: string, name: string, args: string) => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const reply = (message: object, finish_reason: string) => ({
  id: "c",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, finish_reason, message: { role: "assistant", content: null, ...message } }],
});

test("runTools: question, model, API, answer", async () => {
  const calls = [
    call("a", "getPetById", '{"petId":3}'),
    call("b", "deletePet", '{"petId":3}'),
    call("c", "getPetById", '{"petId":"three"}'),
  ];
  server = await scripted([
    reply({ tool_calls: calls }, "tool_calls"),
    reply({ content: "Pet 3 is Rex." }, "stop"),
  ]);
  const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  const runner = openai.chat.completions.runTools({
    model: "m",
    messages: [{ role: "user", content: "What is pet 3 called?" }],
    tools: runnableTools(pets.agent, { tools: ["getPetById", "deletePet"] }),
  });
  expect(await runner.finalContent()).toBe("Pet 3 is Rex.");
  expect(pets.requests()).toEqual(["GET /pet/3"]);
  const { messages } = bodyOf(server, 1) as { messages: { role: string; content: string }[] };
  const [rex, refused, wrong] = messages.filter(({ role }) => role === "tool").map(({ content }) => content);
  expect(JSON.parse(rex ?? "")).toEqual({ id: 3, name: "Rex" });
  expect(refused).toContain("not-confirmed");
  expect(wrong).toContain("/petId must be integer");
  const sent = bodyOf(server, 0) as { tools: { function: { name: string; strict?: boolean } }[] };
  expect(sent.tools.map(({ function: { name, strict } }) => [name, strict ?? false])).toEqual([
    ["getPetById", true],
    ["deletePet", false],
  ]);
});
