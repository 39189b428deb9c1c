import { isObject } from "../util/json.js";

/** The value of an own property; never one that the prototype lends (`constructor`, `valueOf`, ...). */
export function own(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** Appends keys to a JSON pointer (RFC 6901), escaping them. */
export function pointerTo(base: string, ...keys: (string | number)[]): string {
  let pointer = base;
  for (const key of keys) {
    const text = String(key);
    pointer += "/";
    // Replacing is ten times as slow as looking.
    pointer +=
      text.includes("/") || text.includes("~") ? text.replaceAll("~", "~0").replaceAll("/", "~1") : text;
  }
  return pointer;
}

/** The keys of a JSON pointer; undefined where it is not one. */
export function pointerKeys(pointer: string): string[] | undefined {
  if (pointer === "") return [];
  if (!pointer.startsWith("/")) return undefined;
  return pointer
    .slice(1)
    .split("/")
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Can a value be written as JSON, by code that calls itself for each level? */
export function isShallow(value: unknown, levels = 100): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isShallow(item, levels - 1));
}

/** A scalar of the document as text; "" for what is none. `String` would ask an object, and its `toString` is data. */
export function textOf(value: unknown): string {
  return typeof value === "object" || value === undefined ? "" : String(value);
}

/** `true`, also in quotes, as converters and people write it. */
export function isTrue(value: unknown): boolean {
  return value === true || value === "true";
}

/** The members of `allOf`, `anyOf` or `oneOf`: one that is no list is a list of one. */
export function schemaList(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : isObject(value) ? [value] : undefined;
}

/** A `$ref` to a place of its own document, percent-encoded. Half of a surrogate pair stays as it is: it cannot be encoded. */
export function referenceTo(pointer: string): string {
  const encoded = pointer
    .split("/")
    .map((key) => (/\p{Surrogate}/u.test(key) ? key.replaceAll("%", "%25") : encodeURIComponent(key)));
  return `#${encoded.join("/")}`;
}
