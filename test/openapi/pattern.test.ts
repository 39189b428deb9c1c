import { describe, expect, test } from "vitest";
import { unicodePattern } from "../../src/openapi/pattern.js";

/** A pattern as documents have it, a text that it fits, and one that it does not fit. */
const patterns: [pattern: string, fits: string, not: string][] = [
  ["^[a-z]+$", "ab", "a1"],
  // Needless escapes and hyphens beside a class
  ["^[\\w-\\.]+@\\w+$", "a-b.c@d", "a b@c"],
  ["^[\\.-\\w]+$", "a-.", " "],
  ["^\\#\\@\\!$", "#@!", "#"],
  ["^a\\_b$", "a_b", "ab"],
  // Perl, Java, PCRE, Python, POSIX
  ["/^abc$/", "abc", "/abc/"],
  ["/^abc$/g", "abc", "/abc/g"],
  ["\\Aab\\Z", "ab", "xab"],
  ["^a\\hb$", "a\tb", "ahb"],
  ["^a[\\h]b$", "a b", "ahb"],
  ["^a++b$", "aab", "b"],
  ["^\\++$", "++", "a"],
  ["^(?>a|ab)c$", "ac", "b"],
  ["^(?P<year>\\d{4})$", "2024", "24"],
  ["^[[:alpha:]_]+$", "a_B", "a1"],
  ["^[[:digit:][:upper:]]{2}$", "1A", "1a"],
  ["^a{,2}$", "aa", "aaa"],
  ["^{x}$", "{x}", "x"],
  ["^{}$", "{}", "x"],
  ["^a]$", "a]", "a"],
];

describe("patterns of other dialects", () => {
  test.each(patterns)("%s", (pattern, fitting, other) => {
    const usable = unicodePattern(pattern);
    expect(usable).toBeDefined();
    const expression = new RegExp(usable ?? "", "u");
    expect(expression.test(fitting)).toBe(true);
    expect(expression.test(other)).toBe(false);
  });

  test.each(["(?i)^abc$", "/^abc$/i", "(", "a\\Qb\\E", "\\p{IsGreek}", "(?P=year)"])(
    "none for %s",
    (pattern) => {
      expect(unicodePattern(pattern)).toBeUndefined();
    },
  );

  test("long patterns take little", () => {
    for (const piece of ["[\\w-", "/^", "a++", "{,5}", "}", "-"])
      expect(unicodePattern(`${piece.repeat(100_000)}(`)).toBeUndefined();
  });
});
