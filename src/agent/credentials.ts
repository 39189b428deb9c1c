import type { Tool, ToolMenu } from "../openapi/types.js";
import { SpecdojoError } from "../util/errors.js";
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
  /** `context` of the call: who it is made for. */
  context: unknown;
  /** What was returned before and the server has just refused with 401. The same again means: there is no other. */
  refused?: Credential;
  signal: AbortSignal;
}

export type CredentialProvider = (
  request: CredentialRequest,
) => Credential | undefined | Promise<Credential | undefined>;

/** Thrown by a credentials function to say why there are none. Its message goes into the call's error: no secrets. */
export class CredentialError extends SpecdojoError {
  constructor(message: string) {
    super("credentials", message);
    this.name = "CredentialError";
  }
}

/** Where credentials go in a request. Held only while the request is made. */
export interface Authorisation {
  headers: [string, string][];
  query: [string, string][];
  cookies: [string, string][];
  /** Every secret text in it, in all forms that are sent: for removing them from messages. */
  secrets: string[];
  /** By scheme, what it was made of. */
  used: Map<string, Credential>;
}

function empty(): Authorisation {
  return { headers: [], query: [], cookies: [], secrets: [], used: new Map() };
}

interface AuthorisationRequest {
  provider: CredentialProvider | undefined;
  signal: AbortSignal;
  context: unknown;
  /** By scheme, what the server has refused. */
  refused?: ReadonlyMap<string, Credential>;
}

/**
 * Credentials for one call: the first of the operation's alternatives for which the provider has all schemes.
 * Undefined (with the names asked for) when the document wants credentials and none are at hand.
 */
export async function authorise(
  menu: ToolMenu,
  tool: Tool,
  { provider, signal, context, refused }: AuthorisationRequest,
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
      const before = refused?.get(scheme);
      if (!asked.has(key)) {
        const request = { scheme, definition, scopes: [...scopes], operation: tool.name, context, signal };
        asked.set(key, await provider?.(before === undefined ? request : { ...request, refused: before }));
      }
      const credential = asked.get(key);
      if (credential === undefined || !apply(authorisation, definition, credential)) {
        complete = false;
        break;
      }
      authorisation.used.set(scheme, credential);
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
  const header = (name: string, value: string): boolean => {
    // Two schemes of one alternative that want the same header cannot both be met.
    if (to.headers.some(([other]) => other.toLowerCase() === name.toLowerCase())) return false;
    to.headers.push([name, value]);
    return true;
  };
  if (scheme === "basic") {
    const pair =
      typeof credential === "string" ? credential : `${credential.username}:${credential.password}`;
    const encoded = Buffer.from(pair, "utf8").toString("base64");
    to.secrets.push(
      encoded,
      ...formsOf(pair),
      ...(typeof credential === "string" ? [] : formsOf(credential.password)),
    );
    return header("authorization", `Basic ${encoded}`);
  }
  // The certificate is a matter of the connection: of `fetch`.
  if (type === "mutualTLS") return true;
  if (typeof credential !== "string") return false;
  to.secrets.push(...formsOf(credential));
  if (type === "apiKey") {
    const name = String(definition.name);
    if (definition.in === "query") to.query.push([name, credential]);
    else if (definition.in === "cookie") to.cookies.push([name, credential]);
    else return definition.in === "header" && header(name, credential);
    return true;
  }
  if (scheme === "bearer" || type === "oauth2" || type === "openIdConnect")
    return header("authorization", `Bearer ${credential}`);
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
