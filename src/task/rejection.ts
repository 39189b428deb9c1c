import { isObject } from "../util/json.js";
import type { Rejection } from "./types.js";

/** Longest quote of a model's text that a rejection carries, in characters. */
const quoteLength = 120;

export function reject(reason: Rejection["reason"], pointer: string, message: string): Rejection {
  return { reason, pointer, message };
}

export function isRejection(value: unknown): value is Rejection {
  return isObject(value) && typeof value.reason === "string" && typeof value.pointer === "string";
}

/** A one-line excerpt of a model's text, for messages and pointers. */
export function quote(text: string): string {
  const line = text
    .slice(0, quoteLength * 2)
    .replace(/\s+/g, " ")
    .trim();
  return line.length > quoteLength ? `${line.slice(0, quoteLength - 1)}…` : line;
}

/** One reference token appended to a JSON pointer (RFC 6901). */
export function pointerTo(parent: string, key: string | number): string {
  return `${parent}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}
