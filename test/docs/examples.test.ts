import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as specdojo from "../../src/index.js";
import { runConfigSchema, smallConfig } from "../../src/train/config.js";
import { codeBlocks } from "./markdown.js";

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "specdojo-examples-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Pages whose examples run: what `console.log` gets is what the comment below it says. */
test.each(["docs/requests.md", "docs/domains.md"])("the example of %s does what it says", async (page) => {
  const blocks = codeBlocks(page);
  const document = blocks.find(({ language }) => language === "yaml")?.text ?? "";
  const code = blocks.find(({ language }) => language === "ts")?.text ?? "";
  const file = join(dir, "shop.yaml");
  writeFileSync(file, document);
  const { tools } = specdojo.buildToolMenu(await specdojo.loadOpenApi(file));
  const toolNamed = (name: string) => tools.find((tool) => tool.name === name);

  const wanted = [...code.matchAll(/^console\.log\(.*\);\n\/\/ (.*)$/gm)].map(([, text = ""]) =>
    new Function(`return [${text}];`)(),
  );
  expect(wanted.length).toBe(code.split("console.log").length - 1);
  expect(wanted.length).toBeGreaterThan(3);
  const script = code
    .replaceAll(/^import (\{[^}]*\}) from "specdojo";$/gm, "const $1 = specdojo;")
    .replaceAll('"shop.yaml"', JSON.stringify(file))
    // The only types that these examples write.
    .replaceAll(/\((\w+): ReturnType<[^)]*>\) =>/g, "($1) =>");
  const printed: unknown[][] = [];
  const console = { log: (...values: unknown[]) => printed.push(values) };
  await new Function("specdojo", "toolNamed", "console", `return (async () => {${script}})();`)(
    specdojo,
    toolNamed,
    console,
  );
  expect(printed).toEqual(wanted);
});

test("the other forms in docs/domains.md are valid", async () => {
  const [json] = codeBlocks("docs/domains.md").filter(({ language }) => language === "json");
  const config = JSON.parse(json?.text ?? "");
  expect(
    runConfigSchema.safeParse({ ...smallConfig, ...config, seed: 0, model: "bundled" }).error,
  ).toBeUndefined();
  const yaml = codeBlocks("docs/domains.md").filter(({ language }) => language === "yaml");
  expect(yaml).toHaveLength(2);
  const [shop, extension] = yaml.map(({ text }) => text);
  const loaded = await specdojo.loadOpenApi(shop ?? "");
  expect(specdojo.buildToolMenu(loaded, config.menu).domains.map(({ name }) => name)).toEqual([
    "Orders",
    "Stock",
  ]);
  // The extension's own paths go into those of the shop.
  const parsed = (text: string | undefined) => import("yaml").then(({ parse }) => parse(text ?? ""));
  const [base, more] = [await parsed(shop), await parsed(extension)];
  const merged = {
    ...base,
    "x-specdojo": more["x-specdojo"],
    paths: {
      ...base.paths,
      "/orders": {
        ...base.paths["/orders"],
        "x-specdojo": more.paths["/orders"]["x-specdojo"],
        get: { ...base.paths["/orders"].get, "x-specdojo": more.paths["/orders"].get["x-specdojo"] },
      },
    },
  };
  const menu = specdojo.buildToolMenu(await specdojo.loadOpenApi(merged));
  expect(menu.diagnostics.filter(({ code }) => code.startsWith("x-specdojo"))).toEqual([]);
  expect(menu.domains.map(({ name, tools }) => [name, tools.join(" ")])).toEqual([
    ["Shop", "getInvoice cancelOrder searchStock"],
    ["Checkout", "createOrder"],
    ["internal", "health"],
  ]);
});
