import type { Tool } from "../openapi/types.js";
import { type JsonSchemaObject, type JsonValue, leavesOf } from "../util/json.js";
import { datesIn, timesIn } from "./dates.js";
import { numbersIn } from "./numbers.js";
import { pointerTo } from "./rejection.js";
import { isDeclared, itemViews, propertyViews, schemaViews } from "./schema.js";
import type { ToolCall } from "./types.js";
import { stem, stopWords, wordsOf } from "./words.js";

/** A question read once, for many look-ups. */
export interface QuestionReading {
  raw: string;
  /** Lower case, plain quotes and dashes, single spaces. */
  text: string;
  /** Lower-case words and numerals joined by single spaces, with one at each end: what separator-free values are sought in. */
  spaced: string;
  numbers: ReadonlySet<number>;
  dates: ReadonlySet<string>;
  times: ReadonlySet<string>;
  /** Lower-case words in order; contracted negations ("don't") are `not`. */
  words: readonly string[];
}

function plain(text: string): string {
  return text
    .normalize("NFKC")
    .replace(/[\u2018\u2019\u02bc]/g, "'")
    .replace(/[\u201c\u201d]/g, '"')
    .replace(/[\u2010-\u2015\u2212]/g, "-")
    .replace(/\s+/g, " ");
}

function spaced(text: string): string {
  return ` ${(text.match(/[\p{L}\p{N}]+/gu) ?? []).join(" ")} `;
}

/** Most questions are asked for a few of these readings only. */
function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

export function readQuestion(question: string): QuestionReading {
  const raw = plain(question);
  const text = raw.toLowerCase();
  const joined = once(() => spaced(text));
  const numbers = once(() => numbersIn(text));
  const dates = once(() => datesIn(text));
  const times = once(() => timesIn(text));
  const words = once(() =>
    (text.match(/[\p{L}']+/gu) ?? []).map((word) => (word.endsWith("n't") ? "not" : word.replace(/'.*/, ""))),
  );
  return {
    raw,
    text,
    get spaced() {
      return joined();
    },
    get numbers() {
      return numbers();
    },
    get dates() {
      return dates();
    },
    get times() {
      return times();
    },
    get words() {
      return words();
    },
  };
}

/** Whether `part` stands in `text` as whole words: no letter, digit or decimal goes on at either end. */
const standsIn = (text: string, part: string): boolean => occurrences(text, part, 1) > 0;

/** How often `part` stands in `text` as whole words, counted up to `most`. */
function occurrences(text: string, part: string, most: number): number {
  let found = 0;
  for (let at = text.indexOf(part); at >= 0 && found < most; at = text.indexOf(part, at + 1)) {
    const before = text.slice(Math.max(0, at - 2), at);
    const after = text.slice(at + part.length, at + part.length + 2);
    const opens =
      !/^[\p{L}\p{N}_]/u.test(part) || !(/[\p{L}\p{N}_]$/u.test(before) || /^\d[.,]$/.test(before));
    const closes =
      !/[\p{L}\p{N}_]$/u.test(part) ||
      !(/^[\p{L}\p{N}_]/u.test(after) || (/\d$/.test(part) && /^[.,]\d/.test(after)));
    if (opens && closes) found++;
  }
  return found;
}

const canonicalNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/;
const isoDate = /^\d{4}-\d{2}-\d{2}$/;
const isoDateTime =
  /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?(?:[Zz]|[+-]\d{2}:?\d{2})?$/;
const isoTime = /^(\d{2}):(\d{2})(?::(\d{2}))?(?:[Zz]|[+-]\d{2}:?\d{2})?$/;
const phone = /^\+?[\d\s().-]{7,}$/;

/** Ways to say a code; only where the code itself is unlikely in speech. */
const spokenCodes: ReadonlyMap<string, readonly string[]> = new Map([
  ["asc", ["ascending"]],
  ["desc", ["descending"]],
  ["usd", ["dollar", "dollars"]],
  ["eur", ["euro", "euros"]],
  ["gbp", ["pound", "pounds", "sterling"]],
  ["jpy", ["yen"]],
  ["ascending", ["asc"]],
  ["descending", ["desc"]],
]);

function says(question: QuestionReading, value: string): boolean {
  const raw = plain(value).trim();
  const text = raw.toLowerCase();
  if (text === "") return hasAny(question.words, emptyCues);
  // Beyond 15 digits a number would be another number, so the digits themselves are sought.
  if (canonicalNumber.test(text))
    return text.length > 15 ? standsIn(question.text, text) : question.numbers.has(Number(text));
  const moment = isoDateTime.exec(text);
  if (moment !== null) {
    const [, date = "", hour = "", minute = "", second = "00"] = moment;
    const time = `${hour}:${minute}:${second}`;
    return (
      standsIn(question.text, text) ||
      (question.dates.has(date) && (time === "00:00:00" || question.times.has(time)))
    );
  }
  if (isoDate.test(text)) return question.dates.has(text);
  const clock = isoTime.exec(text);
  if (clock !== null && question.times.has(`${clock[1]}:${clock[2]}:${clock[3] ?? "00"}`)) return true;
  // "US", "IT" or "IN" as a code is not the pronoun or the preposition.
  if (/^[A-Z]{1,3}$/.test(raw) && (stopWords.has(text) || raw.length === 1))
    return standsIn(question.raw, raw);
  if (standsIn(question.text, text)) return true;
  if (phone.test(text)) return digitsOf(question.text).includes(` ${digitsOf(text).trim()} `);
  // `in_progress`, `inProgress` and `IN-PROGRESS` are said "in progress".
  if (/^[\p{L}\p{N}]+(?:[_\-./ ]+[\p{L}\p{N}]+)*$/u.test(raw) && !/\d[.,]\d/.test(raw)) {
    if (question.spaced.includes(spaced(text))) return true;
    const words = spaced(raw.replace(/(\p{Ll})(\p{Lu})/gu, "$1 $2").toLowerCase());
    if (question.spaced.includes(words)) return true;
  }
  return spokenCodes.get(text)?.some((word) => standsIn(question.text, word)) ?? false;
}

/** Digit groups of phone-like writings, each between spaces. */
function digitsOf(text: string): string {
  const groups = text.match(/\+?\d[\d\s().-]{5,}\d/g) ?? [];
  return ` ${groups.map((group) => group.replace(/\D/g, "")).join(" ")} `;
}

function set(words: string): ReadonlySet<string> {
  return new Set(words.split(" "));
}

const negations = set(
  "not no never without false off except exclude excludes excluding excluded skip skipping disable disabled neither nor hide hiding unless",
);
const affirmations = set(
  "true yes on enable enabled activate activated active only definitely include includes including included",
);
/** Words that settle a boolean when they follow its name ("archived: no"). */
const plainly = set("true yes on false no off");
const emptyCues = set("empty no none not without blank nothing null clear clears cleared remove removed");
const copulas = set("is has are be");

function hasAny(words: readonly string[], wanted: ReadonlySet<string>): boolean {
  return words.some((word) => wanted.has(word));
}

/**
 * A boolean is spoken by its parameter's words, negated near them when false ("not archived", "archived: false"), or
 * by a bare yes or no word where the parameter is not named.
 */
function saysBoolean({ words }: QuestionReading, value: boolean, key: string): boolean {
  const names = new Set(
    wordsOf(key)
      .filter((word) => word.length > 1 && !copulas.has(word))
      .map(stem),
  );
  let named = false;
  for (const [index, word] of words.entries()) {
    if (!names.has(stem(word))) continue;
    named = true;
    const next = words[index + 1] ?? "";
    if (plainly.has(next)) {
      if (!negations.has(next) === value) return true;
      continue;
    }
    const near = [...words.slice(Math.max(0, index - 4), index), ...words.slice(index + 1, index + 4)];
    if (hasAny(near, negations) !== value) return true;
  }
  return !named && hasAny(words, value ? affirmations : negations);
}

/** A leaf of a call's arguments that the question does not say. */
export interface Ungrounded {
  /** JSON pointer into the call's arguments. */
  pointer: string;
  value: JsonValue;
}

/** Number of leaves of the call's arguments, and those that the question does not say. */
export interface Grounding {
  leaves: number;
  missing: Ungrounded[];
}

/**
 * Looks for every argument value of a call in the question. A value that the schema leaves no choice about (`const`,
 * a required enum of one) need not be said. Keys that the schema does not declare (maps) must be said like values.
 */
export function groundCall(question: QuestionReading, call: ToolCall, tool: Tool | undefined): Grounding {
  const root = tool?.parameters ?? {};
  const result: Grounding = { leaves: 0, missing: [] };
  const leaf = (pointer: string, value: JsonValue, said: boolean): void => {
    result.leaves++;
    if (!said) result.missing.push({ pointer, value });
  };
  const visit = (
    value: JsonValue,
    key: string,
    pointer: string,
    views: readonly JsonSchemaObject[],
  ): void => {
    if (isFixed(views)) return;
    if (Array.isArray(value)) {
      const below = itemViews(views, root);
      if (value.length === 0) leaf(pointer, value, hasAny(question.words, emptyCues));
      for (const [index, item] of value.entries()) visit(item, key, pointerTo(pointer, index), below);
    } else if (typeof value === "object" && value !== null) {
      for (const name of Object.keys(value)) {
        const below = pointerTo(pointer, name);
        if (views.length > 0 && !isDeclared(views, name)) leaf(below, name, says(question, name));
        visit(value[name] ?? null, name, below, propertyViews(views, name, root));
      }
    } else if (typeof value === "boolean") leaf(pointer, value, saysBoolean(question, value, key));
    else if (value === null) leaf(pointer, value, hasAny(question.words, emptyCues));
    else if (typeof value === "number") leaf(pointer, value, question.numbers.has(value));
    else leaf(pointer, value, says(question, value));
  };
  const views = schemaViews(root, root);
  for (const name of Object.keys(call.arguments))
    visit(call.arguments[name] ?? null, name, pointerTo("", name), propertyViews(views, name, root));
  return result;
}

/**
 * A value that the question says more often than the calls have it ("a user 14 with the id 14"); undefined if there is
 * none. It may stand inside other values, too, and numbers of one digit and short words may mean something else.
 */
export function saidTooOften({ text }: QuestionReading, calls: readonly ToolCall[]): string | undefined {
  const values = calls
    .flatMap((call) => leavesOf(call.arguments))
    .filter((leaf) => typeof leaf === "string" || typeof leaf === "number")
    .map((leaf) => plain(String(leaf)).trim().toLowerCase());
  return [...new Set(values)].find((value) => {
    if (value.length < 3 && !/^\d\d$/.test(value)) return false;
    const wanted = values.reduce((sum, other) => sum + occurrences(other, value, other.length), 0);
    return occurrences(text, value, wanted + 1) > wanted;
  });
}

/** Whether the schema leaves only one value, so that nobody needs to say it. */
function isFixed(views: readonly JsonSchemaObject[]): boolean {
  if (views.some((view) => view.anyOf !== undefined || view.oneOf !== undefined)) return false;
  return views.some(
    (view) => view.const !== undefined || (Array.isArray(view.enum) && view.enum.length === 1),
  );
}
