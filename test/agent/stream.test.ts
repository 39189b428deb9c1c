import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { CallError, createClient } from "../../src/agent/client.js";
import type { ClientOptions, StreamItem } from "../../src/agent/client-types.js";
import { readItems } from "../../src/agent/stream.js";
import { type MockServer, menuOf, mockServer } from "./helpers.js";

const servers: MockServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function api(answer: (response: ServerResponse, count: number) => void, options: ClientOptions = {}) {
  const server = await mockServer((_, response, count) => answer(response, count));
  servers.push(server);
  const menu = await menuOf({ paths: { "/events": { get: { operationId: "watch", responses: {} } } } });
  return { client: createClient(menu, { baseUrl: server.url, retryDelayMs: 1, ...options }), server };
}

const head = (response: ServerResponse, type: string): ServerResponse =>
  response.writeHead(200, { "content-type": type, "x-request-id": "r1" });

async function collect(items: AsyncIterable<StreamItem>): Promise<StreamItem[]> {
  const all: StreamItem[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The items of a body that comes in pieces of one byte. */
async function read(type: string, body: string, maxBytes = 1000): Promise<unknown[]> {
  async function* chunks() {
    for (const byte of Buffer.from(body)) yield new Uint8Array([byte]);
  }
  return collect(readItems(chunks(), type, maxBytes));
}

describe("readItems", () => {
  const cases: [string, string, string, unknown[]][] = [
    [
      "events",
      "text/event-stream; charset=utf-8",
      ': hello\n\nevent: tick\nid: 7\ndata: {"n":1}\n\ndata: two\ndata: lines\r\n\r\ndata: [DONE]\n\n',
      [{ data: { n: 1 }, event: "tick", id: "7" }, { data: "two\nlines" }, { data: "[DONE]" }],
    ],
    ["an event that does not end", "text/event-stream", "data: 1\n\ndata: 2\n", [{ data: 1 }]],
    [
      "JSON lines, umlauts split over chunks",
      "application/x-ndjson",
      '{"a":"ä"}\r\n\n[1]\n{"last":true}',
      [{ data: { a: "ä" } }, { data: [1] }, { data: { last: true } }],
    ],
    [
      "a JSON text sequence",
      "application/json-seq",
      '\x1e{"a":1}\n\x1e2\n',
      [{ data: { a: 1 } }, { data: 2 }],
    ],
    ["any other JSON as one item", "application/json", '{"a":1}', [{ data: { a: 1 } }]],
    ["text as one item", "text/plain", "hello", [{ data: "hello" }]],
    ["nothing", "application/json", "", []],
  ];
  test.each(cases)("%s", async (_, type, body, want) => expect(await read(type, body)).toEqual(want));

  test.each([
    ["text/event-stream", `data: ${"x".repeat(2000)}\n\n`, "too-large"],
    ["application/x-ndjson", `"${"x".repeat(2000)}"`, "too-large"],
    ["application/json", `"${"x".repeat(2000)}"`, "too-large"],
    ["application/x-ndjson", "{\n", "not-json"],
    ["application/json", "{", "not-json"],
  ])("what cannot be read: %s %#", async (type, body, reason) => {
    await expect(read(type, body)).rejects.toMatchObject({ reason });
  });
});

describe("client.stream", () => {
  test("gives items as they come, and closes the connection when the loop is left", async () => {
    let closed: Promise<void> | undefined;
    const { client } = await api((response) => {
      head(response, "text/event-stream");
      closed = new Promise((resolve) => response.on("close", resolve));
      let n = 0;
      const timer = setInterval(() => response.write(`data: ${++n}\n\n`), 2);
      response.on("close", () => clearInterval(timer));
    });
    const stream = await client.stream("watch", {});
    expect(stream).toMatchObject({ ok: true, status: 200, requestId: "r1" });
    const seen: unknown[] = [];
    if (stream.ok)
      for await (const { data } of stream.items) {
        seen.push(data);
        if (seen.length === 3) break;
      }
    expect(seen).toEqual([1, 2, 3]);
    await closed;
  });

  test("the first answer is retried, errors are values", async () => {
    const { client } = await api((response, count) => {
      if (count === 1) response.writeHead(503).end();
      else head(response, "application/x-ndjson").end('{"n":1}\n');
    });
    const stream = await client.stream("watch", {});
    expect(stream.ok && (await collect(stream.items))).toEqual([{ data: { n: 1 } }]);
    const failing = await api((response) => response.writeHead(404).end("no"));
    expect(await failing.client.stream("watch", {})).toMatchObject({
      ok: false,
      error: { kind: "http", status: 404, body: "no" },
    });
  });

  test.each([
    [
      "breaks off",
      (response: ServerResponse) => response.write("data: 1\n\n", () => response.destroy()),
      "broken-body",
    ],
    ["goes silent", (response: ServerResponse) => response.write("data: 1\n\n"), undefined],
    [
      "sends an endless item",
      (response: ServerResponse) => response.write(`data: 1\n\ndata: ${"x".repeat(1e5)}`),
      "too-large",
    ],
  ])("a response that %s ends in a typed error", async (_, go, reason) => {
    const { client } = await api((response) => void go(head(response, "text/event-stream")), {
      timeoutMs: reason === undefined ? 3000 : 60_000,
      maxResponseBytes: 10_000,
    });
    const stream = await client.stream("watch", {});
    const seen: unknown[] = [];
    const error = await (async () => {
      if (stream.ok) for await (const { data } of stream.items) seen.push(data);
    })().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CallError);
    expect((error as CallError).error).toMatchObject(
      reason === undefined ? { kind: "timeout" } : { kind: "invalid-response", reason },
    );
    expect(seen).toEqual([1]);
  });

  test("the time between items counts, not the time of the whole nor of the reader", async () => {
    const { client } = await api(
      (response) => {
        head(response, "text/event-stream");
        let n = 0;
        const timer = setInterval(() => {
          response.write(`data: ${++n}\n\n`);
          if (n === 8) {
            clearInterval(timer);
            response.end();
          }
        }, 420);
      },
      { timeoutMs: 3000 },
    );
    const stream = await client.stream("watch", {});
    let count = 0;
    if (stream.ok)
      for await (const _ of stream.items)
        if (++count === 1) await new Promise((resolve) => setTimeout(resolve, 3200));
    expect(count).toBe(8);
  });

  test("the caller's signal ends it", async () => {
    const { client } = await api((response) => void head(response, "text/event-stream").write("data: 1\n\n"));
    const controller = new AbortController();
    const stream = await client.stream("watch", {}, { signal: controller.signal });
    setTimeout(() => controller.abort(), 30);
    await expect(stream.ok && collect(stream.items)).rejects.toMatchObject({ error: { kind: "aborted" } });
  });
});
