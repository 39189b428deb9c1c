import { createRandom } from "../util/random.js";

export interface SimilarityOptions {
  /** Jaccard similarity of character 3-grams above which two texts are near duplicates. */
  threshold: number;
  seed: number | string;
}

export const similarityDefaults: SimilarityOptions = { threshold: 0.7, seed: 0 };

/** 16 bands of 4 rows find a pair of similarity .7 with probability .988, of .8 with .9998. */
const bands = 16;
const rows = 4;
/** Texts of one bucket that a new text is compared with, the latest first: bounds the work for any input. */
const bucketLimit = 12;

/** The text as it is compared: lower case, single spaces, no marks at the ends. */
export function normalizeText(text: string): string {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/\s+/g, " ")
    .replace(/^[\s"'.!?]+|[\s"'.!?]+$/g, "");
}

/** Distinct character 3-grams as sorted 32-bit hashes. Shorter texts are one gram. */
export function trigrams(text: string): Uint32Array {
  const units = Math.max(1, text.length - 2);
  const grams = new Uint32Array(units);
  for (let i = 0; i < units; i++) {
    let hash = 0x811c9dc5;
    for (let j = i; j < i + 3; j++)
      hash = Math.imul(hash ^ (j < text.length ? text.charCodeAt(j) : 0xffff), 0x01000193);
    // Scrambled (murmur3's finalizer), so that close texts do not make close hashes.
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    grams[i] = (hash ^ (hash >>> 16)) >>> 0;
  }
  grams.sort();
  let distinct = 0;
  for (let i = 0; i < units; i++) if (i === 0 || grams[i] !== grams[i - 1]) grams[distinct++] = grams[i] ?? 0;
  return grams.slice(0, distinct);
}

/** Jaccard similarity of two sorted sets, in [0, 1]. */
export function jaccard(left: Uint32Array, right: Uint32Array): number {
  let i = 0;
  let j = 0;
  let shared = 0;
  while (i < left.length && j < right.length) {
    const a = left[i] ?? 0;
    const b = right[j] ?? 0;
    if (a === b) {
      shared++;
      i++;
      j++;
    } else if (a < b) i++;
    else j++;
  }
  const union = left.length + right.length - shared;
  return union === 0 ? 1 : shared / union;
}

/** The similarity when it is above the threshold, else undefined; stops as soon as that is certain. */
function similarityAbove(left: Uint32Array, right: Uint32Array, threshold: number): number | undefined {
  const total = left.length + right.length;
  // shared / (total - shared) > t means shared > total * t / (1 + t): so many may be missed on both sides together.
  let misses = total - 2 * ((total * threshold) / (1 + threshold)) + 1e-9;
  let i = 0;
  let j = 0;
  let shared = 0;
  while (i < left.length && j < right.length) {
    const a = left[i] as number;
    const b = right[j] as number;
    if (a === b) {
      shared++;
      i++;
      j++;
      continue;
    }
    if (--misses < 0) return undefined;
    if (a < b) i++;
    else j++;
  }
  const union = total - shared;
  const similarity = union === 0 ? 1 : shared / union;
  return similarity > threshold ? similarity : undefined;
}

/** Finds, among the texts added so far, those near a text. Cost per text does not grow with their number. */
export interface NearIndex {
  /**
   * Indices (in order of adding) of texts with similarity above the threshold, most similar first. A threshold may
   * depend on the other text; 1 or more leaves it out.
   */
  near(
    grams: Uint32Array,
    threshold: number | ((index: number) => number),
  ): { index: number; similarity: number }[];
  add(grams: Uint32Array): number;
}

/**
 * Locality-sensitive hashing (MinHash, Broder 1997, in bands) over 3-gram sets; every candidate pair is confirmed by
 * its exact similarity, so there are no false finds, and only rarely a pair is missed.
 */
export function createNearIndex(seed: number | string): NearIndex {
  const random = createRandom(`${seed}/minhash`);
  const size = bands * rows;
  const multipliers = Uint32Array.from({ length: size }, () => random.int(0, 0x7ffffffe) * 2 + 1);
  const offsets = Uint32Array.from({ length: size }, () => random.int(0, 0x7fffffff));
  const stored: Uint32Array[] = [];
  const buckets: Map<number, number[]>[] = Array.from({ length: bands }, () => new Map());
  const minima = new Uint32Array(size);
  const keys = new Uint32Array(bands);
  let hashed: Uint32Array | undefined;

  function hash(grams: Uint32Array): void {
    if (hashed === grams) return;
    hashed = grams;
    for (let k = 0; k < size; k++) {
      const multiplier = multipliers[k] ?? 1;
      const offset = offsets[k] ?? 0;
      let least = 0xffffffff;
      for (let i = 0; i < grams.length; i++) {
        const mixed = (Math.imul(grams[i] as number, multiplier) + offset) >>> 0;
        // The high bits of a product are the mixed ones.
        const value = (mixed ^ (mixed >>> 15)) >>> 0;
        if (value < least) least = value;
      }
      minima[k] = least;
    }
    for (let band = 0; band < bands; band++) {
      let key = 0x811c9dc5;
      for (let row = 0; row < rows; row++)
        key = Math.imul(key ^ (minima[band * rows + row] ?? 0), 0x01000193) ^ (key >>> 15);
      keys[band] = key >>> 0;
    }
  }

  return {
    near(grams, threshold) {
      hash(grams);
      const candidates = new Set<number>();
      for (let band = 0; band < bands; band++)
        for (const index of buckets[band]?.get(keys[band] ?? 0) ?? []) candidates.add(index);
      const found: { index: number; similarity: number }[] = [];
      for (const index of candidates) {
        const least = typeof threshold === "number" ? threshold : threshold(index);
        const other = stored[index];
        if (least >= 1 || other === undefined) continue;
        const similarity = similarityAbove(grams, other, least);
        if (similarity !== undefined) found.push({ index, similarity });
      }
      return found.sort((a, b) => b.similarity - a.similarity || a.index - b.index);
    },
    add(grams) {
      hash(grams);
      const index = stored.push(grams) - 1;
      for (let band = 0; band < bands; band++) {
        const key = keys[band] ?? 0;
        const bucket = buckets[band]?.get(key);
        if (bucket === undefined) buckets[band]?.set(key, [index]);
        else {
          if (bucket.length >= bucketLimit) bucket.shift();
          bucket.push(index);
        }
      }
      return index;
    },
  };
}

/**
 * Groups texts into clusters of near duplicates (connected through pairs above the threshold). Returns for every text
 * the size of its cluster: what the repetition penalty needs.
 */
export function clusterSizes(texts: readonly string[], options: Partial<SimilarityOptions> = {}): number[] {
  const { threshold, seed } = { ...similarityDefaults, ...options };
  const index = createNearIndex(seed);
  const parent = texts.map((_, i) => i);
  const exact = new Map<string, number>();
  const indexed: number[] = [];
  const find = (i: number): number => {
    let root = i;
    while (parent[root] !== root) root = parent[root] ?? root;
    for (let at = i; at !== root; ) {
      const above = parent[at] ?? root;
      parent[at] = root;
      at = above;
    }
    return root;
  };
  for (const [i, text] of texts.entries()) {
    const normal = normalizeText(text);
    const same = exact.get(normal);
    if (same !== undefined) {
      parent[i] = find(same);
      continue;
    }
    exact.set(normal, i);
    const grams = trigrams(normal);
    for (const { index: other } of index.near(grams, threshold)) parent[find(indexed[other] ?? i)] = find(i);
    index.add(grams);
    indexed.push(i);
  }
  const sizes = new Map<number, number>();
  for (const i of parent.keys()) sizes.set(find(i), (sizes.get(find(i)) ?? 0) + 1);
  return parent.map((_, i) => sizes.get(find(i)) ?? 1);
}
