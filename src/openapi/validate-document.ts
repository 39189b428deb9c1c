import type { OpenAPI } from "openapi-types";
import { isObject, type JsonObject } from "../util/json.js";
import { own, textOf } from "./pointer.js";
import { nameMaps } from "./references.js";
import type { Diagnostic, OpenApiVersion } from "./types.js";

const maxFaults = 50;
/** What `irregularity` may be; beyond it the validators need minutes and gigabytes to list the faults. */
const maxIrregularity = 20_000;

/**
 * Checks a document against the official schema of its version. References stay references (each component is checked
 * once, where it stands), so the cost is linear and nothing outside the document is looked at.
 */
export async function validateDocument(document: JsonObject, version: OpenApiVersion): Promise<Diagnostic[]> {
  if (irregularity(document) > maxIrregularity)
    return [unchecked(version, "it has lists and maps of values that do not belong there")];
  const info = own(document, "info");
  const checked: JsonObject = { ...document };
  if (isObject(info)) checked.info = { ...(info as JsonObject), version: textOf(own(info, "version")) };
  try {
    return faults(await (version === "3.2" ? errorsOf32(checked) : errorsOf(checked, version)));
  } catch (error) {
    return [unchecked(version, firstLine(error))];
  }
}

function unchecked(version: OpenApiVersion, reason: string): Diagnostic {
  return {
    code: "document-not-checked",
    severity: "warning",
    pointer: "",
    message: `The document could not be checked against the schema of OpenAPI ${version}: ${reason}.`,
    remedy: "Correct the structure of the document; its operations are read as far as possible.",
  };
}

async function errorsOf(document: JsonObject, version: "2.0" | "3.0" | "3.1"): Promise<unknown[]> {
  const { default: SwaggerParser } = await import("@apidevtools/swagger-parser");
  /** The validator without its other half: nothing is resolved or dereferenced. */
  class Validator extends SwaggerParser {
    override async dereference(...args: unknown[]): Promise<OpenAPI.Document> {
      const api = args.find(isObject) as unknown as OpenAPI.Document;
      Reflect.set(this, "schema", api);
      return api;
    }
  }
  // The validator knows these; other patch versions (3.0.99) differ in nothing it checks.
  if (version === "2.0") document.swagger = "2.0";
  else document.openapi = version === "3.0" ? "3.0.3" : "3.1.0";
  if (document.paths === undefined) document.paths = {};
  // The checks of the specification's prose stop at the first fault; the tool menu makes its own.
  const options = { validate: { schema: true, spec: false } } as object;
  try {
    await new Validator().validate(document as unknown as OpenAPI.Document, options);
    return [];
  } catch (error) {
    const details: unknown = error instanceof Error ? Reflect.get(error, "details") : undefined;
    if (Array.isArray(details)) return details;
    throw error;
  }
}

async function errorsOf32(document: JsonObject): Promise<unknown[]> {
  const { Validator } = await import("@seriousme/openapi-schema-validator");
  document.openapi = "3.2.0";
  const { errors } = await new Validator({ allErrors: true, validateFormats: false }).validate(document);
  // A text is about references, and those are looked at elsewhere.
  return Array.isArray(errors) ? errors : [];
}

/**
 * How much a document has of what makes validators slow: values where objects are expected (each makes several errors),
 * and long lists (they are searched for repetition, each item against each).
 */
function irregularity(document: JsonObject): number {
  let sum = 0;
  const stack: { value: object; names: boolean }[] = [{ value: document, names: false }];
  for (let next = stack.pop(); next !== undefined && sum <= maxIrregularity; next = stack.pop()) {
    const { value, names } = next;
    if (Array.isArray(value)) {
      sum += (value.length * value.length) / 10_000;
      for (const item of value) {
        if (typeof item === "object" && item !== null) stack.push({ value: item, names: false });
        else if (names) sum++;
      }
      continue;
    }
    const keys = Object.keys(value);
    if (!names) sum += Math.max(0, keys.length - 200);
    for (const key of keys) {
      const below: unknown = Reflect.get(value, key);
      if (typeof below === "object" && below !== null)
        stack.push({ value: below, names: !names && (nameMaps.has(key) || schemaLists.has(key)) });
      else if (names) sum++;
    }
  }
  return sum;
}

const schemaLists = new Set(["allOf", "anyOf", "oneOf", "servers"]);

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

/** Turns ajv's errors into diagnostics, leaving out the noise that alternatives make. */
function faults(errors: unknown[]): Diagnostic[] {
  const found = new Map<string, { pointer: string; message: string }>();
  const places = new Set<string>();
  for (const error of errors) {
    const pointer = own(error, "instancePath");
    if (typeof pointer !== "string") continue;
    for (let at = pointer.length; at > 0; at = pointer.lastIndexOf("/", at - 1)) {
      if (places.has(pointer.slice(0, at))) break;
      places.add(pointer.slice(0, at));
    }
  }
  const hasInside = parents(places);
  for (const error of errors) {
    const pointer = own(error, "instancePath");
    const keyword = own(error, "keyword");
    const parameters = own(error, "params");
    if (typeof pointer !== "string" || typeof keyword !== "string") continue;
    // `oneOf [thing, reference]`: the fault is in the thing, unless nothing else is wrong there.
    if (keyword === "required" && own(parameters, "missingProperty") === "$ref") continue;
    if (["oneOf", "anyOf", "if", "not"].includes(keyword) && hasInside.has(pointer)) continue;
    const extra = own(parameters, "additionalProperty") ?? own(parameters, "unevaluatedProperty");
    const allowed = own(parameters, "allowedValues");
    let message = String(own(error, "message") ?? "is not valid");
    if (typeof extra === "string") message += `: ${JSON.stringify(extra)}`;
    if (Array.isArray(allowed)) message += `: ${allowed.map((value) => JSON.stringify(value)).join(", ")}`;
    found.set(`${pointer} ${message}`, { pointer, message });
  }
  const diagnostics: Diagnostic[] = [...found.values()].slice(0, maxFaults).map(({ pointer, message }) => ({
    code: "document-invalid",
    severity: "warning",
    pointer,
    message: `Not valid by the schema of this OpenAPI version: ${message}.`,
    remedy: "Correct the document there; the operation is used as far as it can be understood.",
  }));
  if (found.size > maxFaults)
    diagnostics.push({
      code: "document-invalid",
      severity: "warning",
      pointer: "",
      message: `${found.size - maxFaults} further faults of this kind are not listed.`,
    });
  return diagnostics;
}

function parents(places: Set<string>): Set<string> {
  const result = new Set<string>();
  for (const place of places) result.add(place.slice(0, Math.max(0, place.lastIndexOf("/"))));
  return result;
}
