import { createRandom } from "../util/random.js";
import type { BenchAnswer, BenchModel } from "./models.js";
import { type ResponseStore, requestKey } from "./responses.js";
import { type Interval, mcnemarExact, pairedBootstrap } from "./statistics.js";
import type { SuiteItem } from "./suite.js";
import { type BenchResult, type BenchTotals, type Prices, Tally, type Verdicts } from "./totals.js";

/** Two models on the items that both answered. */
export type Comparison = {
  items: number;
  /** Items whose first answer only the later, or only the earlier, model got right; McNemar's exact p of that split. */
  gained: number;
  lost: number;
  p: number;
  /** Difference of the shares of right answers, with its 95 % paired bootstrap interval. */
  difference: number;
} & Interval;

export interface BenchReport {
  format: "specdojo-bench-1";
  suite: string;
  items: number;
  /** Answers asked for each item. */
  samples: number;
  models: { label: string; totals: BenchTotals; results: BenchResult[] }[];
  /** Each further model against the first: strict, and by the official rules where both have any. */
  comparisons: ({ model: string; against: string; official: Comparison | null } & Comparison)[];
  /** Items that were left out because they, or near-duplicates, were trained on. */
  excluded: { id: string; question: string; trained: string; similarity: number }[];
  /** Number of training questions that the items were compared with; null when none were given. */
  comparedWith: number | null;
  /** Items whose gold answer nobody can give, and why. They are scored as they are written. */
  goldFaults: { id: string; problem: string }[];
}

export interface BenchOptions {
  suite: string;
  /** The items, as often as they are asked for: once for each model. */
  items: readonly SuiteItem[] | (() => AsyncIterable<SuiteItem>);
  models: readonly BenchModel[];
  seed: number | string;
  /** Answers to ask for each item; more than one gives pass@k and pass^k. Default 1. */
  samples?: number;
  /** Where a model's answers are kept, so that none is asked for twice. */
  store?: (model: BenchModel) => Promise<ResponseStore | undefined>;
  prices?: Prices | undefined;
  /** Each scored answer, in the order of the suite. With it, the report's `results` stay empty. */
  onResult?: (model: number, result: BenchResult) => void | Promise<void>;
  /** Answers so far, of which `kept` are from before, and how many could not be had. */
  onProgress?: (label: string, done: number, total: number | undefined, state: BenchProgress) => void;
  /** Number of items, where it is known beforehand. */
  total?: number;
  excluded?: BenchReport["excluded"];
  comparedWith?: number | null;
  goldFaults?: BenchReport["goldFaults"];
}

export interface BenchProgress {
  kept: number;
  errors: number;
  tokens: number;
}

interface Job {
  index: number;
  item: SuiteItem;
  sample: number;
}

/** Batches that may be finished before an earlier one is: bounds what waits to be written in order. */
const window = 32;
/** Faults in a row, without an answer between, after which a model is not asked any more. */
const hopeless = 32;

function iterate(items: BenchOptions["items"]): AsyncIterable<SuiteItem> | Iterable<SuiteItem> {
  return typeof items === "function" ? items() : items;
}

/** Every item as often as it is asked, in batches. */
async function* batches(options: BenchOptions, size: number): AsyncGenerator<Job[]> {
  let batch: Job[] = [];
  let index = 0;
  for await (const item of iterate(options.items)) {
    for (let sample = 0; sample < (options.samples ?? 1); sample++) {
      batch.push({ index, item, sample });
      if (batch.length === size) {
        yield batch;
        batch = [];
      }
    }
    index++;
  }
  if (batch.length > 0) yield batch;
}

/** Asks one model everything, several batches at a time; results are handed on in order. */
async function runModel(
  model: BenchModel,
  options: BenchOptions,
  store: ResponseStore | undefined,
  emit: (result: BenchResult) => void | Promise<void>,
): Promise<{ tally: Tally; items: number }> {
  const samples = options.samples ?? 1;
  const tally = new Tally(samples, options.prices);
  const source = batches(options, model.batch);
  const limit = model.concurrency + window;
  const waiting = new Map<number, { job: Job; answer: BenchAnswer; kept: boolean }[]>();
  let wake: (() => void)[] = [];
  let taken = 0;
  let written = 0;
  let done = 0;
  let items = 0;
  let faults = 0;
  let writing: Promise<void> = Promise.resolve();
  const state: BenchProgress = { kept: 0, errors: 0, tokens: 0 };

  const writeReady = async (): Promise<void> => {
    for (let ready = waiting.get(written); ready !== undefined; ready = waiting.get(written)) {
      waiting.delete(written++);
      for (const { job, answer, kept } of ready) {
        items = Math.max(items, job.index + 1);
        await emit(tally.add(job.index, job.item, job.sample, answer, kept));
      }
    }
    const sleepers = wake;
    wake = [];
    for (const resume of sleepers) resume();
  };

  const work = async (): Promise<void> => {
    for (;;) {
      while (taken - written >= limit) await new Promise<void>((resume) => wake.push(resume));
      const number = taken++;
      const { value: batch, done: over } = await source.next();
      if (over === true || batch === undefined) return;
      const found = await answer(batch);
      waiting.set(number, found);
      for (const { answer: one, kept } of found) {
        if (kept) state.kept++;
        if ("error" in one) state.errors++;
        else state.tokens += (one.tokens?.prompt ?? 0) + (one.tokens?.completion ?? 0);
      }
      done += found.length;
      options.onProgress?.(
        model.label,
        done,
        options.total === undefined ? undefined : options.total * samples,
        state,
      );
      writing = writing.then(writeReady);
      await writing;
    }
  };

  const answer = async (batch: Job[]): Promise<{ job: Job; answer: BenchAnswer; kept: boolean }[]> => {
    const keys =
      store === undefined || model.request === undefined
        ? undefined
        : batch.map(({ item, sample }) => requestKey(model.request?.(item, sample)));
    const answers = await Promise.all(keys?.map((key) => store?.get(key)) ?? []);
    const open = batch.flatMap((job, i) => (answers[i] === undefined ? [{ job, i }] : []));
    const asked: BenchAnswer[] =
      open.length === 0
        ? []
        : faults >= hopeless
          ? open.map(() => ({ error: `not asked, because ${faults} requests in a row had failed` }))
          : await model.ask(
              open.map(({ job }) => job.item),
              open.map(({ job }) => job.sample),
            );
    const fresh = new Map<number, BenchAnswer>();
    for (const [n, { i }] of open.entries()) {
      const one = asked[n] ?? { error: "no answer came back" };
      fresh.set(i, one);
      if ("error" in one) {
        if (faults < hopeless) faults++;
      } else {
        faults = 0;
        const key = keys?.[i];
        if (key !== undefined) store?.put(key, one);
      }
    }
    return batch.map((job, i) => ({
      job,
      answer: answers[i] ?? fresh.get(i) ?? { error: "no answer came back" },
      kept: answers[i] !== undefined,
    }));
  };

  await Promise.all(Array.from({ length: model.concurrency }, work));
  return { tally, items };
}

function compareVerdicts(
  before: Verdicts,
  after: Verdicts,
  seed: number | string,
  label: string,
): Comparison | null {
  const both = before.all.flatMap((count, i) => (count > 0 && (after.all[i] ?? 0) > 0 ? [i] : []));
  if (both.length === 0) return null;
  const share = ({ right, all }: Verdicts) => both.map((i) => (right[i] ?? 0) / (all[i] ?? 1));
  const first = both.map((i) => [before.first[i] ?? -1, after.first[i] ?? -1] as const);
  const gained = first.filter(([a, b]) => a === 0 && b === 1).length;
  const lost = first.filter(([a, b]) => a === 1 && b === 0).length;
  const random = createRandom(seed).fork(`bootstrap/${label}`);
  return {
    items: both.length,
    gained,
    lost,
    p: mcnemarExact(gained, lost),
    ...pairedBootstrap(share(before), share(after), random),
  };
}

/**
 * Asks every model every item and scores the answers. Items that a model could not be asked about are counted as errors,
 * apart from its answers. Models run one after another.
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const total = options.total ?? (typeof options.items === "function" ? undefined : options.items.length);
  const known = { ...options, ...(total === undefined ? {} : { total }) };
  const runs: { label: string; tally: Tally; results: BenchResult[] }[] = [];
  let items = 0;
  for (const [number, model] of options.models.entries()) {
    const results: BenchResult[] = [];
    const store = await options.store?.(model);
    try {
      const run = await runModel(model, known, store, (result) =>
        options.onResult === undefined ? void results.push(result) : options.onResult(number, result),
      );
      items = Math.max(items, run.items);
      runs.push({ label: model.label, tally: run.tally, results });
    } finally {
      await store?.close();
    }
  }
  const [first, ...others] = runs;
  return {
    format: "specdojo-bench-1",
    suite: options.suite,
    items,
    samples: options.samples ?? 1,
    models: runs.map(({ label, tally, results }) => ({
      label,
      totals: tally.totals(),
      results,
    })),
    comparisons: others.flatMap(({ label, tally }) => {
      if (first === undefined) return [];
      const strict = compareVerdicts(first.tally.strict, tally.strict, options.seed, label);
      if (strict === null) return [];
      const official = compareVerdicts(
        first.tally.official,
        tally.official,
        options.seed,
        `official/${label}`,
      );
      return [{ model: label, against: first.label, ...strict, official }];
    }),
    excluded: options.excluded ?? [],
    comparedWith: options.comparedWith ?? null,
    goldFaults: options.goldFaults ?? [],
  };
}
