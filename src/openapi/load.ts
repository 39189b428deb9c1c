import { existsSync } from "node:fs";
import type { OpenAPI } from "openapi-types";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject } from "../util/json.js";
import { createReport } from "./diagnostics.js";
import { operationsOf } from "./operations.js";
import { own, pointerTo } from "./pointer.js";
import { decode, parseText, type ReadLimits, readSource, type Source, toPlainDocument } from "./read.js";
import { eachReference, externalDependencies, isExternalReference, References } from "./references.js";
import type { Diagnostic, OpenApiVersion } from "./types.js";
import { validateDocument } from "./validate-document.js";

export interface LoadOptions {
  /** Check the document against the official schema of its version. Default true. */
  validate?: boolean;
  limits?: Partial<ReadLimits>;
}

export interface LoadedDocument {
  /** A private copy: the input is never changed. Broken parts that could be mended are mended here. */
  document: JsonObject;
  version: OpenApiVersion;
  diagnostics: Diagnostic[];
}

const defaultLimits: ReadLimits = { maxBytes: 64 * 1024 * 1024, maxNodes: 5_000_000, maxDepth: 20_000 };
const supported = "Supported are OpenAPI 2.0 (Swagger), 3.0, 3.1 and 3.2.";

/**
 * Loads an OpenAPI document: a path or file URL, JSON or YAML text, bytes (gzip too), or an object. No reference that
 * leaves the document is ever followed. Throws one `SpecdojoError` with all reasons where the document cannot be used;
 * everything else that is wrong with it becomes a diagnostic.
 */
export async function loadOpenApi(
  input: string | URL | Uint8Array | OpenAPI.Document | object,
  options: LoadOptions = {},
): Promise<LoadedDocument> {
  const limits = { ...defaultLimits, ...options.limits };
  const report = createReport();
  const { value, name } = await readInput(input, limits, report.add);
  const document = toPlainDocument(value, name, limits, report.add);
  const version = versionOf(document, name, report.add);

  mendBareReferences(document, report.add);
  const all = operationsOf(document, new References(document), () => undefined);
  const reasons: string[] = [];
  if (all.length === 0) reasons.push(noOperations(document));
  const usable = dropExternal(document, report.add);
  if (all.length > 0 && usable === 0)
    reasons.push("Every operation depends on references that leave the document.");
  if (reasons.length > 0) {
    for (const diagnostic of report.diagnostics)
      if (diagnostic.severity === "error") reasons.push(`${diagnostic.pointer}: ${diagnostic.message}`);
    const listed =
      reasons.length > 20 ? [...reasons.slice(0, 20), `and ${reasons.length - 20} more`] : reasons;
    throw new SpecdojoError("document-unusable", `${name} cannot be used.\n- ${listed.join("\n- ")}`, {
      place: name,
      remedy:
        all.length > 0
          ? "Bundle the document into one file first (for example with `redocly bundle`)."
          : "Give a document that has at least one operation under `paths`.",
    });
  }
  if (options.validate !== false)
    for (const fault of await validateDocument(document, version)) report.add(fault);
  return { document, version, diagnostics: report.diagnostics };
}

async function readInput(
  input: unknown,
  limits: ReadLimits,
  report: (diagnostic: Diagnostic) => void,
): Promise<{ value: unknown; name: string }> {
  if (typeof input === "string") {
    if (/^https?:\/\//i.test(input)) throw remote(input);
    const source = looksLikeText(input)
      ? { text: input, name: "The document" }
      : await readSource(/^file:\/\//i.test(input) ? new URL(input) : input, limits);
    return parseSource(source, limits, report);
  }
  if (input instanceof URL) {
    if (input.protocol !== "file:") throw remote(input.href);
    return parseSource(await readSource(input, limits), limits, report);
  }
  if (input instanceof Uint8Array) {
    const name = "The document";
    return parseSource({ text: await decode(input, name, limits), name }, limits, report);
  }
  return { value: input, name: "The document" };
}

function remote(address: string): SpecdojoError {
  return new SpecdojoError("document-unreadable", "Documents are not downloaded.", {
    place: address,
    remedy: "Download the file first (for example with `curl -O`) and give its path.",
  });
}

function parseSource(source: Source, limits: ReadLimits, report: (diagnostic: Diagnostic) => void) {
  if (source.text.length > limits.maxBytes)
    throw new SpecdojoError(
      "document-too-large",
      `${source.name} has more than ${limits.maxBytes} characters.`,
      {
        place: source.name,
        remedy: "Raise `limits.maxBytes`.",
      },
    );
  return { value: parseText(source, report), name: source.name };
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
  const openapi = own(document, "openapi");
  const swagger = own(document, "swagger");
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
  const text = typeof declared === "number" ? declared.toFixed(1) : declared;
  if (typeof text !== "string")
    return refuse(`\`${keyword}\` is not a version.`, `Write for example \`${keyword}: "3.1.0"\`.`);
  if (typeof declared === "number")
    report({
      code: "version-not-text",
      severity: "warning",
      pointer: `/${keyword}`,
      message: `The version is a number (${declared}); it is read as "${text}".`,
      remedy: `Put it in quotes: ${keyword}: "${text}".`,
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
  if (keyword === "openapi" && short === "3.2") {
    report({
      code: "version-read-as-3.1",
      severity: "info",
      pointer: "/openapi",
      message: "OpenAPI 3.2 is read by the rules of 3.1; what is new in 3.2 is not used.",
    });
    return "3.2";
  }
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

/** Swagger 1 style `$ref: "Pet"`: meant is the definition of that name, where there is one. */
function mendBareReferences(document: JsonObject, report: (diagnostic: Diagnostic) => void): void {
  eachReference(document, "", ({ reference, pointer, holder }) => {
    if (!/^[\w.-]+$/.test(reference)) return;
    for (const [place, schemas] of [
      ["#/definitions/", own(document, "definitions")],
      ["#/components/schemas/", own(own(document, "components"), "schemas")],
    ] as const) {
      if (own(schemas, reference) === undefined) continue;
      holder.$ref = place + reference;
      report({
        code: "bare-reference",
        severity: "warning",
        pointer,
        message: `The reference ${JSON.stringify(reference)} is read as ${JSON.stringify(place + reference)}.`,
        remedy: `Write \`$ref: "${place}${reference}"\`.`,
      });
      return;
    }
  });
}

/** Takes out what depends on references that leave the document; returns the number of operations that are left. */
function dropExternal(document: JsonObject, report: (diagnostic: Diagnostic) => void): number {
  let any = false;
  eachReference(document, "", ({ reference }) => {
    any ||= isExternalReference(reference);
  });
  const references = new References(document);
  const operations = operationsOf(document, references, () => undefined);
  if (!any) return operations.length;
  const explain = (reference: string, pointer: string, consequence: string) =>
    report({
      code: "external-reference",
      severity: "error",
      pointer,
      message: `The reference ${JSON.stringify(reference)} leaves the document and is not followed; ${consequence}.`,
      remedy: "Bundle the document into one file first.",
    });
  const paths = own(document, "paths");
  if (isObject(paths))
    for (const [path, item] of Object.entries(paths)) {
      const reference = own(item, "$ref");
      if (typeof reference !== "string" || !isExternalReference(reference)) continue;
      explain(reference, pointerTo("/paths", path, "$ref"), "the operations it holds are unknown");
      if (isObject(item)) delete item.$ref;
    }
  let left = 0;
  for (const operation of operations) {
    const shared = operation.shared.flatMap(([value, pointer]) =>
      externalDependencies(references, value, pointer),
    );
    const external = [...shared, ...externalDependencies(references, operation.value, operation.pointer)];
    if (external.length === 0) {
      left++;
      continue;
    }
    for (const found of external)
      explain(
        found.reference,
        found.pointer,
        `the operation ${operation.method.toUpperCase()} ${operation.path} depends on it and is left out`,
      );
    delete operation.item[operation.key];
  }
  return left;
}
