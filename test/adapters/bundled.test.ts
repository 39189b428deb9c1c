import { fileURLToPath } from "node:url";
import { HumanMessage } from "@langchain/core/messages";
import { Agent as OpenAiAgent, Runner } from "@openai/agents";
import { generateText, stepCountIs } from "ai";
import { createAgent } from "langchain";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aiTools, solverModel } from "../../adapters/ai.js";
import { langchainTools, SolverChatModel } from "../../adapters/langchain.js";
import { agentsModel, agentsTools } from "../../adapters/openai-agents.js";
import { samplerSolver } from "../../src/agent/index.js";
import { startWorker, type Worker } from "../../src/backend/worker.js";
import { loadTokenizer } from "../../src/rollout/tokenizer.js";
import { type Kennel, kennel, petOf } from "./helpers.js";

/** Set by `npm test`: an interpreter that has the worker's packages. */
const python = process.env.SPECDOJO_TEST_PYTHON;
const bundled = fileURLToPath(new URL("../../worker/base-model", import.meta.url));

const question = "Show the pet with id 3.";
const tools = ["getPetById"];
const loops: [name: string, run: (agent: Kennel["agent"]) => Promise<string>][] = [
  [
    "ai",
    async (agent) => {
      const options = {
        model: solverModel(agent),
        tools: aiTools(agent, { tools }),
        stopWhen: stepCountIs(3),
      };
      return (await generateText({ ...options, prompt: question })).text;
    },
  ],
  [
    "langchain",
    async (agent) => {
      const made = createAgent({
        model: new SolverChatModel(agent),
        tools: langchainTools(agent, { tools }),
      });
      return (await made.invoke({ messages: [new HumanMessage(question)] })).messages.at(-1)?.text ?? "";
    },
  ],
  [
    "openai-agents",
    async (agent) => {
      const made = new OpenAiAgent({
        name: "Pets",
        model: agentsModel(agent),
        tools: agentsTools(agent, { tools }),
      });
      return (await new Runner({ tracingDisabled: true }).run(made, question)).finalOutput ?? "";
    },
  ],
];

describe.skipIf(python === undefined)("the bundled model in the loop of (slow)", { timeout: 120_000 }, () => {
  let worker: Worker;
  let pets: Kennel;
  beforeAll(async () => {
    worker = await startWorker(python === undefined ? {} : { python });
    const sampler = await worker.createSampler({ baseModel: bundled });
    pets = await kennel(samplerSolver(sampler, await loadTokenizer(bundled)));
  }, 120_000);
  afterAll(async () => {
    await pets?.close();
    await worker?.close();
  });

  test.each(loops)("%s", async (_, run) => {
    const { calls } = await pets.agent.decide(question, { tools });
    expect(calls.length).toBeGreaterThan(0);
    const before = pets.requests().length;
    const answers = (await run(pets.agent)).split("\n").map((line): unknown => JSON.parse(line));
    const ids = calls.map(({ arguments: args }) => Number(args.petId));
    expect(answers).toEqual(ids.map(petOf));
    expect(pets.requests().slice(before)).toEqual(ids.map((id) => `GET /pet/${id}`));
  });
});
