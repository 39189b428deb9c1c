import { gzipSync } from "node:zlib";

/** What has to happen: a refusal that says this, or a menu with so many tools and, maybe, a diagnostic. */
export type Outcome = { refused: RegExp } | { tools: number; code?: string };

const ok = { "200": { description: "ok" } };
const head = { openapi: "3.0.3", info: { title: "Shop", version: "1" } };
const get = (more: object = {}) => ({ get: { responses: ok, ...more } });
const document = (paths: object, rest: object = {}) => JSON.stringify({ ...head, paths, ...rest });
const body = (schema: unknown) => ({
  post: { responses: ok, requestBody: { content: { "application/json": { schema } } } },
});
const withBody = (schema: unknown, schemas: object = {}) =>
  document({ "/orders": body(schema) }, { components: { schemas } });
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const yaml = (rest: string) =>
  `openapi: 3.0.3\ninfo: {title: Shop, version: "1"}\npaths: {/orders: {get: {responses: {}}}}\n${rest}`;
const range = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
const nested = (open: string, inside: string, close: string, depth: number) =>
  open.repeat(depth) + inside + close.repeat(depth);
const aliases = (make: (name: string, last: string) => string, levels: number) =>
  range(levels, (i) => make(`a${i + 1}`, `a${i}`)).join("\n");
const external = (reference: string) => withBody({ $ref: reference });
const leaves = /leaves the document/;

/** Documents that are broken or mean harm, by what they try. Each is a text or bytes. */
export const hostile: [string, () => string | Uint8Array, Outcome][] = [
  // Not a document at all
  ["empty", () => "", { refused: /empty/ }],
  ["white space", () => " \n\t\n", { refused: /empty/ }],
  ["a byte order mark alone", () => "\uFEFF", { refused: /empty/ }],
  ["null", () => "null\n", { refused: /null, not an object/ }],
  ["a number", () => "42\n", { refused: /a number, not an object/ }],
  ["a comment", () => "# nothing\n", { refused: /not an object|empty/ }],
  ["prose", () => "This is\nnot a document.\n", { refused: /a string, not an object/ }],
  ["HTML", () => "\uFEFF\n<!DOCTYPE html><html><body>openapi: 3.0.0</body></html>", { refused: /HTML/ }],
  ["WSDL", () => '<?xml version="1.0"?><definitions/>', { refused: /HTML or XML/ }],
  ["a PNG", () => Uint8Array.from([137, 80, 78, 71, 13, 10, 26, 10, 0xff, 0xfe]), { refused: /not UTF-8/ }],
  ["Latin-1", () => Buffer.from(document({ "/ä": get() }), "latin1"), { refused: /not UTF-8/ }],
  ["NUL bytes", () => "openapi: 3.0.3\npaths: \0\n", { refused: /cannot be/ }],
  ["cut off JSON", () => document({ "/orders": get() }).slice(0, -9), { refused: /JSON cannot be parsed/ }],
  ["tabs in YAML", () => "openapi: 3.0.3\npaths:\n\t/orders:\n\t\tget: {}\n", { refused: /line \d+/ }],
  ["two roots", () => "openapi: 3.0.3\n- paths\n", { refused: /cannot be parsed/ }],
  ["gzip of nothing", () => gzipSync(""), { refused: /empty/ }],
  ["cut off gzip", () => gzipSync(document({ "/a": get() })).subarray(0, 40), { refused: /damaged gzip/ }],
  ["gzip in gzip", () => gzipSync(gzipSync(document({ "/a": get() }))), { tools: 1 }],
  ["gzip bomb", () => gzipSync(Buffer.alloc(140 << 20, "[")), { refused: /more than \d+ bytes/ }],
  [
    "gzip bomb in gzip",
    () => gzipSync(gzipSync(Buffer.alloc(140 << 20))),
    { refused: /more than \d+ bytes/ },
  ],
  // Other formats and versions
  [
    "Postman",
    () => '{"info":{"schema":"https://schema.getpostman.com/v2.1"},"item":[]}',
    { refused: /Postman/ },
  ],
  ["AsyncAPI", () => "asyncapi: 3.0.0\nchannels: {}\n", { refused: /AsyncAPI/ }],
  [
    "JSON Schema",
    () => '{"$schema":"https://json-schema.org/draft/2020-12/schema"}',
    { refused: /JSON Schema/ },
  ],
  ["RAML", () => "#%RAML 1.0\ntitle: Shop\n/orders:\n  get:\n", { refused: /neither `openapi` nor/ }],
  ["HAR", () => '{"log":{"version":"1.2","entries":[]}}', { refused: /neither `openapi` nor/ }],
  ["GraphQL introspection", () => '{"data":{"__schema":{"types":[]}}}', { refused: /neither `openapi` nor/ }],
  ["package.json", () => '{"name":"shop","version":"3.0.0"}', { refused: /neither `openapi` nor/ }],
  ["Swagger 1.2", () => '{"swaggerVersion":"1.2","apis":[]}', { refused: /not supported.*Supported are/ }],
  ["OpenAPI 2", () => '{"openapi":"2.0","paths":{}}', { refused: /"2.0" is not supported/ }],
  ["OpenAPI 4", () => '{"openapi":"4.0.0","paths":{}}', { refused: /not supported/ }],
  ["no version", () => '{"openapi":"","paths":{}}', { refused: /not supported/ }],
  ["version null", () => '{"openapi":null,"paths":{}}', { refused: /neither `openapi` nor/ }],
  ["version as a list", () => '{"openapi":["3.0.3"],"paths":{}}', { refused: /not a version/ }],
  ["version as a number", () => yaml("").replace("3.0.3", "3.1"), { tools: 1, code: "version-not-text" }],
  ["no paths", () => JSON.stringify(head), { refused: /no `paths`/ }],
  ["paths null", () => '{"openapi":"3.0.3","paths":null}', { refused: /no operations|not an object/ }],
  ["paths a list", () => '{"openapi":"3.0.3","paths":[{}]}', { refused: /not an object/ }],
  ["webhooks only", () => '{"openapi":"3.1.0","webhooks":{"a":{"post":{}}}}', { refused: /webhooks/ }],
  // References
  ["file:///etc/passwd", () => external("file:///etc/passwd"), { refused: leaves }],
  ["a path of the machine", () => external("/etc/passwd"), { refused: leaves }],
  ["a path upwards", () => external("../../../../etc/passwd#/x"), { refused: leaves }],
  ["a UNC path", () => external("\\\\server\\share\\x.yaml"), { refused: leaves }],
  ["the cloud's metadata", () => external("http://169.254.169.254/latest/meta-data"), { refused: leaves }],
  ["ftp", () => external("ftp://example.com/x"), { refused: leaves }],
  ["javascript:", () => external("javascript:alert(1)"), { refused: leaves }],
  ["data:", () => external("data:application/json,{}"), { refused: leaves }],
  ["no host", () => external("http://"), { refused: /is no address/ }],
  [
    "external in a parameter, others stay",
    () => document({ "/a": get({ parameters: [{ $ref: "p.yaml" }] }), "/b": get() }),
    { tools: 1, code: "operation-left-out" },
  ],
  [
    "external in a response, all stay",
    () => document({ "/a": get({ responses: { "200": { $ref: "p.yaml" } } }), "/b": get() }),
    { tools: 2, code: "external-reference" },
  ],
  ["external path item", () => document({ "/a": { $ref: "a.yaml" } }), { refused: leaves }],
  ["unresolved", () => external("#/components/schemas/Gone"), { tools: 1, code: "unresolved-reference" }],
  [
    "half a percent sign",
    () => external("#/components/%E0%A4%A"),
    { tools: 1, code: "unresolved-reference" },
  ],
  ["a reference to nothing", () => external(""), { tools: 1 }],
  ["a reference to the document", () => external("#"), { tools: 1 }],
  ["a reference to itself", () => withBody(ref("A"), { A: ref("A") }), { tools: 1 }],
  ["a ring of references", () => withBody(ref("A"), { A: ref("B"), B: ref("C"), C: ref("A") }), { tools: 1 }],
  [
    "allOf of itself",
    () => withBody(ref("A"), { A: { allOf: [ref("A")] } }),
    { tools: 1, code: "schema-loop" },
  ],
  [
    "a ring of path items",
    () => document({ "/a": { $ref: "#/paths/~1b" }, "/b": { $ref: "#/paths/~1a" }, "/c": get() }),
    { tools: 1, code: "unresolved-reference" },
  ],
  [
    "a ring of parameters",
    () =>
      document(
        { "/a": get({ parameters: [{ $ref: "#/components/parameters/A" }] }) },
        { components: { parameters: { A: { $ref: "#/components/parameters/A" } } } },
      ),
    { tools: 1, code: "unresolved-reference" },
  ],
  [
    "10,000 references in a row",
    () =>
      withBody(ref("S0"), {
        ...Object.fromEntries(range(10_000, (i) => [`S${i}`, ref(`S${i + 1}`)])),
        S10000: { type: "string" },
      }),
    { tools: 1 },
  ],
  [
    "a chain of schemas, each the root of an operation",
    () =>
      document(
        Object.fromEntries(range(3_000, (i) => [`/a${i}`, body({ type: "array", items: ref(`S${i}`) })])),
        {
          components: {
            schemas: Object.fromEntries(
              range(3_001, (i) => [`S${i}`, { properties: { next: ref(`S${Math.min(3_000, i + 1)}`) } }]),
            ),
          },
        },
      ),
    { tools: 3_000 },
  ],
  [
    "$ref as a property",
    () => withBody({ type: "object", properties: { $ref: { type: "string" } } }),
    { tools: 1 },
  ],
  ["$ref that is a number", () => withBody({ $ref: 5 }), { tools: 1 }],
  // Exhaustion
  [
    "alias bomb of lists",
    () => yaml(`a0: &a0 [x, x]\n${aliases((a, b) => `${a}: &${a} [${range(9, () => `*${b}`)}]`, 12)}\n`),
    { refused: /aliases/ },
  ],
  [
    "alias bomb of maps",
    () => yaml(`a0: &a0 {x: y}\n${aliases((a, b) => `${a}: &${a} {p: *${b}, q: *${b}}`, 40)}\n`),
    { refused: /aliases/ },
  ],
  [
    "bomb of merge keys",
    () =>
      yaml(
        `a: &a {${range(5_000, (i) => `k${i}: 1`)}}\nb:\n${range(2_000, (i) => `  - {<<: *a, x${i}: 1}`).join("\n")}\n`,
      ),
    { refused: /merge keys|values/ },
  ],
  ["an alias of itself", () => yaml("a: &a [*a]\n"), { refused: /contains itself|cannot be parsed/ }],
  ["an alias of nothing", () => yaml("a: *gone\n"), { refused: /cannot be parsed/ }],
  [
    "a quadrillion by references",
    () =>
      withBody(
        ref("S0"),
        Object.fromEntries(
          range(50, (i) => [
            `S${i}`,
            { properties: i === 49 ? {} : { a: ref(`S${i + 1}`), b: ref(`S${i + 1}`) } },
          ]),
        ),
      ),
    { tools: 1 },
  ],
  [
    "a quadrillion by allOf",
    () =>
      withBody(
        ref("S0"),
        Object.fromEntries(
          range(50, (i) => [`S${i}`, { allOf: i === 49 ? [{}] : [ref(`S${i + 1}`), ref(`S${i + 1}`)] }]),
        ),
      ),
    { tools: 1 },
  ],
  [
    "10,000 lists deep, JSON",
    () => document({ "/a": get() }, { x: [] }).replace("[]", nested("[", "", "]", 10_000)),
    { tools: 1 },
  ],
  ["10,000 lists deep, YAML", () => yaml(`x: ${nested("[", "", "]", 10_000)}\n`), { refused: /deep/ }],
  [
    "10,000 levels of block YAML",
    () => yaml(`x:\n${range(3_000, (i) => `${" ".repeat(i + 1)}a:`).join("\n")} 1\n`),
    { refused: /deep/ },
  ],
  [
    "9,000 schemas deep",
    () =>
      withBody("S").replace(
        '"S"',
        nested('{"type":"object","properties":{"a":', '{"type":"string"}', "}}", 9_000),
      ),
    { tools: 1, code: "schema-too-deep" },
  ],
  [
    "9,000 allOf deep",
    () => withBody("S").replace('"S"', nested('{"allOf":[', '{"type":"string"}', "]}", 9_000)),
    { tools: 1, code: "schema-too-deep" },
  ],
  [
    "an example 10,000 lists deep",
    () =>
      withBody({ properties: { x: { example: "E", default: 1 } } }).replace(
        '"E"',
        nested("[", "", "]", 10_000),
      ),
    { tools: 1, code: "value-too-deep" },
  ],
  [
    "30,000 levels",
    () => document({ "/a": get() }, { x: [] }).replace("[]", nested("[", "", "]", 30_000)),
    { refused: /levels deep/ },
  ],
  [
    "millions of values",
    () => document({ "/a": get() }, { x: [] }).replace("[]", `[${"0,".repeat(6_000_000)}0]`),
    { refused: /values/ },
  ],
  ["millions of values, YAML", () => yaml(`x: [${"0,".repeat(4_000_000)}0]\n`), { refused: /items/ }],
  [
    "100,000 junk parameters",
    () => document({ "/a": get({ parameters: range(100_000, () => 0) }) }),
    { tools: 1, code: "document-not-checked" },
  ],
  [
    "100,000 tags",
    () => document({ "/a": get() }, { tags: range(100_000, (i) => ({ name: `t${i}` })) }),
    { tools: 1 },
  ],
  [
    "100,000 values of an enum",
    () => withBody({ type: "string", enum: range(100_000, (i) => `v${i}`) }),
    { tools: 1 },
  ],
  [
    "3,000 properties, all required, the body not",
    () => {
      const names = range(3_000, (i) => `p${i}`);
      const schema = { required: names, properties: Object.fromEntries(names.map((name) => [name, {}])) };
      const operation = body(schema).post;
      return document({
        "/a": { post: { ...operation, requestBody: { ...operation.requestBody, required: false } } },
      });
    },
    { tools: 1 },
  ],
  [
    "one large body for 7,000 operations",
    () =>
      document(Object.fromEntries(range(7_000, (i) => [`/a${i}`, body(ref("Big"))])), {
        components: {
          schemas: {
            Big: { properties: Object.fromEntries(range(500, (i) => [`p${i}`, { type: "string" }])) },
          },
        },
      }),
    { refused: /more than 3000000 arguments/ },
  ],
  [
    "10,000 places in a path",
    () => document({ [`/${range(10_000, (i) => `{p${i}}`).join("/")}`]: get() }),
    { tools: 1, code: "path-parameter-undeclared" },
  ],
  ["a path of a million characters", () => document({ [`/${"a{".repeat(500_000)}`]: get() }), { tools: 1 }],
  [
    "comments that never end",
    () => document({ "/a": get({ description: "<!--".repeat(200_000) }) }),
    { tools: 1 },
  ],
  [
    "links that never end",
    () => document({ "/a": get({ description: "[](".repeat(200_000) }) }),
    { tools: 1 },
  ],
  [
    "an operationId of a million characters",
    () => document({ "/a": get({ operationId: "x".repeat(1_000_000) }) }),
    { tools: 1 },
  ],
  [
    "10,000 times the same operationId",
    () => document(Object.fromEntries(range(10_000, (i) => [`/a${i}`, get({ operationId: "find" })]))),
    { tools: 10_000, code: "duplicate-operation-id" },
  ],
  // Regular expressions
  ["(a+)+$", () => withBody({ properties: { x: { type: "string", pattern: "^(a+)+$" } } }), { tools: 1 }],
  [
    "(",
    () => withBody({ properties: { x: { type: "string", pattern: "(" } } }),
    { tools: 1, code: "pattern-invalid" },
  ],
  [
    "lookbehind of PCRE",
    () => withBody({ properties: { x: { type: "string", pattern: "(?<=a++)b\\K" } } }),
    { tools: 1, code: "pattern-invalid" },
  ],
  [
    "100,000 groups",
    () => withBody({ properties: { x: { type: "string", pattern: nested("(", "", ")", 100_000) } } }),
    { tools: 1 },
  ],
  [
    "an exponential counter",
    () => withBody({ properties: { x: { type: "string", pattern: "(((a{1,999}){1,999}){1,999}){1,999}" } } }),
    { tools: 1 },
  ],
  [
    "a hostile patternProperties",
    () =>
      withBody({ properties: { x: { type: "object", patternProperties: { "(((": {}, "^(x+x+)+y$": {} } } } }),
    { tools: 1 },
  ],
  // Names that mean something to JavaScript or to a terminal
  [
    "__proto__ everywhere",
    () => document({ "/a": get() }).replace('"/a"', '"__proto__":{"get":{"responses":{}}},"/a"'),
    { tools: 1, code: "forbidden-key" },
  ],
  [
    "__proto__ in escapes",
    () => withBody({ properties: { x: {} } }).replace('"x"', '"\\u005f_proto__"'),
    { tools: 1, code: "forbidden-key" },
  ],
  [
    "__proto__ in YAML",
    () => yaml("components: {schemas: {__proto__: {polluted: true}}}\n"),
    { tools: 1, code: "forbidden-key" },
  ],
  [
    "constructor.prototype",
    () =>
      withBody({
        properties: { constructor: { properties: { prototype: {} } }, toString: {}, hasOwnProperty: {} },
      }),
    { tools: 1 },
  ],
  [
    "a parameter called __proto__",
    () => document({ "/a": get({ parameters: [{ name: "__proto__", in: "query", schema: {} }] }) }),
    { tools: 1 },
  ],
  [
    "an operationId called __proto__",
    () => document({ "/a": get({ operationId: "__proto__" }) }),
    { tools: 1 },
  ],
  [
    "an operationId that is code",
    () => document({ "/a": get({ operationId: '"];process.exit(1);//' }) }),
    { tools: 1 },
  ],
  [
    "an operationId that is a number",
    () => document({ "/a": get({ operationId: 5 }) }),
    { tools: 1, code: "missing-operation-id" },
  ],
  [
    "an operationId of emoji",
    () => document({ "/a": get({ operationId: "🦄🦄" }), "/b": get({ operationId: "🦄" }) }),
    { tools: 2 },
  ],
  [
    "escape sequences",
    () => document({ "/a": get({ operationId: "\u001b[2Jx", summary: "\u001b]0;owned\u0007\u202e" }) }),
    { tools: 1 },
  ],
  [
    "half a surrogate pair around references that are pasted in",
    () =>
      document({
        "/a": get({
          parameters: [
            {
              name: "a",
              in: "query",
              schema: { properties: { "\ud800": { $ref: "#/$defs/A" } }, $defs: { A: { $ref: "#" } } },
            },
          ],
        }),
        "/\ud800": get({ responses: { 200: { description: "", schema: { $ref: "#/$defs/B" } } } }),
      }),
    { tools: 2, code: "reference-mended" },
  ],
  [
    "half a surrogate pair",
    () => document({ "/\ud800": get({ operationId: "\udc00", summary: "\ud83d" }) }),
    { tools: 1 },
  ],
  // Wrong types
  [
    "operations that are none",
    () => document({ "/a": { get: 5, put: null, post: [], patch: { responses: ok } } }),
    { tools: 1, code: "operation-invalid" },
  ],
  [
    "a path item that is none",
    () => document({ "/a": "x", "/b": [], "/c": get() }),
    { tools: 1, code: "path-item-invalid" },
  ],
  [
    "parameters that are none",
    () =>
      document({
        "/a": get({ parameters: [null, 5, {}, { name: 1, in: "query" }, { name: "x", in: "moon" }] }),
      }),
    { tools: 1, code: "parameter-invalid" },
  ],
  [
    "parameters as a map",
    () => document({ "/a": get({ parameters: { q: { name: "q", in: "query", schema: {} } } }) }),
    { tools: 1, code: "parameters-not-list" },
  ],
  [
    "schemas that are none",
    () =>
      withBody({
        type: ["moon", 5],
        properties: 5,
        required: "x",
        allOf: {},
        enum: [],
        items: 7,
        minLength: "x",
      }),
    { tools: 1 },
  ],
  [
    "everything null",
    () =>
      JSON.stringify({
        ...head,
        info: null,
        tags: null,
        servers: null,
        security: null,
        components: null,
        paths: {
          "/a": {
            get: {
              parameters: null,
              requestBody: null,
              responses: null,
              tags: null,
              security: null,
              servers: null,
            },
          },
        },
      }),
    { tools: 1 },
  ],
  [
    "everything a list",
    () =>
      JSON.stringify({
        ...head,
        info: [],
        tags: {},
        servers: {},
        security: {},
        components: [],
        paths: {
          "/a": {
            get: { parameters: [], requestBody: [], responses: [], tags: {}, security: {}, servers: [5] },
          },
        },
      }),
    { tools: 1 },
  ],
  [
    "everything a text",
    () =>
      JSON.stringify({
        ...head,
        info: "",
        tags: "",
        servers: "",
        security: "",
        components: "",
        paths: {
          "/a": {
            get: { parameters: "", requestBody: "", responses: "", tags: "", security: "", servers: "" },
          },
        },
      }),
    { tools: 1 },
  ],
  [
    "a 2.0 body twice",
    () =>
      JSON.stringify({
        swagger: "2.0",
        info: head.info,
        paths: {
          "/a": {
            post: {
              responses: ok,
              parameters: [
                { name: "a", in: "body", schema: {} },
                { name: "b", in: "body", schema: {} },
              ],
            },
          },
        },
      }),
    { tools: 1, code: "several-bodies" },
  ],
  [
    "an undeclared place in the path",
    () => document({ "/a/{b}/{c}": get() }),
    { tools: 1, code: "path-parameter-undeclared" },
  ],
  [
    "a declared place that is not in the path",
    () => document({ "/a": get({ parameters: [{ name: "b", in: "path", required: true, schema: {} }] }) }),
    { tools: 1, code: "path-parameter-unused" },
  ],
  [
    "a key twice in JSON",
    () => document({ "/a": get() }).replace('"get":', '"get":{},"get":'),
    { tools: 1, code: "duplicate-key" },
  ],
  [
    "a key twice in YAML",
    () => yaml("info: {title: Again, version: '2'}\n"),
    { tools: 1, code: "duplicate-key" },
  ],
  ["two YAML documents", () => `${yaml("")}---\n${yaml("")}`, { tools: 1, code: "several-documents" }],
  [
    "JSON with comments",
    () => document({ "/a": get() }).replace("{", "{ # comment\n"),
    { tools: 1, code: "json-not-strict" },
  ],
  ["tags of other languages", () => yaml("x: !!python/object/apply:os.system ['id']\n"), { tools: 1 }],
  ["tags of JavaScript", () => yaml("x: !!js/function 'function(){ process.exit(1) }'\n"), { tools: 1 }],
  [
    "texts that are objects with a toString of their own",
    () => {
      const odd = { toString: null, valueOf: 5, length: 1e9 };
      return JSON.stringify({
        ...head,
        info: { title: odd, version: odd },
        servers: [{ url: odd }, { url: "/", variables: { a: { default: odd, enum: [odd] } } }],
        security: [{ key: [odd] }],
        tags: [{ name: odd, description: odd }],
        paths: {
          "/a": {
            post: {
              operationId: odd,
              summary: odd,
              tags: [odd],
              deprecated: odd,
              parameters: [
                { name: "q", in: "query", style: odd, schema: { type: odd, format: odd, enum: [odd] } },
              ],
              requestBody: {
                content: { "application/json": { schema: { type: [odd], title: odd, required: [odd] } } },
              },
              responses: { "200": { description: odd } },
            },
          },
        },
      });
    },
    { tools: 1 },
  ],
  [
    "values that are nested without end where a number or a name belongs",
    () =>
      withBody({
        properties: { x: { minimum: "D", type: "D", format: "D", discriminator: { propertyName: "D" } } },
      }).replaceAll('"D"', nested("[", "", "]", 8_000)),
    { tools: 1 },
  ],
];
