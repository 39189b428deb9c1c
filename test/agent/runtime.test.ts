import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const entry = join(root, "src/agent/index.ts");

interface Walk {
  /** Files of `src`, from it. */
  files: string[];
  packages: string[];
}

/** All that is loaded with a file: what it imports, and so on. Types are erased; `import()` counts with `dynamic` only. */
function walk(start: string, dynamic: boolean): Walk {
  const files = new Set<string>();
  const packages = new Set<string>();
  const queue = [start];
  for (const file of queue) {
    if (files.has(file)) continue;
    files.add(file);
    const code = readFileSync(file, "utf8")
      .replaceAll(/\/\*[\s\S]*?\*\//g, "")
      .replaceAll(/^\s*\/\/.*$/gm, "");
    const statements = [
      ...code.matchAll(/^(?:import|export)\s(?!type\b)([^;"']*?)\bfrom\s*"([^"]+)"/gm),
    ].filter(([, names = ""]) => !isTypesOnly(names));
    const specifiers = [
      ...statements.map((match) => match[2] ?? ""),
      ...[...code.matchAll(/^import\s*"([^"]+)"/gm)].map((match) => match[1] ?? ""),
      ...(dynamic ? [...code.matchAll(/\bimport\(\s*"([^"]+)"/g)].map((match) => match[1] ?? "") : []),
    ];
    for (const specifier of specifiers) {
      if (!specifier.startsWith(".")) packages.add(specifier);
      else queue.push(resolve(dirname(file), specifier.replace(/\.js$/, ".ts")));
    }
  }
  return { files: [...files].map((file) => relative(join(root, "src"), file)), packages: [...packages] };
}

/** `{ type A, type B }` */
function isTypesOnly(names: string): boolean {
  const listed = /^\{([\s\S]*)\}\s*$/.exec(names.trim())?.[1];
  return listed?.split(",").every((name) => /^\s*(?:type\s|$)/.test(name)) ?? false;
}

const folders = ({ files }: Walk): Set<string> => new Set(files.map((file) => file.split("/")[0] ?? ""));

test("an application that loads an agent loads no training code, whatever it does with it", () => {
  const everything = walk(entry, true);
  expect(everything.files).toContain("agent/load.ts");
  // The walk sees imports that are written as calls: the worker that samples the solver.
  expect(everything.files).toContain("backend/worker.ts");
  for (const folder of [
    "train",
    "curriculum",
    "reward",
    "evaluate",
    "report",
    "cli",
    "bootstrap.ts",
    "index.ts",
  ])
    expect(folders(everything)).not.toContain(folder);
});

test("what is loaded at once has no worker, no tokenizer and no reader of documents", () => {
  const first = walk(entry, false);
  expect([...folders(first)].sort()).toEqual(["agent", "backend", "openapi", "task", "util"]);
  expect(first.files.filter((file) => file.startsWith("backend/"))).toEqual(["backend/fitting.ts"]);
  for (const file of [
    "openapi/load.ts",
    "openapi/read.ts",
    "openapi/menu.ts",
    "openapi/validate-document.ts",
  ])
    expect(first.files).not.toContain(file);
  expect(first.packages.filter((name) => !name.startsWith("node:")).sort()).toEqual([
    "eventsource-parser",
    "minisearch",
    "oauth4webapi",
    "pure-rand/distribution/uniformInt",
    "pure-rand/generator/xoroshiro128plus",
    "zod",
    "zod-to-json-schema",
  ]);
});

test("a generated client needs that runtime and nothing else", () => {
  const templates = join(root, "templates/client");
  for (const name of readdirSync(templates)) {
    const text = readFileSync(join(templates, name), "utf8");
    const specifiers = [...text.matchAll(/\bfrom "([^"]+)"/g)].map((match) => match[1]);
    expect(specifiers.filter((specifier) => !specifier?.startsWith("./"))).toEqual(["specdojo/agent"]);
  }
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Record<string, { default: string }>;
  };
  const built = exports["./agent"]?.default ?? "";
  expect(existsSync(join(root, built.replace("./dist/", "src/").replace(/\.js$/, ".ts")))).toBe(true);
});
