import { readFileSync } from "node:fs";
import { appendFile, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "citty";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { benchCommand } from "../../src/cli/bench.js";
import { type BenchReport, runBench } from "../../src/evaluate/bench.js";
import { endpointModel } from "../../src/evaluate/endpoint.js";
import { type BenchAnswer, type BenchModel, solverBenchModel } from "../../src/evaluate/models.js";
import { parseNative } from "../../src/evaluate/native.js";
import { openResponses } from "../../src/evaluate/responses.js";
import { parseSuite, type SuiteItem } from "../../src/evaluate/suite.js";
import { benchText } from "../../src/evaluate/text.js";
import { renderBench } from "../../src/report/bench.js";
import { briefStyle, solverCompletion } from "../../src/task/prompts.js";

const tools = [
  {
    name: "get_boat",
    parameters: {
      type: "object",
      properties: { id: { type: "integer" }, unit: { type: "string", enum: ["m", "ft"] } },
      required: ["id"],
    },
  },
  { name: "list_boats", parameters: { type: "object", properties: {} } },
];
const line = (i: number) =>
  JSON.stringify({
    id: `boat-${i}`,
    question: `Show me boat ${i} please.`,
    tools,
    gold: [{ name: "get_boat", arguments: { id: i } }],
    group: i % 2 === 0 ? "even" : "odd",
  });
const suiteOf = (count: number) =>
  parseSuite(Array.from({ length: count }, (_, i) => line(i)).join("\n"), "s");
const right = (i: number) => ({ name: "get_boat", arguments: { id: i } });
const numberIn = (question: string) => Number(/boat (\d+)/.exec(question)?.[1]);

/** A model that answers by a function of the item's number and the sample, and remembers what it was asked. */
function scripted(answer: (number: number, sample: number) => BenchAnswer, more: Partial<BenchModel> = {}) {
  const asked: string[] = [];
  const model: BenchModel = {
    label: "scripted",
    batch: 1,
    concurrency: 4,
    request: (item, sample) => [item.question, sample],
    async ask(items, samples) {
      return items.map((item, i) => {
        asked.push(`${item.id}/${samples[i]}`);
        return answer(numberIn(item.question), samples[i] ?? 0);
      });
    },
    close: async () => undefined,
    ...more,
  };
  return { model, asked };
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "specdojo-bench-"));
  vi.stubEnv("SPECDOJO_CACHE_DIR", join(folder, "cache"));
});
const closing: (() => void)[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const close of closing.splice(0)) close();
});

describe("several answers per item", () => {
  test("pass@k, pass^k and the shares are those of the known answers", async () => {
    // Item 0 is always right, item 1 half of the time, item 2 never.
    const { model } = scripted((i, sample) => ({
      calls: i === 0 || (i === 1 && sample % 2 === 0) ? [right(i)] : [],
      text: "",
    }));
    const report = await runBench({ suite: "s", items: suiteOf(3), models: [model], samples: 4, seed: 1 });
    const { totals, results } = report.models[0] ?? { totals: undefined, results: [] };
    expect(totals).toMatchObject({ answered: 12, strict: { correct: 6, accuracy: 0.5 } });
    const passes = totals?.passes.map(({ k, strict }) => [k, strict.any, strict.all]);
    // Item 1: one of two random answers is right with chance 1 - C(2,2)/C(4,2) = 5/6, both with C(2,2)/C(4,2) = 1/6.
    expect(passes?.[0]).toEqual([1, 0.5, 0.5]);
    expect(passes?.[1]?.[1]).toBeCloseTo((1 + 5 / 6) / 3);
    expect(passes?.[1]?.[2]).toBeCloseTo((1 + 1 / 6) / 3);
    expect(passes?.[3]).toEqual([4, 2 / 3, 1 / 3]);
    expect(results.map(({ id, sample }) => `${id}/${sample}`).slice(0, 5)).toEqual([
      "boat-0/0",
      "boat-0/1",
      "boat-0/2",
      "boat-0/3",
      "boat-1/0",
    ]);
  });
});

describe("order and memory", () => {
  test("results come in the order of the suite, whichever answer is first, and few wait", async () => {
    let open = 0;
    let most = 0;
    const { model } = scripted(() => ({ calls: [], text: "" }), {
      async ask([item]) {
        most = Math.max(most, ++open);
        // The first item takes longest.
        await new Promise((done) => setTimeout(done, item?.id === "boat-0" ? 60 : 0));
        open--;
        return [{ calls: [], text: "" }];
      },
    });
    const ids: string[] = [];
    await runBench({
      suite: "s",
      items: suiteOf(200),
      models: [model],
      seed: 1,
      onResult: (_, { id }) => void ids.push(id),
    });
    expect(ids).toEqual(Array.from({ length: 200 }, (_, i) => `boat-${i}`));
    expect(most).toBe(4);
  });

  test("a suite is read as it is asked: an endless one is not read ahead", async () => {
    let read = 0;
    const [item] = suiteOf(1) as [SuiteItem];
    async function* endless() {
      for (; read < 5000; read++) yield item;
    }
    let answered = 0;
    let ahead = 0;
    const { model } = scripted(() => {
      ahead = Math.max(ahead, read - answered++);
      return { calls: [right(0)], text: "" };
    });
    await runBench({ suite: "s", items: endless, models: [model], seed: 1, onResult() {} });
    expect(answered).toBe(5000);
    expect(ahead).toBeLessThan(50);
  });
});

describe("answers are kept", () => {
  const run = (model: BenchModel, path: string, items = suiteOf(6)) =>
    runBench({ suite: "s", items, models: [model], seed: 1, store: () => openResponses(path) });

  test("nothing answered is asked again, faults are", async () => {
    const path = join(folder, "kept.jsonl");
    const first = scripted((i) => (i === 3 ? { error: "down" } : { calls: [right(i)], text: "x" }));
    expect((await run(first.model, path)).models[0]?.totals).toMatchObject({
      answered: 5,
      errors: 1,
      kept: 0,
    });
    const second = scripted((i) => ({ calls: [right(i)], text: "x" }));
    const report = await run(second.model, path);
    expect(second.asked).toEqual(["boat-3/0"]);
    expect(report.models[0]?.totals).toMatchObject({
      answered: 6,
      errors: 0,
      kept: 5,
      strict: { correct: 6 },
    });
    const third = scripted(() => ({ error: "must not be asked" }));
    expect((await run(third.model, path)).models[0]?.results).toEqual(report.models[0]?.results);
  });

  test("what a killed process left half written is passed over", async () => {
    const path = join(folder, "torn.jsonl");
    await run(scripted((i) => ({ calls: [right(i)], text: "é" })).model, path, suiteOf(3));
    const whole = await readFile(path, "utf8");
    await writeFile(path, whole.slice(0, -20));
    await appendFile(join(folder, "other"), "");
    const again = scripted((i) => ({ calls: [right(i)], text: "é" }));
    await run(again.model, path, suiteOf(4));
    expect(again.asked).toEqual(["boat-2/0", "boat-3/0"]);
    const last = scripted(() => ({ error: "no" }));
    expect((await run(last.model, path, suiteOf(4))).models[0]?.totals).toMatchObject({
      answered: 4,
      kept: 4,
    });
  });

  test.each<[string, object]>([
    ["the model", { model: "other" }],
    ["the way of asking", { ask: "prompt" }],
    ["the temperature", { temperature: 0.5 }],
    ["the longest answer", { maxTokens: 7 }],
    ["another field", { extra: { top_p: 0.9 } }],
    ["the endpoint", { baseUrl: "http://127.0.0.1:9/v2" }],
  ])("%s makes another key; the API key does not", (_, change) => {
    const options = { baseUrl: "http://127.0.0.1:9/v1", model: "m" };
    const [item] = suiteOf(1) as [SuiteItem];
    const request = (more: object) =>
      JSON.stringify(endpointModel("m", { ...options, ...more }).request?.(item, 0));
    expect(request(change)).not.toBe(request({}));
    expect(request({ apiKey: "sk-secret", concurrency: 2 })).toBe(request({}));
  });
});

test("a model that only fails is given up, and every item is accounted for", async () => {
  const { model, asked } = scripted(() => ({ error: "refused" }), { concurrency: 1 });
  const report = await runBench({ suite: "s", items: suiteOf(100), models: [model], seed: 1 });
  expect(asked).toHaveLength(32);
  expect(report.models[0]?.totals).toMatchObject({ answered: 0, errors: 100, strict: { accuracy: null } });
  expect(report.models[0]?.results.at(-1)?.error).toMatch(/32 requests in a row/);
});

describe("an endpoint's faults", () => {
  type Reply = { status?: number; body: string; wait?: number; headers?: Record<string, string> };
  const toolCall = (name: unknown, args: unknown, more: object = {}) => ({
    body: JSON.stringify({
      choices: [
        { message: { content: null, tool_calls: [{ ...more, function: { name, arguments: args } }] } },
      ],
    }),
  });
  async function endpoint(replies: Reply[]): Promise<{ baseUrl: string; asked: () => number }> {
    let asked = 0;
    const server = createServer((request, response) => {
      request.resume();
      request.on("end", () => {
        const reply = replies[Math.min(asked++, replies.length - 1)] as Reply;
        setTimeout(
          () =>
            response
              .writeHead(reply.status ?? 200, { "content-type": "application/json", ...reply.headers })
              .end(reply.body),
          reply.wait ?? 0,
        );
      });
    });
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked: () => asked };
  }
  const good = toolCall("get_boat", '{"id":0}', { id: "c", type: "function" });
  const soon = { "retry-after-ms": "1" };
  const ask = async (replies: Reply[], retries = 2) => {
    const { baseUrl, asked } = await endpoint(replies);
    // Where an answer follows a wait, it has time enough on a busy machine, too.
    const waits = replies.filter(({ wait }) => wait !== undefined).length;
    const timeout = waits === 0 ? 25_000 : waits === replies.length ? 300 : 5000;
    const model = endpointModel("m", { baseUrl, model: "m", retries, timeout, apiKey: "sk-secret" });
    const report = await runBench({ suite: "s", items: suiteOf(1), models: [model], seed: 1 });
    return { result: report.models[0]?.results[0], totals: report.models[0]?.totals, asked: asked() };
  };

  test.each<[string, Reply]>([
    ["429", { status: 429, body: "{}", headers: soon }],
    ["500", { status: 500, body: "oops", headers: soon }],
    ["503", { status: 503, body: "", headers: soon }],
    ["a timeout", { body: good.body, wait: 60_000 }],
    ["truncated JSON", { body: good.body.slice(0, -9) }],
    ["an error with status 200", { body: '{"error":{"message":"overloaded"}}' }],
    ["no choices", { body: '{"choices":[]}' }],
  ])("%s is the harness's: tried again, then counted apart and never scored", async (_, fault) => {
    expect(await ask([fault, good])).toMatchObject({
      asked: 2,
      result: { strict: true },
      totals: { answered: 1, errors: 0 },
    });
    const lost = await ask([fault], 1);
    expect(lost).toMatchObject({ asked: 2, totals: { answered: 0, errors: 1, strict: { accuracy: null } } });
    expect(lost.result).toEqual({
      id: "boat-0",
      question: "Show me boat 0 please.",
      gold: [right(0)],
      error: expect.any(String),
    });
  });

  test.each<[string, Reply, object]>([
    [
      "arguments that are cut off",
      toolCall("get_boat", '{"id":'),
      { calls: null, failures: [{ kind: "unparsable" }] },
    ],
    ["arguments that are a number", toolCall("get_boat", "3"), { calls: null }],
    ["a call without a name", toolCall(undefined, "{}"), { calls: null }],
    [
      "a tool that was not offered",
      toolCall("sink", "{}"),
      { failures: [{ kind: "wrong-tool", got: "sink" }] },
    ],
    [
      "a call that the server refuses",
      {
        status: 400,
        body: JSON.stringify({
          error: { message: "bad", code: "tool_use_failed", failed_generation: "<fn>" },
        }),
      },
      { calls: null, text: "<fn>" },
    ],
    [
      "an answer cut off at the greatest length",
      { body: JSON.stringify({ choices: [{ finish_reason: "length", message: { content: "I thi" } }] }) },
      { truncated: true, failures: [{ kind: "refused" }] },
    ],
  ])("%s is the model's: scored, and not asked again", async (_, reply, want) => {
    expect(await ask([reply])).toMatchObject({
      asked: 1,
      result: { strict: false, ...want },
      totals: { answered: 1, errors: 0, strict: { accuracy: 0 } },
    });
  });

  test.each<[string, object]>([
    ["no id", {}],
    ["an id that is a number", { id: 7, type: "function" }],
    ["the id of another call", { id: "call_of_someone_else", type: "function" }],
    ["no type", { id: "c" }],
  ])("%s takes nothing from a right call", async (_, more) => {
    expect(await ask([toolCall("get_boat", '{"id":0}', more)])).toMatchObject({
      asked: 1,
      result: { strict: true },
    });
    expect(await ask([toolCall("get_boat", { id: 0 }, more)])).toMatchObject({ result: { strict: true } });
  });

  test("a refusal is not tried again, and the key is not told", async () => {
    const refused = await ask([{ status: 401, body: '{"error":{"message":"bad key sk-secret"}}' }]);
    expect(refused).toMatchObject({ asked: 1, totals: { errors: 1 } });
    expect(refused.result?.error).toContain("[key]");
  });

  test("the solver's prompt goes out as text, and its answer is read between the tags", async () => {
    const content = solverCompletion([right(0)]);
    const { baseUrl } = await endpoint([{ body: JSON.stringify({ choices: [{ message: { content } }] }) }]);
    const model = endpointModel("m", { baseUrl, model: "m", ask: "prompt" });
    const report = await runBench({ suite: "s", items: suiteOf(1), models: [model], seed: 1 });
    expect(report.models[0]?.results[0]).toMatchObject({ strict: true });
    expect(JSON.stringify(model.request?.(suiteOf(1)[0] as SuiteItem, 0))).toContain("tool_call_answer");
  });
});

describe("a model's own tool calling, as text", () => {
  test.each<[string, string, unknown]>([
    [
      "Qwen and Hermes",
      '<think>x</think>\n<tool_call>\n{"name":"a","arguments":{"b":1}}\n</tool_call>',
      [{ name: "a", arguments: { b: 1 } }],
    ],
    [
      "two tags",
      '<tool_call>{"name":"a","arguments":{}}</tool_call><tool_call>{"name":"b"}</tool_call>',
      [
        { name: "a", arguments: {} },
        { name: "b", arguments: {} },
      ],
    ],
    ["Mistral", '[TOOL_CALLS] [{"name":"a","arguments":{"b":1}}]', [{ name: "a", arguments: { b: 1 } }]],
    [
      "Llama",
      '<|python_tag|>{"name":"a","parameters":{"b":1}}; {"name":"c","parameters":{}}',
      [
        { name: "a", arguments: { b: 1 } },
        { name: "c", arguments: {} },
      ],
    ],
    [
      "Hammer",
      '```json\n[{"name":"a","arguments":{"b":"x; y"}}]\n```',
      [{ name: "a", arguments: { b: "x; y" } }],
    ],
    ["an answer in words", "I cannot do that.", []],
    ["a call that is cut off", '<tool_call>{"name":"a","argu', null],
    ["JSON that is no call", '{"answer":1}', null],
  ])("%s", (_, text, calls) => {
    expect(parseNative(text)).toEqual(calls);
  });

  test("tools go to the chat template", async () => {
    const seen: unknown[] = [];
    const model = solverBenchModel(
      "m",
      {
        complete: async (prompts, options) => {
          seen.push(prompts, options.tools);
          return prompts.map(() => '<tool_call>{"name":"get_boat","arguments":{"id":0}}</tool_call>');
        },
        close: async () => undefined,
      },
      { style: briefStyle, ask: "native" },
    );
    const report = await runBench({ suite: "s", items: suiteOf(1), models: [model], seed: 1 });
    expect(report.models[0]?.totals.strict.accuracy).toBe(1);
    expect(seen[0]).toEqual([[{ role: "user", content: "Show me boat 0 please." }]]);
    expect(seen[1]).toMatchObject([[{ type: "function", function: { name: "get_boat" } }, {}]]);
  });
});

describe("the analysis", () => {
  const wrong = () =>
    scripted((i) => {
      const calls = [
        [right(i)],
        [{ name: "list_boats", arguments: {} }],
        [{ name: "get_boat", arguments: { id: i * 1000, unit: "m" } }],
        [],
        null,
      ][i % 5];
      return { calls: calls ?? null, text: `text <b>${i}</b>`, tokens: { prompt: 1000, completion: 100 } };
    });

  test("kinds, tools, groups, confusions, examples, cost: in the report, the terminal and the page", async () => {
    const report = await runBench({
      suite: "boats",
      items: suiteOf(10),
      models: [wrong().model, { ...scripted((i) => ({ calls: [right(i)], text: "" })).model, label: "good" }],
      seed: 1,
      prices: { prompt: 1, completion: 10 },
    });
    expect(report.models[0]?.totals).toMatchObject({
      strict: { correct: 2 },
      failures: { "wrong-tool": 2, "wrong-value": 2, "extra-argument": 2, refused: 2, unparsable: 2 },
      faults: { unit: 2 },
      confusions: [{ want: "get_boat", got: "list_boats", answers: 2 }],
      count: 0.6,
      groups: [
        { name: "even", answers: 5, strict: 1 },
        { name: "odd", answers: 5, strict: 1 },
      ],
      tools: [{ name: "get_boat", answers: 10, strict: 2 }],
      tokens: { prompt: 10_000, completion: 1000 },
      cost: { total: 0.02, spent: 0.02 },
      examples: { unparsable: [{ id: "boat-4", calls: null, text: "text <b>4</b>" }, { id: "boat-9" }] },
    });
    expect(report.comparisons[0]).toMatchObject({ model: "good", gained: 8, lost: 0, official: null });
    const text = benchText(report);
    expect(text).toMatch(/wrong-tool +2 +0/);
    expect(text).toMatch(/get_boat +list_boats +2/);
    const html = renderBench([report], "test");
    expect(html).toContain("a call where one was needed".replace("a call", "no call"));
    expect(html).toContain("text &lt;b&gt;4");
    expect(html).not.toContain("<b>4");
    expect(html).not.toContain("<script");
  });
});

describe("the command", () => {
  test("resumes, leaves trained items out, and writes JSON and a page", async () => {
    let down = true;
    let asked = 0;
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = JSON.parse(Buffer.concat(chunks).toString()) as { messages: { content: string }[] };
      const i = numberIn(body.messages.at(-1)?.content ?? "");
      asked++;
      response.setHeader("content-type", "application/json");
      if (down && i === 4) return response.writeHead(400).end("{}");
      const call = {
        id: "c",
        type: "function",
        function: { name: "get_boat", arguments: JSON.stringify({ id: i }) },
      };
      return response.end(JSON.stringify({ choices: [{ message: { content: null, tool_calls: [call] } }] }));
    });
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    closing.push(() => server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1#m`;
    const suite = join(folder, "boats.jsonl");
    const question = "Which canoes with three seats are free tomorrow?";
    const learned = JSON.stringify({ id: "learned", question, tools, gold: [] });
    await writeFile(suite, `${Array.from({ length: 6 }, (_, i) => line(i)).join("\n")}\n${learned}\n`);
    const trained = join(folder, "trained.jsonl");
    await writeFile(trained, '{"question":"which canoes with 3 seats are free tomorrow"}\n');
    const page = join(folder, "page.html");
    vi.spyOn(process.stderr, "write").mockReturnValue(true);
    const command = async () => {
      const written = vi.spyOn(process.stdout, "write").mockReturnValue(true);
      written.mockClear();
      await runCommand(benchCommand, {
        rawArgs: [suite, "--model", url, "--trained", trained, "--page", page, "--json"],
      });
      return JSON.parse(written.mock.calls.map(([text]) => String(text)).join("")) as BenchReport;
    };
    const first = await command();
    expect(first).toMatchObject({ items: 6, comparedWith: 1, excluded: [{ id: "learned" }] });
    expect(first.models[0]?.totals).toMatchObject({ answered: 5, errors: 1 });
    expect(first.models[0]?.results.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5].map((i) => `boat-${i}`));
    down = false;
    asked = 0;
    const second = await command();
    expect(second.models[0]?.totals).toMatchObject({ answered: 6, errors: 0, kept: 5 });
    expect(asked).toBe(1);
    expect(await readFile(page, "utf8")).toContain("<h1>boats</h1>");
    expect(await readdir(join(folder, "cache", "bench"))).toEqual([]);
  });

  test.each<[string[], string]>([
    [["--samples", "3", "--temperature", "0"], "--temperature"],
    [["--ask", "loudly"], "--ask"],
    [["--price", "1"], "--price"],
    [["--extra", "[1]"], "--extra"],
    [["--timeout", "soon"], "--timeout"],
  ])("%j is refused", async (more, place) => {
    const suite = join(folder, "s.jsonl");
    await writeFile(suite, line(1));
    await expect(
      runCommand(benchCommand, { rawArgs: [suite, "--model", "http://127.0.0.1:9/v1#m", ...more] }),
    ).rejects.toMatchObject({ code: "invalid-option", place });
  });

  test("without a model", async () => {
    await expect(runCommand(benchCommand, { rawArgs: ["s.jsonl"] })).rejects.toMatchObject({
      place: "--model",
    });
  });
});

test("the suite's fixture is told by its ids", () => {
  const text = readFileSync(new URL("../fixtures/suites/bfcl.jsonl", import.meta.url), "utf8");
  expect(new Set(parseSuite(text, "bfcl").map(({ suite }) => suite))).toEqual(new Set(["bfcl"]));
});
