// An application around an exported agent: asks it, runs the calls that it decides on, and says what came back.
//   node app.mjs AGENT_FOLDER BASE_URL        then type questions; API_KEY in the environment goes to the API
import { realpathSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { loadAgent, resultText } from "specdojo/agent";

/**
 * One turn of a conversation: what to say to the user. `messages` holds the turns so far, the user's last, and is
 * added to where the agent asks something back.
 */
export async function reply(agent, messages, { confirm, context, onEvent }) {
  const { status, text, executed } = await agent.run(messages, { confirm, context, onEvent });
  if (status === "asked") {
    messages.push({ role: "assistant", content: text });
    return text;
  }
  // The next question is a new one: the solver answers a request with all of its calls at once.
  messages.length = 0;
  if (executed.length === 0) return "Nothing in this API answers that.";
  return executed.map(({ call, outcome }) => `${call.name}: ${describe(outcome)}`).join("\n");
}

function describe(outcome) {
  if (outcome.ok) return outcome.data === undefined ? "done" : resultText(outcome.data, 400);
  if (outcome.error.kind === "not-confirmed") return "not done, as you wish";
  return outcome.error.message;
}

async function main([folder, baseUrl]) {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const agent = await loadAgent(folder, {
    client: { baseUrl, credentials: () => process.env.API_KEY },
  });
  const confirm = async ({ name, arguments: args }) =>
    /^y/i.test(await lines.question(`Really call ${name} with ${JSON.stringify(args)}? [y/N] `));
  const messages = [];
  lines.setPrompt("> ");
  lines.prompt();
  for await (const content of lines) {
    messages.push({ role: "user", content });
    console.log(await reply(agent, messages, { confirm }));
    lines.prompt();
  }
  await agent.close();
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  await main(process.argv.slice(2));
