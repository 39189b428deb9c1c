// Exports an agent, loads it in the application in src/, and asks questions against a mock of the API. With
// SPECDOJO_TEST_PYTHON (an interpreter that has the worker's packages) the bundled model answers; without, a few rules.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildToolMenu, exportAgent, loadAgent, loadOpenApi, startMock } from "specdojo";
import { reply } from "./src/app.mjs";

const document = await loadOpenApi(new URL("../petstore/openapi.yaml", import.meta.url));
const dir = await mkdtemp(join(tmpdir(), "specdojo-application-"));
const keys = { ann: "key-of-ann", bob: "key-of-bob" };
const mock = await startMock(document, { credentials: { "*": keys.ann } });
const client = {
  baseUrl: mock.url,
  // Whose key is used is the application's decision, call by call. The agent never sees one.
  credentials: ({ context }) => keys[context.user],
};

/** Something else than a model behind the same interface: the request's last words decide. */
const rules = {
  async complete(prompts) {
    return prompts.map((messages) => {
      const text = messages
        .filter(({ role }) => role === "user")
        .map(({ content }) => content)
        .join(" ");
      const [id] = /\d+/.exec(text) ?? [];
      if (id === undefined) return "Which pet?<tool_call_answer>[]</tool_call_answer>";
      const name = /delete/i.test(text) ? "deletePet" : "getPetById";
      return `<tool_call_answer>${JSON.stringify([{ name, arguments: { petId: Number(id) } }])}</tool_call_answer>`;
    });
  },
  async close() {},
};

async function ask(agent, turns, options) {
  const messages = [];
  const said = [];
  for (const content of turns) {
    messages.push({ role: "user", content });
    said.push(await reply(agent, messages, { confirm: () => true, context: { user: "ann" }, ...options }));
  }
  return said;
}

try {
  const menu = buildToolMenu(document);
  await exportAgent({
    dir: join(dir, "agent"),
    menu,
    solver: { merged: fileURLToPath(new URL("../../worker/base-model/", import.meta.url)) },
    evaluation: null,
    version: "example",
    createdAt: new Date(0),
    baseModel: { name: "bundled" },
    prompts: { instructions: "brief", rendering: "compact" },
  });

  const agent = await loadAgent(join(dir, "agent"), { client, solver: rules });
  const events = [];
  const [question, pet] = await ask(agent, ["Show me the pet", "The one with the id 3"], {
    onEvent: ({ type }) => events.push(type),
  });
  assert.equal(question, "Which pet?");
  assert.match(pet, /^getPetById: \{.*"id":3/);
  assert.deepEqual(events, ["decided", "decided", "executing", "executed"]);

  const asked = [];
  const refuse = (call) => asked.push(call) < 0;
  assert.deepEqual(await ask(agent, ["Delete pet 3"], { confirm: refuse }), [
    "deletePet: not done, as you wish",
  ]);
  assert.deepEqual(asked, [{ name: "deletePet", arguments: { petId: 3 } }]);
  assert.match((await ask(agent, ["Delete pet 3"]))[0], /^deletePet: /);
  assert.match((await ask(agent, ["Show me pet 3"]))[0], /^getPetById: The server answered 404/);

  const [refused] = await ask(agent, ["Show me pet 4"], { context: { user: "bob" } });
  assert.match(refused, /^getPetById: The server answered 401/);
  const log = JSON.stringify(mock.log);
  assert.ok(log.includes("getPetById") && !log.includes("key-of-"));
  await agent.close();

  const python = process.env.SPECDOJO_TEST_PYTHON;
  if (python) {
    const solved = await loadAgent(join(dir, "agent"), { client, python });
    const { status, executed } = await solved.run("Show me the pet with the id 5", {
      context: { user: "ann" },
    });
    assert.ok(["answered", "asked", "no-call"].includes(status));
    for (const { outcome } of executed) assert.ok(outcome.ok || outcome.error.kind !== "invalid-arguments");
    console.log(`the bundled model: ${JSON.stringify(executed.map(({ call }) => call))}`);
    await solved.close();
  }
} finally {
  await mock.close();
  await rm(dir, { recursive: true, force: true });
}
