import { defineCommand } from "citty";
import pc from "picocolors";
import {
  buildToolMenu,
  type Diagnostic,
  loadOpenApi,
  renderCompact,
  renderFull,
  type Tool,
  type ToolMenu,
} from "../openapi/index.js";
import { SpecdojoError } from "../util/errors.js";

/** `specdojo menu FILE`: what the tools of a document are, and what is wrong with it. */
export const menuCommand = defineCommand({
  meta: { name: "menu", description: "Show the tools of an OpenAPI document, by domain, and its faults" },
  args: {
    file: { type: "positional", description: "OpenAPI document (YAML or JSON, also gzip)", required: true },
    json: { type: "boolean", description: "Print JSON", default: false },
  },
  async run({ args }) {
    try {
      const menu = buildToolMenu(await loadOpenApi(args.file));
      process.stdout.write(args.json ? `${menuJson(menu)}\n` : menuText(menu));
    } catch (error) {
      if (!SpecdojoError.isInstance(error)) throw error;
      process.stderr.write(
        `${visible(error.message)}\n${error.remedy === undefined ? "" : `${error.remedy}\n`}`,
      );
      process.exitCode = 1;
    }
  },
});

/** The machine form: tools and diagnostics. */
export function menuJson(menu: ToolMenu): string {
  return JSON.stringify({
    tools: menu.tools.map(({ name, method, path, domain, description, parameters }) => ({
      name,
      method: method.toUpperCase(),
      path,
      domain,
      description,
      parameters,
    })),
    diagnostics: menu.diagnostics,
  });
}

/** The form for a person: a block per domain, one line per tool, then the diagnostics. */
export function menuText(menu: ToolMenu): string {
  const byName = new Map(menu.tools.map((tool) => [tool.name, tool]));
  const compact = menu.tools.reduce((sum, tool) => sum + tokens(renderCompact(tool)), 0);
  const full = menu.tools.reduce((sum, tool) => sum + tokens(renderFull(tool)), 0);
  const lines = [
    `${pc.bold(visible(menu.title) || "(no title)")} ${visible(menu.version)}`.trimEnd(),
    `${count(menu.tools.length, "tool")} in ${count(menu.domains.length, "domain")}; ` +
      `about ${number(compact)} tokens compact, ${number(full)} as JSON Schema`,
  ];
  for (const domain of menu.domains) {
    const text = domain.description === "" ? "" : pc.dim(` - ${visible(domain.description.slice(0, 100))}`);
    lines.push("", `${pc.bold(visible(domain.name))} (${domain.tools.length})${text}`);
    for (const name of domain.tools) {
      const tool = byName.get(name);
      if (tool !== undefined)
        lines.push(
          `  ${mark(tool)} ${visible(renderCompact(tool))} ${pc.dim(`~${tokens(renderCompact(tool))}`)}`,
        );
    }
  }
  lines.push("", pc.dim("r reads only  w writes  d destroys  ~n tokens, estimated  * deprecated"));
  lines.push(...diagnosticLines(menu.diagnostics));
  return `${lines.join("\n")}\n`;
}

function mark(tool: Tool): string {
  const { readOnly, destructive } = tool.annotations;
  const kind = readOnly ? pc.green("r") : destructive ? pc.red("d") : pc.yellow("w");
  return `${kind}${tool.deprecated ? "*" : " "}`;
}

const shown = 10;

function diagnosticLines(diagnostics: readonly Diagnostic[]): string[] {
  const lines: string[] = [];
  const colors = { error: pc.red, warning: pc.yellow, info: pc.dim };
  for (const severity of ["error", "warning", "info"] as const) {
    const found = diagnostics.filter((diagnostic) => diagnostic.severity === severity);
    if (found.length === 0) continue;
    const name = severity === "info" ? "note" : severity;
    lines.push("", colors[severity](count(found.length, name)));
    for (const { code, pointer, message, remedy } of found.slice(0, shown)) {
      lines.push(`  ${code} ${pc.dim(visible(pointer) || "/")}`, `    ${visible(message)}`);
      if (remedy !== undefined) lines.push(`    ${pc.dim(visible(remedy))}`);
    }
    if (found.length > shown) lines.push(`  and ${found.length - shown} more (all of them with --json)`);
  }
  return lines;
}

/** Text of the document cannot move the cursor or colour the terminal. */
function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, (char) => (char === "\n" ? char : " "));
}

/** An estimate that needs no tokenizer: words and marks, long words in pieces. */
function tokens(text: string): number {
  let sum = 0;
  for (const piece of text.match(/[\p{L}]+|\d+|[^\s\p{L}\d]/gu) ?? []) sum += Math.ceil(piece.length / 6);
  return sum;
}

function count(value: number, noun: string): string {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
