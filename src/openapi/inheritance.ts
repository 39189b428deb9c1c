import { isObject } from "../util/json.js";
import { own, pointerTo, schemaList } from "./pointer.js";
import { type References, referenceOf } from "./references.js";

/** Beyond so many variants, a list of all that they may have helps nobody. */
export const maxHeirs = 20;

/** A schema and its place in the document. */
export interface PlacedSchema {
  value: unknown;
  pointer: string;
}

/**
 * The schemas that inherit from one by `allOf`, at any distance: where a `discriminator` without `oneOf` stands, values of
 * all of them are meant. The search ends where there are more than `maxHeirs`.
 */
export class Inheritance {
  readonly #references: References;
  #heirs: Map<unknown, PlacedSchema[]> | undefined;

  constructor(references: References) {
    this.#references = references;
  }

  heirsOf(schema: unknown): PlacedSchema[] {
    this.#heirs ??= this.#find();
    const found = new Map<unknown, PlacedSchema>();
    const pending = [schema];
    for (let i = 0; i < pending.length && found.size <= maxHeirs; i++)
      for (const heir of this.#heirs.get(pending[i]) ?? []) {
        if (heir.value === schema || found.has(heir.value)) continue;
        found.set(heir.value, heir);
        pending.push(heir.value);
      }
    return [...found.values()];
  }

  /** By schema: those that name it in their `allOf`. */
  #find(): Map<unknown, PlacedSchema[]> {
    const heirs = new Map<unknown, PlacedSchema[]>();
    const { document } = this.#references;
    for (const [place, schemas] of [
      ["/components/schemas", own(own(document, "components"), "schemas")],
      ["/definitions", own(document, "definitions")],
    ] as const) {
      if (!isObject(schemas)) continue;
      for (const [name, value] of Object.entries(schemas))
        for (const part of schemaList(own(value, "allOf")) ?? []) {
          const reference = referenceOf(part);
          const target = reference === undefined ? undefined : this.#references.follow(part, place);
          if (target?.kind !== "found") continue;
          const heir = { value, pointer: pointerTo(place, name) };
          const known = heirs.get(target.value);
          if (known === undefined) heirs.set(target.value, [heir]);
          else known.push(heir);
        }
    }
    return heirs;
  }
}
