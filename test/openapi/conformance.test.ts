import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { fixture, menuOf } from "./fixtures.js";

type Json = Record<string, unknown>;
const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/** Counts what a document declares with its own eyes: nothing here uses the code under test. */
function declared(document: Json) {
  const deref = (value: unknown): Json => {
    let at = value as Json;
    while (typeof at?.$ref === "string")
      at = at.$ref
        .slice(2)
        .split("/")
        .reduce((from: Json, key) => from[key.replaceAll("~1", "/")] as Json, document);
    return at ?? {};
  };
  const propertiesOf = (schema: unknown): Map<string, unknown> => {
    const whole = deref(schema);
    const own = Object.entries((whole.properties ?? {}) as Json);
    const inherited = ((whole.allOf ?? []) as unknown[]).flatMap((part) => [...propertiesOf(part)]);
    return new Map([...inherited, ...own]);
  };
  return Object.entries(document.paths as Json).flatMap(([path, item]) =>
    methods
      .filter((method) => (item as Json)[method] !== undefined)
      .map((method) => {
        const operation = (item as Json)[method] as Json;
        const lists = [
          ...(((item as Json).parameters ?? []) as unknown[]),
          ...((operation.parameters ?? []) as unknown[]),
        ];
        const parameters = new Map(lists.map(deref).map((one) => [`${one.in} ${one.name}`, one]));
        const inBody = [...parameters.values()].find((one) => one.in === "body");
        const content = Object.values((deref(operation.requestBody).content ?? {}) as Json)[0] as
          | Json
          | undefined;
        const properties = [...propertiesOf(inBody?.schema ?? content?.schema)];
        const form = [...parameters.values()].filter((one) => one.in === "formData");
        return {
          key: `${method} ${path}`,
          parameters: [...parameters.values()].filter((one) => one.in !== "body" && one.in !== "formData"),
          body: [
            ...properties.filter(([, schema]) => deref(schema).readOnly !== true).map(([name]) => name),
            ...form.map((one) => String(one.name)),
          ],
        };
      }),
  );
}

const documents = [
  ["petstore-2.0.json", 20],
  ["petstore-3.0.yaml", 20],
  ["petstore-3.1.json", 20],
  ["museum-3.1.yaml", 8],
  ["uber-2.0.yaml", 5],
  ["circular-3.0.json", 1],
] as const;

describe.each(documents)("%s", (file, operations) => {
  const source = parse(readFileSync(fixture(`specs/${file}`), "utf8")) as Json;

  test("every operation, parameter and body property is there", async () => {
    const menu = await menuOf(fixture(`specs/${file}`));
    expect(menu.tools).toHaveLength(operations);
    const tools = new Map(menu.tools.map((tool) => [`${tool.method} ${tool.path}`, tool]));
    for (const operation of declared(source)) {
      const tool = tools.get(operation.key);
      const properties = Object.keys(tool?.parameters.properties ?? {});
      const bound = Object.entries(tool?.bindings ?? {}).map(([argument, { in: place, name }]) => {
        expect(properties).toContain(argument);
        return `${place} ${name}`;
      });
      expect(bound.sort()).toEqual(operation.parameters.map((one) => `${one.in} ${one.name}`).sort());
      const shape = tool?.body?.shape;
      const sent = shape?.kind === "properties" ? Object.values(shape.properties) : [];
      expect([...sent].sort()).toEqual([...operation.body].sort());
    }
  });

  test("names are valid and unique, schemas compile and are JSON", async () => {
    const menu = await menuOf(fixture(`specs/${file}`));
    expect(new Set(menu.tools.map(({ name }) => name)).size).toBe(menu.tools.length);
    const ajv = new Ajv2020({ strict: false, logger: false });
    formats.default(ajv);
    for (const tool of menu.tools) {
      expect(tool.name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
      ajv.compile(tool.parameters);
      for (const { schema } of Object.values(tool.responses)) if (schema !== null) ajv.compile(schema);
    }
    expect(JSON.parse(JSON.stringify(menu))).toEqual(menu);
  });
});
