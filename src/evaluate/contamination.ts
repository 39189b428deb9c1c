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

/**
 * Questions that were trained on, ready to be compared with others. Two sets of which one is not within the threshold of
 * the other share none of their rarest grams (prefix filter; Chaudhuri et al. 2006), so that few pairs are compared.
 */
export class TrainedQuestions {
  readonly count: number;
  readonly #questions: { text: string; grams: ReadonlySet<string> }[];
  readonly #frequency = new Map<string, number>();
  /** Questions by each of their rare grams. */
  readonly #byGram = new Map<string, number[]>();

  constructor(questions: Iterable<string>) {
    this.#questions = [...new Set(questions)].map((text) => ({ text, grams: trigrams(text) }));
    this.count = this.#questions.length;
    for (const { grams } of this.#questions)
      for (const gram of grams) this.#frequency.set(gram, (this.#frequency.get(gram) ?? 0) + 1);
    for (const [i, { grams }] of this.#questions.entries())
      for (const gram of this.#rarest(grams)) {
        const list = this.#byGram.get(gram);
        if (list === undefined) this.#byGram.set(gram, [i]);
        else list.push(i);
      }
  }

  /** As many of the rarest grams as a set within the threshold cannot be without. */
  #rarest(grams: ReadonlySet<string>): string[] {
    const count = grams.size - Math.ceil(nearDuplicateThreshold * grams.size) + 1;
    const rarity = (gram: string): number => this.#frequency.get(gram) ?? 0;
    return [...grams].sort((a, b) => rarity(a) - rarity(b) || (a < b ? -1 : 1)).slice(0, count);
  }

  /** The most similar question within the threshold. */
  find(question: string): { trained: string; similarity: number } | undefined {
    const own = trigrams(question);
    let best: { trained: string; similarity: number } | undefined;
    const seen = new Set<number>();
    for (const gram of this.#rarest(own))
      for (const i of this.#byGram.get(gram) ?? []) {
        const other = this.#questions[i];
        if (other === undefined || seen.has(i)) continue;
        seen.add(i);
        const value = similarity(own, other.grams);
        if (value >= nearDuplicateThreshold && value > (best?.similarity ?? 0))
          best = { trained: other.text, similarity: value };
      }
    return best;
  }
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
  tasks: readonly Pick<ResolvedTask, "id" | "question">[],
  trained: Iterable<string>,
): Contamination[] {
  const known = new TrainedQuestions(trained);
  return tasks.flatMap(({ id, question }) => {
    const found = known.find(question);
    return found === undefined ? [] : [{ id, question, ...found }];
  });
}
