import { isObject, type JsonObject } from "../util/json.js";
import { own, pointerKeys, pointerTo } from "./pointer.js";
import type { Diagnostic } from "./types.js";

/** Where a reference leads: `pointer` is a JSON pointer into the document. */
export type Resolution =
  | { kind: "found"; value: unknown; pointer: string }
  | { kind: "unresolved" }
  | { kind: "external" };

const maxHops = 64;

/** True for a reference to anything but this document; a bare `#...` fragment is local, and an empty one says nothing. */
export function isExternalReference(reference: string): boolean {
  return !reference.startsWith("#") && reference.trim() !== "";
}

/** The reference of a Reference Object, else undefined. A property that happens to be called `$ref` is none. */
export function referenceOf(value: unknown): string | undefined {
  // A dynamic reference leads to the one anchor of its name, unless there are several.
  const reference = own(value, "$ref") ?? own(value, "$dynamicRef");
  return typeof reference === "string" ? reference : undefined;
}

/** Looks references up in one document, which must not change meanwhile. Nothing outside the document is ever read. */
export class References {
  readonly document: JsonObject;
  readonly #known = new Map<string, Resolution>();
  #anchors: Map<string, string | undefined> | undefined;

  constructor(document: JsonObject) {
    this.document = document;
  }

  /** One step: what the reference itself points to (which may be a reference again). */
  lookUp(reference: string): Resolution {
    let known = this.#known.get(reference);
    if (known === undefined) {
      known = this.#lookUp(reference);
      this.#known.set(reference, known);
    }
    return known;
  }

  #lookUp(reference: string): Resolution {
    if (isExternalReference(reference)) return { kind: "external" };
    if (!reference.startsWith("#")) return { kind: "unresolved" };
    let fragment = reference.slice(1);
    const direct = this.#walk(fragment);
    if (direct !== undefined) return direct;
    try {
      fragment = decodeURIComponent(fragment);
    } catch {
      return { kind: "unresolved" };
    }
    const decoded = this.#walk(fragment);
    if (decoded !== undefined) return decoded;
    const anchored = /^[\w.-]+$/.test(fragment) ? this.#anchor(fragment) : undefined;
    if (anchored === undefined) return { kind: "unresolved" };
    return this.#walk(anchored) ?? { kind: "unresolved" };
  }

  /** Follows references until something else is found. A loop of references counts as unresolved. */
  follow(value: unknown, pointer: string): Resolution {
    let current: { value: unknown; pointer: string } = { value, pointer };
    for (let hop = 0; hop < maxHops; hop++) {
      const reference = referenceOf(current.value);
      if (reference === undefined) return { kind: "found", ...current };
      const next = this.lookUp(reference);
      if (next.kind !== "found") return next;
      current = next;
    }
    return { kind: "unresolved" };
  }

  #walk(fragment: string): Resolution | undefined {
    const keys = pointerKeys(fragment);
    if (keys === undefined) return undefined;
    let value: unknown = this.document;
    let pointer = "";
    let hops = 0;
    for (const key of keys) {
      // A pointer may lead through a reference.
      for (let reference = referenceOf(value); reference !== undefined; reference = referenceOf(value)) {
        if (own(value, key) !== undefined || ++hops > maxHops || isExternalReference(reference)) break;
        const through = pointerKeys(reference.slice(1));
        if (through === undefined) break;
        let target: unknown = this.document;
        for (const part of through) target = child(target, part);
        if (target === undefined) break;
        value = target;
        pointer = reference.slice(1);
      }
      value = child(value, key);
      if (value === undefined) return undefined;
      pointer = pointerTo(pointer, key);
    }
    return { kind: "found", value, pointer };
  }

  #anchor(name: string): string | undefined {
    if (this.#anchors === undefined) {
      this.#anchors = new Map();
      const stack: [unknown, string][] = [[this.document, ""]];
      for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
        const [value, pointer] = next;
        for (const keyword of ["$anchor", "$dynamicAnchor"]) {
          const anchor = own(value, keyword);
          if (typeof anchor !== "string") continue;
          // Which of several dynamic ones is meant depends on the way that led there.
          if (!this.#anchors.has(anchor)) this.#anchors.set(anchor, pointer);
          else if (keyword === "$dynamicAnchor") this.#anchors.set(anchor, undefined);
        }
        if (Array.isArray(value))
          value.forEach((item, i) => {
            stack.push([item, pointerTo(pointer, i)]);
          });
        else if (isObject(value))
          for (const key of Object.keys(value)) stack.push([value[key], pointerTo(pointer, key)]);
      }
    }
    return this.#anchors.get(name);
  }
}

function child(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return /^\d+$/.test(key) ? value[Number(key)] : undefined;
  return own(value, key);
}

/** Keys whose value is a map from names: the keys below are names, not keywords. */
export const nameMaps = new Set([
  ..."properties patternProperties $defs definitions dependentSchemas schemas parameters responses".split(
    " ",
  ),
  ..."requestBodies headers links callbacks pathItems paths webhooks content encoding".split(" "),
]);
/** Keys below which a `$ref` is somebody's data and not a reference. */
const dataKeys = new Set(["example", "examples", "default", "enum", "const", "security"]);

export interface FoundReference {
  reference: string;
  /** The object that holds it, and under which key: `$ref`, or a value of a discriminator's mapping. */
  holder: Record<string, unknown>;
  key: string;
  /** JSON pointer of the reference itself. */
  pointer(): string;
}

interface Place {
  value: object;
  key: string | number;
  parent: Place | undefined;
  /** The keys of the value are names, not keywords. */
  names: boolean;
}

/** Calls `visit` for every reference below a value, in linear time and without recursion. */
export function eachReference(
  root: unknown,
  pointer: string,
  visit: (found: FoundReference) => void,
  seen = new Set<unknown>(),
): void {
  if (typeof root !== "object" || root === null) return;
  const stack: Place[] = [{ value: root, key: "", parent: undefined, names: false }];
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    const { value, names } = place;
    if (seen.has(value)) continue;
    seen.add(value);
    const parent = place;
    if (Array.isArray(value)) {
      for (let i = value.length - 1; i >= 0; i--) {
        const item: unknown = value[i];
        if (typeof item === "object" && item !== null)
          stack.push({ value: item, key: i, parent, names: false });
      }
      continue;
    }
    const holder = value as Record<string, unknown>;
    const keys = Object.keys(holder);
    for (let i = keys.length - 1; i >= 0; i--) {
      const key = keys[i] as string;
      const below = holder[key];
      if (key === "$ref" && !names && typeof below === "string")
        visit(found(holder, key, below, place, pointer));
      if (typeof below !== "object" || below === null) continue;
      if (!names && (dataKeys.has(key) || key.startsWith("x-"))) continue;
      if (key === "discriminator" && !names)
        mappingOf(below, { value: below, key, parent, names }, pointer, visit);
      // `parameters` and the like are lists in an operation and maps in components.
      else stack.push({ value: below, key, parent, names: !names && nameMaps.has(key) });
    }
  }
}

function mappingOf(
  discriminator: object,
  parent: Place,
  pointer: string,
  visit: (found: FoundReference) => void,
): void {
  const mapping = own(discriminator, "mapping");
  if (!isObject(mapping)) return;
  const place: Place = { value: mapping, key: "mapping", parent, names: true };
  for (const key of Object.keys(mapping)) {
    const target = mapping[key];
    // Anything else is the name of a schema.
    if (typeof target === "string" && /[#/.:]/.test(target))
      visit(found(mapping, key, target, place, pointer));
  }
}

function found(
  holder: Record<string, unknown>,
  key: string,
  reference: string,
  place: Place,
  root: string,
): FoundReference {
  return {
    reference,
    holder,
    key,
    pointer() {
      const keys = [key];
      for (let at = place; at.parent !== undefined; at = at.parent) keys.push(String(at.key));
      return pointerTo(root, ...keys.reverse());
    },
  };
}

/**
 * The objects and lists of a document that hold one of the given objects, directly or through any number of references
 * of the document. Linear in the size of the document.
 */
export function dependentsOf(references: References, wanted: ReadonlySet<object>): Set<object> {
  const users = new Map<unknown, object[]>();
  const uses = (user: object, used: unknown): void => {
    const list = users.get(used);
    if (list === undefined) users.set(used, [user]);
    else list.push(user);
  };
  const seen = new Set<object>([references.document]);
  const stack: object[] = [references.document];
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    const reference = referenceOf(value);
    const target = reference === undefined ? undefined : references.lookUp(reference);
    if (target?.kind === "found") uses(value, target.value);
    for (const item of Object.values(value)) {
      if (typeof item !== "object" || item === null) continue;
      uses(value, item);
      if (seen.has(item)) continue;
      seen.add(item);
      stack.push(item);
    }
  }
  const reached = new Set<object>(wanted);
  const pending: object[] = [...wanted];
  for (let value = pending.pop(); value !== undefined; value = pending.pop())
    for (const user of users.get(value) ?? [])
      if (!reached.has(user)) {
        reached.add(user);
        pending.push(user);
      }
  return reached;
}

export function unresolvedDiagnostic(reference: string, pointer: string, consequence: string): Diagnostic {
  return {
    code: "unresolved-reference",
    severity: "error",
    pointer,
    message: `The reference ${JSON.stringify(reference)} leads nowhere in this document; ${consequence}.`,
    remedy: "Add what it refers to, or correct the reference.",
  };
}
