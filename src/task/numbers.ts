const small = new Map(
  (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen " +
    "eighteen nineteen"
  )
    .split(" ")
    .map((word, value): [string, number] => [word, value]),
);
const tens = new Map(
  "twenty thirty forty fifty sixty seventy eighty ninety"
    .split(" ")
    .map((word, index): [string, number] => [word, (index + 2) * 10]),
);
const ordinals = new Map(
  "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
    .split(" ")
    .map((word, index): [string, number] => [word, index + 1]),
);
const scales = new Map([
  ["hundred", 100],
  ["thousand", 1000],
  ["million", 1e6],
  ["billion", 1e9],
  ["k", 1000],
  ["m", 1e6],
]);

const units =
  "km|kg|g|m|cm|mm|mi|lb|lbs|oz|ft|in|l|ml|min|mins|h|hr|hrs|s|sec|secs|ms|d|w|px|b|kb|mb|gb|tb|usd|eur|gbp|am|pm|st|nd|rd|th|x|k|c|f";
/** Sign, digits with grouped thousands or plain, fraction, exponent; then a unit or the end of the word. */
const numeral = new RegExp(
  `(?<![\\p{L}\\p{N}_.]|\\d[/:])([-\\u2212+]?)[$\\u20ac\\u00a3#]?(\\d{1,3}(?:,\\d{3})+(?!\\d)|\\d+)(\\.\\d+)?(e[-+]?\\d{1,3})?` +
    `(?=(${units})?(?![\\p{L}\\p{N}_]))(?!\\.\\d|[/:]\\d)`,
  "gu",
);
const isoDate = /\d{4}-\d{2}-\d{2}(?:t[\d:.]+(?:z|[+-]\d{2}:?\d{2})?)?/g;

/** Values of the numerals and number words in a lower-case English text. Signs and fractions count: `-5` is not `5`. */
export function numbersIn(text: string): Set<number> {
  const numbers = new Set<number>();
  const plain = text.replace(isoDate, (date) => " ".repeat(date.length));
  for (const match of plain.matchAll(numeral)) {
    const [whole, sign = "", digits = "", fraction = "", exponent = ""] = match;
    const before = plain.slice(Math.max(0, match.index - 10), match.index);
    // A hyphen after a word or a number joins ("5-10", "room-5"); only a free one is a sign.
    const negative = (sign !== "" && sign !== "+") || /(?:\bminus|\bnegative) ?$/.test(before);
    const size = Number(`${digits.replaceAll(",", "")}${fraction}${exponent}`);
    const value = negative ? -size : size;
    const next = /^\s?(hundred|thousand|million|billion|k|m)\b/.exec(plain.slice(match.index + whole.length));
    const scale = scales.get(next?.[1] ?? "");
    if (scale !== undefined) numbers.add(Number((value * scale).toPrecision(15)));
    // "2 million" is not 2, but "5 m" may be metres.
    if (scale === undefined || next?.[1] === "k" || next?.[1] === "m") numbers.add(value);
  }
  for (const value of spelledNumbers(plain)) numbers.add(value);
  return numbers;
}

function spelledNumbers(text: string): number[] {
  const found: number[] = [];
  const words = text.match(/[a-z]+|[^a-z\s-]/g) ?? [];
  let total = 0;
  let current: number | undefined;
  let negative = false;
  const flush = (): void => {
    if (current !== undefined || total > 0) {
      const value = total + (current ?? 0);
      found.push(negative ? -value : value);
    }
    total = 0;
    current = undefined;
    negative = false;
  };
  for (const [index, word] of words.entries()) {
    const unit = small.get(word);
    const ten = tens.get(word);
    const ordinal = ordinals.get(word);
    const scale = word.length > 1 ? scales.get(word) : undefined;
    const spelled = current !== undefined || total > 0;
    if (unit !== undefined) {
      // "five six" are two numbers, "twenty six" is one.
      if (
        current !== undefined &&
        !(current % 100 === 0 || (current % 100 >= 20 && current % 10 === 0 && unit < 10))
      )
        flush();
      current = (current ?? 0) + unit;
    } else if (ten !== undefined) {
      if (current !== undefined && current % 100 !== 0) flush();
      current = (current ?? 0) + ten;
    } else if (scale !== undefined && (spelled || words[index - 1] === "a")) {
      if (scale === 100) current = (current ?? 1) * 100;
      else {
        total += (current ?? 1) * scale;
        current = undefined;
      }
    } else if (word === "dozen") {
      current = (current ?? 1) * 12;
    } else if (word === "and" && spelled && (current ?? 0) % 100 === 0) {
      // "two hundred and five"
    } else {
      flush();
      if (ordinal !== undefined) found.push(ordinal);
      negative = word === "minus" || word === "negative";
    }
  }
  flush();
  return found;
}
