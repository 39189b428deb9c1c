/**
 * Does a pattern fit a whole text? `*` stands for any characters, none included; upper and lower case are the same. Takes
 * time in proportion to both lengths, whatever the pattern.
 */
export function fits(pattern: string, text: string): boolean {
  const p = pattern.toLowerCase();
  const t = text.toLowerCase();
  let [i, j] = [0, 0];
  // Where the last `*` stands, and how much of the text it has taken.
  let [star, taken] = [-1, 0];
  while (j < t.length) {
    if (p[i] === "*") {
      star = i++;
      taken = j;
    } else if (i < p.length && p[i] === t[j]) {
      i++;
      j++;
    } else if (star >= 0) {
      i = star + 1;
      j = ++taken;
    } else return false;
  }
  while (p[i] === "*") i++;
  return i === p.length;
}
