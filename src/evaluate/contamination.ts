import type { ResolvedTask } from "./tasks.js";

/** Jaccard similarity of character 3-grams from which two questions count as the same one. */
export const nearDuplicateThreshold = 0.7;

export interface Contamination {
  id: string;
  question: string;
  /** The most similar question that was trained on. */
  trained: string;
  /** Their similarity, in [nearDuplicateThreshold, 1]. */
  similarity: number;
}

function trigrams(text: string): Set<string> {
  const plain = text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim();
  const grams = new Set<string>();
  if (plain.length < 3) grams.add(plain);
  for (let i = 0; i + 3 <= plain.length; i++) grams.add(plain.slice(i, i + 3));
  return grams;
}

/** Jaccard similarity of two sets of which both are known to be non-empty; 0 as soon as it cannot reach the threshold. */
function similarity(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  if (small.size < large.size * nearDuplicateThreshold) return 0;
  let shared = 0;
  for (const gram of small) if (large.has(gram)) shared++;
  return shared / (a.size + b.size - shared);
}

/**
 * Evaluation tasks whose question, or a near-duplicate of it, was trained on. They prove nothing and are to be left out.
 * Letter case and punctuation do not count.
 */
export function findContamination(
  tasks: readonly ResolvedTask[],
  trained: Iterable<string>,
): Contamination[] {
  const grams = tasks.map((task) => trigrams(task.question));
  const worst = new Map<number, { trained: string; similarity: number }>();
  for (const question of new Set(trained)) {
    const other = trigrams(question);
    for (const [i, own] of grams.entries()) {
      const value = similarity(own, other);
      if (value >= nearDuplicateThreshold && value > (worst.get(i)?.similarity ?? 0))
        worst.set(i, { trained: question, similarity: value });
    }
  }
  return tasks.flatMap(({ id, question }, i) => {
    const found = worst.get(i);
    return found === undefined ? [] : [{ id, question, ...found }];
  });
}
