import type { Random } from "../util/random.js";

/** Longest run that an open quantifier (`*`, `+`, `{n,}`) is drawn to, beyond its minimum. */
const openRun = 5;
/** Bound on the text of a pattern and on what is made from it: a document may be hostile. */
const maxPattern = 300;
const maxOutput = 400;
const maxSteps = 5000;

const classes = {
  d: "0123456789",
  w: "abcdefghijklmnopqrstuvwxyz0123456789",
  s: " ",
  ".": "abcdefghijklmnopqrstuvwxyz",
} as const;
const printable = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join("");

class Unsupported extends Error {}

/**
 * A text that matches a simple regular expression: literals, classes, groups, alternatives, quantifiers and anchors.
 * `null` for anything else (look-around, back-references, Unicode properties). The pattern is read, never compiled.
 */
export function patternText(pattern: string, random: Random, least = 0, most = Infinity): string | null {
  if (pattern.length > maxPattern) return null;
  for (let attempt = 0; attempt < 8; attempt++) {
    const reader = new PatternReader(pattern, random, attempt);
    try {
      const text = reader.all();
      if (text.length >= least && text.length <= most) return text;
    } catch (error) {
      if (error instanceof Unsupported) return null;
      throw error;
    }
  }
  return null;
}

class PatternReader {
  private at = 0;
  private steps = 0;
  private depth = 0;

  constructor(
    private readonly pattern: string,
    private readonly random: Random,
    private readonly stretch: number,
  ) {}

  all(): string {
    const text = this.alternatives();
    if (this.at < this.pattern.length) throw new Unsupported();
    return text;
  }

  private alternatives(): string {
    if (++this.depth > 20) throw new Unsupported();
    const options = [this.sequence()];
    while (this.pattern[this.at] === "|") {
      this.at++;
      options.push(this.sequence());
    }
    this.depth--;
    return this.random.pick(options);
  }

  private sequence(): string {
    let text = "";
    while (this.at < this.pattern.length && !"|)".includes(this.pattern[this.at] ?? "")) {
      const start = this.at;
      let part = this.atom();
      const end = this.at;
      const [low, high] = this.quantifier();
      const after = this.at;
      const count = this.random.int(low, Math.min(high, low + openRun + this.stretch * 4));
      if (count === 0) part = "";
      // Each repetition is drawn anew from the same piece of the pattern.
      for (let i = 1; i < count; i++) {
        this.at = start;
        part += this.atom();
        if (part.length > maxOutput) throw new Unsupported();
      }
      this.at = count > 1 ? after : Math.max(end, after);
      text += part;
      if (text.length > maxOutput) throw new Unsupported();
    }
    return text;
  }

  private quantifier(): [number, number] {
    const rest = this.pattern.slice(this.at);
    const match = /^(?:([*+?])|\{(\d{1,3})(?:(,)(\d{0,3}))?\})\??/.exec(rest);
    if (match === null) return [1, 1];
    this.at += match[0].length;
    const [, sign, low = "0", comma, high = ""] = match;
    if (sign === "*") return [0, Infinity];
    if (sign === "+") return [1, Infinity];
    if (sign === "?") return [0, 1];
    const least = Number(low);
    return [least, comma === undefined ? least : high === "" ? Infinity : Math.max(least, Number(high))];
  }

  private atom(): string {
    if (++this.steps > maxSteps) throw new Unsupported();
    const char = this.pattern[this.at++] ?? "";
    if (char === "^" || char === "$") return "";
    if (char === ".") return this.random.pick([...classes["."]]);
    if (char === "\\") return this.random.pick([...this.escape()]);
    if (char === "[") return this.set();
    if (char === "(") {
      if (this.pattern[this.at] === "?") {
        const named = /^\?(?::|<[A-Za-z]\w*>)/.exec(this.pattern.slice(this.at));
        if (named === null) throw new Unsupported();
        this.at += named[0].length;
      }
      const text = this.alternatives();
      if (this.pattern[this.at++] !== ")") throw new Unsupported();
      return text;
    }
    if ("*+?{".includes(char)) throw new Unsupported();
    return char;
  }

  /** The characters that an escape stands for. */
  private escape(): string {
    const char = this.pattern[this.at++] ?? "";
    if (char === "d" || char === "w" || char === "s") return classes[char];
    if (/[\^$\\.*+?()[\]{}|/\-_@:;,!#%&=<>"'~` ]/.test(char)) return char;
    throw new Unsupported();
  }

  private set(): string {
    const negated = this.pattern[this.at] === "^";
    if (negated) this.at++;
    let chars = "";
    while (this.at < this.pattern.length && this.pattern[this.at] !== "]") {
      const char = this.pattern[this.at++] ?? "";
      if (char === "\\") {
        chars += this.escape();
        continue;
      }
      const dash =
        this.pattern[this.at] === "-" &&
        this.pattern[this.at + 1] !== "]" &&
        this.at + 1 < this.pattern.length;
      if (!dash) {
        chars += char;
        continue;
      }
      let end = this.pattern[this.at + 1] ?? "";
      this.at += 2;
      if (end === "\\") end = this.escape();
      const [from, to] = [char.charCodeAt(0), end.charCodeAt(0)];
      if (end.length !== 1 || to < from || to - from > 200) throw new Unsupported();
      for (let code = from; code <= to; code++) chars += String.fromCharCode(code);
    }
    if (this.pattern[this.at++] !== "]") throw new Unsupported();
    const allowed = negated ? [...printable].filter((char) => !chars.includes(char)) : [...chars];
    if (allowed.length === 0) throw new Unsupported();
    // Letters and digits where the class has them: they can be said.
    const speakable = allowed.filter((char) => /[a-zA-Z0-9]/.test(char));
    return this.random.pick(speakable.length > 0 ? speakable : allowed);
  }
}
