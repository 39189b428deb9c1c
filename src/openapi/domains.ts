import { isObject, type JsonObject } from "../util/json.js";
import { fits } from "./glob.js";
import type { DomainOptions, ToolFilter } from "./menu-options.js";
import { own } from "./pointer.js";
import type { Domain, HttpMethod, Tool } from "./types.js";

const meaningless = /^(api|apis|rest|public|v\d+([._-]?\d+)*(alpha|beta)?\d*|\d+(\.\d+)*|latest|current)$/i;

/** An operation on its way to a domain. */
export interface Placed {
  name: string;
  method: HttpMethod;
  path: string;
  tags: readonly string[];
  domain: string;
}

/** The tags of an operation, as far as they are names. */
export function tagsOf(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return value
    .filter((one): one is string => typeof one === "string" && one.trim() !== "")
    .map((tag) => tag.trim().slice(0, 200));
}

/** The domain of an operation: its first tag, else the first path segment that means something. */
export function domainOf(tags: readonly string[], path: string): string {
  const [tag] = tags;
  if (tag !== undefined) return tag;
  const segments = path.split("/").filter((segment) => segment !== "" && !segment.startsWith("{"));
  const segment = segments.find((one) => !meaningless.test(one)) ?? segments[0];
  return segment === undefined
    ? "default"
    : segment.replaceAll(/\{[^{}]*\}|[?#].*$/g, "").replace(/[.:]+$/, "") || "default";
}

/** Does an operation meet every criterion of a filter? An empty filter fits all. */
export function fitsFilter(filter: ToolFilter, placed: Placed): boolean {
  const holds = (patterns: readonly string[] | undefined, values: readonly string[]): boolean =>
    patterns === undefined || patterns.some((pattern) => values.some((value) => fits(pattern, value)));
  return (
    holds(filter.tags, placed.tags) &&
    holds(filter.paths, [placed.path]) &&
    holds(filter.methods, [placed.method]) &&
    holds(filter.names, [placed.name])
  );
}

/** What the descriptions and weights of domains are after a change. */
export interface Arrangement {
  /** New name by the document's own name, where a domain as a whole has another one. */
  renamed: Map<string, string>;
  weights: Map<string, number>;
}

/**
 * Splits, merges, renames and drops domains; the result is those that are left, with their new domains. `unknown` hears of
 * names and patterns that no domain has.
 */
export function arrange(
  placed: readonly Placed[],
  options: DomainOptions,
  unknown: (option: string, name: string, known: string[]) => void,
): { placed: Placed[]; arrangement: Arrangement } {
  let current = placed.map((one) => ({ ...one }));
  const renamed = new Map<string, string>();
  const names = (): string[] => [...new Set(current.map(({ domain }) => domain))];
  const matching = (option: string, pattern: string): Set<string> => {
    const found = names().filter((name) => fits(pattern, name));
    if (found.length === 0) unknown(option, pattern, names());
    return new Set(found);
  };
  const exactly = (option: string, name: string): boolean => {
    const known = names();
    if (!known.includes(name)) unknown(option, name, known);
    return known.includes(name);
  };
  const move = (from: ReadonlySet<string>, to: string): void => {
    for (const one of current) if (from.has(one.domain)) one.domain = to;
    for (const [first, last] of renamed) if (from.has(last)) renamed.set(first, to);
    for (const name of from) if (!renamed.has(name)) renamed.set(name, to);
  };

  for (const [name, how] of Object.entries(options.split ?? {})) {
    if (!exactly("split", name)) continue;
    const members = current.filter(({ domain }) => domain === name);
    const parts = how === "path" ? pathParts(members) : members.map((one) => partOf(how, one));
    members.forEach((one, i) => {
      const part = parts[i];
      if (part !== undefined) one.domain = how === "path" ? `${name}/${part}` : part;
    });
  }
  for (const [name, patterns] of Object.entries(options.merge ?? {}))
    move(new Set(patterns.flatMap((pattern) => [...matching("merge", pattern)])), name);
  for (const [name, to] of Object.entries(options.rename ?? {}))
    if (exactly("rename", name)) move(new Set([name]), to);
  const { include, exclude } = options;
  const kept = include?.flatMap((pattern) => [...matching("include", pattern)]);
  if (kept !== undefined) current = current.filter(({ domain }) => kept.includes(domain));
  const dropped = (exclude ?? []).flatMap((pattern) => [...matching("exclude", pattern)]);
  current = current.filter(({ domain }) => !dropped.includes(domain));
  const weights = new Map(Object.entries(options.weights ?? {}).filter(([name]) => exactly("weights", name)));
  return { placed: current, arrangement: { renamed, weights } };
}

function partOf(parts: Record<string, ToolFilter>, one: Placed): string | undefined {
  return Object.entries(parts).find(([, filter]) => fitsFilter(filter, one))?.[0];
}

/** The first segments in which paths differ; undefined where a path has none. */
function pathParts(members: readonly Placed[]): (string | undefined)[] {
  const paths = members.map(({ path }) =>
    path
      .split("/")
      .filter((segment) => segment !== "" && !segment.includes("{") && !meaningless.test(segment)),
  );
  let common = 0;
  const [first = []] = paths;
  while (common < first.length && paths.every((path) => path[common] === first[common])) common++;
  return paths.map((path) => path[common]);
}

/** Domains in the order of the document's tags, then in order of appearance. Only those that have tools. */
export function domainsOf(
  document: JsonObject,
  tools: readonly Tool[],
  arrangements: readonly Arrangement[] = [],
): Domain[] {
  const byName = new Map<string, Domain>();
  const nameNow = (name: string): string =>
    arrangements.reduce((now, { renamed }) => renamed.get(now) ?? now, name);
  const tags = own(document, "tags");
  if (Array.isArray(tags))
    for (const tag of tags) {
      const name = own(tag, "name");
      const text = own(tag, "description");
      if (!isObject(tag) || typeof name !== "string") continue;
      const now = nameNow(name.trim());
      const description = typeof text === "string" ? text.replaceAll(/\s+/g, " ").trim() : "";
      const known = byName.get(now);
      if (known === undefined) byName.set(now, { name: now, description, tools: [] });
      else if (known.description === "") known.description = description;
    }
  for (const tool of tools) {
    const domain = byName.get(tool.domain) ?? { name: tool.domain, description: "", tools: [] };
    byName.set(tool.domain, domain);
    domain.tools.push(tool.name);
  }
  for (const { weights } of arrangements)
    for (const [name, weight] of weights) {
      const domain = byName.get(nameNow(name));
      if (domain !== undefined && weight !== 1) domain.weight = weight;
    }
  return [...byName.values()].filter((domain) => domain.tools.length > 0);
}
