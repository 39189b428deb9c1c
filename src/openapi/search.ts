import MiniSearch from "minisearch";
import { isObject } from "../util/json.js";
import type { Tool, ToolMenu } from "./types.js";
import { stem, wordsOf } from "./words.js";

export interface MenuIndex {
  /** The `k` tools that fit a question best, best first. */
  search(question: string, k: number): Tool[];
  /**
   * The `k` tools most easily taken for a tool (the same domain, similar words), most similar first; never the tool
   * itself. Deterministic.
   */
  neighbours(tool: Pick<Tool, "name">, k: number): Tool[];
}

interface Entry {
  id: number;
  name: string;
  path: string;
  description: string;
  parameters: string;
  domain: string;
}

const fields = ["name", "path", "description", "parameters", "domain"];
const boost = { name: 3, path: 1.5, description: 2, parameters: 1, domain: 1.5 };
const stopWords = new Set(
  "a an and are as at be by can could do does for from have how i if in into is it its me my of on or our please s t that the their them this to us was we what when which who will with would you your".split(
    " ",
  ),
);

/** An index over a menu: identifiers are split into words, plural and singular meet. */
export function createMenuIndex(menu: Pick<ToolMenu, "tools">): MenuIndex {
  const index = new MiniSearch<Entry>({
    fields,
    tokenize: wordsOf,
    processTerm: (word) => (stopWords.has(word) ? null : stem(word)),
    searchOptions: { boost, combineWith: "OR", prefix: false, fuzzy: false },
  });
  const { tools } = menu;
  const numbers = new Map<string, number>();
  tools.forEach((tool, id) => {
    numbers.set(tool.name, id);
    index.add(entryOf(tool, id));
  });
  const cache = new Map<number, Tool[]>();
  const rank = (query: string, skip: number | undefined, bonus: (tool: Tool) => number): Tool[] =>
    index
      .search(query)
      .map((hit) => ({ id: Number(hit.id), score: hit.score * bonus(tools[Number(hit.id)] as Tool) }))
      .filter(({ id }) => id !== skip)
      .sort((a, b) => b.score - a.score || a.id - b.id)
      .map(({ id }) => tools[id] as Tool);
  return {
    search: (question, k) => rank(question, undefined, () => 1).slice(0, Math.max(0, k)),
    neighbours(tool, k) {
      const id = numbers.get(tool.name);
      const own = id === undefined ? undefined : tools[id];
      if (id === undefined || own === undefined) return [];
      let all = cache.get(id);
      if (all === undefined) {
        // All that share a word, then the rest of the domain, then the rest.
        const entry = entryOf(own, id);
        const query = `${entry.name} ${entry.path} ${own.description.slice(0, 200)} ${entry.domain}`;
        const similar = rank(query, id, (other) => (other.domain === own.domain ? 2 : 1));
        const seen = new Set(similar);
        const rest = tools.filter((other) => other !== own && !seen.has(other));
        all = [
          ...similar,
          ...rest.filter((other) => other.domain === own.domain),
          ...rest.filter((other) => other.domain !== own.domain),
        ];
        cache.set(id, all);
      }
      return all.slice(0, Math.max(0, k));
    },
  };
}

function entryOf(tool: Tool, id: number): Entry {
  const properties = isObject(tool.parameters.properties) ? Object.keys(tool.parameters.properties) : [];
  return {
    id,
    name: tool.name,
    path: tool.path,
    description: tool.description,
    parameters: properties.join(" "),
    domain: tool.domain,
  };
}

/**
 * At most `limit` of `allowed` for a question: all, or those that the search ranks first, filled up from the front. In the
 * order of `allowed`, so that questions with the same tools have the same prompt start. `search` gives tools best first.
 */
export function shortlist(
  allowed: readonly Tool[],
  question: string,
  limit: number,
  search: (question: string) => readonly Tool[],
): readonly Tool[] {
  if (allowed.length <= limit) return allowed;
  const names = new Set(allowed.map(({ name }) => name));
  const found = search(question).filter(({ name }) => names.has(name));
  const chosen = new Set(found.slice(0, limit).map(({ name }) => name));
  for (const { name } of allowed) if (chosen.size < limit) chosen.add(name);
  return allowed.filter(({ name }) => chosen.has(name));
}
