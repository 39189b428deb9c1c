import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { defineCommand } from "citty";
import pc from "picocolors";
import {
  buildToolMenu,
  createFingerprinter,
  createMenuIndex,
  type Diagnostic,
  drawMenu,
  loadOpenApi,
  type MenuOptions,
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
    config: { type: "string", description: "JSON file of a run's configuration; its `menu` counts here" },
    tag: {
      type: "string",
      description: "Only operations with these tags (patterns with *, joined by commas)",
    },
    path: { type: "string", description: "Only these paths" },
    method: { type: "string", description: "Only these HTTP methods" },
    name: { type: "string", description: "Only tools with these names" },
    domain: { type: "string", description: "Only this domain; with --size, draw from it" },
    size: { type: "string", description: "Draw a menu of that many tools, or with --search: show that many" },
    distractors: { type: "string", description: "How many of them are near neighbours; default half" },
    seed: { type: "string", description: "Seed of the draw", default: "0" },
    search: { type: "string", description: "Show the tools that fit a question, best first" },
    fingerprints: { type: "boolean", description: "With --json: a fingerprint per tool", default: false },
    files: { type: "string", description: "Folder whose files the document's references may lead to" },
    hosts: { type: "string", description: "Hosts that its references may lead to, joined by commas" },
    validate: {
      type: "boolean",
      description: "Check the document against the official schema (--no-validate: do not)",
      default: true,
    },
    json: { type: "boolean", description: "Print JSON", default: false },
  },
  async run({ args }) {
    try {
      const options = withFilters(await readMenuOptions(args.config), args);
      const loaded = await loadOpenApi(args.file, {
        validate: args.validate,
        references: {
          ...(args.files === undefined ? {} : { files: args.files }),
          ...(args.hosts === undefined ? {} : { hosts: args.hosts.split(",").map((host) => host.trim()) }),
        },
      });
      const menu = buildToolMenu(loaded, options);
      const shown = choose(menu, args);
      // Who looks for some tools does not ask for the faults of all.
      const isPart = args.search !== undefined || args.size !== undefined;
      for (const part of args.json ? menuJson(shown, args.fingerprints) : [menuText(shown, !isPart)])
        if (!process.stdout.write(part)) await once(process.stdout, "drain");
    } catch (error) {
      if (!SpecdojoError.isInstance(error)) throw error;
      process.stderr.write(
        `${visible(error.message)}\n${error.remedy === undefined ? "" : `${error.remedy}\n`}`,
      );
      process.exitCode = 1;
    }
  },
});

/** `menu` of a configuration file of a run. */
export async function readMenuOptions(path: string | undefined): Promise<MenuOptions> {
  if (path === undefined) return {};
  try {
    const { menu = {} } = JSON.parse(await readFile(path, "utf8")) as { menu?: MenuOptions };
    return menu;
  } catch (cause) {
    throw new SpecdojoError("file-unreadable", `${path} cannot be read as JSON`, {
      place: "--config",
      remedy: "Give the JSON file of a configuration; see docs/configuration.md.",
      cause,
    });
  }
}

interface Choice {
  tag?: string | undefined;
  path?: string | undefined;
  method?: string | undefined;
  name?: string | undefined;
  domain?: string | undefined;
  size?: string | undefined;
  distractors?: string | undefined;
  seed: string;
  search?: string | undefined;
}

/** The filters of the command line come on top of those of the file. */
function withFilters(options: MenuOptions, { tag, path, method, name }: Choice): MenuOptions {
  const lists = { tags: tag, paths: path, methods: method, names: name };
  const given = Object.entries(lists).flatMap(([key, text]) =>
    text === undefined ? [] : [[key, text.split(",").map((one) => one.trim())]],
  );
  return given.length === 0
    ? options
    : { ...options, include: { ...options.include, ...Object.fromEntries(given) } };
}

/** A part of the menu: one domain, a drawn menu, or what a search finds. */
function choose(menu: ToolMenu, { domain, size, distractors, seed, search }: Choice): ToolMenu {
  if (search === undefined && size !== undefined)
    return drawMenu(menu, {
      size: wholeNumber("--size", size),
      seed,
      ...(domain === undefined ? {} : { domain }),
      ...(distractors === undefined ? {} : { distractors: wholeNumber("--distractors", distractors) }),
    });
  let { tools } = menu;
  if (domain !== undefined) {
    tools = tools.filter((tool) => tool.domain === domain);
    if (tools.length === 0)
      throw new SpecdojoError("invalid-option", `No domain is called ${JSON.stringify(domain)}`, {
        place: "--domain",
        remedy: `The domains are: ${menu.domains.map((one) => visible(one.name)).join(", ")}.`,
      });
  }
  if (search !== undefined)
    tools = createMenuIndex({ tools }).search(search, size === undefined ? 10 : wholeNumber("--size", size));
  if (tools === menu.tools) return menu;
  const names = tools.map((tool) => tool.name);
  const domains = [...new Set(tools.map((tool) => tool.domain))].flatMap((name) =>
    menu.domains
      .filter((one) => one.name === name)
      .map((one) => ({ ...one, tools: names.filter((tool) => one.tools.includes(tool)) })),
  );
  return { ...menu, tools, domains };
}

function wholeNumber(option: string, text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new SpecdojoError("invalid-option", `${JSON.stringify(text)} is not a number`, {
    place: option,
    remedy: "Give a whole number.",
  });
}

/** The machine form: tools and diagnostics, then domains. `drawn` where a menu was drawn: what is no distractor. */
export function* menuJson(menu: ToolMenu & { drawn?: string[] }, fingerprints = false): Generator<string> {
  const fingerprint = createFingerprinter();
  // Tool by tool: each has all its schemas, and all of them together may be more than a string can hold.
  let before = '{"tools":[';
  let definitions: { of: object; text: string; tokens: number } | undefined;
  for (const tool of menu.tools) {
    const { $defs, ...schema } = tool.parameters;
    // Definitions that tools share are written and counted once: with many cycles they are nearly all there is.
    if ($defs !== undefined && definitions?.of !== $defs) {
      const text = `,"$defs":${JSON.stringify($defs)}`;
      definitions = { of: $defs, text, tokens: tokens(text) };
    }
    const shared = $defs === undefined ? undefined : definitions;
    const full = tokens(renderFull({ ...tool, parameters: schema })) + (shared?.tokens ?? 0);
    const first = JSON.stringify({
      name: tool.name,
      method: tool.method.toUpperCase(),
      path: tool.path,
      domain: tool.domain,
      description: tool.description,
      parameters: schema,
    });
    const last = JSON.stringify({
      annotations: tool.annotations,
      deprecated: tool.deprecated,
      tokens: { compact: tokens(renderCompact(tool)), full },
      ...(fingerprints ? { fingerprint: fingerprint(tool).all } : {}),
    });
    // Without the braces that close the schema and the tool, and the one that opens the rest.
    yield `${before}${first.slice(0, -2)}`;
    if (shared !== undefined) yield shared.text;
    yield `},${last.slice(1)}`;
    before = ",";
  }
  const rest = JSON.stringify({
    diagnostics: menu.diagnostics,
    domains: menu.domains,
    ...(menu.drawn === undefined ? {} : { drawn: menu.drawn }),
  });
  yield `${menu.tools.length === 0 ? before : ""}],${rest.slice(1)}\n`;
}

/** The form for a person: a block per domain, one line per tool, then the diagnostics. */
export function menuText(menu: ToolMenu & { drawn?: string[] }, faults = true): string {
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
    const members = domain.tools.map((name) => byName.get(name)).filter((tool) => tool !== undefined);
    const cost = members.reduce((sum, tool) => sum + tokens(renderCompact(tool)), 0);
    const weight = domain.weight === undefined ? "" : `, weight ${domain.weight}`;
    lines.push(
      "",
      `${pc.bold(visible(domain.name))} (${count(members.length, "tool")}, ~${number(cost)}${weight})${text}`,
    );
    for (const tool of members) {
      const line = `${mark(tool)} ${visible(renderCompact(tool))} ${pc.dim(`~${tokens(renderCompact(tool))}`)}`;
      lines.push(
        menu.drawn === undefined || menu.drawn.includes(tool.name) ? `  ${line}` : `  ${line} (near)`,
      );
    }
  }
  const legend = "r reads only  w writes  d destroys  i may be repeated  ~n tokens, estimated  * deprecated";
  lines.push("", pc.dim(`${legend}${menu.drawn === undefined ? "" : "  (near) distractor"}`));
  if (faults) lines.push(...diagnosticLines(menu.diagnostics));
  return `${lines.join("\n")}\n`;
}

function mark(tool: Tool): string {
  const { readOnly, destructive, idempotent } = tool.annotations;
  const kind = readOnly ? pc.green("r") : destructive ? pc.red("d") : pc.yellow("w");
  return `${kind}${idempotent && !readOnly ? "i" : " "}${tool.deprecated ? "*" : " "}`;
}

/** Faults that are shown of each severity, and places that are shown of the same one. */
const shown = 10;
const shownPlaces = 3;

function diagnosticLines(diagnostics: readonly Diagnostic[]): string[] {
  const lines: string[] = [];
  const colors = { error: pc.red, warning: pc.yellow, info: pc.dim };
  for (const severity of ["error", "warning", "info"] as const) {
    const found = diagnostics.filter((diagnostic) => diagnostic.severity === severity);
    if (found.length === 0) continue;
    const name = severity === "info" ? "note" : severity;
    lines.push("", colors[severity](count(found.length, name)));
    const groups = new Map<string, Diagnostic[]>();
    for (const one of found) {
      const key = JSON.stringify([one.code, one.message, one.remedy]);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [one]);
      else group.push(one);
    }
    const listed = [...groups.values()].slice(0, shown);
    for (const group of listed) {
      const [{ code, message, remedy }] = group as [Diagnostic];
      const places = group.slice(0, shownPlaces).map(({ pointer }) => visible(pointer) || "/");
      const more =
        group.length > shownPlaces ? [`and ${count(group.length - shownPlaces, "more place")}`] : [];
      lines.push(`  ${code}: ${visible(message)}`);
      if (remedy !== undefined) lines.push(`    ${pc.dim(visible(remedy))}`);
      lines.push(...[...places, ...more].map((place) => `    ${pc.dim(place)}`));
    }
    const left = found.length - listed.reduce((sum, group) => sum + group.length, 0);
    if (left > 0) lines.push(`  and ${number(left)} more (all of them with --json)`);
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
