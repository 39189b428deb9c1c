import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { isObject, type JsonValue } from "../../util/json.js";
import type { SuiteLine } from "../suite.js";
import { asObject, type Conversion, findFiles, objectSchema, readLines, readText } from "./files.js";
import { PythonReader } from "./python.js";

const remedy =
  "Give the folder api-bank of github.com/AlibabaResearch/DAMO-ConvAI (lv1-lv2-samples with its dialogues, apis with its tools).";

const turnSchema = z.union([
  z.object({ role: z.enum(["User", "AI"]), text: z.string() }),
  z.looseObject({
    role: z.literal("API"),
    api_name: z.string(),
    param_dict: z.record(z.string(), z.json()),
    result: z.looseObject({ output: z.json() }),
  }),
]);
type Turn = z.infer<typeof turnSchema>;
type SuiteTool = SuiteLine["tools"][number];

/** Dialogues of each level (API-Bank, section 4: 314 dialogues, of which level 3 has 50). */
const levels: Record<string, { part: string; published: number }> = {
  "level-1-given-desc": { part: "level-1", published: 214 },
  "level-2-toolsearcher": { part: "level-2", published: 50 },
};

function toTool(name: string, description: string, parameters: JsonValue): SuiteTool {
  const properties = Object.entries(asObject(parameters)).map(([key, schema]) => {
    const { type, description: text } = asObject(schema);
    return [
      key,
      { type: typeof type === "string" ? type : "", description: typeof text === "string" ? text : "" },
    ] as const;
  });
  // The classes do not say which parameters may be left out.
  return { name, description, parameters: objectSchema(Object.fromEntries(properties), []) };
}

/** The tools that the classes of apis/*.py declare. */
async function readTools(folder: string): Promise<Map<string, SuiteTool>> {
  const tools = new Map<string, SuiteTool>();
  for (const file of await findFiles(join(folder, "apis"), /^(?!api\.py$|__init__).+\.py$/, remedy)) {
    const source = await readText(file, remedy);
    for (const match of source.matchAll(/^class (\w+)\(API\):/gm)) {
      const name = match[1] ?? "";
      const next = source.indexOf("\nclass ", match.index);
      const body = source.slice(match.index, next < 0 ? undefined : next);
      const literal = (attribute: string): JsonValue => {
        const found = new RegExp(`^\\s+${attribute}\\s*=\\s*`, "m").exec(body);
        return found === null ? null : new PythonReader(body, found.index + found[0].length).value();
      };
      const description = literal("description");
      tools.set(
        name,
        toTool(name, typeof description === "string" ? description : "", literal("input_parameters")),
      );
    }
  }
  return tools;
}

/** Tools that a search has found so far in a dialogue. */
function foundTools(history: readonly Turn[]): string[] {
  return history.flatMap((turn) => {
    if (turn.role !== "API" || turn.api_name !== "ToolSearcher") return [];
    const { output } = turn.result;
    return (Array.isArray(output) ? output : [output]).flatMap((found) =>
      isObject(found) && typeof found.name === "string" ? [found.name] : [],
    );
  });
}

const pythonList = (args: Record<string, JsonValue>): string =>
  Object.entries(args)
    .map(([key, value]) => `${key}='${typeof value === "string" ? value : JSON.stringify(value)}'`)
    .join(", ");

/** Turns as the suite's evaluator words them. */
function toMessages(history: readonly Turn[]): { role: string; content: string }[] {
  return history.map((turn) => {
    if (turn.role !== "API") return { role: turn.role === "User" ? "user" : "assistant", content: turn.text };
    const { output } = turn.result;
    const result = typeof output === "string" ? output : JSON.stringify(output);
    return {
      role: "assistant",
      content: `[${turn.api_name}(${pythonList(turn.param_dict)})] Response: ${result}`,
    };
  });
}

/** Values that a call of the suite gives as a text, in the types that the tool declares. */
function typedArguments(args: Record<string, JsonValue>, tool: SuiteTool): Record<string, JsonValue> {
  const properties = asObject(asObject(tool.parameters).properties);
  return Object.fromEntries(
    Object.entries(args).map(([key, value]) => {
      const { type } = asObject(properties[key]);
      if (typeof value !== "string") return [key, type === "string" ? String(value) : value];
      if ((type === "integer" || type === "number") && value.trim() !== "" && Number.isFinite(Number(value)))
        return [key, Number(value)];
      if (type === "boolean" && /^(?:true|false)$/i.test(value)) return [key, /true/i.test(value)];
      if (type === "array" && /^\s*\[/.test(value)) {
        try {
          return [key, new PythonReader(value).value()];
        } catch {
          return [key, value];
        }
      }
      return [key, value];
    }),
  );
}

/** API-Bank, levels 1 and 2: every API call of a dialogue is an item, asked after the turns before it. */
export async function convertApiBank(path: string): Promise<Conversion> {
  const files = await findFiles(path, /-level-\d+-\d+\.jsonl$|\.jsonl$/, remedy);
  const conversion: Conversion = { items: [], counts: [], notes: [] };
  const known = files.filter((file) => Object.hasOwn(levels, basename(dirname(file))));
  const [first] = known;
  if (first === undefined) {
    conversion.notes.push("no dialogues of level 1 or 2");
    return conversion;
  }
  const tools = await readTools(join(dirname(first), "..", ".."));
  const dialogues = new Map<string, number>();
  for (const file of known) {
    const { part = "" } = levels[basename(dirname(file))] ?? {};
    dialogues.set(part, (dialogues.get(part) ?? 0) + 1);
    const turns = await readLines(file, turnSchema, remedy);
    const used = [...new Set(turns.flatMap((turn) => (turn.role === "API" ? [turn.api_name] : [])))];
    for (const [i, turn] of turns.entries()) {
      if (turn.role !== "API") continue;
      const history = turns.slice(0, i);
      const names = part === "level-1" ? used : [...new Set(["ToolSearcher", ...foundTools(history)])];
      const shown = names.flatMap((name) => tools.get(name) ?? []);
      const tool = tools.get(turn.api_name);
      const id = `api-bank-${part}-${basename(file, ".jsonl")}-${i}`;
      if (tool === undefined) {
        conversion.notes.push(`${id}: left out, because apis has no class ${turn.api_name}`);
        continue;
      }
      const messages = toMessages(history);
      conversion.items.push({
        id,
        question: messages.map(({ role, content }) => `${role}: ${content}`).join("\n"),
        messages,
        tools: shown.some(({ name }) => name === tool.name) ? shown : [...shown, tool],
        gold: [{ name: turn.api_name, arguments: typedArguments(turn.param_dict, tool) }],
        suite: "api-bank",
        category: part,
        group: turn.api_name,
      });
    }
  }
  for (const { part, published } of Object.values(levels))
    if (dialogues.has(part))
      conversion.counts.push({
        part: `${part} dialogues`,
        items: dialogues.get(part) ?? 0,
        published: [published],
      });
  return conversion;
}
