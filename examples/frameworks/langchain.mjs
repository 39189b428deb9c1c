// LangChain: the tuned solver is the chat model of its agent loop, the API's operations are the tools.
import { createAgent } from "langchain";
import { langchainTools, SolverChatModel } from "specdojo/adapters/langchain";
import { agent, finish, question } from "./_pets.mjs";

const pets = createAgent({
  model: new SolverChatModel(agent), // or any other model
  tools: langchainTools(agent, { confirm: async (call) => call.name === "placeOrder" }),
});
const { messages } = await pets.invoke({ messages: [{ role: "user", content: question }] });
const text = messages.at(-1)?.text;

await finish(text);
