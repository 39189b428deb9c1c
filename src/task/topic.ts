import type { HttpMethod, Tool } from "../openapi/types.js";
import { leavesOf } from "../util/json.js";
import type { ToolCall } from "./types.js";
import { type Action, actionsOf, stem, stopWords, wordsOf } from "./words.js";

/** How much a word of the question counts by where the operation has it. */
export interface TopicWeights {
  name: number;
  path: number;
  parameter: number;
  description: number;
  /** Added when the question asks for what the operation does (read, create, update, delete). */
  action: number;
}

export const topicWeights: TopicWeights = {
  name: 1,
  path: 0.8,
  parameter: 0.5,
  description: 0.4,
  action: 0.6,
};

/** Words of a description that are read; what follows is seldom about the operation as such. */
const descriptionWords = 60;

/** What an operation's own texts say about it. */
export interface ToolProfile {
  /** Content stems with their weight. */
  words: ReadonlyMap<string, number>;
  actions: ReadonlySet<Action>;
  /** Stem of the verb that the name starts with, where it says more than "get". */
  verb: string | undefined;
  /** Stems of the name and path that are things, not actions. */
  nouns: ReadonlySet<string>;
}

const actionsByMethod: Record<HttpMethod, readonly Action[]> = {
  get: ["read"],
  head: ["read"],
  options: ["read"],
  trace: ["read"],
  delete: ["delete"],
  put: ["update", "create"],
  patch: ["update"],
  post: [],
  query: ["read"],
};

/** Words that express one action and hardly anything else; only these can contradict an operation. */
const plainActions: ReadonlyMap<string, Action> = new Map(
  Object.entries({
    read: "list show view display retrieve fetch search browse what which",
    create: "create add register insert generate",
    update: "update change edit rename modify replace",
    delete: "delete remove erase destroy cancel",
  }).flatMap(([action, words]) =>
    words.split(" ").map((word): [string, Action] => [stem(word), action as Action]),
  ),
);

const determiners = new Set(
  "a an the this that these those last latest next recent previous first my your our their its his her any no every each of".split(
    " ",
  ),
);

function contentStems(text: string): string[] {
  return wordsOf(text)
    .filter((word) => word.length > 1 && !stopWords.has(word))
    .map(stem);
}

export function profileOf(tool: Tool, weights: TopicWeights = topicWeights): ToolProfile {
  const words = new Map<string, number>();
  const add = (stems: readonly string[], weight: number): void => {
    for (const word of stems) words.set(word, Math.max(weight, words.get(word) ?? 0));
  };
  const name = wordsOf(tool.name).map(stem);
  const description = wordsOf(tool.description).slice(0, descriptionWords);
  const nameStems = contentStems(tool.name);
  const pathStems = contentStems(tool.path.replace(/\{[^}]*\}/g, " "));
  add(nameStems, weights.name);
  add(pathStems, weights.path);
  for (const parameter of Object.keys(tool.parameters.properties ?? {}))
    add(contentStems(parameter), weights.parameter);
  add(contentStems(description.join(" ")), weights.description);

  const actions = new Set<Action>(actionsByMethod[tool.method]);
  for (const word of [name[0], stem(description[0] ?? "")])
    for (const action of actionsOf(word ?? "")) actions.add(action);
  if (actions.size === 0) for (const word of name) for (const action of actionsOf(word)) actions.add(action);

  // The verb tells operations apart only where no other has it; it is scored on its own.
  const [lead] = nameStems;
  const verb = lead !== undefined && lead === name[0] && actionsOf(lead).size > 0 ? lead : undefined;
  const nouns = new Set([...nameStems.slice(verb === undefined ? 0 : 1), ...pathStems]);
  if (verb !== undefined && nouns.size > 0) words.delete(verb);
  return { words, actions, verb, nouns };
}

/** A question's words without those of the argument values, each value taking its words away once. */
export interface TopicQuestion {
  content: ReadonlySet<string>;
  /** All stems that express an action. */
  verbs: ReadonlySet<string>;
  /** Those that are used as verbs: not "the last update", not "created in May". */
  demands: ReadonlySet<string>;
}

export function topicQuestion(question: string, calls: readonly ToolCall[]): TopicQuestion {
  const taken = new Map<string, number>();
  const values = calls
    .flatMap((call) => leavesOf(call.arguments))
    .flatMap((leaf) => (typeof leaf === "string" ? wordsOf(leaf).map(stem) : []));
  for (const word of values) taken.set(word, (taken.get(word) ?? 0) + 1);
  const content = new Set<string>();
  const verbs = new Set<string>();
  const demands = new Set<string>();
  let before = "";
  for (const word of wordsOf(question)) {
    const stemmed = stem(word);
    const noun = determiners.has(before) || word.endsWith("ed");
    if (before === "no" && word === "longer") verbs.add(stem("delete")); // "I no longer want order 1"
    before = word;
    const left = taken.get(stemmed) ?? 0;
    if (left > 0) {
      taken.set(stemmed, left - 1);
      continue;
    }
    if (actionsOf(stemmed).size > 0) {
      verbs.add(stemmed);
      if (!noun) demands.add(stemmed);
    }
    if (word.length > 1 && !stopWords.has(word)) content.add(stemmed);
  }
  return { content, verbs, demands };
}

function agrees(verbs: ReadonlySet<string>, profile: ToolProfile): boolean {
  for (const verb of verbs)
    for (const action of actionsOf(verb)) if (profile.actions.has(action)) return true;
  return false;
}

/**
 * Whether the question asks for something else than the operation does: its plain verbs belong to other actions and
 * none to this one; or the operation deletes and no word says so.
 */
export function contradicts(question: TopicQuestion, profile: ToolProfile): boolean {
  if (profile.actions.size === 0 || agrees(question.verbs, profile)) return false;
  const deletes = profile.actions.size === 1 && profile.actions.has("delete");
  if (deletes && ![...question.content].some((word) => profile.words.has(word) && !profile.nouns.has(word)))
    return true;
  return [...question.demands].some((verb) => {
    const action = plainActions.get(verb);
    if (action === undefined || profile.nouns.has(verb)) return false;
    // "Add a tag to the pet" is an update as well.
    if (action === "create") return !profile.actions.has("update");
    if (action === "update") return !profile.actions.has("create");
    return true;
  });
}

/**
 * Whether the question has a content word of the operation, or the verb of its name where no other shown operation has
 * that verb; true where the operation has no word to share.
 */
export function sharesWord(
  question: TopicQuestion,
  profile: ToolProfile,
  shown: readonly ToolProfile[],
): boolean {
  if (profile.words.size === 0) return true;
  for (const word of question.content) if (profile.words.has(word)) return true;
  const { verb } = profile;
  return (
    verb !== undefined &&
    question.verbs.has(verb) &&
    shown.filter((other) => other.verb === verb).length === 1
  );
}

/**
 * How strongly the question speaks of each of the shown operations: the sum over shared content words of the weight
 * of the place times `1 + ln(N / n)`, with n of the N operations having the word; the name's verb counts alike.
 */
export function topicScores(
  question: TopicQuestion,
  profiles: readonly ToolProfile[],
  weights: TopicWeights = topicWeights,
): number[] {
  const scores = profiles.map((profile) => (agrees(question.demands, profile) ? weights.action : 0));
  const add = (weightIn: (profile: ToolProfile) => number | undefined): void => {
    const found = profiles.map(weightIn);
    const having = found.filter((weight) => weight !== undefined).length;
    if (having === 0) return;
    const rarity = 1 + Math.log(profiles.length / having);
    for (const [index, weight] of found.entries())
      scores[index] = (scores[index] ?? 0) + (weight ?? 0) * rarity;
  };
  for (const word of question.content) add((profile) => profile.words.get(word));
  for (const verb of question.demands) add((profile) => (profile.verb === verb ? weights.action : undefined));
  return scores;
}

/**
 * A verdict from a model instead of words: the question's log-probability (nats, summed over its tokens) under its
 * own operation against the same under each alternative. `ambiguous` when an alternative comes within `margin`.
 */
export function likelihoodVerdict(
  own: number,
  others: readonly number[],
  margin: number,
): "clear" | "ambiguous" {
  return others.some((other) => !(own >= other + margin)) ? "ambiguous" : "clear";
}
