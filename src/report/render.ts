import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { lineChart, type Point } from "./chart.js";
import { type MetricLine, type ReportData, reportDataSchema } from "./data.js";
import { evaluationSections } from "./evaluation.js";
import { html, type Markup } from "./html.js";
import { callText } from "./text.js";

const templates = new URL("../../templates/report/", import.meta.url);

/** Numbers whose charts come first, with the range of those that are shares. */
const known: Record<string, { title: string; unit?: readonly [number, number] }> = {
  reward: { title: "Reward" },
  passRate: { title: "Pass rate", unit: [0, 1] },
};
const place = new Set(["step", "iteration", "role", "phase"]);
const maxCharts = 14;

function toneOf(role: string): "generator" | "solver" | "base" {
  return role === "generator" || role === "solver" ? role : "base";
}

function chartOf(metrics: readonly MetricLine[], key: string): Markup {
  const series = new Map<string, { tone: ReturnType<typeof toneOf>; points: Point[] }>();
  for (const line of metrics) {
    const y = line[key];
    if (typeof y !== "number") continue;
    const label =
      line.phase === undefined || line.phase === "train" ? line.role : `${line.role}, ${line.phase}`;
    const entry = series.get(label) ?? { tone: toneOf(line.role), points: [] };
    entry.points.push({ x: line.step, y, part: line.iteration });
    series.set(label, entry);
  }
  const starts = new Map<number, number>();
  for (const line of metrics)
    starts.set(line.iteration, Math.min(starts.get(line.iteration) ?? Number.POSITIVE_INFINITY, line.step));
  const about = Object.hasOwn(known, key) ? known[key] : undefined;
  return lineChart({
    title: about?.title ?? key,
    xLabel: "step",
    series: [...series].map(([label, entry]) => ({
      label,
      ...entry,
      points: entry.points.toSorted((a, b) => a.x - b.x),
    })),
    marks:
      starts.size < 2 ? [] : [...starts].map(([iteration, x]) => ({ x, label: `iteration ${iteration}` })),
    ...(about?.unit === undefined ? {} : { unit: about.unit }),
  });
}

function trainingSection(metrics: readonly MetricLine[]): Markup | undefined {
  if (metrics.length === 0) return undefined;
  const keys = new Set(
    metrics.flatMap((line) =>
      Object.keys(line).filter((key) => !place.has(key) && typeof line[key] === "number"),
    ),
  );
  const first = Object.keys(known).filter((key) => keys.has(key));
  const others = [...keys].filter((key) => !first.includes(key)).slice(0, maxCharts);
  return html`<section id="training"><h2>Training</h2>
<div class="charts">${first.map((key) => chartOf(metrics, key))}</div>
${others.length > 0 && html`<details><summary>Other measurements</summary><div class="charts">${others.map((key) => chartOf(metrics, key))}</div></details>`}
</section>`;
}

function samplesSection(samples: ReportData["samples"]): Markup | undefined {
  if (samples.length === 0) return undefined;
  return html`<section id="rollouts"><h2>Tasks of the training, with rollouts</h2>
<p class="quiet small">Tasks that the Generator wrote and that passed verification, and what the Solver answered.</p>
${samples.map(
  (
    sample,
  ) => html`<details><summary><span class="tag quiet">iteration ${sample.iteration}</span>${sample.question}</summary>
<p class="small quiet">Domain ${sample.domain}${sample.passRate !== undefined && html`; pass rate ${Math.round(sample.passRate * 100)} %`}</p>
<h3>Answer</h3><pre>${callText(sample.answer)}</pre>
${sample.rollouts.map(
  (rollout) =>
    html`<h3>Rollout, reward ${rollout.reward.toFixed(2)}${rollout.correct !== undefined && (rollout.correct ? " (right)" : " (wrong)")}</h3><pre>${rollout.text}</pre>`,
)}</details>`,
)}
</section>`;
}

type Json = ReportData["config"][string];

/** Nested values by dotted path; lists stay on one line. */
function flatten(value: Json, path: string): [string, string][] {
  if (value !== null && typeof value === "object" && !Array.isArray(value))
    return Object.entries(value).flatMap(([key, inner]) =>
      flatten(inner, path === "" ? key : `${path}.${key}`),
    );
  return [[path, typeof value === "string" ? value : JSON.stringify(value)]];
}

function configSection(config: ReportData["config"]): Markup | undefined {
  const rows = flatten(config, "");
  if (rows.length === 0) return undefined;
  return html`<section id="configuration"><h2>Configuration</h2><dl>${rows.map(
    ([key, value]) => html`<dt>${key}</dt><dd>${value}</dd>`,
  )}</dl></section>`;
}

/**
 * The report as one HTML page that needs no network and runs no script. All text of the document, the tasks and the
 * models is escaped, and the page's own policy forbids everything but its style sheet.
 */
export function renderReport(input: ReportData): string {
  const data = reportDataSchema.parse(input);
  const [result, tasks, ...details] = evaluationSections(data.evaluation);
  const sections: [string, Markup | undefined][] = [
    ...(result === undefined || tasks === undefined ? [] : [result, tasks]),
    ["Training", trainingSection(data.metrics)],
    ...details,
    ["Rollouts", samplesSection(data.samples)],
    ["Configuration", configSection(data.config)],
  ];
  const present = sections.flatMap(([name, markup]) => (markup === undefined ? [] : [{ name, markup }]));
  const body = html`<header><h1>${data.api.title}</h1>
<p class="quiet">Tool calling for version ${data.api.version} of this API, before and after training</p>
<nav>${present.map(({ name }) => html`<a href="#${name.toLowerCase()}">${name}</a>`)}</nav></header>
<main>${present.map(({ markup }) => markup)}</main>
<footer>Written by ${data.writtenBy}.</footer>`;

  return page(`${data.api.title}: report`, body);
}

/** A whole page: one style sheet, no script, and a policy that forbids everything else. */
export function page(title: string, body: Markup): string {
  const style = readFileSync(new URL("report.css", templates), "utf8");
  const values: Record<string, string> = {
    "style-hash": `sha256-${createHash("sha256").update(style).digest("base64")}`,
    title: html`${title}`.markup,
    style: `<style>${style}</style>`,
    body: body.markup,
  };
  // One pass: what is put in is never looked through for placeholders again.
  return readFileSync(new URL("report.html", templates), "utf8").replace(
    /\{\{([a-z-]+)\}\}/g,
    (_, name: string) => values[name] ?? "",
  );
}
