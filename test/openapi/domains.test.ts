import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fits } from "../../src/openapi/glob.js";
import {
  buildToolMenu,
  drawMenu,
  loadOpenApi,
  type MenuOptions,
  type ToolMenu,
} from "../../src/openapi/index.js";
import { documentOf, fixture, menuOf } from "./fixtures.js";

const ok = { responses: { "200": { description: "ok" } } };
const shop = {
  "/v1/orders": { get: { ...ok, operationId: "listOrders", tags: ["orders"] } },
  "/v1/orders/{id}": {
    get: { ...ok, operationId: "getOrder", tags: ["orders", "read"] },
    delete: { ...ok, operationId: "deleteOrder", tags: ["orders"] },
  },
  "/v1/orders/{id}/items": { get: { ...ok, operationId: "listItems", tags: ["orders"] } },
  "/v1/invoices": { post: { ...ok, operationId: "createInvoice", tags: ["invoices"] } },
  "/v1/admin/users/{id}/cancel": { post: { ...ok, operationId: "cancelUser" } },
};
const tags = [
  { name: "orders", description: "What was ordered" },
  { name: "invoices", description: "" },
];

async function build(options: MenuOptions, rest: object = {}): Promise<ToolMenu> {
  return buildToolMenu(await loadOpenApi(documentOf(shop, { tags, ...rest }), { validate: false }), options);
}
const byDomain = (menu: ToolMenu) => Object.fromEntries(menu.domains.map(({ name, tools }) => [name, tools]));

const orders = ["listOrders", "getOrder", "deleteOrder", "listItems"];

describe("options", () => {
  test.each<[string, MenuOptions, Record<string, string[]>]>([
    ["nothing", {}, { orders, invoices: ["createInvoice"], admin: ["cancelUser"] }],
    ["by tag", { include: { tags: ["read"] } }, { orders: ["getOrder"] }],
    ["by path", { include: { paths: ["/v1/orders/*"] } }, { orders: orders.slice(1) }],
    ["by method", { include: { methods: ["POST"] } }, { invoices: ["createInvoice"], admin: ["cancelUser"] }],
    [
      "by name",
      { include: { names: ["list*", "getorder"] } },
      { orders: ["listOrders", "getOrder", "listItems"] },
    ],
    ["all criteria count", { include: { names: ["list*"], paths: ["*/items"] } }, { orders: ["listItems"] }],
    [
      "exclude",
      { exclude: { methods: ["delete", "post"] } },
      { orders: ["listOrders", "getOrder", "listItems"] },
    ],
    [
      "an empty filter excludes nothing",
      { exclude: {}, include: { tags: ["read"] } },
      { orders: ["getOrder"] },
    ],
    ["include domains", { domains: { include: ["inv*"] } }, { invoices: ["createInvoice"] }],
    ["exclude domains", { domains: { exclude: ["orders", "admin"] } }, { invoices: ["createInvoice"] }],
    [
      "rename",
      { domains: { rename: { admin: "People" } } },
      { orders, invoices: ["createInvoice"], People: ["cancelUser"] },
    ],
    [
      "merge",
      { domains: { merge: { Trade: ["orders", "invoices"] } } },
      { Trade: [...orders, "createInvoice"], admin: ["cancelUser"] },
    ],
    [
      "split by filters",
      { domains: { split: { orders: { Items: { paths: ["*/items"] } } }, include: ["orders", "Items"] } },
      { orders: ["listOrders", "getOrder", "deleteOrder"], Items: ["listItems"] },
    ],
    [
      "split by path",
      { domains: { split: { orders: "path" }, exclude: ["invoices", "admin"] } },
      { orders: ["listOrders", "getOrder", "deleteOrder"], "orders/items": ["listItems"] },
    ],
    [
      "in order: split, merge, rename, include",
      {
        domains: {
          split: { orders: { Items: { names: ["listItems"] } } },
          merge: { Rest: ["Items", "invoices"] },
          rename: { Rest: "Others" },
          include: ["Others"],
        },
      },
      { Others: ["listItems", "createInvoice"] },
    ],
  ])("%s", async (_, options, want) => {
    expect(byDomain(await build(options))).toEqual(want);
  });

  test("names do not depend on filters, and descriptions go along", async () => {
    const menu = await build({
      domains: { merge: { Trade: ["orders", "invoices"] }, rename: { Trade: "Shop" } },
    });
    expect(menu.domains[0]).toMatchObject({ name: "Shop", description: "What was ordered" });
    const twice = { ...ok, operationId: "same" };
    const both = await menuOf(documentOf({ "/a": { get: twice }, "/b": { get: twice } }));
    const one = buildToolMenu(
      await loadOpenApi(documentOf({ "/a": { get: twice }, "/b": { get: twice } }), { validate: false }),
      { include: { paths: ["/b"] } },
    );
    expect(one.tools.map(({ name }) => name)).toEqual([both.tools[1]?.name]);
  });

  test("weights", async () => {
    const menu = await build({
      domains: { rename: { orders: "Orders" }, weights: { Orders: 2, invoices: 1 } },
    });
    expect(menu.domains.map(({ name, weight }) => [name, weight])).toEqual([
      ["Orders", 2],
      ["invoices", undefined],
      ["admin", undefined],
    ]);
  });

  test.each<[string, unknown, RegExp]>([
    ["an unknown domain", { domains: { rename: { order: "x" } } }, /No domain is called "order"/],
    ["a pattern without a match", { domains: { exclude: ["x*"] } }, /No domain is called "x\*"/],
    ["an unknown option", { domain: {} }, /Unrecognized key/],
    ["a negative weight", { domains: { weights: { orders: -1 } } }, /not valid/],
    ["nothing left", { include: { names: ["nope"] } }, /No operation of the document is left/],
  ])("%s is refused", async (_, options, message) => {
    await expect(build(options as MenuOptions)).rejects.toThrowError(message);
  });
});

describe("x-specdojo", () => {
  test("in the document, then the options", async () => {
    const extension = {
      exclude: { names: ["listItems"] },
      domains: { rename: { admin: "People" }, weights: { People: 3 } },
    };
    const menu = await build(
      { domains: { merge: { Work: ["People", "invoices"] } } },
      { "x-specdojo": extension },
    );
    expect(byDomain(menu)).toEqual({
      orders: ["listOrders", "getOrder", "deleteOrder"],
      Work: ["createInvoice", "cancelUser"],
    });
    expect(menu.domains.find(({ name }) => name === "Work")?.weight).toBe(3);
  });

  test("of a path and of an operation", async () => {
    const menu = await menuOf(
      documentOf({
        "/a": {
          "x-specdojo": { domain: "A" },
          get: { ...ok, operationId: "one" },
          post: { ...ok, operationId: "two", "x-specdojo": { domain: "B", destructive: true } },
        },
        "/b": { get: { ...ok, operationId: "three", "x-specdojo": { exclude: true } } },
      }),
    );
    expect(byDomain(menu)).toEqual({ A: ["one"], B: ["two"] });
    expect(menu.tools[1]?.annotations).toEqual({ readOnly: false, destructive: true, idempotent: false });
  });

  test("mistakes cost their own entry only", async () => {
    const extension = {
      include: { tag: ["x"] },
      exclude: { names: ["listItems"] },
      domains: { rename: { nobody: "x" } },
    };
    const menu = await build({}, { "x-specdojo": extension });
    expect(menu.tools).toHaveLength(5);
    const found = menu.diagnostics.filter(({ code }) => code.startsWith("x-specdojo"));
    expect(found.map(({ code, pointer, severity }) => [code, pointer, severity])).toEqual([
      ["x-specdojo-invalid", "/x-specdojo/include", "warning"],
      ["x-specdojo-unknown-domain", "/x-specdojo/domains/rename", "warning"],
    ]);
  });
});

describe("annotations", () => {
  const of = async (method: string, operation: object, options: MenuOptions = {}, path = "/things/{id}") => {
    const document = documentOf({ [path]: { [method]: { ...ok, ...operation } } });
    const menu = buildToolMenu(await loadOpenApi(document, { validate: false }), options);
    const { readOnly, destructive, idempotent } = menu.tools[0]?.annotations ?? {};
    return `${readOnly ? "r" : ""}${destructive ? "d" : ""}${idempotent ? "i" : ""}`;
  };
  const all = (more: object): MenuOptions => ({ annotations: [{ tools: { names: ["*"] }, ...more }] });

  test.each<[string, string, object, MenuOptions, string]>([
    ["GET reads", "get", {}, {}, "ri"],
    ["POST", "post", {}, {}, ""],
    ["PUT", "put", {}, {}, "i"],
    ["DELETE", "delete", {}, {}, "di"],
    ["a name that destroys", "post", { operationId: "cancelThing" }, {}, "d"],
    ["even of a GET", "get", { operationId: "delete_thing" }, {}, "d"],
    ["but not a name that only looks so", "post", { operationId: "cancellationPolicy" }, {}, ""],
    ["nor what lists the deleted", "get", { operationId: "deletedThings" }, {}, "ri"],
    ["the document may warn", "get", { "x-specdojo": { readOnly: false } }, {}, "i"],
    ["but not play down", "delete", { "x-specdojo": { readOnly: true, destructive: false } }, {}, "di"],
    ["the user may do both", "post", {}, all({ readOnly: true }), "ri"],
    ["the user may do both", "get", {}, all({ destructive: true }), "di"],
  ])("%s", async (_, method, operation, options, want) => {
    expect(await of(method, operation, options)).toBe(want);
  });

  test("the last part of a path", async () => {
    expect(await of("post", {}, {}, "/things/{id}/revoke")).toBe("d");
    expect(await of("get", {}, {}, "/things/{id}/reset")).toBe("ri");
  });
});

test("patterns", () => {
  const char = fc.constantFrom("a", "b", "*", "A");
  fc.assert(
    fc.property(fc.array(char), fc.array(fc.constantFrom("a", "b", "B")), (pattern, text) => {
      const wanted = new RegExp(`^${pattern.join("").replaceAll("*", ".*")}$`, "i").test(text.join(""));
      expect(fits(pattern.join(""), text.join(""))).toBe(wanted);
    }),
  );
  // A regular expression would need years for this.
  expect(fits("*a".repeat(2_000), `${"a".repeat(20_000)}b`)).toBe(false);
});

describe("a drawn menu", () => {
  test("has tools of the domain and their neighbours, and depends on the seed alone", async () => {
    const menu = await menuOf(fixture("specs/petstore-3.0.yaml"));
    const draws = Array.from({ length: 20 }, (_, seed) =>
      drawMenu(menu, { domain: "pet", size: 6, distractors: 3, seed }),
    );
    for (const [seed, draw] of draws.entries()) {
      expect(draw.tools).toHaveLength(6);
      expect(new Set(draw.tools).size).toBe(6);
      expect(draw.drawn).toHaveLength(3);
      for (const name of draw.drawn)
        expect(draw.tools.find((tool) => tool.name === name)?.domain).toBe("pet");
      expect(draw.domains.flatMap(({ tools }) => tools).sort()).toEqual(
        draw.tools.map(({ name }) => name).sort(),
      );
      expect(drawMenu(menu, { domain: "pet", size: 6, distractors: 3, seed })).toEqual(draw);
    }
    expect(new Set(draws.map(({ tools }) => tools.map(({ name }) => name).join())).size).toBeGreaterThan(15);
  });

  test("distractors are near", async () => {
    const menu = await menuOf(fixture("specs/petstore-3.0.yaml"));
    const inDomain = (near: number) =>
      Array.from({ length: 30 }, (_, seed) =>
        drawMenu(menu, { domain: "user", size: 5, distractors: 4, near, seed }),
      )
        .flatMap(({ tools, drawn }) => tools.filter(({ name }) => !drawn.includes(name)))
        .filter(({ domain }) => domain === "user").length;
    expect(inDomain(1)).toBeGreaterThan(inDomain(0));
  });

  test("small domains and small menus are filled as far as they go", async () => {
    const menu = await build({});
    const draw = drawMenu(menu, { domain: "invoices", size: 4, distractors: 0 });
    expect(draw.drawn).toEqual(["createInvoice"]);
    expect(draw.tools).toHaveLength(4);
    expect(drawMenu(menu, { size: 50 }).tools).toHaveLength(6);
  });

  test.each<[string, object]>([
    ["domain", { domain: "nope", size: 3 }],
    ["size", { size: 0 }],
    ["distractors", { size: 3, distractors: 3 }],
    ["near", { size: 3, near: 2 }],
  ])("%s is checked", async (option, options) => {
    const menu = await build({});
    expect(() => drawMenu(menu, options as never)).toThrowError(new RegExp(`^${option} cannot be`));
  });
});
