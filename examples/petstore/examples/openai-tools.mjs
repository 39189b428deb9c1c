// The tools of an API in a chat-completions loop of the `openai` package. The model is scripted; the API calls are real.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { buildToolMenu, createToolset, loadOpenApi } from "specdojo";
import { chatTools, runToolCalls } from "specdojo/adapters/openai";
import { document, serve } from "./_server.mjs";

const call = { id: "call_1", type: "function", function: { name: "getPetById", arguments: '{"petId":3}' } };
const script = [
  { role: "assistant", content: null, tool_calls: [call] },
  { role: "assistant", content: "Pet 3 is called Rex." },
];
const model = await serve((_, count) => [200, { choices: [{ index: 0, message: script[count - 1] }] }]);
const api = await serve(() => [200, { id: 3, name: "Rex", photoUrls: [] }]);

const toolset = createToolset({
  menu: buildToolMenu(await loadOpenApi(document)),
  client: { baseUrl: api.url, credentials: () => "key" },
});
const openai = new OpenAI({ baseURL: `${model.url}/v1`, apiKey: "none" });
const messages = [{ role: "user", content: "What is pet 3 called?" }];
for (;;) {
  const { choices } = await openai.chat.completions.create({
    model: "scripted",
    messages,
    tools: chatTools(toolset),
  });
  messages.push(choices[0].message);
  if (!choices[0].message.tool_calls) break;
  messages.push(...(await runToolCalls(toolset, choices[0].message.tool_calls)));
}

assert.equal(messages.at(-1).content, "Pet 3 is called Rex.");
assert.deepEqual(JSON.parse(messages[2].content), { id: 3, name: "Rex", photoUrls: [] });
assert.deepEqual(
  api.seen.map(({ method, url }) => `${method} ${url}`),
  ["GET /pet/3"],
);
api.close();
model.close();
