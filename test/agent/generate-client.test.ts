import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createClient } from "../../src/agent/client.js";
import { docComment, propertyName, stringLiteral } from "../../src/agent/code-text.js";
import { generateClient } from "../../src/agent/generate-client.js";
import { readMenu, writeMenu } from "../../src/agent/menu-file.js";
import { printType } from "../../src/agent/schema-types.js";
import { buildToolMenu, loadOpenApi, type ToolMenu } from "../../src/openapi/index.js";
import type { JsonSchema } from "../../src/util/json.js";
import { menuOf, petstoreMenu } from "./helpers.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const tsc = join(root, "node_modules/typescript/bin/tsc");

const { compilerOptions: strictest } = JSON.parse(
  readFileSync(join(root, "bench/strictest.json"), "utf8"),
) as { compilerOptions: Record<string, unknown> };

// Texts that try to become code, for every place of a document that a client is made from.
const hostileTexts = [
  "*/ globalThis.pwned = 1; /*",
  "*\u2028/ globalThis.pwned = 1",
  "\u2028globalThis.pwned = 1;\u2029",
  "\r\nglobalThis.pwned = 1;//",
  "`${(globalThis.pwned = 1)}`",
  '"; globalThis.pwned = 1; "',
  "'; globalThis.pwned = 1; '",
  "\\",
  '\\"; globalThis.pwned = 1; //',
  "]; globalThis.pwned = 1; //",
  "} globalThis.pwned = 1; {",
  "</script><script>globalThis.pwned = 1</script>",
  "@ts-nocheck",
  "@ts-ignore",
  "@jsx pwned",
  "///<reference path='/etc/passwd' />",
  "import('/etc/passwd')",
  "#!/usr/bin/env node",
  "\u202Ereversed\u202C",
  "\uD800 lone",
  "${process.env.HOME}",
  "<%= 1 %> {{ 1 }}",
  "__proto__",
  "constructor",
  "then",
  "toString",
  "hasOwnProperty",
  "await",
  "",
  " ",
  "1abc",
  "Operations",
  "string",
  "any",
  "Record",
  "\0",
  "\u0007\u001b[31m",
  "né d'été 日本",
  "a/b~c%2F",
  "x".repeat(3000),
  "* /",
  "/**/",
  "*/[][(![]+[])[+[]]]/*",
  "\\u002a\\u002f globalThis.pwned = 1; \\u002f\\u002a",
  "\u2029*/globalThis.pwned=1/*",
  "<!-- globalThis.pwned = 1; -->",
  "$" + "{globalThis.pwned = 1}",
  '"+(globalThis.pwned = 1)+"',
  "a: string } }; globalThis.pwned = 1; interface B { c: { d",
  "x; }\nglobalThis.pwned = 1;\ninterface Y {",
];

/** One document for each published break-out of another generator, with the place and the text that it went through. */
const publishedShapes: Record<string, object> = {
  // orval, CVE-2026-22785: the summary, in a string of the generated MCP server.
  "CVE-2026-22785": {
    paths: {
      "/a": {
        get: {
          operationId: "a",
          summary: '",async()=>{globalThis.pwned = 1}),server.tool("b","',
          responses: {},
        },
      },
    },
  },
  // orval, CVE-2026-23947: names and descriptions of enum members.
  "CVE-2026-23947": {
    paths: { "/a": { get: { operationId: "a", responses: ok({ $ref: "#/components/schemas/Colour" }) } } },
    components: {
      schemas: {
        Colour: {
          type: "string",
          enum: ["red", "blue"],
          "x-enum-varnames": ["red: 1 }; globalThis.pwned = 1; const x = { y", "constructor"],
          "x-enumNames": ["'];globalThis.pwned=1;['", "b"],
          "x-enum-descriptions": ["*/ globalThis.pwned = 1; /*", "\n globalThis.pwned = 1; //"],
          "x-enumDescriptions": { red: "*/ globalThis.pwned = 1; /*" },
        },
      },
    },
  },
  // orval, CVE-2026-25141: the fix of the above left comment ends and code without quotes.
  "CVE-2026-25141": {
    paths: { "/a": { get: { operationId: "a", responses: ok({ $ref: "#/components/schemas/Kind" }) } } },
    components: {
      schemas: {
        Kind: {
          type: "number",
          description: "*/[][(![]+[])[+[]]+(!![]+[])[+[]]]/*",
          enum: [1, 2],
          "x-enum-descriptions": ["*/[][(![]+[])[+[]]]/*", "\\*/globalThis.pwned=1/*"],
        },
      },
    },
  },
  // orval, CVE-2026-72716: default values, in template literals.
  "CVE-2026-72716": {
    paths: {
      "/a": {
        get: {
          operationId: "a",
          parameters: ["`${globalThis.pwned = 1}`", ["${globalThis.pwned = 1}"], { a: "`" }, -0].map(
            (value, i) => ({
              name: `p${i}`,
              in: "query",
              schema: { default: value, example: value, examples: [value] },
            }),
          ),
          responses: {},
        },
      },
    },
  },
  // openapi-mcp-generator: operation ids, paths, server addresses and scheme names in templates.
  "openapi-mcp-generator": {
    servers: [{ url: 'https://x/";globalThis.pwned=1;//', description: "`${globalThis.pwned = 1}`" }],
    paths: {
      '/a"+(globalThis.pwned = 1)+"/{`}/{${globalThis.pwned}}': {
        get: {
          operationId: "a`;globalThis.pwned = 1;`",
          security: [{ "k';globalThis.pwned=1;'": [] }],
          responses: {},
        },
      },
    },
    components: {
      securitySchemes: { "k';globalThis.pwned=1;'": { type: "apiKey", in: "header", name: "X-`${1}`" } },
    },
  },
  // hey-api: names of properties and schemas that reach the prototype.
  "hey-api": JSON.parse(`{
    "paths": { "/a": { "get": { "operationId": "__proto__", "parameters": [
      { "name": "__proto__", "in": "query", "schema": { "type": "object", "properties": { "__proto__": { "const": { "pwned": 1 } } } } },
      { "name": "constructor", "in": "query", "schema": { "$ref": "#/components/schemas/__proto__" } } ],
      "responses": { "200": { "description": "", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/constructor" } } } } } } } },
    "components": { "schemas": {
      "__proto__": { "type": "object", "properties": { "pwned": { "type": "boolean" } } },
      "constructor": { "type": "object", "properties": { "prototype": { "$ref": "#/components/schemas/__proto__" } }, "required": ["__proto__"] } } }
  }`) as object,
  // swagger-codegen, CVE-2016-5641: paths and descriptions.
  "CVE-2016-5641": {
    paths: {
      "/a\n*/globalThis.pwned=1/*": {
        get: { description: "a\r\n*/\nglobalThis.pwned = 1\n/*", responses: {} },
      },
    },
  },
};

function ok(schema: object): object {
  return { 200: { description: "", content: { "application/json": { schema } } } };
}

async function hostileMenu(): Promise<ToolMenu> {
  const paths: Record<string, unknown> = {};
  const schemas: Record<string, unknown> = {};
  const schemes: Record<string, unknown> = {};
  for (const [i, text] of hostileTexts.entries()) {
    const own = (value: unknown) => Object.defineProperty({}, text, { value, enumerable: true });
    const response = {
      type: "object",
      description: text,
      properties: own({
        type: "string",
        enum: [text, `${text}2`],
        default: text,
        examples: [text],
        title: text,
        description: text,
        "x-enum-varnames": [text, text],
        "x-enum-descriptions": [text, text],
      }),
      required: [text],
      patternProperties: own({ type: "string" }),
      dependentRequired: own([text]),
      discriminator: { propertyName: text, mapping: own(text) },
    };
    const scheme = { type: "apiKey", in: "header", name: text, description: text };
    Object.defineProperty(schemes, text, { value: scheme, enumerable: true });
    Object.defineProperty(schemas, text === "" ? "empty" : text, { value: response, enumerable: true });
    paths[`/p${i}/${text.replaceAll(/[{}]/g, "")}`] = {
      servers: [{ url: `https://example.com/${text}`, description: text, variables: own({ default: text }) }],
      post: {
        operationId: text,
        summary: text,
        description: text,
        tags: [text],
        security: [own([text])],
        externalDocs: { url: text, description: text },
        parameters: ["query", "header", "cookie"].map((place) => ({
          name: `${place[0] ?? ""}${text}`,
          in: place,
          description: text,
          example: text,
          schema: { const: text },
        })),
        requestBody: { content: { "application/json": { schema: response } } },
        responses: {
          200: { description: text, content: { "application/json": { schema: response } } },
          [text]: { description: text, content: { [text]: { schema: response } } },
          404: {
            description: text,
            headers: own({ description: text, schema: { const: text } }),
            content: {
              "application/json": {
                schema: {
                  $ref: `#/components/schemas/${encodeURIComponent(text.replace(/\p{Cs}/gu, "\ufffd"))
                    .replaceAll("~", "~0")
                    .replaceAll("%2F", "~1")}`,
                },
              },
            },
          },
        },
      },
    };
  }
  return menuOf({
    info: { title: "*/ globalThis.pwned = 1; /*", version: "\u2028" },
    paths,
    components: { schemas, securitySchemes: schemes },
    tags: hostileTexts.map((name) => ({ name, description: name })),
  });
}

describe("what is generated", () => {
  let dir: string;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "specdojo-generate-"));
    writeFileSync(join(dir, "package.json"), JSON.stringify({ type: "module" }));
    symlinkSync(join(root, "node_modules"), join(dir, "node_modules"), "dir");
    const write = (name: string, menu: ToolMenu) => {
      for (const language of ["ts", "js"] as const) {
        mkdirSync(join(dir, `${name}-${language}`));
        for (const [file, text] of generateClient(menu, { language }))
          writeFileSync(join(dir, `${name}-${language}`, file), text);
      }
    };
    const fixtures = join(root, "test/fixtures/specs");
    for (const file of readdirSync(fixtures))
      write(file.replaceAll(".", "_"), buildToolMenu(await loadOpenApi(join(fixtures, file))));
    write("hostile", await hostileMenu());
    for (const [name, document] of Object.entries(publishedShapes))
      write(`published-${name}`, await menuOf(document));
    // The declarations that a user gets, so that the strictest options apply to what is generated alone.
    execFileSync(process.execPath, [
      tsc,
      ...[
        "--ignoreConfig",
        "--declaration",
        "--emitDeclarationOnly",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--target",
        "es2023",
        "--lib",
        "ES2023",
      ],
      ...[
        "--strict",
        "--exactOptionalPropertyTypes",
        "--typeRoots",
        join(root, "node_modules/@types"),
        "--types",
        "node",
      ],
      ...[
        "--rootDir",
        join(root, "src"),
        "--outDir",
        join(dir, "specdojo"),
        join(root, "src/agent/index.ts"),
      ],
    ]);
    writeFileSync(
      join(dir, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          ...strictest,
          types: ["node"],
          typeRoots: [join(root, "node_modules/@types")],
          paths: { "specdojo/agent": [join(dir, "specdojo/agent/index.d.ts")] },
        },
        include: ["*-ts/*.ts", "*-js/*.d.ts", "use/*.ts"],
      }),
    );
  }, 300_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const compile = (): string => {
    try {
      return execFileSync(process.execPath, [tsc, "-p", dir], { encoding: "utf8" });
    } catch (error) {
      return String((error as { stdout?: unknown }).stdout);
    }
  };

  test("compiles under the strictest options, hostile documents too", () => {
    expect(compile()).toBe("");
  }, 300_000);

  test("types of the client accept what is right and nothing else", () => {
    mkdirSync(join(dir, "use"), { recursive: true });
    const source = readFileSync(new URL("client-types.txt", import.meta.url), "utf8");
    writeFileSync(join(dir, "use/use.ts"), source);
    const errors = compile();
    // Every line marked with an error is one: an unused @ts-expect-error would be reported.
    expect(errors).toBe("");
    writeFileSync(join(dir, "use/use.ts"), source.replaceAll("// @ts-expect-error", "//"));
    const found = compile()
      .split("\n")
      .filter((line) => line.includes("use/use.ts("));
    expect(found).toHaveLength(source.split("// @ts-expect-error").length - 1);
    rmSync(join(dir, "use"), { recursive: true });
  }, 300_000);

  test("types are erased as a whole, and data is one string literal", () => {
    const names = readdirSync(dir).filter((name) => /^(?:hostile|published-.*)-ts$/.test(name));
    expect(names).toHaveLength(Object.keys(publishedShapes).length + 1);
    const emitted = join(dir, "emitted");
    const sources = names.map((name) => join(dir, name, "types.ts"));
    const options = [
      "--ignoreConfig",
      "--noCheck",
      "--removeComments",
      "--module",
      "esnext",
      "--target",
      "es2023",
    ];
    const out = ["--outDir", emitted, "--rootDir", dir];
    execFileSync(process.execPath, [tsc, ...options, ...out, ...sources]);
    for (const name of names) {
      expect(readFileSync(join(emitted, name, "types.js"), "utf8").trim()).toBe("export {};");
      expect(readFileSync(join(dir, name, "tools.ts"), "utf8")).toMatch(
        /^\/\/ Generated by [^\n]*\nexport const tools: string = "(?:[^"\\\n]|\\[^\n])*";\n$/,
      );
      expect(readFileSync(join(dir, name, "index.ts"))).toEqual(
        readFileSync(join(dir, "petstore-3_0_yaml-ts/index.ts")),
      );
    }
  });

  test.each(Object.keys(publishedShapes))("%s runs nothing and changes no prototype", async (name) => {
    const { tools } = (await import(pathToFileURL(join(dir, `published-${name}-js/tools.js`)).href)) as {
      tools: string;
    };
    const client = createClient(readMenu(tools), { baseUrl: "http://127.0.0.1:1" });
    expect(client.menu.tools).toHaveLength(1);
    expect((globalThis as { pwned?: unknown }).pwned).toBeUndefined();
    expect(({} as { pwned?: unknown }).pwned).toBeUndefined();
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  test("hostile text runs nothing, and comes back unchanged as data", async () => {
    const { tools } = (await import(pathToFileURL(join(dir, "hostile-js/tools.js")).href)) as {
      tools: string;
    };
    expect((globalThis as { pwned?: unknown }).pwned).toBeUndefined();
    const menu = await hostileMenu();
    expect(
      readMenu(tools).tools.map(({ name, description, parameters }) => ({ name, description, parameters })),
    ).toEqual(
      JSON.parse(
        JSON.stringify(
          menu.tools.map(({ name, description, parameters }) => ({ name, description, parameters })),
        ),
      ),
    );
  });

  test("generated files hold printable text only", async () => {
    for (const text of generateClient(await hostileMenu()).values())
      expect(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.exec(text)).toBeNull();
  });
});

describe("printType", () => {
  const plain = {
    direction: "response" as const,
    resolve: (name: string) => (name === "Known" ? "Known" : undefined),
  };
  const cases: [JsonSchema, string][] = [
    [true, "unknown"],
    [false, "never"],
    [{}, "unknown"],
    [{ type: "string" }, "string"],
    [{ type: ["integer", "null"] }, "number | null"],
    [{ type: "string", nullable: true }, "string | null"],
    [{ type: "string", enum: ["a", 'b"', 3, null] }, '"a" | "b\\"" | 3 | null'],
    [{ const: { a: [1, "x"] } }, '{ a: [1, "x"] }'],
    [{ enum: [1e21] }, "number"],
    [{ type: "array", items: { type: ["string", "number"] } }, "(string | number)[]"],
    [{ type: "array" }, "unknown[]"],
    [
      { type: "array", prefixItems: [{ type: "string" }, { type: "number" }], minItems: 1, items: false },
      "[string, number?]",
    ],
    [{ type: "object" }, "{ [name: string]: unknown }"],
    [{ type: "object", additionalProperties: false }, "{ [name: string]: never }"],
    [{ type: "object", additionalProperties: { type: "number" } }, "{ [name: string]: number }"],
    [
      { properties: { "a-b": { type: "string" }, c: {} }, required: ["c"] },
      '{\n  "a-b"?: string;\n  c: unknown;\n}',
    ],
    [
      { type: "object", properties: { a: { type: "string" } }, additionalProperties: true },
      "{\n  a?: string;\n  [name: string]: unknown;\n}",
    ],
    [
      { type: "object", properties: { id: { type: "string", readOnly: true } } },
      "{\n  readonly id?: string;\n}",
    ],
    [
      { type: "object", properties: { secret: { type: "string", writeOnly: true }, a: {} } },
      "{\n  a?: unknown;\n}",
    ],
    [{ anyOf: [{ type: "string" }, { $ref: "#/$defs/Known" }] }, "string | Known"],
    [
      { allOf: [{ $ref: "#/$defs/Known" }, { properties: { a: { type: "null" } } }] },
      "Known & {\n  a?: null;\n}",
    ],
    [
      { allOf: [{ oneOf: [{ type: "string" }, { type: "number" }] }, { $ref: "#/$defs/Known" }] },
      "(string | number) & Known",
    ],
    [{ $ref: "#/$defs/Unknown" }, "unknown"],
    [{ $ref: "https://example.com/x.json" }, "unknown"],
    [{ type: "mystery" }, "unknown"],
  ];
  test.each(cases)("%j", (schema, want) => expect(printType(schema, plain)).toBe(want));

  test("a schema as deep as a document can be does not end the process", () => {
    let schema: JsonSchema = { type: "string" };
    for (let i = 0; i < 5000; i++) schema = { type: "array", items: schema };
    expect(printType(schema, plain)).toContain("unknown[][]");
  });
});

test("definitions that refer to themselves directly become unknown, others stay recursive", async () => {
  const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
  const menu = await menuOf({
    paths: {
      "/a": {
        get: {
          operationId: "a",
          responses: { 200: { description: "", content: { "application/json": { schema: ref("Loop") } } } },
        },
      },
    },
    components: {
      schemas: {
        Loop: { anyOf: [ref("Loop"), ref("Other"), { type: "string" }] },
        Other: {
          allOf: [
            ref("Loop"),
            {
              type: "object",
              properties: { child: ref("Other"), list: { type: "array", items: ref("Loop") } },
            },
          ],
        },
      },
    },
  });
  const types = generateClient(menu).get("types.ts") ?? "";
  expect(types).toContain("child?: Other;");
  expect(types).not.toMatch(/type Loop = Loop|type Loop = .*\bLoop\b(?!\[)/);
});

test("a definition with readOnly required properties has a type for requests of its own", async () => {
  const pet = {
    type: "object",
    required: ["id", "name"],
    properties: { id: { type: "integer", readOnly: true }, name: { type: "string" } },
  };
  const content = {
    "application/json": {
      schema: { type: "object", properties: { pet: { $ref: "#/components/schemas/Pet" } } },
    },
  };
  const menu = await menuOf({
    paths: {
      "/a": {
        post: {
          operationId: "a",
          requestBody: { content },
          responses: { 200: { description: "", content } },
        },
      },
    },
    components: { schemas: { Pet: pet } },
  });
  const types = generateClient(menu).get("types.ts") ?? "";
  expect(types).toContain("export type Pet = {\n  readonly id: number;");
  expect(types).toMatch(/export type PetInput = \{\n {2}(readonly id\?: number;\n {2})?name: string;/);
});

describe("text of a document", () => {
  test.each(hostileTexts.map((text) => [text]))("%j", (text) => {
    // The literal says the same text, and is what a parser takes for one token.
    expect(JSON.parse(stringLiteral(text))).toBe(text);
    const comment = docComment(text, "  ");
    expect(comment.slice(0, -3).includes("*/")).toBe(false);
    expect(comment).not.toMatch(/@/);
    const name = propertyName(text);
    expect(name === text ? /^[A-Za-z_$][\w$]*$/.test(name) : JSON.parse(name) === text).toBe(true);
  });
});

describe("tools.json", () => {
  test("a menu comes back with the definitions that each schema reaches", async () => {
    const menu = await petstoreMenu();
    expect(readMenu(writeMenu(menu))).toEqual(JSON.parse(JSON.stringify(menu)));
  });

  test.each([
    ["nonsense", "is not JSON"],
    ["[]", "is not a tool menu"],
    ['{"format":99,"title":"","tools":[],"domains":[]}', "has format 99"],
  ])("%s", (text, message) => expect(() => readMenu(text)).toThrow(message));
});
