import { realpath } from "node:fs/promises";
import { isAbsolute, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject } from "../util/json.js";
import { addressForShow, download, isNamedHost } from "./download.js";
import { createMender } from "./mend-references.js";
import { own, pointerTo, referenceTo } from "./pointer.js";
import { countValues, parseText, type ReadLimits, readSource, type Source, toPlainDocument } from "./read.js";
import { eachReference, type FoundReference, isExternalReference } from "./references.js";
import type { Diagnostic } from "./types.js";

/** Which references that leave the document are followed. None, where nothing is said. */
export interface ReferenceRules {
  /** A folder: files inside it are read; nothing that a link leads out of it to. */
  files?: string;
  /**
   * Hosts that are asked, as `api.example.com` or `localhost:8080`. A private or loopback address only where the
   * address itself, or `localhost`, is named.
   */
  hosts?: readonly string[];
}

/** A reference that leaves the document and could not be followed, with the reason. */
export interface Unfollowed {
  found: FoundReference;
  reason: string;
}

/** Where the documents that are read for references are kept, by their address. */
const bundleKey = "x-external";

/** Where a document without an address lies, so that its own `$id`s can be told apart. */
const nowhere = new URL("document:///");

/**
 * Makes a document self-contained, in place: what its references lead to, as far as the rules allow it, is read and
 * kept under `x-external`, and the references lead there. References that only look external (to the document's own
 * address, an `$id`, or the bare name of a schema) become local ones, and those that lead nowhere are mended where it is
 * clear what was meant. Returns those that are left.
 */
export async function bundle(
  document: JsonObject,
  base: URL | undefined,
  rules: ReferenceRules | undefined,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): Promise<Unfollowed[]> {
  const leaving: FoundReference[] = [];
  const mended = createMender(document, report);
  eachReference(document, "", (found) => {
    if (!mended(found) && isExternalReference(found.reference)) leaving.push(found);
  });
  if (leaving.length === 0) return [];
  const root = rules?.files === undefined ? undefined : await realRoot(rules.files);
  const start = base ?? (root === undefined ? nowhere : pathToFileURL(root + sep));
  const reader = new ExternalReader(document, rules, root, limits, report);
  return reader.follow(leaving, new URL(selfOf(document), start));
}

/** `$self` of OpenAPI 3.2: the address that a document says it has. Only names are resolved against it. */
function selfOf(document: JsonObject): string {
  const self = own(document, "$self");
  return typeof self === "string" && /^https?:/.test(self) && URL.canParse(self) ? self : "";
}

async function realRoot(folder: string): Promise<string> {
  try {
    return await realpath(folder);
  } catch (error) {
    throw new SpecdojoError("folder-missing", `There is no folder ${folder}.`, {
      place: "references.files",
      remedy: "Give the folder that holds the files the document refers to.",
      cause: error,
    });
  }
}

/** Reads other documents, each once, and puts them into the first one. */
class ExternalReader {
  readonly #document: JsonObject;
  readonly #rules: ReferenceRules | undefined;
  readonly #root: string | undefined;
  readonly #limits: ReadLimits;
  readonly #report: (diagnostic: Diagnostic) => void;
  readonly #signal: AbortSignal;
  /** By address: where the document is kept, as a pointer, or why it is not. */
  readonly #known = new Map<string, { pointer: string } | { reason: string }>();
  readonly #unfollowed: Unfollowed[] = [];
  #documents = 0;
  #bytes = 0;
  #values = 0;

  constructor(
    document: JsonObject,
    rules: ReferenceRules | undefined,
    root: string | undefined,
    limits: ReadLimits,
    report: (diagnostic: Diagnostic) => void,
  ) {
    this.#document = document;
    this.#rules = rules;
    this.#root = root;
    this.#limits = limits;
    this.#report = report;
    this.#signal = AbortSignal.timeout(limits.timeout);
  }

  async follow(leaving: readonly FoundReference[], base: URL): Promise<Unfollowed[]> {
    this.#register(this.#document, "", base);
    type Pending = { found: FoundReference; base: URL; hops: number };
    const pending: Pending[] = leaving.map((found) => ({ found, base, hops: 0 }));
    // Breadth first: what is near is read before the limits are reached.
    for (let i = 0; i < pending.length; i++) {
      const { found, base: from, hops } = pending[i] as Pending;
      const address = URL.canParse(found.reference, from.href) ? new URL(found.reference, from) : undefined;
      if (address === undefined) {
        this.#unfollowed.push({ found, reason: "is no address" });
        continue;
      }
      const fragment = address.hash.slice(1);
      address.hash = "";
      let target = this.#known.get(address.href);
      if (target === undefined) {
        target = await this.#read(address, from, hops, (more, place) => {
          for (const next of more) pending.push({ found: next, base: place, hops: hops + 1 });
        });
        this.#known.set(address.href, target);
      }
      if ("reason" in target) this.#unfollowed.push({ found, reason: target.reason });
      else found.holder[found.key] = localReference(target.pointer, fragment);
    }
    return this.#unfollowed;
  }

  /** Makes a document known by its address and by the `$id`s in it. */
  #register(value: unknown, pointer: string, address: URL): void {
    if (address.href !== nowhere.href) this.#known.set(address.href, { pointer });
    const seen = new Set<unknown>();
    const stack: [unknown, string][] = [[value, pointer]];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const [at, place] = next;
      if (typeof at !== "object" || at === null || seen.has(at)) continue;
      seen.add(at);
      const id = Array.isArray(at) ? undefined : own(at, "$id");
      if (typeof id === "string" && URL.canParse(id, address.href)) {
        const name = new URL(id, address);
        name.hash = "";
        if (!this.#known.has(name.href)) this.#known.set(name.href, { pointer: place });
      }
      for (const [key, item] of Object.entries(at))
        if (typeof item === "object" && item !== null && key !== bundleKey)
          stack.push([item, pointerTo(place, key)]);
    }
  }

  async #read(
    address: URL,
    from: URL,
    hops: number,
    more: (found: FoundReference[], base: URL) => void,
  ): Promise<{ pointer: string } | { reason: string }> {
    const { maxDocuments, maxHops, maxBytes, maxNodes } = this.#limits;
    if (this.#rules?.files === undefined && this.#rules?.hosts === undefined)
      return { reason: "leaves the document and is not followed" };
    try {
      if (this.#documents >= maxDocuments)
        return { reason: `is not followed: ${maxDocuments} documents have been read already` };
      if (hops >= maxHops) return { reason: `is not followed: it is ${maxHops} documents away` };
      const limits = { ...this.#limits, maxBytes: maxBytes - this.#bytes, maxNodes: maxNodes - this.#values };
      const source = await this.#open(address, from, limits);
      if (typeof source === "string") return { reason: source };
      this.#documents++;
      this.#bytes += source.text.length;
      const parsed = await parseText(source, limits, this.#report);
      const value = parsed.plain
        ? (parsed.value as JsonObject)
        : toPlainDocument(parsed.value, source.name, limits, this.#report);
      this.#values += countValues(value);
      if (!isObject(this.#document[bundleKey])) this.#document[bundleKey] = {};
      const store = this.#document[bundleKey] as JsonObject;
      let key = this.#keyOf(address);
      while (Object.hasOwn(store, key)) key += "_";
      store[key] = value;
      const pointer = pointerTo("", bundleKey, key);
      this.#register(value, pointer, address);
      const leaving: FoundReference[] = [];
      eachReference(value, pointer, (found) => {
        if (isExternalReference(found.reference)) leaving.push(found);
        else found.holder[found.key] = localReference(pointer, found.reference.slice(1));
      });
      more(leaving, address);
      return { pointer };
    } catch (error) {
      if (!SpecdojoError.isInstance(error)) throw error;
      return { reason: `cannot be followed: ${error.message.replace(/\.$/, "")}` };
    }
  }

  /** The text behind an address that the rules allow, or why not. */
  async #open(address: URL, from: URL, limits: ReadLimits): Promise<Source | string> {
    const { hosts } = this.#rules ?? {};
    if (address.protocol === "http:" || address.protocol === "https:") {
      if (hosts === undefined || !isNamedHost(address, hosts))
        return `leaves the document and is not followed: the host ${address.host} is not allowed`;
      return download(address, limits, { hosts, signal: this.#signal });
    }
    if (address.protocol !== "file:" || this.#root === undefined)
      return "leaves the document and is not followed";
    if (from.protocol !== "file:")
      return "leaves the document and is not followed: a downloaded document may not refer to files";
    const path = localPath(address);
    if (path === undefined || !isInside(path, this.#root)) return this.#outside();
    let real: string;
    try {
      real = await realpath(path);
    } catch {
      return "cannot be followed: there is no such file";
    }
    // A link inside the folder may lead out of it.
    if (!isInside(real, this.#root)) return this.#outside();
    return readSource(real, limits);
  }

  #outside(): string {
    return "leaves the document and is not followed: it leads out of the folder that is allowed";
  }

  #keyOf(address: URL): string {
    const path = address.protocol === "file:" ? localPath(address) : undefined;
    if (path === undefined || this.#root === undefined) return addressForShow(address);
    return relative(this.#root, path).split(sep).join("/");
  }
}

function localReference(pointer: string, fragment: string): string {
  // An anchor's name stays one; they are looked up by name in the whole bundle.
  if (fragment !== "" && !fragment.startsWith("/")) return `#${fragment}`;
  return `${referenceTo(pointer)}${fragment}`;
}

function localPath(address: URL): string | undefined {
  try {
    return address.host === "" ? fileURLToPath(address) : undefined;
  } catch {
    return undefined;
  }
}

function isInside(path: string, root: string): boolean {
  const way = relative(root, path);
  return way !== "" && !isAbsolute(way) && way.split(sep)[0] !== "..";
}
