const maxLiteral = 2_000;

/**
 * A regular expression that JavaScript accepts in unicode mode (as JSON Schema asks), as close to the given one as
 * possible: what other dialects write in another way, needless escapes and lone braces are mended. Undefined where none can
 * be made.
 */
export function unicodePattern(pattern: string): string | undefined {
  // `/^a$/` is a literal of JavaScript or Perl; as a pattern it would fit nothing.
  const literal = pattern.length > maxLiteral ? null : /^\/(\^.*|.*\$)\/([a-z]*)$/s.exec(pattern);
  if (literal !== null) return /[^gmu]/.test(literal[2] ?? "") ? undefined : unicodePattern(literal[1] ?? "");
  if (compiles(pattern)) return pattern;
  const mended = mend(pattern);
  return mended !== undefined && compiles(mended) ? mended : undefined;
}

function compiles(pattern: string): boolean {
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}

/** Classes of POSIX, as they stand inside brackets. */
const posix: Record<string, string> = {
  alpha: "a-zA-Z",
  digit: "0-9",
  alnum: "a-zA-Z0-9",
  upper: "A-Z",
  lower: "a-z",
  space: "\\s",
  blank: " \\t",
  word: "\\w",
  xdigit: "0-9A-Fa-f",
  punct: "!-\\/:-@\\[-`\\{-~",
};
/** Escapes of other dialects: outside of brackets, and inside of them. */
const escapes: Record<string, [string, string | undefined]> = {
  A: ["^", undefined],
  Z: ["$", undefined],
  z: ["$", undefined],
  h: ["[ \\t]", " \\t"],
  R: ["(?:\\r\\n|[\\n-\\r\\x85\\u2028\\u2029])", undefined],
  e: ["\\x1b", "\\x1b"],
  a: ["\\x07", "\\x07"],
};

function mend(pattern: string): string | undefined {
  let result = "";
  let inClass = false;
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i] as string;
    const next = pattern[i + 1];
    const rest = pattern.slice(i, i + 24);
    const before = pattern.slice(Math.max(0, i - 24), i);
    if (char === "\\" && next !== undefined) {
      i++;
      const known = /[\^$\\.*+?()[\]{}|/dDwWsSbBfnrtvcxukpP0-9]/.test(next) || (next === "-" && inClass);
      const other = Object.hasOwn(escapes, next) ? escapes[next]?.[inClass ? 1 : 0] : undefined;
      if (known) result += char + next;
      else if (other !== undefined) result += other;
      // A letter that is escaped means something, and nobody here knows what.
      else if (/[A-Za-z]/.test(next)) return undefined;
      else result += next;
    } else if (inClass) {
      const named = /^\[:([a-z]+):\]/.exec(rest)?.[1];
      if (named !== undefined && Object.hasOwn(posix, named)) {
        result += posix[named];
        i += named.length + 3;
      } else if (char === "-" && (/\\[dDwWsS]$/.test(before) || /^-\\[dDwWsS]/.test(rest)) && next !== "]") {
        // `[\w-.]`: no range begins or ends with a class.
        result += "\\-";
      } else {
        if (char === "]") inClass = false;
        result += char;
      }
    } else if (char === "[") {
      inClass = true;
      result += char;
    } else if (rest.startsWith("(?P<")) {
      result += "(?<";
      i += 3;
    } else if (rest.startsWith("(?>")) {
      // Without the promise not to look back, which changes the time and hardly ever the texts.
      result += "(?:";
      i += 2;
    } else if (/^\{,\d+\}/.test(rest)) {
      result += "{0";
    } else if (char === "{" && !/^\{\d+(,\d*)?\}/.test(rest)) {
      result += "\\{";
    } else if (char === "}" && !/\{(?:\d+(?:,\d*)?|,\d+)$/.test(before)) {
      result += "\\}";
    } else if (char === "]") {
      result += "\\]";
    } else if (char === "+" && /(?:[^\\][*+?]|\{\d+(,\d*)?\})$/.test(before)) {
      // Possessive: the same.
    } else {
      result += char;
    }
  }
  return result;
}
