import { basename } from "node:path";
import { z } from "zod";
import { isObject, type JsonObject } from "../../util/json.js";
import type { SuiteLine } from "../suite.js";
import { type Conversion, findFiles, objectSchema, readJsonFile } from "./files.js";

const remedy =
  "Give the folder data of github.com/tangqiaoyu/ToolAlpaca, or its eval_real.json or eval_simulated.json.";

const apiSchema = z.looseObject({
  Name: z.string(),
  Function_Description: z.record(z.string(), z.string()),
  Function_Projection: z.record(z.string(), z.json()),
  Instructions: z.array(z.string()),
  Golden_Answers: z.array(z.array(z.object({ Action: z.string(), Action_Input: z.json() }))),
});

const published: Record<string, { part: string; items: readonly number[] }> = {
  "eval_real.json": { part: "real", items: [114] },
  "eval_simulated.json": { part: "simulated", items: [100] },
};

/** A function as its description words it: a sentence, then `Parameters: {"name": "Required. type. One of: [a, b]. Text"}`. */
function toTool(name: string, description: string): SuiteLine["tools"][number] {
  const [about = ""] = description.split("\nParameters:");
  const start = description.indexOf("\nParameters:");
  const end = description.indexOf("\nOutput:", start);
  let parameters: unknown = {};
  if (start >= 0)
    try {
      parameters = JSON.parse(description.slice(start + "\nParameters:".length, end < 0 ? undefined : end));
    } catch {
      parameters = {};
    }
  const required: string[] = [];
  const properties: Parameters<typeof objectSchema>[0] = {};
  const enums: Record<string, string[]> = {};
  for (const [key, value] of Object.entries(isObject(parameters) ? parameters : {})) {
    let text = String(value);
    if (/^Required\.\s*/i.test(text)) {
      required.push(key);
      text = text.replace(/^Required\.\s*/i, "");
    }
    const type = /^([A-Za-z]+)(?:\[[^\]]*\])?/.exec(text)?.[1] ?? "";
    const allowed = /One of: \[([^\]]*)\]/.exec(text)?.[1];
    if (allowed !== undefined) enums[key] = allowed.split(",").map((one) => one.trim());
    properties[key] = { type, description: text };
  }
  const schema = objectSchema(properties, required);
  const declared = schema.properties as Record<string, JsonObject>;
  for (const [key, values] of Object.entries(enums))
    if (declared[key]?.type === "string") declared[key] = { ...declared[key], enum: values };
  return { name, description: about.trim(), parameters: schema };
}

/**
 * Arguments that an action writes as JSON text. Some answers hold places for results of earlier calls, such as
 * `${id from search}`, often without quotes, and a few are not JSON at all; their arguments are not known.
 */
function readInput(input: unknown): { args: JsonObject; known: boolean } {
  const text = typeof input === "string" ? input : JSON.stringify(input);
  const open = /\$\{|"\{[^}"]+\}"/.test(text);
  for (const candidate of [
    text,
    text.replace(/\$\{([^}"]*)\}"?/g, (_, place: string) => JSON.stringify(`\${${place}}`)),
  ])
    try {
      const value: unknown = JSON.parse(candidate);
      if (isObject(value)) return { args: value as JsonObject, known: !open };
    } catch {
      // The other reading may do.
    }
  return { args: {}, known: false };
}

/** ToolAlpaca's two evaluation sets. Gold answers of several steps keep their order and their written arguments. */
export async function convertToolAlpaca(path: string): Promise<Conversion> {
  const files = await findFiles(path, /^eval_(?:real|simulated)\.json$/, remedy);
  const conversion: Conversion = { items: [], counts: [], notes: [] };
  for (const file of files) {
    const { part, items: expected } = published[basename(file)] ?? { part: basename(file), items: [] };
    let count = 0;
    let strangers = 0;
    let unknown = 0;
    for (const api of await readJsonFile(file, z.array(apiSchema), remedy)) {
      const tools = Object.keys(api.Function_Projection).map((name) =>
        toTool(name, api.Function_Description[name] ?? ""),
      );
      for (const [i, question] of api.Instructions.entries()) {
        count++;
        const id = `toolalpaca-${part}-${api.Name.replace(/\W+/g, "_")}-${i}`;
        const steps = (api.Golden_Answers[i] ?? []).map(({ Action, Action_Input }) => ({
          name: Action,
          ...readInput(Action_Input),
        }));
        if (steps.some(({ name }) => !tools.some((tool) => tool.name === name))) strangers++;
        const known = steps.every((step) => step.known);
        if (!known) unknown++;
        conversion.items.push({
          id,
          question,
          tools,
          gold: steps.map(({ name, args }) => ({ name, arguments: args })),
          ...(known ? {} : { args_known: false }),
          suite: "toolalpaca",
          category: part,
          group: api.Name,
        });
      }
    }
    if (strangers > 0)
      conversion.notes.push(`${part}: ${strangers} answers call a function that the API does not list`);
    if (unknown > 0)
      conversion.notes.push(
        `${part}: ${unknown} answers leave arguments open (\${… from …}) or are not JSON; they count for tool choice only`,
      );
    conversion.counts.push({ part, items: count, published: expected });
  }
  return conversion;
}
