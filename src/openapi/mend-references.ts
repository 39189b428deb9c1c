import type { JsonObject } from "../util/json.js";
import { pointerKeys, pointerTo, referenceTo } from "./pointer.js";
import { type FoundReference, References } from "./references.js";
import type { Diagnostic } from "./types.js";

/** Places of the same things in OpenAPI 2.0 and in 3.x. */
const places = [
  ["definitions", "components/schemas"],
  ["parameters", "components/parameters"],
  ["responses", "components/responses"],
] as const;
/** References whose surroundings are searched, and how deep they may lie: a hostile document has many, nested deeply. */
const maxSearched = 5_000;
const maxDepth = 40;

/**
 * Makes a function that corrects, in place, a reference which leads nowhere as it is written where the document says what
 * was meant, and reports it. It returns true where the reference then leads somewhere in the document.
 */
export function createMender(
  document: JsonObject,
  report: (diagnostic: Diagnostic) => void,
): (found: FoundReference) => boolean {
  const references = new References(document);
  const leads = (reference: string): boolean => references.lookUp(reference).kind === "found";
  let searched = 0;
  return (found) => {
    const { reference, holder, key, pointer } = found;
    const whole = reference === "#" || reference.trim() === "";
    if (!whole && leads(reference)) return true;
    // In a discriminator's mapping the bare name is right.
    if (key !== "$ref") return !/[#/]/.test(reference) && otherSpellings(reference).some(leads);
    const meant = whole
      ? enclosingSchema(pointer())
      : (otherSpellings(reference).find(leads) ??
        (reference.startsWith("#/") && searched++ < maxSearched
          ? around(reference, pointer(), leads)
          : undefined));
    if (meant === undefined) return whole;
    holder[key] = meant;
    report({
      code: "reference-mended",
      severity: "warning",
      pointer: pointer(),
      message: `The reference ${JSON.stringify(reference.slice(0, 500))} is read as ${JSON.stringify(meant)}.`,
      remedy: `Write \`$ref: ${JSON.stringify(meant)}\`.`,
    });
    return true;
  };
}

/** The same, relative to a schema around it: one that was pasted with its own `$defs`. The nearest counts. */
function around(
  reference: string,
  pointer: string,
  leads: (reference: string) => boolean,
): string | undefined {
  const keys = pointerKeys(pointer) ?? [];
  if (keys.length > maxDepth) return undefined;
  for (let depth = keys.length - 1; depth > 0; depth--) {
    const inside = `${referenceTo(pointerTo("", ...keys.slice(0, depth)))}${reference.slice(1)}`;
    if (leads(inside)) return inside;
  }
  return undefined;
}

/** The same place as it should be written: from the document's root, in this version's words. */
function otherSpellings(reference: string): string[] {
  // `Pet` is the style of Swagger 1.
  if (/^[\w.-]+$/.test(reference)) return places[0].map((place) => `#/${place}/${reference}`);
  const path = /^#?\/?((?:components|definitions|parameters|responses)\/.*)$/.exec(reference)?.[1];
  if (path === undefined) return [];
  const spellings = [`#/${path}`];
  for (const [old, now] of places)
    for (const [from, to] of [[old, now] as const, [now, old] as const])
      if (path.startsWith(`${from}/`)) spellings.push(`#/${to}${path.slice(from.length)}`);
  return spellings;
}

/** A schema that refers to the root means itself, not the document. */
function enclosingSchema(pointer: string): string | undefined {
  const component = /^\/(?:components\/schemas|definitions)\/[^/]+(?=\/)/.exec(pointer)?.[0];
  return component === undefined ? undefined : referenceTo(component);
}
