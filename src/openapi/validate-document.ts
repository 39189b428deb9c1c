import SwaggerParser from "@apidevtools/swagger-parser";
import type { OpenAPI } from "openapi-types";
import { isObject, type JsonObject } from "../util/json.js";
import { own } from "./pointer.js";
import type { Diagnostic, OpenApiVersion } from "./types.js";

const maxFaults = 50;
const parserVersion = { "2.0": "2.0", "3.0": "3.0.3", "3.1": "3.1.0", "3.2": "3.1.0" } as const;

/**
 * Checks a document against the official schema of its version. References stay references (each component is checked
 * once, where it stands), so the cost is linear and nothing outside the document is looked at.
 */
export async function validateDocument(document: JsonObject, version: OpenApiVersion): Promise<Diagnostic[]> {
  const checked: JsonObject = { ...document };
  if (version === "2.0") checked.swagger = parserVersion[version];
  else checked.openapi = parserVersion[version];
  const info = own(document, "info");
  if (isObject(info)) checked.info = { ...(info as JsonObject), version: String(own(info, "version") ?? "") };
  if (checked.paths === undefined) checked.paths = {};
  try {
    await SwaggerParser.validate(
      checked as unknown as OpenAPI.Document,
      {
        mutateInputSchema: false,
        resolve: { external: false, file: false, http: false },
        dereference: { circular: "ignore", excludedPathMatcher: () => true },
        // The checks of the specification's prose stop at the first fault; the tool menu makes its own.
        validate: { schema: true, spec: false },
      } as SwaggerParser.Options,
    );
    return [];
  } catch (error) {
    const details = error instanceof Error ? Reflect.get(error, "details") : undefined;
    if (Array.isArray(details)) return faults(details);
    return [
      {
        code: "document-not-checked",
        severity: "warning",
        pointer: "",
        message: `The document could not be checked against the schema of OpenAPI ${version}: ${firstLine(error)}`,
        remedy: "Correct the structure of the document; its operations are read as far as possible.",
      },
    ];
  }
}

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
