const months = [
  "january",
  "february",
  "march",
  "april",
  "may",
  "june",
  "july",
  "august",
  "september",
  "october",
  "november",
  "december",
] as const;

const monthIndex: ReadonlyMap<string, number> = new Map([
  ...months.flatMap((name, index): [string, number][] => [
    [name, index + 1],
    [name.slice(0, 3), index + 1],
  ]),
  ["sept", 9],
]);

const monthWord = `(${[...monthIndex.keys()].sort((a, b) => b.length - a.length).join("|")})\\.?`;
const day = "(\\d{1,2})(?:st|nd|rd|th)?";
const monthFirst = new RegExp(`\\b${monthWord} (?:the )?${day},? (?:of )?(\\d{4})\\b`, "g");
const dayFirst = new RegExp(`\\b${day} (?:of )?${monthWord},? (?:of )?(\\d{4})\\b`, "g");
const yearFirst = /(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)/g;
const yearLast = /(?<!\d)(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)/g;

function iso(year: string | number, month: string | number, dayOfMonth: string | number): string {
  return `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}-${String(dayOfMonth).padStart(2, "0")}`;
}

/**
 * Calendar dates in a lower-case English text as `YYYY-MM-DD`. Numeric forms that end with the year count only where
 * day and month cannot be confused (`25/12/2024`, `4/4/2024`). A date without a year is none.
 */
export function datesIn(text: string): Set<string> {
  const dates = new Set<string>();
  for (const [, month = "", dayOfMonth = "", year = ""] of text.matchAll(monthFirst))
    dates.add(iso(year, monthIndex.get(month) ?? 0, dayOfMonth));
  for (const [, dayOfMonth = "", month = "", year = ""] of text.matchAll(dayFirst))
    dates.add(iso(year, monthIndex.get(month) ?? 0, dayOfMonth));
  for (const [, year = "", month = "", dayOfMonth = ""] of text.matchAll(yearFirst))
    dates.add(iso(year, month, dayOfMonth));
  for (const [, first = "", , second = "", year = ""] of text.matchAll(yearLast)) {
    const [a, b] = [Number(first), Number(second)];
    if (b > 12 || a === b) dates.add(iso(year, a, b));
    else if (a > 12) dates.add(iso(year, b, a));
  }
  return dates;
}

const clock =
  /(?<![\d:.-])(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?(?:\.\d+)?\s?(a\.?m\b\.?|p\.?m\b\.?|z\b|o'clock)?/g;
const afterDate = /\d{4}-\d{2}-\d{2}[t ](\d{2}):(\d{2})(?::(\d{2}))?/g;

/** Times of day in a lower-case English text as `HH:MM:SS`. */
export function timesIn(text: string): Set<string> {
  const times = new Set<string>();
  const add = (hour: number, minute: string | undefined, second: string | undefined): void => {
    times.add(`${String(hour).padStart(2, "0")}:${minute ?? "00"}:${second ?? "00"}`);
  };
  for (const [, hour, minute, second] of text.matchAll(afterDate)) add(Number(hour), minute, second);
  for (const [, digits = "", minute, second, suffix] of text.matchAll(clock)) {
    if (minute === undefined && suffix === undefined) continue;
    const hour = Number(digits);
    const half = suffix?.[0] === "a" || suffix?.[0] === "p" ? suffix[0] : undefined;
    if (hour > 23 || (half !== undefined && (hour < 1 || hour > 12))) continue;
    if (half === undefined) add(hour, minute, second);
    else add((hour % 12) + (half === "p" ? 12 : 0), minute, second);
  }
  if (/\bnoon\b|\bmidday\b/.test(text)) times.add("12:00:00");
  if (/\bmidnight\b/.test(text)) times.add("00:00:00");
  return times;
}
