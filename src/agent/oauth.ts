import * as oauth from "oauth4webapi";
import { SpecdojoError } from "../util/errors.js";
import { CredentialError, type CredentialRequest } from "./credentials.js";

export interface OAuthOptions {
  /** Never taken from the document: it gets the client's secret. */
  tokenUrl: string;
  clientId: string;
  clientSecret: string;
  /** Default: the scopes that each operation asks for. */
  scopes?: readonly string[];
  /** How the secret is sent. Default `basic`. */
  authentication?: "basic" | "post";
  /** Further parameters of the token request, such as `audience`. */
  parameters?: Record<string, string>;
  /** A refresh token at hand: asked with before the client's own credentials are. */
  refreshToken?: string;
  /** Told of each refresh token that replaces the one before. */
  onRefreshToken?: (token: string) => void;
  /** A token is replaced this long before it expires, at most half of its life. Default 30,000. */
  earlyMs?: number;
  /** Of one token request. Default 30,000. */
  timeoutMs?: number;
  /** Allow `http:` for hosts other than this machine. */
  allowHttp?: boolean;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds since the epoch. */
  now?: () => number;
}

/** What `credentials` is asked with, as far as tokens go. */
type TokenRequest = Pick<CredentialRequest, "scopes" | "refused">;

interface Token {
  value: string;
  /** When to replace it, in milliseconds since the epoch; undefined where the server does not say. */
  until: number | undefined;
}

/**
 * Tokens by OAuth 2 client credentials, for the `credentials` of a client: kept until shortly before they expire or until
 * the API refuses one, then renewed, by a refresh token where the server gave one. Calls that need the same token at once
 * share one request. Make one of these per user, or per set of credentials.
 *
 * @throws SpecdojoError `invalid-option` for a token URL that is not https.
 */
export function oauth2(options: OAuthOptions): (request: TokenRequest) => Promise<string> {
  const { tokenUrl, clientId, earlyMs = 30_000, now = Date.now } = options;
  checkTokenUrl(tokenUrl, options.allowHttp === true);
  const server: oauth.AuthorizationServer = { issuer: new URL(tokenUrl).origin, token_endpoint: tokenUrl };
  const client: oauth.Client = { client_id: clientId };
  const authentication =
    options.authentication === "post"
      ? oauth.ClientSecretPost(options.clientSecret)
      : oauth.ClientSecretBasic(options.clientSecret);
  const tokens = new Map<string, Promise<Token>>();
  let refreshToken = options.refreshToken;

  function requestOptions() {
    const { fetch: custom } = options;
    return {
      [oauth.allowInsecureRequests]: new URL(tokenUrl).protocol === "http:",
      ...(custom === undefined
        ? {}
        : { [oauth.customFetch]: (url: string, init: unknown) => custom(url, init as RequestInit) }),
      signal: AbortSignal.timeout(options.timeoutMs ?? 30_000),
    };
  }

  async function refresh(scope: Record<string, string>): Promise<oauth.TokenEndpointResponse | undefined> {
    const token = refreshToken;
    if (token === undefined) return undefined;
    try {
      const response = await oauth.refreshTokenGrantRequest(server, client, authentication, token, {
        ...requestOptions(),
        additionalParameters: { ...options.parameters, ...scope },
      });
      return await oauth.processRefreshTokenResponse(server, client, response);
    } catch (error) {
      // A refresh token that is no longer good is no reason to give up.
      if (!(error instanceof oauth.ResponseBodyError)) throw error;
      if (refreshToken === token) refreshToken = undefined;
      return undefined;
    }
  }

  async function renew(scopes: readonly string[]): Promise<Token> {
    const scope: Record<string, string> = scopes.length === 0 ? {} : { scope: scopes.join(" ") };
    try {
      const answer =
        (await refresh(scope)) ??
        (await oauth.processClientCredentialsResponse(
          server,
          client,
          await oauth.clientCredentialsGrantRequest(
            server,
            client,
            authentication,
            { ...options.parameters, ...scope },
            requestOptions(),
          ),
        ));
      if (answer.refresh_token !== undefined && answer.refresh_token !== refreshToken) {
        refreshToken = answer.refresh_token;
        options.onRefreshToken?.(refreshToken);
      }
      const { expires_in: seconds } = answer;
      return {
        value: answer.access_token,
        until: seconds === undefined ? undefined : now() + seconds * 1000 - Math.min(earlyMs, seconds * 500),
      };
    } catch (error) {
      throw new CredentialError(`No token: ${problemOf(error)}`);
    }
  }

  return async ({ scopes: wanted, refused }) => {
    const scopes = [...new Set(options.scopes ?? wanted)].sort();
    const key = JSON.stringify(scopes);
    const isGood = ({ value, until }: Token): boolean =>
      value !== refused && (until === undefined || until > now());
    const before = tokens.get(key);
    const token = await before?.catch(() => undefined);
    if (token !== undefined && isGood(token)) return token.value;
    // Of the calls that waited together the first one asks anew, the others share its request.
    let next = tokens.get(key);
    if (next === undefined || next === before) {
      next = renew(scopes);
      tokens.set(key, next);
      next.catch(() => tokens.get(key) === next && tokens.delete(key));
    }
    return (await next).value;
  };
}

/** What went wrong, without anything that was sent. */
function problemOf(error: unknown): string {
  if (error instanceof oauth.ResponseBodyError)
    return `the token server answered ${error.status} (${JSON.stringify(error.error.slice(0, 60))}).`;
  if (error instanceof DOMException && error.name === "TimeoutError")
    return "the token server did not answer in time.";
  if (error instanceof oauth.OperationProcessingError)
    return "the token server's answer is not one that OAuth 2 knows.";
  return "the token server cannot be reached.";
}

function checkTokenUrl(url: string, allowHttp: boolean): void {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const local = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(parsed?.hostname ?? "");
  if (parsed?.protocol === "https:" || (parsed?.protocol === "http:" && (allowHttp || local))) return;
  throw new SpecdojoError("invalid-option", "The token URL is no https URL.", {
    place: "oauth2.tokenUrl",
    remedy: "Give the https address of the token endpoint; http is for this machine, or with `allowHttp`.",
  });
}
