import { own } from "../openapi/pointer.js";
import type { ToolMenu } from "../openapi/types.js";
import { isObject } from "../util/json.js";
import type { Random } from "../util/random.js";
import { acceptedFor } from "./security.js";
import type { MockAnswer } from "./types.js";

export interface TokenStore {
  /** Is this token one that was issued here, and does it hold these scopes? */
  check(token: string, scopes: readonly string[]): "valid" | "expired" | "insufficient-scope" | "unknown";
  /** Answers a request to a token endpoint (RFC 6749); undefined where the path is none. */
  answer(path: string, headers: Readonly<Record<string, string>>, body: Uint8Array): MockAnswer | undefined;
  reset(): void;
}

const grants: Record<string, string> = {
  clientCredentials: "client_credentials",
  password: "password",
  authorizationCode: "authorization_code",
};

interface Endpoint {
  scheme: string;
  grant: string;
}

/** Issues access tokens at the paths of the document's token URLs. */
export function createTokenStore(
  menu: ToolMenu,
  accepted: Readonly<Record<string, string>>,
  lifetimeS: number,
  now: () => number,
  random: Random,
): TokenStore {
  const endpoints = endpointsOf(menu);
  const issued = new Map<string, { expires: number; scopes: Set<string> | undefined }>();
  const refreshable = new Map<string, string>();

  return {
    check(token, scopes) {
      const entry = issued.get(token);
      if (entry === undefined) return "unknown";
      if (entry.expires <= now()) return "expired";
      const held = entry.scopes;
      return held === undefined || scopes.every((scope) => held.has(scope)) ? "valid" : "insufficient-scope";
    },
    answer(path, headers, body) {
      const here = endpoints.get(path);
      if (here === undefined) return undefined;
      const form = new URLSearchParams(Buffer.from(body).toString("utf8"));
      if (!/^application\/x-www-form-urlencoded\b/i.test(headers["content-type"] ?? ""))
        return refusal(400, "invalid_request", "The request is not a form.");
      const client = clientOf(headers.authorization, form);
      const fits = here.filter(({ scheme }) => {
        const wanted = acceptedFor(accepted, scheme);
        return wanted === undefined || !wanted.includes(":") || wanted === client;
      });
      if (client === undefined || fits.length === 0)
        return refusal(401, "invalid_client", "The client's id or secret are missing or wrong.");
      const grant = form.get("grant_type");
      const refresh = form.get("refresh_token") ?? "";
      const known = grant === "refresh_token" ? refreshable.get(refresh) : undefined;
      if (grant === "refresh_token" && known === undefined)
        return refusal(400, "invalid_grant", "The refresh token is not known.");
      if (grant !== "refresh_token" && !fits.some((endpoint) => endpoint.grant === grant))
        return refusal(400, "unsupported_grant_type", "The document has no flow for this grant type.");
      const scope = form.get("scope") ?? known ?? "";
      const draw = () =>
        random
          .int(0, 2 ** 31 - 1)
          .toString(36)
          .padStart(6, "0");
      const token = `mock-${draw()}${draw()}`;
      const scopes = scope === "" ? undefined : new Set(scope.split(" "));
      issued.set(token, { expires: now() + lifetimeS * 1000, scopes });
      // Client credentials are their own means of a new token (RFC 6749, 4.4.3).
      const next = grant === "client_credentials" ? undefined : `refresh-${draw()}${draw()}`;
      if (next !== undefined) refreshable.set(next, scope);
      return json(200, {
        access_token: token,
        token_type: "Bearer",
        expires_in: lifetimeS,
        ...(scope === "" ? {} : { scope }),
        ...(next === undefined ? {} : { refresh_token: next }),
      });
    },
    reset() {
      issued.clear();
      refreshable.clear();
    },
  };
}

function endpointsOf(menu: ToolMenu): Map<string, Endpoint[]> {
  const endpoints = new Map<string, Endpoint[]>();
  for (const [scheme, definition] of Object.entries(menu.securitySchemes)) {
    const flows = own(definition, "flows");
    if (!isObject(flows)) continue;
    for (const [flow, grant] of Object.entries(grants)) {
      const url = own(own(flows, flow), "tokenUrl");
      if (typeof url !== "string" || !URL.canParse(url, "http://mock")) continue;
      const path = new URL(url, "http://mock").pathname;
      endpoints.set(path, [...(endpoints.get(path) ?? []), { scheme, grant }]);
    }
  }
  return endpoints;
}

/** `id:secret` from the header (Basic, its parts form-encoded) or from the form. */
function clientOf(authorization: string | undefined, form: URLSearchParams): string | undefined {
  const [, encoded] = /^basic[ \t]+(\S+)$/i.exec(authorization ?? "") ?? [];
  if (encoded !== undefined) {
    const pair = Buffer.from(encoded, "base64").toString("utf8");
    const decode = (text: string) => new URLSearchParams(`x=${text}`).get("x") ?? "";
    const at = pair.indexOf(":");
    return at === -1 ? undefined : `${decode(pair.slice(0, at))}:${decode(pair.slice(at + 1))}`;
  }
  const id = form.get("client_id");
  return id ? `${id}:${form.get("client_secret") ?? ""}` : undefined;
}

function refusal(status: number, error: string, description: string): MockAnswer {
  const challenge: Record<string, string> =
    status === 401 ? { "www-authenticate": 'Basic realm="mock"' } : {};
  return json(status, { error, error_description: description }, challenge);
}

function json(status: number, value: object, headers: Record<string, string> = {}): MockAnswer {
  return {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
    body: Buffer.from(JSON.stringify(value)),
  };
}
