import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { createRandom } from "../../util/random.js";
import type { SuiteLine } from "../suite.js";
import {
  type Conversion,
  check,
  findFiles,
  objectSchema,
  readJsonFile,
  readLines,
  unreadable,
} from "./files.js";
import { PythonReader } from "./python.js";

const remedy =
  "Give the folder Seal-Tools_Dataset of github.com/fairyshine/Seal-Tools (tool.jsonl and test_in_domain.jsonl, test_out_domain.jsonl or dev.jsonl).";

const toolSchema = z.object({
  api_name: z.string(),
  api_description: z.string().default(""),
  field: z.string().default(""),
  parameters: z.record(z.string(), z.looseObject({ type: z.string(), description: z.string().optional() })),
  required: z.array(z.string()).default([]),
});
const lineSchema = z.object({
  id: z.string(),
  query: z.string(),
  calling: z.array(z.object({ api: z.string(), parameters: z.record(z.string(), z.json()) })),
});

const promptsSchema = z.array(
  z.object({ id: z.string(), conversations: z.array(z.object({ from: z.string(), value: z.string() })) }),
);

const published: Record<string, readonly number[]> = {
  test_in_domain: [700],
  test_out_domain: [654],
  dev: [700],
};
/** Tools that an item shows: the gold ones, and others of the nearest fields. */
const shown = 5;

type SealTool = z.infer<typeof toolSchema>;

function toTool(tool: SealTool) {
  return {
    name: tool.api_name,
    description: tool.api_description,
    parameters: objectSchema(tool.parameters, tool.required),
  };
}

/** The tools that the suite's own prompts show, by item: what its retriever found. Empty where the prompts are not there. */
async function shownTools(folder: string, part: string): Promise<Map<string, SealTool[]>> {
  const file = join(folder, "dataset_for_finetune", `${part}.json`);
  const byId = new Map<string, SealTool[]>();
  if (!existsSync(file)) return byId;
  for (const { id, conversations } of await readJsonFile(file, promptsSchema, remedy)) {
    const text = conversations[0]?.value ?? "";
    const start = text.indexOf("api_list = ");
    if (start < 0) continue;
    const list = new PythonReader(text, start + "api_list = ".length).value();
    byId.set(id, check(list, z.array(toolSchema), `${file} (${id})`, remedy));
  }
  return byId;
}

/**
 * Seal-Tools. The tools shown are those of the suite's own prompts (`dataset_for_finetune`). Without that folder the gold
 * tools stand beside tools of the same field (then of the same broader field), drawn by the item's id, up to five.
 */
export async function convertSealTools(path: string): Promise<Conversion> {
  const files = (await findFiles(path, /^(?:test_in_domain|test_out_domain|dev)\.jsonl$/, remedy)).filter(
    (file) => existsSync(join(dirname(file), "tool.jsonl")),
  );
  if (files.length === 0) throw unreadable(path, "tool.jsonl is not beside the queries", remedy);
  const conversion: Conversion = { items: [], counts: [], notes: [] };
  for (const file of files) {
    const tools = new Map(
      (await readLines(join(dirname(file), "tool.jsonl"), toolSchema, remedy)).map((tool) => [
        tool.api_name,
        tool,
      ]),
    );
    const byField = new Map<string, SealTool[]>();
    for (const tool of tools.values())
      for (const field of [tool.field, tool.field.split("/")[0] ?? ""])
        byField.set(field, [...(byField.get(field) ?? []), tool]);
    const part = basename(file, ".jsonl");
    const lines = await readLines(file, lineSchema, remedy);
    const prompts = await shownTools(dirname(file), part);
    let nested = 0;
    let unshown = 0;
    for (const { id, query, calling } of lines) {
      const gold = [...new Set(calling.map(({ api }) => api))].flatMap((name) => tools.get(name) ?? []);
      if (gold.length < new Set(calling.map(({ api }) => api)).size) {
        conversion.notes.push(`${id}: left out, because tool.jsonl lacks one of its tools`);
        continue;
      }
      if (JSON.stringify(calling).includes('"API_call_')) nested++;
      const random = createRandom(id);
      const listed = prompts.get(id);
      if (
        listed !== undefined &&
        !gold.every(({ api_name }) => listed.some((tool) => tool.api_name === api_name))
      )
        unshown++;
      const chosen = new Set(gold);
      for (const field of [gold[0]?.field ?? "", gold[0]?.field.split("/")[0] ?? ""])
        for (const tool of random.shuffle(byField.get(field) ?? []))
          if (chosen.size < shown) chosen.add(tool);
      const item: SuiteLine = {
        id: `seal-tools-${id}`,
        question: query,
        tools: (listed ?? random.shuffle([...chosen])).map(toTool),
        gold: calling.map(({ api, parameters }) => ({ name: api, arguments: parameters })),
        suite: "seal-tools",
        category: `${part}${/-(easy|difficult)-/.exec(id)?.[0].slice(0, -1) ?? ""}`,
        group: gold[0]?.field.split("/")[0] ?? "",
      };
      conversion.items.push(item);
    }
    if (nested > 0)
      conversion.notes.push(
        `${part}: ${nested} items use the result of one call in another (API_call_N), as the suite writes it`,
      );
    if (unshown > 0)
      conversion.notes.push(
        `${part}: in ${unshown} items the suite's own prompt does not show every gold tool`,
      );
    if (prompts.size === 0)
      conversion.notes.push(`${part}: without dataset_for_finetune; other tools of the same field are shown`);
    conversion.counts.push({ part, items: lines.length, published: published[part] ?? [] });
  }
  return conversion;
}
