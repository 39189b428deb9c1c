import type { BenchReport } from "./bench.js";
import type { TaskCheck } from "./check.js";
import type { ConvertedSuite } from "./convert/index.js";
import type { Evaluation, Summary } from "./schema.js";
import { failureKinds } from "./score.js";
import { type BenchTotals, together } from "./totals.js";
import { valueFaults } from "./values.js";

/** What comes from a suite or a document cannot move the cursor. */
const visible = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, "?");

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
    ...(tasks.toolChoiceOnly === 0
      ? []
      : [
          row("arguments known", ({ whole }) =>
            whole === undefined ? "-" : `${whole.correct} of ${whole.tasks}`,
          ),
          row("  whole calls right", ({ whole }) => percent(whole?.accuracy ?? null)),
        ]),
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
  if (tasks.toolChoiceOnly > 0)
    parts.push(
      `The arguments of ${tasks.toolChoiceOnly} tasks are not known: they count for the choice of tools only.`,
    );
  const faults = tasks.goldFaults ?? [];
  if (faults.length > 0)
    parts.push(
      [
        `${faults.length} gold arguments contradict the document (specdojo tasks check FILE shows all):`,
        ...faults
          .slice(0, 5)
          .map(
            ({ id, tool, pointer, message }) =>
              `  ${visible([`${id}: ${tool}`, pointer, message].filter((part) => part !== "").join(" "))}`,
          ),
      ].join("\n"),
    );
  if (tasks.comparedWith === null) parts.push("Not compared with the training questions (--trained FILE).");
  return `${parts.join("\n\n")}\n`;
}

const maxRows = 12;

type Counted = Pick<BenchTotals, "failures" | "faults">;

function failureTables(labels: readonly string[], models: readonly Counted[]): string[] {
  const counts = (
    title: string,
    names: readonly string[],
    of: (totals: Counted) => Record<string, number>,
  ) => {
    const rows = names
      .filter((name) => models.some((totals) => (of(totals)[name] ?? 0) > 0))
      .map((name) => [name, ...models.map((totals) => String(of(totals)[name] ?? 0))]);
    return rows.length === 0 ? [] : [table([[title, ...labels], ...rows])];
  };
  return [
    ...counts("answers with", failureKinds, (totals) => totals.failures),
    ...counts("wrong values", valueFaults, (totals) => totals.faults),
  ];
}

/** Where a model fails most. */
function weakest(label: string, totals: BenchTotals): string[] {
  const rows = (title: string, groups: BenchTotals["tools"]): string[] => {
    const wrong = groups.filter(({ answers, strict }) => strict < answers).slice(0, maxRows);
    if (wrong.length === 0) return [];
    return [
      table([
        [title, "right", "of", "most often"],
        ...wrong.map(({ name, answers, strict, failures }) => [
          name,
          String(strict),
          String(answers),
          Object.entries(failures).sort(([, a], [, b]) => b - a)[0]?.[0] ?? "",
        ]),
      ]),
    ];
  };
  const sections = [
    ...(totals.groups.length > 1 ? rows("group", totals.groups) : []),
    ...rows("tool", totals.tools),
    ...(totals.confusions.length === 0
      ? []
      : [
          table([
            ["wanted", "called", "answers"],
            ...totals.confusions.slice(0, 5).map(({ want, got, answers }) => [want, got, String(answers)]),
          ]),
        ]),
  ];
  return sections.length === 0 ? [] : [`Where ${visible(label)} fails:`, ...sections];
}

/** What every table of benchmarks begins with, behind the name of the row. */
const mainColumns = ["answered", "errors", "strict", "95 % interval", "official", "tools"];
const mainCells = (totals: BenchReport["models"][number]["totals"]): string[] => [
  String(totals.answered),
  String(totals.errors),
  percent(totals.strict.accuracy),
  range(totals.strict.interval),
  totals.official.items === 0 ? "-" : percent(totals.official.accuracy),
  percent(totals.toolChoice),
];

/** A benchmark for the terminal: totals, comparisons, and where each model fails. */
export function benchText(report: BenchReport): string {
  const rows = report.models.map(({ label, totals }) => [
    label,
    ...mainCells(totals),
    percent(totals.keyF1),
    percent(totals.value),
    percent(totals.count),
    percent(totals.order),
  ]);
  const spent = report.models.map(({ label, totals }) => [
    label,
    String(totals.tokens.prompt),
    String(totals.tokens.completion),
    String(totals.kept),
    String(totals.truncated),
    totals.cost === null ? "-" : `${totals.cost.total.toFixed(4)} (now ${totals.cost.spent.toFixed(4)})`,
  ]);
  const published = report.models.flatMap(({ label, totals }) =>
    Object.keys(totals.published).length === 0
      ? []
      : [
          `${visible(label)}, as the suite publishes it: ${Object.entries(totals.published)
            .map(([name, value]) => `${name} ${percent(value)}`)
            .join(", ")}`,
        ],
  );
  const passes = report.models.flatMap(({ label, totals }) =>
    totals.passes.length === 0
      ? []
      : [
          table([
            [label, "pass@k", "pass^k", "official pass@k", "pass^k"],
            ...totals.passes.map(({ k, strict, official }) => [
              `k = ${k}`,
              percent(strict.any),
              percent(strict.all),
              percent(official?.any ?? null),
              percent(official?.all ?? null),
            ]),
          ]),
        ],
  );
  const parts = [
    `${visible(report.suite)}: ${report.items} items${report.samples > 1 ? `, ${report.samples} answers each` : ""}`,
    table([["model", ...mainColumns, "names F1", "values", "number of calls", "order"], ...rows]),
    ...report.comparisons.map(
      ({ model, against, difference, low, high, gained, lost, p, official }) =>
        `${visible(model)} against ${visible(against)}: ${signed(difference)} points (95 % ${signed(low)} to ${signed(high)}); ${gained} gained, ${lost} lost, McNemar p ${p.toPrecision(2)}${
          official === null
            ? ""
            : `\n  official: ${signed(official.difference)} points (95 % ${signed(official.low)} to ${signed(official.high)}); ${official.gained} gained, ${official.lost} lost, McNemar p ${official.p.toPrecision(2)}`
        }`,
    ),
    ...passes,
    ...published,
    ...failureTables(
      report.models.map(({ label }) => label),
      report.models.map(({ totals }) => totals),
    ),
    ...report.models.flatMap(({ label, totals }) => weakest(label, totals)),
    table([["tokens", "read", "written", "answers kept", "cut off", "cost"], ...spent]),
  ];
  if (report.goldFaults.length > 0)
    parts.push(
      [
        `${report.goldFaults.length} gold answers cannot be given; they are scored as they are written:`,
        ...report.goldFaults.slice(0, 5).map(({ id, problem }) => `  ${visible(`${id} ${problem}`)}`),
      ].join("\n"),
    );
  if (report.excluded.length > 0)
    parts.push(
      `${report.excluded.length} items were left out because they, or near-duplicates, were trained on.`,
    );
  return `${parts.join("\n\n")}\n`;
}

/** Several suites for the terminal: each model on each of them, the means, and the failures of all together. */
export function suitesText(reports: readonly BenchReport[]): string {
  const blank = Array<string>(7).fill("");
  const rows = reports.flatMap(({ suite, items, models, comparisons }) => [
    [`${suite}, ${items} items`, ...blank],
    ...models.map(({ label, totals }) => {
      const difference = comparisons.find(({ model }) => model === label);
      return [
        `  ${label}`,
        ...mainCells(totals),
        difference === undefined
          ? ""
          : `${signed(difference.difference)} (${signed(difference.low)} to ${signed(difference.high)})`,
      ];
    }),
  ]);
  const means = together(reports);
  const meanRows = means.map(({ model, answered, errors, strict, official }) => [
    `  ${model}`,
    String(answered),
    String(errors),
    percent(strict),
    "",
    percent(official),
    "",
    "",
  ]);
  const excluded = reports.reduce((sum, report) => sum + report.excluded.length, 0);
  const parts = [
    table([
      ["suite", ...mainColumns, "strict, against the first"],
      ...rows,
      ["mean of the suites", ...blank],
      ...meanRows,
    ]),
    ...failureTables(
      means.map(({ model }) => model),
      means,
    ),
    ...(excluded === 0
      ? []
      : [`${excluded} items were left out because they, or near-duplicates, were trained on.`]),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** What a conversion made, for the terminal. */
export function convertText(suite: ConvertedSuite, file: string): string {
  const rows = suite.counts.map(({ part, items, published }) => [
    part,
    String(items),
    published.length === 0 ? "-" : published.join(" or "),
    published.length === 0 ? "" : published.includes(items) ? "as published" : "DIFFERS",
  ]);
  const ids = (list: readonly string[]) =>
    `${list.slice(0, 5).join(", ")}${list.length > 5 ? ` and ${list.length - 5} more` : ""}`;
  const { strict, official } = suite.refused;
  const parts = [
    `${suite.items.length} items of ${suite.name}, written to ${visible(file)}`,
    table([["part", "items", "published", ""], ...rows]),
    ...suite.notes.slice(0, 20).map(visible),
  ];
  if (strict.length > 0) parts.push(`Gold answers that do not pass the strict score: ${ids(strict)}`);
  if (official.length > 0)
    parts.push(`Gold answers that the suite's own rules refuse, so that nobody can pass: ${ids(official)}`);
  if (suite.invalid.length > 0)
    parts.push(
      `${suite.invalid.length} gold answers break the schemas of their tools, such as ${visible(suite.invalid[0]?.id ?? "")}: ${visible(suite.invalid[0]?.problem ?? "")}`,
    );
  return `${parts.join("\n\n")}\n`;
}

/** The findings of `specdojo tasks check` for the terminal. */
export function taskCheckText(check: TaskCheck): string {
  const errors = check.findings.filter(({ level }) => level === "error").length;
  const summary = [
    `${check.tasks} tasks, of which ${check.toolChoiceOnly} count for the choice of tools only; ${errors} errors, ${check.findings.length - errors} warnings`,
    ...(check.uncovered.length === 0
      ? []
      : [
          `no task needs ${check.uncovered.slice(0, 10).join(", ")}${check.uncovered.length > 10 ? ` and ${check.uncovered.length - 10} more operations` : ""}`,
        ]),
  ];
  const lines = check.findings.map(({ level, place, message }) => visible(`${level}  ${place}  ${message}`));
  return `${[...lines, ...summary].join("\n")}\n`;
}
