/**
 * The only ways in which text of a document enters generated files: as a string literal, as a quoted property name,
 * as a comment, or reduced to an allow-listed identifier.
 */

// Control characters, line separators, zero-width and bidirectional marks: never written raw, so that a reader sees
// what a compiler sees.
const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A double-quoted JavaScript string literal of printable characters. */
export function stringLiteral(text: string): string {
  return JSON.stringify(text).replace(invisible, (character) => {
    const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
  });
}

/** A property name of a type: bare when it is a plain identifier, else a string literal. */
export function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) && name !== "__proto__" ? name : stringLiteral(name);
}

/**
 * A doc comment, or an empty string for no text. Each line is indented by `indent`; at most `limit` characters of
 * text are kept. Comment ends are broken up, and `@` becomes a full-width one, so that no text is a compiler directive.
 */
export function docComment(text: string, indent: string, limit = 1000): string {
  const clean = text
    .replace(/\r\n?|[\u2028\u2029\u0085]/g, "\n")
    .replace(/\t/g, " ")
    .replace(invisible, (character) => (character === "\n" ? character : ""))
    .replaceAll("@", "\uff20")
    .trim();
  if (clean === "") return "";
  const cut = clean.length > limit ? `${clean.slice(0, limit).trimEnd()} …` : clean;
  const lines = cut
    .replace(/\*+(?=\s*\/)/g, (stars) => `${stars}\\`)
    .replace(/\/(?=\*)/g, "/\\")
    .split(/\n+/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join("")}${indent} */\n`;
}

// Names that would shadow a global type, or that a generated file declares itself.
const taken = new Set(
  (
    "FileArgument Operations Object String Number Boolean BigInt Symbol Function Array ReadonlyArray Record Partial Promise Date " +
    "RegExp Error Map Set Uint8Array Pick Omit Exclude Extract Required Readonly Awaited"
  ).split(" "),
);

/** Gives out distinct PascalCase type names of `[A-Za-z0-9_]`. */
export class TypeNames {
  readonly #used = new Set<string>(taken);

  /** The first free one of the wanted name, the name with `alternative` behind it, and numbered names. */
  allocate(wanted: string, alternative = ""): string {
    const words = wanted.split(/[^A-Za-z0-9_]+/).filter((word) => word !== "");
    const pascal = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
    const base = (/^[A-Za-z_]/.test(pascal) ? pascal : `Type${pascal}`).slice(0, 80);
    for (let i = 0; ; i++) {
      const candidate = i === 0 ? base : i === 1 ? base + alternative : `${base}${alternative}${i}`;
      if (this.#used.has(candidate)) continue;
      this.#used.add(candidate);
      return candidate;
    }
  }
}
