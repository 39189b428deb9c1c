import type { Tool } from "../openapi/types.js";
import { callsEqual } from "../task/equality.js";
import { propertyViews, schemaViews, typesOf } from "../task/schema.js";
import type { ToolCall } from "../task/types.js";
import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import { passesBfcl } from "./bfcl.js";
import type { AcceptableCall, SuiteItem, SuiteName } from "./suite.js";

type Calls = readonly ToolCall[] | null;
type Rule = (item: SuiteItem, calls: Calls) => boolean;

/** BFCL's rules for acceptable calls whose types JSON Schema says; see `passesBfcl`. */
export function passesOfficial(
  calls: Calls,
  acceptable: readonly AcceptableCall[],
  tools: readonly Tool[],
): boolean {
  return passesBfcl(calls, acceptable, { tools: [...tools], types: undefined, category: undefined });
}

/** `str(value)` of Python, as far as JSON goes. */
function pythonText(value: JsonValue): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return value;
  const inner = (part: JsonValue): string =>
    typeof part === "string"
      ? part.includes("'") && !part.includes('"')
        ? `"${part}"`
        : `'${part.replaceAll("'", "\\'")}'`
      : pythonText(part);
  if (Array.isArray(value)) return `[${value.map(inner).join(", ")}]`;
  if (isObject(value))
    return `{${Object.entries(value)
      .map(([key, part]) => `${inner(key)}: ${inner(part as JsonValue)}`)
      .join(", ")}}`;
  return String(value);
}

/** What Seal-Tools' scorer counts: `calculate_score_ToolLearning` of its repository. All are sums over items. */
export interface SealCounts {
  readable: number;
  items: number;
  correctTools: number;
  givenTools: number;
  goldTools: number;
  correctArguments: number;
  givenArguments: number;
  goldArguments: number;
}

export function sealCounts(gold: readonly ToolCall[], calls: Calls): SealCounts {
  const size = (list: readonly ToolCall[]) =>
    list.reduce((sum, call) => sum + Object.keys(call.arguments).length, 0);
  const counts: SealCounts = {
    readable: Number(calls !== null),
    items: 1,
    correctTools: 0,
    givenTools: calls?.length ?? 0,
    goldTools: gold.length,
    correctArguments: 0,
    givenArguments: calls === null ? 0 : size(calls),
    goldArguments: size(gold),
  };
  for (const call of calls ?? []) {
    const wanted = gold.find(({ name }) => name === call.name);
    if (wanted === undefined) continue;
    counts.correctTools++;
    for (const [key, value] of Object.entries(call.arguments))
      if (
        Object.hasOwn(wanted.arguments, key) &&
        pythonText(value) === pythonText(wanted.arguments[key] ?? null)
      )
        counts.correctArguments++;
  }
  return counts;
}

/** The published figures: precision, recall and F1 of tools and of arguments, and the share of readable answers. */
export function sealScores(counts: SealCounts): Record<string, number | null> {
  const part = (correct: number, given: number, gold: number) => {
    if (correct * given * gold === 0) return [null, null, null] as const;
    const [precision, recall] = [correct / given, correct / gold];
    return [precision, recall, (2 * precision * recall) / (precision + recall)] as const;
  };
  const tools = part(counts.correctTools, counts.givenTools, counts.goldTools);
  const args = part(counts.correctArguments, counts.givenArguments, counts.goldArguments);
  return {
    amount: counts.items === 0 ? null : counts.readable / counts.items,
    toolPrecision: tools[0],
    toolRecall: tools[1],
    toolF1: tools[2],
    argumentPrecision: args[0],
    argumentRecall: args[1],
    argumentF1: args[2],
  };
}

/** Every tool and argument right by the published comparison (equal as texts of Python), nothing missing or too much. */
const seal: Rule = ({ gold }, calls) => {
  if (calls === null || calls.length !== gold.length) return false;
  const same = (a: ToolCall, b: ToolCall): boolean => {
    const keys = Object.keys(a.arguments);
    return (
      a.name === b.name &&
      keys.length === Object.keys(b.arguments).length &&
      keys.every(
        (key) =>
          Object.hasOwn(b.arguments, key) &&
          pythonText(a.arguments[key] ?? null) === pythonText(b.arguments[key] ?? null),
      )
    );
  };
  const left = new Set(calls);
  return gold.every((wanted) => {
    for (const call of left)
      if (same(wanted, call)) {
        left.delete(call);
        return true;
      }
    return false;
  });
};

/** The arguments a Python function sees: what is left out has its default, `None` where the tool states none. */
function withDefaults(call: ToolCall, tools: readonly Tool[]): JsonObject {
  const tool = tools.find(({ name }) => name === call.name);
  const defaults = Object.entries(tool?.parameters.properties ?? {}).map(([key, schema]) => [
    key,
    (isObject(schema) ? (schema.default as JsonValue | undefined) : undefined) ?? null,
  ]);
  return { ...Object.fromEntries(defaults), ...call.arguments };
}

/** NexusRaven (raven/eval/evaluator.py): one call, its function runs, and name and all arguments equal, defaults filled in. */
const nexusraven: Rule = ({ gold, tools }, calls) => {
  const [call, ...more] = calls ?? [];
  const [wanted] = gold;
  if (call === undefined || wanted === undefined || more.length > 0 || call.name !== wanted.name)
    return false;
  const tool = tools.find(({ name }) => name === call.name);
  if (tool === undefined) return false;
  const known = tool.parameters.properties ?? {};
  if (!Object.keys(call.arguments).every((key) => Object.hasOwn(known, key))) return false;
  if (!(tool.parameters.required ?? []).every((key) => Object.hasOwn(call.arguments, key))) return false;
  const plain = (one: ToolCall): ToolCall => ({ name: "", arguments: withDefaults(one, tools) });
  return callsEqual([plain(call)], [plain(wanted)]);
};

/** Words in common over all words, as API-Bank's checkers of free texts count them. */
function wordOverlap(a: JsonValue, b: JsonValue): number {
  const [x, y] = [new Set(String(a).split(" ")), new Set(String(b).split(" "))];
  const shared = [...x].filter((word) => y.has(word)).length;
  return shared / (x.size + y.size - shared);
}

/** The one argument that decides a deletion which succeeded. */
const decidedByTime = new Set(["DeleteAgenda", "DeleteMeeting", "DeleteReminder"]);

/**
 * API-Bank (`evaluator.py` and `check_api_call_correctness` of the APIs): the first call counts; arguments are converted to
 * the declared types; `content` of AddAgenda and AddReminder needs half of the words. Its checkers run the APIs and compare
 * results. Without them, equal arguments stand for equal results; an answer that errs and still has the gold result is
 * counted wrong here.
 */
const apiBank: Rule = ({ gold, tools }, calls) => {
  const [call] = calls ?? [];
  const [wanted] = gold;
  if (call === undefined || wanted === undefined || call.name !== wanted.name) return false;
  const root = tools.find(({ name }) => name === call.name)?.parameters ?? {};
  const views = schemaViews(root, root);
  const converted = (key: string, value: JsonValue): string => {
    const types = typesOf(propertyViews(views, key, root));
    if (types.has("integer") || types.has("number")) return String(Number(value));
    return pythonText(value);
  };
  const keys = decidedByTime.has(call.name)
    ? ["time" in wanted.arguments ? "time" : "start_time"]
    : [...new Set([...Object.keys(wanted.arguments), ...Object.keys(call.arguments)])];
  return keys.every((key) => {
    if (!Object.hasOwn(call.arguments, key) || !Object.hasOwn(wanted.arguments, key)) return false;
    const [a, b] = [call.arguments[key] ?? null, wanted.arguments[key] ?? null];
    if (key === "content" && (call.name === "AddAgenda" || call.name === "AddReminder"))
      return wordOverlap(a, b) > 0.5;
    return converted(key, a) === converted(key, b);
  });
};

/** Whether a value is mentioned in a text. */
function mentioned(value: JsonValue, text: string): boolean {
  if (Array.isArray(value)) return value.some((item) => mentioned(item, text));
  if (isObject(value)) return Object.values(value).some((item) => mentioned(item as JsonValue, text));
  const words = (one: string) =>
    ` ${one
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, " ")
      .trim()} `;
  return value !== null && value !== "" && words(text).includes(words(String(value)));
}

/**
 * ToolAlpaca lets GPT-4 judge by written guidelines (prompts/Evaluation.txt). These are the guidelines that need no judge:
 * every step of the standard answer is there; no unrelated function is called; necessary parameters, and those that the
 * instruction mentions, are consistent with the standard answer. The final response is not judged.
 */
const toolalpaca: Rule = ({ gold, question, tools }, calls) => {
  if (calls === null) return false;
  const names = new Set(gold.map(({ name }) => name));
  if (!calls.every(({ name }) => names.has(name))) return false;
  return gold.every((wanted) => {
    const root = tools.find(({ name }) => name === wanted.name)?.parameters ?? {};
    const required = new Set(root.required ?? []);
    const binding = Object.entries(wanted.arguments).filter(
      ([key, value]) => required.has(key) || mentioned(value, question),
    );
    return calls.some(
      (call) =>
        call.name === wanted.name &&
        binding.every(
          ([key, value]) =>
            Object.hasOwn(call.arguments, key) &&
            callsEqual(
              [{ name: wanted.name, arguments: { [key]: value } }],
              [{ name: wanted.name, arguments: { [key]: call.arguments[key] ?? null } }],
              tools,
            ),
        ),
    );
  });
};

/** SNIPS: the intent, and every slot with the words of the request (its benchmark compares slots after lower-casing). */
const snips: Rule = ({ gold }, calls) => {
  const lower = (list: readonly ToolCall[]): ToolCall[] =>
    list.map(({ name, arguments: args }) => ({
      name,
      arguments: Object.fromEntries(
        Object.entries(args).map(([key, value]) => [
          key,
          typeof value === "string" ? value.toLowerCase().trim() : value,
        ]),
      ),
    }));
  return calls !== null && callsEqual(lower(calls), lower(gold));
};

/** RestBench's correct path rate: the gold path is a subsequence of the calls, arguments aside. */
const restbench: Rule = ({ gold }, calls) => {
  let next = 0;
  for (const call of calls ?? []) if (call.name === gold[next]?.name) next++;
  return gold.length > 0 && next === gold.length;
};

const rules: Record<SuiteName, Rule> = {
  bfcl: (item, calls) =>
    passesBfcl(
      calls,
      item.gold.length === 0
        ? []
        : (item.acceptable ??
            item.gold.map(({ name, arguments: args }) => ({
              name,
              arguments: Object.fromEntries(Object.entries(args).map(([key, value]) => [key, [value]])),
            }))),
      item,
    ),
  toolalpaca,
  "seal-tools": seal,
  nexusraven,
  "api-bank": apiBank,
  snips,
  restbench,
};

/** Whether an answer passes the published rules of the item's suite; null where the item belongs to none. */
export function officialVerdict(item: SuiteItem, calls: Calls): boolean | null {
  if (item.suite !== undefined) return rules[item.suite](item, calls);
  // Without a suite, items without gold calls are judged as BFCL judges irrelevance.
  return item.gold.length === 0 ? rules.bfcl(item, calls) : null;
}
