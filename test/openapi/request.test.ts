import { describe, expect, test } from "vitest";
import { buildRequest, parseRequest } from "../../src/openapi/index.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { fixture, jsonBody, menuOf, toolOf } from "./fixtures.js";

const list = [3, 4, 5];
const record = { R: 100, G: "a b" };

describe("parameters", () => {
  test.each<[string, string, object, unknown, string]>([
    ["path", "simple", {}, list, "/3,4,5"],
    ["path", "simple", { explode: true }, record, "/R=100,G=a%20b"],
    ["path", "simple", {}, record, "/R,100,G,a%20b"],
    ["path", "label", {}, list, "/.3,4,5"],
    ["path", "label", { explode: true }, list, "/.3.4.5"],
    ["path", "matrix", {}, list, "/;x=3,4,5"],
    ["path", "matrix", { explode: true }, list, "/;x=3;x=4;x=5"],
    ["path", "matrix", { explode: true }, record, "/;R=100;G=a%20b"],
    ["path", "simple", {}, "a/b?c", "/a%2Fb%3Fc"],
    ["query", "form", {}, list, "?x=3&x=4&x=5"],
    ["query", "form", { explode: false }, list, "?x=3,4,5"],
    ["query", "form", {}, record, "?R=100&G=a%20b"],
    ["query", "form", { explode: false }, record, "?x=R,100,G,a%20b"],
    ["query", "spaceDelimited", { explode: false }, list, "?x=3%204%205"],
    ["query", "pipeDelimited", { explode: false }, list, "?x=3%7C4%7C5"],
    ["query", "deepObject", {}, { a: 1, b: { c: [2] } }, "?x%5Ba%5D=1&x%5Bb%5D%5Bc%5D%5B0%5D=2"],
    ["query", "form", {}, "a&b=c#d", "?x=a%26b%3Dc%23d"],
    ["query", "form", { allowReserved: true }, "a/b:c&d", "?x=a/b:c%26d"],
    ["query", "form", {}, "", "?x="],
    ["query", "form", {}, false, "?x=false"],
    // Nothing on the wire is an absent parameter.
    ["query", "form", {}, [], ""],
    ["query", "form", { explode: false }, [], "?x="],
    ["query", "deepObject", {}, {}, ""],
  ])("%s %s %j %j", async (place, style, more, value, want) => {
    const parameter = { name: "x", in: place, style, required: place === "path", schema: {}, ...more };
    const path = place === "path" ? "/a/{x}" : "/a";
    const tool = await toolOf({ parameters: [parameter] }, { path, method: "get" });
    const { url } = buildRequest(tool, { x: value as never }, { server: "https://h/v1/" });
    expect(url).toBe(`https://h/v1/a${want}`);
  });

  test("headers, cookies and parameters with content", async () => {
    const tool = await toolOf({
      parameters: [
        { name: "X-Ids", in: "header", schema: { type: "array" } },
        { name: "session", in: "cookie", schema: {} },
        { name: "filter", in: "query", content: { "application/json": { schema: { type: "object" } } } },
      ],
    });
    const request = buildRequest(tool, { "X-Ids": list, session: "a;b", filter: { a: [1] } });
    expect(request.headers).toEqual({ "X-Ids": "3,4,5", Cookie: "session=a%3Bb" });
    expect(request.url).toBe("/orders?filter=%7B%22a%22%3A%5B1%5D%7D");
  });
});

describe("bodies", () => {
  const body = (mediaType: string, schema: object, encoding: object = {}) => ({
    requestBody: { required: true, content: { [mediaType]: { schema, encoding } } },
  });
  const object = { type: "object", properties: { a: {}, b: {}, file: { type: "string", format: "binary" } } };

  test("JSON, with arguments under their own names", async () => {
    const menu = await menuOf(fixture("specs/petstore-3.0.yaml"));
    const update = menu.tools.find(({ name }) => name === "updateUser");
    if (update === undefined) throw new Error("no updateUser");
    expect(buildRequest(update, { username: "jo", username_body: "joe", id: 1 })).toEqual({
      method: "PUT",
      url: "http://petstore.swagger.io/v2/user/jo",
      headers: { "Content-Type": "application/json" },
      body: '{"username":"joe","id":1}',
    });
  });

  test("form", async () => {
    const tool = await toolOf(
      body("application/x-www-form-urlencoded", object, { b: { style: "deepObject" } }),
    );
    const { body: text } = buildRequest(tool, { a: [1, "x y"], b: { c: 1 } });
    expect(text).toBe("a=1&a=x+y&b%5Bc%5D=1");
  });

  test("multipart", async () => {
    const tool = await toolOf(body("multipart/form-data", object));
    const { headers, body: bytes } = buildRequest(tool, {
      a: "x",
      b: { c: 1 },
      file: "data:image/png;base64,AAH/",
    });
    const boundary = headers["Content-Type"]?.split("boundary=")[1];
    expect(Buffer.from(bytes ?? "").toString("latin1")).toBe(
      [
        `--${boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\nx`,
        `--${boundary}\r\nContent-Disposition: form-data; name="b"\r\nContent-Type: application/json\r\n\r\n{"c":1}`,
        `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\nContent-Type: image/png\r\n\r\n\x00\x01\xff`,
        `--${boundary}--\r\n`,
      ].join("\r\n"),
    );
  });

  test("bytes and text", async () => {
    const bytes = await toolOf(body("application/octet-stream", { type: "string", format: "binary" }));
    expect(buildRequest(bytes, { body: "data:;base64,AAE=" }).body).toEqual(new Uint8Array([0, 1]));
    const text = await toolOf(body("text/plain", { type: "string" }));
    expect(buildRequest(text, { body: "hi" })).toMatchObject({
      headers: { "Content-Type": "text/plain" },
      body: "hi",
    });
  });

  test("no body where no argument asks for one", async () => {
    const tool = await toolOf(jsonBody({ type: "object", properties: { a: {} } }));
    expect(buildRequest(tool, {})).toEqual({ method: "POST", url: "/orders", headers: {} });
    expect(buildRequest(tool, { a: null }).body).toBe('{"a":null}');
    expect(buildRequest(tool, { a: [] }).body).toBe('{"a":[]}');
    expect(buildRequest(tool, { a: {} }).body).toBe('{"a":{}}');
  });
});

describe("refusals", () => {
  const parameters = [
    { name: "id", in: "path", required: true, schema: {} },
    { name: "X-A", in: "header", schema: {} },
  ];
  test.each<[string, Record<string, string>]>([
    ["a missing path argument", {}],
    ["an empty path argument", { id: "" }],
    ["a way up the path", { id: ".." }],
    ["a split header", { id: "1", "X-A": "a\r\nB: c" }],
    ["an unknown argument", { id: "1", other: "x" }],
    ["a name of the prototype", { id: "1", constructor: "x" }],
  ])("%s", async (_, args) => {
    const tool = await toolOf({ parameters }, { path: "/a/{id}/b", method: "get" });
    expect(() => buildRequest(tool, args)).toThrowError(SpecdojoError);
  });
});

test("server variables", async () => {
  const server = {
    url: "https://{region}.example.com/{base}",
    variables: { region: { default: "eu", enum: ["eu", "us"] }, base: { default: "v1" } },
  };
  const tool = await toolOf({ servers: [server] });
  expect(buildRequest(tool, {}).url).toBe("https://eu.example.com/v1/orders");
  expect(buildRequest(tool, {}, { variables: { region: "us" } }).url).toBe(
    "https://us.example.com/v1/orders",
  );
  expect(() => buildRequest(tool, {}, { variables: { region: "evil.org/" } })).toThrowError(
    /allowed are eu, us/,
  );
});

describe("what could be read as something else is refused", () => {
  const parameter = (more: object) => ({ name: "x", in: "query", schema: {}, ...more });
  test.each<[string, object[], Record<string, unknown>]>([
    ["a delimiter in a list", [parameter({ style: "pipeDelimited", explode: false })], { x: ["a|b"] }],
    ["brackets in a key", [parameter({ style: "deepObject" })], { x: { "a]": 1 } }],
    ["a comma in a header", [parameter({ in: "header", schema: { type: "array" } })], { x: ["a,b"] }],
    ["a property like a parameter", [parameter({}), parameter({ name: "y" })], { x: { y: 1 } }],
    [
      "one header twice",
      [parameter({ in: "header" }), parameter({ in: "header", name: "X" })],
      { x: "1", X: "2" },
    ],
    ["dots that lead up", [parameter({ in: "path", style: "label", explode: true })], { x: ["."] }],
  ])("%s", async (_, parameters, args) => {
    const path = JSON.stringify(parameters).includes('"path"') ? "/a/{x}/b" : "/a";
    const tool = await toolOf({ parameters }, { path, method: "get" });
    expect(() => buildRequest(tool, args as never)).toThrowError(/^getA.*: x|X: /);
  });
});

describe("parseRequest", () => {
  test("reads requests that others wrote", async () => {
    const parameters = [
      { name: "id", in: "path", required: true, schema: { type: "integer" } },
      { name: "q", in: "query", schema: { type: "string" } },
      {
        name: "ids",
        in: "query",
        style: "deepObject",
        schema: { type: "array", items: { type: "integer" } },
      },
      { name: "X-Trace", in: "header", schema: { type: "string" } },
    ];
    const tool = await toolOf({ parameters }, { path: "/pets/{id}", method: "get" });
    const request = {
      method: "get",
      url: "https://proxy.example/deep/base/pets/7?q=a+b%21&ids[]=1&ids[]=2&api_key=secret#top",
      headers: { "x-trace": "t", Authorization: "Bearer secret" },
    };
    expect(parseRequest(tool, request)).toEqual({ id: 7, q: "a b!", ids: [1, 2], "X-Trace": "t" });
  });

  test.each<[string, object, string]>([
    ["another method", { method: "POST" }, "the method is POST"],
    ["another path", { url: "/pets/1/photos" }, "the URL is /pets/1/photos"],
    ["a missing path argument", { url: "/pets/" }, "the URL is /pets/"],
  ])("refuses %s", async (_, change, why) => {
    const tool = await toolOf(
      { parameters: [{ name: "id", in: "path", required: true, schema: {} }] },
      { path: "/pets/{id}", method: "get" },
    );
    const request = { method: "GET", url: "/pets/1", headers: {}, ...change };
    expect(() => parseRequest(tool, request)).toThrowError(why);
  });

  test.each([
    ["application/json", "{"],
    ["application/json", "[1]"],
    ["multipart/form-data", "no parts"],
  ])("refuses a body that is no %s: %s", async (mediaType, body) => {
    const content = { [mediaType]: { schema: { type: "object", properties: { a: {} } } } };
    const tool = await toolOf({ requestBody: { content } });
    const request = { method: "POST", url: "/orders", headers: { "Content-Type": mediaType }, body };
    expect(() => parseRequest(tool, request)).toThrowError(/the body is not/);
  });

  test("a key of the prototype is a key", async () => {
    const schema = { type: "object", properties: { a: {} }, additionalProperties: true };
    const tool = await toolOf(jsonBody(schema));
    const args = JSON.parse('{"a":1,"__proto__":{"polluted":true}}');
    const request = buildRequest(tool, args);
    expect(request.body).toBe('{"a":1,"__proto__":{"polluted":true}}');
    const parsed = parseRequest(tool, request);
    expect(JSON.stringify(parsed)).toBe(request.body);
    expect(Reflect.get(parsed, "polluted")).toBeUndefined();
  });

  test("nesting without end is cut", async () => {
    const parameters = [{ name: "x", in: "query", style: "deepObject", schema: { type: "object" } }];
    const tool = await toolOf({ parameters }, { method: "get" });
    const url = `/orders?x${"[a]".repeat(20_000)}=1`;
    expect(JSON.stringify(parseRequest(tool, { method: "GET", url, headers: {} })).length).toBeLessThan(
      1_000,
    );
  });
});
