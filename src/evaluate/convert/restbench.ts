import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { loadOpenApi } from "../../openapi/load.js";
import { buildToolMenu } from "../../openapi/menu.js";
import { findOperation } from "../tasks.js";
import { type Conversion, findFiles, readJsonFile, unreadable } from "./files.js";

const remedy =
  "Give the repository github.com/Yifan-Song793/RestGPT (datasets/tmdb.json, datasets/spotify.json and specs/*_oas.json).";

const taskSchema = z.array(z.object({ query: z.string(), solution: z.array(z.string()) }));

/** Instructions of each scenario (README.md of the repository). */
const published: Record<string, readonly number[]> = { tmdb: [100], spotify: [57] };

/** RestBench: every operation of the document is a tool, the gold path its calls without arguments. */
export async function convertRestBench(path: string): Promise<Conversion> {
  const files = await findFiles(path, /^(?:tmdb|spotify)\.json$/, remedy);
  const conversion: Conversion = { items: [], counts: [], notes: [] };
  for (const file of files) {
    const part = basename(file, ".json");
    const document = [
      join(dirname(file), "..", "specs", `${part}_oas.json`),
      join(dirname(file), `${part}_oas.json`),
    ].find((candidate) => existsSync(candidate));
    if (document === undefined)
      throw unreadable(file, `its document ${part}_oas.json is not in ../specs`, remedy);
    const menu = buildToolMenu(await loadOpenApi(document));
    const tools = menu.tools.map(({ name, description, parameters }) => ({
      name,
      description,
      parameters: { ...parameters } as Record<string, never>,
    }));
    const unknown = new Set<string>();
    const tasks = await readJsonFile(file, taskSchema, remedy);
    for (const [i, { query, solution }] of tasks.entries()) {
      const gold = solution.map((step) => {
        const [method = "", ...rest] = step.trim().split(/\s+/);
        const tool = findOperation(menu, { method, path: rest.join(" ") });
        if (tool === undefined) unknown.add(step.trim());
        return { name: tool?.name ?? step.trim(), arguments: {} };
      });
      conversion.items.push({
        id: `restbench-${part}-${String(i).padStart(3, "0")}`,
        question: query,
        tools,
        gold,
        args_known: false,
        suite: "restbench",
        category: part,
      });
    }
    if (unknown.size > 0)
      conversion.notes.push(
        `${part}: the document has no operation ${[...unknown].join(", ")}; no model can call it`,
      );
    conversion.counts.push({ part, items: tasks.length, published: published[part] ?? [] });
  }
  return conversion;
}
