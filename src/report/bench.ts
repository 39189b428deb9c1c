import type { BenchReport } from "../evaluate/bench.js";
import type { BenchGroup, BenchTotals } from "../evaluate/totals.js";
import { shareBar } from "./chart.js";
import { faultNames, kindNames } from "./evaluation.js";
import { html, type Markup } from "./html.js";
import { page } from "./render.js";
import { callText, percent, points } from "./text.js";

const maxGroups = 40;

type Model = BenchReport["models"][number];

function resultSection({ models, comparisons, samples, goldFaults }: BenchReport, part: string): Markup {
  return html`<section id="result${part}"><h2>Result</h2><div class="scroll"><table>
<tr><th>Model</th><th class="number">Answers</th><th class="number">Missing</th><th class="number">Strict</th><th></th><th class="number">Official</th><th class="number">Right tools</th><th class="number">Names (F1)</th><th class="number">Values</th><th class="number">Calls</th></tr>${models.map(
    ({
      label,
      totals,
    }) => html`<tr><td class="name">${label}</td><td class="number">${totals.answered}</td><td class="number">${totals.errors}</td>
<td class="number">${percent(totals.strict.accuracy)}</td><td class="wide">${shareBar(totals.strict.accuracy, "tuned", totals.strict.interval)}</td><td class="number">${percent(totals.official.accuracy)}</td>
<td class="number">${percent(totals.toolChoice)}</td><td class="number">${percent(totals.keyF1)}</td><td class="number">${percent(totals.value)}</td><td class="number">${percent(totals.count)}</td></tr>`,
  )}</table></div>
<p class="quiet small">Missing answers are faults of the network or the server, and are not scored. ${samples > 1 && html`Each item was asked ${samples} times. `}${goldFaults.length > 0 && html`${goldFaults.length} gold answers cannot be given, such as ${goldFaults[0]?.id}, which ${goldFaults[0]?.problem}.`}</p>
${
  comparisons.length > 0 &&
  html`<h3>Against the first model</h3><div class="scroll"><table><tr><th>Model</th><th class="number">Difference</th><th class="number">95 % interval</th><th class="number">Gained</th><th class="number">Lost</th><th class="number">McNemar p</th></tr>${comparisons.map(
    ({ model, difference, low, high, gained, lost, p }) =>
      html`<tr><td class="name">${model}</td><td class="number ${difference >= 0 ? "better" : "worse"}">${points(difference)}</td><td class="number">${points(low)} to ${points(high)}</td><td class="number">${gained}</td><td class="number">${lost}</td><td class="number">${p < 0.001 ? "< 0.001" : p.toFixed(3)}</td></tr>`,
  )}</table></div>`
}${passesTable(models)}</section>`;
}

function passesTable(models: readonly Model[]): Markup | undefined {
  const several = models.filter(({ totals }) => totals.passes.length > 0);
  if (several.length === 0) return undefined;
  return html`<h3>Several answers</h3><div class="scroll"><table><tr><th>Model</th><th class="number">k</th><th class="number">One of k right</th><th class="number">All k right</th></tr>${several.map(
    ({ label, totals }) =>
      totals.passes.map(
        ({ k, strict }) =>
          html`<tr><td class="name">${label}</td><td class="number">${k}</td><td class="number">${percent(strict.any)}</td><td class="number">${percent(strict.all)}</td></tr>`,
      ),
  )}</table></div>`;
}

function countTable(
  title: string,
  names: Record<string, string>,
  models: readonly Model[],
  of: (totals: BenchTotals) => Record<string, number>,
): Markup | undefined {
  const kinds = Object.keys(names).filter((kind) => models.some(({ totals }) => (of(totals)[kind] ?? 0) > 0));
  if (kinds.length === 0) return undefined;
  return html`<div class="scroll"><table><tr><th>${title}</th>${models.map(({ label }) => html`<th class="number">${label}</th>`)}</tr>${kinds.map(
    (kind) =>
      html`<tr><td class="name">${names[kind]}</td>${models.map(({ totals }) => html`<td class="number">${of(totals)[kind] ?? 0}</td>`)}</tr>`,
  )}</table></div>`;
}

function failuresSection({ models }: BenchReport, part: string): Markup {
  const kinds = countTable("Answers with this failure", kindNames, models, ({ failures }) => failures);
  return html`<section id="failures${part}"><h2>Failures by kind</h2>${kinds ?? html`<p class="quiet">There were none.</p>`}${countTable("Wrong values", faultNames, models, ({ faults }) => faults)}</section>`;
}

/** A group of every model beside each other, worst of all models first. */
function groupTable(
  title: string,
  models: readonly Model[],
  of: (totals: BenchTotals) => BenchGroup[],
): Markup {
  const wrong = new Map<string, number>();
  for (const { totals } of models)
    for (const { name, answers, strict } of of(totals))
      wrong.set(name, (wrong.get(name) ?? 0) + answers - strict);
  const names = [...wrong].sort(([, a], [, b]) => b - a).map(([name]) => name);
  const find = ({ totals }: Model, name: string) => of(totals).find((group) => group.name === name);
  const worst = (group: BenchGroup | undefined): string => {
    const [kind] = Object.entries(group?.failures ?? {}).sort(([, a], [, b]) => b - a)[0] ?? [];
    return kind === undefined ? "" : (kindNames[kind] ?? kind);
  };
  return html`<div class="scroll"><table><tr><th>${title}</th><th class="number">Answers</th>${models.map(({ label }) => html`<th class="number">${label}</th><th>most often</th>`)}</tr>${names
    .slice(0, maxGroups)
    .map(
      (name) =>
        html`<tr><td class="name">${name}</td><td class="number">${models.map((model) => find(model, name)?.answers).find((n) => n !== undefined) ?? 0}</td>${models.map(
          (model) => {
            const group = find(model, name);
            return html`<td class="number">${percent(group === undefined ? null : group.strict / group.answers)}</td><td class="small">${worst(group)}</td>`;
          },
        )}</tr>`,
    )}</table></div>${names.length > maxGroups && html`<p class="quiet small">${names.length - maxGroups} more are not shown.</p>`}`;
}

function confusionsOf({ label, totals }: Model): Markup | undefined {
  if (totals.confusions.length === 0) return undefined;
  return html`<h3>Tools that ${label} takes for others</h3><div class="scroll"><table><tr><th>Wanted</th><th>Called</th><th class="number">Answers</th></tr>${totals.confusions.map(
    ({ want, got, answers }) =>
      html`<tr><td class="name">${want}</td><td class="name">${got}</td><td class="number">${answers}</td></tr>`,
  )}</table></div>`;
}

function examplesOf({ label, totals }: Model): Markup | undefined {
  const kinds = Object.keys(kindNames).filter((kind) => (totals.examples[kind] ?? []).length > 0);
  if (kinds.length === 0) return undefined;
  return html`<h3>${label}</h3>${kinds.map((kind) =>
    (totals.examples[kind] ?? []).map(
      ({
        id,
        question,
        gold,
        calls,
        text,
      }) => html`<details><summary><span class="tag worse">${kindNames[kind]}</span>${question}</summary>
<p class="quiet small">${id}</p><h3>Wanted</h3><pre>${callText(gold)}</pre><h3>Answered</h3><pre>${callText(calls)}</pre>${text !== undefined && html`<pre>${text}</pre>`}</details>`,
    ),
  )}`;
}

function leftOutSection({ excluded, comparedWith }: BenchReport): Markup | undefined {
  if (comparedWith === null) return undefined;
  return html`<section><h2>Contamination</h2><p class="small">Compared with ${comparedWith} training questions; ${excluded.length} items were left out of every figure.</p>${
    excluded.length > 0 &&
    html`<div class="scroll"><table><tr><th>Item</th><th>Question</th><th>Trained on</th></tr>${excluded.map(
      ({ id, question, trained }) => html`<tr><td>${id}</td><td>${question}</td><td>${trained}</td></tr>`,
    )}</table></div>`
  }</section>`;
}

const sections = { result: "Result", failures: "Failures", tools: "Tools", examples: "Examples" };

/** Sections of one suite; `part` tells its anchors from those of other suites on the page. */
function suiteBody(report: BenchReport, part: string): Markup {
  const { models } = report;
  return html`<nav>${Object.entries(sections).map(([id, title]) => html`<a href="#${id}${part}">${title}</a>`)}</nav>
${resultSection(report, part)}${failuresSection(report, part)}
<section id="tools${part}"><h2>Tools and groups</h2>${groupTable("Group", models, ({ groups }) => groups)}${groupTable("Tool", models, ({ tools }) => tools)}${models.map(confusionsOf)}</section>
<section id="examples${part}"><h2>Examples</h2>${models.map(examplesOf)}</section>
${leftOutSection(report)}`;
}

/** The failure analysis of suites as one HTML page: no script, no network, all text escaped. */
export function renderBench(reports: readonly BenchReport[], writtenBy: string): string {
  const title = reports.map(({ suite }) => suite).join(", ");
  const items = reports.reduce((sum, report) => sum + report.items, 0);
  const models = reports[0]?.models.length ?? 0;
  const several = reports.length > 1;
  const body = html`<header><h1>${title}</h1>
<p class="quiet">${items} items, ${models} ${models === 1 ? "model" : "models"}</p>
${several && html`<nav>${reports.map(({ suite }, i) => html`<a href="#suite-${i}">${suite}</a>`)}</nav>`}</header>
<main>${reports.map(
    (report, i) =>
      html`${several && html`<h1 id="suite-${i}">${report.suite}: ${report.items} items</h1>`}${suiteBody(report, several ? `-${i}` : "")}`,
  )}</main>
<footer>Written by ${writtenBy}.</footer>`;
  return page(`${title}: benchmark`, body);
}
