// Cost of turning completions of the Generator into tasks: parse, verify, deduplicate. One core, no model.
//   npm run build && node bench/verify.mjs [DOCUMENT]
import { fileURLToPath } from "node:url";
import { deduplicate } from "../dist/curriculum/index.js";
import { buildToolMenu, loadOpenApi } from "../dist/openapi/index.js";
import { createSpecGenerator, createVerifier, generatorCompletion, isRejection } from "../dist/task/index.js";
import { createRandom } from "../dist/util/random.js";

const document =
  process.argv[2] ?? fileURLToPath(new URL("../examples/petstore/openapi.yaml", import.meta.url));
const menu = buildToolMenu(await loadOpenApi(document));
const tools = new Map(menu.tools.map((tool) => [tool.name, tool]));

const openings = [
  "Please",
  "Could you",
  "I'd like you to",
  "Can somebody",
  "We need to",
  "Kindly",
  "Right away,",
  "Today",
];
const closings = [
  "",
  ", thanks",
  " as soon as possible",
  ", if you can",
  " for me",
  " before lunch",
  " for our team",
];

/** Values as a person would list them. */
function spoken(value, key) {
  if (Array.isArray(value)) return value.map((item) => spoken(item, key)).join(" and ");
  if (typeof value === "object" && value !== null)
    return Object.entries(value)
      .map(([name, item]) => spoken(item, name))
      .join(", ");
  return typeof value === "boolean" ? `${key}: ${value}` : `${key} ${value}`;
}

/** A completion as a Generator in training writes it: mostly good, some broken, vague, repeated or about something else. */
function completion(spec, random, earlier) {
  const calls = spec.answer.calls;
  const said = calls.map(
    (call) =>
      `${tools.get(call.name)?.description.split(".")[0].toLowerCase()} with ${spoken(call.arguments, "")}`,
  );
  const text = `${random.pick(openings)} ${said.join(" and then ")}${random.pick(closings)}`;
  const good = generatorCompletion(text, random.next() < 0.5 ? calls : undefined);
  const kind = random.next();
  if (kind < 0.6) return `<think>The user wants ${calls[0].name}.</think>${good}`;
  if (kind < 0.75 && earlier.length > 0) return random.pick(earlier);
  if (kind < 0.85) return generatorCompletion(`${random.pick(openings)} do it`);
  if (kind < 0.9) return good.slice(0, -random.int(1, 20));
  if (kind < 0.95) return generatorCompletion("...");
  return generatorCompletion(text.replace(/\d/g, "7"));
}

function candidates(count) {
  const generator = createSpecGenerator(menu, { seed: 1, context: { single_turn: 1, multi_turn: 0 } });
  const random = createRandom(2);
  const made = [];
  const texts = [];
  for (let i = 0; i < count; i++) {
    const spec = generator.next();
    const text = completion(spec, random, texts);
    texts.push(text);
    made.push({ spec, text });
  }
  return made;
}

/** Milliseconds of processor time that this process has used: other processes on the machine do not count. */
function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function run(list) {
  const verifier = createVerifier(menu);
  const start = cpu();
  const tasks = [];
  const reasons = new Map();
  for (const { spec, text } of list) {
    const result = verifier.verify(spec, text);
    if (isRejection(result)) reasons.set(result.reason, (reasons.get(result.reason) ?? 0) + 1);
    else tasks.push(result);
  }
  const verified = cpu();
  const { kept } = deduplicate(tasks);
  const end = cpu();
  return {
    verify: verified - start,
    deduplicate: end - verified,
    total: end - start,
    tasks: tasks.length,
    kept: kept.length,
    reasons,
  };
}

const sizes = [2_500, 5_000, 10_000, 20_000];
const all = candidates(Math.max(...sizes));
run(all.slice(0, 1_000));
console.log(
  `${menu.title}, ${menu.tools.length} operations, node ${process.version}, milliseconds of CPU time (best of 3)`,
);
console.log("candidates  verify  deduplicate  total  us/candidate  tasks  kept");
for (const size of sizes) {
  const runs = [1, 2, 3].map(() => run(all.slice(0, size)));
  const best = runs.reduce((a, b) => (b.total < a.total ? b : a));
  const cells = [
    size,
    best.verify.toFixed(0),
    best.deduplicate.toFixed(0),
    best.total.toFixed(0),
    ((1000 * best.total) / size).toFixed(1),
    best.tasks,
    best.kept,
  ];
  console.log(cells.map((cell, i) => String(cell).padStart([10, 8, 13, 7, 14, 7, 6][i])).join(""));
  if (size === Math.max(...sizes))
    console.log("rejected:", Object.fromEntries([...best.reasons].sort((a, b) => b[1] - a[1])));
}
