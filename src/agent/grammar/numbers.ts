import { repeat } from "./notation.js";

/** Longest whole number that is written: an id of 64 bits fits. */
const maxDigits = 18;
const unbounded = 10n ** BigInt(maxDigits) - 1n;

export interface Bounds {
  /** Included; undefined for none. */
  low?: bigint | undefined;
  high?: bigint | undefined;
}

/** Whole numbers of a range as a GBNF expression; undefined for an empty range. */
export function wholeNumbers({ low, high }: Bounds): string | undefined {
  const [from, to] = [clamp(low ?? -unbounded), clamp(high ?? unbounded)];
  if (from > to) return undefined;
  const options: string[] = [];
  if (to >= 0n) options.push(magnitudes(from > 0n ? from : 0n, to));
  if (from < 0n) options.push(`"-" ${magnitudes(to < 0n ? -to : 1n, -from)}`);
  return either(options);
}

const clamp = (value: bigint): bigint =>
  value > unbounded ? unbounded : value < -unbounded ? -unbounded : value;

/** Digits after the point near a bound. */
const places = 6;
const step = 10 ** -places;

/**
 * Numbers of a range, both bounds included, with at most `fraction` digits after the point, as a GBNF expression;
 * undefined for an empty range. Beside a bound that is not whole, at most 6 digits.
 */
export function decimalNumbers(
  low: number | undefined,
  high: number | undefined,
  fraction: number,
): string | undefined {
  const [from, to] = [low ?? -Infinity, high ?? Infinity];
  if (from > to) return undefined;
  const options: string[] = [];
  if (to >= 0) options.push(...decimals(Math.max(from, 0), to, fraction));
  const negative = from < 0 ? decimals(Math.max(-to, step), -from, fraction) : [];
  if (negative.length > 0) options.push(`"-" ${either(negative)}`);
  return options.length === 0 ? undefined : either(options);
}

/** The same for 0 <= low <= high, as alternatives. */
function decimals(low: number, high: number, fraction: number): string[] {
  const [wholeLow, partLow] = split(low);
  const [wholeHigh, partHigh] = split(high);
  const options: string[] = [];
  const least = partLow === 0n ? wholeLow : wholeLow + 1n;
  if (least <= wholeHigh) options.push(magnitudes(least, wholeHigh));
  if (fraction === 0) return options;
  const end = 10n ** BigInt(places) - 1n;
  if (wholeLow === wholeHigh) options.push(...after(wholeLow, partLow, partHigh, fraction));
  else {
    if (partLow > 0n) options.push(...after(wholeLow, partLow, end, fraction));
    if (least < wholeHigh) options.push(`${magnitudes(least, wholeHigh - 1n)} "." [0-9]{1,${fraction}}`);
    if (partHigh > 0n) options.push(...after(wholeHigh, 0n, partHigh, fraction));
  }
  return options;
}

/** `whole` and digits after the point, from `low` to `high` in units of the last of `places`. */
function after(whole: bigint, low: bigint, high: bigint, fraction: number): string[] {
  const options: string[] = [];
  for (let length = 1; length <= Math.min(places, fraction); length++) {
    const unit = 10n ** BigInt(places - length);
    const [a, b] = [(low + unit - 1n) / unit, high / unit];
    if (a > b) continue;
    options.push(sameLength(String(a).padStart(length, "0"), String(b).padStart(length, "0")));
  }
  return options.length === 0 ? [] : [`"${whole}." ${either(options)}`];
}

function split(value: number): [bigint, bigint] {
  if (!(value < Number(unbounded))) return [unbounded, 0n];
  const [whole = "0", part = "0"] = value.toFixed(places).split(".");
  return [BigInt(whole), BigInt(part)];
}

const either = (options: readonly string[]): string =>
  options.length === 1 ? (options[0] ?? "") : `(${options.join(" | ")})`;

/** Whole numbers from `low` to `high`, 0 <= low <= high, without leading zeros. */
function magnitudes(low: bigint, high: bigint): string {
  const options: string[] = [];
  if (low === 0n) options.push('"0"');
  const from = low === 0n ? 1n : low;
  // Lengths that are allowed whole are one class.
  let whole: [number, number] | undefined;
  for (let length = String(from).length; from <= high && length <= String(high).length; length++) {
    const [least, most] = [10n ** BigInt(length - 1), 10n ** BigInt(length) - 1n];
    const [a, b] = [from > least ? from : least, high < most ? high : most];
    if (a === least && b === most) whole = [whole?.[0] ?? length, length];
    else options.push(sameLength(String(a), String(b)));
  }
  if (whole !== undefined) options.push(`[1-9] ${repeat("[0-9]", whole[0] - 1, whole[1] - 1)}`);
  return either(options);
}

function sameLength(low: string, high: string): string {
  const rest = low.length - 1;
  const any = rest === 0 ? "" : ` [0-9]{${rest}}`;
  if (/^0*$/.test(low.slice(1)) && /^9*$/.test(high.slice(1))) return `${digit(low[0], high[0])}${any}`;
  if (low[0] === high[0]) return `"${low[0]}" ${sameLength(low.slice(1), high.slice(1))}`;
  const [a, b] = [Number(low[0]), Number(high[0])];
  const options = [`"${a}" ${sameLength(low.slice(1), "9".repeat(rest))}`];
  if (b - a > 1) options.push(`${digit(String(a + 1), String(b - 1))}${any}`);
  options.push(`"${b}" ${sameLength("0".repeat(rest), high.slice(1))}`);
  return `(${options.join(" | ")})`;
}

const digit = (from = "0", to = "9"): string => (from === to ? `"${from}"` : `[${from}-${to}]`);
