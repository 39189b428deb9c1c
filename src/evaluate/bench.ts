import type { Solver } from "../agent/solver.js";
import { messagesToQuestion } from "../task/conversation.js";
import { parseCompletion } from "../task/parse.js";
import { type PromptStyle, solverMessages } from "../task/prompts.js";
import type { ToolCall } from "../task/types.js";
import { createRandom } from "../util/random.js";
import { passesOfficial } from "./official.js";
import type { Failure, Score } from "./score.js";
import { scoreAnswer } from "./score.js";
import { type Interval, mcnemarExact, pairedBootstrap, wilsonInterval } from "./statistics.js";
import type { SuiteItem } from "./suite.js";

/** What a model answered, or why it could not be asked (a fault of the harness, which is not scored). */
export type BenchAnswer =
  | { calls: readonly ToolCall[] | null; text: string; tokens?: { prompt: number; completion: number } }
  | { error: string };

/** Something that can be asked the items of a suite. */
export interface BenchModel {
  label: string;
  /** Items per call of `ask`. */
  batch: number;
  /** Calls of `ask` at a time. */
  concurrency: number;
  /** One answer per item, in order. Never rejects for what one item causes. */
  ask(items: readonly SuiteItem[]): Promise<BenchAnswer[]>;
  close(): Promise<void>;
}

/** A solver under its own prompt: the suite's tools in the system message, the answer between tags. */
export function solverBenchModel(
  label: string,
  solver: Solver,
  options: { style: PromptStyle; maxTokens?: number; batch?: number },
): BenchModel {
  return {
    label,
    batch: options.batch ?? 16,
    concurrency: 1,
    async ask(items) {
      const prompts = items.map((item) =>
        solverMessages(item.tools, messagesToQuestion(item.messages), options.style),
      );
      const texts = await solver.complete(prompts, { maxTokens: options.maxTokens ?? 512 });
      return texts.map((text) => {
        const parsed = parseCompletion(text, { calls: true });
        return { calls: "calls" in parsed ? parsed.calls : null, text };
      });
    },
    close: () => solver.close(),
  };
}

export interface BenchResult {
  id: string;
  /** Null when it could not be read as an answer; absent when the model could not be asked. */
  calls?: readonly ToolCall[] | null;
  text?: string;
  /** AST match with the gold answer. */
  strict?: boolean;
  /** The suite's published rules; null where it has none here (the item lists no acceptable values). */
  official?: boolean | null;
  failures?: Failure[];
  error?: string;
}

export interface BenchTotals {
  /** Items that were answered, and those that were not for a fault of the harness. */
  answered: number;
  errors: number;
  strict: { correct: number; accuracy: number | null; interval: Interval };
  official: { items: number; correct: number; accuracy: number | null; interval: Interval };
  toolChoice: number | null;
  keyF1: number | null;
  value: number | null;
  failures: Record<string, number>;
  tokens: { prompt: number; completion: number };
}

export interface BenchReport {
  format: "specdojo-bench-1";
  suite: string;
  items: number;
  models: { label: string; totals: BenchTotals; results: BenchResult[] }[];
  /** Each further model against the first, over the items that both answered (strict). */
  comparisons: ({ model: string; against: string; items: number; gained: number; lost: number; p: number } & {
    difference: number;
  } & Interval)[];
}

interface ModelRun {
  label: string;
  results: BenchResult[];
  scores: (Score | undefined)[];
  tokens: { prompt: number; completion: number };
}

async function runModel(
  model: BenchModel,
  items: readonly SuiteItem[],
  onProgress: (done: number) => void,
): Promise<ModelRun> {
  const results: BenchResult[] = new Array(items.length);
  const scores: (Score | undefined)[] = new Array(items.length);
  const tokens = { prompt: 0, completion: 0 };
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    while (next < items.length) {
      const start = next;
      const batch = items.slice(start, start + model.batch);
      next += batch.length;
      const answers = await model.ask(batch);
      for (const [i, item] of batch.entries()) {
        const answer = answers[i] ?? { error: "no answer came back" };
        if ("error" in answer) results[start + i] = { id: item.id, error: answer.error };
        else {
          const score = scoreAnswer(
            { question: item.question, gold: item.gold, argsKnown: true },
            answer,
            item.tools,
          );
          const acceptable = item.gold.length === 0 ? [] : item.acceptable;
          scores[start + i] = score;
          results[start + i] = {
            id: item.id,
            calls: answer.calls,
            text: answer.text,
            strict: score.correct,
            official: acceptable === undefined ? null : passesOfficial(answer.calls, acceptable, item.tools),
            failures: score.failures,
          };
          tokens.prompt += answer.tokens?.prompt ?? 0;
          tokens.completion += answer.tokens?.completion ?? 0;
        }
      }
      done += batch.length;
      onProgress(done);
    }
  };
  await Promise.all(Array.from({ length: model.concurrency }, work));
  return { label: model.label, results, scores, tokens };
}

function share(correct: number, total: number) {
  return {
    correct,
    accuracy: total === 0 ? null : correct / total,
    interval: wilsonInterval(correct, total),
  };
}

function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

function totalsOf({ results, scores, tokens }: ModelRun): BenchTotals {
  const answered = scores.filter((score) => score !== undefined);
  const official = results.filter((result) => typeof result.official === "boolean");
  const failures: Record<string, number> = {};
  for (const score of answered)
    for (const kind of new Set(score.failures.map((failure) => failure.kind)))
      failures[kind] = (failures[kind] ?? 0) + 1;
  const officialRight = official.filter((result) => result.official === true).length;
  return {
    answered: answered.length,
    errors: results.length - answered.length,
    strict: share(answered.filter((score) => score.correct).length, answered.length),
    official: { items: official.length, ...share(officialRight, official.length) },
    toolChoice: mean(answered.map((score) => Number(score.toolChoice))),
    keyF1: mean(answered.map((score) => score.keyF1)),
    value: mean(answered.map((score) => score.value)),
    failures,
    tokens,
  };
}

/**
 * Asks every model every item and scores the answers. Items that a model could not be asked about are counted as errors,
 * apart from its answers.
 */
export async function runBench(options: {
  suite: string;
  items: readonly SuiteItem[];
  models: readonly BenchModel[];
  seed: number | string;
  onProgress?: (label: string, done: number, total: number) => void;
}): Promise<BenchReport> {
  const runs: ModelRun[] = [];
  for (const model of options.models)
    runs.push(
      await runModel(model, options.items, (done) =>
        options.onProgress?.(model.label, done, options.items.length),
      ),
    );
  const [first, ...others] = runs;
  const comparisons = others.flatMap((run) => {
    const pairs = run.results.flatMap((after, i) => {
      const before = first?.results[i];
      return before?.strict === undefined || after.strict === undefined ? [] : [{ before, after }];
    });
    if (first === undefined || pairs.length === 0) return [];
    const before = pairs.map((pair) => Number(pair.before.strict));
    const after = pairs.map((pair) => Number(pair.after.strict));
    const gained = after.filter((right, i) => right > (before[i] ?? 0)).length;
    const lost = after.filter((right, i) => right < (before[i] ?? 0)).length;
    const interval = pairedBootstrap(
      before,
      after,
      createRandom(options.seed).fork(`bootstrap/${run.label}`),
    );
    return [
      {
        model: run.label,
        against: first.label,
        items: pairs.length,
        gained,
        lost,
        p: mcnemarExact(gained, lost),
        ...interval,
      },
    ];
  });
  return {
    format: "specdojo-bench-1",
    suite: options.suite,
    items: options.items.length,
    models: runs.map((run) => ({ label: run.label, totals: totalsOf(run), results: run.results })),
    comparisons,
  };
}
