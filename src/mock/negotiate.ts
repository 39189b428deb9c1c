import { bareType } from "./operations.js";

interface Range {
  type: string;
  quality: number;
  /** The more exact, the higher. */
  weight: number;
}

/** The media ranges of an `Accept` header (RFC 9110). */
function rangesOf(accept: string): Range[] {
  return accept.split(",").flatMap((part) => {
    const type = bareType(part);
    if (!/^[^\s/]+\/[^\s/]+$/.test(type)) return [];
    const quality = Number(/;\s*q\s*=\s*([\d.]+)/i.exec(part)?.[1] ?? 1);
    return { type, quality: Number.isNaN(quality) ? 1 : quality, weight: weightOf(type) };
  });
}

function weightOf(type: string): number {
  return type === "*/*" ? 0 : type.endsWith("/*") ? 1 : 2;
}

/** Does a media type lie in a range such as `image/*`? Parameters do not matter. */
export function inRange(mediaType: string, range: string): boolean {
  const type = bareType(mediaType);
  const wide = bareType(range);
  return wide === "*/*" || wide === type || (wide.endsWith("/*") && type.startsWith(wide.slice(0, -1)));
}

/**
 * The best of the offered media types for an `Accept` header; the order of the offer decides between equals. Undefined
 * where none is acceptable. Offers may be ranges themselves.
 */
export function negotiate(accept: string | undefined, offered: readonly string[]): string | undefined {
  const ranges = rangesOf(accept ?? "");
  if (ranges.length === 0) return offered[0];
  let best: { type: string; quality: number; weight: number } | undefined;
  for (const type of offered) {
    const fits = ranges
      .filter((range) => inRange(type, range.type) || inRange(range.type, type))
      .sort((a, b) => b.weight - a.weight)[0];
    if (fits === undefined || fits.quality <= 0) continue;
    if (best === undefined || fits.quality > best.quality) best = { ...fits, type };
  }
  return best?.type;
}

/** What a `Prefer` header asks of a mock: `code=404`, `example=NAME`. */
export function preferences(header: string | undefined): { code?: string; example?: string } {
  const found: { code?: string; example?: string } = {};
  for (const part of (header ?? "").split(/[,;]/)) {
    const [, key, quoted, plain] = /^\s*(code|example)\s*=\s*(?:"([^"]*)"|(\S+))\s*$/i.exec(part) ?? [];
    const value = quoted ?? plain;
    if (value === undefined) continue;
    if (key?.toLowerCase() === "example") found.example = value;
    else if (/^[2-5]\d\d$/.test(value)) found.code = value;
  }
  return found;
}
