import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createAgent } from "../../src/agent/agent.js";
import type { Credential } from "../../src/agent/credentials.js";
import { exportAgent } from "../../src/agent/export.js";
import { loadAgent } from "../../src/agent/load.js";
import { oauth2 } from "../../src/agent/oauth.js";
import type { Solver } from "../../src/agent/solver.js";
import { briefStyle } from "../../src/task/prompts.js";
import { json, menuOf, mockServer } from "./helpers.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "specdojo-secrets-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(dir, { recursive: true, force: true });
});

const schemes = {
  key: { type: "apiKey", in: "header", name: "X-Key" },
  query: { type: "apiKey", in: "query", name: "k" },
  cookie: { type: "apiKey", in: "cookie", name: "sid" },
  basic: { type: "http", scheme: "basic" },
  bearer: { type: "http", scheme: "bearer" },
  oauth: { type: "oauth2", flows: {} },
};

/** Distinct for each scheme, with characters that are written differently in URLs, cookies, JSON and base64. */
const secret = (scheme: string): string => `S3CRET-${scheme}-a b+/="é`;
const clientSecret = "S3CRET-client";

/** How a text may hold a secret: as it is, or in any encoding of it. */
function formsOf(text: string): string[] {
  const base64 = Buffer.from(text).toString("base64");
  return [text, encodeURIComponent(text), new URLSearchParams([["", text]]).toString().slice(1), base64];
}

test("a run leaves the secrets that it used in no file, log line, error, event or prompt", async () => {
  // A server that quotes all that it gets, in a success, an error and headers.
  const server = await mockServer(({ url, headers }, response) => {
    const status = url.startsWith("/fail") ? 400 : 200;
    const quoted = {
      url,
      headers,
      decoded: Buffer.from((headers.authorization ?? "").slice(6), "base64").toString(),
    };
    if (url.startsWith("/broken")) {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(`${JSON.stringify(quoted)} and more`);
    } else
      json(response, status, quoted, {
        "x-request-id": String(headers.authorization ?? headers["x-key"] ?? ""),
      });
  });
  const tokens = await mockServer((_, response) =>
    json(response, 200, { access_token: secret("oauth"), token_type: "bearer", expires_in: 60 }),
  );
  const names = Object.keys(schemes);
  const paths = Object.fromEntries(
    names.flatMap((scheme) =>
      ["ok", "fail", "broken"].map((kind) => [
        `/${kind}/${scheme}`,
        { get: { operationId: `${kind}_${scheme}`, security: [{ [scheme]: [] }], responses: {} } },
      ]),
    ),
  );
  const menu = await menuOf({ paths, components: { securitySchemes: schemes } });

  const told: unknown[] = [];
  for (const stream of ["stdout", "stderr"] as const)
    vi.spyOn(process[stream], "write").mockImplementation((text) => told.push(String(text)) > 0);
  for (const method of ["log", "info", "warn", "error", "debug"] as const)
    vi.spyOn(console, method).mockImplementation((...args) => told.push(args));

  const token = oauth2({ tokenUrl: `${tokens.url}/token`, clientId: "me", clientSecret });
  const sent: string[] = [];
  const client = {
    baseUrl: server.url,
    retries: 0,
    onEvent: (event: unknown) => told.push(event),
    credentials: async (request: { scheme: string; scopes: string[] }): Promise<Credential> => {
      sent.push(request.scheme);
      if (request.scheme === "oauth") return token(request);
      return request.scheme === "basic"
        ? { username: "ann", password: secret("basic") }
        : secret(request.scheme);
    },
  };
  const calls = menu.tools.map(({ name }) => ({ name, arguments: {} }));
  const solver: Solver = {
    complete: (prompts) => {
      told.push(prompts);
      return Promise.resolve(
        prompts.map(() => `<tool_call_answer>${JSON.stringify(calls)}</tool_call_answer>`),
      );
    },
    close: () => Promise.resolve(),
  };

  await mkdir(join(dir, "merged"));
  await writeFile(join(dir, "merged/config.json"), "{}");
  await writeFile(join(dir, "merged/model.safetensors"), "x");
  await exportAgent({
    dir: join(dir, "agent"),
    menu,
    solver: { merged: join(dir, "merged") },
    evaluation: null,
    version: "0",
    createdAt: new Date(0),
    baseModel: { name: "m" },
    prompts: briefStyle,
  });
  try {
    for (const agent of [
      await loadAgent(join(dir, "agent"), { solver, client }),
      createAgent({ menu, solver, client }),
    ]) {
      const onEvent = (event: unknown) => told.push(event);
      const result = await agent.run("everything", { maxSteps: 3, maxResultCharacters: 100_000, onEvent });
      told.push(result);
      expect(result.executed.length).toBe(names.length * 3);
      for (const { outcome } of result.executed)
        if (!outcome.ok && outcome.error.kind === "http") told.push([...outcome.error.headers]);
      for (const { name } of menu.tools) {
        told.push(await agent.answer(name, {}), agent.client.dryRun(name, {}));
        const failed = await agent.client.call(name, {});
        if (!failed.ok) told.push(failed);
        await agent.client.orThrow.call(name, {}).catch((error: unknown) => {
          const { message, stack, cause } = error as Error;
          told.push(error, message, stack, cause);
        });
      }
    }
  } finally {
    vi.restoreAllMocks();
    await server.close();
    await tokens.close();
  }

  const files = await readdir(dir, { recursive: true, withFileTypes: true });
  for (const file of files.filter((entry) => entry.isFile()))
    told.push(await readFile(join(file.parentPath, file.name), "latin1"));
  const text = told.map((entry) => (typeof entry === "string" ? entry : JSON.stringify(entry))).join("\n");
  // The run was real: every scheme's secret reached the server, and the prompts hold what came back without it.
  const received = JSON.stringify(server.seen);
  expect(new Set(sent)).toEqual(new Set(names));
  for (const name of names)
    expect(
      formsOf(secret(name)).some((form) => received.includes(JSON.stringify(form).slice(1, -1))) ||
        name === "basic",
    ).toBe(true);
  expect(text).toContain("Results of the calls");
  expect(text).toContain("[credential]");
  const found = [...names.map(secret), clientSecret, `ann:${secret("basic")}`]
    .flatMap(formsOf)
    .flatMap((form) => [form, JSON.stringify(form).slice(1, -1)])
    .filter((form) => text.includes(form));
  expect(found).toEqual([]);
  expect(text).not.toContain("S3CRET");
});
