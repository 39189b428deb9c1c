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

function plainText(text: string): string {
  return text
    .slice(0, 20_000)
    .replaceAll(/<!--[^>]*-->/g, " ")
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
    .replaceAll(/\s+/g, " ")
    .trim();
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
