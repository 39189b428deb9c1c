import { createHash } from "node:crypto";
import { isObject } from "../util/json.js";
import { renderCompact } from "./render.js";
import type { Tool } from "./types.js";

/** The parts of a tool that may change between two versions of a document. */
export const toolParts = [
  "name",
  "description",
  "signature",
  "method",
  "path",
  "domain",
  "parameters",
  "bindings",
  "body",
  "responses",
  "deprecated",
  "annotations",
  "security",
  "servers",
] as const;
export type ToolPart = (typeof toolParts)[number];

export interface Fingerprint {
  /** Of everything that is known about the tool but its place in the document. 16 hexadecimal digits. */
  all: string;
  parts: Record<ToolPart, string>;
}

/** Schemas end long before; an example that is nested deeper is somebody's attack. */
const maxDepth = 1_000;

/** Makes fingerprints of tools; keep one for a whole menu, whose tools share parts of their schemas. */
export function createFingerprinter(): (tool: Tool) => Fingerprint {
  const known = new WeakMap<object, string>();
  /** Does not depend on the order of keys. Parts that tools share are looked at once. */
  const digest = (value: unknown, depth = 0): string => {
    if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "undefined";
    if (depth > maxDepth) return "";
    const found = known.get(value);
    if (found !== undefined) return found;
    const text = Array.isArray(value)
      ? `[${value.map((item) => digest(item, depth + 1)).join(",")}]`
      : `{${Object.keys(value)
          .sort()
          .map((key) => `${JSON.stringify(key)}:${digest(Reflect.get(value, key), depth + 1)}`)
          .join(",")}}`;
    // Hashes keep the texts of nested parts from growing.
    const result = text.length > 500 ? hash(text) : text;
    if (isObject(value)) known.set(value, result);
    return result;
  };
  return (tool) => {
    const parts = Object.fromEntries(
      toolParts.map((part) => [part, hash(digest(part === "signature" ? signatureOf(tool) : tool[part]))]),
    ) as Record<ToolPart, string>;
    return { all: hash(JSON.stringify(parts)), parts };
  };
}

/** What a compact line says of a tool's arguments: `(petId: integer, name?: string)`. */
export function signatureOf(tool: Pick<Tool, "parameters">): string {
  return renderCompact({ name: "", description: "", parameters: tool.parameters });
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
