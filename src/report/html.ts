/** Markup that needs no escaping any more. Only `html` and `raw` make it. */
export interface Markup {
  readonly markup: string;
}

const named: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/**
 * Text as inert HTML, for element content and quoted attributes. Control characters and the ones that turn the
 * direction of writing around (which can make a line read as another one) are shown as their code points.
 */
export function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, (char) => named[char] ?? char)
    .replace(
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
      /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
      (char) => `[U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`,
    );
}

function isMarkup(value: unknown): value is Markup {
  return typeof value === "object" && value !== null && "markup" in value;
}

type Part = string | number | Markup | readonly Part[] | undefined | null | false;

function render(part: Part): string {
  if (part === undefined || part === null || part === false) return "";
  if (typeof part === "string" || typeof part === "number") return escapeHtml(String(part));
  return isMarkup(part) ? part.markup : part.map(render).join("");
}

/** Markup from a template; every value in it is escaped unless it is markup itself. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Markup {
  return { markup: strings.reduce((text, string, i) => text + render(parts[i - 1]) + string) };
}
