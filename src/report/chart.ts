import { html, type Markup } from "./html.js";

export interface Point {
  x: number;
  y: number;
  /** Points of different parts are not joined by a line, unless there are only few. */
  part?: number;
}

/** One line of a chart: points in order of `x`, drawn in the colour of `tone`. */
export interface Series {
  label: string;
  tone: "base" | "tuned" | "generator" | "solver";
  points: readonly Point[];
}

const box = { width: 640, height: 240, left: 46, right: 12, top: 12, bottom: 30 };

/** Round numbers that cover [low, high] in about `count` steps. */
export function ticks(low: number, high: number, count: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? 10 * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function shortNumber(value: number): string {
  return Math.abs(value) >= 1000 || Number.isInteger(value)
    ? String(Math.round(value))
    : String(Number(value.toPrecision(3)));
}

/** Centred moving average, so that a noisy curve can be read. The window shrinks at both ends. */
export function smooth(points: readonly Point[], radius: number): Point[] {
  return points.map(({ x }, i) => {
    const reach = Math.min(radius, i, points.length - 1 - i);
    const window = points.slice(i - reach, i + reach + 1);
    return { x, y: window.reduce((sum, point) => sum + point.y, 0) / window.length };
  });
}

function path(points: readonly Point[], x: (v: number) => number, y: (v: number) => number): string {
  return points.map((point, i) => `${i === 0 ? "M" : "L"}${round(x(point.x))} ${round(y(point.y))}`).join("");
}

/**
 * A line chart as static SVG: raw values pale, their moving average strong, dashed lines where an iteration starts.
 * `unit` is the range of `y` where it is known, e.g. [0, 1] for shares.
 */
export function lineChart(options: {
  title: string;
  xLabel: string;
  series: readonly Series[];
  marks?: readonly { x: number; label: string }[];
  unit?: readonly [number, number];
}): Markup {
  const series = options.series
    .map((line) => ({
      ...line,
      points: line.points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)),
    }))
    .filter((line) => line.points.length > 0);
  const all = series.flatMap((line) => line.points);
  if (all.length === 0) return html`<p class="quiet">Nothing was recorded for ${options.title}.</p>`;
  const extent = (values: readonly number[]) => ({
    low: values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    high: values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
  });
  const xs = extent(all.map((point) => point.x));
  const seen = extent(all.map((point) => point.y));
  const pad = (seen.high - seen.low) * 0.05 || 0.5;
  const ys = options.unit
    ? { low: Math.min(options.unit[0], seen.low), high: Math.max(options.unit[1], seen.high) }
    : { low: seen.low - pad, high: seen.high + pad };
  const wide = box.width - box.left - box.right;
  const tall = box.height - box.top - box.bottom;
  const x = (v: number) =>
    box.left + (xs.high === xs.low ? wide / 2 : ((v - xs.low) / (xs.high - xs.low)) * wide);
  const y = (v: number) => box.top + (1 - (v - ys.low) / (ys.high - ys.low)) * tall;
  const bottom = box.height - box.bottom;

  const grid = ticks(ys.low, ys.high, 4).map(
    (
      v,
    ) => html`<line class="grid" x1="${box.left}" x2="${box.width - box.right}" y1="${round(y(v))}" y2="${round(y(v))}"/>
<text class="tick end" x="${box.left - 6}" y="${round(y(v) + 4)}">${shortNumber(v)}</text>`,
  );
  const steps = ticks(xs.low, xs.high, 6)
    .filter((v) => Number.isInteger(v))
    .map(
      (v) => html`<text class="tick middle" x="${round(x(v))}" y="${bottom + 16}">${shortNumber(v)}</text>`,
    );
  const marks = (options.marks ?? [])
    .filter((mark) => mark.x >= xs.low && mark.x <= xs.high)
    .map(
      (
        mark,
      ) => html`<line class="mark" x1="${round(x(mark.x))}" x2="${round(x(mark.x))}" y1="${box.top}" y2="${bottom}"/>
<text class="tick" x="${round(x(mark.x) + 4)}" y="${box.top + 10}">${mark.label}</text>`,
    );
  const lines = series.map((line) => {
    const few = line.points.length <= 12;
    const radius = Math.max(1, Math.round(line.points.length / 20));
    const parts = few
      ? [line.points]
      : [...new Set(line.points.map(({ part }) => part))].map((part) =>
          line.points.filter((point) => point.part === part),
        );
    return html`${parts.map(
      (points) => html`${!few && html`<path class="line pale ${line.tone}" d="${path(points, x, y)}"/>`}
<path class="line ${line.tone}" d="${path(few ? points : smooth(points, radius), x, y)}"/>`,
    )}${
      few
        ? line.points.map(
            (point) =>
              html`<circle class="dot ${line.tone}" cx="${round(x(point.x))}" cy="${round(y(point.y))}" r="3.5"><title>${line.label}: ${shortNumber(point.y)} (${options.xLabel} ${shortNumber(point.x)})</title></circle>`,
          )
        : undefined
    }`;
  });
  return html`<figure class="chart">
<figcaption>${options.title}<span class="legend">${series.map((line) => html`<span class="key ${line.tone}">${line.label}</span>`)}</span></figcaption>
<svg viewBox="0 0 ${box.width} ${box.height}" role="img" aria-label="${options.title}">
${grid}${steps}${marks}${lines}
<text class="tick end" x="${box.width - box.right}" y="${box.height - 2}">${options.xLabel}</text>
</svg>
</figure>`;
}

/** A share in [0, 1] as a bar with its confidence interval. */
export function shareBar(
  value: number | null,
  tone: "base" | "tuned",
  interval?: { low: number; high: number },
): Markup {
  const width = 200;
  const at = (share: number) => round(Math.max(0, Math.min(1, share)) * width);
  return html`<svg class="bar" viewBox="0 0 ${width} 14" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="${width}" height="14" rx="3"/>${
    value === null ? undefined : html`<rect class="fill ${tone}" width="${at(value)}" height="14" rx="3"/>`
  }${
    interval === undefined || value === null
      ? undefined
      : html`<rect class="whisker" x="${at(interval.low)}" y="6" width="${round(Number(at(interval.high)) - Number(at(interval.low)))}" height="2"/>`
  }</svg>`;
}
