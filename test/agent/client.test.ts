import { afterEach, describe, expect, test } from "vitest";
import { CallError, createClient, unwrap } from "../../src/agent/client.js";
import type { CallEvent, ClientOptions } from "../../src/agent/client-types.js";
import { CredentialError } from "../../src/agent/credentials.js";
import { json, type MockServer, menuOf, mockServer, petstoreMenu } from "./helpers.js";

const servers: MockServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function petstore(answer: Parameters<typeof mockServer>[0], options: ClientOptions = {}) {
  const server = await mockServer(answer);
  servers.push(server);
  const events: CallEvent[] = [];
  const client = createClient(await petstoreMenu(), {
    baseUrl: server.url,
    credentials: () => "secret-token",
    retryDelayMs: 1,
    onEvent: (event) => events.push(event),
    ...options,
  });
  return { client, server, events };
}

describe("calls", () => {
  test("sends the request that the document describes and gives typed data back", async () => {
    const { client, server } = await petstore((_, response) =>
      json(response, 200, { id: 3, name: "Rex" }, { "x-request-id": "r1" }),
    );
    const result = await client.call("getPetById", { petId: 3 });
    expect(result).toMatchObject({ ok: true, status: 200, data: { id: 3, name: "Rex" }, requestId: "r1" });
    expect(server.seen).toMatchObject([
      { method: "GET", url: "/pet/3", headers: { api_key: "secret-token" } },
    ]);
  });

  test("a method for each operation, undefined arguments left out", async () => {
    const { client, server } = await petstore((_, response) => json(response, 200, []));
    const method = client.findPetsByStatus;
    expect((await method?.({ status: ["sold", "pending"] }))?.ok).toBe(true);
    await client.call("getInventory", { nothing: undefined } as never);
    expect(server.seen.map(({ url }) => url)).toEqual([
      "/pet/findByStatus?status=sold&status=pending",
      "/store/inventory",
    ]);
  });

  test("invalid arguments never reach the server", async () => {
    const { client, server } = await petstore((_, response) => json(response, 200, {}));
    const result = await client.call("getPetById", { petId: "three" });
    expect(result).toMatchObject({
      ok: false,
      error: {
        kind: "invalid-arguments",
        operation: "getPetById",
        issues: [{ pointer: "/petId", message: "must be integer" }],
      },
    });
    expect(await client.call("noSuch", {})).toMatchObject({
      ok: false,
      error: { kind: "invalid-arguments" },
    });
    expect(server.seen).toHaveLength(0);
  });

  test("an HTTP error is a value that unwrap throws", async () => {
    const { client } = await petstore((_, response) => json(response, 404, { reason: "gone" }));
    const result = await client.call("getPetById", { petId: 3 });
    expect(result).toMatchObject({
      ok: false,
      error: { kind: "http", status: 404, declared: true, body: { reason: "gone" }, attempts: 1 },
    });
    expect(() => unwrap(result)).toThrow(CallError);
    expect(() => unwrap(result)).toThrow("getPetById: The server answered 404 (Pet not found).");
  });

  test("dryRun shows the request, sends nothing and holds no credentials", async () => {
    const { client, server } = await petstore((_, response) => json(response, 200, {}));
    const planned = client.dryRun("addPet", { name: "Rex", photoUrls: [] });
    expect(planned).toMatchObject({
      ok: true,
      request: { method: "POST", url: `${server.url}/pet`, body: '{"name":"Rex","photoUrls":[]}' },
    });
    expect(JSON.stringify(planned)).not.toContain("secret-token");
    expect(server.seen).toHaveLength(0);
  });
});

describe("faults", () => {
  const cases: [string, Parameters<typeof mockServer>[0], ClientOptions, object][] = [
    ["reset", (_, response) => response.destroy(), {}, { kind: "network", attempts: 3 }],
    ["hang", () => undefined, { timeoutMs: 40, retries: 1 }, { kind: "timeout", attempts: 2 }],
    [
      "slow body",
      (_, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.write("[");
      },
      { timeoutMs: 40, retries: 0 },
      { kind: "timeout" },
    ],
    [
      "body that breaks off",
      (_, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
        response.write("[1,", () => response.destroy());
      },
      { retries: 0 },
      { kind: "invalid-response", reason: "broken-body" },
    ],
    [
      "not JSON",
      (_, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.end("<html>");
      },
      {},
      { kind: "invalid-response", reason: "not-json", status: 200 },
    ],
    [
      "too large",
      (_, response) => json(response, 200, "x".repeat(5000)),
      { maxResponseBytes: 1000 },
      { kind: "invalid-response", reason: "too-large" },
    ],
    [
      "503 for ever",
      (_, response) => json(response, 503, {}),
      {},
      { kind: "http", status: 503, attempts: 3, declared: true },
    ],
    [
      "Retry-After that is too long",
      (_, response) => json(response, 429, {}, { "retry-after": "3600" }),
      {},
      { kind: "http", status: 429, attempts: 1 },
    ],
    [
      "redirect to another origin",
      (_, response) => json(response, 302, {}, { location: "http://127.0.0.2:9/" }),
      {},
      { kind: "http", status: 302 },
    ],
  ];
  test.each(cases)("%s", async (_, answer, options, want) => {
    const { client } = await petstore(answer, options);
    expect(await client.call("getPetById", { petId: 3 })).toMatchObject({ ok: false, error: want });
  });

  test("a read is retried until it works; a POST never is", async () => {
    const { client, server, events } = await petstore((request, response, count) =>
      json(response, count < 3 ? 503 : 200, { method: request.method }),
    );
    expect(await client.call("getPetById", { petId: 3 })).toMatchObject({ ok: true });
    expect(events.filter(({ type }) => type === "retry")).toHaveLength(2);
    const before = server.seen.length;
    const { client: other, server: failing } = await petstore((_, response) => json(response, 503, {}));
    expect(await other.call("addPet", { name: "Rex", photoUrls: [] })).toMatchObject({
      ok: false,
      error: { kind: "http", attempts: 1 },
    });
    expect([before, failing.seen.length]).toEqual([3, 1]);
  });

  test("a POST with an idempotency key is retried with the same key", async () => {
    const { client, server } = await petstore(
      (_, response, count) => json(response, count < 3 ? 503 : 200, {}),
      {
        newKey: () => "made",
      },
    );
    const pet = { name: "Rex", photoUrls: [] };
    expect(await client.call("addPet", pet, { idempotencyKey: "mine" })).toMatchObject({ ok: true });
    expect(server.seen.map(({ headers }) => headers["idempotency-key"])).toEqual(["mine", "mine", "mine"]);
    await client.call("addPet", pet, { idempotencyKey: true });
    await client.call("addPet", pet);
    expect(server.seen.slice(3).map(({ headers }) => headers["idempotency-key"])).toEqual([
      "made",
      undefined,
    ]);
    expect(await client.call("addPet", pet, { idempotencyKey: "a\nb" })).toMatchObject({ ok: false });
  });

  test("the operation's own header carries the key", async () => {
    const server = await mockServer((_, response) => json(response, 200, {}));
    servers.push(server);
    const parameters = [{ name: "X-Idempotency-Key", in: "header", schema: { type: "string" } }];
    const menu = await menuOf({
      paths: { "/pay": { post: { operationId: "pay", parameters, responses: {} } } },
    });
    const client = createClient(menu, { baseUrl: server.url });
    await client.call("pay", {}, { idempotencyKey: "k1" });
    expect(server.seen[0]?.headers).toMatchObject({ "x-idempotency-key": "k1" });
    expect(server.seen[0]?.headers["idempotency-key"]).toBeUndefined();
  });

  test("waits double and are shortened at random; the server's own wish is kept", async () => {
    const answers: Parameters<typeof mockServer>[0] = (_, response, count) =>
      json(response, 503, {}, count === 3 ? { "retry-after": "1" } : {});
    const { client, events } = await petstore(answers, {
      retries: 3,
      retryDelayMs: 8,
      random: () => 0.5,
    });
    await client.call("getPetById", { petId: 3 });
    const waits = events.flatMap((event) => (event.type === "retry" ? [event.delayMs] : []));
    expect(waits).toEqual([6, 12, 1000]);
  });

  test("at most maxConcurrency requests at once, in order; a call that waits can be aborted", async () => {
    let open = 0;
    let most = 0;
    const { client, server } = await petstore(
      (_, response) => {
        most = Math.max(most, ++open);
        setTimeout(() => {
          open--;
          json(response, 200, {});
        }, 15);
      },
      { maxConcurrency: 2 },
    );
    const controller = new AbortController();
    const calls = [1, 2, 3, 4, 5].map((petId) =>
      client.call("getPetById", { petId }, petId === 4 ? { signal: controller.signal } : {}),
    );
    controller.abort();
    expect((await Promise.all(calls)).map((result) => (result.ok ? "ok" : result.error.kind))).toEqual([
      "ok",
      "ok",
      "ok",
      "aborted",
      "ok",
    ]);
    expect(most).toBe(2);
    const urls = server.seen.map(({ url }) => url);
    expect([urls.slice(0, 2).sort(), urls.slice(2).sort()]).toEqual([
      ["/pet/1", "/pet/2"],
      ["/pet/3", "/pet/5"],
    ]);
  });

  test("a signal may be shared by many calls without a warning", async () => {
    const { client } = await petstore((_, response) => json(response, 200, {}));
    const warned: unknown[] = [];
    const listen = (warning: unknown) => warned.push(warning);
    process.on("warning", listen);
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 30 }, () => client.call("getInventory", {}, { signal })));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(warned).toEqual([]);
  });

  test("Retry-After as seconds and as a date", async () => {
    const now = Date.UTC(2026, 0, 1);
    for (const value of ["0", new Date(now + 20).toUTCString()]) {
      const { client } = await petstore(
        (_, response, count) => json(response, count === 1 ? 429 : 200, {}, { "retry-after": value }),
        { now: () => now },
      );
      expect(await client.call("getPetById", { petId: 3 })).toMatchObject({ ok: true });
    }
  });

  test("the caller's signal ends a call, also during a wait", async () => {
    const { client } = await petstore((_, response) => json(response, 503, {}), { retryDelayMs: 60_000 });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    expect(await client.call("getPetById", { petId: 3 }, { signal: controller.signal })).toMatchObject({
      ok: false,
      error: { kind: "aborted" },
    });
    expect(await client.call("getPetById", { petId: 3 }, { signal: controller.signal })).toMatchObject({
      ok: false,
      error: { kind: "aborted" },
    });
  });

  test("same-origin redirects of reads are followed", async () => {
    const { client } = await petstore((request, response) =>
      request.url === "/pet/3"
        ? json(response, 302, {}, { location: "/elsewhere" })
        : json(response, 200, { at: request.url }),
    );
    expect(await client.call("getPetById", { petId: 3 })).toMatchObject({
      ok: true,
      data: { at: "/elsewhere" },
    });
  });
});

describe("credentials", () => {
  const schemes = {
    key: { type: "apiKey", in: "query", name: "k" },
    cookie: { type: "apiKey", in: "cookie", name: "sid" },
    header: { type: "apiKey", in: "header", name: "X-Key" },
    basic: { type: "http", scheme: "basic" },
    bearer: { type: "http", scheme: "Bearer" },
    oauth: { type: "oauth2", flows: {} },
  };
  const secret = "s3cr3t value+/=";
  async function api(security: object[], options: ClientOptions, status = 200) {
    const server = await mockServer((request, response) =>
      json(response, status, { echo: request.headers, url: request.url }),
    );
    servers.push(server);
    const menu = await menuOf({
      paths: { "/me": { get: { operationId: "me", security, responses: {} } } },
      components: { securitySchemes: schemes },
    });
    return { server, client: createClient(menu, { baseUrl: server.url, ...options }) };
  }

  test.each([
    [
      "key",
      secret,
      (seen: { url: string }) => new URL(seen.url, "http://x").searchParams.get("k") === secret,
    ],
    [
      "cookie",
      secret,
      (seen: { headers: { cookie?: string } }) => seen.headers.cookie === `sid=${encodeURIComponent(secret)}`,
    ],
    [
      "header",
      secret,
      (seen: { headers: object }) => (seen.headers as Record<string, string>)["x-key"] === secret,
    ],
    [
      "basic",
      { username: "ann", password: secret },
      (seen: { headers: { authorization?: string } }) =>
        seen.headers.authorization === `Basic ${Buffer.from(`ann:${secret}`).toString("base64")}`,
    ],
    [
      "bearer",
      secret,
      (seen: { headers: { authorization?: string } }) => seen.headers.authorization === `Bearer ${secret}`,
    ],
    [
      "oauth",
      secret,
      (seen: { headers: { authorization?: string } }) => seen.headers.authorization === `Bearer ${secret}`,
    ],
  ])("%s reaches the server", async (scheme, credential, arrived) => {
    const { client, server } = await api([{ [scheme]: [] }], {
      credentials: (request) => (request.scheme === scheme ? credential : undefined),
    });
    expect(await client.call("me", {})).toMatchObject({ ok: true });
    expect(server.seen.map((seen) => arrived(seen as never))).toEqual([true]);
  });

  test("all of an alternative, or the next alternative", async () => {
    const { client, server } = await api([{ key: [], bearer: [] }, { header: ["read"] }], {
      credentials: ({ scheme }) => (scheme === "bearer" ? undefined : `for-${scheme}`),
    });
    await client.call("me", {});
    expect(server.seen).toMatchObject([{ url: "/me", headers: { "x-key": "for-header" } }]);
    expect(server.seen[0]?.headers.authorization).toBeUndefined();
  });

  test("two schemes that want the same header do not both count as met", async () => {
    const { client } = await api(
      [
        { basic: [], bearer: [] },
        { key: [], bearer: [] },
      ],
      {
        credentials: ({ scheme }) => `for-${scheme}`,
      },
    );
    expect(await client.call("me", {})).toMatchObject({
      data: { url: "/me?k=for-key", echo: { authorization: "Bearer for-bearer" } },
    });
  });

  test("credentials are redacted from a success where it is for a model, and only there", async () => {
    const { client } = await api([{ bearer: [] }], { credentials: () => secret });
    const plain = await client.call("me", {});
    const clean = await client.call("me", {}, { redact: true });
    expect(plain).toMatchObject({ data: { echo: { authorization: `Bearer ${secret}` } } });
    expect(clean).toMatchObject({ data: { echo: { authorization: "Bearer [credential]" } } });
  });

  test("a CredentialError says why there are none", async () => {
    const { client } = await api([{ bearer: [] }], {
      credentials: () => {
        throw new CredentialError("Ann has to sign in again.");
      },
    });
    expect(await client.call("me", {})).toMatchObject({
      error: { kind: "missing-credentials", message: "Ann has to sign in again." },
    });
  });

  test("none at hand: an error before anything is sent; anonymous use where it is allowed", async () => {
    const closed = await api([{ key: [] }], {});
    expect(await closed.client.call("me", {})).toMatchObject({
      ok: false,
      error: { kind: "missing-credentials", schemes: ["key"] },
    });
    expect(closed.server.seen).toHaveLength(0);
    const open = await api([{}, { key: [] }], {});
    expect(await open.client.call("me", {})).toMatchObject({ ok: true });
  });

  test("secrets are in no error, event or planned request", async () => {
    const told: unknown[] = [];
    for (const scheme of Object.keys(schemes)) {
      const { client } = await api(
        [{ [scheme]: [] }],
        { credentials: () => secret, onEvent: (event) => told.push(event), retries: 0 },
        400,
      );
      told.push(await client.call("me", {}), client.dryRun("me", {}));
      const broken = await api([{ [scheme]: [] }], { credentials: () => `${secret}\n`, retries: 0 }, 400);
      told.push(await broken.client.call("me", {}));
      const failing = await api([{ [scheme]: [] }], {
        credentials: () => {
          throw new Error(secret);
        },
      });
      told.push(await failing.client.call("me", {}));
      const down = await api([{ [scheme]: [] }], {
        credentials: () => secret,
        fetch: () => Promise.reject(new Error(`sent ${secret}`)),
        retries: 0,
      });
      told.push(await down.client.call("me", {}));
    }
    const text = JSON.stringify(told);
    const forms = [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64"), "s3cr3t"];
    expect(forms.filter((form) => text.includes(form))).toEqual([]);
    expect(told.filter((entry) => JSON.stringify(entry).includes("[credential]")).length).toBeGreaterThan(6);
  });
});

test("operations with hostile names are plain data", async () => {
  const paths = Object.fromEntries(
    ["__proto__", "constructor", "then", "toString", "call", "menu"].map((name, i) => [
      `/${i}`,
      { get: { operationId: name, responses: {} } },
    ]),
  );
  const menu = await menuOf({ paths });
  const server = await mockServer((request, response) => json(response, 200, request.url));
  servers.push(server);
  const client = createClient(menu, { baseUrl: server.url });
  expect(await Promise.resolve(client)).toBe(client);
  expect(Object.getPrototypeOf(client)).toBe(Object.prototype);
  expect(typeof client.call).toBe("function");
  for (const tool of menu.tools)
    expect(await client.call(tool.name, {})).toMatchObject({ ok: true, data: tool.path });
});

test("a document without an absolute server needs baseUrl", async () => {
  const menu = await menuOf({ paths: { "/me": { get: { operationId: "me", responses: {} } } } });
  await expect(createClient(menu).call("me", {})).rejects.toThrow("is not an absolute http(s) URL");
  expect(() => createClient(menu, { baseUrl: "file:///etc" })).toThrow("is not an absolute http(s) URL");
});

test("the server's variables have defaults and allowed values; a password in its URL is refused unseen", async () => {
  const servers = [
    {
      url: "https://{region}.api.example/{version}",
      variables: { region: { default: "eu", enum: ["eu", "us"] }, version: { default: "v1" } },
    },
  ];
  const menu = await menuOf({ servers, paths: { "/me": { get: { operationId: "me", responses: {} } } } });
  const urlWith = (options: ClientOptions) => {
    const planned = createClient(menu, options).dryRun("me", {});
    return planned.ok ? planned.request.url : planned.error.kind;
  };
  expect(urlWith({})).toBe("https://eu.api.example/v1/me");
  expect(urlWith({ serverVariables: { region: "us", version: "v2" } })).toBe("https://us.api.example/v2/me");
  expect(() => urlWith({ serverVariables: { region: "evil.example/" } })).toThrow(
    'cannot be "evil.example/"',
  );
  const refused = (() => {
    try {
      return createClient(menu, { baseUrl: "https://ann:hunter2@api.example" });
    } catch (error) {
      return error;
    }
  })();
  expect(refused).toMatchObject({
    message: expect.stringContaining("holds a user name or a password") as string,
  });
  expect(JSON.stringify(refused) + String(refused)).not.toContain("hunter2");
});

test("orThrow gives data or throws", async () => {
  const { client } = await petstore((request, response) =>
    request.url === "/pet/3" ? json(response, 200, { id: 3 }) : json(response, 404, { reason: "gone" }),
  );
  expect(await client.orThrow.getPetById?.({ petId: 3 })).toEqual({ id: 3 });
  await expect(client.orThrow.call("getPetById", { petId: 4 })).rejects.toMatchObject({
    error: { kind: "http", status: 404, body: { reason: "gone" } },
  });
});
