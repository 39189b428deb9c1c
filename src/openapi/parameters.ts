import { isObject, type JsonSchema, type JsonSchemaObject, type JsonValue } from "../util/json.js";
import type { RawOperation } from "./operations.js";
import { isShallow, isTrue, own, pointerTo, textOf } from "./pointer.js";
import { type References, referenceOf, unresolvedDiagnostic } from "./references.js";
import type { SchemaConverter } from "./schema.js";
import type { Diagnostic, OpenApiVersion, ParameterBinding } from "./types.js";

/** One parameter, ready to become an argument. */
export interface Parameter {
  name: string;
  required: boolean;
  schema: JsonSchema;
  binding: ParameterBinding;
}

/** A parameter as it stands in the document. */
export interface RawParameter {
  name: string;
  in: string;
  value: Record<string, unknown>;
  pointer: string;
}

const places = new Set(["path", "query", "header", "cookie"]);
/** Every place of any version. */
const allPlaces = [...places, "body", "formData", "querystring"];
const clientHeaders = new Set(["accept", "content-type", "authorization"]);
type Style = ParameterBinding["style"];

/**
 * Is it a header that is the client's matter, not that of who asks? OpenAPI 3 says that parameters for these are ignored: what
 * a call needs of them comes from elsewhere.
 */
export function isClientHeader(binding: { in: string; name: string }): boolean {
  return binding.in === "header" && clientHeaders.has(binding.name.toLowerCase());
}

/** The parameters of an operation with those of its path item; references followed, the operation's own win. */
export function collectParameters(
  operation: RawOperation,
  references: References,
  report: (diagnostic: Diagnostic) => void,
): RawParameter[] {
  const found = new Map<string, RawParameter>();
  const lists: [unknown, string, boolean][] = operation.shared.map(([list, place]) => [list, place, false]);
  lists.push([own(operation.value, "parameters"), pointerTo(operation.pointer, "parameters"), true]);
  for (const [declaredList, declaredPlace, ownList] of lists) {
    if (declaredList === undefined || declaredList === null) continue;
    // Not in the specification: a reference to a list.
    const kept = references.follow(declaredList, declaredPlace);
    const [list, place] = kept.kind === "found" ? [kept.value, kept.pointer] : [declaredList, declaredPlace];
    // Seen in the wild: one parameter instead of a list, or a map from names.
    const entries = Array.isArray(list)
      ? list
      : isObject(list)
        ? own(list, "in")
          ? [list]
          : Object.values(list)
        : [];
    if (!Array.isArray(list))
      report({
        code: "parameters-not-list",
        severity: "warning",
        pointer: place,
        message: "`parameters` must be a list; its values are read as one.",
      });
    const here = new Set<string>();
    entries.forEach((entry: unknown, i) => {
      const pointer = pointerTo(place, i);
      const target = references.follow(entry, pointer);
      if (target.kind !== "found") {
        report(unresolvedDiagnostic(referenceOf(entry) ?? "", pointer, "the parameter is left out"));
        return;
      }
      const name = textOf(own(target.value, "name") ?? undefined);
      const declared = own(target.value, "in");
      const where = placeOf(declared, name, operation.path);
      if (!isObject(target.value) || name === "" || where === undefined) {
        report({
          code: "parameter-invalid",
          severity: "error",
          pointer,
          message: "A parameter needs `name` and `in`; this one is left out.",
          remedy: "Add them.",
        });
        return;
      }
      if (where.toLowerCase() !== textOf(declared).trim().toLowerCase())
        report({
          code: "parameter-place",
          severity: "warning",
          pointer,
          message: `The parameter ${JSON.stringify(name.slice(0, 100))} ${declared === undefined ? "has no `in`" : `has \`in: ${textOf(declared).slice(0, 40)}\``}; it is read as \`in: ${where}\`.`,
          remedy: `Write \`in: ${where}\`.`,
        });
      const key = `${where} ${name}`;
      if (here.has(key))
        report({
          code: "duplicate-parameter",
          severity: "warning",
          pointer,
          message: `The ${where} parameter ${JSON.stringify(name)} is declared twice; the first one counts.`,
          remedy: "Remove one of them.",
        });
      if (here.has(key)) return;
      here.add(key);
      if (ownList || !found.has(key))
        found.set(key, { name, in: where, value: target.value, pointer: target.pointer });
    });
  }
  return [...found.values()];
}

/** Where a parameter is, mended where that is clear: `Query`, `head`, or none for a name that the path has. */
function placeOf(declared: unknown, name: string, path: string): string | undefined {
  if (declared === undefined || declared === null)
    return templateNames(path).includes(name) ? "path" : undefined;
  if (typeof declared !== "string") return undefined;
  const given = declared.trim().toLowerCase();
  const same = allPlaces.find((place) => place.toLowerCase() === given);
  const similar = allPlaces.find(
    (place) => given.length > 2 && (place.startsWith(given) || given.startsWith(place)),
  );
  return same ?? similar ?? declared;
}

/** Path, query, header and cookie parameters, and those that the path template needs but nobody declared. */
export function toParameters(
  raw: readonly RawParameter[],
  operation: RawOperation,
  version: OpenApiVersion,
  converter: SchemaConverter,
  report: (diagnostic: Diagnostic) => void,
): Parameter[] {
  const parameters: Parameter[] = [];
  const template = new Set(templateNames(operation.path));
  const declared = new Set(raw.filter((one) => one.in === "path").map(({ name }) => name));
  /** Places of the path that nobody declares exactly, by the bare name. */
  const similar = new Map(
    [...template].filter((name) => !declared.has(name)).map((name) => [bareName(placeName(name)), name]),
  );
  const filled = new Set<string>();
  for (const parameter of raw) {
    // These make the body.
    if (parameter.in === "body" || parameter.in === "formData") continue;
    // The whole query string (OpenAPI 3.2): as a form it is an exploded object in the query.
    const whole = version !== "2.0" && parameter.in === "querystring";
    const place = whole ? "query" : parameter.in;
    if (!places.has(place)) {
      report({
        code: "parameter-invalid",
        severity: "error",
        pointer: parameter.pointer,
        message: `A parameter cannot be \`in: ${parameter.in.slice(0, 40)}\`; it is left out.`,
        remedy: "Use path, query, header or cookie.",
      });
      continue;
    }
    const ignored = version !== "2.0" && isClientHeader({ in: place, name: parameter.name });
    if (ignored)
      report({
        code: "header-not-needed",
        severity: "info",
        pointer: parameter.pointer,
        message: `OpenAPI ${version} ignores a parameter for the header ${parameter.name}; no call needs this argument.`,
        remedy: "Say with media types and security schemes what the request has.",
      });
    let name = parameter.name;
    if (place === "path" && !template.has(name)) {
      const near = similar.get(bareName(name));
      report({
        code: "path-parameter-unused",
        severity: "warning",
        pointer: parameter.pointer,
        message:
          near === undefined
            ? `The path has no place for the parameter ${JSON.stringify(name)}; it is never sent.`
            : `The path calls the parameter ${JSON.stringify(name)} ${JSON.stringify(near)}.`,
        remedy: "Use the same name in the path and in the parameter.",
      });
      if (near !== undefined) name = near;
    }
    if (place === "path") filled.add(name);
    parameters.push({
      name: parameter.name,
      required: place === "path" ? template.has(name) : isTrue(own(parameter.value, "required")) && !ignored,
      schema: parameterSchema(parameter, version, converter, report),
      binding: whole
        ? wholeQuery(parameter, name)
        : bindingOf(parameter, name, place as ParameterBinding["in"], version),
    });
  }
  for (const name of template) {
    if (filled.has(name)) continue;
    report({
      code: "path-parameter-undeclared",
      severity: "warning",
      pointer: operation.pointer,
      message: `The path has a place {${name}} but there is no such parameter; it is added as a required text.`,
      remedy: `Declare \`{name: ${name}, in: path, required: true, schema: {type: string}}\`.`,
    });
    parameters.push({
      name: placeName(name),
      required: true,
      schema: { type: "string" },
      binding: { in: "path", name, style: "simple", explode: false },
    });
  }
  return parameters;
}

function wholeQuery({ value }: RawParameter, name: string): ParameterBinding {
  const contentType = contentOf(value)?.mediaType;
  return contentType === undefined || contentType === "application/x-www-form-urlencoded"
    ? { in: "query", name, style: "form", explode: true }
    : { in: "query", name, style: "form", explode: false, contentType, whole: true };
}

/** Names of the places in a path template, each once. */
export function templateNames(path: string): string[] {
  return [...new Set([...path.matchAll(/\{([^{}]+)\}/g)].map((match) => match[1] as string))];
}

/** The name of a place in a path, without the pattern that some frameworks write behind it (`{id: [0-9]+}`). */
function placeName(place: string): string {
  return /^\s*([^\s:=]+)\s*[:=]/.exec(place)?.[1] ?? place;
}

/** What is left of a name when its spelling does not count. */
function bareName(name: string): string {
  return name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
}

function parameterSchema(
  parameter: RawParameter,
  version: OpenApiVersion,
  converter: SchemaConverter,
  report: (diagnostic: Diagnostic) => void,
): JsonSchema {
  const { value, pointer } = parameter;
  let schema: JsonSchema;
  if (version === "2.0") {
    // Written as in 3.x, by mistake.
    const nested = own(value, "type") === undefined ? own(value, "schema") : undefined;
    schema = isObject(nested)
      ? converter.convert(nested, pointerTo(pointer, "schema"), "request")
      : converter.convert(withoutParameterFields(value), pointer, "request");
  } else {
    const content = contentOf(value);
    const declared = content === undefined ? own(value, "schema") : own(content.value, "schema");
    if (declared === undefined && content === undefined) {
      // Written as in 2.0, by mistake.
      const inline = own(value, "type") === undefined ? { type: "string" } : withoutParameterFields(value);
      report({
        code: "parameter-without-schema",
        severity: "warning",
        pointer,
        message: `The parameter ${JSON.stringify(parameter.name)} has no schema; it is read as ${JSON.stringify(own(inline, "type"))}.`,
        remedy: "Add `schema`.",
      });
      schema = converter.convert(inline, pointer, "request");
    } else {
      const place =
        content === undefined
          ? pointerTo(pointer, "schema")
          : pointerTo(pointer, "content", content.mediaType, "schema");
      schema = converter.convert(declared ?? {}, place, "request");
    }
  }
  return annotate(schema, value);
}

/** Fields of a 2.0 parameter that are not part of its schema. */
function withoutParameterFields(value: Record<string, unknown>): Record<string, unknown> {
  const {
    name: _name,
    in: _in,
    required: _required,
    schema: _schema,
    collectionFormat: _format,
    ...rest
  } = value;
  return rest;
}

/** Adds what a parameter says about itself to its schema. */
export function annotate(schema: JsonSchema, value: Record<string, unknown>): JsonSchema {
  const base: JsonSchemaObject = schema === true ? {} : schema === false ? { not: {} } : schema;
  const out: JsonSchemaObject = { ...base };
  const description = own(value, "description");
  if (typeof description === "string" && description.trim() !== "") out.description = description;
  if (own(value, "deprecated") === true) out.deprecated = true;
  const example = own(value, "example");
  const examples = own(value, "examples");
  if (out.examples === undefined) {
    if (example !== undefined && isShallow(example)) out.examples = [example as JsonValue];
    else if (isObject(examples) && isShallow(examples)) {
      const values = Object.values(examples)
        .map((entry) => own(entry, "value"))
        .filter((entry) => entry !== undefined);
      if (values.length > 0) out.examples = values as JsonValue[];
    }
  }
  return out;
}

function contentOf(value: Record<string, unknown>): { mediaType: string; value: unknown } | undefined {
  const content = own(value, "content");
  if (!isObject(content)) return undefined;
  const mediaType = Object.keys(content)[0];
  return mediaType === undefined ? undefined : { mediaType, value: content[mediaType] };
}

const defaultStyles: Record<ParameterBinding["in"], Style> = {
  path: "simple",
  query: "form",
  header: "simple",
  cookie: "form",
};
const allowedStyles: Record<ParameterBinding["in"], readonly Style[]> = {
  path: ["simple", "label", "matrix"],
  query: ["form", "spaceDelimited", "pipeDelimited", "deepObject", "tabDelimited"],
  header: ["simple"],
  cookie: ["form"],
};

function bindingOf(
  parameter: RawParameter,
  name: string,
  place: ParameterBinding["in"],
  version: OpenApiVersion,
): ParameterBinding {
  const { value } = parameter;
  if (version === "2.0")
    return { in: place, name, ...collectionStyle(own(value, "collectionFormat"), place) };
  const declared = own(value, "style");
  const style = allowedStyles[place].find((candidate) => candidate === declared) ?? defaultStyles[place];
  const explode = own(value, "explode");
  const binding: ParameterBinding = {
    in: place,
    name,
    style,
    explode: typeof explode === "boolean" ? explode : style === "form" || style === "deepObject",
  };
  if (own(value, "allowReserved") === true) binding.allowReserved = true;
  const content = contentOf(value);
  if (content !== undefined) binding.contentType = content.mediaType;
  return binding;
}

/** `collectionFormat` of 2.0 in the terms of 3.x. */
export function collectionStyle(
  format: unknown,
  place: ParameterBinding["in"] | "formData",
): { style: Style; explode: boolean } {
  if (place === "path" || place === "header") return { style: "simple", explode: false };
  if (format === "multi") return { style: "form", explode: true };
  if (format === "ssv") return { style: "spaceDelimited", explode: false };
  if (format === "tsv") return { style: "tabDelimited", explode: false };
  if (format === "pipes") return { style: "pipeDelimited", explode: false };
  return { style: "form", explode: false };
}
