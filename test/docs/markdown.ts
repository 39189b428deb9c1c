import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** All documentation, as paths from the root. */
export const documents = [
  "README.md",
  "AGENTS.md",
  "worker/README.md",
  "worker/base-model/README.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

export const read = (path: string): string => readFileSync(join(root, path), "utf8");

export interface CodeBlock {
  /** `README.md:42`, the line of the opening fence. */
  place: string;
  language: string;
  text: string;
}

export function codeBlocks(path: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { place: string; language: string; lines: string[] } | undefined;
  for (const [index, line] of read(path).split("\n").entries()) {
    const fence = /^```(\w*)/.exec(line);
    if (open !== undefined && line === "```") {
      blocks.push({ place: open.place, language: open.language, text: `${open.lines.join("\n")}\n` });
      open = undefined;
    } else if (open !== undefined) open.lines.push(line);
    else if (fence !== null) open = { place: `${path}:${index + 1}`, language: fence[1] ?? "", lines: [] };
  }
  return blocks;
}

/** Prose: what stands outside of code blocks and comments. */
export const prose = (path: string): string =>
  read(path)
    .replaceAll(/<!--[\s\S]*?-->/g, "")
    .replaceAll(/^```[\s\S]*?^```$/gm, "");

/** The cells of all rows of tables whose first cell is code, without the backticks of that cell. */
export function codeRows(path: string): string[][] {
  return read(path)
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf("|"))
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
    .map(([first = "", ...rest]) => [first.replaceAll("`", ""), ...rest]);
}
