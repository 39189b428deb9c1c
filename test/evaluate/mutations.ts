import type { ToolCall } from "../../src/task/types.js";
import { isObject, type JsonObject, type JsonValue } from "../../src/util/json.js";

/** A wrong, or differently written, answer made of a right one. */
export interface Mutation {
  /** The kind of failure it was made for; `same` where it says the same in another way. */
  kind: string;
  calls: ToolCall[];
}

/** A value in other writings, of other types, and other values. */
function others(value: JsonValue): [string, JsonValue][] {
  if (typeof value === "string")
    return [
      ["format", value.toUpperCase()],
      ["format", ` ${value.replaceAll(" ", "_")}.`],
      ["format", value.replaceAll("'", '"')],
      ["incomplete", value.slice(0, -1)],
      ["invented", `${value}x`],
      ["type", [value]],
      ["type", value.length],
      ["type", ""],
      ["enum", `${value}s`],
    ];
  if (typeof value === "number")
    return [
      ["unit", value * 1000],
      ["invented", value + 1],
      ["fraction", value + 0.5],
      ["sign", -value],
      ["type", String(value)],
      ["type", value === 1],
      ["type", [value]],
    ];
  if (typeof value === "boolean")
    return [
      ["other", !value],
      ["type", String(value)],
      ["type", Number(value)],
    ];
  if (Array.isArray(value))
    return [
      ["order", [...value].reverse()],
      ["incomplete", value.slice(1)],
      ["incomplete", []],
      ["extra", [...value, value[0] ?? "x"]],
      ["type", JSON.stringify(value)],
      ["type", [value]],
      ...others(value[0] ?? null).map(([kind, first]): [string, JsonValue] => [
        `item-${kind}`,
        [first, ...value.slice(1)],
      ]),
    ];
  if (isObject(value)) {
    const entries = Object.entries(value as JsonObject);
    const [first, ...rest] = entries;
    return [
      ["type", JSON.stringify(value)],
      ["extra", { ...value, another: 1 } as JsonObject],
      ["order", Object.fromEntries([...entries].reverse())],
      ["type", Object.values(value as JsonObject)],
      ["incomplete", {}],
      ...(first === undefined
        ? []
        : ([
            ["incomplete", Object.fromEntries(rest)],
            ...others(first[1]).map(([kind, inner]): [string, JsonValue] => [
              `property-${kind}`,
              { ...(value as JsonObject), [first[0]]: inner },
            ]),
          ] as [string, JsonValue][])),
    ];
  }
  return [["type", "null"]];
}

/** Answers that differ from a right one in every way in which answers fail; `names` are the tools there are. */
export function mutate(gold: readonly ToolCall[], names: readonly string[]): Mutation[] {
  const mutations: Mutation[] = [
    { kind: "same", calls: [...gold] },
    { kind: "same", calls: [...gold].reverse() },
    { kind: "refused", calls: [] },
    { kind: "wrong-number-of-calls", calls: [...gold, ...gold.slice(0, 1)] },
    { kind: "wrong-number-of-calls", calls: gold.slice(1) },
  ];
  const first = names[0];
  if (gold.length === 0 && first !== undefined)
    mutations.push({ kind: "needless-call", calls: [{ name: first, arguments: {} }] });
  for (const [i, call] of gold.entries()) {
    const put = (kind: string, changed: ToolCall) =>
      mutations.push({ kind, calls: gold.map((other, j) => (i === j ? changed : other)) });
    const other = names.find((name) => name !== call.name);
    put("wrong-tool", { ...call, name: other ?? `${call.name}_2` });
    put("wrong-tool", { ...call, name: call.name.toUpperCase() });
    put("extra-argument", { ...call, arguments: { ...call.arguments, unheard_of: 1 } });
    put("missing-argument", { ...call, arguments: {} });
    for (const key of Object.keys(call.arguments)) {
      const { [key]: value = null, ...rest } = call.arguments;
      put("missing-argument", { ...call, arguments: rest });
      put("extra-argument", { ...call, arguments: { ...rest, [`${key}_`]: value } });
      for (const [kind, changed] of others(value))
        put(`wrong-value/${kind}`, { ...call, arguments: { ...call.arguments, [key]: changed } });
    }
  }
  return mutations;
}
