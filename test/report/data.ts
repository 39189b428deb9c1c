import { evaluateModels } from "../../src/evaluate/evaluate.js";
import { parseTasks } from "../../src/evaluate/tasks.js";
import type { ReportData } from "../../src/report/index.js";
import { boats } from "../evaluate/menu.js";

export const hostile =
  "</pre></style><script>alert(1)</script><img src=x onerror=alert(2)> {{body}} $& \u202Eevil \"' &amp;";

/** A report in which every text that comes from outside is hostile. */
export async function hostileReport(): Promise<ReportData> {
  const menu = {
    ...boats,
    title: hostile,
    version: hostile,
    tools: boats.tools.map((tool) => ({ ...tool, domain: hostile })),
  };
  const lines = [
    {
      id: hostile,
      question: hostile,
      gold: [{ name: "getBoat", arguments: { boatId: 1, [hostile]: hostile } }],
      source: hostile,
    },
    { id: "dropped", question: "the very same question", gold: [{ name: "findBoats", arguments: {} }] },
  ];
  const tasks = parseTasks(lines.map((line) => JSON.stringify(line)).join("\n"), "t", menu);
  const evaluation = await evaluateModels({
    tasks,
    menu,
    models: {
      base: { decideBatch: async (questions) => questions.map(() => ({ calls: null, text: hostile })) },
      tuned: {
        decideBatch: async (questions) =>
          questions.map(() => ({
            calls: [{ name: hostile, arguments: { [hostile]: hostile } }],
            text: hostile,
          })),
      },
    },
    origin: "user",
    trained: ["the very same question!"],
    seed: 1,
  });
  evaluation.baselines.push({
    name: hostile,
    summary: evaluation.overall.tuned,
    difference: { value: 0.25, low: -0.1, high: 0.5, gained: 1, lost: 0, p: 1 },
  });
  evaluation.otherApis = { tasks: 8, base: 0.5, tuned: 0.25, source: hostile };
  return {
    api: { title: hostile, version: hostile },
    writtenBy: hostile,
    evaluation,
    metrics: [
      { step: 0, iteration: 1, role: hostile, phase: hostile, reward: 0.1, [hostile]: 1 },
      { step: 1, iteration: 2, role: "solver", reward: 0.4, passRate: 0.5 },
    ],
    samples: [
      {
        iteration: 1,
        domain: hostile,
        question: hostile,
        answer: [{ name: hostile, arguments: { a: hostile } }],
        passRate: 0.25,
        rollouts: [{ text: hostile, reward: 0.3, correct: false }],
      },
    ],
    config: { [hostile]: hostile, nested: { seed: 3, list: [hostile] } },
  };
}
