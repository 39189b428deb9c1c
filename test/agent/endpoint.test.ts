import { afterEach, expect, test } from "vitest";
import { createAgent } from "../../src/agent/agent.js";
import { type EndpointSolverOptions, endpointSolver } from "../../src/agent/endpoint.js";
import { menuGrammar } from "../../src/agent/grammar/menu.js";
import type { CompletionUsage } from "../../src/agent/solver.js";
import type { Tokenizer } from "../../src/rollout/tokenizer.js";
import { briefStyle } from "../../src/task/prompts.js";
import { json, type MockServer, mockServer, petstoreMenu } from "./helpers.js";

const key = "key-of-the-endpoint";
const text = '<tool_call_answer>[{"name":"getPetById","arguments":{"petId":3}}]</tool_call_answer>';
const usage = {
  prompt_tokens: 40,
  completion_tokens: 9,
  total_tokens: 49,
  prompt_tokens_details: { cached_tokens: 30 },
};

/** Characters are tokens. */
const tokenizer: Tokenizer = {
  stopTokens: [0],
  size: 256,
  encode: (part) => [...part].map((char) => char.charCodeAt(0)),
  encodeContent: (part) => [...part].map((char) => char.charCodeAt(0)),
  decode: (tokens) => String.fromCharCode(...tokens),
  renderChat: (messages) => tokenizer.encode(messages.map(({ content }) => content).join("|")),
  tokenId: () => undefined,
};

let server: MockServer | undefined;
afterEach(async () => server?.close());

async function solver(
  answer: Parameters<typeof mockServer>[0],
  options: Partial<EndpointSolverOptions> = {},
): Promise<[ReturnType<typeof endpointSolver>, MockServer]> {
  server = await mockServer(answer);
  return [endpointSolver({ url: `${server.url}/v1/`, model: "pets", apiKey: key, ...options }), server];
}

const chat: Parameters<typeof mockServer>[0] = (_, response) =>
  json(response, 200, { choices: [{ message: { content: text }, finish_reason: "stop" }], usage });

const bodyOf = ({ seen }: MockServer, i = 0) =>
  JSON.parse(seen[i]?.body ?? "null") as Record<string, unknown>;

test("an agent's questions go as messages, greedily", async () => {
  const [endpoint, { seen }] = await solver(chat);
  const agent = createAgent({ menu: await petstoreMenu(), solver: endpoint, maxTokens: 77 });
  const told: CompletionUsage[] = [];
  const decisions = await agent.decideBatch(["What is pet 3 called?", "And pet 3?"], {
    onUsage: (one) => told.push(one),
  });
  for (const { calls } of decisions) expect(calls).toEqual([{ name: "getPetById", arguments: { petId: 3 } }]);
  expect(told).toEqual(Array(2).fill({ prompt: 40, cached: 30, completion: 9, finish: "stop" }));
  expect(seen.map(({ url, headers }) => [url, headers.authorization])).toEqual(
    Array(2).fill(["/v1/chat/completions", `Bearer ${key}`]),
  );
  const body = JSON.parse(seen[0]?.body ?? "") as { messages: { role: string; content: string }[] };
  expect(body).toMatchObject({ model: "pets", temperature: 0, max_tokens: 77 });
  expect(body.messages.map(({ role }) => role)).toEqual(["system", "user"]);
  expect(body.messages[1]?.content).toContain("pet 3");
});

test("with a tokenizer, prompts are its token ids, and a call can be begun", async () => {
  const [endpoint, mock] = await solver(
    (_, response) => json(response, 200, { choices: [{ text, finish_reason: "length" }] }),
    { tokenizer },
  );
  const messages = [{ role: "user" as const, content: "pet 3" }];
  const told: CompletionUsage[] = [];
  const [plain] = await endpoint.complete([messages], { maxTokens: 5, onUsage: (_, one) => told.push(one) });
  expect([plain, told]).toEqual([text, [{ prompt: 0, cached: 0, completion: 0, finish: "length" }]]);
  expect(mock.seen[0]?.url).toBe("/v1/completions");
  expect(bodyOf(mock)).toEqual({
    model: "pets",
    prompt: tokenizer.encode("pet 3"),
    max_tokens: 5,
    temperature: 0,
  });
  const tools = (await petstoreMenu()).tools.slice(0, 1);
  const [begun = ""] = await endpoint.complete([messages], { maxTokens: 5, tools: [tools], mustCall: true });
  const start = begun.slice(0, -text.length);
  expect(start).toContain(tools[0]?.name);
  expect(bodyOf(mock, 1).prompt).toEqual(tokenizer.encode(`pet 3${start}`));
});

test("the grammar of the tools goes where the server looks for it", async () => {
  const tools = (await petstoreMenu()).tools.slice(0, 2);
  const grammar = menuGrammar(tools, { style: briefStyle, mustCall: true });
  for (const [name, want] of [
    ["llama.cpp", { grammar }],
    ["vllm", { structured_outputs: { grammar } }],
  ] as const) {
    const [endpoint, mock] = await solver(chat, { grammar: name });
    await endpoint.complete([[{ role: "user", content: "x" }]], {
      maxTokens: 5,
      tools: [tools],
      mustCall: true,
    });
    expect(bodyOf(mock)).toMatchObject(want);
    await mock.close();
  }
});

test("at most so many requests at a time, answers in order", async () => {
  let open = 0;
  let most = 0;
  const [endpoint] = await solver(
    (request, response) => {
      most = Math.max(most, ++open);
      setTimeout(() => {
        open--;
        const { messages } = JSON.parse(request.body) as { messages: { content: string }[] };
        json(response, 200, { choices: [{ message: messages[0], finish_reason: "stop" }] });
      }, 5);
    },
    { concurrency: 3 },
  );
  const texts = Array.from({ length: 12 }, (_, i) => `question ${i}`);
  const prompts = texts.map((content) => [{ role: "user" as const, content }]);
  expect(await endpoint.complete(prompts, { maxTokens: 5 })).toEqual(texts);
  expect(most).toBe(3);
});

test.each<[string, Parameters<typeof mockServer>[0], RegExp]>([
  [
    "a refused key",
    (_, response) => json(response, 401, { error: { message: `bad ${key}` } }),
    /401.*\[key\]/,
  ],
  ["an unknown model", (_, response) => json(response, 404, { error: { message: "no pets" } }), /no pets/],
  ["no choices", (_, response) => json(response, 200, {}), /no choices/],
  ["no JSON", (_, response) => void response.writeHead(200).end("<html>"), /no choices/],
  ["a lost connection", (_, response) => void response.destroy(), /[Cc]onnection/],
])("%s is an error with place and remedy, without the key", async (_, answer, message) => {
  const [endpoint, { url }] = await solver(answer, { retries: 0 });
  const failed = await endpoint
    .complete([[{ role: "user", content: "x" }]], { maxTokens: 5 })
    .catch((error: unknown) => error);
  expect(failed).toMatchObject({
    code: "endpoint-failed",
    place: `${url}/v1`,
    message: expect.stringMatching(message),
    remedy: expect.stringContaining('"pets"'),
  });
  expect(JSON.stringify(failed) + String(failed)).not.toContain(key);
});

test("ends when it is told to, or closed", async () => {
  const [endpoint] = await solver(() => undefined);
  const stop = new AbortController();
  const messages = [{ role: "user" as const, content: "x" }];
  const asked = endpoint.complete([messages], { maxTokens: 5, signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(asked).rejects.toThrow("enough");
  const waiting = endpoint.complete([messages], { maxTokens: 5 });
  await endpoint.close();
  await expect(waiting).rejects.toThrow("closed");
});
