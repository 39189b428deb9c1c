// Mastra: the tuned solver is the agent's model, the API's operations are its tools.
import { Agent } from "@mastra/core/agent";
import { createTool } from "@mastra/core/tools";
import { solverModel } from "specdojo/adapters/ai";
import { mastraTools } from "specdojo/adapters/mastra";
import { agent, finish, question } from "./_pets.mjs";

const pets = new Agent({
  id: "pets",
  name: "Pets",
  instructions: "Use the tools.",
  model: solverModel(agent), // or any other model; Mastra 0.24 takes solverModelV2 of adapters/mastra
  tools: mastraTools(agent, createTool, { allow: ["placeOrder"] }),
});
const { text } = await pets.generate(question, { maxSteps: 3 });
await finish(text);
