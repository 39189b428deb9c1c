import { connect } from "node:net";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createToolset } from "../../src/agent/toolset.js";
import { serveAgent } from "../../src/serve/index.js";
import { json, mockServer, petstoreMenu } from "../agent/helpers.js";
import { agentFolder, calls, type Scripted, type Served, scripted, serve, token } from "./helpers.js";

let dir: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ dir, remove } = await agentFolder());
});
afterAll(() => remove());

const user = (content: string) => ({ role: "user" as const, content });
const pet = (id: unknown) => [{ name: "getPetById", arguments: { petId: id } }];

/** `pet N` -> a call with N; other words as below. */
function script(question: string): string | object[] {
  const id = /pet (\d+)/.exec(question)?.[1];
  if (question.includes("both")) return [...pet(1), ...pet(2)];
  if (question.includes("wrong")) return pet("three");
  if (question.includes("which")) return calls([], "Which pet? I need the id.");
  if (question.includes("long")) return "<tool_call_answer>[";
  if (question.includes("no room")) return "";
  if (question.includes("weather")) return [{ name: "get_weather", arguments: { city: "Oslo" } }];
  return id === undefined ? [] : pet(Number(id));
}

describe("specdojo serve, with the openai package", () => {
  let solver: Scripted;
  let served: Served;
  const errors: unknown[] = [];
  const ask = (content: string, options: object = {}) =>
    served.openai.chat.completions.create({
      model: served.model,
      messages: [user(content)],
      ...options,
    }) as Promise<OpenAI.ChatCompletion>;
  const tool = (name: string, parameters: object = { type: "object", properties: {} }) => ({
    type: "function" as const,
    function: { name, parameters },
  });
  const weather = tool("get_weather", {
    $schema: "http://json-schema.org/draft-07/schema#",
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
  });

  beforeAll(async () => {
    solver = scripted((question) => script(question));
    served = await serve(dir, { solver, onError: (error) => errors.push(error) });
  });
  afterAll(async () => {
    await served.close();
    expect(solver.closed).toBe(1);
    expect(errors).toEqual([]);
  });

  it("lists its one model", async () => {
    const { data } = await served.openai.models.list();
    expect(data.map(({ id }) => id)).toEqual(["swagger-petstore"]);
    expect(await served.openai.models.retrieve(served.model)).toMatchObject({
      object: "model",
      owned_by: "specdojo",
    });
    await expect(served.openai.models.retrieve("gpt-5")).rejects.toMatchObject({
      status: 404,
      code: "model_not_found",
    });
  });

  it("calls tools of the agent's menu", async () => {
    const completion = await ask("Show me pet 7");
    const [choice] = completion.choices;
    expect(choice).toMatchObject({
      index: 0,
      finish_reason: "tool_calls",
      message: { role: "assistant", content: null },
    });
    expect(choice?.message.tool_calls).toEqual([
      {
        id: expect.stringMatching(/^call_[0-9a-f]{24}$/),
        type: "function",
        function: { name: "getPetById", arguments: '{"petId":7}' },
      },
    ]);
    expect(completion.usage).toMatchObject({
      prompt_tokens: 100,
      total_tokens: 100 + (completion.usage?.completion_tokens ?? 0),
      prompt_tokens_details: { cached_tokens: 90 },
    });
    expect(solver.asked.at(-1)?.shown[0]).toHaveLength((await petstoreMenu()).tools.length);
  });

  it.each<[string, string, object, object]>([
    ["two calls", "both", {}, { finish_reason: "tool_calls", message: { tool_calls: [{}, {}] } }],
    [
      "one at a time",
      "both",
      { parallel_tool_calls: false },
      { message: { tool_calls: [{ function: { arguments: '{"petId":1}' } }] } },
    ],
    [
      "a question back",
      "which one",
      {},
      { finish_reason: "stop", message: { content: "Which pet? I need the id." } },
    ],
    [
      "nothing to call",
      "hello",
      {},
      { finish_reason: "stop", message: { content: "No tool call: no tool fits." } },
    ],
    [
      "a call that does not fit",
      "wrong",
      {},
      { finish_reason: "stop", message: { content: expect.stringContaining("integer") } },
    ],
    ["an answer that is too long", "long", {}, { finish_reason: "length", message: { content: null } }],
    [
      "no tool wanted",
      "pet 3",
      { tool_choice: "none" },
      { finish_reason: "stop", message: { content: "No tool may be called." } },
    ],
    [
      "a tool of the request",
      "weather",
      { tools: [weather] },
      { message: { tool_calls: [{ function: { name: "get_weather", arguments: '{"city":"Oslo"}' } }] } },
    ],
    [
      "not one that the request lacks",
      "pet 3",
      { tools: [weather] },
      { finish_reason: "stop", message: { content: expect.stringContaining("getPetById") } },
    ],
  ])("%s", async (_, content, options, want) => {
    const { choices } = await ask(content, options);
    expect(choices).toEqual([expect.objectContaining({})]);
    expect(choices[0]).toMatchObject(want);
  });

  it("shows the solver the tools of the request, in the menu's own words where it knows them", async () => {
    await ask("pet 3", { tools: [tool("getPetById"), tool("deletePet")] });
    expect(solver.asked.at(-1)?.shown).toEqual([
      ["getPetById", "deletePet"].sort((a, b) => (a < b ? 1 : -1)),
    ]);
    const [shown] = solver.asked.at(-1)?.options.tools ?? [];
    expect(shown?.find(({ name }) => name === "getPetById")?.parameters.properties).toHaveProperty("petId");
  });

  it("a chosen tool is the only one shown, and must be called", async () => {
    const chosen = { type: "function", function: { name: "getPetById" } };
    const { choices } = await ask("pet 3", { tool_choice: chosen });
    expect(choices[0]?.message.tool_calls).toHaveLength(1);
    expect(solver.asked.at(-1)).toMatchObject({ shown: [["getPetById"]], options: { mustCall: true } });
    await expect(ask("hello", { tool_choice: "required" })).rejects.toMatchObject({
      status: 422,
      code: "no_valid_call",
    });
  });

  it("limits the answer, and never above the agent's own limit", async () => {
    await ask("pet 3", { max_completion_tokens: 17 });
    expect(solver.asked.at(-1)?.options.maxTokens).toBe(17);
    await ask("pet 3", { max_tokens: 100000 });
    expect(solver.asked.at(-1)?.options.maxTokens).toBe(128);
  });

  it("streams what it would answer", async () => {
    const runner = served.openai.chat.completions.stream({
      model: served.model,
      messages: [user("both")],
      stream_options: { include_usage: true },
    });
    const seen: string[] = [];
    for await (const chunk of runner)
      seen.push(chunk.choices[0]?.finish_reason ?? (chunk.usage ? "usage" : "part"));
    expect(seen).toEqual(["part", "part", "part", "part", "part", "tool_calls", "usage"]);
    const completion = await runner.finalChatCompletion();
    expect(
      completion.choices[0]?.message.tool_calls?.map(
        (call) => call.type === "function" && call.function.arguments,
      ),
    ).toEqual(['{"petId":1}', '{"petId":2}']);
    expect(completion.usage?.prompt_tokens).toBe(100);
    const text = served.openai.chat.completions.stream({ model: served.model, messages: [user("which")] });
    expect(await text.finalContent()).toBe("Which pet? I need the id.");
    await expect(
      served.openai.chat.completions
        .stream({ model: served.model, messages: [user("hello")], tool_choice: "required" })
        .done(),
    ).rejects.toMatchObject({ status: 422 });
  });

  it("the package's own loop calls our tool, which calls the API, and ends with its answer", async () => {
    const api = await mockServer((request, response) =>
      json(response, 200, { id: 7, name: "Rex", of: request.url }),
    );
    const toolset = createToolset({
      menu: await petstoreMenu(),
      client: { baseUrl: api.url, credentials: () => "key" },
    });
    const parameters = toolset.tools.find(({ name }) => name === "getPetById")?.parameters;
    const runner = served.openai.chat.completions.runTools({
      model: served.model,
      messages: [user("pet 7 please")],
      tools: [
        {
          type: "function",
          function: {
            name: "getPetById",
            description: "",
            parameters: parameters as Record<string, unknown>,
            function: async (args: string) => (await toolset.answer("getPetById", args)).text,
          },
        },
      ],
    });
    expect(JSON.parse((await runner.finalContent()) ?? "")).toEqual({ id: 7, name: "Rex", of: "/pet/7" });
    expect(api.seen.map(({ method, url }) => `${method} ${url}`)).toEqual(["GET /pet/7"]);
    await api.close();
  });

  it.each<[string, object, string | null]>([
    ["no messages", { messages: [] }, "messages"],
    ["a role that is unknown", { messages: [{ role: "robot", content: "x" }] }, "messages[0].role"],
    ["the assistant's word last", { messages: [user("x"), { role: "assistant", content: "y" }] }, "messages"],
    ["two answers", { n: 2 }, "n"],
    ["JSON wanted", { response_format: { type: "json_object" } }, "response_format.type"],
    ["a tool without a name", { tools: [{ type: "function", function: {} }] }, "tools[0].function.name"],
    ["a name that no tool can have", { tools: [tool("get weather")] }, "tools[0].function"],
    ["two tools of one name", { tools: [weather, weather] }, "tools[1].function"],
    [
      "a choice that is not offered",
      { tools: [weather], tool_choice: { type: "function", function: { name: "getPetById" } } },
      "tool_choice",
    ],
    ["no tokens", { max_tokens: 0 }, "max_tokens"],
  ])("refuses %s", async (_, options, param) => {
    await expect(ask("pet 3", options)).rejects.toMatchObject({
      status: 400,
      type: "invalid_request_error",
      param,
    });
  });

  it("a question that leaves no room for an answer is the client's mistake", async () => {
    await expect(ask("no room")).rejects.toMatchObject({ status: 400, code: "context_length_exceeded" });
  });

  it("refuses a wrong token, none, and another model", async () => {
    const stranger = (apiKey: string) => new OpenAI({ baseURL: served.url, apiKey, maxRetries: 0 });
    for (const key of [`${token}x`, token.slice(1), "x"])
      await expect(stranger(key).models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const bare = await fetch(`${served.url}/models`);
    expect([bare.status, await bare.text()]).toEqual([401, expect.not.stringContaining(token)]);
    await expect(ask("pet 3", { model: "gpt-5" })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect((await fetch(served.url.replace("/v1", "/health"))).status).toBe(200);
  });

  it.each<[string, string, RequestInit, number]>([
    ["no JSON", "/chat/completions", { method: "POST", body: "{" }, 400],
    ["a body that is too large", "/chat/completions", { method: "POST", body: "x".repeat(9 * 2 ** 20) }, 413],
    ["another path", "/completions", { method: "POST", body: "{}" }, 404],
    ["another method", "/chat/completions", { method: "GET" }, 404],
  ])("refuses %s", async (_, path, init, status) => {
    const reply = await fetch(`${served.url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}` },
    });
    expect([reply.status, await reply.json()]).toMatchObject([
      status,
      { error: { type: "invalid_request_error" } },
    ]);
  });

  it("answers 50 clients at once, each its own question, in a few batches", async () => {
    const before = solver.asked.length;
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const openai = new OpenAI({ baseURL: served.url, apiKey: token, maxRetries: 0 });
        const request = { model: served.model, messages: [user(`pet ${i}`)] };
        const message =
          i % 2 === 0
            ? await openai.chat.completions.stream(request).finalMessage()
            : (await openai.chat.completions.create(request)).choices[0]?.message;
        return message?.tool_calls?.[0];
      }),
    );
    expect(answers.map((call) => call?.type === "function" && call.function.arguments)).toEqual(
      Array.from({ length: 50 }, (_, i) => `{"petId":${i}}`),
    );
    const batches = solver.asked.slice(before).map(({ questions }) => questions.length);
    expect(Math.max(...batches)).toBeGreaterThan(1);
    expect(Math.max(...batches)).toBeLessThanOrEqual(32);
  });
});

describe("clients that leave", () => {
  it("stop what is asked for them alone, and nobody else's", async () => {
    const solver = scripted((question) =>
      question.includes("wait") ? new Promise<never>(() => {}) : script(question),
    );
    const served = await serve(dir, { solver });
    const leave = new AbortController();
    const messages = [user("wait")];
    const cancelled = served.openai.chat.completions.create(
      { model: served.model, messages },
      { signal: leave.signal },
    );
    await expect.poll(() => solver.asked.length, { timeout: 60_000 }).toBe(1);
    // It waits behind the first, and leaves before its turn.
    const queued = new AbortController();
    const second = served.openai.chat.completions.create(
      { model: served.model, messages: [user("pet 9")], stream: true },
      { signal: queued.signal },
    );
    const third = served.openai.chat.completions.create({ model: served.model, messages: [user("pet 4")] });
    await new Promise((resolve) => setTimeout(resolve, 100));
    queued.abort();
    await expect(second).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    await new Promise((resolve) => setTimeout(resolve, 100));
    leave.abort();
    await expect(cancelled).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    expect((await third).choices[0]?.finish_reason).toBe("tool_calls");
    expect(solver.asked.map(({ questions }) => questions)).toEqual([["wait"], ["pet 4"]]);
    expect(solver.asked[0]?.options.signal?.aborted).toBe(true);
    await served.close();
  });

  it("a solver that fails is an error of the server, without its details", async () => {
    const errors: unknown[] = [];
    const solver = scripted(() => Promise.reject(new Error("secret path /home/x")));
    const served = await serve(dir, { solver, onError: (error) => errors.push(error) });
    const failed = await served.openai.chat.completions
      .create({ model: served.model, messages: [user("x")] })
      .catch((error: unknown) => error);
    expect(failed).toMatchObject({ status: 500, code: "solver_failed" });
    expect(String(failed)).not.toContain("secret");
    expect(errors.map(String)).toEqual(["Error: secret path /home/x"]);
    await served.close();
  });

  it("closing ends those who wait", async () => {
    const solver = scripted(() => new Promise<never>(() => {}));
    const served = await serve(dir, { solver });
    const waiting = served.openai.chat.completions.create({ model: served.model, messages: [user("x")] });
    await expect.poll(() => solver.asked.length, { timeout: 60_000 }).toBe(1);
    const closed = served.close();
    await expect(waiting).rejects.toBeInstanceOf(OpenAI.APIConnectionError);
    await closed;
    expect(solver.closed).toBe(1);
  });
});

describe("who may reach it", () => {
  const solver = () => scripted((question) => script(question));

  it.each<[string, Parameters<typeof serveAgent>[0] extends infer O ? Partial<O> : never, string]>([
    ["an address that others reach", { host: "0.0.0.0" }, "serve-remote"],
    ["the same without a token", { host: "0.0.0.0", allowRemote: true, token: null }, "serve-token"],
    ["the same with a short one", { host: "::", allowRemote: true, token: "short" }, "serve-token"],
    ["an empty token", { token: "" }, "serve-token"],
  ])("%s is refused", async (_, options, code) => {
    await expect(serveAgent({ dir, token, solver: solver(), ...options })).rejects.toMatchObject({ code });
  });

  it("a port that is taken is named", async () => {
    const first = await serve(dir, { solver: solver() });
    const port = Number(new URL(first.url).port);
    const second = solver();
    await expect(serveAgent({ dir, token, port, solver: second })).rejects.toMatchObject({
      code: "port-unavailable",
      place: `127.0.0.1:${port}`,
    });
    expect(second.closed).toBe(1);
    await first.close();
  });

  it("without a token, web pages stay outside", async () => {
    const served = await serve(dir, { solver: solver(), token: null });
    const { port } = new URL(served.url);
    const status = (headers: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect(Number(port), "127.0.0.1", () => {
          socket.write(`GET /v1/models HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);
        });
        let text = "";
        socket.on("data", (chunk) => {
          text += chunk;
        });
        socket.on("end", () => resolve(text.slice(9, 12)));
        socket.on("error", reject);
      });
    expect(await status(`Host: localhost:${port}\r\n`)).toBe("200");
    expect(await status(`Host: rebound.example:${port}\r\n`)).toBe("403");
    expect(await status(`Host: localhost:${port}\r\nOrigin: https://page.example\r\n`)).toBe("403");
    await served.close();
  });
});
