import { isObject, type JsonObject } from "../util/json.js";
import { own, pointerKeys, pointerTo } from "./pointer.js";
import type { Diagnostic } from "./types.js";

/** Where a reference leads: `pointer` is a JSON pointer into the document. */
export type Resolution =
  | { kind: "found"; value: unknown; pointer: string }
  | { kind: "unresolved" }
  | { kind: "external" };

const maxHops = 64;

/** True for a reference to anything but this document; a bare `#...` fragment is local. */
export function isExternalReference(reference: string): boolean {
  return !reference.startsWith("#");
}

/** The reference of a Reference Object, else undefined. A property that happens to be called `$ref` is none. */
export function referenceOf(value: unknown): string | undefined {
  const reference = own(value, "$ref");
  return typeof reference === "string" ? reference : undefined;
}

/** Looks references up in one document. Nothing outside the document is ever read. */
export class References {
  readonly document: JsonObject;
  #anchors: Map<string, string> | undefined;

  constructor(document: JsonObject) {
    this.document = document;
  }

  /** One step: what the reference itself points to (which may be a reference again). */
  lookUp(reference: string): Resolution {
    if (isExternalReference(reference)) return { kind: "external" };
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
          if (typeof anchor === "string" && !this.#anchors.has(anchor)) this.#anchors.set(anchor, pointer);
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
const nameMaps = new Set([
  ..."properties patternProperties $defs definitions dependentSchemas schemas parameters responses".split(
    " ",
  ),
  ..."requestBodies headers links callbacks pathItems paths webhooks content encoding mapping".split(" "),
]);
/** Keys below which a `$ref` is somebody's data and not a reference. */
const dataKeys = new Set(["example", "examples", "default", "enum", "const", "mapping", "security"]);

export interface FoundReference {
  reference: string;
  /** JSON pointer of the `$ref` itself. */
  pointer: string;
  /** The object that holds it. */
  holder: Record<string, unknown>;
}

/** Calls `visit` for every reference below a value, in linear time and without recursion. */
export function eachReference(
  root: unknown,
  pointer: string,
  visit: (found: FoundReference) => void,
  seen = new Set<unknown>(),
): void {
  const stack: { value: unknown; pointer: string; names: boolean }[] = [
    { value: root, pointer, names: false },
  ];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { value, names } = next;
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    if (Array.isArray(value)) {
      for (let i = value.length - 1; i >= 0; i--)
        stack.push({ value: value[i], pointer: pointerTo(next.pointer, i), names: false });
      continue;
    }
    if (!isObject(value)) continue;
    const reference = names ? undefined : referenceOf(value);
    if (reference !== undefined)
      visit({ reference, pointer: pointerTo(next.pointer, "$ref"), holder: value });
    for (const key of Object.keys(value).reverse()) {
      if (!names && (dataKeys.has(key) || key.startsWith("x-"))) continue;
      const below = value[key];
      // `parameters` and the like are lists in an operation and maps in components.
      stack.push({ value: below, pointer: pointerTo(next.pointer, key), names: !names && nameMaps.has(key) });
    }
  }
}

/** The external references that a value depends on, through any number of local ones. */
export function externalDependencies(
  references: References,
  root: unknown,
  pointer: string,
): FoundReference[] {
  const external: FoundReference[] = [];
  const seen = new Set<unknown>();
  const pending: [unknown, string][] = [[root, pointer]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    eachReference(
      next[0],
      next[1],
      (found) => {
        const target = references.lookUp(found.reference);
        if (target.kind === "external") external.push(found);
        else if (target.kind === "found" && !seen.has(target.value))
          pending.push([target.value, target.pointer]);
      },
      seen,
    );
  }
  return external;
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
