import type { Tool, ToolMenu } from "../openapi/types.js";
import type { ToolCall } from "../task/types.js";
import { createValueSampler, optionalParameters } from "../task/values.js";
import { wordsOf } from "../task/words.js";
import { isObject, type JsonValue } from "../util/json.js";
import { createRandom, type Random } from "../util/random.js";
import type { ResolvedTask } from "./tasks.js";

/** What tasks of `writeHeldOut` say about who wrote them. */
export const heldOutSource = "templates of specdojo (held out: never used in training)";

/** Chance that a task has two calls. */
const twoCalls = 0.15;

/** Verbs that summaries of operations start with, in their base form. */
const verbs = new Set(
  `accept activate add announce append apply approve archive assign attach authenticate authorize book borrow buy cancel capture change charge check
  clear close complete confirm connect convert copy create deactivate delete deliver detach disable download duplicate edit
  enable end execute export fetch filter find finish generate get give import insert install invite issue join kick leave
  lend link list load lock log look make mark merge modify move open order patch pause pay pin place post publish purge put query read
  receive record redeem refresh refund register reject release remove rename renew replace request reset resolve restore
  resume retrieve return revoke run save schedule search select send set share show sign start stop store submit subscribe
  suspend swap sync tag test transfer trigger unlink unlock unpin unpublish unsubscribe update upgrade upload use validate
  verify view void withdraw write`.split(/\s+/),
);

/** The base form of a verb: `Returns` is `return`. */
function baseVerb(word: string): string | undefined {
  const lower = word.toLowerCase();
  const forms = [
    lower,
    ...[/s$/, /es$/].map((ending) => lower.replace(ending, "")),
    lower.replace(/ies$/, "y"),
  ];
  return forms.find((form) => verbs.has(form));
}

function lowerFirst(text: string): string {
  return /^\p{Lu}\p{Ll}/u.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What the operation does, as words that follow `to`: from its description, or else from its name. */
function wish(tool: Tool): string {
  const sentence = (/^[^\n]*?(?=\.\s|\.$|\n|$)/.exec(tool.description.trim())?.[0] ?? "")
    .replace(/\s+/g, " ")
    .trim();
  const words = sentence.split(" ");
  if (sentence !== "" && words.length <= 14) {
    const [first = "", ...rest] = words;
    const verb = baseVerb(first);
    if (verb !== undefined) return [verb, ...rest].join(" ");
    return `${tool.annotations.readOnly ? "see" : "do"} this: ${lowerFirst(sentence)}`;
  }
  const named = wordsOf(tool.name);
  const by = named.lastIndexOf("by");
  const short = by > 1 ? named.slice(0, by) : named;
  const verb = baseVerb(short[0] ?? "");
  if (verb !== undefined) return [verb, "the", ...short.slice(1)].join(" ");
  return `${tool.annotations.readOnly ? "see" : "do"} ${short.join(" ")}`;
}

function spoken(value: JsonValue): string {
  if (typeof value === "string") return /\s|^$|[.?!]$/.test(value) ? `"${value}"` : value;
  return String(value);
}

/** Every value with the words it is called by; parts of objects carry the name of the whole. */
function details(label: string, value: JsonValue): [string, string][] {
  if (Array.isArray(value)) {
    if (value.some((item) => typeof item === "object")) return value.flatMap((item) => details(label, item));
    return [[label, value.length === 0 ? "none" : value.map(spoken).join(" and ")]];
  }
  if (isObject(value))
    return Object.entries(value).flatMap(([key, inner]) =>
      details(`${label} ${wordsOf(key).join(" ")}`.trim(), inner as JsonValue),
    );
  return [[label, spoken(value)]];
}

function listed(parts: readonly string[]): string {
  return parts.length < 2 ? (parts[0] ?? "") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

/** Sentences without a final mark, which the caller sets. */
function sentence(tool: Tool, call: ToolCall, random: Random): { text: string; mark: string } {
  const aim = wish(tool);
  const pairs = Object.entries(call.arguments).flatMap(([key, value]) => {
    const words = wordsOf(key).join(" ");
    return details(words === "" ? key : words, value);
  });
  if (pairs.length === 0)
    return random.pick([
      { text: `I'd like you to ${aim}`, mark: "." },
      { text: `Would you ${aim}`, mark: "?" },
      { text: `Time to ${aim}`, mark: "." },
    ]);
  const plain = listed(pairs.map(([label, value]) => `${label} ${value}`));
  const equal = listed(pairs.map(([label, value]) => `the ${label} is ${value}`));
  const colon = pairs.map(([label, value]) => `${label}: ${value}`).join("; ");
  return random.pick([
    { text: `I'd like you to ${aim}; ${equal}`, mark: "." },
    { text: `Would you ${aim}, with ${plain}`, mark: "?" },
    { text: `Time to ${aim} (${plain})`, mark: "." },
    { text: `${upperFirst(equal)}. With that, ${aim}`, mark: "." },
    { text: `Somebody asked us to ${aim} - ${colon}`, mark: "." },
    { text: `${upperFirst(plain)}: we have to ${aim}`, mark: "." },
  ]);
}

/**
 * Tasks for measuring where the user has none: for every operation in turn, arguments drawn from its schema and a question
 * from templates that no training uses. The same menu and seed give the same tasks. They are easier than what people
 * write, because they use the words of the document. Operations that need a file, or whose schema no sample satisfies,
 * are left out; the result is empty when none is left.
 */
export function writeHeldOut(
  menu: ToolMenu,
  options: { count: number; seed: number | string },
): ResolvedTask[] {
  const random = createRandom(options.seed).fork("held-out");
  const sampler = createValueSampler();
  const draw = (tool: Tool, source: Random): ToolCall | null => {
    const chosen = source.sample(optionalParameters(tool), source.weighted([0, 1, 2], [0.45, 0.35, 0.2]));
    const args = sampler.arguments(tool, chosen, source);
    return args === null ? null : { name: tool.name, arguments: args };
  };
  const order = random.shuffle(menu.tools.filter((tool) => !needsFile(tool)));
  const tasks: ResolvedTask[] = [];
  const seen = new Set<string>();
  // Some turns give nothing: an operation that cannot be sampled, or a question that was there before.
  const turns = order.length === 0 ? 0 : options.count * 4 + order.length;
  for (let i = 0; tasks.length < options.count && i < turns; i++) {
    const source = random.fork(i);
    const first = order[i % order.length];
    if (first === undefined) break;
    const tools = order.length > 1 && source.next() < twoCalls ? [first, source.pick(order)] : [first];
    const parts = tools.flatMap((tool) => {
      const call = draw(tool, source);
      return call === null ? [] : [{ call, ...sentence(tool, call, source) }];
    });
    if (parts.length < tools.length) continue;
    const question = parts
      .map(({ text, mark }, n) => `${n === 0 ? text : `Also: ${lowerFirst(text)}`}${mark}`)
      .join(" ");
    if (seen.has(question)) continue;
    seen.add(question);
    const gold = parts.map(({ call }) => call);
    tasks.push({
      id: `held-out-${tasks.length + 1}`,
      question,
      gold,
      argsKnown: true,
      source: heldOutSource,
    });
  }
  return tasks;
}

function needsFile(tool: Tool): boolean {
  const root = tool.parameters;
  return (root.required ?? []).some((name) => {
    const property =
      root.properties !== undefined && Object.hasOwn(root.properties, name)
        ? root.properties[name]
        : undefined;
    return isObject(property) && (property.format === "binary" || property.format === "byte");
  });
}
