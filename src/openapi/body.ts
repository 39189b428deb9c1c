import { isObject, type JsonSchema, type JsonSchemaObject } from "../util/json.js";
import { type Inheritance, maxHeirs, type PlacedSchema as Place } from "./inheritance.js";
import type { RawOperation } from "./operations.js";
import { collectionStyle, type RawParameter } from "./parameters.js";
import { isTrue, own, pointerTo, schemaList, textOf } from "./pointer.js";
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
  inheritance: Inheritance;
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
  const kept = context.references.follow(own(target.value, "content"), pointerTo(target.pointer, "content"));
  const content = kept.kind === "found" ? kept.value : undefined;
  const types = isObject(content) ? Object.keys(content).filter((name) => isObject(content[name])) : [];
  const mediaType = preferred(types, (type) => isObject(content) && isDescribed(content[type], context));
  if (mediaType === undefined) {
    context.report(
      invalid(target.pointer, "`requestBody` needs `content` with a media type; JSON is assumed."),
    );
    const nested = own(target.value, "schema") ?? {};
    return isSchema(target.value)
      ? shape(target.value, target.pointer, "application/json", false, "body", context)
      : shape(nested, pointerTo(target.pointer, "schema"), "application/json", required, "body", context);
  }
  const declaredMedia = pointerTo(kept.kind === "found" ? kept.pointer : target.pointer, mediaType);
  const followed = context.references.follow(own(content, mediaType), declaredMedia);
  const media = followed.kind === "found" ? followed.value : undefined;
  const mediaPointer = followed.kind === "found" ? followed.pointer : declaredMedia;
  const items = own(media, "itemSchema");
  const schema = own(media, "schema") ?? (isObject(items) ? { type: "array", items } : undefined);
  const normal = isJsonAlias(mediaType) ? "application/json" : mediaType;
  if (schema === undefined && !isJsonLike(normal) && !isForm(normal))
    return whole(normal, isTrue(required), "body", binary(normal));
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
  const parts = form.length > 0 || bodies.length > 1 ? [...form, ...bodies] : [];
  for (const extra of parts.length > 0 ? bodies : [])
    context.report({
      code: "several-bodies",
      severity: "error",
      pointer: extra.pointer,
      message: `An operation can have one body; the parameter ${JSON.stringify(extra.name)} is read as a part of it.`,
      remedy: "Use either formData or one body parameter.",
    });
  if (parts.length > 0) {
    const files = form.some((parameter) => own(parameter.value, "type") === "file");
    const multipart = files || (types.length > 0 && !types.includes("application/x-www-form-urlencoded"));
    const formType = multipart ? "multipart/form-data" : "application/x-www-form-urlencoded";
    const properties = new Map<string, JsonSchema>();
    const required = new Set<string>();
    const encoding: Record<string, PropertyEncoding> = {};
    for (const parameter of parts) {
      const { name: _name, in: _in, required: needed, collectionFormat: format, ...rest } = parameter.value;
      const nested = rest.type === undefined ? rest.schema : undefined;
      const schema = isObject(nested) ? nested : rest;
      const place = schema === rest ? parameter.pointer : pointerTo(parameter.pointer, "schema");
      properties.set(parameter.name, context.converter.convert(schema, place, "request"));
      if (isTrue(needed)) required.add(parameter.name);
      if (form.length > 0 && own(schema, "type") === "array" && parameter.name !== "__proto__")
        encoding[parameter.name] = collectionStyle(format, "formData");
    }
    return {
      mediaType: form.length > 0 ? formType : "application/json",
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
  declared: unknown,
  place: string,
  mediaType: string,
  required: unknown,
  name: string,
  context: Context,
  description?: unknown,
): Body {
  const inner = onlyAlternative({ value: declared, pointer: place }, context.references);
  const { value: schema, pointer } = inner ?? { value: declared, pointer: place };
  const declaredRequired = inner?.nullable === true ? isTrue(required) : required;
  const parts = gather(schema, pointer, context.references);
  if (
    parts === undefined ||
    parts.conditional ||
    (parts.properties.size === 0 && parts.alternatives.length === 0)
  ) {
    const converted = context.converter.convert(schema, pointer, "request");
    const text = typeof description === "string" ? { description } : {};
    return whole(mediaType, isTrue(declaredRequired), name, { ...text, ...asObject(converted) });
  }
  if (parts.properties.size === 0) {
    const converted = context.converter.convert(schema, pointer, "request");
    return whole(mediaType, isTrue(declaredRequired), name, asObject(converted));
  }
  const properties = new Map<string, JsonSchema>();
  const needed = new Set<string>();
  const { converter } = context;
  for (const [property, places] of parts.properties) {
    if (places.some(({ value }) => converter.isOmitted(value, "request"))) continue;
    const schemas = places.map(({ value, pointer: at }) => converter.convert(value, at, "request"));
    const different =
      schemas.length === 1
        ? schemas
        : [...new Map(schemas.map((one) => [JSON.stringify(one), one])).values()];
    properties.set(property, different.length === 1 ? (different[0] as JsonSchema) : { allOf: different });
    if (parts.required.has(property)) needed.add(property);
    if (places.some(({ value }) => isTrue(own(value, "required")))) needed.add(property);
  }
  // A name may be required without being described.
  for (const property of parts.required)
    if (!parts.properties.has(property) && !properties.has(property) && parts.alternatives.length === 0) {
      properties.set(property, {});
      needed.add(property);
    }
  const conditions: JsonSchema[] = [];
  const found = new Map<string, Map<string, JsonSchema>>();
  const heirs = heirsOf({ value: schema, pointer }, context);
  const variants = { keyword: undefined, members: heirs.length > maxHeirs ? [] : heirs };
  for (const { keyword, members } of [...parts.alternatives, variants]) {
    const branches = members.map(({ value, pointer: at }) => gather(value, at, context.references));
    for (const [property, places] of branchProperties(branches, context.references)) {
      if (parts.properties.has(property)) continue;
      if (places.some(({ value }) => converter.isOmitted(value, "request"))) continue;
      const schemas = found.get(property) ?? new Map<string, JsonSchema>();
      found.set(property, schemas);
      for (const { value, pointer: at } of places) {
        const schema = converter.convert(value, at, "request");
        schemas.set(JSON.stringify(schema), schema);
      }
    }
    // A closed branch would forbid the other arguments, so the choice cannot be stated over all of them.
    if (keyword !== undefined && branches.every((branch) => branch !== undefined && !branch.closed))
      conditions.push({
        [keyword]: members.map(({ value, pointer: at }) => converter.convert(value, at, "request")),
      });
  }
  for (const [property, variants] of found) {
    const different = [...variants.values()];
    const known = properties.get(property);
    const schema = different.length === 1 ? (different[0] as JsonSchema) : { anyOf: different };
    if (known === undefined) properties.set(property, schema);
  }
  const open =
    parts.open === undefined
      ? heirs.length > maxHeirs || undefined
      : typeof parts.open.value === "boolean"
        ? parts.open.value
        : converter.convert(parts.open.value, parts.open.pointer, "request");
  return {
    mediaType,
    // Documents that require properties but forget `required: true` on the body mean it.
    required: isTrue(declaredRequired) || (declaredRequired !== false && needed.size > 0),
    encoding: {},
    content: { kind: "properties", properties, required: needed, open, conditions },
  };
}

/** The one alternative of a body beside null, as generators write an optional one: null is no body. */
function onlyAlternative(schema: Place, references: References): (Place & { nullable: boolean }) | undefined {
  const target = references.follow(schema.value, schema.pointer);
  if (target.kind !== "found" || !isObject(target.value)) return undefined;
  const { value, pointer } = target;
  if (["type", "properties", "allOf"].some((keyword) => Object.hasOwn(value, keyword))) return undefined;
  for (const keyword of ["anyOf", "oneOf"]) {
    const members = own(value, keyword);
    if (!Array.isArray(members)) continue;
    const left = members.filter((member) => own(member, "type") !== "null");
    if (left.length !== 1) continue;
    const nullable = members.length > 1;
    return { value: left[0], pointer: pointerTo(pointer, keyword, members.indexOf(left[0])), nullable };
  }
  return undefined;
}

/** What a schema with a discriminator and without alternatives stands for: the schemas that inherit from it. */
function heirsOf(schema: Place, { references, inheritance }: Context): Place[] {
  const target = references.follow(schema.value, schema.pointer);
  if (target.kind !== "found" || own(target.value, "discriminator") === undefined) return [];
  if (own(target.value, "oneOf") !== undefined || own(target.value, "anyOf") !== undefined) return [];
  return inheritance.heirsOf(target.value);
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
      const members = schemaList(own(value, keyword));
      if (members !== undefined && members.length > 0)
        result.alternatives.push({
          keyword,
          members: members.map((member: unknown, i) => ({
            value: member,
            pointer: pointerTo(at, keyword, i),
          })),
        });
    }
    schemaList(own(value, "allOf"))?.forEach((part, i) => {
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

/** Is it a schema, where another object is expected? */
function isSchema(value: unknown): boolean {
  return ["properties", "allOf", "oneOf", "anyOf", "type"].some(
    (keyword) => own(value, keyword) !== undefined,
  );
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
