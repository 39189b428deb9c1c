/**
 * A regular expression that JavaScript accepts in unicode mode (as JSON Schema asks), as close to the given one as
 * possible: needless escapes and lone braces, which other dialects allow, are mended. Undefined where none can be made.
 */
export function unicodePattern(pattern: string): string | undefined {
  if (compiles(pattern)) return pattern;
  const mended = mend(pattern);
  return compiles(mended) ? mended : undefined;
}

function compiles(pattern: string): boolean {
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}

function mend(pattern: string): string {
  let result = "";
  let inClass = false;
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i] as string;
    const next = pattern[i + 1];
    if (char === "\\" && next !== undefined) {
      i++;
      if (next === "A" && !inClass) result += "^";
      else if ((next === "Z" || next === "z") && !inClass) result += "$";
      else if (/[\^$\\.*+?()[\]{}|/dDwWsSbBfnrtvcxukpP0-9]/.test(next) || (next === "-" && inClass))
        result += char + next;
      else result += next;
    } else if (inClass) {
      if (char === "]") inClass = false;
      result += char;
    } else if (char === "[") {
      inClass = true;
      result += char;
    } else if (char === "{" && !/^\{\d+(,\d*)?\}/.test(pattern.slice(i, i + 24))) {
      result += "\\{";
    } else if (char === "}" && !/\{\d+(,\d*)?$/.test(pattern.slice(Math.max(0, i - 24), i))) {
      result += "\\}";
    } else if (char === "]") {
      result += "\\]";
    } else {
      result += char;
    }
  }
  return result;
}
