import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { runCommand } from "citty";
import { afterEach, describe, expect, test, vi } from "vitest";
import { benchCommand } from "../../src/cli/bench.js";
import { type BenchReport, runBench } from "../../src/evaluate/bench.js";
import { endpointModel, endpointModels } from "../../src/evaluate/endpoint.js";
import { solverBenchModel } from "../../src/evaluate/models.js";
import { parseSuite } from "../../src/evaluate/suite.js";
import { benchText } from "../../src/evaluate/text.js";
import { briefStyle, solverCompletion } from "../../src/task/prompts.js";

const items = parseSuite(
  readFileSync(new URL("../fixtures/suites/bfcl.jsonl", import.meta.url), "utf8"),
  "bfcl.jsonl",
);
const closing: (() => void)[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const close of closing.splice(0)) close();
});

interface Asked {
  body: {
    model: string;
    messages: { role: string; content: string }[];
    tools: { function: { name: string; parameters: unknown } }[];
  };
  headers: IncomingMessage["headers"];
  /** How often this question was asked before. */
  earlier: number;
}

/** An OpenAI-compatible endpoint that answers by a function. */
async function endpoint(
  answer: (asked: Asked, response: ServerResponse) => void,
): Promise<{ baseUrl: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url === "/v1/models")
      return response.end(JSON.stringify({ object: "list", data: [{ id: "tiny", object: "model" }] }));
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Asked["body"];
    const question = body.messages.at(-1)?.content;
    const entry = {
      body,
      headers: request.headers,
      earlier: asked.filter((other) => other.body.messages.at(-1)?.content === question).length,
    };
    asked.push(entry);
    return answer(entry, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked };
}

function reply(calls: { name: string; arguments: string }[], content = ""): string {
  const toolCalls = calls.map((call, i) => ({ id: `c${i}`, type: "function", function: call }));
  const message = {
    role: "assistant",
    content,
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
  };
  return JSON.stringify({
    id: "x",
    choices: [{ index: 0, message, finish_reason: "stop" }],
    usage: { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 },
  });
}

/** The gold answer, under the names that were sent. */
function goldReply({ body }: Asked): string {
  const item = items.find((candidate) => candidate.question === body.messages.at(-1)?.content);
  return reply(
    (item?.gold ?? []).map((call) => ({
      name: call.name.replaceAll(".", "_"),
      arguments: JSON.stringify(call.arguments),
    })),
  );
}

describe("an OpenAI-compatible endpoint", () => {
  test("right answers score 100 %; tools go out natively and names come back", async () => {
    const { baseUrl, asked } = await endpoint((entry, response) => response.end(goldReply(entry)));
    expect(await endpointModels({ baseUrl })).toEqual(["tiny"]);
    const progress: number[] = [];
    const report = await runBench({
      suite: "bfcl",
      items,
      models: [endpointModel("gold", { baseUrl, model: "tiny", apiKey: "sk-secret", concurrency: 3 })],
      seed: 1,
      onProgress: (_, done) => progress.push(done),
    });
    expect(report.models[0]?.totals).toMatchObject({
      answered: items.length,
      errors: 0,
      strict: { accuracy: 1 },
      official: { items: items.length, accuracy: 1 },
      tokens: { prompt: 10 * items.length, completion: 2 * items.length },
    });
    expect(progress).toEqual(items.map((_, i) => i + 1));
    expect(asked[0]?.headers.authorization).toBe("Bearer sk-secret");
    for (const { body } of asked)
      for (const tool of body.tools) expect(tool.function.name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(JSON.stringify(report)).not.toContain("sk-secret");
  });

  test("tools whose names differ only in marks keep apart", async () => {
    const [item] = items.filter((candidate) => candidate.id === "bfcl-multiple_2");
    if (item === undefined) throw new Error("fixture");
    const [first] = item.tools;
    if (first === undefined) throw new Error("fixture");
    const both = {
      ...item,
      tools: [
        { ...first, name: "a.b" },
        { ...first, name: "a_b" },
      ],
      gold: [{ name: "a_b", arguments: { country: "Brazil" } }],
    };
    const { baseUrl } = await endpoint(({ body }, response) =>
      response.end(reply([{ name: body.tools[1]?.function.name ?? "", arguments: '{"country":"Brazil"}' }])),
    );
    const report = await runBench({
      suite: "s",
      items: [both],
      models: [endpointModel("m", { baseUrl, model: "tiny" })],
      seed: 1,
    });
    expect(report.models[0]?.results[0]).toMatchObject({ strict: true, calls: [{ name: "a_b" }] });
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ["429", (response) => response.writeHead(429, { "retry-after-ms": "1" }).end("{}")],
    ["500", (response) => response.writeHead(500, { "retry-after-ms": "1" }).end("oops")],
    ["a reset connection", (response) => response.destroy()],
    ["a reply that is cut off", (response) => response.end('{"choices": [{"message": {"con')],
    ["a reply without choices", (response) => response.end("{}")],
  ])("after %s it is asked again", async (_, fault) => {
    const { baseUrl } = await endpoint((entry, response) =>
      entry.earlier === 0 ? fault(response) : response.end(goldReply(entry)),
    );
    const report = await runBench({
      suite: "s",
      items: items.slice(0, 1),
      models: [endpointModel("m", { baseUrl, model: "tiny" })],
      seed: 1,
    });
    expect(report.models[0]?.totals).toMatchObject({ answered: 1, errors: 0, strict: { accuracy: 1 } });
  });

  test("a fault that stays is the harness's: counted apart, not scored, and the key is not told", async () => {
    const { baseUrl } = await endpoint((_, response) =>
      response.writeHead(401).end(JSON.stringify({ error: { message: "bad key sk-secret" } })),
    );
    const report = await runBench({
      suite: "s",
      items: items.slice(0, 2),
      models: [endpointModel("m", { baseUrl, model: "tiny", apiKey: "sk-secret" })],
      seed: 1,
    });
    expect(report.models[0]?.totals).toMatchObject({ answered: 0, errors: 2, strict: { accuracy: null } });
    expect(report.models[0]?.results[0]?.error).toContain("bad key [key]");
  });

  test.each<[string, { name: string; arguments: string }[], object]>([
    [
      "arguments that are not JSON",
      [{ name: "country_info_capital", arguments: '{"country": "Bra' }],
      { calls: null, failures: [{ kind: "unparsable" }] },
    ],
    ["arguments that are a list", [{ name: "country_info_capital", arguments: "[1]" }], { calls: null }],
    [
      "a tool that is not there",
      [{ name: "country", arguments: "{}" }],
      { failures: [{ kind: "wrong-tool", got: "country" }] },
    ],
    ["no call", [], { failures: [{ kind: "refused" }] }],
  ])("%s is the model's failure", async (_, calls, want) => {
    const { baseUrl, asked } = await endpoint((__, response) => response.end(reply(calls)));
    const some = items.filter((item) => item.id === "bfcl-multiple_2");
    const report = await runBench({
      suite: "s",
      items: some,
      models: [endpointModel("m", { baseUrl, model: "tiny" })],
      seed: 1,
    });
    expect(report.models[0]?.results[0]).toMatchObject({ strict: false, official: false, ...want });
    expect(asked).toHaveLength(1);
  });
});

describe("a solver under its own prompt", () => {
  const solver = (answer: (index: number) => string) => {
    const prompts: string[] = [];
    return {
      prompts,
      complete: async (batch: readonly (readonly { content: string }[])[]) =>
        batch.map((messages) => {
          prompts.push(messages.map((message) => message.content).join("\n"));
          return answer(prompts.length - 1);
        }),
      close: async () => undefined,
    };
  };

  test("answers are parsed, batched, and compared with those of the first model", async () => {
    const right = solver((i) => solverCompletion(items[i]?.gold ?? []));
    const poor = solver(() => "I do not know.");
    const report = await runBench({
      suite: "s",
      items,
      models: [
        solverBenchModel("poor", poor, { style: briefStyle, batch: 4 }),
        solverBenchModel("right", right, { style: briefStyle, batch: 4 }),
      ],
      seed: 1,
    });
    expect(right.prompts[0]).toContain("Tools:\n");
    expect(report.models.map((model) => model.totals.strict.correct)).toEqual([0, items.length]);
    // Text that is no answer passes an irrelevance item by BFCL's rules, not by ours.
    expect(report.models[0]?.totals.official.correct).toBe(
      items.filter((item) => item.gold.length === 0).length,
    );
    expect(report.models[0]?.totals.failures).toEqual({ unparsable: items.length });
    expect(report.comparisons).toMatchObject([
      { model: "right", against: "poor", items: items.length, difference: 1, gained: items.length, lost: 0 },
    ]);
  });
});

describe("specdojo bench", () => {
  const suite = fileURLToPath(new URL("../fixtures/suites/bfcl.jsonl", import.meta.url));

  test("several endpoints side by side, as JSON; the model's name is given or asked for", async () => {
    const good = await endpoint((entry, response) => response.end(goldReply(entry)));
    const poor = await endpoint((_, response) => response.end(reply([])));
    const written = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    vi.spyOn(process.stderr, "write").mockReturnValue(true);
    vi.stubEnv("BENCH_KEY", "sk-secret");
    await runCommand(benchCommand, {
      rawArgs: [
        suite,
        "--model",
        poor.baseUrl,
        `--model=${good.baseUrl}#other`,
        "--api-key-env",
        "BENCH_KEY",
        "--json",
      ],
    });
    const text = String(written.mock.calls[0]?.[0]);
    const report = JSON.parse(text) as BenchReport;
    expect(report).toMatchObject({ suite: "bfcl", items: items.length });
    expect(report.models.map(({ label, totals }) => [label, totals.strict.correct])).toEqual([
      [poor.baseUrl, items.filter((item) => item.gold.length === 0).length],
      [`${good.baseUrl}#other`, items.length],
    ]);
    expect(poor.asked[0]?.body.model).toBe("tiny");
    expect(good.asked[0]).toMatchObject({
      body: { model: "other" },
      headers: { authorization: "Bearer sk-secret" },
    });
    expect(text).not.toContain("sk-secret");
    expect(benchText(report)).toContain("5 gained, 0 lost");
  });

  test.each([
    ["--concurrency", "0"],
    ["--retries", "x"],
  ])("%s %s is refused", async (option, value) => {
    const rawArgs = [suite, "--model", "http://127.0.0.1:9/v1#m", option, value];
    await expect(runCommand(benchCommand, { rawArgs })).rejects.toMatchObject({
      code: "invalid-option",
      place: option,
    });
  });

  test("a suite that is not there", async () => {
    const rawArgs = ["/nowhere.jsonl", "--model", "http://127.0.0.1:9/v1#m"];
    await expect(runCommand(benchCommand, { rawArgs })).rejects.toMatchObject({ code: "suite-unreadable" });
  });
});

test("a conversation goes out as its turns", async () => {
  const line = {
    id: "1",
    question: "user: a\nagent: b\nuser: c",
    messages: [
      { role: "user", content: "a" },
      { role: "agent", content: "b" },
      { role: "user", content: "c" },
    ],
    tools: [],
    gold: [],
  };
  const { baseUrl, asked } = await endpoint((_, response) => response.end(reply([])));
  await runBench({
    suite: "s",
    items: parseSuite(JSON.stringify(line), "s"),
    models: [endpointModel("m", { baseUrl, model: "tiny" })],
    seed: 1,
  });
  expect(asked[0]?.body.messages).toEqual([
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
    { role: "user", content: "c" },
  ]);
});

test.each([
  ["not JSON", "{", /^s:1: not JSON/],
  ["no tools", '{"id":"1","question":"q","gold":[]}', /^s:1: \/tools/],
  ["nothing", "\n", /no items/],
])("a suite with %s is refused by line", (_, text, message) => {
  expect(() => parseSuite(text, "s")).toThrow(message);
});
