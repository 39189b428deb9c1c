import type { EvaluatedAnswer, EvaluatedGroup, Evaluation, Summary } from "../evaluate/schema.js";
import { shareBar } from "./chart.js";
import { html, type Markup } from "./html.js";
import { callText, percent, points } from "./text.js";

const maxShown = 24;
const maxOpenRows = 20;

/** What the kinds of failure mean, in the words of the report. */
export const kindNames: Record<string, string> = {
  unparsable: "answer not readable",
  refused: "no call where one was needed",
  "needless-call": "a call where none was needed",
  "wrong-number-of-calls": "wrong number of calls",
  "wrong-tool": "wrong tool",
  "missing-argument": "missing argument",
  "extra-argument": "extra argument",
  "wrong-value": "wrong value",
};
export const faultNames: Record<string, string> = {
  type: "another type",
  "enum-spelling": "not an allowed value",
  format: "written in another format",
  unit: "in another unit",
  incomplete: "incomplete, or too much",
  "other-choice": "another allowed value",
  "wrong-place": "taken from elsewhere in the question",
  invented: "invented",
};

function figure(label: string, tone: "base" | "tuned", summary: Summary): Markup {
  return html`<div><div class="label">${label}</div><div class="figure ${tone}">${percent(summary.accuracy)}</div>
${shareBar(summary.accuracy, tone, summary.interval)}
<p class="quiet small">${summary.correct} of ${summary.tasks} tasks right; 95 % interval ${percent(summary.interval.low)} to ${percent(summary.interval.high)}</p>
<p class="quiet small">right tools ${percent(summary.toolChoice)}, argument names (F1) ${percent(summary.keyF1)}, values ${percent(summary.value)}${
    summary.whole !== undefined &&
    summary.whole.tasks < summary.tasks &&
    html`; whole calls ${summary.whole.correct} of the ${summary.whole.tasks} tasks whose arguments are known (${percent(summary.whole.accuracy)})`
  }</p></div>`;
}

function formatP(p: number): string {
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
}

/** Other ways to train, and what was forgotten: the figures that keep the claim honest. */
function besides({ baselines, otherApis, overall }: Evaluation): Markup {
  return html`${
    baselines.length > 0 &&
    html`<h3>Against other ways to train</h3><div class="scroll"><table><tr><th>On the same tasks</th><th class="number">Right</th><th class="number">Self-play ahead by</th><th class="number">95 % interval</th></tr>${baselines.map(
      ({
        name,
        summary,
        difference,
      }) => html`<tr><td class="name">${name}</td><td class="number">${percent(summary.accuracy)}</td>
<td class="number ${difference.value >= 0 ? "better" : "worse"}">${points(difference.value)}</td><td class="number">${points(difference.low)} to ${points(difference.high)}</td></tr>`,
    )}<tr><td class="name">this run</td><td class="number">${percent(overall.tuned.accuracy)}</td><td class="number"></td><td class="number"></td></tr></table></div>`
  }${
    otherApis !== null &&
    html`<h3>On other APIs</h3><p class="small">${percent(otherApis.base)} right before training, ${percent(otherApis.tuned)} after, of ${otherApis.tasks} tasks (${otherApis.source}). A fall says what was forgotten.</p>`
  }`;
}

function overallSection(evaluation: Evaluation): Markup {
  const { overall, tasks } = evaluation;
  const { base, tuned, difference } = overall;
  return html`<section id="result"><h2>Result</h2>
<div class="hero">${base !== null && figure("Before training", "base", base)}${figure("After training", "tuned", tuned)}</div>
${
  difference !== null &&
  html`<div class="verdict"><p><strong class="${difference.value >= 0 ? "better" : "worse"}">${points(difference.value)} percentage points</strong>, 95 % interval ${points(difference.low)} to ${points(difference.high)} (paired bootstrap).</p>
<p class="quiet small">${difference.gained} tasks are right only after training, ${difference.lost} only before; McNemar's exact test: ${formatP(difference.p)}.</p></div>`
}
<p class="quiet small">A task is right when every call has the right operation, argument names and values, and there is no other call.${
    tasks.toolChoiceOnly > 0 &&
    html` Of ${tasks.toolChoiceOnly} tasks the arguments are not known: for those the choice of operations counts.`
  }</p>${besides(evaluation)}</section>`;
}

function proofSection({ tasks }: Evaluation): Markup {
  const origin =
    tasks.origin === "user"
      ? "The tasks were given by the user."
      : "No task file was given. The tasks were written by seeded templates that training never uses; they are easier to word-match than what people write. Tasks of your own prove more.";
  return html`<section id="tasks"><h2>What proves it</h2><p>${origin}</p>
<p class="small">${tasks.count} tasks scored, ${tasks.excluded.length} left out.</p>
<h3>Who wrote them</h3><dl>${tasks.writers.map((writer) => html`<dt>${writer.tasks} tasks</dt><dd>${writer.source}</dd>`)}</dl>
<h3>Contamination</h3><p class="small">${
    tasks.comparedWith === null
      ? "The training questions were not at hand, so nothing was compared."
      : html`Compared with ${tasks.comparedWith} training questions; near-duplicates (character 3-grams, Jaccard 0.7 or more) are left out of every figure.`
  }</p>
${
  (tasks.goldFaults ?? []).length > 0 &&
  html`<h3>Contradictions</h3><p class="small">These gold arguments break the document's schemas. The tasks are scored as they are written.</p><div class="scroll"><table><tr><th>Task</th><th>Operation</th><th>Argument</th><th></th></tr>${(
    tasks.goldFaults ?? []
  ).map(
    ({ id, tool, pointer, message }) =>
      html`<tr><td>${id}</td><td>${tool}</td><td>${pointer}</td><td>${message}</td></tr>`,
  )}</table></div>`
}${
  tasks.excluded.length > 0 &&
  html`<details><summary>Tasks left out</summary><div class="scroll"><table><tr><th>Task</th><th>Question</th><th>Trained on</th></tr>${tasks.excluded.map(
    (task) => html`<tr><td>${task.id}</td><td>${task.question}</td><td>${task.trained}</td></tr>`,
  )}</table></div></details>`
}</section>`;
}

function groupTable(groups: readonly EvaluatedGroup[], heading: string): Markup {
  const compared = groups.some((entry) => entry.base !== null);
  return html`<div class="scroll"><table><tr><th>${heading}</th><th class="number">Tasks</th>${compared && html`<th class="number">Before</th>`}<th class="number">After</th><th>Right</th></tr>${groups.map(
    ({ name, base, tuned }) => html`<tr><td class="name">${name}</td><td class="number">${tuned.tasks}</td>${
      compared && html`<td class="number">${percent(base?.accuracy ?? null)}</td>`
    }<td class="number ${base === null || base.accuracy === tuned.accuracy ? "" : tuned.correct > base.correct ? "better" : "worse"}">${percent(tuned.accuracy)}</td>
<td class="wide">${compared && shareBar(base?.accuracy ?? null, "base")}${shareBar(tuned.accuracy, "tuned")}</td></tr>`,
  )}</table></div>`;
}

function groupsSection({ domains, operations }: Evaluation): Markup {
  const table = groupTable(operations, "Operation");
  return html`<section id="operations"><h2>Domains and operations</h2>${groupTable(domains, "Domain")}
${operations.length > maxOpenRows ? html`<details><summary>${operations.length} operations</summary>${table}</details>` : html`<h3>Operations</h3>${table}`}</section>`;
}

function countTable(
  title: string,
  names: Record<string, string>,
  before: Record<string, number> | undefined,
  after: Record<string, number>,
): Markup | undefined {
  const kinds = Object.keys(names).filter((kind) => (before?.[kind] ?? 0) + (after[kind] ?? 0) > 0);
  if (kinds.length === 0) return undefined;
  const most = Math.max(...kinds.flatMap((kind) => [before?.[kind] ?? 0, after[kind] ?? 0]));
  return html`<div class="scroll"><table><tr><th>${title}</th>${before !== undefined && html`<th class="number">Before</th>`}<th class="number">After</th><th></th></tr>${kinds.map(
    (
      kind,
    ) => html`<tr><td class="name">${names[kind]}</td>${before !== undefined && html`<td class="number">${before[kind] ?? 0}</td>`}<td class="number">${after[kind] ?? 0}</td>
<td class="wide">${before !== undefined && shareBar((before[kind] ?? 0) / most, "base")}${shareBar((after[kind] ?? 0) / most, "tuned")}</td></tr>`,
  )}</table></div>`;
}

function failuresSection({ failures }: Evaluation): Markup {
  const kinds = countTable(
    "Tasks with this failure",
    kindNames,
    failures.base?.byKind,
    failures.tuned.byKind,
  );
  const faults = countTable("Wrong values", faultNames, failures.base?.byFault, failures.tuned.byFault);
  return html`<section id="failures"><h2>Failures by kind</h2>${kinds ?? html`<p class="quiet">There were none.</p>`}${faults}</section>`;
}

type Item = Evaluation["items"][number];

function outcome(item: Item): { rank: number; label: string; tone: string } {
  if (item.base === null)
    return item.tuned.correct
      ? { rank: 2, label: "right", tone: "better" }
      : { rank: 1, label: "wrong", tone: "worse" };
  if (item.tuned.correct)
    return item.base.correct
      ? { rank: 3, label: "right before and after", tone: "quiet" }
      : { rank: 0, label: "right after training", tone: "better" };
  return item.base.correct
    ? { rank: 1, label: "wrong after training", tone: "worse" }
    : { rank: 2, label: "still wrong", tone: "worse" };
}

function answerPart(title: string, answer: EvaluatedAnswer): Markup {
  const reasons = answer.failures.map((failure) => {
    const where = failure.argument ?? (failure.kind === "wrong-tool" ? String(failure.got) : failure.tool);
    const why = failure.fault === undefined ? "" : ` (${faultNames[failure.fault] ?? failure.fault})`;
    return `${kindNames[failure.kind] ?? failure.kind}${where === undefined ? "" : `: ${where}`}${why}`;
  });
  return html`<h3>${title}</h3><pre>${callText(answer.calls)}</pre>${
    reasons.length > 0 && html`<p class="small quiet">${reasons.join("; ")}</p>`
  }${answer.calls === null && html`<pre>${answer.text}</pre>`}`;
}

/** Every outcome gets its share of the samples, so that failures show as well as gains. */
function pickSamples(items: readonly Item[]): Item[] {
  const byOutcome = [0, 1, 2, 3].map((rank) => items.filter((item) => outcome(item).rank === rank));
  const each = Math.ceil(maxShown / byOutcome.filter((group) => group.length > 0).length);
  return byOutcome.flatMap((group) => group.slice(0, each)).slice(0, maxShown);
}

function samplesSection({ items }: Evaluation): Markup {
  const shown = pickSamples(items);
  return html`<section id="samples"><h2>Sample tasks</h2>
<p class="quiet small">${shown.length} of ${items.length}; <code>evaluation.json</code> has all of them.</p>
${shown.map((item) => {
  const { label, tone } = outcome(item);
  return html`<details><summary><span class="tag ${tone}">${label}</span>${item.question}</summary>
<h3>Wanted</h3><pre>${callText(item.gold)}</pre>
${item.base !== null && answerPart("Before training", item.base)}${answerPart("After training", item.tuned)}</details>`;
})}</section>`;
}

/** The page's sections that an evaluation fills, by name for the table of contents. */
export function evaluationSections(evaluation: Evaluation | null): [string, Markup | undefined][] {
  if (evaluation === null) return [];
  return [
    ["Result", overallSection(evaluation)],
    ["Tasks", proofSection(evaluation)],
    ["Operations", groupsSection(evaluation)],
    ["Failures", failuresSection(evaluation)],
    ["Samples", samplesSection(evaluation)],
  ];
}
