import { afterEach, describe, expect, test } from "vitest";
import { createClient } from "../../src/agent/client.js";
import type { ClientOptions } from "../../src/agent/client-types.js";
import { type OAuthOptions, oauth2 } from "../../src/agent/oauth.js";
import { json, type MockServer, menuOf, mockServer } from "./helpers.js";

const servers: MockServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

const clientSecret = "s3cr3t+/ü";

/** A token server that gives out t1, t2, … and notes what it was asked. */
async function tokenServer(
  extra: (count: number) => object = () => ({}),
  status: (count: number) => number = () => 200,
) {
  const server = await mockServer((_, response, count) =>
    json(
      response,
      status(count),
      status(count) === 200
        ? { access_token: `t${count}`, token_type: "Bearer", ...extra(count) }
        : { error: "invalid_client", error_description: `the secret ${clientSecret} is wrong` },
    ),
  );
  servers.push(server);
  return server;
}

/** An API that accepts these tokens only. */
async function api(accepts: (token: string) => boolean, options: ClientOptions) {
  const server = await mockServer((request, response) => {
    const token = request.headers.authorization?.replace("Bearer ", "") ?? "";
    json(response, accepts(token) ? 200 : 401, { token: accepts(token) });
  });
  servers.push(server);
  const flows = { clientCredentials: { tokenUrl: "https://evil.example/token", scopes: {} } };
  const operation = (operationId: string, scopes: string[]) => ({
    operationId,
    security: [{ auth: scopes }],
    responses: {},
  });
  const menu = await menuOf({
    paths: { "/a": { get: operation("read", ["read"]), post: operation("write", ["write", "read"]) } },
    components: { securitySchemes: { auth: { type: "oauth2", flows } } },
  });
  return { server, client: createClient(menu, { baseUrl: server.url, ...options }) };
}

const settings = (server: MockServer, change: Partial<OAuthOptions> = {}): OAuthOptions => ({
  tokenUrl: `${server.url}/token`,
  clientId: "me",
  clientSecret,
  ...change,
});

describe("oauth2", () => {
  test("one token request for calls at once, per scopes, sent to the given address only", async () => {
    const tokens = await tokenServer(() => ({ expires_in: 3600 }));
    const { client, server } = await api(() => true, { credentials: oauth2(settings(tokens)) });
    await Promise.all(Array.from({ length: 20 }, () => client.call("read", {})));
    await client.call("write", {});
    expect(tokens.seen.map(({ body }) => Object.fromEntries(new URLSearchParams(body)))).toEqual([
      { grant_type: "client_credentials", scope: "read" },
      { grant_type: "client_credentials", scope: "read write" },
    ]);
    // RFC 6749, 2.3.1: id and secret are form-encoded before they are joined.
    const basic = Buffer.from(`me:${new URLSearchParams([["", clientSecret]]).toString().slice(1)}`);
    expect(tokens.seen[0]?.headers.authorization).toBe(`Basic ${basic.toString("base64")}`);
    expect(new Set(server.seen.map(({ headers }) => headers.authorization))).toEqual(
      new Set(["Bearer t1", "Bearer t2"]),
    );
  });

  test("the secret in the body, fixed scopes and further parameters", async () => {
    const tokens = await tokenServer();
    const options = settings(tokens, {
      authentication: "post",
      scopes: ["all"],
      parameters: { audience: "x" },
    });
    const { client } = await api(() => true, { credentials: oauth2(options) });
    await client.call("read", {});
    await client.call("write", {});
    expect(tokens.seen).toHaveLength(1);
    expect(Object.fromEntries(new URLSearchParams(tokens.seen[0]?.body))).toEqual({
      grant_type: "client_credentials",
      scope: "all",
      audience: "x",
      client_id: "me",
      client_secret: clientSecret,
    });
  });

  test("renewed shortly before it expires, by a refresh token where there is one", async () => {
    let now = 0;
    const told: string[] = [];
    const tokens = await tokenServer((count) => ({ expires_in: 100, refresh_token: `r${count}` }));
    const options = settings(tokens, { now: () => now, onRefreshToken: (token) => told.push(token) });
    const { client, server } = await api(() => true, { credentials: oauth2(options) });
    for (const seconds of [0, 69, 71, 72]) {
      now = seconds * 1000;
      await client.call("read", {});
    }
    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer t1",
      "Bearer t1",
      "Bearer t2",
      "Bearer t2",
    ]);
    expect(new URLSearchParams(tokens.seen[1]?.body).get("refresh_token")).toBe("r1");
    expect(told).toEqual(["r1", "r2"]);
  });

  test("a refresh token that is no longer good falls back to the client's credentials", async () => {
    const tokens = await tokenServer(
      () => ({}),
      (count) => (count === 1 ? 400 : 200),
    );
    const { client } = await api(() => true, {
      credentials: oauth2(settings(tokens, { refreshToken: "old" })),
    });
    expect(await client.call("read", {})).toMatchObject({ ok: true });
    expect(tokens.seen.map(({ body }) => new URLSearchParams(body).get("grant_type"))).toEqual([
      "refresh_token",
      "client_credentials",
    ]);
  });

  test("a token that the API refuses is replaced once, also for a POST, and once for all", async () => {
    const tokens = await tokenServer();
    const { client, server } = await api((token) => token !== "t1", {
      credentials: oauth2(settings(tokens)),
    });
    const results = await Promise.all(Array.from({ length: 10 }, () => client.call("read", {})));
    expect(results.every(({ ok }) => ok)).toBe(true);
    expect(tokens.seen).toHaveLength(2);
    const closed = await api(() => false, { credentials: oauth2(settings(tokens)) });
    expect(await closed.client.call("write", {})).toMatchObject({ ok: false, error: { status: 401 } });
    expect(closed.server.seen).toHaveLength(2);
    expect(server.seen.length).toBe(20);
  });

  test("a fixed token that is refused is not sent again", async () => {
    const { client, server } = await api(() => false, { credentials: () => "fixed" });
    expect(await client.call("read", {})).toMatchObject({ ok: false, error: { status: 401 } });
    expect(server.seen).toHaveLength(1);
  });

  test.each([
    ["an error", () => tokenServer(undefined, () => 401), 'answered 401 ("invalid_client")'],
    [
      "nonsense",
      () => mockServer((_, response) => json(response, 200, { token: 1 })),
      "not one that OAuth 2 knows",
    ],
    ["silence", () => mockServer(() => undefined), "did not answer in time"],
    ["a reset", () => mockServer((_, response) => response.destroy()), "cannot be reached"],
  ])("%s of the token server is a typed error without secrets", async (_, start, message) => {
    const tokens = await start();
    servers.push(tokens);
    const { client, server } = await api(() => true, {
      credentials: oauth2(settings(tokens, { timeoutMs: 100 })),
    });
    const result = await client.call("read", {});
    expect(result).toMatchObject({
      ok: false,
      error: { kind: "missing-credentials", message: expect.stringContaining(message) as string },
    });
    expect(JSON.stringify(result)).not.toContain("s3cr3t");
    expect(server.seen).toHaveLength(0);
  });

  test.each(["http://api.example/token", "ftp://x/", "token"])("%s is no token URL", (tokenUrl) => {
    expect(() => oauth2({ tokenUrl, clientId: "a", clientSecret: "b" })).toThrow("no https URL");
  });
});

test("each user and call has credentials of its own", async () => {
  const asked: unknown[] = [];
  const { client, server } = await api(() => true, {
    credentials: ({ context, operation, scopes }) => {
      asked.push([operation, scopes]);
      return `token-of-${String(context)}`;
    },
  });
  await Promise.all(["ann", "bob"].map((context) => client.call("read", {}, { context })));
  expect(server.seen.map(({ headers }) => headers.authorization).sort()).toEqual([
    "Bearer token-of-ann",
    "Bearer token-of-bob",
  ]);
  expect(asked).toEqual([
    ["read", ["read"]],
    ["read", ["read"]],
  ]);
});
