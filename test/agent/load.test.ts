import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, test, vi } from "vitest";
import { createClient } from "../../src/agent/client.js";
import { menuOf } from "./helpers.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

const limit = 25;

/** One behaviour per number, in turn: the good one, and every way in which a response goes wrong. */
const kinds = [
  "fine",
  "500",
  "garbage",
  "huge",
  "reset",
  "half",
  "slow",
  "aborted",
  "429",
  "stream",
] as const;
const wanted: Record<(typeof kinds)[number], string> = {
  fine: "ok",
  500: "http",
  garbage: "invalid-response",
  huge: "invalid-response",
  reset: "network",
  half: "invalid-response",
  slow: "timeout",
  aborted: "aborted",
  429: "http",
  stream: "ok",
};

test("10,000 calls of every outcome under a limit leave no socket, timer or memory behind", async () => {
  /** Requests that the client has neither finished nor given up. */
  const open = new Set<AbortSignal>();
  let most = 0;
  const sockets = new Set<object>();
  let mostSockets = 0;
  server = createServer((request, response) => {
    const kind = new URL(request.url ?? "", "http://x").searchParams.get("kind");
    const json = { "content-type": "application/json" };
    if (kind === "500" || kind === "429") response.writeHead(Number(kind), json).end("{}");
    else if (kind === "garbage") response.writeHead(200, json).end("<html>");
    else if (kind === "huge") response.writeHead(200, json).end(Buffer.alloc(20_000, "1"));
    else if (kind === "reset") request.socket.destroy();
    else if (kind === "half")
      response.writeHead(200, { ...json, "content-length": "9" }).write("[1", () => response.destroy());
    else if (kind === "stream")
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    else if (kind === "fine") response.writeHead(200, json).end('{"a":1}');
    // The rest is never answered.
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    mostSockets = Math.max(mostSockets, sockets.size);
    socket.on("close", () => sockets.delete(socket));
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const parameters = [{ name: "kind", in: "query", schema: { type: "string" } }];
  const menu = await menuOf({ paths: { "/a": { get: { operationId: "get", parameters, responses: {} } } } });
  const whole = new AbortController();
  const client = createClient(menu, {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    maxConcurrency: limit,
    maxResponseBytes: 10_000,
    retries: 1,
    retryDelayMs: 0,
    maxRetryDelayMs: 1,
    signal: whole.signal,
    credentials: () => "k",
    async fetch(url, init) {
      const signal = init.signal ?? whole.signal;
      for (const one of open) if (one.aborted) open.delete(one);
      open.add(signal);
      most = Math.max(most, open.size);
      try {
        return await fetch(url, init);
      } finally {
        open.delete(signal);
      }
    },
  });
  const warned = vi.fn();
  process.on("warning", warned);

  async function call(i: number): Promise<string> {
    const kind = kinds[i % 50 < kinds.length ? i % 50 : 0] ?? "fine";
    const options = kind === "slow" ? { timeoutMs: 20 } : kind === "aborted" ? abortSoon() : {};
    const result = await (kind === "stream"
      ? client.stream("get", { kind })
      : client.call("get", { kind }, options));
    if (result.ok && "items" in result) for await (const _ of result.items) break;
    const outcome = result.ok ? "ok" : result.error.kind;
    return outcome === wanted[kind] ? "" : `${kind}: ${outcome}`;
  }
  const abortSoon = () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 10);
    return { signal: controller.signal };
  };
  const round = async (count: number) => {
    const wrong = await Promise.all(Array.from({ length: count }, (_, i) => call(i)));
    expect(new Set(wrong)).toEqual(new Set([""]));
  };
  const heap = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };

  await round(1000);
  const heaps = [heap()];
  for (let i = 0; i < 9; i++) {
    await round(1000);
    heaps.push(heap());
  }
  const growth = heaps.slice(1).map((size, i) => size - (heaps[i] ?? 0));

  process.off("warning", warned);
  expect(warned).not.toHaveBeenCalled();
  expect(most).toBe(limit);
  expect(mostSockets).toBeLessThan(10 * limit);
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  await vi.waitFor(() => expect([sockets.size <= 2 * limit, timers() < 20]).toEqual([true, true]), 200_000);
  // What a call leaves behind is left by each round; the median passes over what happens once. 0.5 kB for each call.
  expect(growth.sort((a, b) => a - b)[4]).toBeLessThan(500_000);
}, 1_200_000);
