/** What a document must give: the compact signature of each tool, and diagnostics that must be among those found. */
export interface Outcome {
  tools: string[];
  codes?: string[];
  /** Requests made from arguments, by the name of a tool: method, address, and body. */
  requests?: [tool: string, args: Record<string, unknown>, line: string][];
}

const ok = { "200": { description: "ok" } };
const head = { openapi: "3.0.3", info: { title: "Shop", version: "1" } };
const op = (operationId: string | undefined, more: object = {}) => ({ operationId, responses: ok, ...more });
const v3 = (paths: object, rest: object = {}) => ({ ...head, paths, ...rest });
const v31 = (paths: object, rest: object = {}) => ({ ...v3(paths, rest), openapi: "3.1.0" });
const v2 = (paths: object, rest: object = {}) => ({ swagger: "2.0", info: head.info, paths, ...rest });
const query = (name: string, schema: unknown, more: object = {}) => ({ name, in: "query", schema, ...more });
const path = (name: string, type = "string") => ({ name, in: "path", required: true, schema: { type } });
const json = (schema: unknown, more: object = {}) => ({
  requestBody: { required: true, content: { "application/json": { schema } }, ...more },
});
const text = { type: "string" };
const integer = { type: "integer" };
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const schemas = (map: object) => ({ components: { schemas: map } });
const post = (body: object, rest: object = {}) => v3({ "/a": { post: op("send", body) } }, rest);

/** Troubles of documents that people publish, each as small as it can be, and what has to come of it. */
export const troubles: [string, unknown, Outcome][] = [
  // Paths and path items
  [
    "parameters of the path, by reference, and one of the operation that overrides one",
    v3(
      {
        "/a/{id}": {
          parameters: [{ $ref: "#/components/parameters/Id" }, query("page", text)],
          get: op("getA", { parameters: [query("page", integer)] }),
        },
      },
      { components: { parameters: { Id: path("id", "integer") } } },
    ),
    { tools: ["getA(id: integer, page?: integer)"] },
  ],
  [
    "a path item that is a reference to another path",
    v3({
      "/a/{id}": { get: op("getA", { parameters: [path("id")] }) },
      "/b/{id}": { $ref: "#/paths/~1a~1%7Bid%7D" },
    }),
    { tools: ["getA(id: string)", "getA_0p99cuy(id: string)"] },
  ],
  [
    "a path item with a reference and operations of its own",
    v3(
      { "/a": { $ref: "#/components/pathItems/A", post: op("postA") } },
      { components: { pathItems: { A: { get: op("getA", { parameters: [query("q", text)] }) } } } },
    ),
    { tools: ["postA()", "getA(q?: string)"] },
  ],
  [
    "paths that differ in the parameter's name only",
    v3({
      "/a/{id}": { get: op(undefined, { parameters: [path("id")] }) },
      "/a/{name}": { get: op(undefined, { parameters: [path("name")] }) },
    }),
    { tools: ["getAById(id: string)", "getAByName(name: string)"] },
  ],
  [
    "paths with a query, as Azure and Amazon write them",
    v3(
      {
        "/a?restype=service&comp={comp}": {
          get: op("getProperties", { parameters: [path("comp"), query("page", integer)] }),
        },
        "/#X-Amz-Target=Do": { post: op("do", json({ type: "object", properties: { x: text } })) },
      },
      { servers: [{ url: "https://x.example/v1/" }] },
    ),
    {
      tools: ["getProperties(comp: string, page?: integer)", "do(x?: string)"],
      requests: [
        [
          "getProperties",
          { comp: "list", page: 2 },
          "GET https://x.example/v1/a?restype=service&comp=list&page=2",
        ],
        ["do", { x: "1" }, 'POST https://x.example/v1/ {"x":"1"}'],
      ],
    },
  ],
  [
    "x-ms-paths",
    {
      ...v2({ "/a": { get: op("listA") } }),
      "x-ms-paths": {
        "/a?op=b": { get: op("listB", { parameters: [{ name: "n", in: "query", type: "integer" }] }) },
      },
    },
    { tools: ["listA()"], codes: ["vendor-paths"] },
  ],
  [
    "several places in one segment, and an odd name",
    v3({
      "/a/{from}..{to}.{fmt}": {
        get: op("compare", { parameters: ["from", "to", "fmt"].map((n) => path(n)) }),
      },
    }),
    {
      tools: ["compare(from: string, to: string, fmt: string)"],
      requests: [["compare", { from: "a b", to: "c/d", fmt: "diff" }, "GET /a/a%20b..c%2Fd.diff"]],
    },
  ],
  [
    "a path with a pattern in its place, as Google and JAX-RS write them",
    v3({
      "/{+name}": { get: op("getName", { parameters: [path("name")] }) },
      "/b/{id: [0-9]+}": { get: op("getB", { parameters: [path("id", "integer")] }) },
      "/c/{path*}": { get: op("getC", { parameters: [path("path")] }) },
    }),
    {
      tools: ["getName(name: string)", "getB(id: integer)", "getC(path: string)"],
      requests: [["getB", { id: 7 }, "GET /b/7"]],
    },
  ],
  [
    "a path without a slash, and one with a slash at its end",
    v3(
      { a: { get: op(undefined) }, "/a/": { get: op(undefined) } },
      { servers: [{ url: "https://x.example" }] },
    ),
    {
      tools: ["getA_0oo9g4c()", "getA()"],
      requests: [["getA_0oo9g4c", {}, "GET https://x.example/a"]],
    },
  ],
  [
    "methods in upper case, and what is no method",
    v3({ "/a": { GET: op("getA"), "x-get": {}, summary: "s", getter: {} } }),
    { tools: ["getA() - s"] },
  ],
  [
    "a body of GET and DELETE",
    v3({
      "/a": {
        get: op("getA", json({ type: "object", properties: { q: text } })),
        delete: op(
          "deleteA",
          json({ type: "object", required: ["ids"], properties: { ids: { type: "array", items: integer } } }),
        ),
      },
    }),
    {
      tools: ["getA(q?: string)", "deleteA(ids: integer[])"],
      requests: [["deleteA", { ids: [1] }, 'DELETE /a {"ids":[1]}']],
    },
  ],
  ["no responses", v3({ "/a": { get: { operationId: "getA" } } }), { tools: ["getA()"] }],
  [
    "responses with statuses that are numbers, and dates",
    `openapi: 3.0.0\ninfo: {title: T, version: 2024-01-01}\npaths:\n  /a:\n    get:\n      operationId: getA\n      parameters:\n        - {name: since, in: query, schema: {type: string, format: date, example: 2024-01-01, default: 2020-02-02}}\n      responses:\n        200: {description: ok}\n        404: {description: no}\n`,
    { tools: ["getA(since?: date)"] },
  ],
  // Names
  [
    "operationIds twice, on the same path and on others",
    v3({ "/a": { get: op("list"), post: op("list") }, "/b": { get: op("list") } }),
    { tools: ["list()", "list_19lexvx()", "list_17b03r8()"], codes: ["duplicate-operation-id"] },
  ],
  [
    "operationIds with dots, slashes and colons",
    v3({
      "/a": { get: op("meta/root"), post: op("Users.Create"), put: op("a::b c"), delete: op("été—ß") },
      "/b": { get: op("用户.列表") },
    }),
    {
      tools: ["meta_root()", "Users_Create()", "a_b_c()", "ete()", "getB()"],
      codes: ["operation-id-changed"],
    },
  ],
  [
    "names that are the same but for what cannot stand in them",
    v3({ "/a": { get: op("a.b") }, "/b": { get: op("a/b") }, "/c": { get: op("a_b") } }),
    { tools: ["a_b()", "a_b_17b03r8()", "a_b_17kzpg7()"] },
  ],
  [
    "a parameter in the path, the query and the body with one name",
    v3({
      "/a/{id}": {
        put: op("put", {
          parameters: [path("id", "integer"), query("id", text), { name: "id", in: "header", schema: text }],
          ...json({ type: "object", required: ["id"], properties: { id: { type: "boolean" } } }),
        }),
      },
    }),
    {
      tools: ["put(id: integer, id_body: boolean, id_query?: string, id_header?: string)"],
      codes: ["argument-renamed"],
      requests: [["put", { id: 1, id_query: "q", id_body: true }, 'PUT /a/1?id=q {"id":true}']],
    },
  ],
  [
    "names with brackets, dots, dollars and blanks",
    v3({
      "/a": {
        get: op("list", {
          parameters: [
            query("filter[name]", text),
            query("$top", integer),
            query("page.size", integer),
            query("a b", text),
            query("ids[]", { type: "array", items: integer }),
          ],
        }),
      },
    }),
    {
      tools: [
        'list("filter[name]"?: string, $top?: integer, page.size?: integer, "a b"?: string, "ids[]"?: integer[])',
      ],
      requests: [
        [
          "list",
          { "filter[name]": "x", $top: 1, "page.size": 2, "a b": "c", "ids[]": [1, 2] },
          "GET /a?filter%5Bname%5D=x&%24top=1&page.size=2&a%20b=c&ids%5B%5D=1&ids%5B%5D=2",
        ],
      ],
    },
  ],
  // Parameters
  [
    "parameters by content, without a schema, and in the style of 2.0",
    v3({
      "/a": {
        get: op("list", {
          parameters: [
            {
              name: "filter",
              in: "query",
              content: { "application/json": { schema: { type: "object", properties: { x: integer } } } },
            },
            { name: "bare", in: "query" },
            { name: "old", in: "query", type: "integer", enum: [1, 2] },
            { name: "empty", in: "query", schema: null },
          ],
        }),
      },
    }),
    {
      tools: ["list(filter?: {x?: integer}, bare?: string, old?: 1|2, empty?: any)"],
      codes: ["parameter-without-schema"],
      requests: [["list", { filter: { x: 1 }, old: 2 }, "GET /a?filter=%7B%22x%22%3A1%7D&old=2"]],
    },
  ],
  [
    "references to parameters that go in a circle, lead nowhere, or are null",
    v3(
      {
        "/a": {
          get: op("list", {
            parameters: [{ $ref: "#/components/parameters/A" }, { $ref: "#/x" }, null, query("q", text)],
          }),
        },
      },
      {
        components: {
          parameters: { A: { $ref: "#/components/parameters/B" }, B: { $ref: "#/components/parameters/A" } },
        },
      },
    ),
    { tools: ["list(q?: string)"], codes: ["unresolved-reference", "parameter-invalid"] },
  ],
  [
    "references into other operations",
    v3({
      "/a/{id}": {
        get: op("getA", {
          parameters: [path("id"), query("q", { type: "object", properties: { deep: integer } })],
        }),
      },
      "/b": {
        get: op("getB", {
          parameters: [
            { $ref: "#/paths/~1a~1%7Bid%7D/get/parameters/1" },
            query("d", { $ref: "#/paths/~1a~1{id}/get/parameters/1/schema/properties/deep" }),
          ],
        }),
      },
    }),
    { tools: ["getA(id: string, q?: {deep?: integer})", "getB(q?: {deep?: integer}, d?: integer)"] },
  ],
  [
    "header and cookie parameters, and those that OpenAPI 3 ignores",
    v3({
      "/a": {
        get: op("list", {
          parameters: ["X-Id", "Accept", "authorization", "Content-Type"]
            .map((name) => ({ name, in: "header", schema: text }))
            .concat([{ name: "session", in: "cookie", schema: text }]),
        }),
      },
    }),
    {
      tools: [
        "list(X-Id?: string, Accept?: string, authorization?: string, Content-Type?: string, session?: string)",
      ],
      codes: ["header-not-needed"],
    },
  ],
  [
    "an enum in one value, numbers as texts, null in an enum, booleans",
    v3({
      "/a": {
        get: op("list", {
          parameters: [
            query("v", { type: "string", enum: ["2"] }),
            query("n", { type: "integer", enum: ["1", "2"] }),
            query("s", { type: "string", nullable: true, enum: ["a", null] }),
            query("m", { type: "string", enum: [1, true, "x"] }),
          ],
        }),
      },
    }),
    { tools: ['list(v?: "2", n?: 1|2, s?: a|null, m?: "1"|"true"|x)'], codes: ["enum-type"] },
  ],
  // Bodies
  [
    "properties spread over references, allOf, oneOf and anyOf",
    post(
      json({
        allOf: [
          ref("Base"),
          { type: "object", properties: { b: text } },
          { oneOf: [ref("One"), ref("Two")] },
        ],
        anyOf: [{ properties: { e: text } }, { properties: { f: text } }],
      }),
      schemas({
        Base: {
          type: "object",
          required: ["a"],
          properties: { a: integer, r: { type: "string", readOnly: true } },
        },
        One: { type: "object", properties: { c: text } },
        Two: { allOf: [ref("Base"), { properties: { d: text } }] },
      }),
    ),
    { tools: ["send(a: integer, b?: string, e?: string, f?: string, c?: string, d?: string)"] },
  ],
  [
    "a body without a type, and one whose type is only in its reference",
    post(
      json({ $ref: "#/components/schemas/A" }),
      schemas({ A: { allOf: [ref("B")] }, B: { properties: { x: text } } }),
    ),
    { tools: ["send(x?: string)"] },
  ],
  [
    "a choice of bodies",
    post(
      json({
        oneOf: [ref("Cat"), ref("Dog")],
        discriminator: { propertyName: "kind", mapping: { cat: "#/components/schemas/Cat", dog: "Dog" } },
      }),
      schemas({
        Cat: { type: "object", required: ["kind"], properties: { kind: text, lives: integer } },
        Dog: {
          type: "object",
          required: ["kind"],
          properties: { kind: text, tricks: { type: "array", items: text } },
        },
      }),
    ),
    { tools: ["send(body: {kind: string, lives?: integer}|{kind: string, tricks?: string[]})"] },
  ],
  [
    "a choice between an object and a list",
    post(
      json({
        oneOf: [
          { type: "object", properties: { x: integer } },
          { type: "array", items: { type: "object", properties: { x: integer } } },
        ],
      }),
    ),
    { tools: ["send(body: {x?: integer}|{x?: integer}[])"] },
  ],
  [
    "a list as the body",
    post(
      json({ type: "array", items: ref("A") }),
      schemas({ A: { type: "object", properties: { x: text } } }),
    ),
    { tools: ["send(body: {x?: string}[])"] },
  ],
  [
    "a map, a map with properties, and a text",
    v3({
      "/a": { post: op("map", json({ type: "object", additionalProperties: integer })) },
      "/b": {
        post: op("open", json({ type: "object", properties: { x: text }, additionalProperties: true })),
      },
      "/c": { post: op("plain", { requestBody: { content: { "text/plain": { schema: text } } } }) },
      "/d": { post: op("bytes", { requestBody: { content: { "image/png": {} } } }) },
    }),
    {
      tools: ["map(body: {*: integer})", "open(x?: string)", "plain(body?: string)", "bytes(body?: binary)"],
    },
  ],
  [
    "several media types: the one that says most of JSON, form and multipart",
    v3({
      "/a": {
        post: op("first", {
          requestBody: {
            content: {
              "application/xml": { schema: text },
              "application/json": { schema: { type: "object", properties: { x: text } } },
            },
          },
        }),
      },
      "/b": {
        post: op("second", {
          requestBody: {
            content: {
              "application/json": {},
              "multipart/form-data": {
                schema: { type: "object", properties: { file: { type: "string", format: "binary" } } },
              },
            },
          },
        }),
      },
      "/c": {
        post: op("third", {
          requestBody: {
            content: {
              "application/json; charset=utf-8": { schema: { type: "object", properties: { y: text } } },
            },
          },
        }),
      },
      "/d": {
        post: op("fourth", {
          requestBody: {
            content: {
              "application/merge-patch+json": { schema: { type: "object", properties: { z: text } } },
            },
          },
        }),
      },
    }),
    { tools: ["first(x?: string)", "second(file?: binary)", "third(y?: string)", "fourth(z?: string)"] },
  ],
  [
    "media types of one body with other properties",
    v3({
      "/a": {
        post: op("send", {
          requestBody: {
            content: {
              "application/json": { schema: { type: "object", properties: { a: text, b: text } } },
              "multipart/form-data": {
                schema: {
                  type: "object",
                  properties: { a: text, file: { type: "string", format: "binary" } },
                },
              },
            },
          },
        }),
      },
    }),
    { tools: ["send(a?: string, b?: string)"], codes: ["media-type-not-used"] },
  ],
  [
    "a property that is called like a keyword",
    post(
      json({
        type: "object",
        required: ["type", "$ref"],
        properties: {
          type: text,
          $ref: text,
          properties: { type: "object", properties: { items: text } },
          required: { type: "boolean" },
          enum: { type: "array", items: text },
        },
      }),
    ),
    {
      tools: [
        "send(type: string, $ref: string, properties?: {items?: string}, required?: boolean, enum?: string[])",
      ],
    },
  ],
  [
    "required on a property (draft 3), and a required name that nobody describes",
    post(
      json({ type: "object", required: ["ghost"], properties: { x: { type: "string", required: true } } }),
    ),
    { tools: ["send(x: string, ghost: any)"] },
  ],
  [
    "a body that is a reference to a component, and one that leads nowhere",
    v3(
      {
        "/a": { post: op("sendA", { requestBody: { $ref: "#/components/requestBodies/A" } }) },
        "/b": { post: op("sendB", { requestBody: { $ref: "#/components/requestBodies/Gone" } }) },
      },
      {
        components: {
          requestBodies: {
            A: { $ref: "#/components/requestBodies/B" },
            B: json({ type: "object", properties: { x: text } }).requestBody,
          },
        },
      },
    ),
    { tools: ["sendA(x?: string)", "sendB(body?: any)"], codes: ["unresolved-reference"] },
  ],
  [
    "a schema straight under requestBody, and an empty content",
    v3({
      "/a": { post: op("a", { requestBody: { schema: { type: "object", properties: { x: text } } } }) },
      "/b": { post: op("b", { requestBody: { content: {} } }) },
      "/c": { post: op("c", { requestBody: { description: "Nothing" } }) },
    }),
    { tools: ["a(x?: string)", "b(body?: any)", "c(body?: any)"], codes: ["body-invalid"] },
  ],
  [
    "a body with patterns and conditions",
    v31({
      "/a": {
        post: op(
          "a",
          json({ type: "object", properties: { x: text }, patternProperties: { "^x-": integer } }),
        ),
      },
      "/b": {
        post: op(
          "b",
          json({
            type: "object",
            properties: { x: text },
            dependentSchemas: { x: { properties: { y: integer } } },
          }),
        ),
      },
    }),
    { tools: ["a(body: {x?: string})", "b(body: {x?: string})"] },
  ],
  // Swagger 2.0
  [
    "2.0: a body, forms and files",
    v2(
      {
        "/a": {
          post: op("a", {
            parameters: [{ name: "pet", in: "body", required: true, schema: { $ref: "#/definitions/Pet" } }],
          }),
        },
        "/b": {
          post: op("b", {
            consumes: ["multipart/form-data"],
            parameters: [
              { name: "file", in: "formData", type: "file", required: true },
              {
                name: "tags",
                in: "formData",
                type: "array",
                items: { type: "string" },
                collectionFormat: "multi",
              },
            ],
          }),
        },
        "/c": {
          post: op("c", {
            parameters: [
              { name: "list", in: "body", schema: { type: "array", items: { $ref: "#/definitions/Pet" } } },
            ],
          }),
        },
      },
      {
        consumes: ["application/xml", "application/json"],
        definitions: {
          Pet: {
            type: "object",
            required: ["name"],
            properties: {
              id: { type: "integer", readOnly: true },
              name: { type: "string" },
              tag: { type: "string", "x-nullable": true },
            },
          },
        },
      },
    ),
    {
      tools: [
        "a(name: string, tag?: string|null)",
        "b(file: binary, tags?: string[])",
        "c(list?: {name: string, tag?: string|null}[])",
      ],
    },
  ],
  [
    "2.0: a body beside a form",
    v2({
      "/a": {
        post: op("a", {
          parameters: [
            { name: "b", in: "body", schema: { type: "object", properties: { y: { type: "string" } } } },
            { name: "x", in: "formData", type: "string" },
          ],
        }),
      },
    }),
    { tools: ["a(x?: string, b?: {y?: string})"], codes: ["several-bodies"] },
  ],
  [
    "2.0: parameters and responses by reference, collectionFormat, type file in a response",
    v2(
      {
        "/a/{id}": {
          parameters: [{ $ref: "#/parameters/id" }],
          get: op("a", {
            parameters: [{ $ref: "#/parameters/ids" }],
            responses: {
              200: { description: "ok", schema: { type: "file" } },
              404: { $ref: "#/responses/no" },
            },
          }),
        },
      },
      {
        host: "x.example",
        basePath: "/v1/",
        schemes: ["http", "https"],
        parameters: {
          id: { name: "id", in: "path", required: true, type: "string" },
          ids: {
            name: "ids",
            in: "query",
            type: "array",
            items: { type: "integer" },
            collectionFormat: "pipes",
          },
        },
        responses: { no: { description: "no" } },
      },
    ),
    {
      tools: ["a(id: string, ids?: integer[])"],
      requests: [["a", { id: "1", ids: [1, 2] }, "GET https://x.example/v1/a/1?ids=1%7C2"]],
    },
  ],
  [
    "2.0: schema under a parameter that is not a body",
    v2({ "/a": { get: op("a", { parameters: [{ name: "q", in: "query", schema: { type: "integer" } }] }) } }),
    { tools: ["a(q?: integer)"] },
  ],
  [
    "a parameter in the body of a 3.x document",
    v3(
      {
        "/a": {
          post: op("a", { parameters: [{ in: "body", name: "b", schema: { $ref: "#/definitions/A" } }] }),
        },
      },
      { definitions: { A: { type: "object", properties: { x: text } } } },
    ),
    { tools: ["a(x?: string)"], codes: ["body-of-other-version"] },
  ],
  [
    "formData in a 3.x document",
    v3({
      "/a": {
        post: op("a", { parameters: [{ in: "formData", name: "f", required: true, type: "string" }] }),
      },
    }),
    { tools: ["a(f: string)"], codes: ["body-of-other-version"] },
  ],
  [
    "requestBody and components in a 2.0 document",
    v2(
      { "/a": { post: op("a", json(ref("A"))) } },
      schemas({ A: { type: "object", properties: { x: text } } }),
    ),
    { tools: ["a(x?: string)"], codes: ["body-of-other-version"] },
  ],
  // Schemas
  [
    "definitions in a 3.x document, and references with blanks and percent signs",
    v3(
      {
        "/a": {
          get: op("list", {
            parameters: [
              query("a", { $ref: "#/definitions/A" }),
              query("b", ref("My Type")),
              query("c", ref("My%20Type")),
              query("d", ref("List«A»")),
            ],
          }),
        },
      },
      {
        definitions: { A: integer },
        ...schemas({ "My Type": { type: "boolean" }, "List«A»": { type: "number" } }),
      },
    ),
    { tools: ["list(a?: integer, b?: boolean, c?: boolean, d?: number)"] },
  ],
  [
    "nullable, and nullable beside a reference",
    v3(
      {
        "/a": {
          post: op(
            "send",
            json({
              type: "object",
              properties: {
                a: { type: "integer", nullable: true },
                b: { allOf: [ref("B")], nullable: true },
                c: { $ref: "#/components/schemas/B", nullable: true },
              },
            }),
          ),
        },
      },
      schemas({ B: { type: "object", properties: { x: text } } }),
    ),
    { tools: ["send(a?: integer|null, b?: {x?: string}|null, c?: {x?: string}|null)"] },
  ],
  [
    "3.1: lists of types, const, $defs, boolean schemas, siblings of references",
    v31({
      "/a": {
        post: op(
          "send",
          json({
            $defs: { Local: { type: "integer" } },
            type: "object",
            properties: {
              a: { type: ["string", "null"] },
              b: { const: "x" },
              c: true,
              d: {
                $ref: "#/paths/~1a/post/requestBody/content/application~1json/schema/$defs/Local",
                description: "Local",
              },
              e: { type: "array", prefixItems: [text, integer] },
              f: { examples: ["y"], type: "string" },
            },
          }),
        ),
      },
    }),
    { tools: ["send(a?: string|null, b?: x, c?: any, d?: integer, e?: any[], f?: string)"] },
  ],
  [
    "3.1: $id and $anchor",
    v31(
      {
        "/a": {
          post: op(
            "send",
            json({
              type: "object",
              properties: { a: { $ref: "#anchor" }, b: { $ref: "https://x.example/b" } },
            }),
          ),
        },
      },
      schemas({
        A: { $anchor: "anchor", type: "integer" },
        B: { $id: "https://x.example/b", type: "boolean" },
      }),
    ),
    { tools: ["send(a?: integer, b?: boolean)"] },
  ],
  [
    "3.1: webhooks beside paths, and path items in components",
    v31(
      { "/a": { $ref: "#/components/pathItems/A" } },
      { webhooks: { w: { post: op("hook") } }, components: { pathItems: { A: { get: op("getA") } } } },
    ),
    { tools: ["getA()"] },
  ],
  [
    "a tree: a schema that contains itself, in itself and through others",
    post(
      json(ref("Node")),
      schemas({
        Node: {
          type: "object",
          properties: { name: text, children: { type: "array", items: ref("Node") }, owner: ref("Owner") },
        },
        Owner: {
          type: "object",
          properties: { nodes: { type: "object", additionalProperties: ref("Node") } },
        },
      }),
    ),
    {
      tools: [
        "send(name?: string, children?: {name?: string, children?: object[], owner?: {nodes?: {*: object}}}[], owner?: {nodes?: {*: {name?: string, children?: object[], owner?: object}}})",
      ],
    },
  ],
  [
    "types that do not exist, and exclusive limits of both kinds",
    v3({
      "/a": {
        get: op("list", {
          parameters: [
            query("a", { type: "int" }),
            query("b", { type: "String" }),
            query("c", { type: "date-time" }),
            query("d", { type: "enum", enum: ["x"] }),
            query("e", { type: "integer", minimum: 1, exclusiveMinimum: true }),
            query("f", { type: "integer", exclusiveMaximum: 5, minimum: "0" }),
            query("g", { type: "array" }),
            query("h", { items: text }),
          ],
        }),
      },
    }),
    {
      tools: [
        "list(a?: integer, b?: string, c?: date-time, d?: x, e?: integer, f?: integer, g?: any[], h?: string[])",
      ],
      codes: ["type-unknown"],
    },
  ],
  [
    "patterns of other dialects",
    v3({
      "/a": {
        get: op("list", {
          parameters: [
            "(?i)^abc$",
            "^\\p{Alpha}+$",
            "\\A[a-z]+\\z",
            "^[\\w-_.]+$",
            "(?<!x)y",
            "(?P<year>\\d+)",
            "[[:alpha:]]+",
            "/^\\d+$/",
          ].map((pattern, i) => query(`p${i}`, { type: "string", pattern })),
        }),
      },
    }),
    {
      tools: [`list(${[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `p${i}?: string`).join(", ")})`],
      codes: ["pattern-invalid"],
    },
  ],
  [
    "a default and examples that do not fit, and a format that nobody knows",
    v3({
      "/a": {
        get: op("list", {
          parameters: [
            query("a", { type: "integer", default: "ten", example: {} }),
            query("b", { type: "string", format: "phone-or-mail" }),
          ],
        }),
      },
    }),
    { tools: ["list(a?: integer, b?: string)"] },
  ],
  [
    "null where objects are expected",
    v3(
      {
        "/a": {
          post: op("send", {
            tags: null,
            parameters: [query("q", null)],
            ...json({
              type: "object",
              properties: { x: null, y: text },
              required: null,
              items: null,
              allOf: null,
            }),
          }),
          get: null,
          parameters: null,
        },
        "/b": null,
      },
      { components: null },
    ),
    { tools: ["send(q?: any, x?: any, y?: string)"] },
  ],
  // YAML
  [
    "YAML: merge keys and anchors",
    `swagger: "2.0"\ninfo: {title: T, version: "1"}\nx-common: &common\n  responses: {"200": {description: ok}}\n  parameters:\n    - &page {name: page, in: query, type: integer}\npaths:\n  /a:\n    get:\n      <<: *common\n      operationId: getA\n  /b:\n    get:\n      <<: [*common]\n      operationId: getB\n      parameters: [*page, {<<: *page, name: size}]\n`,
    { tools: ["getA(page?: integer)", "getB(page?: integer, size?: integer)"] },
  ],
  [
    "YAML: yes, no, on and numbers with a leading zero are texts or numbers of YAML 1.2",
    `openapi: 3.0.0\ninfo: {title: T, version: 1.10}\npaths:\n  /a:\n    get:\n      operationId: getA\n      parameters:\n        - {name: on, in: query, schema: {type: string, enum: [yes, no, on, off, NO, 010, 1_000, 12:30]}}\n      responses: {default: {description: ok}}\n`,
    { tools: ['getA(on?: yes|no|on|off|NO|"10"|"1_000"|"12:30")'] },
  ],
  [
    "YAML: a byte order mark, Windows line ends, comments, a document marker and a tab behind a value",
    `\uFEFF%YAML 1.2\r\n---\r\n# hello\r\nopenapi: 3.0.0\t# x\r\ninfo: {title: T, version: "1"}\r\npaths:\r\n  /a:\r\n    get: {operationId: getA, responses: {}}\r\n...\r\n`,
    { tools: ["getA()"] },
  ],
  [
    "YAML: long texts, keys that are numbers, and a key without a value",
    `openapi: 3.0.0\ninfo:\n  title: T\n  description: |\n    # Hello\n    {{x}}: *not* an alias\n  version: >-\n    1\npaths:\n  /a:\n    get:\n      operationId: getA\n      description:\n      responses:\n        200:\n          description:\n`,
    { tools: ["getA()"] },
  ],
  // Servers
  [
    "servers with variables, without a scheme, of the path and of the operation",
    v3(
      {
        "/a": {
          servers: [{ url: "//p.example/p" }],
          get: op("getA"),
          post: op("postA", {
            servers: [
              {
                url: "https://{region}.example/{v}",
                variables: { region: { default: "eu" }, v: { default: "v2", enum: ["v1", "v2"] } },
              },
            ],
          }),
        },
      },
      { servers: [{ url: "https://d.example" }] },
    ),
    { tools: ["getA()", "postA()"], requests: [["postA", {}, "POST https://eu.example/v2/a"]] },
  ],
  // Slips whose meaning is clear
  [
    "operations that are references, as DigitalOcean keeps them",
    v3(
      { "/a/{id}": { parameters: [path("id")], get: { $ref: "#/x-operations/getA" } } },
      { "x-operations": { getA: op("getA", { parameters: [query("q", text)] }) } },
    ),
    { tools: ["getA(id: string, q?: string)"] },
  ],
  [
    "references in the words of the other version, without a slash or a hash",
    v3(
      {
        "/a": {
          post: op("a", {
            parameters: [{ $ref: "#/parameters/Page" }],
            ...json({ $ref: "#/definitions/A" }),
          }),
        },
        "/b": { post: op("b", json({ $ref: "#components/schemas/A" })) },
        "/c": { post: op("c", json({ $ref: "components/schemas/A" })) },
        "/d": { post: op("d", json({ $ref: "/components/schemas/A" })) },
        "/e": { post: op("e", json({ $ref: "A" })) },
      },
      {
        components: {
          schemas: { A: { type: "object", properties: { x: text } } },
          parameters: { Page: query("page", integer) },
        },
      },
    ),
    {
      tools: [
        "a(page?: integer, x?: string)",
        "b(x?: string)",
        "c(x?: string)",
        "d(x?: string)",
        "e(x?: string)",
      ],
      codes: ["reference-mended"],
    },
  ],
  [
    "a schema that was pasted with its own $defs, and one that calls itself #",
    v31(
      { "/a": { post: op("a", json(ref("Pasted"))) }, "/b": { post: op("b", json(ref("Tree"))) } },
      schemas({
        Pasted: {
          type: "object",
          properties: { item: { $ref: "#/$defs/Item" } },
          $defs: { Item: { type: "object", properties: { size: { $ref: "#/$defs/Size" } } }, Size: integer },
        },
        Tree: { type: "object", properties: { name: text, inner: { type: "array", items: { $ref: "#" } } } },
      }),
    ),
    {
      tools: ["a(item?: {size?: integer})", "b(name?: string, inner?: {name?: string, inner?: object[]}[])"],
      codes: ["reference-mended"],
    },
  ],
  [
    "3.1: dynamic references, of which one could mean two things",
    v31(
      { "/a": { post: op("a", json(ref("Node"))) }, "/b": { post: op("b", json(ref("Page"))) } },
      schemas({
        Node: {
          $dynamicAnchor: "node",
          type: "object",
          properties: { value: text, next: { $dynamicRef: "#node" } },
        },
        Page: { type: "object", properties: { item: { $dynamicRef: "#item" } } },
        One: { $dynamicAnchor: "item", type: "string" },
        Other: { $dynamicAnchor: "item", type: "integer" },
      }),
    ),
    { tools: ["a(value?: string, next?: {value?: string, next?: object})", "b(item?: any)"] },
  ],
  [
    "an empty reference costs its own place only",
    post(json({ type: "object", properties: { x: { $ref: "" }, y: text } })),
    { tools: ["send(x?: any, y?: string)"], codes: ["unresolved-reference"] },
  ],
  [
    "places that are misspelt, names that are numbers, `required` in quotes",
    v3({
      "/a/{id}": {
        get: op("getA", {
          parameters: [
            { name: "id", schema: integer },
            { name: "q", in: "Query", schema: text },
            { name: "r", in: "quer", required: "true", schema: text },
            { name: "X-S", in: "head", schema: text },
            { name: 7, in: "query", schema: text },
            { name: "nowhere", schema: text },
          ],
        }),
      },
    }),
    {
      tools: ["getA(id: integer, r: string, 7?: string, q?: string, X-S?: string)"],
      codes: ["parameter-place", "parameter-invalid"],
    },
  ],
  [
    "2.0: a body in pieces",
    v2({
      "/a": {
        post: op("a", {
          parameters: [
            { name: "email", in: "body", type: "string", required: true },
            { name: "tags", in: "Body", schema: { type: "array", items: text } },
          ],
        }),
      },
    }),
    {
      tools: ["a(email: string, tags?: string[])"],
      codes: ["several-bodies"],
      requests: [["a", { email: "e", tags: ["t"] }, 'POST /a {"email":"e","tags":["t"]}']],
    },
  ],
  [
    "a body that may be null, as FastAPI writes an optional one",
    v31(
      {
        "/a": {
          post: op("a", {
            requestBody: json({ anyOf: [ref("A"), { type: "null" }], title: "A" }).requestBody,
          }),
        },
        "/b": {
          post: op("b", {
            requestBody: {
              content: { "application/json": { schema: { oneOf: [ref("A"), { type: "null" }] } } },
            },
          }),
        },
        "/c": { post: op("c", json(ref("Self"))) },
      },
      schemas({
        A: { type: "object", required: ["x"], properties: { x: text, y: integer } },
        Self: { anyOf: [ref("Self"), { type: "null" }] },
      }),
    ),
    { tools: ["a(x: string, y?: integer)", "b(x?: string, y?: integer)", "c(body: null)"] },
  ],
  [
    "a body that is a reference to a schema, and compositions that are no lists",
    v3(
      {
        "/a": { post: op("a", { requestBody: ref("A") }) },
        "/b": { post: op("b", json({ allOf: ref("A"), properties: { y: { oneOf: integer } } })) },
      },
      schemas({ A: { type: "object", properties: { x: text } } }),
    ),
    { tools: ["a(x?: string)", "b(y?: integer, x?: string)"], codes: ["body-invalid", "schema-invalid"] },
  ],
  [
    "3.2: methods of one's own",
    {
      ...v3({
        "/a": { query: op("find"), additionalOperations: { COPY: op("copy"), "X-Purge": op("purge") } },
      }),
      openapi: "3.2.0",
    },
    {
      tools: ["find()", "copy()", "purge()"],
      requests: [["purge", {}, "X-PURGE /a"]],
    },
  ],
  [
    "JSON with comments and trailing commas",
    `{ // a comment, with "quotes"
  "openapi": "3.0.0", /* another, */ "info": { "title": "T // no comment", "version": "1", },
  "paths": { "/a": { "get": { "operationId": "getA", "responses": {}, }, }, },
}`,
    { tools: ["getA()"], codes: ["json-not-strict"] },
  ],
  [
    "a version without its second half",
    { ...v3({ "/a": { get: op("getA") } }), openapi: "3" },
    { tools: ["getA()"], codes: ["version-not-text"] },
  ],
  [
    "2.0: a body that may be any schema that inherits from it",
    v2(
      {
        "/a": {
          post: op("a", { parameters: [{ name: "b", in: "body", schema: { $ref: "#/definitions/Pet" } }] }),
        },
        "/b": {
          post: op("b", { parameters: [{ name: "b", in: "body", schema: { $ref: "#/definitions/Cat" } }] }),
        },
      },
      {
        definitions: {
          Pet: { type: "object", discriminator: "kind", required: ["kind"], properties: { kind: text } },
          Cat: {
            allOf: [{ $ref: "#/definitions/Pet" }, { required: ["lives"], properties: { lives: integer } }],
          },
          Lion: { allOf: [{ $ref: "#/definitions/Cat" }, { properties: { roars: { type: "boolean" } } }] },
        },
      },
    ),
    {
      tools: ["a(kind: string, lives?: integer, roars?: boolean)", "b(kind: string, lives: integer)"],
      requests: [["a", { kind: "Lion", roars: true }, 'POST /a {"kind":"Lion","roars":true}']],
    },
  ],
  [
    "a choice of one, a content and a list of parameters that are references",
    v3(
      {
        "/a": { post: op("a", json({ oneOf: [ref("A")] })) },
        "/b": {
          post: op("b", {
            parameters: { $ref: "#/components/x-parameters" },
            requestBody: { content: { $ref: "#/components/x-content" } },
          }),
        },
      },
      {
        components: {
          schemas: { A: { type: "object", required: ["x"], properties: { x: text, y: integer } } },
          "x-parameters": [query("q", text)],
          "x-content": { "application/json": { schema: ref("A") } },
        },
      },
    ),
    { tools: ["a(x: string, y?: integer)", "b(x: string, q?: string, y?: integer)"] },
  ],
  [
    "3.2: a query string that is JSON as a whole, and one that is a form",
    {
      ...v3({
        "/a": {
          get: op("a", {
            parameters: [
              {
                name: "filter",
                in: "querystring",
                content: { "application/json": { schema: { type: "object", properties: { x: integer } } } },
              },
            ],
          }),
        },
        "/b": {
          get: op("b", {
            parameters: [
              {
                name: "fields",
                in: "querystring",
                content: {
                  "application/x-www-form-urlencoded": {
                    schema: { type: "object", properties: { x: integer } },
                  },
                },
              },
            ],
          }),
        },
      }),
      openapi: "3.2.0",
    },
    {
      tools: ["a(filter?: {x?: integer})", "b(fields?: {x?: integer})"],
      requests: [
        ["a", { filter: { x: 1 } }, "GET /a?%7B%22x%22%3A1%7D"],
        ["b", { fields: { x: 1 } }, "GET /b?x=1"],
      ],
    },
  ],
];
