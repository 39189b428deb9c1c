import type { Tool } from "../../src/openapi/index.js";
import {
  argumentViews,
  isBinary,
  propertyNames,
  typesOf,
  type Views,
  viewsOfItem,
  viewsOfProperty,
} from "../../src/openapi/views.js";
import type { JsonObject, JsonSchemaObject, JsonValue } from "../../src/util/json.js";
import type { Random } from "../../src/util/random.js";

/** Texts that a careless writer or reader of requests trips over. */
const texts = [
  ..."plain;a b;a,b;a&b=c;x/y?z#w;50%;%41;%2C;%E2%82%AC;a+b;a|b;a.b;a=b;[a];{b};ä;€;日本 🐕;'q\"q';..;-;a;b".split(
    ";",
  ),
  ..."true null 1 1.5 -0 007 1e3 {} [] a=1,b=2 a,1 data:;base64,AAE=".split(" "),
  "semi;colon",
  "tab\there",
];
const files = ["data:image/png;base64,AAH/", "data:application/octet-stream;base64,AP8=", "some text\r\n"];

/**
 * Arguments of the types that a tool's schema names, with values meant to break a wire format. They need not pass the
 * whole schema (patterns, lengths).
 */
export function nastyArguments(tool: Tool, random: Random): JsonObject {
  const root = tool.parameters;
  const required = new Set(root.required ?? []);
  const args: [string, JsonValue][] = [];
  for (const name of Object.keys(root.properties ?? {}))
    if (required.has(name) || random.next() < 0.4)
      args.push([name, sample(argumentViews(root, name), root, random, 0)]);
  return Object.fromEntries(args);
}

function sample(views: Views, root: JsonSchemaObject, random: Random, depth: number): JsonValue {
  for (const { const: constant, enum: values } of views) {
    if (constant !== undefined) return constant;
    if (Array.isArray(values) && values.length > 0) return random.pick(values);
  }
  const types = [...typesOf(views)];
  const type = types.length === 0 ? "string" : random.pick(types);
  if (type === "null") return null;
  if (type === "boolean") return random.next() < 0.5;
  if (type === "integer") return random.pick([0, 1, -7, 42, 2 ** 40, random.int(0, 9_999)]);
  if (type === "number") return random.pick([0, 1.5, -0.25, 1e21, 1e-7, random.int(0, 99) / 8]);
  if (type === "array") {
    const count = depth > 2 ? 0 : random.int(0, 3);
    return Array.from({ length: count }, (_, i) =>
      sample(viewsOfItem(views, i, root), root, random, depth + 1),
    );
  }
  if (type === "object") {
    const entries: [string, JsonValue][] = [];
    for (const name of propertyNames(views))
      if (depth < 3 && random.next() < 0.5)
        entries.push([name, sample(viewsOfProperty(views, name, root), root, random, depth + 1)]);
    const more = views.some((view) => typeof view.additionalProperties === "object");
    if (more && depth < 3)
      for (const name of random.sample(["key", "a b", "a,b", "a[b]", "__proto__", "ä"], 2))
        entries.push([name, sample(viewsOfProperty(views, name, root), root, random, depth + 1)]);
    return Object.fromEntries(entries);
  }
  return isBinary(views) ? random.pick(files) : random.pick(texts);
}
