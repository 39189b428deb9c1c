import type { Tool, ToolMenu } from "../openapi/types.js";
import { parseCompletion } from "../task/parse.js";
import type { Rejection, ToolCall } from "../task/types.js";
import { isObject, type JsonObject } from "../util/json.js";
import { createRandom } from "../util/random.js";
import { checkGold } from "./check.js";
import { findContamination } from "./contamination.js";
import type {
  Baseline,
  EvaluatedAnswer,
  EvaluatedGroup,
  Evaluation,
  FailureCounts,
  Summary,
} from "./schema.js";
import { type Score, scoreAnswer } from "./score.js";
import { mcnemarExact, pairedBootstrap, wilsonInterval } from "./statistics.js";
import type { ResolvedTask } from "./tasks.js";

/** What a model decided on one question. `calls` is null when its text could not be read as an answer. */
export interface EvaluatedDecision {
  calls: readonly { name: string; arguments: unknown }[] | null;
  /** What it says to the user, or all that it wrote. */
  text: string;
  /** All that it wrote, where `text` is only a part of it. */
  completion?: string;
  /** What an agent left out of its text's calls because they could not be run. */
  rejected?: readonly Rejection[];
}

/** Anything that answers questions with tool calls: an exported agent, a base model under the same prompts, a script. */
export interface AgentModel {
  /** One decision per question, in order. */
  decideBatch(questions: readonly string[]): Promise<readonly EvaluatedDecision[]>;
}

export interface EvaluateOptions {
  tasks: readonly ResolvedTask[];
  menu: ToolMenu;
  /** `base` is the model before training; without it there is no comparison. */
  models: { base?: AgentModel; tuned: AgentModel };
  origin: Evaluation["tasks"]["origin"];
  /** Questions that were trained on. Tasks that are near-duplicates of one are left out and reported. */
  trained?: Iterable<string>;
  seed: number | string;
}

interface Scored {
  answer: EvaluatedAnswer;
  score: Score;
}
interface Item {
  task: ResolvedTask;
  base: Scored | undefined;
  tuned: Scored;
}

const maxText = 2000;

async function answerAll(
  model: AgentModel,
  tasks: readonly Omit<ResolvedTask, "source">[],
  tools: readonly Tool[],
): Promise<Scored[]> {
  if (tasks.length === 0) return [];
  const decisions = await model.decideBatch(tasks.map((task) => task.question));
  if (decisions.length !== tasks.length)
    throw new RangeError(`decideBatch: ${decisions.length} decisions for ${tasks.length} questions`);
  return tasks.map((task, i) => {
    const { calls, text } = read(decisions[i]);
    const score = scoreAnswer(task, { calls }, tools);
    return {
      answer: { calls, text: text.slice(0, maxText), correct: score.correct, failures: score.failures },
      score,
    };
  });
}

/**
 * The calls to score. Where an agent left calls out because they are invalid, the text counts as it was written: a right
 * call beside an impossible one is not a right answer.
 */
function read(decision: EvaluatedDecision | undefined): { calls: ToolCall[] | null; text: string } {
  const text = decision?.completion ?? decision?.text ?? "";
  if (decision === undefined || decision.calls === null) return { calls: null, text };
  if (decision.rejected !== undefined && decision.rejected.length > 0) {
    const parsed = parseCompletion(text, { calls: true });
    return { calls: "reason" in parsed ? null : parsed.calls, text };
  }
  const calls = decision.calls.map(({ name, arguments: args }) => ({
    name,
    arguments: isObject(args) ? (args as JsonObject) : {},
  }));
  return { calls, text };
}

function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

function summarise(scores: readonly Score[]): Summary {
  const correct = scores.filter((score) => score.correct).length;
  return {
    tasks: scores.length,
    correct,
    accuracy: scores.length === 0 ? null : correct / scores.length,
    interval: wilsonInterval(correct, scores.length),
    toolChoice: mean(scores.map((score) => Number(score.toolChoice))),
    name: mean(scores.map((score) => score.name)),
    keyF1: mean(scores.map((score) => score.keyF1)),
    value: mean(scores.map((score) => score.value)),
    count: mean(scores.map((score) => Number(score.count))),
    order: mean(scores.map((score) => score.order)),
    whole: wholeCalls(scores),
  };
}

/** Scores of tasks whose arguments are known have a value part. */
function wholeCalls(scores: readonly Score[]): Summary["whole"] {
  const known = scores.filter(({ value }) => value !== null);
  const correct = known.filter((score) => score.correct).length;
  return {
    tasks: known.length,
    correct,
    accuracy: known.length === 0 ? null : correct / known.length,
    interval: wilsonInterval(correct, known.length),
  };
}

/** Groups in the order of `names`; an item counts in every group that `namesOf` gives for it. */
function group(
  items: readonly Item[],
  names: readonly string[],
  namesOf: (item: Item) => string[],
): EvaluatedGroup[] {
  const members = new Map<string, Item[]>();
  for (const item of items)
    for (const name of new Set(namesOf(item))) members.set(name, [...(members.get(name) ?? []), item]);
  return names.flatMap((name) => {
    const own = members.get(name);
    if (own === undefined) return [];
    const base = own.flatMap((item) => item.base?.score ?? []);
    return [
      {
        name,
        base: base.length === 0 ? null : summarise(base),
        tuned: summarise(own.map((i) => i.tuned.score)),
      },
    ];
  });
}

function countFailures(scores: readonly Score[]): FailureCounts {
  const counts: FailureCounts = { byKind: {}, byFault: {} };
  for (const { failures } of scores) {
    for (const kind of new Set(failures.map((failure) => failure.kind)))
      counts.byKind[kind] = (counts.byKind[kind] ?? 0) + 1;
    for (const { fault } of failures)
      if (fault !== undefined) counts.byFault[fault] = (counts.byFault[fault] ?? 0) + 1;
  }
  return counts;
}

/** How another model does on the tasks of an evaluation, and how far the tuned model is ahead of it. */
export async function evaluateBaseline(
  name: string,
  model: AgentModel,
  evaluation: Evaluation,
  tools: readonly Tool[],
): Promise<Baseline> {
  const tasks = evaluation.items.map(({ id, question, gold, argsKnown }) => ({
    id,
    question,
    gold: gold as ToolCall[],
    argsKnown,
  }));
  const scores = (await answerAll(model, tasks, tools)).map(({ score }) => score);
  const after = evaluation.items.map(({ tuned }) => Number(tuned.correct));
  return {
    name,
    summary: summarise(scores),
    difference: difference(
      scores.map(({ correct }) => Number(correct)),
      after,
      evaluation.seed,
    ),
  };
}

/** Base against tuned, on the items that both answered, by what `verdict` says of a score. */
function compare(
  items: readonly Item[],
  seed: number | string,
  verdict: (score: Score) => boolean,
): Evaluation["overall"]["difference"] {
  const pairs = items.flatMap(({ base, tuned }) => (base === undefined ? [] : [{ base, tuned }]));
  if (pairs.length === 0) return null;
  return difference(
    pairs.map(({ base }) => Number(verdict(base.score))),
    pairs.map(({ tuned }) => Number(verdict(tuned.score))),
    seed,
  );
}

function difference(
  before: readonly number[],
  after: readonly number[],
  seed: number | string,
): Baseline["difference"] {
  const gained = after.filter((right, i) => right > (before[i] ?? 0)).length;
  const lost = after.filter((right, i) => right < (before[i] ?? 0)).length;
  const interval = pairedBootstrap(before, after, createRandom(seed).fork("bootstrap"));
  const { difference: value, low, high } = interval;
  return { value, low, high, gained, lost, p: mcnemarExact(gained, lost) };
}

/**
 * Asks the models every task and scores their answers (see `scoreAnswer`). Tasks whose question was trained on are left
 * out. A task counts for each domain and each operation that its gold calls name.
 */
export async function evaluateModels(options: EvaluateOptions): Promise<Evaluation> {
  const { menu, models } = options;
  const trained = options.trained === undefined ? undefined : [...new Set(options.trained)];
  const excluded = trained === undefined ? [] : findContamination(options.tasks, trained);
  const left = new Set(excluded.map((task) => task.id));
  const tasks = options.tasks.filter((task) => !left.has(task.id));

  const base = models.base === undefined ? undefined : await answerAll(models.base, tasks, menu.tools);
  const tuned = await answerAll(models.tuned, tasks, menu.tools);
  const items = tasks.flatMap((task, i): Item[] => {
    const own = tuned[i];
    return own === undefined ? [] : [{ task, base: base?.[i], tuned: own }];
  });
  const baseScores = base?.map((scored) => scored.score);
  const tunedScores = tuned.map((scored) => scored.score);

  const domainOf = new Map(menu.tools.map((tool) => [tool.name, tool.domain]));
  const noCall = "(no call)";
  const unknown = "(not in the document)";
  const toolsOf = ({ task }: Item) =>
    task.gold.length === 0 ? [noCall] : task.gold.map((call) => call.name);
  const domainsOf = (item: Item) =>
    toolsOf(item).map((name) => (name === noCall ? noCall : (domainOf.get(name) ?? unknown)));
  const strangers = [...new Set(items.flatMap(toolsOf))].filter(
    (name) => name !== noCall && !domainOf.has(name),
  );
  const writers = new Map<string, number>();
  for (const { source } of tasks) {
    const name = source ?? "not stated";
    writers.set(name, (writers.get(name) ?? 0) + 1);
  }

  return {
    format: "specdojo-evaluation-1",
    api: { title: menu.title, version: menu.version },
    tasks: {
      origin: options.origin,
      count: tasks.length,
      toolChoiceOnly: tasks.filter((task) => !task.argsKnown).length,
      writers: [...writers].map(([source, count]) => ({ source, tasks: count })),
      excluded,
      comparedWith: trained === undefined ? null : trained.length,
      goldFaults: checkGold(tasks, menu),
    },
    seed: options.seed,
    overall: {
      base: baseScores === undefined ? null : summarise(baseScores),
      tuned: summarise(tunedScores),
      difference: compare(items, options.seed, (score) => score.correct),
      wholeDifference: compare(
        items.filter(({ task }) => task.argsKnown),
        options.seed,
        (score) => score.correct,
      ),
      toolChoiceDifference: compare(items, options.seed, (score) => score.toolChoice),
    },
    baselines: [],
    otherApis: null,
    domains: group(
      items,
      [...new Set([...menu.tools.map((tool) => tool.domain), noCall, unknown])],
      domainsOf,
    ),
    operations: group(items, [...menu.tools.map((tool) => tool.name), noCall, ...strangers], toolsOf),
    failures: {
      base: baseScores === undefined ? null : countFailures(baseScores),
      tuned: countFailures(tunedScores),
    },
    items: items.map(({ task, base: before, tuned: after }) => ({
      id: task.id,
      question: task.question,
      gold: task.gold,
      argsKnown: task.argsKnown,
      base: before?.answer ?? null,
      tuned: after.answer,
    })),
  };
}
