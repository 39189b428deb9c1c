import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** A seeded source of randomness. Two sources made from one seed and one path of labels give the same draws. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [low, high], both included. */
  int(low: number, high: number): number;
  /** One element; throws on an empty list. */
  pick<T>(items: readonly T[]): T;
  /** One element with probability proportional to its weight (>= 0, at least one > 0). */
  weighted<T>(items: readonly T[], weights: readonly number[]): T;
  /** A new list in random order. */
  shuffle<T>(items: readonly T[]): T[];
  /** `count` distinct elements (all of them when there are fewer). */
  sample<T>(items: readonly T[], count: number): T[];
  /** An independent source for a named sub-task: draws there never shift the draws here. */
  fork(label: string | number): Random;
}

/** 32-bit FNV-1a of a string. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}

export function createRandom(seed: number | string): Random {
  const root = String(seed);
  const generator = xoroshiro128plus(hash32(root));
  const int = (low: number, high: number): number => uniformInt(generator, low, high);
  const next = (): number => int(0, 0x3fffffff) / 0x40000000;
  const random: Random = {
    next,
    int,
    pick(items) {
      if (items.length === 0) throw new RangeError("pick: the list is empty");
      return items[int(0, items.length - 1)] as (typeof items)[number];
    },
    weighted(items, weights) {
      let total = 0;
      for (const weight of weights) total += weight;
      if (!(total > 0) || items.length !== weights.length)
        throw new RangeError("weighted: needs one weight per item and a positive sum");
      let left = next() * total;
      for (let i = 0; i < items.length; i++) {
        left -= weights[i] as number;
        if (left < 0) return items[i] as (typeof items)[number];
      }
      return items[weights.findLastIndex((weight) => weight > 0)] as (typeof items)[number];
    },
    shuffle(items) {
      const copy = [...items];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = int(0, i);
        [copy[i], copy[j]] = [copy[j] as (typeof items)[number], copy[i] as (typeof items)[number]];
      }
      return copy;
    },
    sample: (items, count) => random.shuffle(items).slice(0, count),
    fork: (label) => createRandom(`${root}/${label}`),
  };
  return random;
}
