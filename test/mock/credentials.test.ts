import { describe, expect, test } from "vitest";
import { createClient } from "../../src/agent/client.js";
import type { Credential } from "../../src/agent/credentials.js";
import { oauth2 } from "../../src/agent/oauth.js";
import type { MockOptions } from "../../src/mock/index.js";
import { mockOf } from "./helpers.js";

const flow = { tokenUrl: "https://auth.example.com/oauth/token", scopes: { read: "", write: "" } };
const schemes = {
  key: { type: "apiKey", in: "query", name: "k" },
  cookie: { type: "apiKey", in: "cookie", name: "sid" },
  header: { type: "apiKey", in: "header", name: "X-Key" },
  basic: { type: "http", scheme: "basic" },
  bearer: { type: "http", scheme: "Bearer" },
  oauth: { type: "oauth2", flows: { clientCredentials: flow, password: flow } },
  openid: { type: "openIdConnect", openIdConnectUrl: "https://auth.example.com" },
};
type Scheme = keyof typeof schemes;

const api = (security: object[]) => ({
  paths: { "/me": { get: { operationId: "me", security, responses: { "204": { description: "" } } } } },
  components: { securitySchemes: schemes },
});

async function setUp(
  security: object[],
  given: Partial<Record<Scheme, Credential>>,
  options: MockOptions = {},
) {
  const mock = await mockOf(api(security), options);
  const client = createClient(mock.menu, {
    baseUrl: mock.url,
    credentials: ({ scheme }) => given[scheme as Scheme],
    retries: 0,
  });
  return { mock, call: async () => client.call("me", {}) };
}

const secret = "s3cr3t value+/=";

describe("each scheme", () => {
  const table: [Scheme, Credential, string][] = [
    ["key", secret, secret],
    ["cookie", secret, secret],
    ["header", secret, secret],
    ["basic", { username: "ann", password: secret }, `ann:${secret}`],
    ["bearer", secret, secret],
    ["oauth", secret, secret],
    ["openid", secret, secret],
  ];
  test.each(table)(
    "%s: the client sends it, the mock finds it, and the log does not hold it",
    async (scheme, credential, accepted) => {
      const right = await setUp(
        [{ [scheme]: [] }],
        { [scheme]: credential },
        { credentials: { [scheme]: accepted } },
      );
      expect(await right.call()).toMatchObject({ ok: true, status: 204 });
      expect(right.mock.log).toMatchObject([{ operation: "me", authorised: [scheme], problems: [] }]);
      expect(JSON.stringify(right.mock.log)).not.toMatch(/s3cr3t|czNjcjN0|YW5uOnM/);

      const wrong = await setUp(
        [{ [scheme]: [] }],
        { [scheme]: credential },
        { credentials: { [scheme]: "other" } },
      );
      expect(await wrong.call()).toMatchObject({ ok: false, error: { kind: "http", status: 401 } });
      expect(JSON.stringify([await wrong.call(), wrong.mock.log])).not.toMatch(/s3cr3t|czNjcjN0|YW5uOnM/);
    },
  );

  test.each(Object.keys(schemes))("%s is asked for", async (scheme) => {
    const { mock } = await setUp([{ [scheme]: [] }], {});
    const response = await fetch(`${mock.url}/me`);
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toContain('realm="mock"');
    expect(mock.log).toMatchObject([
      { authorised: [], status: 401, problems: [{ message: expect.stringContaining(`"${scheme}"`) }] },
    ]);
  });

  test("what is not base64 of name:password is no basic credential", async () => {
    const { mock } = await setUp([{ basic: [] }], {});
    const headers = { authorization: `Basic ${Buffer.from("nocolon").toString("base64")}` };
    expect((await fetch(`${mock.url}/me`, { headers })).status).toBe(401);
  });
});

describe("requirements", () => {
  test.each<[string, object[], Partial<Record<Scheme, string>>, number, string[]]>([
    ["both of an alternative", [{ key: [], header: [] }], { key: "a", header: "b" }, 204, ["key", "header"]],
    ["one is not enough", [{ key: [], header: [] }], { key: "a" }, 401, []],
    ["the other alternative", [{ key: [], header: [] }, { cookie: [] }], { cookie: "a" }, 204, ["cookie"]],
    ["anonymous", [{ key: [] }, {}], {}, 204, []],
    ["none", [], {}, 204, []],
    ["a scheme that is not defined", [{ other: [] }], { key: "a" }, 401, []],
  ])("%s", async (_, security, sent, status, authorised) => {
    const mock = await mockOf(api(security));
    const headers: Record<string, string> = {};
    if (sent.header !== undefined) headers["x-key"] = sent.header;
    if (sent.cookie !== undefined) headers.cookie = `sid=${sent.cookie}`;
    const response = await fetch(`${mock.url}/me${sent.key === undefined ? "" : `?k=${sent.key}`}`, {
      headers,
    });
    expect(response.status).toBe(status);
    expect(mock.log[0]?.authorised).toEqual(authorised);
  });
});

describe("tokens", () => {
  const clientId = "id";
  const clientSecret = "s3cr3t:1";
  const credentials = { oauth: `${clientId}:${clientSecret}` };

  test("client credentials: a token is issued, expires, and is renewed", async () => {
    let now = 1_000_000;
    const clock = () => now;
    const mock = await mockOf(api([{ oauth: ["read"] }]), { credentials, now: clock, tokenLifetimeS: 60 });
    for (const authentication of ["basic", "post"] as const) {
      const token = oauth2({
        tokenUrl: `${mock.origin}/oauth/token`,
        clientId,
        clientSecret,
        authentication,
        now: clock,
        earlyMs: 0,
      });
      const client = createClient(mock.menu, { baseUrl: mock.url, credentials: token, retries: 0 });
      mock.reset();
      expect(await client.call("me", {})).toMatchObject({ ok: true });
      expect(await client.call("me", {})).toMatchObject({ ok: true });
      now += 61_000;
      expect(await client.call("me", {})).toMatchObject({ ok: true });
      const urls = mock.log.map(({ url }) => url);
      expect(urls).toEqual(["/oauth/token", "/me", "/me", "/oauth/token", "/me"]);
      expect(JSON.stringify(mock.log)).not.toMatch(/s3cr3t|mock-/);
    }
  });

  async function ask(origin: string, form: Record<string, string>, headers: Record<string, string> = {}) {
    const response = await fetch(`${origin}/oauth/token`, {
      method: "POST",
      body: new URLSearchParams(form),
      headers,
    });
    return { status: response.status, body: (await response.json()) as Record<string, string> };
  }
  const client = { client_id: clientId, client_secret: clientSecret };

  test.each<[Record<string, string>, number, string]>([
    [{ grant_type: "client_credentials" }, 401, "invalid_client"],
    [{ grant_type: "client_credentials", client_id: "id", client_secret: "wrong" }, 401, "invalid_client"],
    [{ grant_type: "magic", ...client }, 400, "unsupported_grant_type"],
    [{ grant_type: "refresh_token", refresh_token: "x", ...client }, 400, "invalid_grant"],
  ])("%j is refused", async (form, status, error) => {
    const { origin } = await mockOf(api([{ oauth: [] }]), { credentials });
    expect(await ask(origin, form)).toMatchObject({ status, body: { error } });
  });

  test("scopes, refresh tokens, and tokens from elsewhere", async () => {
    const { origin, url } = await mockOf(api([{ oauth: ["write"] }]), { credentials });
    const me = async (token: string | undefined) =>
      (await fetch(`${url}/me`, { headers: { authorization: `Bearer ${token}` } })).status;
    const reader = await ask(origin, { grant_type: "client_credentials", scope: "read", ...client });
    expect(await me(reader.body.access_token)).toBe(403);
    const user = { grant_type: "password", username: "ann", password: "x", scope: "read write" };
    const writer = await ask(origin, { ...user, ...client });
    expect(await me(writer.body.access_token)).toBe(204);
    const again = await ask(origin, {
      grant_type: "refresh_token",
      refresh_token: writer.body.refresh_token ?? "",
      ...client,
    });
    expect(await me(again.body.access_token)).toBe(204);
    expect(await me("from-elsewhere")).toBe(401);
  });
});
