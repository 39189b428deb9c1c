import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { languageOf } from "../../src/evaluate/bfcl.js";
import { readLiteral } from "../../src/evaluate/bfcl-literals.js";
import { convertSuite } from "../../src/evaluate/convert/index.js";
import { officialVerdict } from "../../src/evaluate/official.js";
import { parseSuite } from "../../src/evaluate/suite.js";
import type { JsonValue } from "../../src/util/json.js";
import { mutate } from "./mutations.js";

/** BFCL's own files: ours, or a download of all of them. */
const data = process.env.SPECDOJO_BFCL_DATA;
const folder = data ?? fileURLToPath(new URL("../fixtures/convert/bfcl", import.meta.url));
const checker = fileURLToPath(new URL("bfcl-checker.py", import.meta.url));

/** An interpreter that has the package `bfcl-eval`: `SPECDOJO_BFCL_PYTHON`, or python3. */
function findPython(): string | undefined {
  const candidates = [process.env.SPECDOJO_BFCL_PYTHON, "python3"];
  return candidates.find(
    (python) =>
      python !== undefined && spawnSync(python, [checker], { input: "", encoding: "utf8" }).status === 0,
  );
}
const python = findPython();
const why = "bfcl-eval is not installed: pip install --no-deps bfcl-eval, and SPECDOJO_BFCL_PYTHON";

function readRaw(file: string): Record<string, JsonValue>[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as Record<string, JsonValue>);
}

test.skipIf(python === undefined)(
  `answers mutated in every kind are judged as by BFCL's own checker${python === undefined ? ` (${why})` : ""}`,
  { timeout: 120_000 },
  async () => {
    const functions = new Map<unknown, JsonValue>();
    const truths = new Map<unknown, JsonValue>();
    for (const name of readdirSync(folder).filter((file) =>
      /^BFCL_v4_(?!.*(?:irrelevance|relevance|multi_turn))/.test(file),
    )) {
      for (const line of readRaw(`${folder}/${name}`)) functions.set(line.id, line.function ?? null);
      try {
        for (const line of readRaw(`${folder}/possible_answer/${name}`))
          truths.set(line.id, line.ground_truth ?? null);
      } catch {
        // Categories that the AST checker does not judge.
      }
    }
    const { items } = await convertSuite("bfcl", folder);
    const cases: { kind: string; text: string; ours: boolean | null }[] = [];
    for (const line of items) {
      const id = line.id.replace(/^bfcl-/, "");
      const [item] = parseSuite(JSON.stringify(line), line.id);
      if (item === undefined || !truths.has(id)) continue;
      const names = item.tools.map(({ name }) => name);
      const once = mutate(item.gold, names);
      // Two faults at once, for some.
      const twice = once.filter((_, i) => i % 10 === 0).flatMap(({ calls }) => mutate(calls, names));
      for (const { kind, calls } of [...once, ...(data === undefined ? twice : [])])
        cases.push({
          kind: `${id} ${kind} ${JSON.stringify(calls)}`,
          ours: officialVerdict(item, calls),
          text: JSON.stringify({
            functions: functions.get(id),
            truth: truths.get(id),
            answer: calls,
            language: languageOf(item.category),
            category: item.category,
          }),
        });
    }
    const result = spawnSync(python ?? "", [checker], {
      input: `${cases.map(({ text }) => text).join("\n")}\n`,
      encoding: "utf8",
      maxBuffer: 1 << 30,
    });
    expect(result.stderr).toBe("");
    const theirs = result.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as boolean | string);
    expect(theirs).toHaveLength(cases.length);
    // Where their checker fails by itself, nothing passes.
    const differing = cases.filter(({ ours }, i) => ours !== (theirs[i] === true));
    expect(differing.map(({ kind }) => kind)).toEqual([]);
    expect(theirs.filter((verdict) => verdict === true).length).toBeGreaterThan(50);
    expect(cases.length).toBeGreaterThanOrEqual(1000);
  },
);

describe("literals", () => {
  test.each<["java" | "javascript", string, string | undefined, string, JsonValue]>([
    ["java", "integer", undefined, "-3", -3],
    ["java", "integer", undefined, "3.5", "3.5"],
    ["java", "float", undefined, "1.5f", 1.5],
    ["java", "long", undefined, "12", "12"],
    ["java", "boolean", undefined, "True", "True"],
    ["java", "ArrayList", "integer", "new ArrayList<Integer>(Arrays.asList(1, 2))", [1, 2]],
    ["java", "ArrayList", "String", 'new ArrayList<String>() {{ add("a"); add("b"); }}', ["a", "b"]],
    ["java", "ArrayList", undefined, "new ArrayList<>()", []],
    ["java", "Array", undefined, 'new Object[]{1, "a", true}', [1, "a", true]],
    ["java", "HashMap", undefined, 'new HashMap<String, Object>() {{ put("k", 1); }}', { k: 1 }],
    ["java", "HashMap", undefined, "new HashMap<>()", {}],
    ["javascript", "String", undefined, "'a'", "a"],
    ["javascript", "Bigint", undefined, "12n", 12],
    ["javascript", "array", "integer", "new Array(4, 5)", [4, 5]],
    ["javascript", "array", undefined, "[[1, 2], [3]]", [[1, 2], [3]]],
    ["javascript", "dict", undefined, "{'a': 1, \"b\": [2, 3]}", { a: 1, b: [2, 3] }],
    ["javascript", "dict", undefined, "someObject", "someObject"],
  ])("%s %s of %s: %s", (language, type, itemType, text, value) => {
    expect(readLiteral(text, language, type, itemType)).toEqual(value);
  });
});
