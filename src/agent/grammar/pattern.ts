/** Bounds on a pattern and its repetitions: a document may be hostile, and each repetition costs rules. */
const maxPattern = 400;
const openRun = 60;
const maxDepth = 12;

class Unsupported extends Error {}

/**
 * The inside of a JSON string (without quotes) that matches a simple regular expression, as a GBNF expression: literals,
 * classes, groups, alternatives, quantifiers, and anchors at the ends. Undefined for anything else (look-around,
 * back-references, Unicode properties), and for what JSON would have to escape. An open end (no `^`, no `$`) is closed:
 * the expression may allow less than the pattern, never more.
 */
export function patternGrammar(pattern: string): string | undefined {
  if (pattern.length > maxPattern) return undefined;
  try {
    return new PatternReader(pattern).all();
  } catch (error) {
    if (error instanceof Unsupported) return undefined;
    throw error;
  }
}

/** Ranges of code points, both ends included. */
type Ranges = [number, number][];

const codes = (text: string): Ranges => [...text].map((char) => [point(char), point(char)]);
const point = (char: string): number => char.codePointAt(0) ?? 0;
const digits: Ranges = [[48, 57]];
const word: Ranges = [...digits, [65, 90], [95, 95], [97, 122]];
/** What a JSON string holds unescaped, in ASCII, without the characters that begin a tag. */
const plain: Ranges = [
  [32, 33],
  [35, 59],
  [61, 91],
  [93, 126],
];

class PatternReader {
  #at = 0;
  #depth = 0;

  constructor(private readonly pattern: string) {}

  all(): string {
    const expression = this.#alternatives();
    if (this.#at < this.pattern.length) throw new Unsupported();
    return expression;
  }

  #alternatives(): string {
    if (++this.#depth > maxDepth) throw new Unsupported();
    const options = [this.#sequence()];
    while (this.pattern[this.#at] === "|") {
      this.#at++;
      options.push(this.#sequence());
    }
    this.#depth--;
    return options.length === 1 ? (options[0] ?? "") : `(${options.join(" | ")})`;
  }

  #sequence(): string {
    const parts: string[] = [];
    while (this.#at < this.pattern.length && !"|)".includes(this.pattern[this.#at] ?? "")) {
      const atom = this.#atom();
      if (atom === "") continue;
      const [low, high] = this.#quantifier();
      if (high > 0) parts.push(low === 1 && high === 1 ? atom : `${atom}{${low},${high}}`);
    }
    return parts.length === 0 ? '""' : parts.join(" ");
  }

  #quantifier(): [number, number] {
    const match = /^(?:([*+?])|\{(\d{1,3})(?:(,)(\d{0,3}))?\})\??/.exec(this.pattern.slice(this.#at));
    if (match === null) return [1, 1];
    this.#at += match[0].length;
    const [, sign, low = "0", comma, high = ""] = match;
    if (sign === "?") return [0, 1];
    const least = sign === "+" ? 1 : sign === "*" ? 0 : Number(low);
    if (sign === undefined && comma === undefined) return [least, least];
    return [least, high === "" ? least + openRun : Math.min(Number(high), least + 4 * openRun)];
  }

  #atom(): string {
    const char = this.pattern[this.#at++] ?? "";
    // An anchor elsewhere than at an end matches nothing, or what only multi-line mode would.
    if (char === "^" && /(?:^|[(|])$/.test(this.pattern.slice(0, this.#at - 1))) return "";
    if (char === "$" && /^(?:$|[)|])/.test(this.pattern.slice(this.#at))) return "";
    if (char === ".") return setOf(plain);
    if (char === "[") return this.#set();
    if (char === "\\") return setOf(this.#escape());
    if (char === "(") {
      if (this.pattern[this.#at] === "?") {
        const named = /^\?(?::|<[A-Za-z]\w*>)/.exec(this.pattern.slice(this.#at));
        if (named === null) throw new Unsupported();
        this.#at += named[0].length;
      }
      const inside = this.#alternatives();
      if (this.pattern[this.#at++] !== ")") throw new Unsupported();
      return `(${inside})`;
    }
    if ("^$*+?{".includes(char)) throw new Unsupported();
    return setOf(codes(char));
  }

  #escape(): Ranges {
    const char = this.pattern[this.#at++] ?? "";
    if (char === "d") return digits;
    if (char === "w") return word;
    if (char === "s") return codes(" ");
    if (char === "D") return without(digits);
    if (char === "W") return without(word);
    if (char === "S") return without(codes(" "));
    if (/[A-Za-z0-9]/.test(char)) throw new Unsupported();
    return codes(char);
  }

  #set(): string {
    const negated = this.pattern[this.#at] === "^";
    if (negated) this.#at++;
    const ranges: Ranges = [];
    while (this.#at < this.pattern.length && this.pattern[this.#at] !== "]") {
      const from = this.#member();
      const dash = this.pattern[this.#at] === "-" && this.pattern[this.#at + 1] !== "]";
      if (!dash) {
        ranges.push(...from);
        continue;
      }
      this.#at++;
      const to = this.#member();
      const [low] = from[0] ?? [Number.NaN];
      const [high] = to[0] ?? [Number.NaN];
      if (from.length !== 1 || to.length !== 1 || !(low <= high)) throw new Unsupported();
      ranges.push([low, high]);
    }
    if (this.pattern[this.#at++] !== "]") throw new Unsupported();
    return setOf(negated ? without(ranges) : ranges);
  }

  #member(): Ranges {
    const char = String.fromCodePoint(this.pattern.codePointAt(this.#at) ?? 0);
    this.#at += char.length;
    return char === "\\" ? this.#escape() : codes(char);
  }
}

function without(ranges: Ranges): Ranges {
  return plain
    .flatMap(([low, high]) => Array.from({ length: high - low + 1 }, (_, i) => low + i))
    .filter((code) => !ranges.some(([low, high]) => code >= low && code <= high))
    .map((code) => [code, code]);
}

/** A GBNF class of the members that a JSON string can hold as they are. */
function setOf(ranges: Ranges): string {
  const kept = ranges.flatMap(([low, high]): Ranges => {
    if (low > 126) return [[low, high]];
    const ascii = plain.flatMap(([from, to]): Ranges => {
      const [a, b] = [Math.max(low, from), Math.min(high, to)];
      return a <= b ? [[a, b]] : [];
    });
    return high > 126 ? [...ascii, [Math.max(low, 160), high]] : ascii;
  });
  if (kept.length === 0) throw new Unsupported();
  const text = kept.map(([low, high]) => (low === high ? member(low) : `${member(low)}-${member(high)}`));
  return `[${text.join("")}]`;
}

function member(code: number): string {
  const char = String.fromCodePoint(code);
  if (/[\w ]/.test(char)) return char;
  return code <= 0xff
    ? `\\x${code.toString(16).padStart(2, "0")}`
    : code <= 0xffff
      ? `\\u${code.toString(16).padStart(4, "0")}`
      : `\\U${code.toString(16).padStart(8, "0")}`;
}
