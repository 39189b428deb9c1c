import { isObject } from "../util/json.js";

interface Limits {
  items: number;
  characters: number;
  depth: number;
}

// Tried from the gentlest on; the last keeps little more than the outline.
const stages: Limits[] = [
  { items: 100, characters: 4000, depth: 12 },
  { items: 40, characters: 1000, depth: 8 },
  { items: 15, characters: 300, depth: 6 },
  { items: 5, characters: 120, depth: 5 },
  { items: 2, characters: 60, depth: 3 },
  { items: 1, characters: 20, depth: 1 },
];

/**
 * A value as JSON text of at most `maxCharacters` for a model to read. What does not fit is left out so that the text
 * stays valid JSON: `{"data": …, "cut": ["/pets: 15 of 240 items", …]}` then says what is missing.
 */
export function resultText(value: unknown, maxCharacters = 8000): string {
  const whole = stringify(value);
  if (whole !== undefined && whole.length <= maxCharacters) return whole;
  for (const limits of stages) {
    const cut: string[] = [];
    const data = shrink(value, limits, "", 0, cut);
    const text = JSON.stringify({
      data,
      cut: cut.length > 10 ? [...cut.slice(0, 10), `and ${cut.length - 10} more`] : cut,
    });
    if (text.length <= maxCharacters) return text;
  }
  return JSON.stringify({ data: null, cut: ["the whole result: too large"] });
}

function stringify(value: unknown): string | undefined {
  if (value === undefined) return "null";
  if (value instanceof Uint8Array) return JSON.stringify(`${value.byteLength} bytes of binary data`);
  try {
    return JSON.stringify(value) ?? "null";
  } catch {
    return undefined;
  }
}

function shrink(value: unknown, limits: Limits, pointer: string, depth: number, cut: string[]): unknown {
  const place = pointer === "" ? "the result" : pointer;
  if (typeof value === "string") {
    if (value.length <= limits.characters) return value;
    cut.push(`${place}: ${limits.characters} of ${value.length} characters`);
    return value.slice(0, limits.characters);
  }
  if (value instanceof Uint8Array) return `${value.byteLength} bytes of binary data`;
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) {
    if (depth >= limits.depth) return leaveOut(place, `a list of ${value.length}`, cut);
    if (value.length > limits.items) cut.push(`${place}: ${limits.items} of ${value.length} items`);
    return value
      .slice(0, limits.items)
      .map((item, i) => shrink(item, limits, `${pointer}/${i}`, depth + 1, cut));
  }
  if (isObject(value)) {
    const entries = Object.entries(value);
    if (depth >= limits.depth) return leaveOut(place, `an object of ${entries.length}`, cut);
    if (entries.length > limits.items * 4)
      cut.push(`${place}: ${limits.items * 4} of ${entries.length} properties`);
    return Object.fromEntries(
      entries
        .slice(0, limits.items * 4)
        .map(([name, item]) => [
          name.slice(0, 200),
          shrink(item, limits, `${pointer}/${name.slice(0, 60)}`, depth + 1, cut),
        ]),
    );
  }
  return typeof value === "function" || typeof value === "symbol" || value === undefined ? null : value;
}

function leaveOut(place: string, what: string, cut: string[]): null {
  cut.push(`${place}: ${what} left out`);
  return null;
}

/** Only the properties that dotted paths lead to (`owner.city`); lists on the way are passed through. */
export function project(value: unknown, paths: readonly string[]): unknown {
  return projectKeys(
    value,
    paths.map((path) => path.split(".")),
  );
}

function projectKeys(value: unknown, paths: readonly (readonly string[])[]): unknown {
  if (Array.isArray(value)) return value.map((item) => projectKeys(item, paths));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).flatMap(([key, item]): [string, unknown][] => {
    const inner = paths.filter(([first]) => first === key).map((path) => path.slice(1));
    if (inner.length === 0) return [];
    return [[key, inner.some((path) => path.length === 0) ? item : projectKeys(item, inner)]];
  });
  return Object.fromEntries(entries);
}
