import type { Tool } from "../openapi/types.js";
import { argumentKeys, callsEqual } from "../task/equality.js";
import { bestAssignment } from "../task/matching.js";
import { itemViews, propertyViews, schemaViews } from "../task/schema.js";
import type { ToolCall } from "../task/types.js";
import type { JsonSchemaObject, JsonValue } from "../util/json.js";
import { type ValueFault, valueFault } from "./values.js";

/** What can be wrong with an answer. */
export const failureKinds = [
  "unparsable",
  "refused",
  "needless-call",
  "wrong-number-of-calls",
  "wrong-tool",
  "missing-argument",
  "extra-argument",
  "wrong-value",
] as const;
export type FailureKind = (typeof failureKinds)[number];

export interface Failure {
  kind: FailureKind;
  /** The tool that the gold answer calls, or the one called needlessly. */
  tool?: string;
  /** The argument's name. */
  argument?: string;
  /** For `wrong-value`: what kind of mistake. */
  fault?: ValueFault;
  /** What was wanted and what was given; left out where there is none. */
  want?: JsonValue;
  got?: JsonValue;
}

/** The task that an answer is scored against. */
export interface ScoredTask {
  /** Only tells kinds of wrong values apart. */
  question?: string;
  /** Empty when no tool should be called. */
  gold: readonly ToolCall[];
  /** False: the gold arguments are not known, and only the choice of tools counts. */
  argsKnown: boolean;
}

/** `calls` is null when the text could not be read as an answer; an empty list says that no tool is needed. */
export interface ModelAnswer {
  calls: readonly ToolCall[] | null;
}

export interface Score {
  /** Whether the whole answer is right: the calls where arguments are known, otherwise the choice of tools. */
  correct: boolean;
  /** Whether exactly the right tools are called, each as often as it should be. */
  toolChoice: boolean;
  /** In [0, 1], averaged over max(gold calls, given calls); a call without a counterpart of its name counts 0. */
  name: number;
  /** F1 over argument names; null where arguments are not known. */
  keyF1: number | null;
  /** Share of equal values over the union of argument names; null where arguments are not known. */
  value: number | null;
  /** Whether there are as many calls as there should be. */
  count: boolean;
  /** Share of the gold calls in the longest part of the answer that keeps their order; null for fewer than two. */
  order: number | null;
  /** Empty exactly when `correct`. */
  failures: Failure[];
}

/** What the schema says about one argument, references and combinators followed. */
function argumentViews(root: JsonSchemaObject, argument: string): readonly JsonSchemaObject[] {
  return propertyViews(schemaViews(root, root), argument, root);
}

/**
 * The call without arguments that say the same as leaving them out: an optional argument with the schema's `default`.
 * Only the arguments themselves, not properties inside them.
 */
export function withoutDefaults(call: ToolCall, tools: readonly Tool[]): ToolCall {
  const tool = tools.find((candidate) => candidate.name === call.name);
  if (tool === undefined) return call;
  const required = new Set(tool.parameters.required ?? []);
  const keys = argumentKeys(call, [tool]);
  const kept = Object.entries(call.arguments).filter(([argument]) => {
    if (required.has(argument)) return true;
    const fallback = argumentViews(tool.parameters, argument).find(
      (view) => view.default !== undefined,
    )?.default;
    if (fallback === undefined) return true;
    const asDefault: ToolCall = { name: call.name, arguments: Object.fromEntries([[argument, fallback]]) };
    return keys.get(argument) !== argumentKeys(asDefault, [tool]).get(argument);
  });
  return { name: call.name, arguments: Object.fromEntries(kept) };
}

/** Key F1 and value share of one call against another of the same name. Two calls without arguments agree fully. */
function compareArguments(
  gold: Map<string, string>,
  given: Map<string, string>,
): { keyF1: number; value: number } {
  const union = new Set([...gold.keys(), ...given.keys()]);
  if (union.size === 0) return { keyF1: 1, value: 1 };
  const shared = [...gold.keys()].filter((argument) => given.has(argument));
  const equal = shared.filter((argument) => gold.get(argument) === given.get(argument));
  return { keyF1: (2 * shared.length) / (gold.size + given.size), value: equal.length / union.size };
}

/**
 * Scores an answer by AST match: names, argument names and values (by the schema's types), calls in any order.
 * An optional argument given with the schema's default counts as left out.
 */
export function scoreAnswer(task: ScoredTask, answer: ModelAnswer, tools: readonly Tool[]): Score {
  const known = task.argsKnown;
  const flat = (value: number): Score => ({
    correct: value === 1,
    toolChoice: value === 1,
    name: value,
    keyF1: known ? value : null,
    value: known ? value : null,
    count: task.gold.length === (answer.calls?.length ?? -1),
    order: task.gold.length < 2 ? null : 0,
    failures: [],
  });
  if (answer.calls === null) return { ...flat(0), failures: [{ kind: "unparsable" }] };
  if (task.gold.length === 0) {
    const failures = answer.calls.map((call): Failure => ({ kind: "needless-call", tool: call.name }));
    return { ...flat(failures.length === 0 ? 1 : 0), failures };
  }
  if (answer.calls.length === 0) {
    const tool = task.gold[0]?.name;
    return { ...flat(0), failures: [{ kind: "refused", ...(tool === undefined ? {} : { tool }) }] };
  }

  const gold = task.gold.map((call) => withoutDefaults(call, tools));
  const given = answer.calls.map((call) => withoutDefaults(call, tools));
  const goldKeys = gold.map((call) => argumentKeys(call, tools));
  const givenKeys = given.map((call) => argumentKeys(call, tools));
  const compare = (i: number, j: number) =>
    compareArguments(goldKeys[i] ?? new Map(), givenKeys[j] ?? new Map());
  const weights = gold.map((a, i) =>
    given.map((b, j) => {
      if (a.name !== b.name) return 0;
      const { keyF1, value } = compare(i, j);
      // A shared name always beats none, equal values beat shared argument names.
      return 4 + keyF1 + 2 * value;
    }),
  );
  const assigned = bestAssignment(weights);
  const most = Math.max(gold.length, given.length);
  const failures: Failure[] = [];
  const sum = { name: 0, keyF1: 0, value: 0 };
  const leftOver = new Set(given.keys());
  const unmatched: ToolCall[] = [];
  const paired: number[] = [];
  for (const [i, wanted] of gold.entries()) {
    const column = assigned[i] ?? -1;
    const found = given[column];
    if (found === undefined || found.name !== wanted.name) {
      unmatched.push(wanted);
      continue;
    }
    leftOver.delete(column);
    paired.push(column);
    sum.name += 1;
    const parts = compare(i, column);
    sum.keyF1 += parts.keyF1;
    sum.value += parts.value;
    if (known) failures.push(...argumentFailures(wanted, found, tools, task.question ?? ""));
  }
  const strangers = [...leftOver].flatMap((index) => given[index] ?? []);
  for (const [i, wanted] of unmatched.entries()) {
    const got = strangers[i];
    if (got !== undefined)
      failures.push({ kind: "wrong-tool", tool: wanted.name, want: wanted.name, got: got.name });
  }
  if (gold.length !== given.length)
    failures.unshift({ kind: "wrong-number-of-calls", want: gold.length, got: given.length });
  const toolChoice = unmatched.length === 0 && gold.length === given.length;
  return {
    correct: known ? callsEqual(gold, given, tools) : toolChoice,
    toolChoice,
    name: sum.name / most,
    keyF1: known ? sum.keyF1 / most : null,
    value: known ? sum.value / most : null,
    count: gold.length === given.length,
    order: gold.length < 2 ? null : longestRise(paired) / gold.length,
    failures,
  };
}

/** Length of the longest rising subsequence. */
function longestRise(numbers: readonly number[]): number {
  const ends: number[] = [];
  for (const number of numbers) {
    const place = ends.findIndex((end) => end >= number);
    ends[place < 0 ? ends.length : place] = number;
  }
  return ends.length;
}

function argumentFailures(
  wanted: ToolCall,
  found: ToolCall,
  tools: readonly Tool[],
  question: string,
): Failure[] {
  const failures: Failure[] = [];
  const tool = wanted.name;
  const root = tools.find((candidate) => candidate.name === tool)?.parameters ?? {};
  const wantedKeys = argumentKeys(wanted, tools);
  const foundKeys = argumentKeys(found, tools);
  for (const [argument, want] of Object.entries(wanted.arguments)) {
    if (!foundKeys.has(argument)) {
      failures.push({ kind: "missing-argument", tool, argument, want });
      continue;
    }
    if (wantedKeys.get(argument) === foundKeys.get(argument)) continue;
    const got = found.arguments[argument] ?? null;
    const views = argumentViews(root, argument);
    const allowed = [...views, ...itemViews(views, root)].find((view) => Array.isArray(view.enum))?.enum;
    failures.push({
      kind: "wrong-value",
      tool,
      argument,
      want,
      got,
      fault: valueFault(want, got, allowed, question),
    });
  }
  for (const [argument, got] of Object.entries(found.arguments))
    if (!wantedKeys.has(argument)) failures.push({ kind: "extra-argument", tool, argument, got });
  return failures;
}
