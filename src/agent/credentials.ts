import type { Tool, ToolMenu } from "../openapi/index.js";
import { isObject, type JsonValue } from "../util/json.js";

/** A token or key, or a name with a password. */
export type Credential = string | { username: string; password: string };

/** One security scheme for one call. */
export interface CredentialRequest {
  /** Name of the scheme in the document. */
  scheme: string;
  /** The scheme's definition in the document. */
  definition: JsonValue;
  /** Scopes or roles that the operation asks for. */
  scopes: string[];
  operation: string;
  signal: AbortSignal;
}

/** Where credentials go in a request. Held only while the request is made. */
export interface Authorisation {
  headers: [string, string][];
  query: [string, string][];
  cookies: [string, string][];
  /** Every secret text in it, in all forms that are sent: for removing them from messages. */
  secrets: string[];
}

type Provider = (request: CredentialRequest) => Credential | undefined | Promise<Credential | undefined>;

function empty(): Authorisation {
  return { headers: [], query: [], cookies: [], secrets: [] };
}

/**
 * Credentials for one call: the first of the operation's alternatives for which the provider has all schemes.
 * Undefined (with the names asked for) when the document wants credentials and none are at hand.
 */
export async function authorise(
  menu: ToolMenu,
  tool: Tool,
  provider: Provider | undefined,
  signal: AbortSignal,
): Promise<Authorisation | { missing: string[] }> {
  const alternatives = tool.security ?? [];
  if (alternatives.length === 0) return empty();
  // Anonymous use is the last choice, wherever the document lists it.
  const ordered = [...alternatives].sort((a, b) => Number(isEmpty(a)) - Number(isEmpty(b)));
  const asked = new Map<string, Credential | undefined>();
  for (const alternative of ordered) {
    const authorisation = empty();
    let complete = true;
    for (const [scheme, scopes] of Object.entries(alternative)) {
      const definition = Object.hasOwn(menu.securitySchemes, scheme)
        ? (menu.securitySchemes[scheme] ?? null)
        : null;
      const key = JSON.stringify([scheme, scopes]);
      if (!asked.has(key))
        asked.set(
          key,
          await provider?.({ scheme, definition, scopes: [...scopes], operation: tool.name, signal }),
        );
      const credential = asked.get(key);
      if (credential === undefined || !apply(authorisation, definition, credential)) {
        complete = false;
        break;
      }
    }
    if (complete) return authorisation;
  }
  return { missing: [...new Set(ordered.flatMap((alternative) => Object.keys(alternative)))] };
}

function isEmpty(alternative: object): boolean {
  return Object.keys(alternative).length === 0;
}

/** Adds one credential as its scheme says. False where the scheme is of a kind that cannot carry it. */
function apply(to: Authorisation, definition: JsonValue, credential: Credential): boolean {
  if (!isObject(definition)) return false;
  const type = String(definition.type);
  const scheme = type === "basic" ? "basic" : type === "http" ? String(definition.scheme).toLowerCase() : "";
  if (scheme === "basic") {
    const pair =
      typeof credential === "string" ? credential : `${credential.username}:${credential.password}`;
    const encoded = Buffer.from(pair, "utf8").toString("base64");
    to.headers.push(["authorization", `Basic ${encoded}`]);
    to.secrets.push(
      encoded,
      ...formsOf(pair),
      ...(typeof credential === "string" ? [] : formsOf(credential.password)),
    );
    return true;
  }
  if (typeof credential !== "string") return false;
  to.secrets.push(...formsOf(credential));
  if (type === "apiKey") {
    const name = String(definition.name);
    if (definition.in === "query") to.query.push([name, credential]);
    else if (definition.in === "cookie") to.cookies.push([name, credential]);
    else if (definition.in === "header") to.headers.push([name, credential]);
    else return false;
    return true;
  }
  if (scheme === "bearer" || type === "oauth2" || type === "openIdConnect") {
    to.headers.push(["authorization", `Bearer ${credential}`]);
    return true;
  }
  return false;
}

/** A secret in every form that a request, or a server that quotes it, may write. */
function formsOf(secret: string): string[] {
  const bare = secret.trim();
  const query = new URLSearchParams([["", bare]]).toString().slice(1);
  return [secret, bare, encodeURIComponent(bare), query, JSON.stringify(bare).slice(1, -1)];
}

/** Replaces every secret in a text. Shorter ones than four characters would hit ordinary words and are left. */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of [...secrets].sort((a, b) => b.length - a.length))
    if (secret.length >= 4) clean = clean.replaceAll(secret, "[credential]");
  return clean;
}
