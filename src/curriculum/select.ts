import type { Task } from "../task/types.js";
import { createRandom } from "../util/random.js";

export type Difficulty = "easy" | "medium" | "hard";

/** A task with the frozen Solver's measured success on it. */
export interface MeasuredTask {
  task: Task;
  /** In [0, 1]. */
  passRate: number;
}

export interface SelectOptions {
  /** Tasks wanted. */
  size: number;
  /** Shares of the selection; what a bucket lacks is taken from the others. */
  mix: Readonly<Record<Difficulty, number>>;
  /** Pass rates above `band[1]` are easy, below `band[0]` hard. */
  band: readonly [number, number];
  /** Relative quota per domain, 1 where not named; 0 leaves a domain out. */
  domains: Readonly<Record<string, number>>;
  /** Relative quota per operation within its domain, 1 where not named; 0 leaves it out. */
  operations: Readonly<Record<string, number>>;
  /** Most tasks of one operation, as a share of `size`. */
  maxOperationShare: number;
  order: "easy-to-hard" | "shuffled";
  seed: number | string;
}

/** The paper's size and mix. */
export const selectDefaults: SelectOptions = {
  size: 2000,
  mix: { easy: 0.2, medium: 0.5, hard: 0.3 },
  band: [0.25, 0.75],
  domains: {},
  operations: {},
  maxOperationShare: 1,
  order: "easy-to-hard",
  seed: 0,
};

export interface SelectionReport {
  candidates: number;
  selected: number;
  byDifficulty: Record<Difficulty, { available: number; wanted: number; selected: number }>;
  byDomain: Record<string, { available: number; selected: number }>;
  byOperation: Record<string, { available: number; selected: number }>;
  /** Mean pass rate of the selection; null when it is empty. */
  meanPassRate: number | null;
}

export function difficultyOf(
  passRate: number,
  band: readonly [number, number] = selectDefaults.band,
): Difficulty {
  return passRate > band[1] ? "easy" : passRate < band[0] ? "hard" : "medium";
}

const difficulties = ["easy", "medium", "hard"] as const;

/** Candidates of one difficulty by domain and operation, in random order. */
type Shelf = Map<string, Map<string, MeasuredTask[]>>;

/** A task counts for the operation of its first call. */
function operationOf({ task }: MeasuredTask): string {
  return task.answer[0]?.name ?? "";
}

function quota(record: Readonly<Record<string, number>>, name: string): number {
  return Object.hasOwn(record, name) ? (record[name] ?? 1) : 1;
}

/**
 * Draws the training set of an iteration: a mix of difficulties by measured pass rate, domains and within them
 * operations filled evenly relative to their quotas, ordered easy to hard.
 */
export function select(
  candidates: readonly MeasuredTask[],
  options: Partial<SelectOptions> = {},
): { tasks: MeasuredTask[]; report: SelectionReport } {
  const settings: SelectOptions = { ...selectDefaults, ...options };
  const random = createRandom(`${settings.seed}/select`);
  const shelves: Record<Difficulty, Shelf> = { easy: new Map(), medium: new Map(), hard: new Map() };
  const available: Record<Difficulty, number> = { easy: 0, medium: 0, hard: 0 };
  const domains = new Map<string, { available: number; selected: number }>();
  const operations = new Map<string, { available: number; selected: number }>();
  for (const candidate of random.shuffle(candidates)) {
    const { domain } = candidate.task.spec;
    const operation = operationOf(candidate);
    const difficulty = difficultyOf(candidate.passRate, settings.band);
    bump(domains, domain, "available");
    bump(operations, operation, "available");
    available[difficulty]++;
    if (quota(settings.domains, domain) <= 0 || quota(settings.operations, operation) <= 0) continue;
    const shelf = shelves[difficulty];
    const byOperation = shelf.get(domain) ?? new Map<string, MeasuredTask[]>();
    shelf.set(domain, byOperation);
    const stack = byOperation.get(operation);
    if (stack === undefined) byOperation.set(operation, [candidate]);
    else stack.push(candidate);
  }
  const most = Math.max(1, Math.ceil(settings.maxOperationShare * settings.size));
  const fullness = (
    counts: Map<string, { selected: number }>,
    quotas: Readonly<Record<string, number>>,
    name: string,
  ): number => (counts.get(name)?.selected ?? 0) / quota(quotas, name);

  function take(shelf: Shelf): MeasuredTask | undefined {
    for (const domain of ranked([...shelf.keys()], (name) => fullness(domains, settings.domains, name))) {
      const byOperation = shelf.get(domain) ?? new Map<string, MeasuredTask[]>();
      const open = [...byOperation.keys()].filter((name) => (operations.get(name)?.selected ?? 0) < most);
      const [operation] = ranked(open, (name) => fullness(operations, settings.operations, name));
      const stack = operation === undefined ? undefined : byOperation.get(operation);
      const task = stack?.pop();
      if (operation === undefined || task === undefined) continue;
      if (stack?.length === 0) byOperation.delete(operation);
      if (byOperation.size === 0) shelf.delete(domain);
      bump(domains, domain, "selected");
      bump(operations, operation, "selected");
      return task;
    }
    return undefined;
  }

  const size = Math.min(settings.size, candidates.length);
  const wanted = shares(size, settings.mix);
  const selected: MeasuredTask[] = [];
  const taken: Record<Difficulty, number> = { easy: 0, medium: 0, hard: 0 };
  const fill = (difficulty: Difficulty, count: number): void => {
    for (let i = 0; i < count; i++) {
      const task = take(shelves[difficulty]);
      if (task === undefined) return;
      taken[difficulty]++;
      selected.push(task);
    }
  };
  // Scarce buckets first, so that the others can even out domains and operations around them.
  for (const difficulty of ranked([...difficulties], (name) => available[name] - wanted[name]))
    fill(difficulty, wanted[difficulty]);
  for (const difficulty of ["medium", "hard", "easy"] as const) fill(difficulty, size - selected.length);

  const shuffled = random.shuffle(selected);
  const tasks = settings.order === "shuffled" ? shuffled : shuffled.sort((a, b) => b.passRate - a.passRate);
  return {
    tasks,
    report: {
      candidates: candidates.length,
      selected: tasks.length,
      byDifficulty: {
        easy: { available: available.easy, wanted: wanted.easy, selected: taken.easy },
        medium: { available: available.medium, wanted: wanted.medium, selected: taken.medium },
        hard: { available: available.hard, wanted: wanted.hard, selected: taken.hard },
      },
      byDomain: Object.fromEntries(domains),
      byOperation: Object.fromEntries(operations),
      meanPassRate:
        tasks.length === 0 ? null : tasks.reduce((sum, { passRate }) => sum + passRate, 0) / tasks.length,
    },
  };
}

function bump(
  counts: Map<string, { available: number; selected: number }>,
  name: string,
  field: "available" | "selected",
): void {
  const entry = counts.get(name) ?? { available: 0, selected: 0 };
  entry[field]++;
  counts.set(name, entry);
}

function ranked<T>(items: readonly T[], by: (item: T) => number): T[] {
  return items
    .map((item) => ({ item, value: by(item) }))
    .sort((a, b) => a.value - b.value)
    .map(({ item }) => item);
}

/** Whole numbers that sum to `size` in proportion to the mix (largest remainders). */
function shares(size: number, mix: Readonly<Record<Difficulty, number>>): Record<Difficulty, number> {
  const total = mix.easy + mix.medium + mix.hard;
  const exact = difficulties.map((difficulty) => (total > 0 ? (size * mix[difficulty]) / total : 0));
  const floors = exact.map(Math.floor);
  let left = total > 0 ? size - floors.reduce((sum, value) => sum + value, 0) : 0;
  for (const index of ranked([...exact.keys()], (i) => (floors[i] ?? 0) - (exact[i] ?? 0)))
    if (left-- > 0) floors[index] = (floors[index] ?? 0) + 1;
  const [easy = 0, medium = 0, hard = 0] = floors;
  return { easy, medium, hard };
}
