// Finding the right tools by a question: recall at 5 and 10 over pooled menus, and the processor time of a search over
// 1,000 tools.
//
//   node bench/search.mjs [DATA]
//
// DATA is a folder with `openapi-tasks/NAME/{openapi.yaml,tasks.jsonl}` and `bench-samples/SUITE.jsonl`.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildToolMenu, createMenuIndex, loadOpenApi } from "../dist/openapi/index.js";

const data = process.argv[2] ?? "../shared/data";
const suites = ["toolalpaca", "seal-tools", "api-bank"];
const lines = (file) =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

/** Share of the tools that a question needs which are among the first k, averaged over the questions. */
function recall(index, questions, k) {
  const shares = questions.map(({ question, gold }) => {
    const found = new Set(index.search(question, k).map((tool) => tool.name));
    return gold.filter((name) => found.has(name)).length / gold.length;
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

const row = (cells) => console.log(`| ${cells.join(" | ")} |`);
row(["menu", "tools", "questions", "recall@1, %", "recall@5, %", "recall@10, %"]);
row(["---", "--:", "--:", "--:", "--:", "--:"]);
function measure(name, tools, questions) {
  const index = createMenuIndex({ tools });
  const asked = questions.filter(({ gold }) => gold.length > 0);
  const shares = [1, 5, 10].map((k) => (100 * recall(index, asked, k)).toFixed(1));
  row([name, tools.length, asked.length, ...shares]);
}

const all = { tools: [], questions: [] };
for (const name of readdirSync(join(data, "openapi-tasks"))) {
  const menu = buildToolMenu(await loadOpenApi(join(data, "openapi-tasks", name, "openapi.yaml")));
  const byPlace = new Map(menu.tools.map((tool) => [`${tool.method.toUpperCase()} ${tool.path}`, tool.name]));
  const questions = lines(join(data, "openapi-tasks", name, "tasks.jsonl")).map(({ question, gold }) => ({
    question,
    gold: [...new Set(gold.map(({ method, path }) => byPlace.get(`${method.toUpperCase()} ${path}`)))],
  }));
  measure(name, menu.tools, questions);
  all.tools.push(...menu.tools);
  all.questions.push(...questions);
}
measure("the three documents together", all.tools, all.questions);

for (const suite of suites) {
  const file = join(data, "bench-samples", `${suite}.jsonl`);
  if (!existsSync(file)) continue;
  const items = lines(file);
  const tools = new Map();
  for (const item of items)
    for (const tool of item.tools)
      if (!tools.has(tool.name)) tools.set(tool.name, { ...tool, method: "", path: "", domain: "" });
  const questions = items.map(({ question, gold }) => ({
    question,
    gold: [...new Set(gold.map(({ name }) => name))],
  }));
  measure(suite, [...tools.values()], questions);
}

const nouns = "order invoice customer shipment product review coupon refund ticket seat room guest".split(
  " ",
);
const verbs = ["get", "list", "create", "update", "delete", "search", "archive", "export"];
const tools = Array.from({ length: 1_000 }, (_, i) => {
  const noun = nouns[i % nouns.length];
  const verb = verbs[i % verbs.length];
  return {
    name: `${verb}${noun}${i}`,
    method: "get",
    path: `/area${i % 40}/${noun}s/{${noun}Id}`,
    domain: `area${i % 40}`,
    description: `${verb} the ${noun} number ${i} of area ${i % 40}, with its state and history`,
    parameters: { type: "object", properties: { [`${noun}Id`]: {}, limit: {}, state: {} } },
  };
});
const index = createMenuIndex({ tools });
const times = [];
for (let i = 0; i < 300; i++) {
  const start = process.cpuUsage();
  index.search(`please show me the ${nouns[i % nouns.length]} ${i} of area ${i % 40} and its state`, 10);
  const { user, system } = process.cpuUsage(start);
  times.push((user + system) / 1_000);
}
times.splice(0, 50);
times.sort((a, b) => a - b);
const at = (share) => times[Math.floor(share * (times.length - 1))].toFixed(2);
console.log(
  `\nsearch over 1,000 tools, processor time: median ${at(0.5)} ms, 99th percentile ${at(0.99)} ms`,
);
