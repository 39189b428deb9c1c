import colors from "picocolors";
import type { RunPlan } from "../plan.js";
import type { Estimate } from "../train/index.js";
import { SpecdojoError } from "../util/errors.js";
import { clock } from "./progress.js";

/** Seconds of `30m`, `90s`, `1.5h` or `2h30m`. */
export function parseDuration(text: string, place: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(h|m|s)/g)];
  const seconds = parts.reduce((sum, [, value, unit]) => sum + Number(value) * unitSeconds(unit), 0);
  if (parts.map(([part]) => part).join("") === text && seconds > 0) return seconds;
  throw new SpecdojoError("invalid-option", `${JSON.stringify(text)} is not a duration`, {
    place,
    remedy: "Write it like 30m, 90s or 2h30m.",
  });
}

const unitSeconds = (unit: string | undefined): number => (unit === "h" ? 3600 : unit === "m" ? 60 : 1);

/** `3:07` for minutes and seconds, `2 h 05 min` and `3.4 days` for what is longer. */
export function duration(seconds: number): string {
  if (seconds >= 2 * 86_400) return `${(seconds / 86_400).toFixed(1)} days`;
  if (seconds >= 3600) {
    const minutes = Math.round(seconds / 60);
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  }
  return clock(seconds * 1000);
}

const count = (value: number): string => Math.round(value).toLocaleString("en");
const memory = (bytes: number): string =>
  bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** The plan for a terminal. */
export function renderPlan(plan: RunPlan): string {
  const { api, config, machine, estimate, within } = plan;
  const place =
    machine === null ? "on the given server" : `on this machine (${machine.device}, ${machine.dtype})`;
  const lines = [
    "",
    colors.bold(`${api.title}: ${api.operations} operations, ${config.iterations} iterations, ${place}`),
    "",
    ...table(estimate),
    "",
    `  The Solver is trained on about ${count(plan.tasksPerIteration)} tasks in each iteration. Measured in ${duration(plan.measured)}.`,
    ...(plan.upperBound
      ? [
          "  Whole completions would have taken too long to measure: this is for completions of the greatest length, so at most.",
        ]
      : []),
    ...memoryLines(plan),
    ...(within === null ? [] : withinLines(within)),
    "",
  ];
  return `${lines.join("\n")}\n`;
}

function table({ phases, total }: Estimate): string[] {
  const row = (name: string, cells: readonly string[]): string =>
    `  ${name.padEnd(36)}${cells.map((cell) => cell.padStart(16)).join("")}`;
  const cells = (work: Estimate["total"]): string[] => [
    count(work.completions),
    count(work.promptTokens),
    count(work.newTokens),
    count(work.trainedTokens),
    duration(work.seconds),
  ];
  return [
    row("", ["completions", "prompt tokens", "new tokens", "trained tokens", "time"]).trimEnd(),
    ...phases.filter(({ seconds }) => seconds > 0).map((phase) => row(phase.name, cells(phase))),
    row("together", cells(total)),
  ];
}

function memoryLines({ machine, memory: needed }: RunPlan): string[] {
  if (needed === null) return [];
  const { total, base, training, samplers, sampling, activations, seen, free } = needed;
  const where = machine?.device === "cuda" ? "memory of the GPU" : "memory of the worker";
  return [
    `  About ${memory(total)} of ${where}: base model ${memory(base)}, training ${memory(training)}, samplers ${memory(samplers)}, at most ${memory(Math.max(sampling, activations))} while sampling or training${seen === null ? "" : `; ${memory(seen)} seen in the measurement`}.`,
    ...(free !== null && free < total
      ? [
          `  ${colors.yellow("Only")} ${memory(free)} are free: choose a smaller model, or smaller groups and maxTokens.`,
        ]
      : []),
  ];
}

function withinLines({ seconds, fits, config, estimate }: NonNullable<RunPlan["within"]>): string[] {
  if (fits) return ["", `  It fits into ${duration(seconds)} as it is.`];
  if (config === null || estimate === null)
    return [
      "",
      `  No sizes fit into ${duration(seconds)}: use a smaller model, a shorter maxTokens or a GPU.`,
    ];
  return [
    "",
    `  These fit into ${duration(seconds)} (${duration(estimate.total.seconds)}); as a file for --config:`,
    "",
    JSON.stringify(config, undefined, 2),
  ];
}
