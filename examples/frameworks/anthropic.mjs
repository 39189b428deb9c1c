// Anthropic: the API's operations as tools of the SDK's tool runner. The model is scripted here.
import Anthropic from "@anthropic-ai/sdk";
import { runnableTools } from "specdojo/adapters/anthropic";
import { agent, finish, question, serve } from "./_pets.mjs";

const message = (stop_reason, ...content) => ({
  id: "m",
  type: "message",
  role: "assistant",
  model: "scripted",
  content,
  stop_reason,
  usage: { input_tokens: 1, output_tokens: 1 },
});
const replies = [
  message("tool_use", { type: "tool_use", id: "u1", name: "getPetById", input: { petId: 3 } }),
  message("end_turn", { type: "text", text: "Pet 3 is called Rex." }),
];
const endpoint = await serve((_, count) => [200, replies[count - 1]]);
const model = "scripted";
const anthropic = new Anthropic({ baseURL: endpoint.url, apiKey: "none" });

const last = await anthropic.beta.messages.toolRunner({
  model,
  max_tokens: 1000,
  messages: [{ role: "user", content: question }],
  tools: runnableTools(agent, { allow: ["placeOrder"] }),
});
endpoint.close();
await finish(last.content[0].text);
