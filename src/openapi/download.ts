import { lookup } from "node:dns";
import type { IncomingMessage, RequestOptions } from "node:http";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { SpecdojoError } from "../util/errors.js";
import { decode, type ReadLimits, type Source, tooLarge } from "./read.js";

const maxRedirects = 5;

/** Which addresses may be asked. */
export interface DownloadRules {
  /** Hosts (with port, where it is not the usual one) that may be asked; undefined: any host with a public address. */
  hosts: readonly string[] | undefined;
  /** Ends the download. */
  signal: AbortSignal;
}

/** Addresses that are not on the public internet. */
const reserved = new BlockList();
for (const [network, prefix] of [
  ...[["0.0.0.0", 8] as const, ["10.0.0.0", 8] as const, ["100.64.0.0", 10] as const],
  ...[["127.0.0.0", 8] as const, ["169.254.0.0", 16] as const, ["172.16.0.0", 12] as const],
  ...[["192.0.0.0", 24] as const, ["192.0.2.0", 24] as const, ["192.168.0.0", 16] as const],
  ...[["198.18.0.0", 15] as const, ["198.51.100.0", 24] as const, ["203.0.113.0", 24] as const],
  ["224.0.0.0", 3] as const,
])
  reserved.addSubnet(network, prefix, "ipv4");
reserved.addAddress("::", "ipv6");
reserved.addAddress("::1", "ipv6");
// Unique local, link-local, multicast, and IPv4 in disguise (NAT64, 6to4, Teredo). Mapped ones are looked at as IPv4.
for (const [network, prefix] of [
  ...[["fc00::", 7] as const, ["fe80::", 10] as const, ["ff00::", 8] as const],
  ...[["64:ff9b::", 96] as const, ["2002::", 16] as const, ["2001::", 32] as const],
])
  reserved.addSubnet(network, prefix, "ipv6");

/** True for loopback, private, link-local and other addresses that only this machine or its network knows. */
export function isReservedAddress(address: string): boolean {
  const family = isIP(address);
  return family === 0 || reserved.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** An address as it may be shown: without credentials and without what follows `?`, which may hold some. */
export function addressForShow(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** Is this host in the list? An entry without a port stands for the usual ports. */
export function isNamedHost(url: URL, hosts: readonly string[]): boolean {
  return hosts.some((entry) => entry.toLowerCase() === url.host);
}

/**
 * Downloads a document. Every redirect is checked by the same rules as the first address. A host whose name is no
 * address may only lead to a private one where `named` says that the user wrote this very host.
 */
export async function download(
  start: URL,
  limits: ReadLimits,
  rules: DownloadRules,
): Promise<Source & { url: URL }> {
  let url = start;
  for (let redirects = 0; ; redirects++) {
    const name = addressForShow(url);
    const named =
      rules.hosts === undefined ? url.host === start.host : isNamedHost(url, rules.hosts) && isLocalName(url);
    if (rules.hosts !== undefined && !isNamedHost(url, rules.hosts))
      throw refusal(name, `leads to the host ${url.host}, which is not allowed`, "Name this host as well.");
    const response = await get(url, named, rules.signal, name);
    const status = response.statusCode ?? 0;
    const location = response.headers.location;
    if (status >= 300 && status < 400 && location !== undefined) {
      response.destroy();
      if (redirects >= maxRedirects) throw refusal(name, "redirects too often", "Give the final address.");
      const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
      if (next === undefined || !/^https?:$/.test(next.protocol))
        throw refusal(name, "redirects to something that is no web address", "Give the final address.");
      if (url.protocol === "https:" && next.protocol === "http:")
        throw refusal(name, "redirects from https to http", "Give the final address.");
      next.username = "";
      next.password = "";
      url = next;
      continue;
    }
    if (status !== 200) {
      response.destroy();
      throw refusal(name, `answers with status ${status}`, "Check the address in a browser.");
    }
    return {
      text: await decode(await bodyOf(response, limits, name, rules.signal), name, limits),
      name,
      url,
    };
  }
}

/** An address, or a name that always means this machine: what the user wrote is what is asked. */
function isLocalName(url: URL): boolean {
  const host = bareHost(url);
  return isIP(host) !== 0 || host === "localhost" || host.endsWith(".localhost");
}

function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

async function get(url: URL, named: boolean, signal: AbortSignal, name: string): Promise<IncomingMessage> {
  const privateAddress = () =>
    refusal(
      name,
      "leads to a private or loopback address",
      "Name that address itself if it is meant, or download the document first.",
    );
  if (!named && isIP(bareHost(url)) !== 0 && isReservedAddress(bareHost(url))) throw privateAddress();
  // The address that is checked is the address that is connected to.
  const checked: LookupFunction = (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const usable = named ? addresses : addresses.filter(({ address }) => !isReservedAddress(address));
      const [first] = usable;
      if (first === undefined) return callback(privateAddress(), []);
      if (options.all === true) return callback(null, usable);
      callback(null, first.address, first.family);
    });
  };
  const options: RequestOptions = {
    method: "GET",
    agent: false,
    signal,
    lookup: checked,
    headers: { accept: "application/json, application/yaml, */*", "user-agent": "specdojo" },
  };
  const { request } = await (url.protocol === "https:" ? import("node:https") : import("node:http"));
  return new Promise((resolve, reject) => {
    request(url, options, resolve)
      .on("error", (error) => reject(failure(error, name, signal)))
      .end();
  });
}

async function bodyOf(
  response: IncomingMessage,
  limits: ReadLimits,
  name: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response) {
      size += (chunk as Uint8Array).length;
      if (size > limits.maxBytes) throw tooLarge(name, limits.maxBytes);
      chunks.push(chunk as Uint8Array);
    }
  } catch (error) {
    throw failure(error, name, signal);
  } finally {
    response.destroy();
  }
  return Buffer.concat(chunks);
}

function failure(error: unknown, name: string, signal: AbortSignal): SpecdojoError {
  if (SpecdojoError.isInstance(error)) return error;
  const reason = signal.aborted ? "takes too long" : messageOf(error);
  return refusal(name, `cannot be downloaded: ${reason}`, "Check the address and the network.", error);
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : "no connection";
}

function refusal(name: string, what: string, remedy: string, cause?: unknown): SpecdojoError {
  return new SpecdojoError("document-unreadable", `${name} ${what}.`, { place: name, remedy, cause });
}
