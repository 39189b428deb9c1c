import { expect, test } from "vitest";
import { paperConfig, runConfigSchema, smallConfig } from "../../src/train/config.js";
import { codeRows } from "./markdown.js";

/** `{ a: { b: 1 } }` as `a.b` -> `1`, written as JSON. */
function flat(value: object, prefix = ""): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, string][] =>
    typeof inner === "object" && inner !== null
      ? flat(inner, `${prefix}${key}.`)
      : [[`${prefix}${key}`, JSON.stringify(inner)]],
  );
}

test("docs/configuration.md lists every option with its defaults", () => {
  const rows = codeRows("docs/configuration.md").filter((cells) => cells.length === 4);
  const small = new Map(flat(smallConfig));
  const paper = new Map(flat(paperConfig));
  // All options are plain values in the presets, so the presets name all that the schema knows but these two.
  runConfigSchema.parse({ ...smallConfig, seed: 0, model: "bundled" });
  runConfigSchema.parse({ ...paperConfig, seed: 0, model: "bundled" });
  expect(
    rows.map(([name, , ...defaults]) => [name, ...defaults.map((cell) => cell.replaceAll("`", ""))]),
  ).toEqual([
    ["seed", "0", "0"],
    ["model", '"bundled"', "–"],
    ...[...small].map(([name, value]) => [name, value, paper.get(name)]),
  ]);
});
