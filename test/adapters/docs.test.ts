import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { codeBlocks, codeRows, read, root } from "../docs/markdown.js";
import sets from "./frameworks.json" with { type: "json" };

const page = "docs/adapters.md";

test("the quick starts are those of the examples", () => {
  const blocks = codeBlocks(page).filter(({ text }) => text.includes("specdojo/adapters/"));
  const shown = new Set<string>();
  for (const { place, text } of blocks) {
    const [, adapter = ""] = /"specdojo\/adapters\/([\w-]+)";\n\n/.exec(text) ?? [];
    const example = join(root, "examples/frameworks", `${adapter}.mjs`);
    expect(existsSync(example), place).toBe(true);
    shown.add(adapter);
    // The client of Anthropic's own API, and the server on stdin and stdout (run by mcp.test.ts), stand for themselves.
    const own = /^(import .*|const anthropic = .*|serveStdio\(.*)$/;
    const lines = text.split("\n").filter((line) => line.trim() !== "" && !own.test(line));
    const program = readFileSync(example, "utf8").split("\n");
    expect(
      lines.filter((line) => !program.includes(line)),
      place,
    ).toEqual([]);
  }
  expect([...shown].sort()).toEqual([
    "ai",
    "anthropic",
    "langchain",
    "mastra",
    "mcp",
    "openai",
    "openai-agents",
  ]);
});

test("the table names the versions that are run", () => {
  const { devDependencies, dependencies } = JSON.parse(read("package.json")) as Record<
    string,
    Record<string, string>
  >;
  const installed: Record<string, string> = { ...dependencies, ...devDependencies };
  const newest: Record<string, string> = sets.newest.packages;
  const node20: Record<string, string> = sets.node20.packages;
  const rows = codeRows(page).filter(([, first = ""]) => /^(\d|–)/.test(first));
  const want = Object.keys(newest).map((name) => [
    name,
    installed[name] ?? "–",
    newest[name] ?? "–",
    node20[name] ?? "–",
  ]);
  expect(rows).toEqual(want);
  expect(read(page)).toContain(`\`npm run frameworks\`, Node ${sets.newest.node}`);
});
