import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateClient } from "../../src/agent/index.js";
import { parseTasks } from "../../src/evaluate/index.js";
import { buildToolMenu, loadOpenApi } from "../../src/openapi/index.js";
import { runConfigSchema, smallConfig } from "../../src/train/config.js";
import { codeBlocks, documents, root } from "./markdown.js";

let dir = "";
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "specdojo-docs-"));
  symlinkSync(join(root, "node_modules"), join(dir, "node_modules"), "junction");
  const menu = buildToolMenu(await loadOpenApi(join(root, "examples/petstore/openapi.yaml")));
  // The clients that the snippets import.
  for (const [folder, language] of [
    ["api", "ts"],
    ["runs/petstore/agent/client", "js"],
  ] as const) {
    mkdirSync(join(dir, folder), { recursive: true });
    for (const [name, text] of generateClient(menu, { language }))
      writeFileSync(join(dir, folder, name), text);
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("the TypeScript in the documentation compiles", () => {
  const blocks = documents.flatMap(codeBlocks).filter(({ language }) => language === "ts");
  expect(blocks.length).toBeGreaterThan(10);
  for (const [index, { place, text }] of blocks.entries())
    writeFileSync(join(dir, `snippet-${index}.ts`), `// ${place}\n${text}\nexport {};\n`);
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
  // Kept as .txt, so that the globals do not reach the repository's own types.
  for (const name of ["surroundings", "frameworks"])
    copyFileSync(new URL(`${name}.txt`, import.meta.url), join(dir, `${name}.d.ts`));
  writeFileSync(
    join(dir, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        types: ["node"],
        paths: {
          specdojo: [join(root, "src/index.ts")],
          "specdojo/agent": [join(root, "src/agent/index.ts")],
          "specdojo/adapters/*": [join(root, "adapters/*.ts")],
        },
      },
      include: ["*.ts"],
      exclude: [],
    }),
  );
  let errors = "";
  try {
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", dir], {
      encoding: "utf8",
      stdio: "pipe",
    });
  } catch (error) {
    errors = String((error as { stdout?: unknown }).stdout);
  }
  // Name the document's line, not the copy's.
  const placed = errors.replaceAll(
    /snippet-(\d+)\.ts/g,
    (_, index: string) => blocks[Number(index)]?.place ?? "",
  );
  expect(placed).toBe("");
}, 600_000);

test("the JSON in the documentation is what it says", async () => {
  const json = (path: string): unknown[] =>
    codeBlocks(path)
      .filter(({ language }) => language === "json")
      .map(({ text }) => JSON.parse(text));
  const [config] = json("docs/configuration.md") as [{ solver: object }];
  const merged = { ...smallConfig, ...config, solver: { ...smallConfig.solver, ...config.solver } };
  expect(runConfigSchema.safeParse({ ...merged, seed: 0, model: "bundled" }).error).toBeUndefined();
  const [task] = json("README.md");
  const menu = buildToolMenu(await loadOpenApi(join(root, "examples/petstore/openapi.yaml")));
  expect(parseTasks(JSON.stringify(task), "README.md", menu)).toHaveLength(1);
  expect(json("docs/evaluation.md")).toHaveLength(1);
});
