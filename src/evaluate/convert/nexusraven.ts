import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import type { JsonObject } from "../../util/json.js";
import type { SuiteLine } from "../suite.js";
import {
  type Conversion,
  findFiles,
  objectSchema,
  readJsonFile,
  readLines,
  readText,
  unreadable,
} from "./files.js";
import {
  type PythonFunction,
  PythonReader,
  readPythonCall,
  readPythonFunctions,
  readSignature,
} from "./python.js";

const remedy =
  "Give the folder raven/data/resources of github.com/nexusflowai/NexusRaven, or standardized_queries.jsonl and standardized_api_list.jsonl of the data set NexusRaven_API_evaluation.";

const published: Record<string, readonly number[]> = {
  cve_cpe: [78],
  emailrep: [38],
  virustotal: [151],
  toolalpaca: [51],
};

const plainQuery = z.object({ query: z.string(), reference: z.string() });
const alpacaQuery = z.object({
  turns_1: z.object({ instruction: z.string(), docstring: z.string(), golden_answer: z.string() }),
});
const standardQuery = z.object({
  dataset: z.string(),
  prompt: z.string(),
  python_function_name: z.string(),
  python_args_dict: z.string(),
  context_functions: z.array(z.string()),
});
const standardApi = z.object({
  dataset: z.string(),
  name: z.string(),
  description: z.string(),
  args_dicts: z.array(
    z.object({
      name: z.string(),
      type: z.string(),
      required: z.boolean(),
      description: z.string().default(""),
      default: z.json().optional(),
    }),
  ),
});

type SuiteTool = SuiteLine["tools"][number];

/** Lines `name (type): text` and `- name: type, required, text` of a docstring. */
function describedArguments(doc: string): Map<string, { type: string | undefined; text: string }> {
  const found = new Map<string, { type: string | undefined; text: string }>();
  for (const line of doc.split("\n")) {
    const match =
      /^\s*([A-Za-z_][\w-]*)\s*\(([^)]*)\)\s*(?:required|optional)?\s*:\s*(.*)$/.exec(line) ??
      /^\s*-\s*([A-Za-z_][\w-]*)\s*[:,]\s*([^,]+),\s*(.*)$/.exec(line);
    const [, name, type, text] = match ?? [];
    if (name !== undefined) found.set(name.replaceAll("-", "_"), { type, text: text ?? "" });
  }
  return found;
}

/** A function's docstring up to the list of its arguments. */
function summaryOf(doc: string): string {
  return (doc.split(/\n\s*(?:Args|Parameters):?/)[0] ?? "").replace(/\s+/g, " ").trim();
}

function toTool({ name, parameters, doc }: PythonFunction): SuiteTool {
  const described = describedArguments(doc);
  return {
    name,
    description: summaryOf(doc),
    parameters: objectSchema(
      Object.fromEntries(
        parameters.map((parameter) => {
          const about = described.get(parameter.name);
          return [
            parameter.name,
            {
              type: parameter.type ?? about?.type ?? "",
              description: about?.text,
              // None stands for "not given", which JSON Schema says by leaving the argument out.
              ...(parameter.default === undefined || parameter.default === null
                ? {}
                : { default: parameter.default }),
            },
          ];
        }),
      ),
      parameters.filter((parameter) => parameter.default === undefined).map((parameter) => parameter.name),
    ),
  };
}

/** The tools of emailrep stand in the suite's program (raven/data/upload_standardized_api_list.py), not in a data file. */
const emailrep: SuiteTool[] = [
  {
    name: "emailrep_post",
    description: "Query an email address",
    parameters: objectSchema({ email: { type: "str", description: "Email address being queried" } }, [
      "email",
    ]),
  },
  {
    name: "emailrep_report",
    description:
      "Reports an email address. Date of malicious activity defaults to the current time unless otherwise specified.",
    parameters: objectSchema(
      {
        email: { type: "str", description: "Email address being reported." },
        key: { type: "str", description: "The API key of the user." },
      },
      ["email", "key"],
    ),
  },
];

/** Functions inside the tags that NexusRaven puts around signatures and docstrings. */
function taggedFunctions(text: string): PythonFunction[] {
  const pattern =
    /<func_start>def ([\s\S]*?)<func_end>\s*<docstring_start>\s*(?:"""|''')?([\s\S]*?)(?:"""|''')?\s*<docstring_end>/g;
  return [...text.matchAll(pattern)].map(([, signature = "", doc = ""]) => ({
    ...readSignature(new PythonReader(signature)),
    doc: doc.trim(),
  }));
}

/** The suite compares no fractions: its reader of reference calls cuts them to whole numbers. */
function goldCall(reference: string): { name: string; arguments: JsonObject } {
  const { name, arguments: args } = readPythonCall(reference.replace("nvdlib.", ""));
  return {
    name,
    arguments: Object.fromEntries(
      Object.entries(args).map(([key, value]) => [
        key,
        typeof value === "number" ? Math.trunc(value) : value,
      ]),
    ),
  };
}

function item(
  part: string,
  index: number,
  question: string,
  tools: SuiteTool[],
  gold: SuiteLine["gold"],
): SuiteLine {
  return {
    id: `nexusraven-${part}-${String(index).padStart(3, "0")}`,
    question,
    tools,
    gold,
    suite: "nexusraven",
    category: part,
  };
}

/** The resources in the repository. */
async function fromRepository(files: readonly string[]): Promise<Conversion> {
  const conversion: Conversion = { items: [], counts: [], notes: [] };
  for (const file of files) {
    const part = basename(file).replace(/_queries\.json$/, "");
    if (part === "toolllm") {
      conversion.notes.push(
        "toolllm: left out, because the published runs leave it out (its answers are not in the suite)",
      );
      continue;
    }
    if (!Object.hasOwn(published, part)) {
      conversion.notes.push(`${basename(file)}: left out, because it is none of the suite's parts`);
      continue;
    }
    const before = conversion.items.length;
    if (part === "toolalpaca") {
      for (const [i, { turns_1 }] of (await readJsonFile(file, z.array(alpacaQuery), remedy)).entries()) {
        const [reference = ""] = JSON.parse(turns_1.golden_answer) as string[];
        conversion.items.push(
          item(part, i, turns_1.instruction, taggedFunctions(turns_1.docstring).map(toTool), [
            goldCall(reference),
          ]),
        );
      }
    } else {
      let tools = emailrep;
      if (part !== "emailrep") {
        const definitions = join(dirname(file), `${part}_function_definitions.py`);
        if (!existsSync(definitions))
          throw unreadable(file, `its functions are not at ${definitions}`, remedy);
        tools = readPythonFunctions(await readText(definitions, remedy)).map(toTool);
      }
      for (const [i, { query, reference }] of (
        await readJsonFile(file, z.array(plainQuery), remedy)
      ).entries())
        conversion.items.push(item(part, i, query, tools, [goldCall(reference)]));
    }
    conversion.counts.push({
      part,
      items: conversion.items.length - before,
      published: published[part] ?? [],
    });
  }
  return conversion;
}

/** The data set's standardised queries and functions, as JSON Lines. */
async function fromDataSet(queries: string): Promise<Conversion> {
  const apis = join(dirname(queries), basename(queries).replace("queries", "api_list"));
  if (!existsSync(apis)) throw unreadable(queries, `its functions are not at ${apis}`, remedy);
  const tools = new Map(
    (await readLines(apis, standardApi, remedy)).map(({ name, description, args_dicts }) => [
      name,
      {
        name,
        description: summaryOf(description),
        parameters: objectSchema(
          Object.fromEntries(
            args_dicts.map((argument) => [
              argument.name,
              { type: argument.type, description: argument.description.replace(/^:\s*/, "") },
            ]),
          ),
          args_dicts.filter(({ required }) => required).map((argument) => argument.name),
        ),
      } satisfies SuiteTool,
    ]),
  );
  const conversion: Conversion = { items: [], counts: [], notes: [] };
  const counts = new Map<string, number>();
  for (const line of await readLines(queries, standardQuery, remedy)) {
    const index = counts.get(line.dataset) ?? 0;
    counts.set(line.dataset, index + 1);
    const shown = line.context_functions.flatMap((name) => tools.get(name) ?? []);
    const args = JSON.parse(line.python_args_dict) as JsonObject;
    conversion.items.push(
      item(line.dataset, index, line.prompt, shown, [{ name: line.python_function_name, arguments: args }]),
    );
  }
  for (const [part, items] of counts)
    conversion.counts.push({ part, items, published: published[part] ?? [] });
  return conversion;
}

/** NexusRaven's evaluation set: 318 queries without ToolLLM's. The data are licensed CC-BY-NC-4.0. */
export async function convertNexusRaven(path: string): Promise<Conversion> {
  const files = await findFiles(path, /_queries\.jsonl?$/, remedy);
  const standard = files.find((file) => /standardized_queries\.jsonl$/.test(file));
  return standard === undefined ? await fromRepository(files) : await fromDataSet(standard);
}
