import { isObject, type JsonObject } from "../util/json.js";
import { own } from "./pointer.js";
import type { Domain, Tool } from "./types.js";

const meaningless = /^(api|apis|rest|public|v\d+([._-]?\d+)*(alpha|beta)?\d*|\d+(\.\d+)*|latest|current)$/i;

/** The domain of an operation: its first tag, else the first path segment that means something. */
export function domainOf(tags: unknown, path: string): string {
  const tag = Array.isArray(tags)
    ? tags.find((one) => typeof one === "string" && one.trim() !== "")
    : undefined;
  if (typeof tag === "string") return tag.trim().slice(0, 200);
  const segments = path.split("/").filter((segment) => segment !== "" && !segment.startsWith("{"));
  const segment = segments.find((one) => !meaningless.test(one)) ?? segments[0];
  return segment === undefined
    ? "default"
    : segment.replaceAll(/\{[^{}]*\}|[?#].*$/g, "").replace(/[.:]+$/, "") || "default";
}

/** Domains in the order of the document's tags, then in order of appearance. Only those that have tools. */
export function domainsOf(document: JsonObject, tools: readonly Tool[]): Domain[] {
  const byName = new Map<string, Domain>();
  const tags = own(document, "tags");
  if (Array.isArray(tags))
    for (const tag of tags) {
      const name = own(tag, "name");
      const description = own(tag, "description");
      if (!isObject(tag) || typeof name !== "string" || byName.has(name.trim())) continue;
      byName.set(name.trim(), {
        name: name.trim(),
        description: typeof description === "string" ? description.replaceAll(/\s+/g, " ").trim() : "",
        tools: [],
      });
    }
  for (const tool of tools) {
    const domain = byName.get(tool.domain) ?? { name: tool.domain, description: "", tools: [] };
    byName.set(tool.domain, domain);
    domain.tools.push(tool.name);
  }
  return [...byName.values()].filter((domain) => domain.tools.length > 0);
}
