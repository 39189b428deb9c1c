import Anthropic from "@anthropic-ai/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { anthropicTools, runnableTools, runToolUses } from "../../adapters/anthropic.js";
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

const message = (content: object[], stop_reason: string) => ({
  id: "m",
  type: "message",
  role: "assistant",
  model: "m",
  content,
  stop_reason,
  stop_sequence: null,
  usage: { input_tokens: 1, output_tokens: 1 },
});
const use = (id: string, name: string, input: object) => ({ type: "tool_use", id, name, input });
const script = [
  message(
    [use("a", "getPetById", { petId: 3 }), use("b", "deletePet", { petId: 3 }), use("c", "getPetById", {})],
    "tool_use",
  ),
  message([{ type: "text", text: "Pet 3 is Rex." }], "end_turn"),
];
const question = {
  model: "m",
  max_tokens: 100,
  messages: [{ role: "user" as const, content: "What is pet 3 called?" }],
};

interface Result {
  tool_use_id: string;
  content: string;
  is_error?: boolean;
}
const resultsOf = (index: number): Result[] =>
  (bodyOf(server, index) as { messages: { content: Result[] }[] }).messages.at(-1)?.content ?? [];

async function client(): Promise<Anthropic> {
  server = await scripted(script);
  return new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
}

test("toolRunner: question, model, API, answer", async () => {
  const anthropic = await client();
  const last = await anthropic.beta.messages.toolRunner({ ...question, tools: runnableTools(pets.agent) });
  expect(last.content).toMatchObject([{ type: "text", text: "Pet 3 is Rex." }]);
  expect(pets.requests()).toEqual(["GET /pet/3"]);
  const [first, second, third] = resultsOf(1);
  expect(JSON.parse(first?.content ?? "")).toEqual({ id: 3, name: "Rex" });
  expect(second?.content).toContain("not-confirmed");
  expect(third?.content).toContain("/petId is required");
  const sent = bodyOf(server, 0) as { tools: { name: string; input_schema: { type: string } }[] };
  expect(sent.tools.map(({ name }) => name)).toEqual(pets.agent.tools.map(({ name }) => name));
  expect(new Set(sent.tools.map(({ input_schema }) => input_schema.type))).toEqual(new Set(["object"]));
});

test("messages.create: the same in a loop of one's own", async () => {
  const anthropic = await client();
  const tools = anthropicTools(pets.agent, { tools: ["getPetById", "deletePet"] });
  const first = await anthropic.messages.create({ ...question, tools });
  const results = await runToolUses(pets.agent, first.content, { allow: ["deletePet"] });
  expect(results.map(({ tool_use_id, is_error }) => [tool_use_id, is_error ?? false])).toEqual([
    ["a", false],
    ["b", false],
    ["c", true],
  ]);
  const messages = [
    ...question.messages,
    { role: "assistant" as const, content: first.content },
    { role: "user" as const, content: results },
  ];
  const last = await anthropic.messages.create({ ...question, messages, tools });
  expect(last.content).toMatchObject([{ text: "Pet 3 is Rex." }]);
  expect(resultsOf(1).map(({ tool_use_id }) => tool_use_id)).toEqual(["a", "b", "c"]);
  expect([...pets.requests()].sort()).toEqual(["DELETE /pet/3", "GET /pet/3"]);
});
