import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const root = new URL("../../", import.meta.url);

/** Files of the built package that may load frameworks, and which. */
const mayLoad: Record<string, string[]> = {
  "adapters/langchain.js": ["@langchain/core"],
  "adapters/mcp-v1.js": ["@modelcontextprotocol/sdk"],
  "adapters/mcp.js": ["@modelcontextprotocol/server"],
};
const frameworks =
  /^(ai|openai|langchain|@ai-sdk\/[^/]+|@langchain\/[^/]+|@openai\/[^/]+|@anthropic-ai\/[^/]+|@mastra\/[^/]+|@modelcontextprotocol\/[^/]+)(\/|$)/;

const adapters = readdirSync(new URL("adapters/", root))
  .filter((name) => name.endsWith(".ts"))
  .map((name) => `specdojo/adapters/${name.replace(/\.ts$/, "")}`);

/** Imports `entries` of the built package in a Node of its own: which of its files load which frameworks. */
function loadedBy(entries: readonly string[]): Record<string, string[]> {
  const hooks = `export async function resolve(specifier, context, next) {
    const [, file] = /^(?!.*\\/node_modules\\/).*\\/dist\\/(.*)$/.exec(context.parentURL ?? "") ?? [];
    if (file !== undefined) console.log(file + " " + specifier);
    return next(specifier, context);
  }`;
  const program = `
    import { register } from "node:module";
    register("data:text/javascript," + encodeURIComponent(${JSON.stringify(hooks)}));
    for (const entry of ${JSON.stringify(entries)}) await import(entry);`;
  const text = execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    cwd: root,
    encoding: "utf8",
    stdio: "pipe",
  });
  const found = new Map<string, Set<string>>();
  for (const line of text.split("\n")) {
    const [file = "", specifier = ""] = line.split(" ");
    const name = frameworks.exec(specifier)?.[1];
    if (name !== undefined) found.set(file, (found.get(file) ?? new Set()).add(name));
  }
  return Object.fromEntries([...found].map(([file, names]) => [file, [...names].sort()]));
}

test("at run time, only adapters load frameworks, each its own", () => {
  expect(adapters.length).toBeGreaterThan(6);
  expect(loadedBy(["specdojo", ...adapters])).toEqual(mayLoad);
  expect(() => loadedBy(["specdojo/adapters/shared/options"])).toThrow("ERR_PACKAGE_PATH_NOT_EXPORTED");
}, 300_000);

test("the core names no framework in any import, but the client of endpoints", () => {
  const files = readdirSync(new URL("src/", root), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  expect(files.length).toBeGreaterThan(50);
  const found = files.flatMap((file) => {
    const text = readFileSync(new URL(`src/${file}`, root), "utf8");
    const specifiers = [...text.matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map(
      (match) => match[1] ?? "",
    );
    return specifiers
      .filter((one) => frameworks.test(one))
      .map((one) => `${file.replaceAll("\\", "/")}: ${one}`);
  });
  expect(found.filter((line) => !/^(evaluate|agent)\/endpoint\.ts: openai/.test(line))).toEqual([]);
});
