import { afterEach, describe, expect, test } from "vitest";
import { createClient } from "../../src/agent/client.js";
import type { PageOptions } from "../../src/agent/client-types.js";
import { itemsIn } from "../../src/agent/pages.js";
import { json, type MockServer, menuOf, mockServer } from "./helpers.js";

const servers: MockServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

const all = Array.from({ length: 7 }, (_, i) => ({ id: `i${i}` }));

type Answer = (query: URLSearchParams, url: string) => { body: unknown; headers?: Record<string, string> };

/** A list of seven, three to a page, of an API whose operation has these arguments. */
async function api(args: Record<string, object>, answer: Answer) {
  const server = await mockServer((request, response) => {
    const url = new URL(request.url, "http://x");
    const { body, headers } = answer(url.searchParams, request.url);
    json(response, 200, body, headers);
  });
  servers.push(server);
  const parameters = Object.entries(args).map(([name, schema]) => ({ name, in: "query", schema }));
  const menu = await menuOf({
    paths: { "/list": { get: { operationId: "list", parameters, responses: {}, security: [{ key: [] }] } } },
    components: { securitySchemes: { key: { type: "apiKey", in: "query", name: "key" } } },
  });
  const client = createClient(menu, { baseUrl: server.url, credentials: () => "k1" });
  return { client, menu, server };
}

const text = { type: "string" };
const whole = { type: "integer" };
const from = (start: number) => all.slice(start, start + 3);

describe("pages", () => {
  const cases: [string, Record<string, object>, Answer, object, PageOptions][] = [
    [
      "Link header, relative",
      { q: text },
      (query) => {
        const start = Number(query.get("start") ?? 0);
        const more = start + 3 < all.length;
        return {
          body: from(start),
          headers: more
            ? {
                link: `</first>; rel="first", </list?q=a&start=${start + 3}>; title="a, b; rel=x"; rel="last next"`,
              }
            : { link: '</first>; rel="first"' },
        };
      },
      { q: "a" },
      {},
    ],
    [
      "address in the response",
      {},
      (query, url) => {
        const start = Number(query.get("start") ?? 0);
        const next = start + 3 < all.length ? `${url.split("?")[0]}?start=${start + 3}` : null;
        return { body: { results: from(start), links: { next } } };
      },
      {},
      {},
    ],
    [
      "cursor",
      { cursor: text },
      (query) => {
        const start = Number((query.get("cursor") ?? "c0").slice(1));
        const next = start + 3 < all.length ? `c${start + 3}` : "";
        return { body: { items: from(start), response_metadata: { next_cursor: next } } };
      },
      {},
      {},
    ],
    [
      "cursor and a flag that says when it ends",
      { after: text },
      (query) => {
        const start = Number((query.get("after") ?? "c0").slice(1));
        const pageInfo = { endCursor: `c${start + 3}`, hasNextPage: start + 3 < all.length };
        return { body: { nodes: from(start), pageInfo } };
      },
      {},
      {},
    ],
    [
      "last item, as Stripe does",
      { starting_after: text, ending_before: text },
      (query) => {
        const start = all.findIndex(({ id }) => id === query.get("starting_after")) + 1;
        return { body: { object: "list", data: from(start), has_more: start + 3 < all.length } };
      },
      {},
      {},
    ],
    [
      "page numbers, a short page is the last",
      { page: { type: "integer", default: 1 }, per_page: whole },
      (query) => ({ body: from((Number(query.get("page") ?? 1) - 1) * 3) }),
      { per_page: 3 },
      {},
    ],
    [
      "page numbers and their total",
      { page: whole },
      (query) => ({
        body: { data: from((Number(query.get("page") ?? 1) - 1) * 3), meta: { total_pages: 3 } },
      }),
      {},
      {},
    ],
    [
      "offset",
      { offset: whole, limit: { type: "integer", default: 3 } },
      (query) => ({ body: { total: 7, values: from(Number(query.get("offset") ?? 0)) } }),
      {},
      {},
    ],
    [
      "as the caller says",
      { ptr: text },
      (query) => {
        const start = Number((query.get("ptr") ?? "c0").slice(1));
        return { body: { data: from(start), a: { "b/c": start + 3 < all.length ? `c${start + 3}` : null } } };
      },
      {},
      { paging: { by: "cursor", argument: "ptr", pointer: "/a/b~1c" } },
    ],
  ];
  test.each(cases)("%s", async (_, args, answer, given, options) => {
    const { client, server } = await api(args, answer);
    const pages: unknown[] = [];
    const items: unknown[] = [];
    for await (const page of client.pages("list", given as never, options)) {
      expect(page.result.ok).toBe(true);
      pages.push([page.number, page.items.length, page.more]);
      items.push(...page.items);
    }
    expect(items).toEqual(all);
    expect(pages).toEqual([
      [1, 3, true],
      [2, 3, true],
      [3, 1, false],
    ]);
    // Every page is asked for with the credentials, and nothing more is.
    expect(server.seen.map(({ url }) => new URL(url, "http://x").searchParams.get("key"))).toEqual([
      "k1",
      "k1",
      "k1",
    ]);
  });

  const endless: [string, Record<string, object>, Answer][] = [
    ["the same page for ever", { page: whole }, () => ({ body: [{ id: 1 }] })],
    ["the same cursor for ever", { cursor: text }, () => ({ body: { next_cursor: "x", items: [] } })],
    ["the same address for ever", {}, () => ({ body: { next: "/list?page=2" } })],
  ];
  test.each(endless)("a server that sends %s is asked twice or thrice", async (_, args, answer) => {
    const { client, server } = await api(args, answer);
    for await (const page of client.pages("list", {})) expect(page.result.ok).toBe(true);
    expect(server.seen.length).toBeLessThanOrEqual(3);
  });

  test("maxPages bounds it, and the last page says that there was more", async () => {
    let n = 0;
    const { client, server } = await api({ page: whole }, () => ({ body: [{ id: n++ }] }));
    const more: boolean[] = [];
    for await (const page of client.pages("list", {}, { maxPages: 4 })) more.push(page.more);
    expect(more).toEqual([true, true, true, true]);
    expect(server.seen).toHaveLength(4);
    const before = server.seen.length;
    for await (const page of client.pages("list", {})) if (page.number === 2) break;
    expect(server.seen.length - before).toBe(2);
  });

  test.each(["http://127.0.0.2:9/list", "//evil.example/list", "http://user:pass@127.0.0.1/"])(
    "no request goes to another origin: %s",
    async (next) => {
      const { client, server } = await api({}, () => ({ body: { items: [1], next } }));
      const results: unknown[] = [];
      for await (const page of client.pages("list", {})) results.push(page.result);
      expect(results).toMatchObject([
        { ok: true },
        { ok: false, error: { kind: "invalid-response", reason: "foreign-page" } },
      ]);
      expect(server.seen).toHaveLength(1);
    },
  );

  test("a key in the address of the next page is replaced, and not told", async () => {
    const { menu, server } = await api({}, (query, url) => ({
      body: { items: [1], next: query.has("page") ? null : url.replace("key=k1", "key=old&page=2") },
    }));
    const told: unknown[] = [];
    const client = createClient(menu, {
      baseUrl: server.url,
      credentials: () => "k1",
      onEvent: (event) => told.push(event),
    });
    for await (const page of client.pages("list", {})) expect(page.result.ok).toBe(true);
    expect(server.seen.map(({ url }) => url)).toEqual(["/list?key=k1", "/list?page=2&key=k1"]);
    expect(JSON.stringify(told)).not.toMatch(/k1|old/);
  });

  test("a failure is the last page", async () => {
    const { client } = await api({ page: whole }, () => ({ body: [1] }));
    const results: unknown[] = [];
    for await (const page of client.pages("list", { page: "one" })) results.push(page.result);
    for await (const page of client.pages("nothing", {})) results.push(page.result);
    expect(results).toMatchObject([
      { ok: false, error: { kind: "invalid-arguments", issues: [{ pointer: "/page" }] } },
      { ok: false, error: { kind: "invalid-arguments" } },
    ]);
  });
});

test.each([
  [
    [1, 2],
    [1, 2],
  ],
  [{ a: [1] }, [1]],
  [{ a: [1], items: [2], b: [3] }, [2]],
  [{ a: [1], b: [2] }, []],
  [{ a: 1 }, []],
  [null, []],
  ["text", []],
])("itemsIn(%j)", (data, want) => expect(itemsIn(data)).toEqual(want));
