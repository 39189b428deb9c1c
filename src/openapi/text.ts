/** Characters of a description; what is longer is cut at a word. */
const budget = 1_000;

/** Summary and description of an operation as one plain text: no markup, no line breaks, within a budget. */
export function plainDescription(summary: unknown, description: unknown): string {
  const head = typeof summary === "string" ? plainText(summary) : "";
  const body = typeof description === "string" ? plainText(description) : "";
  if (head === "") return cut(body);
  if (body === "") return cut(head);
  const bare = head.replace(/[.!?:;]+$/, "");
  if (body.toLowerCase().startsWith(bare.toLowerCase())) return cut(body);
  return cut(`${/[.!?:;]$/.test(head) ? head : `${head}.`} ${body}`);
}

/** Characters of a text that are looked at: the budget, and room for markup. */
const maxRead = 3_000;

function plainText(text: string): string {
  // Most texts have no markup; looking is cheaper than replacing.
  const head = text.slice(0, maxRead);
  return (/[<>&*_`[#+-]|[^ -~]/.test(head) ? withoutMarkup(head) : head).replaceAll(/ {2,}/g, " ").trim();
}

function withoutMarkup(text: string): string {
  return text
    .replaceAll(/<!--[^>]{0,300}-->/g, " ")
    .replaceAll(/<\/?[A-Za-z][^<>]{0,300}>/g, " ")
    .replaceAll(/!?\[([^[\]]{0,300})\]\([^()\s]{0,1000}\)/g, "$1")
    .replaceAll(/^[ \t]{0,3}(?:#{1,6}|>|[-*+])[ \t]+/gm, "")
    .replaceAll(/(\*\*|__|`+)/g, "")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&nbsp;", " ")
    .replaceAll("&amp;", "&")
    .replaceAll(unprintable, " ")
    .replaceAll(/\s+/g, " ");
}

/** Control characters, and those that turn the direction of writing: a terminal or a prompt must not obey a document. */
const unprintable = /[\p{Cc}\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu;

/** One printable line, markup left as it is. */
export function plainLine(text: string): string {
  return text.replaceAll(unprintable, " ").replaceAll(/\s+/g, " ").trim();
}

function cut(text: string): string {
  if (text.length <= budget) return text;
  const head = text.slice(0, budget);
  const space = head.lastIndexOf(" ");
  return `${head
    .slice(0, space > budget / 2 ? space : budget)
    .replace(/[\uD800-\uDBFF]$/, "")
    .trimEnd()}…`;
}

/** A part of a URL without the white space and control characters that a request line cannot have. */
export function withoutSpace(url: string): string {
  return url.replaceAll(/[\p{Cc}\s]/gu, encodeURIComponent);
}
