import type { BenchReport } from "./bench.js";
import type { Evaluation, Summary } from "./schema.js";

/** Columns as wide as their widest cell; the first to the left, the others to the right. Control characters become `?`. */
function table(rows: readonly (readonly string[])[]): string {
  const safe = rows.map((row) => row.map((cell) => cell.replace(/[\p{Cc}\p{Cf}]/gu, "?")));
  const widths = (safe[0] ?? []).map((_, column) => Math.max(...safe.map((row) => row[column]?.length ?? 0)));
  return safe
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function percent(share: number | null): string {
  return share === null ? "-" : `${(share * 100).toFixed(1)} %`;
}

function signed(difference: number): string {
  return `${difference < 0 ? "" : "+"}${(difference * 100).toFixed(1)}`;
}

function range({ low, high }: { low: number; high: number }): string {
  return `${percent(low)} to ${percent(high)}`;
}

/** An evaluation for the terminal: totals side by side, the difference, domains, failures. */
export function evaluationText(evaluation: Evaluation): string {
  const { overall, tasks, failures } = evaluation;
  const columns: [string, Summary][] = [
    ...(overall.base === null ? [] : [["base", overall.base] as [string, Summary]]),
    ["tuned", overall.tuned],
  ];
  const row = (name: string, cell: (summary: Summary) => string) => [
    name,
    ...columns.map(([, summary]) => cell(summary)),
  ];
  const totals = table([
    ["", ...columns.map(([name]) => name)],
    row("right", (summary) => `${summary.correct} of ${summary.tasks}`),
    row("accuracy", (summary) => percent(summary.accuracy)),
    row("95 % interval", (summary) => range(summary.interval)),
    row("right tools", (summary) => percent(summary.toolChoice)),
    row("argument names (F1)", (summary) => percent(summary.keyF1)),
    row("values", (summary) => percent(summary.value)),
  ]);
  const parts = [`${evaluation.api.title.replace(/[\p{Cc}\p{Cf}]/gu, "?")}: ${tasks.count} tasks`, totals];
  if (overall.difference !== null) {
    const { value, low, high, gained, lost, p } = overall.difference;
    parts.push(
      `difference ${signed(value)} points (95 % ${signed(low)} to ${signed(high)}); ${gained} gained, ${lost} lost, McNemar p ${p.toPrecision(2)}`,
    );
  }
  const groups = evaluation.domains.map(({ name, base, tuned }) => [
    name,
    String(tuned.tasks),
    ...(overall.base === null ? [] : [percent(base?.accuracy ?? null)]),
    percent(tuned.accuracy),
  ]);
  parts.push(table([["domain", "tasks", ...columns.map(([name]) => name)], ...groups]));
  const kinds = [
    ...new Set(
      [failures.base ?? failures.tuned, failures.tuned].flatMap(({ byKind }) => Object.keys(byKind)),
    ),
  ];
  if (kinds.length > 0) {
    const count = (counts: Record<string, number>, kind: string) => String(counts[kind] ?? 0);
    parts.push(
      table([
        ["failure", ...columns.map(([name]) => name)],
        ...kinds.map((kind) => [
          kind,
          ...(failures.base === null ? [] : [count(failures.base.byKind, kind)]),
          count(failures.tuned.byKind, kind),
        ]),
      ]),
    );
  }
  if (tasks.origin === "held-out")
    parts.push(
      "These tasks were written by templates that training never uses. Tasks of your own (--tasks) prove more.",
    );
  if (tasks.excluded.length > 0)
    parts.push(
      `${tasks.excluded.length} tasks were left out because they, or near-duplicates, were trained on.`,
    );
  if (tasks.comparedWith === null) parts.push("Not compared with the training questions (--trained FILE).");
  return `${parts.join("\n\n")}\n`;
}

/** A benchmark for the terminal. */
export function benchText(report: BenchReport): string {
  const rows = report.models.map(({ label, totals }) => [
    label,
    String(totals.answered),
    String(totals.errors),
    percent(totals.strict.accuracy),
    range(totals.strict.interval),
    totals.official.items === 0 ? "-" : percent(totals.official.accuracy),
    percent(totals.toolChoice),
    percent(totals.keyF1),
    percent(totals.value),
  ]);
  const parts = [
    `${report.suite}: ${report.items} items`,
    table([
      ["model", "answered", "errors", "strict", "95 % interval", "official", "tools", "names F1", "values"],
      ...rows,
    ]),
    ...report.comparisons.map(
      ({ model, against, difference, low, high, gained, lost, p }) =>
        `${model} against ${against}: ${signed(difference)} points (95 % ${signed(low)} to ${signed(high)}); ${gained} gained, ${lost} lost, McNemar p ${p.toPrecision(2)}`,
    ),
  ];
  return `${parts.join("\n\n")}\n`;
}
