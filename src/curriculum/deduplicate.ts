import { answerKey } from "../task/equality.js";
import { quote, reject } from "../task/rejection.js";
import type { Rejection, Task } from "../task/types.js";
import { createNearIndex, normalizeText, trigrams } from "./similarity.js";

export interface DeduplicateOptions {
  /** Similarity above which questions with the same answer are duplicates. */
  threshold: number;
  /**
   * The same for questions with different answers; 1 keeps them all, because "show plant 3" and "show plant 5" are two
   * tasks. The same words with two answers are always a duplicate: one of the answers is wrong.
   */
  thresholdOtherAnswer: number;
  seed: number | string;
}

export const deduplicateDefaults: DeduplicateOptions = {
  threshold: 0.7,
  thresholdOtherAnswer: 1,
  seed: 0,
};

export interface Duplicate<T> {
  task: T;
  /** The earlier task that it repeats. */
  of: T;
  similarity: number;
  rejection: Rejection;
}

/** Keeps the first of every set of equal or nearly equal tasks, in order. Cost is linear in the number of tasks. */
export function deduplicate<T extends Pick<Task, "question" | "answer">>(
  tasks: readonly T[],
  options: Partial<DeduplicateOptions> = {},
): { kept: T[]; dropped: Duplicate<T>[] } {
  const settings: DeduplicateOptions = { ...deduplicateDefaults, ...options };
  const index = createNearIndex(settings.seed);
  const kept: T[] = [];
  const answers: string[] = [];
  const exact = new Map<string, T>();
  const dropped: Duplicate<T>[] = [];
  const drop = (task: T, of: T, similarity: number): void => {
    const message = `Repeats ${JSON.stringify(quote(of.question))} (similarity ${similarity.toFixed(2)})`;
    dropped.push({ task, of, similarity, rejection: reject("duplicate", quote(task.question), message) });
  };
  for (const task of tasks) {
    const text = normalizeText(task.question);
    const same = exact.get(text);
    if (same !== undefined) {
      drop(task, same, 1);
      continue;
    }
    const answer = answerKey(task.answer);
    const grams = trigrams(text);
    const [match] = index.near(grams, (i) =>
      answers[i] === answer ? settings.threshold : settings.thresholdOtherAnswer,
    );
    const of = match === undefined ? undefined : kept[match.index];
    if (match !== undefined && of !== undefined) {
      drop(task, of, match.similarity);
      continue;
    }
    exact.set(text, task);
    index.add(grams);
    answers.push(answer);
    kept.push(task);
  }
  return { kept, dropped };
}
