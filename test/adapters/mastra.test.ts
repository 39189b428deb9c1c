import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { solverModel } from "../../adapters/ai.js";
import { mastraTools, solverModelV2 } from "../../adapters/mastra.js";
import { isInstalled, type Kennel, kennel } from "./helpers.js";

// Mastra is too heavy for a development dependency: `npm run frameworks` installs it beside the others.
interface MastraAgent {
  generate(question: string, options: object): Promise<{ text: string; finishReason: unknown }>;
  stream(question: string, options: object): Promise<{ textStream: AsyncIterable<string> }>;
}
interface Mastra {
  Agent: new (options: object) => MastraAgent;
  createTool: (options: object) => object;
  major: number;
}

async function load(): Promise<Mastra> {
  const [agent, tools, manifest] = ["agent", "tools", "package.json"].map((name) => `@mastra/core/${name}`);
  const { Agent } = (await import(agent ?? "")) as Pick<Mastra, "Agent">;
  const { createTool } = (await import(tools ?? "")) as Pick<Mastra, "createTool">;
  const { version } = (await import(manifest ?? "")) as { version: string };
  return { Agent, createTool, major: Number(version.split(".")[0]) };
}

let pets: Kennel;
beforeEach(async () => {
  pets = await kennel();
}, 300_000);
afterEach(() => pets.close());

test("the tools carry what createTool takes, in the form of both majors", async () => {
  const tools = mastraTools(pets.agent, (options) => options, { allow: ["addPet"] });
  expect(Object.keys(tools)).toEqual(pets.agent.tools.map(({ name }) => name));
  expect(
    [tools.getPetById, tools.deletePet, tools.addPet, tools.note].map((tool) => tool?.requireApproval),
  ).toEqual([false, true, false, false]);
  expect(await tools.getPetById?.execute({ petId: 3 }, {})).toContain('"Rex"');
  expect(await tools.getPetById?.execute({ context: { petId: 4 }, runtimeContext: {} })).toContain('"Ada"');
});

test("the model of the previous specification ends as that one does", async () => {
  const model = solverModelV2(pets.agent);
  const prompt = [{ role: "user" as const, content: "What is pet 3 called?" }];
  const tools = [{ type: "function", name: "getPetById" }];
  const ended = {
    finishReason: "tool-calls",
    usage: { inputTokens: undefined, outputTokens: undefined, totalTokens: undefined },
  };
  expect(await model.doGenerate({ prompt, tools })).toMatchObject({ ...ended, warnings: [] });
  const { stream } = await model.doStream({ prompt, tools });
  const parts: object[] = [];
  for await (const part of stream) parts.push(part);
  expect([parts.at(0), parts.at(-1)]).toEqual([
    { type: "stream-start", warnings: [] },
    { type: "finish", ...ended },
  ]);
});

describe.skipIf(!isInstalled("@mastra/core/agent"))("with @mastra/core", () => {
  async function agent(): Promise<MastraAgent> {
    const { Agent, createTool, major } = await load();
    return new Agent({
      id: "pets",
      name: "Pets",
      instructions: "Use the tools.",
      model: major === 0 ? solverModelV2(pets.agent) : solverModel(pets.agent),
      tools: mastraTools(pets.agent, createTool, { allow: ["addPet"] }),
    });
  }

  test("generate: question, solver, API, answer", async () => {
    const { text } = await (await agent()).generate("What is pet 3 called?", { maxSteps: 3 });
    expect(JSON.parse(text)).toEqual({ id: 3, name: "Rex" });
    expect(pets.requests()).toEqual(["GET /pet/3"]);
  });

  test("stream: the answer arrives as text", async () => {
    const { textStream } = await (await agent()).stream("What is pet 3 called?", { maxSteps: 3 });
    let text = "";
    for await (const part of textStream) text += part;
    expect(JSON.parse(text)).toEqual({ id: 3, name: "Rex" });
    expect(pets.requests()).toEqual(["GET /pet/3"]);
  });

  test("own zod 4 and zod 3 tools join; what changes something waits for approval", async () => {
    await (await agent()).generate("Note: feed Rex", { maxSteps: 3 });
    expect(pets.notes).toEqual([
      { text: "feed Rex", urgent: false },
      { text: "feed Rex", days: 2 },
    ]);
    await (await agent()).generate("Delete pet 3", { maxSteps: 3 }).catch(() => undefined);
    expect(pets.requests()).toEqual([]);
  });
});
