import MiniSearch from "minisearch";
import { isObject } from "../util/json.js";
import { own } from "./pointer.js";
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

/** A trained model that puts tools in order; what the words of the question find is what it chooses from. */
export interface ToolRanker {
  /** One number per candidate, more is better. Candidates come best first by their words. */
  score(question: string, candidates: readonly Tool[]): ArrayLike<number>;
}

export interface MenuIndexOptions {
  ranker?: ToolRanker;
  /** How many tools the ranker sees. Default 32. */
  candidates?: number;
}

interface Entry {
  id: number;
  name: string;
  path: string;
  description: string;
  parameters: string;
  domain: string;
  /** Descriptions and values of the parameters. */
  texts: string;
  /** Words that people use for what the HTTP method does. */
  method: string;
}

/** What a tool says of itself. */
const ownFields = { name: 3, path: 1.5, description: 2, parameters: 1, domain: 1.5 };
const boost = { ...ownFields, texts: 0.5, method: 0.5 };
/** Characters of the parameters' descriptions that are indexed, per tool. */
const maxTexts = 2_000;
/** Words after which the beginning of a question, which is a conversation then, counts half. */
const halfLife = 40;
const methodWords: Record<string, string> = {
  get: "get show find list read fetch view look display retrieve check search",
  query: "get show find list read search",
  post: "create add new make post submit send register",
  put: "update change edit modify set replace rename",
  patch: "update change edit modify set rename",
  delete: "delete remove cancel erase drop",
};
const stopWords = new Set(
  "a an and are as at be by can could do does for from have how i if in into is it its me my of on or our please s t that the their them this to us was we what when which who will with would you your".split(
    " ",
  ),
);

/** An index over a menu: identifiers are split into words, the forms of a word meet. */
export function createMenuIndex(menu: Pick<ToolMenu, "tools">, options: MenuIndexOptions = {}): MenuIndex {
  const index = new MiniSearch<Entry>({
    fields: Object.keys(boost),
    tokenize: wordsOf,
    processTerm: (word) => (stopWords.has(word) ? null : stem(word)),
    searchOptions: { boost, combineWith: "OR", prefix: false, fuzzy: false },
  });
  const { tools } = menu;
  const { ranker, candidates = 32 } = options;
  const numbers = new Map<string, number>();
  tools.forEach((tool, id) => {
    numbers.set(tool.name, id);
    index.add(entryOf(tool, id));
  });
  const cache = new Map<number, Tool[]>();
  const found = (question: string): Tool[] =>
    index
      .search(question, { boostTerm: (_, i, terms) => 2 ** ((i + 1 - terms.length) / halfLife) })
      .map(({ id }) => tools[Number(id)] as Tool);
  const similarTo = (query: string, id: number, center: Tool): Tool[] =>
    index
      .search(query, { fields: Object.keys(ownFields), boost: ownFields })
      .map((hit) => ({ id: Number(hit.id), score: hit.score }))
      .filter((hit) => hit.id !== id)
      .map((hit) => ({ ...hit, score: hit.score * (tools[hit.id]?.domain === center.domain ? 2 : 1) }))
      .sort((a, b) => b.score - a.score || a.id - b.id)
      .map((hit) => tools[hit.id] as Tool);
  return {
    search(question, k) {
      const wanted = Math.max(0, k);
      const byWords = found(question);
      if (ranker === undefined) return byWords.slice(0, wanted);
      const seen = byWords.slice(0, candidates);
      return [...reordered(seen, ranker.score(question, seen)), ...byWords.slice(candidates)].slice(
        0,
        wanted,
      );
    },
    neighbours(tool, k) {
      const id = numbers.get(tool.name);
      const center = id === undefined ? undefined : tools[id];
      if (id === undefined || center === undefined) return [];
      let all = cache.get(id);
      if (all === undefined) {
        // All that share a word, then the rest of the domain, then the rest.
        const query = `${center.name} ${center.path} ${center.description.slice(0, 200)} ${center.domain}`;
        const similar = similarTo(query, id, center);
        const seen = new Set(similar);
        const rest = tools.filter((other) => other !== center && !seen.has(other));
        all = [
          ...similar,
          ...rest.filter((other) => other.domain === center.domain),
          ...rest.filter((other) => other.domain !== center.domain),
        ];
        cache.set(id, all);
      }
      return all.slice(0, Math.max(0, k));
    },
  };
}

/** By score, in the order of before where scores are equal. A score that is no number counts least. */
function reordered(tools: readonly Tool[], scores: ArrayLike<number>): Tool[] {
  const score = (i: number): number =>
    Number.isNaN(scores[i] ?? Number.NaN) ? -Infinity : Number(scores[i]);
  const order = [...tools.keys()].sort((a, b) =>
    score(a) === score(b) ? a - b : score(b) > score(a) ? 1 : -1,
  );
  return order.map((i) => tools[i] as Tool);
}

function entryOf(tool: Tool, id: number): Entry {
  const properties = isObject(tool.parameters.properties) ? tool.parameters.properties : {};
  return {
    id,
    name: tool.name,
    path: tool.path,
    description: tool.description,
    parameters: Object.keys(properties).join(" "),
    domain: tool.domain,
    texts: parameterTexts(properties),
    method: Object.hasOwn(methodWords, tool.method) ? (methodWords[tool.method] ?? "") : "",
  };
}

function parameterTexts(properties: Record<string, unknown>): string {
  let text = "";
  for (const name of Object.keys(properties)) {
    const property = properties[name];
    const description = own(property, "description");
    const values = own(property, "enum") ?? own(own(property, "items"), "enum");
    if (typeof description === "string") text += ` ${description.slice(0, 300)}`;
    if (Array.isArray(values)) text += ` ${values.slice(0, 50).join(" ")}`;
    if (text.length > maxTexts) break;
  }
  return text.slice(0, maxTexts);
}

/** As many of the first as fit; the first `least` stay whether they do or not. */
export function trimmed<T>(items: readonly T[], least: number, fits: (items: readonly T[]) => boolean): T[] {
  const left = [...items];
  while (left.length > least && !fits(left)) left.pop();
  return left;
}

/**
 * At most `limit` of `allowed` for a question: all, or those that the search ranks first, filled up from the front. In the
 * order of `allowed`, so that questions with the same tools have the same prompt start. `search` gives tools best first.
 * Fewer, but at least one, where they do not all fit into a prompt.
 */
export function shortlist(
  allowed: readonly Tool[],
  question: string,
  limit: number,
  search: (question: string) => readonly Tool[],
  fits: (tools: readonly Tool[]) => boolean = () => true,
): readonly Tool[] {
  if (allowed.length <= limit && fits(allowed)) return allowed;
  const names = new Set(allowed.map(({ name }) => name));
  const found = search(question).filter(({ name }) => names.has(name));
  const ranked = trimmed([...new Set([...found, ...allowed])].slice(0, limit), 1, fits);
  const chosen = new Set(ranked.map(({ name }) => name));
  return allowed.filter(({ name }) => chosen.has(name));
}
