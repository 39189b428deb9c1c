import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { aiTools, solverModel } from "../../adapters/ai.js";
import { langchainTools } from "../../adapters/langchain.js";
import { mcpHandlers } from "../../adapters/mcp.js";
import { createAgent } from "../../src/agent/agent.js";
import { json, type MockServer, mockServer, petstoreMenu } from "../agent/helpers.js";

const servers: MockServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function agentOf(
  text = '<tool_call_answer>[{"name":"getPetById","arguments":{"petId":3}}]</tool_call_answer>',
) {
  const api = await mockServer((_, response) => json(response, 200, { id: 3, name: "Rex" }));
  servers.push(api);
  const solver = {
    complete: (prompts: readonly unknown[]) => Promise.resolve(prompts.map(() => text)),
    close: () => Promise.resolve(),
  };
  const agent = createAgent({
    menu: await petstoreMenu(),
    solver,
    client: { baseUrl: api.url, credentials: () => "k" },
  });
  return { agent, api };
}

test("adapters import nothing at run time", () => {
  const folder = new URL("../../adapters/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  expect(files.length).toBeGreaterThan(3);
  for (const file of files) {
    const source = readFileSync(new URL(file, folder), "utf8");
    expect(source.match(/^import (?!type )|\bimport\(|\brequire\(/m), file).toBeNull();
  }
});

describe("ai", () => {
  test("tools validate, ask for approval where something changes, and run", async () => {
    const { agent, api } = await agentOf();
    const tools = aiTools(agent, { allow: ["addPet"] });
    expect(Object.keys(tools)).toEqual(agent.tools.map(({ name }) => name));
    expect([
      tools.getPetById?.needsApproval,
      tools.deletePet?.needsApproval,
      tools.addPet?.needsApproval,
    ]).toEqual([false, true, false]);
    const schema = tools.getPetById?.inputSchema["~standard"];
    expect(schema?.validate({ petId: 3 })).toEqual({ value: { petId: 3 } });
    expect(schema?.validate({})).toEqual({ issues: [{ message: "/petId is required" }] });
    expect(schema?.jsonSchema.input()).toEqual(
      agent.tools.find(({ name }) => name === "getPetById")?.parameters,
    );
    expect(await tools.getPetById?.execute({ petId: 3 }, {})).toBe('{"id":3,"name":"Rex"}');
    expect(api.seen).toHaveLength(1);
  });

  test("the solver as a model: calls, then the results as text; streamed the same", async () => {
    const { agent } = await agentOf();
    const model = solverModel(agent);
    const tools = agent.tools.map(({ name }) => ({ type: "function", name }));
    const prompt = [{ role: "user" as const, content: [{ type: "text", text: "Show pet 3" }] }];
    const first = await model.doGenerate({ prompt, tools });
    expect(first.content).toEqual([
      { type: "tool-call", toolCallId: "call-1-0", toolName: "getPetById", input: '{"petId":3}' },
    ]);
    expect(first.finishReason.unified).toBe("tool-calls");
    const result = {
      role: "tool" as const,
      content: [{ type: "tool-result", output: { type: "text", value: "Rex" } }],
    };
    const second = await model.doGenerate({ prompt: [...prompt, result], tools });
    expect([second.content, second.finishReason.unified]).toEqual([[{ type: "text", text: "Rex" }], "stop"]);
    const parts = [];
    for await (const part of (await model.doStream({ prompt, tools })).stream) parts.push(part.type);
    expect(parts).toEqual(["stream-start", "tool-call", "finish"]);
    const none = await model.doGenerate({ prompt, tools: [{ type: "function", name: "addPet" }] });
    expect(none.content).toEqual([
      { type: "text", text: 'No tool call: No shown tool is named "getPetById".' },
    ]);
  });
});

test("langchain: the framework's own function makes the tools", async () => {
  const { agent } = await agentOf();
  const tools = langchainTools(agent, (run, fields) => ({ run, ...fields }), {
    tools: ["getPetById", "deletePet"],
  });
  expect(tools.map(({ name, schema }) => [name, schema.type])).toEqual([
    ["getPetById", "object"],
    ["deletePet", "object"],
  ]);
  expect(await tools.find(({ name }) => name === "getPetById")?.run({ petId: 3 })).toBe(
    '{"id":3,"name":"Rex"}',
  );
  expect(await tools.find(({ name }) => name === "deletePet")?.run({ petId: 3 })).toContain("not-confirmed");
});

describe("mcp", () => {
  test("lists tools with annotations and calls them", async () => {
    const { agent } = await agentOf();
    const handlers = mcpHandlers(agent);
    const { tools } = handlers.listTools();
    expect(tools).toHaveLength(20);
    expect(tools.find(({ name }) => name === "deletePet")?.annotations).toMatchObject({
      readOnlyHint: false,
      destructiveHint: true,
    });
    expect(await handlers.callTool({ params: { name: "getPetById", arguments: { petId: 3 } } })).toEqual({
      content: [{ type: "text", text: '{"id":3,"name":"Rex"}' }],
      isError: false,
    });
    expect(await handlers.callTool({ params: { name: "deletePet", arguments: { petId: 3 } } })).toMatchObject(
      { isError: true },
    );
    expect(await handlers.callTool({ params: { name: "nothing" } })).toMatchObject({ isError: true });
  });

  test("a large menu is search and call", async () => {
    const { agent } = await agentOf();
    const handlers = mcpHandlers(agent, { maxTools: 5 });
    expect(handlers.listTools().tools.map(({ name }) => name)).toEqual(["search_tools", "call_tool"]);
    const found = await handlers.callTool({
      params: { name: "search_tools", arguments: { query: "find a pet by its id" } },
    });
    expect(found.content[0]?.text).toContain('"name":"getPetById"');
    const called = await handlers.callTool({
      params: { name: "call_tool", arguments: { name: "getPetById", arguments: { petId: 3 } } },
    });
    expect(called).toMatchObject({ isError: false });
    expect(
      await handlers.callTool({ params: { name: "getPetById", arguments: { petId: 3 } } }),
    ).toMatchObject({ isError: true });
  });
});
