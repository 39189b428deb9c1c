import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import type { OpenAPI } from "openapi-types";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject } from "../util/json.js";
import { createReport } from "./diagnostics.js";
import type { ReferenceRules, Unfollowed } from "./external.js";
import { asOurError } from "./guard.js";
import { operationsOf } from "./operations.js";
import { own, textOf } from "./pointer.js";
import {
  decode,
  defaultLimits,
  type Parsed,
  parseText,
  type ReadLimits,
  readSource,
  type Source,
  toPlainDocument,
} from "./read.js";
import { dependentsOf, References } from "./references.js";
import type { Diagnostic, OpenApiVersion } from "./types.js";

export interface LoadOptions {
  /** Check the document against the official schema of its version. Default true. */
  validate?: boolean;
  /** References that leave the document are followed as far as this says; without it none is. */
  references?: ReferenceRules;
  limits?: Partial<ReadLimits>;
}

export interface LoadedDocument {
  /** A private copy: the input is never changed. Broken parts that could be mended are mended here. */
  document: JsonObject;
  version: OpenApiVersion;
  diagnostics: Diagnostic[];
  /** True where every reference of the document is known to lead somewhere in it. */
  resolved?: boolean;
}

const remedyForUnfollowed =
  "Allow it with `references: { files, hosts }`, bundle the document into one file first, or raise `limits` where they were reached.";
const supported = "Supported are OpenAPI 2.0 (Swagger), 3.0, 3.1 and 3.2.";

/**
 * Loads an OpenAPI document: a path or file URL, a web address, JSON or YAML text, bytes (gzip too), or an object. A
 * reference that leaves the document is followed only as far as `references` allows. Throws one `SpecdojoError` with
 * all reasons where the document cannot be used; everything else that is wrong with it becomes a diagnostic.
 */
export async function loadOpenApi(
  input: string | URL | Uint8Array | OpenAPI.Document | object,
  options: LoadOptions = {},
): Promise<LoadedDocument> {
  try {
    return await load(input, options);
  } catch (error) {
    throw asOurError(error);
  }
}

// What most documents do not need (downloads, references that leave the document, validators) is loaded when it is used.
async function load(input: unknown, options: LoadOptions): Promise<LoadedDocument> {
  const limits = { ...defaultLimits, ...options.limits };
  const report = createReport();
  const { value, plain, name, base, references } = await readInput(input, limits, report.add);
  const document = plain ? (value as JsonObject) : toPlainDocument(value, name, limits, report.add);
  const version = versionOf(document, name, report.add);

  const rules = options.references;
  const resolved = references !== undefined && allResolve(document, references);
  const unfollowed =
    resolved && rules?.files === undefined && rules?.hosts === undefined
      ? []
      : await (await import("./external.js")).bundle(document, base, rules, limits, report.add);
  const usable = checkOperations(document, unfollowed, report.add);
  if (usable.reasons.length > 0) {
    const reasons = [...usable.reasons];
    for (const { severity, pointer, message } of report.diagnostics)
      if (severity === "error") reasons.push(`${pointer}: ${message}`);
    const listed =
      reasons.length > 20 ? [...reasons.slice(0, 20), `and ${reasons.length - 20} more`] : reasons;
    throw new SpecdojoError("document-unusable", `${name} cannot be used.\n- ${listed.join("\n- ")}`, {
      place: name,
      remedy:
        unfollowed.length > 0
          ? remedyForUnfollowed
          : "Give a document that has at least one operation under `paths`.",
    });
  }
  if (options.validate === false) return { document, version, diagnostics: report.diagnostics, resolved };
  const { validateDocument } = await import("./validate-document.js");
  for (const fault of await validateDocument(document, version)) report.add(fault);
  return { document, version, diagnostics: report.diagnostics, resolved };
}

function allResolve(document: JsonObject, references: ReadonlySet<string>): boolean {
  const known = new References(document);
  for (const reference of references)
    if (reference === "#" || known.lookUp(reference).kind !== "found") return false;
  return true;
}

/** A parsed document, how to speak of it, and its address, where it has one. */
interface Input extends Parsed {
  name: string;
  base: URL | undefined;
}

async function readInput(
  input: unknown,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): Promise<Input> {
  const name = "The document";
  if (typeof input === "string") {
    if (/^https?:\/\//i.test(input)) return readAddress(input, limits, report);
    if (looksLikeText(input)) return parseSource({ text: input, name }, undefined, limits, report);
    return readPath(/^file:\/\//i.test(input) ? toUrl(input) : input, limits, report);
  }
  if (input instanceof URL)
    return input.protocol === "file:"
      ? readPath(input, limits, report)
      : readAddress(input.href, limits, report);
  if (input instanceof Uint8Array)
    return parseSource({ text: await decode(input, name, limits), name }, undefined, limits, report);
  return { value: input, plain: false, name, base: undefined };
}

async function readPath(
  path: string | URL,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): Promise<Input> {
  const source = await readSource(path, limits);
  return parseSource(source, pathToFileURL(await realpath(path)), limits, report);
}

/** The address that the user gives is allowed, wherever it leads; what it redirects to has to be public. */
async function readAddress(
  address: string,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): Promise<Input> {
  const { addressForShow, download } = await import("./download.js");
  const url = toUrl(address);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new SpecdojoError("document-unreadable", `${addressForShow(url)} is no address of the web.`, {
      place: addressForShow(url),
      remedy: "Give an http or https address, or a path.",
    });
  const signal = AbortSignal.timeout(limits.timeout);
  const source = await download(url, limits, { hosts: undefined, signal });
  return parseSource(source, source.url, limits, report);
}

function toUrl(address: string): URL {
  if (URL.canParse(address)) return new URL(address);
  throw new SpecdojoError("document-unreadable", "This address cannot be understood.", {
    place: address.slice(0, 40).replace(/\/\/[^/]*@/, "//"),
    remedy: "Give an address as `https://example.com/openapi.json`.",
  });
}

async function parseSource(
  source: Source,
  base: URL | undefined,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): Promise<Input> {
  if (source.text.length > limits.maxBytes)
    throw new SpecdojoError(
      "document-too-large",
      `${source.name} has more than ${limits.maxBytes} characters.`,
      {
        place: source.name,
        remedy: "Raise `limits.maxBytes`.",
      },
    );
  return { ...(await parseText(source, limits, report)), name: source.name, base };
}

/** Text of a document, or a path? A document has several lines, or starts like one. */
function looksLikeText(input: string): boolean {
  if (/[\n\r]/.test(input) || input.trim() === "") return true;
  return /^\uFEFF?\s*([{[<"']|(openapi|swagger)["']?\s*:)/.test(input) && !existsSync(input);
}

function versionOf(
  document: JsonObject,
  name: string,
  report: (diagnostic: Diagnostic) => void,
): OpenApiVersion {
  const openapi = own(document, "openapi") ?? undefined;
  const swagger = own(document, "swagger") ?? undefined;
  const declared = openapi ?? swagger;
  const keyword = openapi === undefined ? "swagger" : "openapi";
  const refuse = (message: string, remedy: string): never => {
    throw new SpecdojoError("document-unusable", `${name} cannot be used: ${message} ${supported}`, {
      place: name,
      remedy,
    });
  };
  if (declared === undefined) {
    const old = own(document, "swaggerVersion");
    if (old !== undefined)
      return refuse(
        `it is written in Swagger ${scalarText(old)}, and this version is not supported.`,
        "Convert it to OpenAPI 3 first (for example with `swagger2openapi` or `api-spec-converter`).",
      );
    return refuse(
      `it ${otherFormat(document) ?? "has neither `openapi` nor `swagger`, so it is not an OpenAPI document."}`,
      "Give an OpenAPI document, or add the `openapi` field with its version.",
    );
  }
  const whole = typeof declared === "string" && /^\s*[23]\s*$/.test(declared);
  const text = whole || typeof declared === "number" ? Number(declared).toFixed(1) : declared;
  if (typeof text !== "string")
    return refuse(`\`${keyword}\` is not a version.`, `Write for example \`${keyword}: "3.1.0"\`.`);
  if (whole || typeof declared === "number")
    report({
      code: "version-not-text",
      severity: "warning",
      pointer: `/${keyword}`,
      message: `The version is ${whole ? "incomplete" : "a number"} (${textOf(declared).trim()}); it is read as "${text}".`,
      remedy: `Write ${keyword}: "${text}".`,
    });
  if (openapi !== undefined && swagger !== undefined)
    report({
      code: "two-versions",
      severity: "warning",
      pointer: "/swagger",
      message: "The document has both `openapi` and `swagger`; `openapi` counts.",
      remedy: "Remove one of them.",
    });
  const match = /^\s*v?(\d+)\.(\d+)(?:[.-].*)?\s*$/.exec(text);
  const short = match === null ? undefined : `${match[1]}.${match[2]}`;
  if (short === "2.0" && (keyword === "swagger" || own(document, "definitions") !== undefined)) return "2.0";
  if (keyword === "openapi" && (short === "3.0" || short === "3.1")) return short;
  if (keyword === "swagger" && (short === "3.0" || short === "3.1")) return short;
  if (keyword === "openapi" && short === "3.2") return "3.2";
  return refuse(
    `its version ${JSON.stringify(text)} is not supported.`,
    "Convert the document to a supported version, or correct the version.",
  );
}

function scalarText(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "1.x";
}

function otherFormat(document: JsonObject): string | undefined {
  const info = own(document, "info");
  const schema = own(info, "schema");
  if (own(info, "_postman_id") !== undefined || (typeof schema === "string" && schema.includes("getpostman")))
    return "is a Postman collection, not an OpenAPI document.";
  if (own(document, "asyncapi") !== undefined) return "is an AsyncAPI document, not an OpenAPI document.";
  if (own(document, "arazzo") !== undefined) return "is an Arazzo document, not an OpenAPI document.";
  if (own(document, "overlay") !== undefined) return "is an OpenAPI Overlay, not an OpenAPI document.";
  if (own(document, "discoveryVersion") !== undefined)
    return "is a Google discovery document, not an OpenAPI document.";
  if (own(document, "$schema") !== undefined) return "is a JSON Schema, not an OpenAPI document.";
  return undefined;
}

function noOperations(document: JsonObject): string {
  const paths = own(document, "paths");
  if (isObject(own(document, "webhooks")) && (!isObject(paths) || Object.keys(paths).length === 0))
    return "It has webhooks but no operations that can be called.";
  if (paths === undefined) return "It has no `paths`, so no operations.";
  if (!isObject(paths)) return "Its `paths` is not an object, so it has no operations.";
  return "It has no operations.";
}

/** Takes out the operations whose request cannot be known; says why no operation is left, if none is. */
function checkOperations(
  document: JsonObject,
  unfollowed: readonly Unfollowed[],
  report: (diagnostic: Diagnostic) => void,
): { reasons: string[] } {
  const references = new References(document);
  const operations = operationsOf(document, references, () => undefined);
  for (const { found, reason } of unfollowed)
    report({
      code: "external-reference",
      severity: found.key === "$ref" ? "error" : "warning",
      pointer: found.pointer(),
      message: `The reference ${JSON.stringify(found.reference.slice(0, 500))} ${reason}.`,
      remedy: remedyForUnfollowed,
    });
  if (operations.length === 0) return { reasons: [noOperations(document)] };
  if (unfollowed.length === 0) return { reasons: [] };
  const holders = new Set<object>(
    unfollowed.filter(({ found }) => found.key === "$ref").map(({ found }) => found.holder),
  );
  const dependents = dependentsOf(references, holders);
  const depends = (value: unknown): boolean => dependents.has(value as object);
  let untouched = 0;
  for (const { method, path, value, shared, holder, key, pointer } of operations) {
    const request =
      holders.has(value) ||
      depends(own(value, "parameters")) ||
      depends(own(value, "requestBody")) ||
      shared.some(([list]) => depends(list));
    if (!request && !depends(own(value, "responses"))) untouched++;
    if (!request) continue;
    delete holder[key];
    report({
      code: "operation-left-out",
      severity: "error",
      pointer,
      message: `${method.toUpperCase()} ${path} needs a reference that could not be followed; it is left out.`,
      remedy: remedyForUnfollowed,
    });
  }
  return {
    reasons:
      untouched > 0 ? [] : ["Every operation depends on references that leave the document or lead nowhere."],
  };
}
