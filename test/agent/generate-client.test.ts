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
import { docComment, propertyName, stringLiteral } from "../../src/agent/code-text.js";
import { generateClient } from "../../src/agent/generate-client.js";
import { readMenu, writeMenu } from "../../src/agent/menu-file.js";
import { printType } from "../../src/agent/schema-types.js";
import { buildToolMenu, loadOpenApi, type ToolMenu } from "../../src/openapi/index.js";
import type { JsonSchema } from "../../src/util/json.js";
import { menuOf, petstoreMenu } from "./helpers.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const tsc = join(root, "node_modules/typescript/bin/tsc");

const strictest = {
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  isolatedDeclarations: true,
  declaration: true,
  noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noFallthroughCasesInSwitch: true,
  noUncheckedSideEffectImports: true,
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  erasableSyntaxOnly: true,
  skipLibCheck: false,
  noEmit: true,
  module: "nodenext",
  target: "es2023",
  lib: ["ES2023"],
};

// Texts that broke out of other generators: orval CVE-2026-22785, -23947, -25141 and -72716 and their kin.
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
];

async function hostileMenu(): Promise<ToolMenu> {
  const paths: Record<string, unknown> = {};
  const schemas: Record<string, unknown> = {};
  for (const [i, text] of hostileTexts.entries()) {
    const own = (value: unknown) => Object.defineProperty({}, text, { value, enumerable: true });
    const response = {
      type: "object",
      description: text,
      properties: own({ type: "string", enum: [text, `${text}2`], default: text, description: text }),
      required: [text],
    };
    Object.defineProperty(schemas, text === "" ? "empty" : text, { value: response, enumerable: true });
    paths[`/p${i}`] = {
      post: {
        operationId: text,
        summary: text,
        description: text,
        tags: [text],
        parameters: [{ name: `q${text}`, in: "query", description: text, schema: { const: text } }],
        requestBody: { content: { "application/json": { schema: response } } },
        responses: {
          200: { description: text, content: { "application/json": { schema: response } } },
          404: {
            description: text,
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
    components: { schemas },
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
          paths: { specdojo: [join(dir, "specdojo/agent/index.d.ts")] },
        },
        include: ["*-ts/*.ts", "*-js/*.d.ts", "use/*.ts"],
      }),
    );
  }, 120_000);
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
  }, 60_000);

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
  }, 60_000);

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
