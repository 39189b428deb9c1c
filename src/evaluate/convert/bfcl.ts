import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { isObject, type JsonObject, type JsonValue } from "../../util/json.js";
import { languageOf, passesBfcl } from "../bfcl.js";
import { writeLiteral } from "../bfcl-literals.js";
import { type AcceptableCall, type ArgumentType, type SuiteLine, suiteTool } from "../suite.js";
import { type Conversion, findFiles, readLines, unreadable } from "./files.js";

const remedy =
  "Give the folder bfcl_eval/data of github.com/ShishirPatil/gorilla (BFCL_v3_*.json or BFCL_v4_*.json with possible_answer/ beside them), or one of its files.";

const object = z.record(z.string(), z.json());
const questionSchema = z.object({
  id: z.string(),
  question: z.array(z.array(z.object({ role: z.string(), content: z.string() }))).min(1),
  function: z.array(
    z.looseObject({ name: z.string(), description: z.string().default(""), parameters: object }),
  ),
});
const answerSchema = z.object({
  id: z.string(),
  ground_truth: z.array(z.record(z.string(), z.record(z.string(), z.array(z.json())))),
});

/** Items by category, of version 3 and 4 (README.md and TEST_CATEGORIES.md of the repository, and its data files). */
const published: Record<string, readonly number[]> = {
  simple_python: [400],
  simple_java: [100],
  simple_javascript: [50],
  multiple: [200],
  parallel: [200],
  parallel_multiple: [200],
  irrelevance: [240],
  live_simple: [258],
  live_multiple: [1053],
  live_parallel: [16],
  live_parallel_multiple: [24],
  live_irrelevance: [882, 884],
};
/** Names of version 3. */
const renamed: Record<string, string> = {
  simple: "simple_python",
  java: "simple_java",
  javascript: "simple_javascript",
};

const typeNames: Record<string, string | undefined> = {
  dict: "object",
  float: "number",
  tuple: "array",
  any: undefined,
};

/** BFCL's schemas, which use Python's names of types, as JSON Schema. */
function toJsonSchema(schema: JsonValue): JsonValue {
  if (!isObject(schema)) return schema;
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(schema as JsonObject)) {
    if (key === "optional") continue;
    if (key === "type" && typeof value === "string") {
      const name = Object.hasOwn(typeNames, value) ? typeNames[value] : value;
      if (name !== undefined) result.type = name;
    } else if (key === "properties" && isObject(value))
      result.properties = Object.fromEntries(
        Object.entries(value).map(([name, inner]) => [name, toJsonSchema(inner as JsonValue)]),
      );
    else if (key === "items" || key === "additionalProperties") result[key] = toJsonSchema(value);
    else result[key] = value;
  }
  return result;
}

/** In the categories of Java and JavaScript every argument is a text, as BFCL asks models with tool calling. */
function toTextSchema(schema: JsonObject, language: "Java" | "JavaScript"): JsonObject {
  const type = typeof schema.type === "string" ? schema.type : "any";
  const items =
    isObject(schema.items) && typeof schema.items.type === "string" ? schema.items.type : undefined;
  const hint =
    type === "any"
      ? ` This parameter can be of any type of ${language} object in string representation.`
      : ` This is ${language} ${type} type parameter in string representation.`;
  const listed =
    items === undefined
      ? ""
      : ` The list elements are of type ${items}; they are not in string representation.`;
  return {
    type: "string",
    description: `${typeof schema.description === "string" ? schema.description : ""}${hint}${listed}`,
  };
}

function typesIn(parameters: JsonObject): Record<string, ArgumentType> {
  const properties = isObject(parameters.properties) ? parameters.properties : {};
  return Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => {
      const view = isObject(schema) ? schema : {};
      const type = typeof view.type === "string" ? view.type : "any";
      const items = isObject(view.items) && typeof view.items.type === "string" ? view.items.type : undefined;
      return [name, items === undefined ? [type] : [type, items]];
    }),
  );
}

/** One value that the acceptable ones allow; undefined to leave the argument out. */
function pick(allowed: readonly JsonValue[], required: boolean): JsonValue | undefined {
  const values = allowed.filter((value) => value !== "");
  if (values.length === 0) return required ? allowed[0] : undefined;
  if (values.length < allowed.length && !required) return undefined;
  return flatten(values[0] ?? null);
}

/** Objects among the acceptable values list allowed values of their properties. */
function flatten(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map((item) => (isObject(item) ? flatten(item) : item));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, allowed]) => {
      const picked = Array.isArray(allowed) ? pick(allowed as JsonValue[], false) : (allowed as JsonValue);
      return picked === undefined ? [] : [[key, picked]];
    }),
  );
}

type Line = z.infer<typeof questionSchema>;

/** A gold answer: for each acceptable call one that BFCL's checker takes. */
function goldOf(line: SuiteLine, acceptable: readonly AcceptableCall[]): SuiteLine["gold"] {
  const tools = line.tools.map(suiteTool);
  const language = languageOf(line.category);
  return acceptable.map((call) => {
    const tool = tools.find(({ name }) => name === call.name);
    const required = new Set(tool?.parameters.required ?? []);
    const args: JsonObject = {};
    for (const [key, allowed] of Object.entries(call.arguments)) {
      const value = pick(allowed, required.has(key));
      if (value === undefined) continue;
      if (language === "python") {
        args[key] = value;
        continue;
      }
      const type: ArgumentType = line.types?.[call.name]?.[key] ?? ["any"];
      const texts = [value, ...allowed.filter((other) => other !== "")].flatMap((one) =>
        writeLiteral(one === value ? one : flatten(one), language, type[0], type[1]),
      );
      const passing = texts.find((text) =>
        passesBfcl(
          [{ name: call.name, arguments: { [key]: text } }],
          [{ name: call.name, arguments: { [key]: allowed } }],
          {
            category: line.category,
            types: line.types,
            tools: tool === undefined ? [] : [{ ...tool, parameters: { ...tool.parameters, required: [] } }],
          },
        ),
      );
      args[key] = passing ?? texts[0] ?? "";
    }
    return { name: call.name, arguments: args };
  });
}

function toItem(line: Line, category: string, truth: readonly AcceptableCall[] | undefined): SuiteLine {
  const language = languageOf(category);
  const turns = line.question[0] ?? [];
  const spoken = turns.filter(({ role }) => role !== "system");
  const [only] = turns;
  const item: SuiteLine = {
    id: `bfcl-${line.id}`,
    question:
      turns.length === 1 && only !== undefined
        ? only.content
        : spoken.map(({ role, content }) => `${role}: ${content}`).join("\n"),
    ...(turns.length === 1 ? {} : { messages: turns }),
    tools: line.function.map(({ name, description, parameters }) => {
      const schema = toJsonSchema(parameters) as JsonObject;
      const properties = Object.entries(isObject(parameters.properties) ? parameters.properties : {});
      return {
        name,
        description:
          language === "python"
            ? description
            : `${description} Note that the provided function is in ${language === "java" ? "Java 8 SDK" : "JavaScript"} syntax.`,
        parameters: {
          ...schema,
          required: schema.required ?? [],
          ...(language === "python"
            ? {}
            : {
                properties: Object.fromEntries(
                  properties.map(([key, inner]) => [
                    key,
                    toTextSchema(inner as JsonObject, language === "java" ? "Java" : "JavaScript"),
                  ]),
                ),
              }),
        },
      };
    }),
    gold: [],
    ...(truth === undefined ? {} : { acceptable: [...truth] }),
    suite: "bfcl",
    category,
    types: Object.fromEntries(line.function.map(({ name, parameters }) => [name, typesIn(parameters)])),
  };
  return { ...item, gold: goldOf(item, truth ?? []) };
}

/** BFCL, versions 3 and 4: the categories that its AST checker judges, and irrelevance. */
export async function convertBfcl(path: string): Promise<Conversion> {
  const files = await findFiles(path, /^BFCL_v[34]_.+\.json$/, remedy);
  const conversion: Conversion = { items: [], counts: [], notes: [] };
  for (const file of files) {
    const name = basename(file)
      .replace(/^BFCL_v[34]_/, "")
      .replace(/\.json$/, "");
    const category = renamed[name] ?? name;
    const expected = Object.hasOwn(published, category) ? published[category] : undefined;
    if (expected === undefined) {
      conversion.notes.push(
        category === "live_relevance"
          ? `${basename(file)}: left out, because it states no calls (any call counts)`
          : `${basename(file)}: left out, because it is not judged by the AST checker`,
      );
      continue;
    }
    const lines = await readLines(file, questionSchema, remedy);
    const truths = new Map<string, AcceptableCall[]>();
    if (!category.includes("irrelevance")) {
      const answers = join(dirname(file), "possible_answer", basename(file));
      if (!existsSync(answers)) throw unreadable(file, `its answers are not at ${answers}`, remedy);
      for (const { id, ground_truth } of await readLines(answers, answerSchema, remedy))
        truths.set(
          id,
          ground_truth.flatMap((call) =>
            Object.entries(call).map(([tool, args]) => ({ name: tool, arguments: args })),
          ),
        );
    }
    for (const line of lines) {
      const truth = truths.get(line.id);
      if (truth === undefined && !category.includes("irrelevance"))
        conversion.notes.push(`${line.id}: left out, because possible_answer has no answer for it`);
      else conversion.items.push(toItem(line, category, truth));
    }
    conversion.counts.push({ part: category, items: lines.length, published: expected });
  }
  if (conversion.items.length === 0)
    throw unreadable(path, "no category that the AST checker judges", remedy);
  return conversion;
}
