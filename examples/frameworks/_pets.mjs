// What all examples share: an API over loopback, and an agent for it. Its solver is scripted, so that the examples run
// without a model; with SPECDOJO_AGENT=runs/petstore/agent it is the tuned one of that folder.
import { buildToolMenu, createAgent, defineTool, loadAgent, loadOpenApi } from "specdojo";
import * as z from "zod";
import { document, serve } from "../petstore/examples/_server.mjs";

export { serve };
export const question = "What is pet 3 called?";
export const api = await serve(() => [200, { id: 3, name: "Rex", photoUrls: [] }]);

const client = { baseUrl: api.url, credentials: () => "key-of-this-user" };
const tools = [
  defineTool({
    name: "now",
    description: "The current time",
    parameters: z.object({}),
    readOnly: true,
    execute: () => new Date().toISOString(),
  }),
];
const answer = '<tool_call_answer>[{"name":"getPetById","arguments":{"petId":3}}]</tool_call_answer>';
const solver = { complete: async (prompts) => prompts.map(() => answer), close: async () => {} };

const folder = process.env.SPECDOJO_AGENT;
export const agent =
  folder === undefined
    ? createAgent({ menu: buildToolMenu(await loadOpenApi(document)), solver, client, tools })
    : await loadAgent(folder, { client, tools, python: process.env.SPECDOJO_TEST_PYTHON });

/** Checks that the answer came from the API, then ends what was started. */
export async function finish(text) {
  if (!text.includes("Rex")) throw new Error(`The answer is not that of the API: ${text}`);
  if (!api.seen.some(({ method, url }) => method === "GET" && url === "/pet/3"))
    throw new Error("The API was not asked for pet 3.");
  api.close();
  await agent.close();
}
