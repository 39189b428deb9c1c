import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { buildToolMenu, loadOpenApi } from "../../src/openapi/index.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { documentOf, fixture, menuOf } from "./fixtures.js";

const ok = { responses: { "200": { description: "ok" } } };
const minimal = documentOf({ "/orders": { get: { operationId: "listOrders", ...ok } } });

async function failure(input: Parameters<typeof loadOpenApi>[0]): Promise<SpecdojoError> {
  const error = await loadOpenApi(input).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!SpecdojoError.isInstance(error)) throw new Error(`expected a SpecdojoError, got ${String(error)}`);
  return error;
}

describe("input", () => {
  const text = JSON.stringify(minimal);
  const folder = mkdtempSync(join(tmpdir(), "specdojo-"));
  const file = join(folder, "api.json");
  writeFileSync(file, text);
  writeFileSync(`${file}.gz`, gzipSync(text));
  test.each([
    ["an object", minimal],
    ["JSON text", text],
    [
      "one-line YAML",
      `{openapi: 3.0.3, info: {title: T, version: "1"}, paths: {/orders: {get: {operationId: listOrders}}}}`,
    ],
    ["text with a byte order mark", `\uFEFF${text}`],
    ["bytes", new TextEncoder().encode(text)],
    ["UTF-16 bytes", new Uint8Array(Buffer.from(`\uFEFF${text}`, "utf16le"))],
    ["gzip bytes", new Uint8Array(gzipSync(text))],
    ["a path", file],
    ["a gzip file", `${file}.gz`],
    ["a file URL", new URL(`file://${file}`)],
  ])("%s", async (_, input) => {
    const menu = buildToolMenu(await loadOpenApi(input));
    expect(menu.tools.map(({ name }) => name)).toEqual(["listOrders"]);
  });

  test("an object is not changed, and not shared", async () => {
    const document = documentOf({ "/orders": { get: { ...ok, parameters: [{ $ref: "Gone" }] } } });
    const before = structuredClone(document);
    const loaded = await loadOpenApi(Object.freeze(document)).catch(() => undefined);
    expect(document).toEqual(before);
    expect(loaded?.document).not.toBe(document);
  });

  test("a frozen document loads", async () => {
    const freeze = (value: unknown): unknown => {
      if (typeof value === "object" && value !== null) Object.values(Object.freeze(value)).forEach(freeze);
      return value;
    };
    expect((await menuOf(freeze(structuredClone(minimal)) as object)).tools).toHaveLength(1);
  });
});

describe("refusals", () => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghij"
    .split("")
    .map((key, i) => `${key}: &${key} [${`*${"abcdefghij"[i]},`.repeat(9)}]`)
    .join("\n")}\nopenapi: 3.0.3\npaths: {}\n`;
  const cyclic: Record<string, unknown> = { ...minimal };
  cyclic.self = cyclic;
  test.each<[string, Parameters<typeof loadOpenApi>[0], RegExp]>([
    ["missing file", "/no/such/file.yaml", /no file/],
    ["folder", tmpdir(), /not a regular file/],
    ["address of nothing", "http://127.0.0.1:1/openapi.json", /cannot be downloaded/],
    ["address of no kind", "http://", /cannot be understood/],
    ["empty", "", /empty/],
    ["HTML", "<!doctype html>\n<html></html>", /HTML/],
    ["broken JSON", '{"openapi": "3.0.3",\n "paths": {', /JSON cannot be parsed/],
    ["broken YAML", fixture("specs-bad/bad-yaml-unclosed-quote.yaml"), /YAML cannot be parsed: line \d+/],
    ["a list", "[1, 2]", /not an object/],
    ["not UTF-8", new Uint8Array([0x6f, 0xff, 0xfe, 0xc3, 0x28]), /not UTF-8/],
    ["damaged gzip", new Uint8Array([0x1f, 0x8b, 8, 0, 1, 2, 3]), /damaged gzip/],
    ["Swagger 1", fixture("specs-bad/openapi-1.0.yaml"), /not supported.*Supported are/],
    ["OpenAPI 4", { openapi: "4.0.0", paths: {} }, /"4.0.0" is not supported/],
    ["Postman", { info: { _postman_id: "1", schema: "" }, item: [] }, /Postman/],
    ["AsyncAPI", { asyncapi: "2.6.0", channels: {} }, /AsyncAPI/],
    ["no paths", { openapi: "3.0.3", info: {} }, /no `paths`/],
    ["no operations", documentOf({}), /no operations/],
    ["file reference", fixture("specs-bad/ref-to-local-file.json"), /leaves the document/],
    ["alias bomb", bomb, /aliases/],
    ["cyclic object", cyclic, /contains itself/],
    ["deep YAML", `openapi: ${"[".repeat(20_000)}\n`, /nested (too deep|more than)|cannot be parsed/],
    ["deep JSON", `{"openapi":"3.0.3","x":${"[".repeat(30_000)}${"]".repeat(30_000)}}`, /nested more than/],
  ])("%s", async (_, input, message) => {
    const error = await failure(input);
    expect(error.message).toMatch(message);
    expect(error.remedy).toBeTruthy();
  });

  test("a gzip bomb stops at the limit", async () => {
    const bytes = new Uint8Array(gzipSync(Buffer.alloc(140 * 1024 * 1024, " ")));
    expect((await failure(bytes)).code).toBe("document-too-large");
  });

  test("all reasons in one error", async () => {
    const external = { get: { ...ok, parameters: [{ $ref: "http://127.0.0.1:9/p.yaml" }] } };
    const { message } = await failure(documentOf({ "/a": external, "/b": { $ref: "./b.yaml" } }));
    expect(message).toContain("http://127.0.0.1:9/p.yaml");
    expect(message).toContain("./b.yaml");
  });
});

describe("faults that do not cost the document", () => {
  const codes = (menu: { diagnostics: { code: string }[] }) => menu.diagnostics.map(({ code }) => code);

  test("an operation with an external reference is left out, the others stay", async () => {
    const menu = await menuOf(
      documentOf({
        "/a": { get: { operationId: "a", parameters: [{ $ref: "file:///etc/hosts" }], ...ok } },
        "/b": { get: { operationId: "b", ...ok } },
      }),
    );
    expect(menu.tools.map(({ name }) => name)).toEqual(["b"]);
    expect(codes(menu)).toContain("external-reference");
  });

  test("unresolved references are named with their place", async () => {
    const menu = await menuOf(fixture("specs-bad/missing-response-ref.yaml"));
    expect(menu.tools).toHaveLength(1);
    const found = menu.diagnostics.filter(({ code }) => code === "unresolved-reference");
    expect(found.map(({ pointer }) => pointer)).toEqual([
      "/paths/~1orders/post/requestBody",
      "/paths/~1orders/post/responses/201",
    ]);
  });

  test("a duplicate YAML key is a warning with its line", async () => {
    const text = `${readFileSync(fixture("specs-bad/tree-schema.yaml"), "utf8")}    Other: {type: string}\n    Other: {type: integer}\n`;
    const menu = await menuOf(text);
    const found = menu.diagnostics.find(({ code }) => code === "duplicate-key");
    expect(found).toMatchObject({ severity: "warning", pointer: "/components/schemas/Other" });
    expect(found?.message).toMatch(/line \d+/);
  });

  test("the same operationId twice", async () => {
    const menu = await menuOf(fixture("specs-bad/two-same-operation-ids.yaml"));
    expect(new Set(menu.tools.map(({ name }) => name)).size).toBe(2);
    expect(codes(menu)).toContain("duplicate-operation-id");
  });

  test("a hostile operationId", async () => {
    const menu = await menuOf(fixture("specs-bad/operation-id-quote.json"));
    expect(menu.tools[0]?.name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
  });

  test("keys of the prototype are inert", async () => {
    const menu = await menuOf(fixture("specs-bad/property-named-proto.json"));
    expect(Object.keys(menu.tools[0]?.parameters.properties ?? {})).toEqual(["valueOf", "total"]);
    expect(Reflect.ownKeys(Object.prototype)).not.toContain("type");
    expect(codes(menu)).toContain("forbidden-key");
  });

  test("nesting beyond reason costs only the schema", async () => {
    let schema: object = { type: "string" };
    for (let i = 0; i < 3_000; i++) schema = { type: "array", items: schema };
    const menu = await menuOf(
      documentOf({
        "/deep": { post: { ...ok, requestBody: { content: { "application/json": { schema } } } } },
        "/flat": { get: ok },
      }),
    );
    expect(menu.tools).toHaveLength(2);
    expect(codes(menu)).toContain("schema-too-deep");
  });

  test("faults against the official schema", async () => {
    const loaded = await loadOpenApi({
      ...documentOf({ "/a": { get: ok } }),
      info: { title: 5, version: 1 },
    });
    expect(loaded.diagnostics).toContainEqual(
      expect.objectContaining({ code: "document-invalid", pointer: "/info/title" }),
    );
  });

  test.each([
    [
      "openapi: 3.0",
      'openapi: 3.0\ninfo: {title: T, version: "1"}\npaths: {/a: {get: {responses: {}}}}\n',
      "3.0",
    ],
    [
      "swagger: 2.0",
      'swagger: 2.0\ninfo: {title: T, version: "1"}\npaths: {/a: {get: {responses: {}}}}\n',
      "2.0",
    ],
    ["3.2.0", 'openapi: 3.2.0\ninfo: {title: T, version: "1"}\npaths: {/a: {get: {responses: {}}}}\n', "3.2"],
    [
      "3.0.99",
      'openapi: 3.0.99\ninfo: {title: T, version: "1"}\npaths: {/a: {get: {responses: {}}}}\n',
      "3.0",
    ],
  ])("version %s", async (_, text, version) => {
    expect((await loadOpenApi(text)).version).toBe(version);
  });
});
