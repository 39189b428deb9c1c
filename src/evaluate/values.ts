import { type JsonValue, leavesOf } from "../util/json.js";

/** Why a value is wrong, in the order in which the kinds are tried. */
export const valueFaults = [
  "type",
  "enum-spelling",
  "format",
  "unit",
  "incomplete",
  "other-choice",
  "wrong-place",
  "invented",
] as const;
export type ValueFault = (typeof valueFaults)[number];

/** Factors between units that a question and an argument may be stated in. */
const unitFactors = [10, 12, 24, 60, 100, 1000, 3600, 60_000, 86_400, 100_000, 1_000_000];

function kindOf(value: JsonValue): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

function plain(value: JsonValue): string {
  return (typeof value === "string" ? value : JSON.stringify(value))
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "");
}

function words(text: string): string {
  return ` ${text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim()} `;
}

function sameUnitless(want: number, got: number): boolean {
  if (want === 0 || got === 0) return false;
  const ratio = Math.abs(want) > Math.abs(got) ? want / got : got / want;
  return unitFactors.some((factor) => Math.abs(ratio - factor) < factor * 1e-9);
}

/** The same day, of which at least one side is not written as ISO 8601 (those are read in local time: hence a day's room). */
function sameDay(want: string, got: string): boolean {
  const iso = /^\d{4}-\d{2}-\d{2}/;
  if (!/\d{4}/.test(want) || !/\d{4}/.test(got) || (iso.test(want) && iso.test(got))) return false;
  return Math.abs(Date.parse(want) - Date.parse(got)) < 86_400_000;
}

/**
 * Says what kind of mistake a wrong value is; `allowed` is the schema's enum (of the items, for a list). `type`: another JSON type. `enum-spelling`: not one of the allowed values.
 * `format`: the same letters and digits, or the same day, written in another way. `unit`: another power of ten or another
 * unit of time. `incomplete`: a part of the right value, or the right value and more. `other-choice`: another allowed value
 * (or the other boolean). `wrong-place`: it stands in the question, for something else. `invented`: it does not.
 */
export function valueFault(
  want: JsonValue,
  got: JsonValue,
  allowed: readonly JsonValue[] | undefined,
  question: string,
): ValueFault {
  if (kindOf(want) !== kindOf(got)) return "type";
  if (allowed !== undefined && [got].flat().some((value) => !allowed.includes(value))) return "enum-spelling";
  if (Array.isArray(want) && Array.isArray(got)) {
    const [a, b] = [want.map((item) => JSON.stringify(item)), got.map((item) => JSON.stringify(item))];
    if (a.every((item) => b.includes(item)) || b.every((item) => a.includes(item))) return "incomplete";
  }
  if (allowed !== undefined || typeof got === "boolean") return "other-choice";
  if (typeof want === "number" && typeof got === "number" && sameUnitless(want, got)) return "unit";
  if (typeof want === "string" && typeof got === "string") {
    const [a, b] = [plain(want), plain(got)];
    if (a === b || sameDay(want, got)) return "format";
    if (b !== "" && (a.includes(b) || b.includes(a))) return "incomplete";
  }
  const leaves = leavesOf(got).flatMap((leaf) => (leaf === null ? [] : [String(leaf)]));
  const text = words(question);
  return leaves.length > 0 && leaves.every((leaf) => text.includes(words(leaf))) ? "wrong-place" : "invented";
}
