import { isObject } from "../util/json.js";

/** The value of an own property; never one that the prototype lends (`constructor`, `valueOf`, ...). */
export function own(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** Appends keys to a JSON pointer (RFC 6901), escaping them. */
export function pointerTo(base: string, ...keys: (string | number)[]): string {
  let pointer = base;
  for (const key of keys) pointer += `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;
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
