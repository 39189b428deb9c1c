import { fileURLToPath } from "node:url";
import { HumanMessage } from "@langchain/core/messages";
import { Agent as OpenAiAgent, Runner } from "@openai/agents";
import { generateText, stepCountIs } from "ai";
import { createAgent } from "langchain";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aiTools, solverModel } from "../../adapters/ai.js";
import { langchainTools, SolverChatModel } from "../../adapters/langchain.js";
import { agentsModel, agentsTools } from "../../adapters/openai-agents.js";
import { endpointSolver, type Solver, samplerSolver } from "../../src/agent/index.js";
import { startWorker, type Worker } from "../../src/backend/worker.js";
import { loadTokenizer } from "../../src/rollout/tokenizer.js";
import { solverMessages } from "../../src/task/prompts.js";
import { type Kennel, kennel, petOf } from "./helpers.js";

/** Set by `npm test`: an interpreter that has the worker's packages. */
const python = process.env.SPECDOJO_TEST_PYTHON;
const bundled = fileURLToPath(new URL("../../worker/base-model", import.meta.url));

/** The first one that the model answers with a call is taken: how well it answers is not at stake here. */
const questions = [
  "Show the pet with id 3.",
  "Find pet 3",
  "Get pet 3 by its id",
  "Pet 3, please",
  "petId 3",
];
let question: string;
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

describe.skipIf(python === undefined)("the bundled model in the loop of (slow)", { timeout: 600_000 }, () => {
  let worker: Worker;
  let pets: Kennel;
  let direct: Solver;
  beforeAll(async () => {
    worker = await startWorker(python === undefined ? {} : { python });
    const sampler = await worker.createSampler({ baseModel: bundled });
    direct = samplerSolver(sampler, await loadTokenizer(bundled));
    pets = await kennel(direct);
    const decided = await pets.agent.decideBatch(questions, { tools });
    question = questions[decided.findIndex(({ calls }) => calls.length > 0)] ?? "";
    expect(question).not.toBe("");
  }, 300_000);
  afterAll(async () => {
    await pets?.close();
    await worker?.close();
  });

  test.each(loops)("%s", async (_, run) => {
    const { calls } = await pets.agent.decide(question, { tools });
    const before = pets.requests().length;
    const answers = (await run(pets.agent)).split("\n").map((line): unknown => JSON.parse(line));
    const ids = calls.map(({ arguments: args }) => Number(args.petId));
    expect(answers).toEqual(ids.map(petOf));
    expect(pets.requests().slice(before)).toEqual(ids.map((id) => `GET /pet/${id}`));
  });

  test("an OpenAI-compatible endpoint, the worker's: the same answers, by token ids and by messages", async () => {
    const menu = pets.agent.tools.filter(({ name }) => tools.includes(name));
    const prompts = questions.slice(0, 3).map((one) => solverMessages(menu, one));
    const want = await direct.complete(prompts, { maxTokens: 60 });
    const server = { url: `${worker.baseUrl}/v1`, model: bundled, apiKey: worker.apiKey, timeoutMs: 300_000 };
    for (const solver of [endpointSolver({ ...server, tokenizer: bundled }), endpointSolver(server)])
      expect(await solver.complete(prompts, { maxTokens: 60 })).toEqual(want);
  });
});
