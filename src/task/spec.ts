import { createMenuIndex, trimmed } from "../openapi/search.js";
import type { Tool, ToolMenu } from "../openapi/types.js";
import { SpecdojoError } from "../util/errors.js";
import { createRandom, type Random } from "../util/random.js";
import { callKey } from "./equality.js";
import type { TaskSpec, ToolCall } from "./types.js";
import { createValueSampler, optionalParameters, type ValueOptions } from "./values.js";

/** A range of menu sizes, both ends included, and how often it is drawn. */
export interface SizeRange {
  min: number;
  max: number;
  weight: number;
}

export interface SpecOptions {
  seed: number | string;
  /** `given` fixes operations and values; `free` leaves them to the Generator, as in the paper. */
  answer: "given" | "free";
  /** Weight per domain. One that is not named weighs as much as its operations together, times its weight in the menu. */
  domains: Readonly<Record<string, number>>;
  /** Weight per operation, 1 where not named; 0 leaves it out. Fed back from pass rates between iterations. */
  weights: Readonly<Record<string, number>>;
  context: { single_turn: number; multi_turn: number };
  /** Tools shown: ranges, a fixed number, or every tool of the menu. */
  menuSize: readonly SizeRange[] | number | "all";
  /** Tools shown where there are two calls; a fixed `menuSize` or "all" comes before it. */
  menuSizeTwoCalls: readonly SizeRange[];
  /** Weights of one call and of two. A conversation always has one. */
  calls: readonly [number, number];
  /** How often the second of two calls is of the same operation with other values. */
  sameOperation: number;
  /** Weights of 0, 1, 2, … optional parameters in a call. */
  optional: readonly number[];
  /** Share of the distractors taken from the nearest neighbours; the others are drawn from the whole menu. */
  neighbours: number;
  values: Partial<ValueOptions>;
  /** Whether a prompt has room for these tools. An operation that does not fit alone is not asked for. */
  fits: (tools: readonly Tool[]) => boolean;
}

/** The distributions of the paper (arXiv 2602.21320), and given answers, which are ours. */
export const specDefaults: SpecOptions = {
  seed: 0,
  answer: "given",
  domains: {},
  weights: {},
  context: { single_turn: 0.9, multi_turn: 0.1 },
  menuSize: [
    { min: 2, max: 4, weight: 0.4 },
    { min: 5, max: 8, weight: 0.6 },
  ],
  menuSizeTwoCalls: [{ min: 3, max: 5, weight: 1 }],
  calls: [0.8, 0.2],
  sameOperation: 0.2,
  optional: [0.3, 0.35, 0.25, 0.1],
  neighbours: 0.7,
  values: {},
  fits: () => true,
};

/** How often each operation and each optional parameter was asked for. Zero entries are listed. */
export interface Coverage {
  operations: Record<string, number>;
  optionalParameters: Record<string, Record<string, number>>;
  /** Operations that are not asked for: no sampled value satisfies their schema, or they do not fit into a prompt. */
  unsampled: string[];
}

export interface SpecGenerator {
  next(): TaskSpec;
  readonly coverage: Coverage;
}

/** A seeded, endless source of task specifications for one menu. */
export function createSpecGenerator(menu: ToolMenu, options: Partial<SpecOptions> = {}): SpecGenerator {
  const settings: SpecOptions = { ...specDefaults, ...options };
  checkOptions(menu, settings);
  const index = createMenuIndex(menu);
  const values = createValueSampler(settings.values);
  const practised = new Map<string, number>();
  const unsampled = new Set<string>();
  const optional = new Map(
    menu.tools.map((tool) => [tool.name, new Map(optionalParameters(tool).map((name) => [name, 0]))]),
  );
  const byName = new Map(menu.tools.map((tool) => [tool.name, tool]));
  const nearest = new Map<string, string[]>();
  /** Specifications per domain. */
  const asked = new Map<string, number>();
  let drawn = 0;

  const weightOf = (tool: Tool): number =>
    unsampled.has(tool.name)
      ? 0
      : Object.hasOwn(settings.weights, tool.name)
        ? (settings.weights[tool.name] ?? 1)
        : 1;

  function neighboursOf(name: string): string[] {
    const known = nearest.get(name);
    if (known !== undefined) return known;
    const found = index.neighbours({ name }, 16).map((tool) => tool.name);
    nearest.set(name, found);
    return found;
  }

  /** The least practised operation relative to its weight, ties at random. */
  function chooseOperation(tools: readonly Tool[], random: Random): Tool | undefined {
    const usable = tools.filter((tool) => weightOf(tool) > 0);
    const need = (tool: Tool): number => ((practised.get(tool.name) ?? 0) + 1) / weightOf(tool);
    const least = Math.min(...usable.map(need));
    const candidates = usable.filter((tool) => need(tool) <= least * (1 + 1e-9));
    return candidates.length === 0 ? undefined : random.pick(candidates);
  }

  /** Drawn by weight among the domains that are behind their share, so that small ones have their turn early. */
  function chooseDomain(random: Random): { name: string; tools: Tool[] } | undefined {
    const domains = menu.domains
      .map(({ name, tools, weight: factor = 1 }) => {
        const members = tools.map((tool) => byName.get(tool)).filter((tool) => tool !== undefined);
        const sum = members.reduce((total, tool) => total + weightOf(tool), 0);
        const weight =
          sum === 0
            ? 0
            : Object.hasOwn(settings.domains, name)
              ? (settings.domains[name] ?? 0)
              : sum * factor;
        return { name, tools: members, weight };
      })
      .filter(({ weight }) => weight > 0);
    if (domains.length === 0) return undefined;
    const total = domains.reduce((sum, { weight }) => sum + weight, 0);
    const done = domains.reduce((sum, { name }) => sum + (asked.get(name) ?? 0), 0);
    const behind = domains.map(({ name, weight }) => (weight / total) * (done + 1) - (asked.get(name) ?? 0));
    const domain = random.weighted(
      domains,
      behind.map((lag) => Math.max(lag, 0)),
    );
    asked.set(domain.name, (asked.get(domain.name) ?? 0) + 1);
    return domain;
  }

  /** Few optional parameters, the least practised first. */
  function chooseOptional(tool: Tool, random: Random): string[] {
    const wanted = random.weighted([...settings.optional.keys()], settings.optional);
    const ranked = random
      .shuffle([...(optional.get(tool.name) ?? [])])
      .sort(([, left], [, right]) => left - right)
      .map(([name]) => name);
    const chosen = ranked.slice(0, wanted);
    // Nobody asks for a change without saying what changes.
    const written = Object.keys(tool.parameters.properties ?? {}).filter(
      (name) => !Object.hasOwn(tool.bindings, name),
    );
    const said = new Set([
      ...(Array.isArray(tool.parameters.required) ? tool.parameters.required : []),
      ...chosen,
    ]);
    if (["put", "patch", "post"].includes(tool.method) && !written.some((name) => said.has(name)))
      chosen.push(...ranked.filter((name) => written.includes(name)).slice(0, 1));
    return chosen;
  }

  function sampleCall(tool: Tool, random: Random): ToolCall | undefined {
    const args =
      values.arguments(tool, chooseOptional(tool, random), random) ?? values.arguments(tool, [], random);
    return args === null ? undefined : { name: tool.name, arguments: args };
  }

  function count(call: ToolCall): void {
    practised.set(call.name, (practised.get(call.name) ?? 0) + 1);
    const counts = optional.get(call.name);
    for (const name of Object.keys(call.arguments))
      if (counts?.has(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }

  function chooseSecond(first: ToolCall, domainTools: readonly Tool[], random: Random): ToolCall | undefined {
    const same = byName.get(first.name);
    const near = neighboursOf(first.name)
      .map((name) => byName.get(name))
      .filter((tool) => tool !== undefined);
    const others = [...new Set([...domainTools, ...near.slice(0, 6)])].filter(
      (tool) => tool.name !== first.name,
    );
    const other = chooseOperation(others, random);
    const preferred = random.next() < settings.sameOperation ? [same, other] : [other, same];
    for (const tool of preferred) {
      if (tool === undefined) continue;
      for (let attempt = 0; attempt < 4; attempt++) {
        const call = sampleCall(tool, random);
        if (call !== undefined && callKey(call) !== callKey(first)) return call;
      }
    }
    return undefined;
  }

  function menuSize(random: Random, calls: number): number {
    if (settings.menuSize === "all") return menu.tools.length;
    if (typeof settings.menuSize === "number") return settings.menuSize;
    const ranges = calls === 1 ? settings.menuSize : settings.menuSizeTwoCalls;
    const range = random.weighted(
      ranges,
      ranges.map(({ weight }) => weight),
    );
    return random.int(range.min, range.max);
  }

  const hasRoom = (names: readonly string[]): boolean =>
    settings.fits(names.flatMap((name) => byName.get(name) ?? []));

  function shownWith(names: readonly string[], size: number, random: Random): string[] {
    if (size >= menu.tools.length) {
      const all = menu.tools.map((tool) => tool.name);
      return random.shuffle(
        hasRoom(all) ? all : trimmed([...new Set([...names, ...all])], names.length, hasRoom),
      );
    }
    const shown = new Set(names);
    const near = random.shuffle([
      ...new Set(names.flatMap((name) => neighboursOf(name).slice(0, Math.max(4, 2 * size)))),
    ]);
    const close = Math.round((size - shown.size) * settings.neighbours);
    for (const name of near) if (shown.size < names.length + close && !shown.has(name)) shown.add(name);
    // Rejection sampling: shuffling a menu of hundreds for a handful would dominate the cost.
    for (let tries = 0; shown.size < size && tries < size * 50; tries++)
      shown.add(random.pick(menu.tools).name);
    for (const { name } of menu.tools) if (shown.size < size) shown.add(name);
    return random.shuffle(trimmed([...shown], names.length, hasRoom));
  }

  function next(): TaskSpec {
    const random = createRandom(`${settings.seed}/spec/${drawn}`);
    const id = `${settings.seed}-${drawn}`;
    drawn++;
    for (;;) {
      const domain = chooseDomain(random);
      const tool = domain === undefined ? undefined : chooseOperation(domain.tools, random);
      if (domain === undefined || tool === undefined)
        throw new SpecdojoError("nothing-to-practise", "No operation can be practised", {
          place: `menu "${menu.title}"${unsampled.size > 0 ? `; no valid arguments found for ${[...unsampled].join(", ")}` : ""}`,
          remedy: "Give some operation a weight above 0, or add examples to the document's schemas.",
        });
      const first = settings.fits([tool]) ? sampleCall(tool, random) : undefined;
      if (first === undefined) {
        unsampled.add(tool.name);
        continue;
      }
      const { single_turn, multi_turn } = settings.context;
      const context = random.weighted(["single_turn", "multi_turn"] as const, [single_turn, multi_turn]);
      const wanted = context === "multi_turn" ? 1 : random.weighted([1, 2], settings.calls);
      const calls = [first];
      if (wanted === 2) {
        const second = chooseSecond(first, domain.tools, random);
        if (second !== undefined && hasRoom([...new Set([first.name, second.name])])) calls.push(second);
      }
      for (const call of calls) count(call);
      const names = [...new Set(calls.map((call) => call.name))];
      const tools = shownWith(names, Math.max(names.length, menuSize(random, calls.length)), random);
      const answer: TaskSpec["answer"] =
        settings.answer === "given" ? { kind: "given", calls } : { kind: "free", calls: calls.length };
      return { id, domain: domain.name, context, tools, answer };
    }
  }

  return {
    next,
    get coverage() {
      return {
        operations: Object.fromEntries(menu.tools.map(({ name }) => [name, practised.get(name) ?? 0])),
        optionalParameters: Object.fromEntries(
          [...optional].map(([name, counts]) => [name, Object.fromEntries(counts)]),
        ),
        unsampled: [...unsampled],
      };
    },
  };
}

function checkOptions(menu: ToolMenu, settings: SpecOptions): void {
  const wrong = (option: string, value: unknown, remedy: string): SpecdojoError =>
    new SpecdojoError("invalid-option", `${option} is ${JSON.stringify(value)}`, { place: option, remedy });
  if (menu.tools.length === 0)
    throw new SpecdojoError("empty-menu", `The menu "${menu.title}" has no operations`, {
      place: "menu.tools",
      remedy: "Use a document that describes at least one operation.",
    });
  for (const [option, weights] of [
    ["context", Object.values(settings.context)],
    ["calls", settings.calls],
    ["optional", settings.optional],
  ] as const)
    if (!weights.every((weight) => weight >= 0) || !weights.some((weight) => weight > 0))
      throw wrong(option, settings[option], "Give weights of 0 or more, at least one above 0.");
  for (const [option, record, known] of [
    ["domains", settings.domains, new Set(menu.domains.map(({ name }) => name))],
    ["weights", settings.weights, new Set(menu.tools.map(({ name }) => name))],
  ] as const)
    for (const [name, weight] of Object.entries(record)) {
      if (!(weight >= 0 && Number.isFinite(weight)))
        throw wrong(`${option}.${name}`, weight, "Give a number of 0 or more.");
      if (!known.has(name))
        throw wrong(option, name, `Use names of the menu: ${[...known].slice(0, 8).join(", ")}…`);
    }
  const ranges = Array.isArray(settings.menuSize)
    ? [...settings.menuSize, ...settings.menuSizeTwoCalls]
    : settings.menuSizeTwoCalls;
  if (ranges.length === 0 || ranges.some(({ min, max, weight }) => !(min >= 1 && max >= min && weight >= 0)))
    throw wrong("menuSize", settings.menuSize, "Give ranges with 1 <= min <= max and a weight of 0 or more.");
  if (
    typeof settings.menuSize === "number" &&
    !(Number.isInteger(settings.menuSize) && settings.menuSize >= 1)
  )
    throw wrong("menuSize", settings.menuSize, 'Give a whole number of 1 or more, or "all".');
}
