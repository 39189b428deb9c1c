import { isObject, type JsonSchema, type JsonSchemaObject } from "../util/json.js";
import type { RawOperation } from "./operations.js";
import { collectionStyle, type RawParameter } from "./parameters.js";
import { own, pointerTo, textOf } from "./pointer.js";
import { type References, referenceOf, unresolvedDiagnostic } from "./references.js";
import type { SchemaConverter } from "./schema.js";
import type { BodyBinding, Diagnostic, OpenApiVersion, PropertyEncoding } from "./types.js";

/** The body of an operation, ready to become arguments. */
export interface Body {
  mediaType: string;
  required: boolean;
  encoding: Record<string, PropertyEncoding>;
  content:
    | {
        kind: "properties";
        properties: Map<string, JsonSchema>;
        required: Set<string>;
        /** What the schema allows beside its properties, where it says so. */
        open: JsonSchema | undefined;
        /** Conditions on the whole object, in terms of its properties. */
        conditions: JsonSchema[];
      }
    | { kind: "whole"; name: string; schema: JsonSchema };
}

interface Context {
  references: References;
  converter: SchemaConverter;
  version: OpenApiVersion;
  report: (diagnostic: Diagnostic) => void;
}

/**
 * The body as declared by `requestBody` (3.x) or by the parameters in body or formData (2.0). The way of the other version
 * is read, too, where it is the only one.
 */
export function bodyOf(
  operation: RawOperation,
  parameters: readonly RawParameter[],
  consumes: unknown,
  context: Context,
): Body | undefined {
  const swagger = context.version === "2.0";
  const inParameters = parameters.find(({ in: place }) => place === "body" || place === "formData");
  const inBody = own(operation.value, "requestBody") ?? undefined;
  if (swagger ? inBody === undefined : inParameters === undefined)
    return swagger ? swaggerBody(parameters, consumes, context) : requestBody(operation, context);
  const used = swagger ? inParameters !== undefined : inBody === undefined;
  context.report({
    code: "body-of-other-version",
    severity: "warning",
    pointer:
      swagger || inParameters === undefined
        ? pointerTo(operation.pointer, "requestBody")
        : inParameters.pointer,
    message: swagger
      ? `OpenAPI 2.0 has no \`requestBody\`; it is ${used ? "left out" : "read as in 3.x"}.`
      : `OpenAPI ${context.version} has no parameters \`in: ${inParameters?.in}\`; it is ${used ? "read as in 2.0" : "left out"}.`,
    remedy: swagger ? "Use a parameter `in: body`." : "Use `requestBody`.",
  });
  return used ? swaggerBody(parameters, consumes, context) : requestBody(operation, context);
}

function requestBody(operation: RawOperation, context: Context): Body | undefined {
  const declared = own(operation.value, "requestBody");
  if (declared === undefined || declared === null) return undefined;
  const place = pointerTo(operation.pointer, "requestBody");
  const target = context.references.follow(declared, place);
  if (target.kind !== "found" || !isObject(target.value)) {
    context.report(
      target.kind === "found"
        ? invalid(place, "`requestBody` must be an object; any body is allowed.")
        : unresolvedDiagnostic(referenceOf(declared) ?? "", place, "any body is allowed"),
    );
    return whole("application/json", false, "body", {});
  }
  const required = own(target.value, "required");
  const content = own(target.value, "content");
  const types = isObject(content) ? Object.keys(content).filter((name) => isObject(content[name])) : [];
  const mediaType = preferred(types, (type) => isObject(content) && isDescribed(content[type], context));
  if (mediaType === undefined) {
    const schema = own(target.value, "schema");
    context.report(
      invalid(target.pointer, "`requestBody` needs `content` with a media type; JSON is assumed."),
    );
    return shape(
      schema ?? {},
      pointerTo(target.pointer, "schema"),
      "application/json",
      required,
      "body",
      context,
    );
  }
  const declaredMedia = pointerTo(target.pointer, "content", mediaType);
  const followed = context.references.follow(own(content, mediaType), declaredMedia);
  const media = followed.kind === "found" ? followed.value : undefined;
  const mediaPointer = followed.kind === "found" ? followed.pointer : declaredMedia;
  const items = own(media, "itemSchema");
  const schema = own(media, "schema") ?? (isObject(items) ? { type: "array", items } : undefined);
  const normal = isJsonAlias(mediaType) ? "application/json" : mediaType;
  if (schema === undefined && !isJsonLike(normal) && !isForm(normal))
    return whole(normal, required === true, "body", binary(normal));
  const body = shape(schema ?? {}, pointerTo(mediaPointer, "schema"), normal, required, "body", context);
  if (types.length > 1) reportOtherTypes(types, mediaType, content, schema, target.pointer, context);
  const encoding = own(media, "encoding");
  if (isObject(encoding))
    for (const name of Object.keys(encoding)) {
      const entry = encodingOf(encoding[name]);
      if (entry !== undefined) body.encoding[name] = entry;
    }
  return body;
}

/** A body is sent as one media type: what only the others have cannot be an argument, and that is said. */
function reportOtherTypes(
  types: readonly string[],
  chosen: string,
  content: unknown,
  schema: unknown,
  pointer: string,
  { references, report }: Context,
): void {
  const schemas = new Map(types.map((type) => [type, own(own(content, type), "schema")]));
  const used = namesOf(schema, references);
  const seen = new Set<unknown>([referenceOf(schema) ?? schema]);
  for (const [type, other] of schemas) {
    const key = referenceOf(other) ?? other;
    if (type === chosen || seen.has(key)) continue;
    seen.add(key);
    const missing = [...namesOf(other, references)].filter((name) => !used.has(name));
    if (missing.length > 0)
      report({
        code: "media-type-not-used",
        severity: "info",
        pointer: pointerTo(pointer, "content", type),
        message: `The body is sent as ${chosen}; only ${type} has ${missing.slice(0, 10).join(", ")}${missing.length > 10 ? ", ..." : ""}.`,
      });
  }
}

function namesOf(schema: unknown, references: References): Set<string> {
  const parts = gather(schema, "", references);
  if (parts === undefined) return new Set();
  return new Set([...parts.properties.keys(), ...branchProperties([parts], references).keys()]);
}

function swaggerBody(
  parameters: readonly RawParameter[],
  consumes: unknown,
  context: Context,
): Body | undefined {
  const types = Array.isArray(consumes)
    ? consumes.filter((type): type is string => typeof type === "string")
    : [];
  const form = parameters.filter((parameter) => parameter.in === "formData");
  const bodies = parameters.filter((parameter) => parameter.in === "body");
  for (const extra of form.length > 0 ? bodies : bodies.slice(1))
    context.report({
      code: "several-bodies",
      severity: "error",
      pointer: extra.pointer,
      message: `An operation can have one body; the parameter ${JSON.stringify(extra.name)} is left out.`,
      remedy: "Use either formData or one body parameter.",
    });
  if (form.length > 0) {
    const files = form.some((parameter) => own(parameter.value, "type") === "file");
    const multipart = files || (types.length > 0 && !types.includes("application/x-www-form-urlencoded"));
    const properties = new Map<string, JsonSchema>();
    const required = new Set<string>();
    const encoding: Record<string, PropertyEncoding> = {};
    for (const parameter of form) {
      const { name: _name, in: _in, required: needed, collectionFormat: format, ...rest } = parameter.value;
      const nested = rest.type === undefined ? rest.schema : undefined;
      const schema = isObject(nested) ? nested : rest;
      const place = schema === rest ? parameter.pointer : pointerTo(parameter.pointer, "schema");
      properties.set(parameter.name, context.converter.convert(schema, place, "request"));
      if (needed === true) required.add(parameter.name);
      if (own(schema, "type") === "array" && parameter.name !== "__proto__")
        encoding[parameter.name] = collectionStyle(format, "formData");
    }
    return {
      mediaType: multipart ? "multipart/form-data" : "application/x-www-form-urlencoded",
      required: required.size > 0,
      encoding,
      content: { kind: "properties", properties, required, open: undefined, conditions: [] },
    };
  }
  const body = bodies[0];
  if (body === undefined) return undefined;
  const mediaType = preferred(types) ?? "application/json";
  const normal = isJsonAlias(mediaType) ? "application/json" : mediaType;
  const name = /^[\w-]+$/.test(body.name) && body.name !== "__proto__" ? body.name : "body";
  const required = own(body.value, "required");
  return shape(
    own(body.value, "schema") ?? {},
    pointerTo(body.pointer, "schema"),
    normal,
    required,
    name,
    context,
    own(body.value, "description"),
  );
}

/** An object with properties becomes one argument per property, everything else a single argument. */
function shape(
  schema: unknown,
  pointer: string,
  mediaType: string,
  declaredRequired: unknown,
  name: string,
  context: Context,
  description?: unknown,
): Body {
  const parts = gather(schema, pointer, context.references);
  if (
    parts === undefined ||
    parts.conditional ||
    (parts.properties.size === 0 && parts.alternatives.length === 0)
  ) {
    const converted = context.converter.convert(schema, pointer, "request");
    const text = typeof description === "string" ? { description } : {};
    return whole(mediaType, declaredRequired === true, name, { ...text, ...asObject(converted) });
  }
  if (parts.properties.size === 0) {
    const converted = context.converter.convert(schema, pointer, "request");
    return whole(mediaType, declaredRequired === true, name, asObject(converted));
  }
  const properties = new Map<string, JsonSchema>();
  const required = new Set<string>();
  const { converter } = context;
  for (const [property, places] of parts.properties) {
    if (places.some(({ value }) => converter.isOmitted(value, "request"))) continue;
    const schemas = places.map(({ value, pointer: at }) => converter.convert(value, at, "request"));
    const different =
      schemas.length === 1
        ? schemas
        : [...new Map(schemas.map((one) => [JSON.stringify(one), one])).values()];
    properties.set(property, different.length === 1 ? (different[0] as JsonSchema) : { allOf: different });
    if (parts.required.has(property)) required.add(property);
    if (places.some(({ value }) => own(value, "required") === true)) required.add(property);
  }
  // A name may be required without being described.
  for (const property of parts.required)
    if (!parts.properties.has(property) && !properties.has(property) && parts.alternatives.length === 0) {
      properties.set(property, {});
      required.add(property);
    }
  const conditions: JsonSchema[] = [];
  const found = new Map<string, Map<string, JsonSchema>>();
  for (const { keyword, members } of parts.alternatives) {
    const converted = members.map(({ value, pointer: at }) => converter.convert(value, at, "request"));
    const branches = members.map(({ value, pointer: at }) => gather(value, at, context.references));
    for (const [property, places] of branchProperties(branches, context.references)) {
      if (parts.properties.has(property)) continue;
      if (places.some(({ value }) => converter.isOmitted(value, "request"))) continue;
      const variants = found.get(property) ?? new Map<string, JsonSchema>();
      found.set(property, variants);
      for (const { value, pointer: at } of places) {
        const schema = converter.convert(value, at, "request");
        variants.set(JSON.stringify(schema), schema);
      }
    }
    // A closed branch would forbid the other arguments, so the choice cannot be stated over all of them.
    if (branches.every((branch) => branch !== undefined && !branch.closed))
      conditions.push({ [keyword]: converted });
  }
  for (const [property, variants] of found) {
    const different = [...variants.values()];
    const known = properties.get(property);
    const schema = different.length === 1 ? (different[0] as JsonSchema) : { anyOf: different };
    if (known === undefined) properties.set(property, schema);
  }
  const open =
    parts.open === undefined
      ? undefined
      : typeof parts.open.value === "boolean"
        ? parts.open.value
        : converter.convert(parts.open.value, parts.open.pointer, "request");
  return {
    mediaType,
    // Documents that require properties but forget `required: true` on the body mean it.
    required: declaredRequired === true || (declaredRequired !== false && required.size > 0),
    encoding: {},
    content: { kind: "properties", properties, required, open, conditions },
  };
}

/** The properties of alternatives, and of those inside them. */
function branchProperties(
  branches: readonly (Gathered | undefined)[],
  references: References,
): Map<string, Place[]> {
  const found = new Map<string, Place[]>();
  const seen = new Set<unknown>();
  const stack = [...branches].reverse();
  while (stack.length > 0) {
    const branch = stack.pop();
    for (const [property, places] of branch?.properties ?? []) {
      const known = found.get(property);
      if (known === undefined) found.set(property, [...places]);
      else for (const place of places) known.push(place);
    }
    for (const { members } of branch?.alternatives ?? [])
      for (const { value, pointer } of members) {
        const target = references.follow(value, pointer);
        if (target.kind !== "found" || seen.has(target.value)) continue;
        seen.add(target.value);
        stack.push(gather(target.value, target.pointer, references));
      }
  }
  return found;
}

interface Place {
  value: unknown;
  pointer: string;
}

interface Gathered {
  properties: Map<string, Place[]>;
  required: Set<string>;
  open: Place | undefined;
  closed: boolean;
  alternatives: { keyword: "oneOf" | "anyOf"; members: Place[] }[];
  /** It says more about the object as a whole than the arguments of a call could. */
  conditional: boolean;
}

const conditionalKeywords = [
  ..."patternProperties propertyNames if not dependentSchemas dependencies".split(" "),
];

/** All properties of an object schema through `$ref` and `allOf`; undefined where it is not an object. */
function gather(schema: unknown, pointer: string, references: References): Gathered | undefined {
  const result: Gathered = {
    properties: new Map(),
    required: new Set(),
    open: undefined,
    closed: false,
    alternatives: [],
    conditional: false,
  };
  const seen = new Set<unknown>();
  const stack: Place[] = [{ value: schema, pointer }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { value, pointer: at } = next;
    if (!isObject(value) || seen.has(value)) continue;
    seen.add(value);
    const parts: Place[] = [];
    const reference = referenceOf(value);
    if (reference !== undefined) {
      const target = references.lookUp(reference);
      if (target.kind === "found") parts.push(target);
    }
    const type = own(value, "type");
    const types = Array.isArray(type) ? type : [type];
    if (type !== undefined && !types.some((one) => textOf(one).toLowerCase() === "object")) return undefined;
    const properties = own(value, "properties");
    if (isObject(properties))
      for (const name of Object.keys(properties)) {
        const place = { value: properties[name], pointer: pointerTo(at, "properties", name) };
        const known = result.properties.get(name);
        if (known === undefined) result.properties.set(name, [place]);
        else known.push(place);
      }
    if (conditionalKeywords.some((keyword) => isObject(own(value, keyword)))) result.conditional = true;
    const required = own(value, "required");
    if (Array.isArray(required))
      for (const name of required)
        if (typeof name === "string" && name !== "__proto__") result.required.add(name);
    const additional = own(value, "additionalProperties") ?? own(value, "unevaluatedProperties");
    if (additional === false) result.closed = true;
    else if (additional === true || (isObject(additional) && result.open === undefined))
      result.open ??= { value: additional, pointer: pointerTo(at, "additionalProperties") };
    for (const keyword of ["oneOf", "anyOf"] as const) {
      const members = own(value, keyword);
      if (Array.isArray(members) && members.length > 0)
        result.alternatives.push({
          keyword,
          members: members.map((member: unknown, i) => ({
            value: member,
            pointer: pointerTo(at, keyword, i),
          })),
        });
    }
    const all = own(value, "allOf");
    if (Array.isArray(all))
      all.forEach((part: unknown, i) => {
        parts.push({ value: part, pointer: pointerTo(at, "allOf", i) });
      });
    stack.push(...parts.reverse());
  }
  return result;
}

function whole(mediaType: string, required: boolean, name: string, schema: JsonSchema): Body {
  return { mediaType, required, encoding: {}, content: { kind: "whole", name, schema } };
}

function asObject(schema: JsonSchema): JsonSchemaObject {
  return schema === true ? {} : schema === false ? { not: {} } : schema;
}

/** The media type to send: JSON, else a form, else text or bytes, else the first. */
function preferred(
  types: readonly string[],
  described: (type: string) => boolean = () => true,
): string | undefined {
  const rank = (type: string): number => {
    const kind = kindOf(type);
    // A form with fields says more than JSON of any kind.
    return kind < 5 && !described(type) ? kind + 4.5 : kind;
  };
  const kindOf = (type: string): number => {
    const name = bare(type);
    if (name === "application/json" || name === "*/*" || name === "application/*") return 0;
    if (isJsonLike(name)) return 1;
    if (name === "application/x-www-form-urlencoded") return 2;
    if (name === "multipart/form-data") return 3;
    if (name.startsWith("multipart/")) return 4;
    if (name.startsWith("text/") && name !== "text/xml") return 5;
    return name.endsWith("xml") ? 7 : 6;
  };
  return [...types].sort((a, b) => rank(a) - rank(b))[0];
}

/** Does a media type say what its values are? */
function isDescribed(media: unknown, { references }: Context): boolean {
  const target = references.follow(media, "");
  const schema = target.kind === "found" ? own(target.value, "schema") : undefined;
  return isObject(schema) && Object.keys(schema).length > 0;
}

function bare(mediaType: string): string {
  return (mediaType.split(";")[0] ?? "").trim().toLowerCase();
}

function isJsonAlias(mediaType: string): boolean {
  return bare(mediaType) === "*/*" || bare(mediaType) === "application/*";
}

/** `application/json`, `application/vnd.api+json`, ... */
export function isJsonLike(mediaType: string): boolean {
  const name = bare(mediaType);
  return name.endsWith("/json") || name.endsWith("+json") || isJsonAlias(name);
}

export function isForm(mediaType: string): boolean {
  const name = bare(mediaType);
  return name === "application/x-www-form-urlencoded" || name.startsWith("multipart/");
}

function binary(mediaType: string): JsonSchemaObject {
  return bare(mediaType).startsWith("text/") ? { type: "string" } : { type: "string", format: "binary" };
}

const styles: readonly string[] = ["form", "spaceDelimited", "pipeDelimited", "deepObject"];

function encodingOf(value: unknown): PropertyEncoding | undefined {
  const encoding: PropertyEncoding = {};
  const contentType = own(value, "contentType");
  const style = own(value, "style");
  const explode = own(value, "explode");
  if (typeof contentType === "string") encoding.contentType = contentType;
  if (typeof style === "string" && styles.includes(style))
    encoding.style = style as NonNullable<PropertyEncoding["style"]>;
  if (typeof explode === "boolean") encoding.explode = explode;
  if (own(value, "allowReserved") === true) encoding.allowReserved = true;
  return Object.keys(encoding).length > 0 ? encoding : undefined;
}

function invalid(pointer: string, message: string): Diagnostic {
  return { code: "body-invalid", severity: "error", pointer, message, remedy: "Correct the request body." };
}

/** The binding that goes with a body once its arguments have their names. */
export function bodyBinding(body: Body, shapeOfBody: BodyBinding["shape"]): BodyBinding {
  const binding: BodyBinding = { mediaType: body.mediaType, required: body.required, shape: shapeOfBody };
  if (Object.keys(body.encoding).length > 0) binding.encoding = body.encoding;
  return binding;
}
