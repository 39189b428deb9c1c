import { own } from "../openapi/pointer.js";
import type { Server, Tool } from "../openapi/types.js";

/** A path, segment by segment: the texts around the places for values (one more text than places). */
type Segment = readonly string[];

interface Route<T> {
  target: T;
  /** Upper-case. */
  method: string;
  segments: readonly Segment[];
  /** How many of the segments are the server's base path. */
  baseLength: number;
  /** The segments as they stand in the document. */
  texts: readonly string[];
  /** The pairs of a query that the path template has itself. */
  fixed: readonly Segment[];
  /** Sorts concrete paths before templates, place by place. */
  rank: string;
}

export type Match<T> =
  /**
   * Several only where the document cannot tell its operations apart by their paths; in its order. `path` is the request's
   * path below the server's base path, which is `base`.
   */
  | { kind: "found"; targets: T[]; base: string; path: string }
  | { kind: "wrong-method"; allowed: string[] }
  | { kind: "none" };

/** Path part of a server's URL template, without a slash at its end; places for variables are kept as `{name}`. */
export function basePathOf(server: Server, fill = false): string {
  const url = fill
    ? server.url.replaceAll(/\{([^{}]+)\}/g, (whole, name: string) => {
        const variable = own(server.variables, name) as Server["variables"][string] | undefined;
        return variable?.default ?? whole;
      })
    : server.url;
  const path = url.replace(/^[a-z{][^/]*:\/\/[^/]*/i, "").replace(/^\/\/[^/]*/, "");
  return (
    path
      .split(/[?#]/, 1)[0]
      ?.replace(/^(?!\/)(?=.)/, "/")
      .replace(/\/+$/, "") ?? ""
  );
}

/** Finds the operation of a request: below the base paths of its servers, or without one. */
export function createRouter<T extends { tool: Tool }>(
  operations: readonly T[],
): (method: string, path: string, query: string) => Match<T> {
  const routes = operations.flatMap((target) => routesOf(target, target.tool));
  routes.sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0));
  return (method, path, query) => {
    const given = path.split("/").map(decodeSegment);
    const pairs = query.split("&").map(decodeSegment);
    const fits = routes.filter((route) => {
      const { fixed, segments } = route;
      return (
        segments.length === given.length &&
        segments.every((segment, i) => matches(segment, given[i] ?? "")) &&
        fixed.every((pair, i) => matches(pair, pairs[i] ?? ""))
      );
    });
    const wanted = fits.filter((route) => route.method === method);
    const [best] = wanted.length > 0 || method !== "HEAD" ? wanted : fits.filter((r) => r.method === "GET");
    if (best === undefined)
      return fits.length === 0
        ? { kind: "none" }
        : { kind: "wrong-method", allowed: [...new Set(fits.map((route) => route.method))] };
    const equals = fits.filter((route) => route.rank === best.rank && route.method === best.method);
    const parts = path
      .split("/")
      .map((text, i) => ((best.segments[i]?.length ?? 1) > 1 ? text : (best.texts[i] ?? text)))
      .slice(best.baseLength);
    return {
      kind: "found",
      targets: [...new Set(equals.map(({ target }) => target))],
      base: path.split("/").slice(0, best.baseLength).join("/"),
      path: `/${parts.join("/")}`,
    };
  };
}

function routesOf<T>(target: T, tool: Tool): Route<T>[] {
  const [place = "", fixedQuery = ""] = tool.path.split("#", 1)[0]?.split("?") ?? [];
  const fixed = fixedQuery === "" ? [] : fixedQuery.split("&").map(toSegment);
  const bases = new Set([...tool.servers.map((server) => basePathOf(server)), ""]);
  return [...bases].map((base) => {
    const texts = `${base}/${place.replace(/^\//, "")}`.split("/");
    const segments = texts.map(toSegment);
    return {
      target,
      method: tool.method.toUpperCase(),
      segments,
      baseLength: base.split("/").length,
      texts,
      fixed,
      rank: `${segments.map(rankOf).join("")}${fixed.length > 0 ? "0" : "1"}`,
    };
  });
}

function toSegment(text: string): Segment {
  return text.split(/\{[^{}]+\}/).map(decodeSegment);
}

/** `0` for a concrete segment; for a template, the more text the smaller. */
function rankOf(segment: Segment): string {
  if (segment.length === 1) return "0";
  const length = segment.join("").length;
  return length > 0 ? String(Math.max(1, 8 - length)) : "9";
}

function matches(segment: Segment, text: string): boolean {
  const [first = ""] = segment;
  if (segment.length === 1) return text === first;
  const last = segment.at(-1) ?? "";
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const literal of segment.slice(1, -1)) {
    const next = text.indexOf(literal, at + 1);
    if (next === -1 || next + literal.length > end) return false;
    at = next + literal.length;
  }
  return at < end;
}

/** Clients differ in which characters of a path they percent-encode. */
export function decodeSegment(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
