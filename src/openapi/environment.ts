import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import { isShallow, own, textOf } from "./pointer.js";
import type { References } from "./references.js";
import { withoutSpace } from "./text.js";
import type { OpenApiVersion, Server } from "./types.js";

/** The servers of an operation: its own, else those of its path, else those of the document. */
export function serversOf(
  document: JsonObject,
  version: OpenApiVersion,
  item: Record<string, unknown>,
  operation: Record<string, unknown>,
): Server[] {
  if (version === "2.0") return swaggerServers(document, operation);
  for (const holder of [operation, item, document]) {
    const servers = readServers(own(holder, "servers"));
    if (servers.length > 0) return servers;
  }
  return [{ url: "/", variables: {} }];
}

function readServers(value: unknown): Server[] {
  if (!Array.isArray(value)) return [];
  const servers: Server[] = [];
  for (const entry of value) {
    const url = own(entry, "url");
    if (typeof url !== "string") continue;
    const server: Server = { url: oneWord(url), variables: {} };
    const variables = own(entry, "variables");
    if (isObject(variables))
      for (const name of Object.keys(variables)) {
        const fallback = own(variables[name], "default");
        const allowed = own(variables[name], "enum");
        const values = Array.isArray(allowed) ? allowed.map(textOf) : [];
        server.variables[name] = {
          default: fallback === undefined ? (values[0] ?? "") : textOf(fallback),
          ...(values.length > 0 ? { enum: values } : {}),
        };
      }
    servers.push(server);
  }
  return servers;
}

/** It becomes part of requests. */
const oneWord = (url: string): string => withoutSpace(url.trim());

function swaggerServers(document: JsonObject, operation: Record<string, unknown>): Server[] {
  const host = own(document, "host");
  const base = own(document, "basePath");
  const path = typeof base === "string" && base !== "/" ? `/${oneWord(base).replace(/^\/+|\/+$/g, "")}` : "";
  if (typeof host !== "string" || host === "") return [{ url: path === "" ? "/" : path, variables: {} }];
  const declared = own(operation, "schemes") ?? own(document, "schemes");
  const schemes = Array.isArray(declared)
    ? declared.filter((scheme) => scheme === "http" || scheme === "https")
    : [];
  schemes.sort((a, b) => String(b).localeCompare(String(a)));
  const bare = oneWord(host)
    .replace(/^https?:\/\//, "")
    .replace(/\/+$/, "");
  return (schemes.length > 0 ? schemes : ["https"]).map((scheme) => ({
    url: `${String(scheme)}://${bare}${path}`,
    variables: {},
  }));
}

/** What an operation asks for: its own `security`, else the document's. */
export function securityOf(
  document: JsonObject,
  operation: Record<string, unknown>,
): Record<string, string[]>[] | undefined {
  const declared = own(operation, "security") ?? own(document, "security");
  if (!Array.isArray(declared)) return undefined;
  return declared.filter(isObject).map((requirement) => {
    const schemes: Record<string, string[]> = {};
    for (const name of Object.keys(requirement)) {
      const scopes = requirement[name];
      schemes[name] = Array.isArray(scopes) ? scopes.map(textOf) : [];
    }
    return schemes;
  });
}

/** The security schemes by name, in the form of OpenAPI 3. */
export function securitySchemesOf(
  document: JsonObject,
  version: OpenApiVersion,
  references: References,
): Record<string, JsonValue> {
  const declared =
    version === "2.0"
      ? own(document, "securityDefinitions")
      : own(own(document, "components"), "securitySchemes");
  const schemes: Record<string, JsonValue> = {};
  if (!isObject(declared)) return schemes;
  for (const name of Object.keys(declared)) {
    const target = references.follow(declared[name], "");
    if (target.kind !== "found" || !isObject(target.value) || !isShallow(target.value)) continue;
    schemes[name] = (version === "2.0" ? fromSwagger(target.value) : target.value) as JsonValue;
  }
  return schemes;
}

function fromSwagger(scheme: Record<string, unknown>): Record<string, unknown> {
  if (scheme.type === "basic") {
    const { type: _type, ...rest } = scheme;
    return { type: "http", scheme: "basic", ...rest };
  }
  if (scheme.type !== "oauth2") return scheme;
  const { flow, authorizationUrl, tokenUrl, scopes, ...rest } = scheme;
  const name =
    flow === "application" ? "clientCredentials" : flow === "accessCode" ? "authorizationCode" : textOf(flow);
  const details: Record<string, unknown> = { scopes: isObject(scopes) ? scopes : {} };
  if (authorizationUrl !== undefined) details.authorizationUrl = authorizationUrl;
  if (tokenUrl !== undefined) details.tokenUrl = tokenUrl;
  return { ...rest, flows: name === "__proto__" ? {} : { [name]: details } };
}
