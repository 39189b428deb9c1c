import { describe, expect, test } from "vitest";
import { createClient } from "../../src/agent/client.js";
import type { CallEvent, ClientOptions } from "../../src/agent/client-types.js";
import { createFaultPlan, type Fault, parseFault } from "../../src/mock/faults.js";
import { createMock, type FaultRule } from "../../src/mock/index.js";
import { createRandom } from "../../src/util/random.js";
import { documentOf, mockOf, petstore } from "./helpers.js";

/** For faults that hang; calls that end by themselves have time, however busy the machine is. */
const shortMs = 500;
const longMs = 60_000;

async function clientOf(faults: readonly FaultRule[], options: ClientOptions = {}) {
  const mock = await mockOf(petstore, { faults });
  const events: CallEvent[] = [];
  const client = createClient(mock.menu, {
    baseUrl: mock.url,
    credentials: () => "secret-token",
    timeoutMs: longMs,
    retries: 1,
    retryDelayMs: 1,
    maxRetryDelayMs: 1_000,
    maxResponseBytes: 100_000,
    onEvent: (event) => events.push(event),
    ...options,
  });
  return { mock, client, events };
}

/** A read, a removal and an addition: the first two may be sent again. */
const calls: [string, object, boolean][] = [
  ["getPetById", { petId: 3 }, true],
  ["deleteOrder", { orderId: 3 }, true],
  ["addPet", { name: "Rex", photoUrls: [] }, false],
];

describe("every call ends, in a success or a typed error, and is sent again only where it may be", () => {
  const network = { kind: "network" };
  const broken = { kind: "invalid-response", reason: "broken-body" };
  const cases: [Fault, object, boolean][] = [
    [{ kind: "timeout" }, { kind: "timeout", timeoutMs: shortMs }, true],
    [{ kind: "stall" }, { kind: "timeout", timeoutMs: shortMs }, true],
    [{ kind: "slow", everyMs: 400 }, { kind: "timeout", timeoutMs: shortMs }, true],
    [{ kind: "reset" }, network, true],
    [{ kind: "truncated" }, broken, false],
    [{ kind: "garbage" }, { kind: "invalid-response", reason: "not-json" }, false],
    [{ kind: "huge", bytes: 5_000_000 }, { kind: "invalid-response", reason: "too-large" }, false],
    [{ kind: "status", status: 500 }, { kind: "http", status: 500 }, true],
    [{ kind: "status", status: 503 }, { kind: "http", status: 503 }, true],
    [{ kind: "status", status: 429, retryAfterS: 0 }, { kind: "http", status: 429 }, true],
    [{ kind: "status", status: 429, retryAfterS: 60 }, { kind: "http", status: 429 }, false],
    [{ kind: "status", status: 422 }, { kind: "http", status: 422 }, false],
  ];
  const table = cases.flatMap(([fault, want, passing]) =>
    calls.map(([name, args, repeatable]) => [fault, name, args, want, passing && repeatable] as const),
  );
  test.each(table)(
    "%j, %s",
    async (fault, name, args, want, again) => {
      // Only the read has a body: a slow one does not show in the others.
      const bodiless = name !== "getPetById" && fault.kind === "slow";
      const hangs = ["timeout", "stall", "slow"].includes(fault.kind);
      const timeoutMs = hangs && !bodiless ? shortMs : longMs;
      const { mock, client, events } = await clientOf([{ fault }], { timeoutMs });
      const result = await client.call(name, args as never);
      if (bodiless) expect(result.ok).toBe(true);
      else expect(result).toMatchObject({ ok: false, error: { operation: name, ...want } });
      const sent = again && !bodiless ? 2 : 1;
      expect(events.filter(({ type }) => type === "request")).toHaveLength(sent);
      expect(events.filter(({ type }) => type === "retry")).toHaveLength(sent - 1);
      // On a busy machine the time is over before the request has arrived.
      if (hangs) expect(mock.log.length).toBeLessThanOrEqual(sent);
      else
        expect(mock.log.map(({ operation }) => operation)).toEqual(Array.from({ length: sent }, () => name));
      expect(JSON.stringify([result, events, mock.log])).not.toContain("secret-token");
    },
    2 * longMs,
  );

  test("a fault that passes is overcome", async () => {
    const { mock, client } = await clientOf([{ fault: { kind: "reset" }, times: 1 }]);
    expect(await client.call("getPetById", { petId: 3 })).toMatchObject({ ok: true, status: 200 });
    expect(mock.log.map(({ fault, status }) => fault ?? status)).toEqual(["reset", 200]);
  });

  test("many calls at once, with faults among them, all end", async () => {
    const rules = ["reset:0.15", "503:0.15", "truncated:0.1", "garbage:0.1", "429=0:0.1"].map(parseFault);
    const { client, mock } = await clientOf(rules, { timeoutMs: longMs });
    const all = Array.from({ length: 200 }, (_, i) => client.call("getPetById", { petId: i }));
    const results = await Promise.all(all);
    const kinds = new Set(results.map((result) => (result.ok ? "ok" : result.error.kind)));
    expect([...kinds].sort()).toEqual(["http", "invalid-response", "network", "ok"]);
    expect(mock.log.length).toBeGreaterThan(200);
    expect(mock.log.length).toBeLessThanOrEqual(400);
  }, 300_000);

  test("without a server, too", async () => {
    const kinds = ["timeout", "stall", "reset", "truncated", "garbage"];
    const found: unknown[] = [];
    for (const kind of kinds) {
      const mock = createMock(await documentOf(petstore), { faults: [parseFault(kind)] });
      const options = {
        baseUrl: "http://mock",
        fetch: mock.fetch,
        timeoutMs: 300,
        retries: 0,
        credentials: () => "x",
      };
      const result = await createClient(mock.menu, options).call("getPetById", { petId: 1 });
      found.push(result.ok || result.error.kind);
    }
    expect(found).toEqual(["timeout", "timeout", "network", "invalid-response", "invalid-response"]);
  });

  test("latency delays the answer", async () => {
    const mock = await mockOf(petstore, { latencyMs: [60, 90] });
    const started = performance.now();
    await (await fetch(`${mock.url}/store/inventory`, { headers: { api_key: "x" } })).text();
    expect(performance.now() - started).toBeGreaterThanOrEqual(59);
  });

  test("closing the mock ends what hangs", async () => {
    const mock = await mockOf(petstore, { faults: [parseFault("timeout")] });
    const pending = fetch(`${mock.url}/pet/1`);
    const outcome = expect(pending).rejects.toThrow();
    while (mock.log.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await mock.close();
    await outcome;
  });
});

describe("rules", () => {
  test.each<[string, FaultRule]>([
    ["timeout", { fault: { kind: "timeout" } }],
    ["503", { fault: { kind: "status", status: 503 } }],
    ["429=2", { fault: { kind: "status", status: 429, retryAfterS: 2 } }],
    ["slow=50", { fault: { kind: "slow", everyMs: 50 } }],
    ["huge=1000", { fault: { kind: "huge", bytes: 1000 } }],
    ["reset@addPet:.25", { fault: { kind: "reset" }, operations: ["addPet"], rate: 0.25 }],
  ])("%s", (text, want) => {
    expect(parseFault(text)).toEqual(want);
  });

  test.each(["", "nothing", "199", "reset=1", "reset:2", "503@", "slow=x", "reset@a b"])("not %j", (text) => {
    expect(() => parseFault(text)).toThrow("is not a fault");
  });

  test("operation, rate and number of times", () => {
    const named = createFaultPlan(
      [{ fault: { kind: "reset" }, operations: ["a"], times: 2 }],
      createRandom(0),
    );
    expect(["b", "a", undefined, "a", "a"].map((name) => named(name)?.kind)).toEqual([
      undefined,
      "reset",
      undefined,
      "reset",
      undefined,
    ]);
    const often = createFaultPlan([{ fault: { kind: "reset" }, rate: 0.3 }], createRandom(0));
    const hits = Array.from({ length: 1_000 }, () => often("a")).filter(Boolean).length;
    expect(hits).toBeGreaterThan(230);
    expect(hits).toBeLessThan(370);
  });
});
