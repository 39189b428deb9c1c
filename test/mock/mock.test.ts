import { basename } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { createMock, type Mock, type MockOptions } from "../../src/mock/index.js";
import { mockOperations } from "../../src/mock/operations.js";
import { createExampleSampler } from "../../src/mock/sample.js";
import { createArgumentValidator } from "../../src/openapi/index.js";
import type { JsonObject } from "../../src/util/json.js";
import { createRandom } from "../../src/util/random.js";
import { documentOf, mockOf, sampleDocuments } from "./helpers.js";

const pet = {
  type: "object",
  required: ["id", "name"],
  properties: {
    id: { type: "integer", minimum: 1 },
    name: { type: "string", minLength: 1 },
    tag: { type: "string" },
  },
};
const json = (schema: object, more: object = {}) => ({ "application/json": { schema, ...more } });
const id = { name: "petId", in: "path", required: true, schema: { type: "integer" } };
const newPet = {
  type: "object",
  required: ["name"],
  properties: { name: { type: "string" }, tag: { type: "string" } },
};
const shop = {
  servers: [{ url: "https://{region}.example.com/v1", variables: { region: { default: "eu" } } }],
  paths: {
    "/pets": {
      get: {
        operationId: "listPets",
        parameters: [
          { name: "limit", in: "query", schema: { type: "integer", maximum: 50 } },
          { name: "X-Trace", in: "header", schema: { type: "string", pattern: "^[a-z]+$" } },
          { name: "sid", in: "cookie", schema: { type: "integer" } },
        ],
        responses: { "200": { description: "", content: json({ type: "array", items: pet }) } },
      },
      post: {
        operationId: "addPet",
        requestBody: { required: true, content: json(newPet) },
        responses: {
          "201": {
            description: "",
            headers: { Location: { schema: { type: "string" } } },
            content: json(pet),
          },
        },
      },
    },
    "/pets/{petId}": {
      get: {
        operationId: "getPet",
        parameters: [id],
        responses: {
          "200": { description: "", content: json(pet) },
          "404": {
            description: "",
            content: json({ type: "object", properties: { reason: { const: "gone" } } }),
          },
        },
      },
      patch: {
        operationId: "updatePet",
        parameters: [id],
        requestBody: { content: json({ ...newPet, required: [] }) },
        responses: { "200": { description: "", content: json(pet) } },
      },
      put: {
        operationId: "replacePet",
        parameters: [id],
        requestBody: { required: true, content: json(newPet) },
        responses: { "200": { description: "", content: json(pet) } },
      },
      delete: { operationId: "removePet", parameters: [id], responses: { "204": { description: "" } } },
    },
    "/pets/count": {
      get: {
        operationId: "countPets",
        responses: { "200": { description: "", content: json({ const: 7 }) } },
      },
    },
    "/report": {
      get: {
        operationId: "report",
        responses: {
          "200": {
            description: "",
            headers: { "X-Total": { schema: { type: "integer", minimum: 3, maximum: 3 } } },
            content: {
              "text/csv": { schema: { type: "string" }, example: "a,b" },
              "application/json": {
                schema: { type: "object", required: ["n"], properties: { n: { type: "integer" } } },
                examples: { bad: { value: { n: "x" } }, one: { value: { n: 1 } }, two: { value: { n: 2 } } },
              },
            },
          },
        },
      },
    },
  },
};

async function call(
  mock: Mock,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const response = await mock.fetch(`http://mock${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = text !== "" && /[/+]json$/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? (JSON.parse(text) as unknown) : text,
  };
}

const mockOfShop = async (options: MockOptions = {}) => createMock(await documentOf(shop), options);
let mock: Mock;
beforeAll(async () => {
  mock = await mockOfShop();
});

describe("requests are checked", () => {
  test.each<[string, string, unknown, Record<string, string>, number, string, string]>([
    ["GET", "/v1/nothing", undefined, {}, 404, "", "no path for /v1/nothing"],
    [
      "DELETE",
      "/v1/pets",
      undefined,
      {},
      405,
      "",
      "DELETE is not declared for this path; GET, POST, HEAD is",
    ],
    ["GET", "/v1/pets?limit=51", undefined, {}, 400, "/query/limit", "must be <= 50"],
    ["GET", "/v1/pets?limit=many", undefined, {}, 400, "/query/limit", "must be integer"],
    ["GET", "/v1/pets", undefined, { "X-Trace": "A1" }, 400, "/headers/x-trace", "must match pattern"],
    ["GET", "/v1/pets", undefined, { cookie: "sid=x" }, 400, "/cookies/sid", "must be integer"],
    ["GET", "/v1/pets/rex", undefined, {}, 400, "/path/petId", "must be integer"],
    ["POST", "/v1/pets", undefined, {}, 400, "/body/name", "is required"],
    ["POST", "/v1/pets", { name: 3 }, {}, 400, "/body/name", "must be string"],
    ["POST", "/v1/pets", "{", {}, 400, "/body", "the body is not JSON"],
    ["POST", "/v1/pets", "[]", {}, 400, "/body", "the body is not an object"],
    [
      "POST",
      "/v1/pets",
      "x",
      { "content-type": "text/plain" },
      415,
      "/headers/content-type",
      "must be one of application/json",
    ],
    ["GET", "/v1/report", undefined, { accept: "image/png" }, 406, "", "offers text/csv, application/json"],
  ])("%s %s %j %j: %i %s", async (method, path, body, headers, status, pointer, message) => {
    const answer = await call(mock, method, path, body, headers);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    const [error] = (answer.body as { errors: { pointer: string; message: string }[] }).errors;
    expect(error?.pointer).toBe(pointer);
    expect(error?.message).toContain(message);
    expect(mock.log.at(-1)).toMatchObject({ method, status, problems: [{ pointer }] });
  });

  test("405 names the methods; properties that the document leaves open are let through", async () => {
    expect((await call(mock, "DELETE", "/v1/pets")).headers.get("allow")).toBe("GET, POST, HEAD");
    expect((await call(mock, "POST", "/v1/pets", { name: "Rex", colour: "red" })).status).toBe(201);
  });

  test("the arguments that were found are in the log", async () => {
    await call(mock, "GET", "/v1/pets?limit=5&other=1", undefined, {
      "X-Trace": "abc",
      cookie: "a=b; sid=4",
    });
    expect(mock.log.at(-1)).toMatchObject({
      operation: "listPets",
      url: "/v1/pets?limit=5&other=1",
      arguments: { limit: 5, "X-Trace": "abc", sid: 4 },
      status: 200,
      problems: [],
    });
  });
});

test.each(
  sampleDocuments()
    .slice(0, 8)
    .map((file) => [basename(file), file]),
)(
  "whatever is asked of %s, the mock answers",
  async (_, file) => {
    const other = createMock(await documentOf(file));
    const random = createRandom(file.length);
    const pieces = [
      "1",
      "a b",
      "%zz",
      "%2e%2e",
      "..",
      "{x}",
      "é",
      "__proto__",
      "constructor",
      "-0",
      "",
      ";a=1",
      "a.b,c",
    ];
    const queries = [
      "",
      "?",
      "?a",
      "?limit=1&limit=x",
      "?a[b][c]=1&a[]=2",
      "?%=%",
      "?__proto__[x]=1",
      "?status=sold",
    ];
    const bodies = [
      "",
      "{}",
      "[]",
      "null",
      "{",
      '{"__proto__":{"a":1}}',
      "a=1&b[]=2",
      "--x\r\n\r\n",
      "\u0000\xff",
    ];
    const types = [
      "application/json",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "text/plain",
      "/",
    ];
    const methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"];
    const statuses = new Set<number>();
    for (let i = 0; i < 300; i++) {
      const tool = random.pick(other.menu.tools);
      const path = tool.path.replaceAll(/\{[^{}]*\}/g, () => random.pick(pieces));
      const { head } = other.handle({
        method: random.next() < 0.7 ? tool.method : random.pick(methods),
        url: (random.next() < 0.9 ? path : `/${random.pick(pieces)}`) + random.pick(queries),
        headers: {
          "content-type": random.pick(types),
          authorization: random.pick(["Bearer x", "Basic eDp5", "Basic", ""]),
          accept: random.pick(["*/*", "application/json", "text/*;q=x", ";;"]),
          api_key: random.pick(["", "x"]),
          prefer: random.pick(["", "code=", "code=999", "code=404", "example=__proto__"]),
        },
        body: Buffer.from(random.pick(bodies), "latin1"),
      });
      statuses.add(head?.status ?? 0);
      expect(new Headers(head?.headers).get("content-type") ?? "").not.toContain("undefined");
    }
    expect([...statuses].filter((status) => status < 200 || status >= 500)).toEqual([]);
    expect(statuses.size).toBeGreaterThan(2);
  },
  120_000,
);

describe("routes", () => {
  test.each([
    ["/v1/pets/count", "countPets"],
    ["/pets/count", "countPets"],
    ["/v1/pets/12", "getPet"],
    ["/v1/pets/%31", "getPet"],
    ["/v1/p%65ts", "listPets"],
    ["/v1/pets/", undefined],
    ["/v1/pets/1/2", undefined],
    ["/v2/pets", undefined],
  ])("%s", async (path, operation) => {
    await call(mock, "GET", path);
    expect(mock.log.at(-1)?.operation).toBe(operation);
  });

  test("segments with texts in them, base paths with variables, queries in paths, and twins", async () => {
    const parameter = (name: string, schema: object) => ({ name, in: "path", required: true, schema });
    const operation = (operationId: string, ...parameters: object[]) => ({
      get: { operationId, parameters, responses: {} },
    });
    const text = { type: "string" };
    const other = createMock(
      await documentOf({
        servers: [{ url: "/api/{version}", variables: { version: { default: "v1" } } }],
        paths: {
          "/files/{name}.{ext}": operation("file", parameter("name", text), parameter("ext", text)),
          "/files/{name}": operation("anyFile", parameter("name", text)),
          "/files/{name}.zip": operation("archive", parameter("name", text)),
          "/rpc?action=list": operation("list"),
          "/rpc?action=stop": operation("stop"),
          "/things/{number}": operation("byNumber", parameter("number", { type: "integer" })),
          "/things/{word}": operation("byWord", parameter("word", text)),
        },
      }),
    );
    const found: (string | undefined)[] = [];
    for (const path of [
      "/files/a.b",
      "/files/a",
      "/files/a.zip",
      "/rpc?action=stop",
      "/things/7",
      "/things/seven",
    ]) {
      await call(other, "GET", `/api/v9${path}`);
      found.push(other.log.at(-1)?.operation);
    }
    expect(found).toEqual(["file", "anyFile", "archive", "stop", "byNumber", "byWord"]);
    expect(other.log[0]?.arguments).toEqual({ name: "a", ext: "b" });
  });
});

describe("answers", () => {
  test("media types by Accept, examples that fit, headers", async () => {
    const plain = await call(mock, "GET", "/v1/report");
    expect(plain).toMatchObject({ status: 200, body: { n: 1 } });
    expect(plain.headers.get("x-total")).toBe("3");
    expect(plain.headers.get("x-mock-warning")).toContain(
      '"bad" does not fit its schema: /n must be integer',
    );
    expect((await call(mock, "GET", "/v1/report", undefined, { accept: "text/*, */*;q=0.1" })).body).toBe(
      "a,b",
    );
    const accept = "application/json;q=0, text/csv;q=0.5";
    expect((await call(mock, "GET", "/v1/report", undefined, { accept })).body).toBe("a,b");
  });

  test("Prefer chooses status and example", async () => {
    const prefer = async (path: string, value: string) => {
      const { status, body } = await call(mock, "GET", path, undefined, { prefer: value });
      return [status, body];
    };
    expect(await prefer("/v1/pets/3", "code=404")).toEqual([404, { reason: "gone" }]);
    expect(await prefer("/v1/report", "example=two")).toEqual([200, { n: 2 }]);
    expect(await prefer("/v1/report", 'code=503, example="two"')).toEqual([503, ""]);
  });

  test("HEAD is GET without a body", async () => {
    expect(await call(mock, "HEAD", "/v1/report")).toMatchObject({ status: 200, body: "" });
  });

  test("the same seed gives the same answers, another one others", async () => {
    const answers = async (seed: number) => {
      const one = await mockOfShop({ seed });
      const paths = ["/v1/pets", "/v1/pets/3", "/v1/pets/4"];
      return Promise.all(paths.map(async (path) => (await call(one, "GET", path)).body));
    };
    const [first, again, other] = [await answers(1), await answers(1), await answers(2)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    expect(first[1]).not.toEqual(first[2]);
  });

  test("streams, XML, forms and bytes", async () => {
    const schema = { type: "object", required: ["a"], properties: { a: { const: "x<y" } } };
    const types = ["text/event-stream", "application/x-ndjson", "application/xml", "image/png"];
    const content = Object.fromEntries(types.map((type) => [type, type === "image/png" ? {} : { schema }]));
    const other = createMock(
      await documentOf({ paths: { "/a": { get: { responses: { "200": { description: "", content } } } } } }),
    );
    const bodies: unknown[] = [];
    for (const accept of types) bodies.push((await call(other, "GET", "/a", undefined, { accept })).body);
    expect(bodies.slice(0, 3)).toEqual([
      'data: {"a":"x<y"}\n\ndata: {"a":"x<y"}\n\n',
      '{"a":"x<y"}\n{"a":"x<y"}\n',
      '<?xml version="1.0" encoding="UTF-8"?><root><a>x&lt;y</a></root>',
    ]);
    expect(String(bodies[3]).length).toBeGreaterThan(10);
  });

  const node = {
    type: "object",
    properties: { value: { type: "integer" }, next: { $ref: "#/components/schemas/node" } },
  };
  test.each<[string, object, boolean]>([
    ["a cycle", { $ref: "#/components/schemas/node" }, true],
    ["a cycle without an end", { $ref: "#/components/schemas/endless" }, false],
    ["a cycle through a choice", { $ref: "#/components/schemas/choice" }, true],
    ["a contradiction", { allOf: [{ type: "string" }, { type: "integer" }] }, false],
    ["nothing at all", { not: {} }, false],
    ["a very long text", { type: "string", minLength: 1e9 }, false],
    ["a very long list", { type: "array", minItems: 1e9, items: { type: "string" } }, false],
    ["very many properties", { type: "object", minProperties: 1e6 }, false],
    [
      "a name of the prototype",
      { type: "object", required: ["__proto__"], additionalProperties: { const: 1 } },
      true,
    ],
    [
      "a set of few values",
      { type: "array", minItems: 2, uniqueItems: true, items: { type: "boolean" } },
      true,
    ],
    ["a list of one value", { type: "array", minItems: 4, items: { enum: ["a"] } }, true],
    ["bounds", { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1, multipleOf: 0.25 }, true],
    ["a discriminator", { $ref: "#/components/schemas/animal" }, true],
    [
      "keys of a map",
      {
        type: "object",
        minProperties: 2,
        propertyNames: { pattern: "^k[0-9]{3}$" },
        additionalProperties: { type: "integer" },
      },
      true,
    ],
    [
      "a tuple",
      { type: "array", prefixItems: [{ const: 1 }, { type: "string" }], items: false, minItems: 2 },
      true,
    ],
  ])("%s ends, and is small", async (_, schema, valid) => {
    const kind = (name: string) => ({
      type: "object",
      required: ["kind"],
      properties: { kind: { type: "string", enum: [name] } },
    });
    const document = {
      paths: { "/a": { get: { responses: { "200": { description: "", content: json(schema) } } } } },
      components: {
        schemas: {
          node,
          endless: {
            type: "object",
            required: ["again"],
            properties: { again: { $ref: "#/components/schemas/endless" } },
          },
          choice: {
            oneOf: [
              { type: "array", minItems: 1, items: { $ref: "#/components/schemas/choice" } },
              { type: "null" },
            ],
          },
          cat: kind("c"),
          dog: kind("d"),
          animal: {
            oneOf: [{ $ref: "#/components/schemas/cat" }, { $ref: "#/components/schemas/dog" }],
            discriminator: { propertyName: "kind", mapping: { c: "#/components/schemas/cat", d: "dog" } },
          },
        },
      },
    };
    const other = createMock(await documentOf(document));
    const started = performance.now();
    const { status, headers, body } = await call(other, "GET", "/a");
    expect(performance.now() - started).toBeLessThan(100_000);
    expect(status).toBe(200);
    expect(JSON.stringify(body).length).toBeLessThan(1e6);
    expect(headers.has("x-mock-warning")).toBe(!valid);
    const tool = other.menu.tools[0];
    const responseSchema = tool?.responses["200"]?.schema ?? {};
    expect(createArgumentValidator().validate({ name: "a", parameters: responseSchema }, body).ok).toBe(
      valid,
    );
  });

  test.each(sampleDocuments().map((file) => [basename(file), file]))(
    "examples of %s fit their schemas",
    async (_, file) => {
      const sampler = createExampleSampler();
      const { operations } = mockOperations(await documentOf(file));
      const chosen = createRandom(0).sample(operations, operations.length > 300 ? 5 : 40);
      const counts = { valid: 0, invalid: 0 };
      for (const operation of chosen)
        for (const { content } of operation.responses())
          for (const { schema } of content) {
            if (schema === undefined) continue;
            const { value, valid } = sampler.sample(schema, operation.tool.name, createRandom(1));
            expect(sampler.faults(schema, value).length === 0).toBe(valid);
            counts[valid ? "valid" : "invalid"]++;
          }
      // Schemas that nothing fits: `oneOf` of two that say the same.
      if (!file.includes("readme")) expect(counts.invalid).toBe(0);
    },
    600_000,
  );
});

describe("collections", () => {
  test("what is created is read, listed, changed and deleted", async () => {
    const one = await mockOfShop();
    const before = (await call(one, "GET", "/v1/pets")).body as JsonObject[];
    const created = await call(one, "POST", "/v1/pets", { name: "Rex" });
    const rex = created.body as { id: number; name: string };
    expect(created).toMatchObject({ status: 201, body: { name: "Rex" } });
    expect(created.headers.get("location")).toBe(`/v1/pets/${rex.id}`);
    const place = `/v1/pets/${rex.id}`;
    expect((await call(one, "GET", place)).body).toEqual(rex);
    const listed = (await call(one, "GET", "/v1/pets")).body as JsonObject[];
    expect(listed).toEqual([...before, rex]);
    expect((await call(one, "PATCH", place, { tag: "dog" })).body).toEqual({ ...rex, tag: "dog" });
    expect((await call(one, "PUT", place, { name: "Max" })).body).toMatchObject({ id: rex.id, name: "Max" });
    expect((await call(one, "DELETE", place)).status).toBe(204);
    expect([(await call(one, "GET", place)).status, (await call(one, "DELETE", place)).status]).toEqual([
      404, 404,
    ]);
    expect((await call(one, "GET", "/v1/pets")).body).toEqual(before);
    one.reset();
    expect([(await call(one, "GET", place)).status, one.log.length]).toEqual([200, 1]);
  });

  test("two that are created have two ids; items of the list are those that are read", async () => {
    const one = await mockOfShop();
    const ids = new Set<unknown>();
    for (let i = 0; i < 20; i++)
      ids.add(((await call(one, "POST", "/v1/pets", { name: "Rex" })).body as JsonObject).id);
    expect(ids.size).toBe(20);
    for (const item of (await call(one, "GET", "/v1/pets")).body as JsonObject[])
      expect((await call(one, "GET", `/v1/pets/${item.id}`)).body).toEqual(item);
  });

  test("what was not created exists, unless the mock starts empty", async () => {
    expect(await call(await mockOfShop(), "GET", "/v1/pets/77")).toMatchObject({
      status: 200,
      body: { id: 77 },
    });
    const empty = await mockOfShop({ empty: true });
    expect((await call(empty, "GET", "/v1/pets/77")).status).toBe(404);
    expect((await call(empty, "PATCH", "/v1/pets/77", { tag: "x" })).status).toBe(404);
    expect((await call(empty, "GET", "/v1/pets")).body).toEqual([]);
    expect((await call(empty, "PUT", "/v1/pets/77", { name: "Max" })).status).toBe(200);
    expect((await call(empty, "GET", "/v1/pets/77")).body).toMatchObject({ id: 77, name: "Max" });
  });
});

describe("the server", () => {
  test("listens on loopback, with the base path in its address; closes", async () => {
    const server = await mockOf(shop);
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1$/);
    expect(await (await fetch(`${server.url}/pets/5`)).json()).toMatchObject({ id: 5 });
    await server.close();
    await expect(fetch(`${server.url}/pets/5`)).rejects.toThrow("fetch failed");
  });

  test("a port that is taken is an error with a remedy", async () => {
    const { origin } = await mockOf(shop);
    const { startMock } = await import("../../src/mock/index.js");
    const port = Number(new URL(origin).port);
    await expect(startMock(await documentOf(shop), { port })).rejects.toMatchObject({
      code: "port-unusable",
      remedy: expect.stringContaining("another port"),
    });
  });

  test("a body that is too large is 413", async () => {
    const server = await mockOf(shop, { maxRequestBytes: 1_000 });
    const body = JSON.stringify({ name: "x".repeat(2_000) });
    const headers = { "content-type": "application/json" };
    expect((await fetch(`${server.url}/pets`, { method: "POST", body, headers })).status).toBe(413);
  });

  test("web pages are let in only where that is asked for", async () => {
    const closed = await mockOf(shop);
    expect((await fetch(`${closed.url}/pets`)).headers.has("access-control-allow-origin")).toBe(false);
    const open = await mockOf(shop, { cors: true });
    const headers = { "access-control-request-headers": "x-trace" };
    const asked = await fetch(`${open.url}/pets`, { method: "OPTIONS", headers });
    expect([asked.status, asked.headers.get("access-control-allow-headers")]).toEqual([204, "x-trace"]);
    expect((await fetch(`${open.url}/pets`)).headers.get("access-control-allow-origin")).toBe("*");
  });
});

test.each<[string, MockOptions]>([
  ["an operation", { faults: [{ fault: { kind: "reset" }, operations: ["noSuch"] }] }],
  ["a security scheme", { credentials: { noSuch: "x" } }],
])("options cannot name %s that the document has not", async (_, options) => {
  await expect(mockOfShop(options)).rejects.toMatchObject({ code: "invalid-option" });
});
