import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clusterSizes, deduplicate, jaccard, normalizeText, trigrams } from "../../src/curriculum/index.js";
import type { ToolCall } from "../../src/task/types.js";
import { createRandom } from "../../src/util/random.js";
import { call } from "../task/menu.js";

const similarity = (a: string, b: string): number =>
  jaccard(trigrams(normalizeText(a)), trigrams(normalizeText(b)));
const task = (question: string, plantId = 1): { question: string; answer: ToolCall[] } => ({
  question,
  answer: [call("getPlant", { plantId })],
});

describe("jaccard of trigrams", () => {
  it("is what counting says", () => {
    const grams = (text: string): Set<string> =>
      new Set(Array.from({ length: Math.max(1, text.length - 2) }, (_, i) => text.slice(i, i + 3)));
    fc.assert(
      fc.property(
        fc.string({ minLength: 3, maxLength: 30 }),
        fc.string({ minLength: 3, maxLength: 30 }),
        (a, b) => {
          const [left, right] = [grams(a), grams(b)];
          const shared = [...left].filter((gram) => right.has(gram)).length;
          expect(jaccard(trigrams(a), trigrams(b))).toBeCloseTo(
            shared / (left.size + right.size - shared),
            9,
          );
        },
      ),
    );
  });

  it("ignores case, spaces and marks at the ends", () => {
    expect(similarity("Show  plant 3.", "show plant 3")).toBe(1);
  });
});

describe("deduplicate", () => {
  const first = task("Could you please show me the plant with number 1");
  it.each<[string, { given: { question: string; answer: ToolCall[] }; want: number }]>([
    ["the same question", { given: task(first.question), want: 1 }],
    ["in other case and marks", { given: task(`${first.question.toUpperCase()}!`), want: 1 }],
    [
      "the same question with another answer: one of them is wrong",
      { given: task(first.question, 2), want: 1 },
    ],
    [
      "nearly the same question",
      { given: task("Could you please show me the plant with number 1 now"), want: 1 },
    ],
    [
      "nearly the same question with another answer is another task",
      { given: task("Could you please show me the plant with number 2", 2), want: 2 },
    ],
    ["another question with the same answer", { given: task("What do we know about plant one?"), want: 2 }],
  ])("%s", (_name, { given, want }) => {
    const { kept, dropped } = deduplicate([first, given]);
    expect(kept).toHaveLength(want);
    expect(kept[0]).toBe(first);
    for (const duplicate of dropped)
      expect(duplicate).toMatchObject({ task: given, of: first, rejection: { reason: "duplicate" } });
    expect(kept.length + dropped.length).toBe(2);
  });

  it("finds what comparing all pairs finds", () => {
    const random = createRandom(7);
    const words = Array.from({ length: 40 }, (_, i) => `word${i}x`);
    const questions = Array.from({ length: 300 }, () => random.sample(words, 12).join(" "));
    const edited = questions.map((text) => text.replace(/ \S+/, ` ${random.pick(words)}`));
    const tasks = random.shuffle([...questions, ...edited]).map((text) => task(text));
    const kept: string[] = [];
    for (const { question } of tasks)
      if (!kept.some((other) => similarity(question, other) > 0.7)) kept.push(question);
    const got = deduplicate(tasks).kept;
    // Hashing may miss a pair near the threshold, and never invents one.
    expect(got.length).toBeGreaterThanOrEqual(kept.length);
    expect(got.length).toBeLessThanOrEqual(Math.ceil(kept.length * 1.03));
  });

  it("costs the same per task for many as for few, also when all are alike", () => {
    const tasks = (count: number): { question: string; answer: ToolCall[] }[] =>
      Array.from({ length: count }, (_, i) =>
        task(`Please show me plant ${i} of the northern garden ${i % 7}`, i),
      );
    deduplicate(tasks(500));
    const milliseconds = (count: number): number => {
      const list = tasks(count);
      const runs = [1, 2, 3].map(() => {
        const start = performance.now();
        deduplicate(list);
        return performance.now() - start;
      });
      return Math.min(...runs);
    };
    // All pairs would take 16 times as long.
    expect(milliseconds(8000)).toBeLessThan(10 * Math.max(20, milliseconds(2000)));
  });
});

describe("clusterSizes", () => {
  it("counts near duplicates, through others as well", () => {
    const texts = [
      "show me plant number one",
      "show me plant number one!",
      "Show me the plant number one",
      "hire a gardener",
    ];
    expect(clusterSizes(texts)).toEqual([3, 3, 3, 1]);
  });

  it("does not depend on the seed for clear cases, nor on the order", () => {
    const texts = ["a long question about roses", "a long question about roses?", "something else entirely"];
    for (const seed of [1, 2, 3]) expect(clusterSizes([...texts].reverse(), { seed })).toEqual([1, 2, 2]);
  });

  it("has empty and tiny texts", () => {
    expect(clusterSizes([])).toEqual([]);
    expect(clusterSizes(["", "", "a", "ab"])).toEqual([2, 2, 1, 1]);
  });
});
