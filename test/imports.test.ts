import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const src = join(root, "src");

const data = ["util", "openapi", "task"];
const model = [...data, "backend", "rollout"];

/** What each folder of `src` may import besides itself. A new folder needs a line here. */
const allowed: Record<string, readonly string[]> = {
  util: [],
  openapi: ["util"],
  task: ["util", "openapi"],
  backend: data,
  rollout: [...data, "backend"],
  reward: data,
  curriculum: [...model, "reward"],
  train: [...model, "reward", "curriculum"],
  agent: model,
  mock: data,
  serve: [...model, "agent"],
  evaluate: [...model, "agent"],
  report: [...model, "agent", "evaluate"],
};
const all = [...Object.keys(allowed), "version.ts"];

/** The files beside the folders, and the commands. */
const top: Record<string, readonly string[]> = {
  "version.ts": [],
  "bootstrap.ts": all,
  "plan.ts": [...all, "bootstrap.ts"],
  "index.ts": [...all, "bootstrap.ts", "plan.ts"],
  cli: [...all, "bootstrap.ts", "plan.ts"],
  "cli.ts": [...all, "cli"],
};

/** Specifiers of static, side-effect and dynamic imports, and of re-exports. */
function specifiers(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  return [
    ...code.matchAll(
      /(?:^|[;}\s])(?:import|export)\b[^;"'`()]*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g,
    ),
  ].map((match) => match[1] ?? match[2] ?? "");
}

/** `task` for `src/task/spec.ts`, `cli.ts` for `src/cli.ts`. */
const unitOf = (path: string): string => relative(src, path).split(sep)[0] ?? "";

async function sources(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name));
}

function backwards(file: string, text: string): string[] {
  const unit = unitOf(file);
  const may = allowed[unit] ?? top[unit];
  if (may === undefined) return [`${relative(root, file)}: the table of this test has no line for it`];
  return specifiers(text).flatMap((specifier) => {
    if (!specifier.startsWith(".")) return [];
    const target = resolve(dirname(file), specifier.replace(/\.js$/, ".ts"));
    const other = unitOf(target);
    if (other === unit || may.includes(other)) return [];
    return [`${relative(root, file)} imports ${specifier}`];
  });
}

describe("imports run one way", () => {
  it("in every file of src", async () => {
    const files = await sources(src);
    expect(files.length).toBeGreaterThan(50);
    const found = await Promise.all(files.map(async (file) => backwards(file, await readFile(file, "utf8"))));
    expect(found.flat()).toEqual([]);
  });

  it("adapters see the package as its users do", async () => {
    for (const file of await sources(join(root, "adapters"))) {
      const inner = specifiers(await readFile(file, "utf8")).filter((specifier) =>
        specifier.startsWith(".."),
      );
      expect(inner, file).toEqual([]);
    }
  });

  it.each([
    ["reward/solver.ts", 'import { a } from "../rollout/rollout.js";', 1],
    ["rollout/rollout.ts", 'import type {\n  A,\n  B,\n} from "../reward/index.js";', 1],
    ["agent/agent.ts", 'const { a } = await import("../train/index.js");', 1],
    ["util/json.ts", 'export { a } from "../task/index.js";', 1],
    ["util/json.ts", 'import "../openapi/index.js";', 1],
    ["new/thing.ts", "", 1],
    ["index.ts", 'import "./cli/menu.js";', 1],
    ["train/grpo.ts", 'import { a } from "../task/index.js";\nimport { z } from "zod";', 0],
    ["task/spec.ts", '// import { a } from "../train/index.js";', 0],
  ])("finds what is wrong: %s, %s", (file, text, count) => {
    expect(backwards(join(src, file), text)).toHaveLength(count);
  });
});
