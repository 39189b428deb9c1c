import type { Tool, ToolMenu } from "../openapi/types.js";
import { isObject } from "../util/json.js";
import type { TokenStore } from "./tokens.js";

/** Where a request may carry credentials. Header names are in lower case. */
export interface Presented {
  headers: Readonly<Record<string, string>>;
  query: URLSearchParams;
  cookies: ReadonlyMap<string, string>;
}

export type SecurityCheck =
  | { ok: true; schemes: string[] }
  | { ok: false; status: 401 | 403; message: string; challenge: string };

interface Fault {
  status: 401 | 403;
  message: string;
}

/** Checks the security requirements of an operation: one alternative must be met, all of its schemes. */
export function checkSecurity(
  menu: ToolMenu,
  tool: Tool,
  presented: Presented,
  accepted: Readonly<Record<string, string>>,
  tokens: TokenStore,
): SecurityCheck {
  const alternatives = tool.security ?? [];
  if (alternatives.length === 0) return { ok: true, schemes: [] };
  const faults: Fault[] = [];
  // Anonymous use is the last choice, wherever the document lists it.
  const ordered = [...alternatives].sort((a, b) => Object.keys(b).length - Object.keys(a).length);
  for (const alternative of ordered) {
    const found = Object.entries(alternative).map(([scheme, scopes]) =>
      checkScheme(menu, scheme, scopes, presented, accepted, tokens),
    );
    const failed = found.filter((fault) => fault !== undefined);
    if (failed.length === 0) return { ok: true, schemes: Object.keys(alternative) };
    faults.push(...failed);
  }
  const status = faults.every((fault) => fault.status === 403) ? 403 : 401;
  const message = [...new Set(faults.map((fault) => fault.message))].join("; ");
  return { ok: false, status, message, challenge: challengeOf(menu, ordered) };
}

function checkScheme(
  menu: ToolMenu,
  scheme: string,
  scopes: readonly string[],
  presented: Presented,
  accepted: Readonly<Record<string, string>>,
  tokens: TokenStore,
): Fault | undefined {
  const definition = schemeOf(menu, scheme);
  const fault = (message: string, status: 401 | 403 = 401): Fault => ({
    status,
    message: `${JSON.stringify(scheme)}: ${message}`,
  });
  const wanted = acceptedFor(accepted, scheme);
  const { type } = definition;
  if (type === "apiKey") {
    const name = String(definition.name);
    const place = String(definition.in);
    const given =
      place === "query"
        ? presented.query.get(name)
        : place === "cookie"
          ? presented.cookies.get(name)
          : presented.headers[name.toLowerCase()];
    if (!given) return fault(`the ${place} has no key ${JSON.stringify(name)}`);
    return wanted === undefined || given === wanted ? undefined : fault("the key is not the accepted one");
  }
  // What a certificate says does not reach an HTTP server on loopback.
  if (type === "mutualTLS") return undefined;
  if (type !== "http" && type !== "oauth2" && type !== "openIdConnect")
    return fault("the document does not define this scheme");
  const kind = type === "http" ? String(definition.scheme).toLowerCase() : "bearer";
  const [, given, text = ""] = /^(\S+)[ \t]+(.+)$/.exec(presented.headers.authorization ?? "") ?? [];
  if (given?.toLowerCase() !== kind) return fault(`the header Authorization has no ${kind} credentials`);
  if (kind === "basic") {
    const pair = Buffer.from(text, "base64").toString("utf8");
    if (!pair.includes(":")) return fault("the credentials are not name:password in base64");
    return wanted === undefined || pair === wanted ? undefined : fault("name or password are wrong");
  }
  if (kind === "bearer" && type === "oauth2") {
    const issued = tokens.check(text, scopes);
    if (issued === "valid") return undefined;
    if (issued === "expired") return fault("the token is expired");
    if (issued === "insufficient-scope") return fault(`the token lacks a scope of ${scopes.join(", ")}`, 403);
    // A pair is that of a client, and not a token.
    if (wanted?.includes(":")) return fault("the token was not issued here");
  }
  return wanted === undefined || text === wanted ? undefined : fault("the token is not the accepted one");
}

/** The credential that a scheme asks for; undefined where any will do. */
export function acceptedFor(accepted: Readonly<Record<string, string>>, scheme: string): string | undefined {
  if (Object.hasOwn(accepted, scheme)) return accepted[scheme];
  return Object.hasOwn(accepted, "*") ? accepted["*"] : undefined;
}

function schemeOf(menu: ToolMenu, scheme: string): Record<string, unknown> {
  const definition = Object.hasOwn(menu.securitySchemes, scheme) ? menu.securitySchemes[scheme] : undefined;
  return isObject(definition) ? definition : {};
}

/** Value of `WWW-Authenticate`. */
function challengeOf(menu: ToolMenu, alternatives: readonly Record<string, unknown>[]): string {
  const kinds = alternatives.flatMap((alternative) =>
    Object.keys(alternative).map((scheme) => {
      const { type, scheme: kind } = schemeOf(menu, scheme);
      if (type === "http" && /^[\w-]+$/.test(String(kind))) return String(kind);
      return type === "apiKey" ? "ApiKey" : "Bearer";
    }),
  );
  return [...new Set(kinds)].map((kind) => `${kind} realm="mock"`).join(", ") || 'Bearer realm="mock"';
}

/** Where API keys of the document stand; names of headers in lower case. */
export interface KeyPlaces {
  header: Set<string>;
  query: Set<string>;
  cookie: Set<string>;
}

/** The places of all API keys, or of those that one operation asks for. */
export function keyPlaces(menu: ToolMenu, tool?: Tool): KeyPlaces {
  const names =
    tool === undefined ? Object.keys(menu.securitySchemes) : (tool.security ?? []).flatMap(Object.keys);
  const places: KeyPlaces = { header: new Set(), query: new Set(), cookie: new Set() };
  for (const scheme of names) {
    const definition = schemeOf(menu, scheme);
    if (definition.type !== "apiKey") continue;
    const name = String(definition.name);
    if (definition.in === "query" || definition.in === "cookie") places[definition.in].add(name);
    else places.header.add(name.toLowerCase());
  }
  return places;
}
