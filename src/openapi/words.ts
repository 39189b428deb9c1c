/** Splits text and identifiers (camelCase, snake_case, paths, digits) into lower-case words. */
export function wordsOf(text: string): string[] {
  const split = text
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f]/g, "")
    .replaceAll(/(\p{Ll}|\d)(\p{Lu})/gu, "$1 $2")
    .replaceAll(/(\p{Lu}+)(\p{Lu}\p{Ll})/gu, "$1 $2");
  return (split.match(/[\p{L}\p{N}]+/gu) ?? []).map((word) => word.toLowerCase());
}

/** A word without the endings of the plural and of verbs, so that `pets` meets `pet`, and `updating` and `updated` meet. */
export function stem(word: string): string {
  const singular = withoutPlural(word);
  const verb = /^(.*[aeiouy].*[^aeiou])(?:ing|ed)$/.exec(singular)?.[1];
  if (verb !== undefined && verb.length > 2) return /([^aeioulsz])\1$/.test(verb) ? verb.slice(0, -1) : verb;
  // So that `update` meets `updat(ing)`.
  return singular.length > 4 && /[^aeiou]e$/.test(singular) ? singular.slice(0, -1) : singular;
}

function withoutPlural(word: string): string {
  if (word.length > 4 && word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (word.length > 4 && /(sses|xes|ches|shes)$/.test(word)) return word.slice(0, -2);
  if (word.length > 3 && word.endsWith("s") && !/(ss|us|is)$/.test(word)) return word.slice(0, -1);
  return word;
}
