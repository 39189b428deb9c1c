import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parse } from "yaml";
import {
  buildToolMenu,
  createArgumentValidator,
  loadOpenApi,
  renderCompact,
  renderFull,
} from "../../src/openapi/index.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { fixture } from "./fixtures.js";

const documents = [
  "petstore-2.0.json",
  "petstore-3.1.json",
  "museum-3.1.yaml",
  "uber-2.0.yaml",
  "circular-3.0.json",
].map((name): unknown => parse(readFileSync(fixture(`specs/${name}`), "utf8")));
const keywords = [
  ..."type properties items allOf anyOf enum required schema content parameters in name requestBody".split(
    " ",
  ),
  ..."responses operationId tags pattern $ref additionalProperties discriminator nullable default servers".split(
    " ",
  ),
  ..."security summary style explode const not format constructor valueOf".split(" "),
];
const junk = fc.constantFrom<unknown[]>(
  ...[
    null,
    0,
    -1,
    "",
    "(",
    [],
    {},
    true,
    ["x", null],
    [[[]]],
    "\ud800",
    1e308,
    { enum: [] },
    { allOf: null },
  ],
  ...[
    { properties: [] },
    { required: {} },
    { $ref: "#" },
    { $ref: 5 },
    { $ref: "#/nowhere" },
    { $ref: "file:///x" },
  ],
  ...[{ $ref: "#/definitions/Pet" }, { $ref: "#/components/schemas/Pet" }, { $ref: "#/components" }],
);
/** Go down by these numbers, then replace, add, remove or repeat something there. */
const mutation = fc.record({
  way: fc.array(fc.nat(1_000), { minLength: 1, maxLength: 9 }),
  kind: fc.constantFrom("replace", "add", "remove", "repeat"),
  keyword: fc.constantFrom(...keywords),
  value: junk,
});

type Container = Record<string, unknown>;

function mutate(
  document: unknown,
  { way, kind, keyword, value }: typeof mutation extends fc.Arbitrary<infer T> ? T : never,
) {
  let at = document as Container;
  for (const number of way.slice(1)) {
    const inner = Object.values(at).filter((one) => typeof one === "object" && one !== null) as Container[];
    const next = inner[number % Math.max(1, inner.length)];
    if (next !== undefined && Object.keys(next).length > 0) at = next;
  }
  const keys = Object.keys(at);
  const key = keys[(way[0] ?? 0) % keys.length] ?? keyword;
  if (kind === "remove") delete at[key];
  else if (kind === "replace") at[key] = structuredClone(value);
  else if (kind === "repeat") at[key] = structuredClone(at[keys[0] ?? key]);
  else if (!Array.isArray(at)) at[keyword] = structuredClone(value);
}

test("a damaged document gives tools or one explained error, never a crash", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...documents),
      fc.array(mutation, { minLength: 1, maxLength: 6 }),
      async (from, changes) => {
        const document = structuredClone(from) as object;
        for (const change of changes) mutate(document, change);
        let menu: ReturnType<typeof buildToolMenu>;
        try {
          menu = buildToolMenu(await loadOpenApi(document, { validate: false }));
        } catch (error) {
          expect(SpecdojoError.isInstance(error) && error.remedy).toBeTruthy();
          return;
        }
        const validator = createArgumentValidator();
        expect(new Set(menu.tools.map(({ name }) => name)).size).toBe(menu.tools.length);
        for (const tool of menu.tools) {
          expect(tool.name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
          expect(renderCompact(tool)).not.toContain("\n");
          expect(JSON.parse(renderFull(tool))).toMatchObject({ name: tool.name });
          validator.validate(tool, {});
        }
      },
    ),
    { numRuns: 150, seed: 7 },
  );
});
