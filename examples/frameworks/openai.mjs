// OpenAI: the API's operations as tools of the package's own loop, and of a loop over the responses API. The model is
// scripted here; any endpoint that speaks OpenAI's API will do.
import OpenAI from "openai";
import { responseTools, runFunctionCalls, runnableTools } from "specdojo/adapters/openai";
import { agent, finish, question, serve } from "./_pets.mjs";

const called = { name: "getPetById", arguments: '{"petId":3}' };
const replies = [
  {
    choices: [
      { message: { role: "assistant", tool_calls: [{ id: "c1", type: "function", function: called }] } },
    ],
  },
  { choices: [{ message: { role: "assistant", content: "Pet 3 is called Rex." } }] },
  { id: "r1", output: [{ type: "function_call", call_id: "c2", ...called }] },
  { output: [{ type: "message", content: [{ type: "output_text", text: "Pet 3 is called Rex." }] }] },
];
const endpoint = await serve((_, count) => [200, replies[count - 1]]);
const openai = new OpenAI({ baseURL: `${endpoint.url}/v1`, apiKey: "none" });
const model = "scripted";

// Chat completions.
const runner = openai.chat.completions.runTools({
  model,
  messages: [{ role: "user", content: question }],
  tools: runnableTools(agent, { allow: ["placeOrder"] }),
});
const text = await runner.finalContent();

// Responses.
const tools = responseTools(agent);
const first = await openai.responses.create({ model, input: question, tools });
const outputs = await runFunctionCalls(agent, first.output, { allow: ["placeOrder"] });
const last = await openai.responses.create({ model, previous_response_id: first.id, input: outputs, tools });
if (last.output[0].content[0].text !== text) throw new Error("The responses API answered otherwise.");
endpoint.close();
await finish(text);
