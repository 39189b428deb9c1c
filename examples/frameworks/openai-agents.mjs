// OpenAI Agents SDK: the tuned solver is the agent's model, the API's operations are its tools.
import { Agent, Runner } from "@openai/agents";
import { agentsModel, agentsTools } from "specdojo/adapters/openai-agents";
import { agent, finish, question } from "./_pets.mjs";

const pets = new Agent({
  name: "Pets",
  model: agentsModel(agent), // or any other model
  tools: agentsTools(agent, { allow: ["placeOrder"] }), // all else that changes something interrupts the run
});
const { finalOutput } = await new Runner({ tracingDisabled: true }).run(pets, question);

await finish(finalOutput);
