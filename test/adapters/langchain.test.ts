import { type AIMessageChunk, HumanMessage } from "@langchain/core/messages";
import { createAgent } from "langchain";
import { afterEach, beforeEach, expect, test } from "vitest";
import { langchainTools, SolverChatModel } from "../../adapters/langchain.js";
import type { Agent } from "../../src/agent/index.js";
import { type Kennel, kennel } from "./helpers.js";

let pets: Kennel;
beforeEach(async () => {
  pets = await kennel();
}, 300_000);
afterEach(() => pets.close());

const invoke = async (question: string) => {
  const agent = createAgent({
    model: new SolverChatModel(pets.agent),
    tools: langchainTools(pets.agent, { allow: ["addPet"] }),
  });
  const { messages } = await agent.invoke({ messages: [new HumanMessage(question)] });
  return messages;
};

test("createAgent: question, solver, API, answer", async () => {
  const messages = await invoke("What is pet 3 called?");
  expect(messages.map(({ type }) => type)).toEqual(["human", "ai", "tool", "ai"]);
  expect(JSON.parse(messages.at(-1)?.text ?? "")).toEqual({ id: 3, name: "Rex" });
  expect(pets.requests()).toEqual(["GET /pet/3"]);
});

test("own zod 4 and zod 3 tools join; what is not allowed is not run", async () => {
  const messages = await invoke("Note: feed Rex");
  expect(pets.notes).toEqual([
    { text: "feed Rex", urgent: false },
    { text: "feed Rex", days: 2 },
  ]);
  expect(messages.at(-1)?.text).toBe('{"noted":"feed Rex"}\n{"inDays":2}');
  expect((await invoke("Delete pet 3")).at(-1)?.text).toContain("not-confirmed");
  expect(pets.requests()).toEqual([]);
});

test("the chat model streams: chunks add up to the same calls", async () => {
  const model = new SolverChatModel(pets.agent).bindTools(langchainTools(pets.agent));
  let whole: AIMessageChunk | undefined;
  for await (const chunk of await model.stream("What are both?")) whole = whole?.concat(chunk) ?? chunk;
  expect(whole?.tool_calls).toEqual([
    { type: "tool_call", id: "call_1_0", name: "getPetById", args: { petId: 3 } },
    { type: "tool_call", id: "call_1_1", name: "getPetById", args: { petId: 4 } },
  ]);
  const { tool_calls } = await model.invoke("What are both?");
  expect(tool_calls).toEqual(whole?.tool_calls);
  const unbound = await new SolverChatModel(pets.agent).invoke("What is pet 3 called?");
  expect(unbound.text).toBe("No tool call: none of the agent's tools is offered.");
});

test("what the solver says is text, beside calls or instead of them", async () => {
  const [, look, , last] = await invoke("Look at pet 3");
  expect([look?.text, JSON.parse(last?.text ?? "")]).toEqual(["Looking.", { id: 3, name: "Rex" }]);
  expect((await invoke("Feed that pet")).at(-1)?.text).toBe("Which pet do you mean?");
});

test("arguments of any other model are checked, and it reads what is wrong", async () => {
  const calls = [{ name: "getPetById", arguments: { petId: "three" } }];
  const careless: Agent = {
    ...pets.agent,
    decide: async (question) => ({ ...(await pets.agent.decide(question)), calls }),
  };
  const agent = createAgent({ model: new SolverChatModel(careless), tools: langchainTools(pets.agent) });
  const { messages } = await agent.invoke({ messages: [new HumanMessage("What is pet three called?")] });
  expect(messages.at(-1)?.text).toContain("petId");
  expect(messages.at(-1)?.text).toContain("integer");
  expect(pets.requests()).toEqual([]);
});

test("confirm is asked before a call that changes something", async () => {
  const asked: string[] = [];
  const tools = langchainTools(pets.agent, {
    confirm({ name }) {
      asked.push(name);
      return true;
    },
  });
  const agent = createAgent({ model: new SolverChatModel(pets.agent), tools });
  await agent.invoke({ messages: [new HumanMessage("Delete pet 3")] });
  expect([asked, pets.requests()]).toEqual([["deletePet"], ["DELETE /pet/3"]]);
});
