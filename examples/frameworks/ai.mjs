// Vercel AI SDK: the tuned solver is the model, the API's operations are the tools.
import { generateText, stepCountIs, streamText } from "ai";
import { aiTools, solverModel } from "specdojo/adapters/ai";
import { agent, finish, question } from "./_pets.mjs";

const options = {
  model: solverModel(agent), // or any other model
  tools: aiTools(agent, { allow: ["placeOrder"] }), // all else that changes something asks for approval
  stopWhen: stepCountIs(3),
  prompt: question,
};
const { text } = await generateText(options);

let streamed = "";
for await (const part of streamText(options).textStream) streamed += part;
if (streamed !== text) throw new Error(`Streamed otherwise: ${streamed}`);
await finish(text);
