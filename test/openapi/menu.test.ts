import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  buildRequest,
  buildToolMenu,
  createArgumentValidator,
  loadOpenApi,
  parseRequest,
} from "../../src/openapi/index.js";
import { documentOf, fixture, jsonBody, menuOf, toolOf } from "./fixtures.js";

const ok = { responses: { "200": { description: "ok" } } };

describe("names", () => {
  test.each([
    ["get", "/pets/{petId}", undefined, "getPetsByPetId"],
    ["get", "/", undefined, "getRoot"],
    ["post", "/v1/user-groups/{group_id}/members", undefined, "postV1UserGroupsByGroupIdMembers"],
    ["get", "/a", "repos/list-for-org", "repos_list-for-org"],
    ["get", "/a", "__proto__", "proto"],
    ["get", "/a", "Größe lesen", "Gro_e_lesen"],
  ])("%s %s (%s) -> %s", async (method, path, operationId, name) => {
    const tool = await toolOf({ ...(operationId === undefined ? {} : { operationId }) }, { method, path });
    expect(tool.name).toBe(name);
  });

  test("no change of order or addition renames another tool", async () => {
    const segment = fc.constantFrom("pets", "orders", "{id}", "a b", "ü", "x".repeat(80));
    const id = fc.constantFrom(undefined, "find pets", "find_pets", "get/x", "y".repeat(90));
    const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join("/")}`);
    const paths = fc.uniqueArray(fc.tuple(path, id), {
      selector: ([one]) => one,
      minLength: 2,
      maxLength: 8,
    });
    const build = async (entries: readonly (readonly [string, string | undefined])[]) => {
      const items = entries.map(([one, operationId]) => [
        one,
        { get: operationId === undefined ? ok : { ...ok, operationId } },
      ]);
      const { tools } = await menuOf({ ...documentOf(Object.fromEntries(items)), "x-fast": true });
      return new Map(tools.map((tool) => [tool.path, tool.name]));
    };
    await fc.assert(
      fc.asyncProperty(paths, async (entries) => {
        const names = await build(entries);
        expect(new Set(names.values()).size).toBe(entries.length);
        for (const name of names.values()) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
        expect(await build([...entries].reverse())).toEqual(names);
        const more = await build([...entries, ["/zzz/new", "zzzNew"]]);
        for (const [one, name] of names) expect(more.get(one)).toBe(name);
      }),
      { numRuns: 15 },
    );
  });
});

test("who has a name keeps it when another operation asks for it later", async () => {
  const build = async (...paths: [string, string?][]) => {
    const items = paths.map(([path, operationId]) => [
      path,
      { get: { ...ok, ...(operationId ? { operationId } : {}) } },
    ]);
    const { tools } = await menuOf(documentOf(Object.fromEntries(items)));
    return Object.fromEntries(tools.map(({ path, name }) => [path, name]));
  };
  const first = await build(["/orders", "listOrders"], ["/pets/{id}"], ["/a", "find"], ["/b", "find"]);
  expect(first).toMatchObject({ "/orders": "listOrders", "/pets/{id}": "getPetsById", "/a": "find" });
  const later = await build(
    ["/archive", "listOrders"],
    ["/b", "find"],
    ["/x", "getPetsById"],
    ["/orders", "listOrders"],
    ["/pets/{id}"],
    ["/a", "find"],
  );
  expect(later).toMatchObject(first);
  expect(new Set(Object.values(later)).size).toBe(6);
});

test("OpenAPI 3.2: QUERY, methods of one's own, the whole query string, media types by reference", async () => {
  const loaded = await loadOpenApi({
    openapi: "3.2.0",
    info: { title: "T", version: "1" },
    paths: {
      "/pets": {
        query: {
          ...ok,
          requestBody: { content: { "application/json": { $ref: "#/components/mediaTypes/Filter" } } },
        },
        additionalOperations: { COPY: { ...ok, operationId: "copyPets" } },
        get: {
          ...ok,
          parameters: [
            {
              name: "filter",
              in: "querystring",
              content: {
                "application/x-www-form-urlencoded": {
                  schema: { type: "object", properties: { tag: { type: "string" } } },
                },
              },
            },
          ],
        },
      },
    },
    components: {
      mediaTypes: { Filter: { schema: { type: "object", properties: { name: { type: "string" } } } } },
    },
  });
  expect(loaded.diagnostics).toEqual([]);
  const { tools } = buildToolMenu(loaded);
  expect(tools.map(({ method, name }) => [method, name])).toEqual([
    ["query", "queryPets"],
    ["get", "getPets"],
    ["copy", "copyPets"],
  ]);
  expect(Object.keys(tools[0]?.parameters.properties ?? {})).toEqual(["name"]);
  expect(tools[0]?.annotations.readOnly).toBe(true);
  expect(tools[1]?.bindings.filter).toEqual({ in: "query", name: "filter", style: "form", explode: true });
});

test("faults against the schema of OpenAPI 3.2", async () => {
  const { diagnostics } = await loadOpenApi({
    openapi: "3.2.0",
    info: { title: "T", version: "1" },
    paths: { "/pets": { query: { ...ok, parameters: 5 } } },
  });
  expect(diagnostics).toContainEqual(
    expect.objectContaining({ code: "document-invalid", pointer: "/paths/~1pets/query/parameters" }),
  );
});

describe("parameters", () => {
  test("names that meet are told apart, and the bindings say where each goes", async () => {
    const id = (place: string) => ({
      name: "id",
      in: place,
      required: place === "path",
      schema: { type: "string" },
    });
    const tool = await toolOf(
      {
        parameters: [id("path"), id("query"), id("header"), id("cookie")],
        ...jsonBody({
          type: "object",
          required: ["id"],
          properties: { id: { type: "integer" }, id_query: {} },
        }),
      },
      { path: "/orders/{id}" },
    );
    expect(Object.keys(tool.parameters.properties ?? {})).toEqual([
      "id",
      "id_query_2",
      "id_header",
      "id_cookie",
      "id_body",
      "id_query",
    ]);
    expect(tool.bindings.id_query_2).toMatchObject({ in: "query", name: "id" });
    expect(tool.body?.shape).toEqual({
      kind: "properties",
      properties: { id_body: "id", id_query: "id_query" },
    });
    expect(tool.parameters.required).toEqual(["id", "id_body"]);
  });

  test("a place in the path that nobody declared", async () => {
    const menu = await menuOf(
      documentOf({
        "/a/{x}/{petID}": {
          get: {
            ...ok,
            parameters: [{ name: "petId", in: "path", required: true, schema: { type: "integer" } }],
          },
        },
      }),
    );
    expect(menu.tools[0]?.parameters).toMatchObject({
      properties: { petId: { type: "integer" }, x: { type: "string" } },
      required: ["petId", "x"],
    });
    expect(menu.tools[0]?.bindings.petId?.name).toBe("petID");
    expect(menu.diagnostics.map(({ code }) => code)).toContain("path-parameter-undeclared");
  });

  test("the operation's parameter wins over its path's", async () => {
    const limit = (type: string) => ({ name: "limit", in: "query", schema: { type } });
    const menu = await menuOf(
      documentOf({
        "/a": {
          parameters: [limit("string"), { name: "q", in: "query", schema: {} }],
          get: { ...ok, parameters: [limit("integer")] },
        },
      }),
    );
    expect(menu.tools[0]?.parameters.properties).toMatchObject({ limit: { type: "integer" }, q: {} });
  });

  test("headers that the specification ignores are there, and no call needs them", async () => {
    const header = (name: string) => ({ name, in: "header", required: true, schema: { type: "string" } });
    const tool = await toolOf({
      parameters: ["Accept", "content-type", "Authorization", "X-Trace"].map(header),
    });
    expect(Object.keys(tool.bindings)).toEqual(["Accept", "content-type", "Authorization", "X-Trace"]);
    expect(tool.parameters.required).toEqual(["X-Trace"]);
    const request = buildRequest(tool, { "X-Trace": "t" });
    expect(request.headers).toEqual({ "X-Trace": "t" });
    const headers = { ...request.headers, accept: "*/*" };
    expect(parseRequest(tool, { ...request, headers })).toEqual({ "X-Trace": "t" });
  });

  test("collectionFormat of 2.0", async () => {
    const list = (name: string, collectionFormat?: string) => ({
      name,
      in: "query",
      type: "array",
      items: { type: "string" },
      collectionFormat,
    });
    const menu = await menuOf({
      swagger: "2.0",
      info: { title: "T", version: "1" },
      paths: {
        "/a": {
          get: {
            ...ok,
            parameters: [
              list("a"),
              list("b", "multi"),
              list("c", "pipes"),
              list("d", "ssv"),
              list("e", "tsv"),
            ],
          },
        },
      },
    });
    expect(
      Object.values(menu.tools[0]?.bindings ?? {}).map(({ style, explode }) => [style, explode]),
    ).toEqual([
      ["form", false],
      ["form", true],
      ["pipeDelimited", false],
      ["spaceDelimited", false],
      ["tabDelimited", false],
    ]);
  });
});

describe("bodies", () => {
  test("properties through allOf and references, readOnly left out with its requirement", async () => {
    const tool = await toolOf(
      jsonBody({
        allOf: [
          { $ref: "#/components/schemas/Base" },
          { required: ["id", "name"], properties: { name: { type: "string" } } },
        ],
      }),
      {
        rest: {
          components: {
            schemas: {
              Base: {
                type: "object",
                properties: {
                  id: { type: "integer", readOnly: true },
                  tag: { $ref: "#/components/schemas/Tag" },
                },
              },
              Tag: { type: "string" },
            },
          },
        },
      },
    );
    expect(tool.parameters).toEqual({
      type: "object",
      properties: { name: { type: "string" }, tag: { $ref: "#/$defs/Tag" } },
      required: ["name"],
      additionalProperties: false,
      $defs: { Tag: { type: "string" } },
    });
  });

  test.each<[string, object, object]>([
    [
      "an array",
      { type: "array", items: { type: "integer" } },
      { type: "array", items: { type: "integer" } },
    ],
    ["text", { type: "string" }, { type: "string" }],
    [
      "a map",
      { type: "object", additionalProperties: { type: "integer" } },
      { type: "object", additionalProperties: { type: "integer" } },
    ],
    [
      "a choice",
      { oneOf: [{ type: "object", properties: { a: {} } }, { type: "string" }] },
      { oneOf: [{ type: "object", properties: { a: {} } }, { type: "string" }] },
    ],
  ])("%s is one argument", async (_, schema, argument) => {
    const tool = await toolOf(jsonBody(schema, { required: true }));
    expect(tool.body?.shape).toEqual({ kind: "whole", argument: "body" });
    expect(tool.parameters.properties).toEqual({ body: argument });
    expect(tool.parameters.required).toEqual(["body"]);
  });

  test("a body that may be left out is complete when it is there", async () => {
    const schema = {
      type: "object",
      required: ["a"],
      properties: { a: { type: "integer" }, b: { type: "integer" } },
    };
    const tool = await toolOf(jsonBody(schema, { required: false }));
    const check = createArgumentValidator();
    expect(check.validate(tool, {}).ok).toBe(true);
    expect(check.validate(tool, { b: 1 }).ok).toBe(false);
    expect(check.validate(tool, { a: 1, b: 1 }).ok).toBe(true);
  });

  test("a choice beside properties keeps its arguments and its condition", async () => {
    const schema = {
      type: "object",
      properties: { kind: { type: "string" } },
      anyOf: [
        { required: ["email"], properties: { email: { type: "string" } } },
        { required: ["phone"], properties: { phone: { type: "string" } } },
      ],
    };
    const tool = await toolOf(jsonBody(schema, { required: true }));
    expect(Object.keys(tool.parameters.properties ?? {})).toEqual(["kind", "email", "phone"]);
    const check = createArgumentValidator();
    expect(check.validate(tool, { kind: "x" }).ok).toBe(false);
    expect(check.validate(tool, { phone: "1" }).ok).toBe(true);
  });

  test("form data with a file", async () => {
    const menu = await menuOf(fixture("specs/petstore-2.0.json"));
    const upload = menu.tools.find(({ name }) => name === "uploadFile");
    expect(upload?.body?.mediaType).toBe("multipart/form-data");
    expect(upload?.parameters.properties?.file).toMatchObject({ type: "string", format: "binary" });
  });
});

describe("schemas", () => {
  const property = async (schema: object) =>
    (await toolOf(jsonBody({ type: "object", properties: { x: schema } }))).parameters.properties?.x;

  test.each<[string, object, object]>([
    ["nullable", { type: "string", nullable: true }, { type: ["string", "null"] }],
    [
      "nullable enum",
      { type: "string", nullable: true, enum: ["a"] },
      { type: ["string", "null"], enum: ["a", null] },
    ],
    [
      "nullable choice",
      { nullable: true, description: "D", allOf: [{ type: "string" }] },
      { description: "D", anyOf: [{ allOf: [{ type: "string" }] }, { type: "null" }] },
    ],
    [
      "exclusive bound",
      { type: "number", minimum: 1, exclusiveMinimum: true },
      { type: "number", exclusiveMinimum: 1 },
    ],
    [
      "inclusive bound",
      { type: "number", maximum: 1, exclusiveMaximum: false },
      { type: "number", maximum: 1 },
    ],
    ["example", { type: "string", example: "a" }, { type: "string", examples: ["a"] }],
    ["unknown type", { type: "int" }, { type: "integer" }],
    [
      "needless escape",
      { type: "string", pattern: "^[\\w\\-]+\\@x$" },
      { type: "string", pattern: "^[\\w\\-]+@x$" },
    ],
    ["hopeless pattern", { type: "string", pattern: "(" }, { type: "string" }],
    [
      "enum of another type",
      { type: "string", enum: [1, true, "a"] },
      { type: "string", enum: ["1", "true", "a"] },
    ],
    [
      "enum meant for items",
      { type: "array", items: { type: "string" }, enum: ["a"] },
      { type: "array", items: { type: "string", enum: ["a"] } },
    ],
    [
      "numbers as text",
      { type: "string", maxLength: "10", minLength: -1 },
      { type: "string", maxLength: 10 },
    ],
    [
      "discriminator",
      { type: "object", discriminator: "kind", properties: {} },
      { type: "object", discriminator: { propertyName: "kind" }, properties: {} },
    ],
  ])("%s", async (_, given, want) => {
    expect(await property(given)).toEqual(want);
  });

  test("a cycle stays a reference", async () => {
    const menu = await menuOf(fixture("specs-bad/tree-schema.yaml"));
    const { parameters } = menu.tools[0] ?? {};
    expect(parameters).toMatchObject({
      required: ["title"],
      properties: { parent: { $ref: "#/$defs/Category" }, children: { items: { $ref: "#/$defs/Category" } } },
      $defs: { Category: { properties: { parent: { $ref: "#/$defs/Category" } } } },
    });
  });

  test("a schema that is only itself does not make the validator run for ever", async () => {
    const tool = await toolOf(
      jsonBody({ type: "object", properties: { x: { $ref: "#/components/schemas/A" } } }),
      {
        rest: {
          components: {
            schemas: {
              A: { allOf: [{ $ref: "#/components/schemas/B" }] },
              B: { anyOf: [{ $ref: "#/components/schemas/A" }, { type: "string" }] },
            },
          },
        },
      },
    );
    expect(createArgumentValidator().validate(tool, { x: "a" }).ok).toBe(true);
    expect(createArgumentValidator().validate(tool, { x: 1 }).ok).toBe(false);
  });

  test("only definitions that are reached, and each direction has its own", async () => {
    const rest = {
      components: {
        schemas: {
          Item: {
            type: "object",
            properties: {
              id: { type: "integer", readOnly: true },
              secret: { type: "string", writeOnly: true },
              name: {},
            },
          },
          Unused: { type: "string" },
        },
      },
    };
    const item = { $ref: "#/components/schemas/Item" };
    const tool = await toolOf(
      {
        ...jsonBody({ type: "array", items: item }),
        responses: { "200": { description: "ok", content: { "application/json": { schema: item } } } },
      },
      { rest },
    );
    expect(tool.parameters.$defs).toEqual({
      Item: { type: "object", properties: { secret: { type: "string", writeOnly: true }, name: {} } },
    });
    expect(tool.responses["200"]?.schema?.$defs).toEqual({
      Item: { type: "object", properties: { id: { type: "integer", readOnly: true }, name: {} } },
    });
  });
});

test("each tool has exactly the definitions that it reaches", async () => {
  const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
  const link = (...names: string[]) => ({
    type: "object",
    properties: Object.fromEntries(names.map((name) => [name, ref(name)])),
  });
  const post = (...names: string[]) => ({ post: { ...ok, ...jsonBody(link(...names)) } });
  const menu = await menuOf(
    documentOf(
      { "/a": post("A"), "/b": post("B"), "/c": post("C"), "/d": post("D", "B"), "/e": post("E") },
      {
        components: {
          schemas: { A: link("B"), B: link("C"), C: link("B"), D: { type: "string" }, E: link("A", "D") },
        },
      },
    ),
  );
  expect(menu.tools.map(({ parameters }) => Object.keys(parameters.$defs ?? {}).join(""))).toEqual([
    "ABC",
    "BC",
    "BC",
    "BCD",
    "ABCDE",
  ]);
});

test("domains, annotations, servers and security", async () => {
  const menu = await menuOf({
    ...documentOf({
      "/api/v2/pets": { get: { ...ok, tags: ["Animals"] }, delete: { ...ok, security: [] } },
      "/api/v2/stores/{id}": {
        get: {
          ...ok,
          servers: [
            {
              url: "https://{region}.example.com",
              variables: { region: { default: "eu", enum: ["eu", "us"] } },
            },
          ],
        },
      },
    }),
    tags: [{ name: "Animals", description: "All animals" }],
    servers: [{ url: "https://example.com" }],
    security: [{ key: [] }],
  });
  expect(menu.domains).toEqual([
    { name: "Animals", description: "All animals", tools: ["getApiV2Pets"] },
    { name: "pets", description: "", tools: ["deleteApiV2Pets"] },
    { name: "stores", description: "", tools: ["getApiV2StoresById"] },
  ]);
  const [list, remove, store] = menu.tools;
  expect(list?.annotations).toEqual({ readOnly: true, destructive: false, idempotent: true });
  expect(remove?.annotations).toEqual({ readOnly: false, destructive: true, idempotent: true });
  expect(list?.security).toEqual([{ key: [] }]);
  expect(remove?.security).toEqual([]);
  expect(store?.servers).toEqual([
    { url: "https://{region}.example.com", variables: { region: { default: "eu", enum: ["eu", "us"] } } },
  ]);
});
