import { isObject, type JsonSchemaObject } from "../util/json.js";
import { createFingerprinter, signatureOf, type ToolPart, toolParts } from "./fingerprint.js";
import { own } from "./pointer.js";
import { renderCompact } from "./render.js";
import type { Tool, ToolMenu } from "./types.js";

export interface ToolChange {
  /** Name in the new menu. */
  name: string;
  /** Name in the old menu, where it is another. */
  formerName?: string;
  fingerprint: { old: string; new: string };
  /** What changed of that which a model is shown: its compact line, or with `rendering: "full"` the whole schema. */
  noticed: ToolPart[];
  /** What changed behind the model's back; the client does these things right by itself. */
  unnoticed: ToolPart[];
  /** Why calls that were right before may be wrong now; empty where they stay right. */
  breaks: string[];
  /** The compact lines. */
  line: { old: string; new: string };
}

export interface MenuDiff {
  added: { name: string; fingerprint: string; line: string }[];
  removed: { name: string; fingerprint: string; line: string }[];
  changed: ToolChange[];
  unchanged: number;
  /** Would a model that was trained on the old menu see any difference? */
  noticed: boolean;
}

/**
 * What became of the tools of one menu in another. Tools are matched by name, else by method and path (then it is the name
 * that changed).
 */
export function diffMenus(
  before: Pick<ToolMenu, "tools">,
  after: Pick<ToolMenu, "tools">,
  { rendering = "compact" }: { rendering?: "compact" | "full" } = {},
): MenuDiff {
  const fingerprint = createFingerprinter();
  const left = new Map(before.tools.map((tool) => [tool.name, tool]));
  const matched = new Map<Tool, Tool>();
  for (const tool of after.tools) {
    const old = left.get(tool.name);
    if (old === undefined) continue;
    matched.set(tool, old);
    left.delete(tool.name);
  }
  const byPlace = new Map([...left.values()].map((tool) => [`${tool.method} ${tool.path}`, tool]));
  for (const tool of after.tools) {
    const key = `${tool.method} ${tool.path}`;
    const old = matched.has(tool) ? undefined : byPlace.get(key);
    if (old === undefined) continue;
    matched.set(tool, old);
    left.delete(old.name);
    byPlace.delete(key);
  }

  const visible = new Set<ToolPart>(
    rendering === "compact" ? ["name", "signature"] : ["name", "description", "signature", "parameters"],
  );
  const entry = (tool: Tool) => ({
    name: tool.name,
    fingerprint: fingerprint(tool).all,
    line: renderCompact(tool),
  });
  const added: MenuDiff["added"] = [];
  const changed: ToolChange[] = [];
  let unchanged = 0;
  for (const tool of after.tools) {
    const old = matched.get(tool);
    if (old === undefined) {
      added.push(entry(tool));
      continue;
    }
    const [was, is] = [fingerprint(old), fingerprint(tool)];
    if (was.all === is.all) {
      unchanged++;
      continue;
    }
    const parts = toolParts.filter((part) => was.parts[part] !== is.parts[part]);
    // The compact line has the beginning of a description only.
    const seen = (part: ToolPart): boolean =>
      visible.has(part) || (part === "description" && firstWords(old) !== firstWords(tool));
    changed.push({
      name: tool.name,
      ...(old.name === tool.name ? {} : { formerName: old.name }),
      fingerprint: { old: was.all, new: is.all },
      noticed: parts.filter(seen),
      unnoticed: parts.filter((part) => !seen(part)),
      breaks: breaksOf(old, tool),
      line: { old: renderCompact(old), new: renderCompact(tool) },
    });
  }
  const removed = [...left.values()].map(entry);
  const noticed = added.length + removed.length > 0 || changed.some((one) => one.noticed.length > 0);
  return { added, removed, changed, unchanged, noticed };
}

function firstWords(tool: Tool): string {
  return renderCompact({ name: "", description: tool.description, parameters: {} });
}

/** Reasons, seen from the arguments, why a call of the old tool may not be one of the new. */
function breaksOf(before: Tool, after: Tool): string[] {
  const [old, now] = [argumentsOf(before.parameters), argumentsOf(after.parameters)];
  const breaks: string[] = [];
  if (before.name !== after.name) breaks.push(`the tool was called ${before.name}`);
  for (const [name, one] of old) {
    const found = now.get(name);
    if (found === undefined) {
      if (after.parameters.additionalProperties === false) breaks.push(`${name} is gone`);
    } else if (!allows(found.type, one.type)) breaks.push(`${name} was ${one.type}, is ${found.type}`);
    else breaks.push(...narrowed(name, one.schema, found.schema));
  }
  for (const [name, { required }] of now)
    if (required && old.get(name)?.required !== true)
      breaks.push(`${name} is ${old.has(name) ? "now" : "new and"} required`);
  return breaks;
}

/** Does a type, as the compact line has it, allow every value of another? */
function allows(type: string, other: string): boolean {
  const given = new Set(alternativesOf(type));
  return alternativesOf(other).every(
    (one) => given.has(one) || given.has("any") || (one === "integer" && given.has("number")),
  );
}

/** `a|{b: c|d}|null` in its parts. */
function alternativesOf(type: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const [piece] of type.matchAll(/"(?:[^"\\]|\\.)*"|./gs)) {
    if ("({[".includes(piece)) depth++;
    else if (")}]".includes(piece)) depth--;
    if (piece === "|" && depth === 0) parts.push("");
    else parts[parts.length - 1] += piece;
  }
  return parts;
}

const limits = {
  lower: ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"],
  upper: ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"],
};

/** Limits of an argument that are closer than they were: no type shows them. */
function narrowed(name: string, old: unknown, now: unknown): string[] {
  const closer = (keyword: string, isCloser: (was: number, is: number) => boolean): string[] => {
    const [was, is] = [own(old, keyword), own(now, keyword)];
    if (typeof is !== "number" || (typeof was === "number" && !isCloser(was, is))) return [];
    return [`${name} has the ${keyword} ${is}${typeof was === "number" ? ` and not ${was}` : ""} now`];
  };
  const [was, is] = [own(old, "pattern"), own(now, "pattern")];
  return [
    ...limits.lower.flatMap((keyword) => closer(keyword, (before, after) => after > before)),
    ...limits.upper.flatMap((keyword) => closer(keyword, (before, after) => after < before)),
    ...(typeof is === "string" && is !== was ? [`${name} has another pattern now`] : []),
  ];
}

function argumentsOf(
  parameters: JsonSchemaObject,
): Map<string, { type: string; required: boolean; schema: unknown }> {
  const required = new Set(parameters.required ?? []);
  const names = isObject(parameters.properties) ? Object.keys(parameters.properties) : [];
  return new Map(
    names.map((name) => {
      const only = { [name]: parameters.properties?.[name] ?? {} };
      const line = signatureOf({
        parameters: { ...parameters, allOf: [], properties: only, required: [name] },
      });
      const schema = own(parameters.properties, name);
      return [name, { type: line.slice(line.indexOf(": ") + 2, -1), required: required.has(name), schema }];
    }),
  );
}
