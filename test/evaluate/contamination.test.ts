import { expect, test } from "vitest";
import { findContamination } from "../../src/evaluate/contamination.js";

const tasks = ["Hire boat 7 for two hours on 2025-06-01.", "Which canoes are there?", "End hire H-3"].map(
  (question, i) => ({
    id: `t${i}`,
    question,
    gold: [],
    argsKnown: true,
    source: undefined,
  }),
);

test.each<[string, string[], string[]]>([
  ["nothing trained", [], []],
  ["another question", ["Show me all the dinghies, please."], []],
  ["the same question", ["Which canoes are there?"], ["t1"]],
  ["the same in other letters and marks", ["which CANOES are there??"], ["t1"]],
  ["a near-duplicate with one word more", ["Hire boat 7 for two hours on 2025-06-01 please."], ["t0"]],
  [
    "the same words in a longer text",
    ["Which canoes are there? Also tell me about every boat of the harbour and what it costs."],
    [],
  ],
])("%s", (_, trained, found) => {
  expect(findContamination(tasks, trained).map((task) => task.id)).toEqual(found);
});

test("the most similar trained question is named", () => {
  const [found] = findContamination(tasks, ["Which canoes are there now?", "which canoes are there"]);
  expect(found).toMatchObject({ id: "t1", trained: "which canoes are there", similarity: 1 });
});
