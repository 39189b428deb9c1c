import type { ToolCall } from "../task/types.js";
import type { BenchAnswer } from "./models.js";
import { officialVerdict, type SealCounts, sealCounts, sealScores } from "./official.js";
import { type Failure, type Score, scoreAnswer } from "./score.js";
import { type Interval, passAtK, passHatK, wilsonInterval } from "./statistics.js";
import type { SuiteItem } from "./suite.js";

/** What the words of the JSON mean, for whoever reads it without the documentation. */
export const legend = {
  strict:
    "AST match with the gold answer: the same tools, each as often, in any order; the same arguments; equal values by the schema's types",
  official: "the published rules of the suite; null or no items where it has none here",
  interval: "95 %; Wilson's for a share, paired bootstrap for a difference",
  errors: "answers that could not be had (network, server); not scored",
  toolChoice: "share of answers with exactly the right tools",
  name: "calls with the right name, of max(gold calls, given calls); mean",
  keyF1: "F1 of argument names; mean",
  value: "equal values, of all argument names in the gold or the given call; mean",
  count: "share of answers with the right number of calls",
  order: "how far calls keep the gold order; mean over answers to two or more gold calls",
  failures: "answers that show each kind of failure at least once",
  faults: "wrong values by kind of mistake",
} as const;

export interface BenchResult {
  id: string;
  question: string;
  gold: readonly ToolCall[];
  /** Which of several answers to the item this is, from 0; absent where each item has one. */
  sample?: number;
  /** Null when it could not be read as an answer; absent when the model could not be asked. */
  calls?: readonly ToolCall[] | null;
  text?: string;
  /** AST match with the gold answer. */
  strict?: boolean;
  /** The suite's published rules; null where it has none here. */
  official?: boolean | null;
  failures?: Failure[];
  /** The answer was cut off at the greatest number of tokens. */
  truncated?: true;
  error?: string;
}

export interface Accuracy {
  correct: number;
  accuracy: number | null;
  /**
   * 95 % Wilson interval over items. With several answers per item their shares are summed, which is never too narrow:
   * shares vary less than single answers do.
   */
  interval: Interval;
}

/** How a model does on a tool or a group of items. */
export interface BenchGroup {
  name: string;
  /** Answers to items that need the tool, or belong to the group. */
  answers: number;
  strict: number;
  official: number;
  /** Answers that show each kind of failure at this tool, or anywhere in the group. */
  failures: Record<string, number>;
}

export interface BenchExample {
  id: string;
  /** Cut to 600 characters, at its end. */
  question: string;
  gold: readonly ToolCall[];
  calls: readonly ToolCall[] | null;
  /** What it wrote, cut to 600 characters, where it could not be read. */
  text?: string;
}

export interface BenchTotals {
  /** Answers, and those that are missing for a fault of the harness. */
  answered: number;
  errors: number;
  strict: Accuracy;
  official: { items: number } & Accuracy;
  /** Further published figures of the suite, such as Seal-Tools' F1 of tools and arguments. */
  published: Record<string, number | null>;
  toolChoice: number | null;
  name: number | null;
  keyF1: number | null;
  value: number | null;
  /** Share of answers with the right number of calls, and how far calls keep the gold order. */
  count: number | null;
  order: number | null;
  /** Answers that show each kind of failure, and wrong values by kind of mistake. */
  failures: Record<string, number>;
  faults: Record<string, number>;
  /** Tools called instead of the right one, most frequent first. */
  confusions: { want: string; got: string; answers: number }[];
  /** The first wrong answers of each kind of failure. */
  examples: Record<string, BenchExample[]>;
  tools: BenchGroup[];
  groups: BenchGroup[];
  /** For several answers per item: chance that one, and that all, of k answers are right. */
  passes: {
    k: number;
    strict: { any: number; all: number };
    official: { any: number; all: number } | null;
  }[];
  tokens: { prompt: number; completion: number };
  /** In the currency of the prices given, for all tokens, and without those of kept answers; null without prices. */
  cost: { total: number; spent: number } | null;
  /** Answers that were kept from before, and answers that were cut off. */
  kept: number;
  truncated: number;
}

export interface Prices {
  /** Per million tokens. */
  prompt: number;
  completion: number;
}

/** Parts of scores whose means are reported. */
const parts = ["toolChoice", "name", "keyF1", "value", "count", "order"] as const;

const maxExamples = 3;
const maxText = 600;
const maxConfusions = 20;

/** A running mean of the values that are there. */
class Mean {
  #sum = 0;
  #count = 0;
  add(value: number | boolean | null): void {
    if (value === null) return;
    this.#sum += Number(value);
    this.#count++;
  }
  get value(): number | null {
    return this.#count === 0 ? null : this.#sum / this.#count;
  }
}

function bump(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

/**
 * What is remembered of a model's answers: sums, and a few numbers for each item. Answers themselves are not, so that a
 * suite of any size can be run.
 */
export class Tally {
  readonly #samples: number;
  readonly #prices: Prices | undefined;
  readonly #means = parts.map((part) => [part, new Mean()] as const);
  readonly #failures: Record<string, number> = Object.create(null);
  readonly #faults: Record<string, number> = Object.create(null);
  readonly #examples: Record<string, BenchExample[]> = Object.create(null);
  readonly #confusions = new Map<string, number>();
  readonly #tools = new Map<string, BenchGroup>();
  readonly #groups = new Map<string, BenchGroup>();
  readonly #seal: SealCounts[] = [];
  readonly #tokens = { prompt: 0, completion: 0 };
  readonly #spent = { prompt: 0, completion: 0 };
  #answered = 0;
  #errors = 0;
  #official = 0;
  #kept = 0;
  #truncated = 0;
  /** By item: right and all answers, by both scorers; the verdict of the first answer, -1 where there is none. */
  readonly strict: Verdicts = { right: [], all: [], first: [] };
  readonly official: Verdicts = { right: [], all: [], first: [] };

  constructor(samples: number, prices?: Prices) {
    this.#samples = samples;
    this.#prices = prices;
  }

  /** Scores an answer; items and their samples come in order. */
  add(index: number, item: SuiteItem, sample: number, answer: BenchAnswer, kept: boolean): BenchResult {
    const numbered = {
      id: item.id,
      question: item.question,
      gold: item.gold,
      ...(this.#samples > 1 ? { sample } : {}),
    };
    for (const verdicts of [this.strict, this.official]) {
      verdicts.right[index] ??= 0;
      verdicts.all[index] ??= 0;
      verdicts.first[index] ??= -1;
    }
    if ("error" in answer) {
      this.#errors++;
      return { ...numbered, error: answer.error };
    }
    const score = scoreAnswer(item, answer, item.tools);
    const official = officialVerdict(item, answer.calls);
    this.#count(item, answer, score, official);
    if (item.suite === "seal-tools") this.#addSeal(sealCounts(item.gold, answer.calls));
    record(this.strict, index, sample, score.correct);
    if (official !== null) record(this.official, index, sample, official);
    for (const sums of kept ? [this.#tokens] : [this.#tokens, this.#spent]) {
      sums.prompt += answer.tokens?.prompt ?? 0;
      sums.completion += answer.tokens?.completion ?? 0;
    }
    if (kept) this.#kept++;
    if (answer.truncated === true) this.#truncated++;
    return {
      ...numbered,
      calls: answer.calls,
      text: answer.text,
      strict: score.correct,
      official,
      failures: score.failures,
      ...(answer.truncated === true ? { truncated: true as const } : {}),
    };
  }

  #addSeal(counts: SealCounts): void {
    const [sum] = this.#seal;
    if (sum === undefined) this.#seal.push(counts);
    else for (const key of Object.keys(sum) as (keyof SealCounts)[]) sum[key] += counts[key];
  }

  #count(
    item: SuiteItem,
    answer: Exclude<BenchAnswer, { error: string }>,
    score: Score,
    official: boolean | null,
  ): void {
    this.#answered++;
    if (official !== null) this.#official++;
    for (const [part, mean] of this.#means) mean.add(score[part]);
    const kinds = new Set(score.failures.map(({ kind }) => kind));
    for (const kind of kinds) {
      bump(this.#failures, kind);
      this.#examples[kind] ??= [];
      const examples = this.#examples[kind];
      if (examples.length < maxExamples && !examples.some(({ id }) => id === item.id))
        examples.push({
          id: item.id,
          question: item.question.length > maxText ? `…${item.question.slice(-maxText)}` : item.question,
          gold: item.gold,
          calls: answer.calls,
          ...(answer.calls === null ? { text: answer.text.slice(0, maxText) } : {}),
        });
    }
    for (const { kind, fault, want, got } of score.failures) {
      if (fault !== undefined) bump(this.#faults, fault);
      if (kind === "wrong-tool") {
        const pair = JSON.stringify([want, got]);
        this.#confusions.set(pair, (this.#confusions.get(pair) ?? 0) + 1);
      }
    }
    const wanted = new Set(item.gold.map(({ name }) => name));
    if (wanted.size === 0) wanted.add("(no call)");
    for (const name of wanted) {
      const own = score.failures.filter(
        ({ tool }) => tool === undefined || tool === name || wanted.size === 1,
      );
      this.#addGroup(this.#tools, name, own, score, official);
    }
    this.#addGroup(this.#groups, item.group, score.failures, score, official);
  }

  #addGroup(
    groups: Map<string, BenchGroup>,
    name: string,
    failures: readonly Failure[],
    score: Score,
    official: boolean | null,
  ): void {
    let group = groups.get(name);
    if (group === undefined) {
      group = { name, answers: 0, strict: 0, official: 0, failures: Object.create(null) };
      groups.set(name, group);
    }
    group.answers++;
    group.strict += Number(score.correct);
    group.official += Number(official === true);
    for (const kind of new Set(failures.map((failure) => failure.kind))) bump(group.failures, kind);
  }

  totals(): BenchTotals {
    const { prompt, completion } = this.#tokens;
    const price = (tokens: { prompt: number; completion: number }, { prompt: p, completion: c }: Prices) =>
      (tokens.prompt * p + tokens.completion * c) / 1e6;
    const means = Object.fromEntries(this.#means.map(([part, mean]) => [part, mean.value])) as Record<
      (typeof parts)[number],
      number | null
    >;
    const [seal] = this.#seal;
    return {
      answered: this.#answered,
      errors: this.#errors,
      strict: accuracy(this.strict),
      official: { items: this.#official, ...accuracy(this.official) },
      published: seal === undefined ? {} : sealScores(seal),
      ...means,
      failures: { ...this.#failures },
      faults: { ...this.#faults },
      confusions: [...this.#confusions]
        .sort(([, a], [, b]) => b - a)
        .slice(0, maxConfusions)
        .map(([pair, answers]) => {
          const [want, got] = JSON.parse(pair) as [string, string];
          return { want, got, answers };
        }),
      examples: { ...this.#examples },
      tools: worstFirst(this.#tools),
      groups: worstFirst(this.#groups),
      passes: this.#passes(),
      tokens: { prompt, completion },
      cost:
        this.#prices === undefined
          ? null
          : { total: price(this.#tokens, this.#prices), spent: price(this.#spent, this.#prices) },
      kept: this.#kept,
      truncated: this.#truncated,
    };
  }

  #passes(): BenchTotals["passes"] {
    if (this.#samples < 2) return [];
    return Array.from({ length: this.#samples }, (_, i) => {
      const strict = passes(this.strict, this.#samples, i + 1);
      return strict === null
        ? []
        : [{ k: i + 1, strict, official: passes(this.official, this.#samples, i + 1) }];
    }).flat();
  }
}

/** By item: how many answers are right, how many there are, and the first one's verdict (1, 0, or -1 for none). */
export interface Verdicts {
  right: number[];
  all: number[];
  first: number[];
}

function record(verdicts: Verdicts, index: number, sample: number, right: boolean): void {
  verdicts.right[index] = (verdicts.right[index] ?? 0) + Number(right);
  verdicts.all[index] = (verdicts.all[index] ?? 0) + 1;
  if (sample === 0) verdicts.first[index] = Number(right);
}

/** Share of right answers of each item that has any. */
function shares({ right, all }: Verdicts): number[] {
  return all.flatMap((count, i) => (count === 0 ? [] : [(right[i] ?? 0) / count]));
}

function accuracy(verdicts: Verdicts): Accuracy {
  const correct = verdicts.right.reduce((sum, n) => sum + n, 0);
  const total = verdicts.all.reduce((sum, n) => sum + n, 0);
  const items = shares(verdicts);
  const right = items.reduce((sum, share) => sum + share, 0);
  return {
    correct,
    accuracy: total === 0 ? null : correct / total,
    interval: wilsonInterval(Math.min(right, items.length), items.length),
  };
}

/** Over items of which every sample was answered. */
function passes(verdicts: Verdicts, samples: number, k: number): { any: number; all: number } | null {
  const [any, all] = [new Mean(), new Mean()];
  for (const [i, count] of verdicts.all.entries()) {
    if (count !== samples) continue;
    any.add(passAtK(count, verdicts.right[i] ?? 0, k));
    all.add(passHatK(count, verdicts.right[i] ?? 0, k));
  }
  return any.value === null || all.value === null ? null : { any: any.value, all: all.value };
}

/** A model over several suites: means of its accuracies, each suite counting the same, and sums of its failures. */
export interface Together {
  model: string;
  answered: number;
  errors: number;
  /** Mean over the suites that have answers, and over those that have official rules too; null where there are none. */
  strict: number | null;
  official: number | null;
  failures: Record<string, number>;
  faults: Record<string, number>;
}

/** The same models over several suites. */
export function together(
  reports: readonly { models: readonly { label: string; totals: BenchTotals }[] }[],
): Together[] {
  const sum = (counts: readonly Record<string, number>[]): Record<string, number> => {
    const all: Record<string, number> = {};
    for (const one of counts) for (const [key, n] of Object.entries(one)) all[key] = (all[key] ?? 0) + n;
    return all;
  };
  return (reports[0]?.models ?? []).map(({ label }, i) => {
    const own = reports.flatMap(({ models }) => models[i]?.totals ?? []);
    const [strict, official] = [new Mean(), new Mean()];
    for (const totals of own) {
      strict.add(totals.strict.accuracy);
      official.add(totals.official.accuracy);
    }
    return {
      model: label,
      answered: own.reduce((n, { answered }) => n + answered, 0),
      errors: own.reduce((n, { errors }) => n + errors, 0),
      strict: strict.value,
      official: official.value,
      failures: sum(own.map(({ failures }) => failures)),
      faults: sum(own.map(({ faults }) => faults)),
    };
  });
}

/** Most wrong answers first. */
function worstFirst(groups: ReadonlyMap<string, BenchGroup>): BenchGroup[] {
  return [...groups.values()]
    .map((group) => ({ ...group, failures: { ...group.failures } }))
    .sort((a, b) => b.answers - b.strict - (a.answers - a.strict) || b.answers - a.answers);
}
