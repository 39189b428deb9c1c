import OpenAI from "openai";
import type { ChatCompletionMessageParam } from "openai/resources/chat/completions";
import { afterEach, describe, expect, test } from "vitest";
import {
  chatTools,
  responseTools,
  runFunctionCalls,
  runToolCalls,
  strictSchema,
} from "../../adapters/openai.js";
import { createToolset } from "../../src/agent/toolset.js";
import type { JsonSchemaObject } from "../../src/util/json.js";
import { json, type MockServer, mockServer, petstoreMenu } from "../agent/helpers.js";

const servers: MockServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function setUp(replies: object[]) {
  const api = await mockServer((_, response) => json(response, 200, { id: 3, name: "Rex" }));
  const model = await mockServer((_, response, count) => json(response, 200, replies[count - 1]));
  servers.push(api, model);
  const toolset = createToolset({
    menu: await petstoreMenu(),
    client: { baseUrl: api.url, credentials: () => "k" },
  });
  const openai = new OpenAI({ baseURL: `${model.url}/v1`, apiKey: "test", maxRetries: 0 });
  return { api, model, toolset, openai };
}

const call = (id: string, name: string, args: string) => ({
  id,
  type: "function",
  function: { name, arguments: args },
});

test("chat completions: the loop reaches the API and returns the answer", async () => {
  const { api, model, toolset, openai } = await setUp([
    {
      choices: [
        {
          index: 0,
          finish_reason: "tool_calls",
          message: {
            role: "assistant",
            content: null,
            tool_calls: [
              call("c1", "getPetById", '{"petId":3}'),
              call("c2", "deletePet", '{"petId":3}'),
              call("c3", "getPetById", "{"),
            ],
          },
        },
      ],
    },
    {
      choices: [
        { index: 0, finish_reason: "stop", message: { role: "assistant", content: "Pet 3 is Rex." } },
      ],
    },
  ]);
  const messages: ChatCompletionMessageParam[] = [{ role: "user", content: "Show pet 3" }];
  const tools = chatTools(toolset);
  const first = await openai.chat.completions.create({ model: "m", messages, tools });
  const message = first.choices[0]?.message;
  if (message === undefined) throw new Error("no message");
  messages.push(message, ...(await runToolCalls(toolset, message.tool_calls)));
  const last = await openai.chat.completions.create({ model: "m", messages, tools });
  expect(last.choices[0]?.message.content).toBe("Pet 3 is Rex.");
  expect(api.seen.map(({ method, url }) => `${method} ${url}`)).toEqual(["GET /pet/3"]);
  const sent = JSON.parse(model.seen[1]?.body ?? "") as {
    messages: { role: string; tool_call_id?: string; content: string }[];
    tools: unknown[];
  };
  expect(sent.messages.slice(2).map(({ tool_call_id }) => tool_call_id)).toEqual(["c1", "c2", "c3"]);
  expect(sent.messages[2]?.content).toBe('{"id":3,"name":"Rex"}');
  expect(sent.messages[3]?.content).toContain("not-confirmed");
  expect(sent.messages[4]?.content).toContain("not a JSON object");
  expect(sent.tools).toHaveLength(20);
});

test("responses: outputs for every function call, and for nothing else", async () => {
  const output = [
    { type: "message", id: "m1", role: "assistant", status: "completed", content: [] },
    {
      type: "function_call",
      id: "f1",
      call_id: "c1",
      name: "getPetById",
      arguments: '{"petId":3}',
      status: "completed",
    },
  ];
  const { toolset, openai, model } = await setUp([{ id: "r1", object: "response", output, tools: [] }]);
  const response = await openai.responses.create({
    model: "m",
    input: "Show pet 3",
    tools: responseTools(toolset, { tools: ["getPetById"] }),
  });
  expect(await runFunctionCalls(toolset, response.output)).toEqual([
    { type: "function_call_output", call_id: "c1", output: '{"id":3,"name":"Rex"}' },
  ]);
  expect(JSON.parse(model.seen[0]?.body ?? "")).toMatchObject({
    tools: [{ type: "function", name: "getPetById", strict: true }],
  });
});

test("strict only where every argument is required, and only if wanted", async () => {
  const { toolset } = await setUp([]);
  const strict = new Map(
    chatTools(toolset).map((tool) => [tool.function.name, tool.function.strict ?? false]),
  );
  expect([
    strict.get("getPetById"),
    strict.get("findPetsByStatus"),
    strict.get("addPet"),
    strict.get("deletePet"),
  ]).toEqual([true, true, false, false]);
  expect(chatTools(toolset, { strict: false }).some((tool) => "strict" in tool.function)).toBe(false);
});

describe("strictSchema", () => {
  const object = (properties: Record<string, JsonSchemaObject>, rest: object = {}): JsonSchemaObject => ({
    type: "object",
    properties,
    required: Object.keys(properties),
    ...rest,
  });
  const yes: [string, JsonSchemaObject, JsonSchemaObject][] = [
    [
      "closes objects",
      object({ a: { type: "string" } }),
      object({ a: { type: "string" } }, { additionalProperties: false }),
    ],
    [
      "nothing to give",
      { type: "object" },
      { type: "object", properties: {}, required: [], additionalProperties: false },
    ],
    [
      "drops annotations",
      object({ a: { type: "integer", default: 3, examples: [1] } }),
      object({ a: { type: "integer" } }, { additionalProperties: false }),
    ],
  ];
  test.each(yes)("%s", (_, schema, want) => expect(strictSchema(schema)).toEqual(want));

  const no: [string, JsonSchemaObject][] = [
    ["optional property", { type: "object", properties: { a: { type: "string" } } }],
    ["optional property below", object({ a: { type: "object", properties: { b: { type: "string" } } } })],
    ["open map", object({ a: { type: "object", additionalProperties: { type: "string" } } })],
    ["free object", object({ a: { type: "object" } })],
    ["anything", object({ a: {} })],
    ["allOf", object({ a: { allOf: [{ type: "string" }] } })],
    ["oneOf", object({ a: { oneOf: [{ type: "string" }] } })],
    ["uniqueItems", object({ a: { type: "array", items: { type: "string" }, uniqueItems: true } })],
    ["unknown format", object({ a: { type: "string", format: "binary" } })],
    [
      "too deep",
      object({
        a: Array.from({ length: 11 }).reduce<JsonSchemaObject>((inner) => object({ a: inner }), {
          type: "string",
        }),
      }),
    ],
    [
      "too many values",
      object({ a: { type: "string", enum: Array.from({ length: 1001 }, (_, i) => `v${i}`) } }),
    ],
  ];
  test.each(no)("not for: %s", (_, schema) => expect(strictSchema(schema)).toBeUndefined());
});
