import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonSchema, type JsonSchemaObject } from "../util/json.js";
import { type Body, bodyBinding, bodyOf } from "./body.js";
import { createReport } from "./diagnostics.js";
import { domainsOf } from "./domains.js";
import { securityOf, securitySchemesOf, serversOf } from "./environment.js";
import { asOurError } from "./guard.js";
import { Inheritance } from "./inheritance.js";
import type { LoadedDocument } from "./load.js";
import type { MenuOptions } from "./menu-options.js";
import { toolNames } from "./names.js";
import { operationsOf, type RawOperation } from "./operations.js";
import { collectParameters, type Parameter, toParameters } from "./parameters.js";
import { own, textOf } from "./pointer.js";
import { References } from "./references.js";
import { checkResponses, responsesOf, withResponses } from "./responses.js";
import { SchemaConverter } from "./schema.js";
import { selectOperations } from "./select-operations.js";
import { plainDescription, plainLine } from "./text.js";
import type { BodyBinding, Diagnostic, Tool, ToolMenu } from "./types.js";

/**
 * One tool per operation of a loaded document, but for those that the options or the document's `x-specdojo` leave out
 * (names never depend on that). What is wrong with an operation becomes a diagnostic of the menu (which also has those of
 * the document) and never touches another operation.
 *
 * @throws SpecdojoError `invalid-option` for options that do not fit the document, `menu-empty` where nothing is left.
 */
export function buildToolMenu(loaded: LoadedDocument, options: MenuOptions = {}): ToolMenu {
  try {
    return build(loaded, options);
  } catch (error) {
    throw asOurError(error);
  }
}

function build(loaded: LoadedDocument, options: MenuOptions): ToolMenu {
  const { document, version } = loaded;
  const report = createReport(loaded.diagnostics);
  const references = new References(document);
  let building = true;
  const converter = new SchemaConverter(references, version, (diagnostic) => {
    // Responses are converted when somebody asks for them; their references are checked here and now.
    if (building) report.add(diagnostic);
  });
  const inheritance = new Inheritance(references);
  const checked = new Set<unknown>();
  let count = 0;
  const operations = operationsOf(document, references, report.add);
  if (operations.length > maxOperations) throw tooMany(`${maxOperations} operations`);
  const names = toolNames(
    operations.map(({ method, path, value }) => ({ method, path, operationId: operationId(value) })),
  );
  reportNames(operations, names, report.add);
  if (isObject(own(document, "x-ms-paths")))
    report.add({
      code: "vendor-paths",
      severity: "warning",
      pointer: "/x-ms-paths",
      message: "`x-ms-paths` is no part of OpenAPI; its operations do not become tools.",
      remedy: "Move what you need to `paths`; a path may have a query.",
    });

  const { selected, arrangements } = selectOperations(document, operations, names, options, report.add);
  const tools = selected.map(({ operation, name, domain, annotations }): Tool => {
    const raw = collectParameters(operation, references, report.add);
    const parameters = toParameters(raw, operation, version, converter, report.add);
    const consumes = own(operation.value, "consumes") ?? own(document, "consumes");
    const context = { references, inheritance, converter, version, report: report.add };
    const body = bodyOf(operation, raw, consumes, context);
    const call = toArguments(parameters, body, operation, report.add);
    count += Object.keys(call.schema.properties ?? {}).length;
    if (count > maxArguments) throw tooMany(`${maxArguments} arguments`);
    const id = operationId(operation.value);
    const security = securityOf(document, operation.value);
    if (loaded.resolved !== true) checkResponses(operation, references, report.add, checked);
    const tool = {
      name,
      method: operation.method,
      path: operation.path,
      domain,
      description: plainDescription(
        own(operation.value, "summary") ?? own(operation.item, "summary"),
        own(operation.value, "description") ?? own(operation.item, "description"),
      ),
      parameters: converter.complete(call.schema, "request"),
      bindings: call.bindings,
      ...(call.body === undefined ? {} : { body: call.body }),
      responses: {},
      ...(id === undefined ? {} : { operationId: id }),
      deprecated: own(operation.value, "deprecated") === true,
      annotations,
      ...(security === undefined ? {} : { security }),
      servers: serversOf(document, version, operation.item, operation.value),
      pointer: operation.pointer,
    };
    return withResponses(tool, () => responsesOf(operation, version, references, converter));
  });
  building = false;

  const info = own(document, "info");
  const title = own(info, "title");
  const documentVersion = own(info, "version");
  return {
    title: typeof title === "string" ? plainLine(title) : "",
    version: plainLine(textOf(documentVersion)),
    tools,
    domains: domainsOf(document, tools, arrangements),
    securitySchemes: securitySchemesOf(document, version, references),
    diagnostics: report.diagnostics,
  };
}

/** More than any API has; a document can ask for more with few words, by references. */
const maxOperations = 100_000;
const maxArguments = 3_000_000;

function tooMany(what: string): SpecdojoError {
  return new SpecdojoError("document-too-large", `The document has more than ${what}.`, {
    place: "/paths",
    remedy: "Split the document, or choose operations with `include` and `exclude`.",
  });
}

function operationId(operation: Record<string, unknown>): string | undefined {
  const id = own(operation, "operationId");
  return typeof id === "string" && id.trim() !== "" ? id : undefined;
}

function reportNames(
  operations: readonly RawOperation[],
  names: readonly string[],
  report: (diagnostic: Diagnostic) => void,
): void {
  const byId = new Map<string, number>();
  for (const { value } of operations) {
    const id = operationId(value);
    if (id !== undefined) byId.set(id, (byId.get(id) ?? 0) + 1);
  }
  operations.forEach((operation, i) => {
    const id = operationId(operation.value);
    if (id === undefined)
      report({
        code: "missing-operation-id",
        severity: "info",
        pointer: operation.pointer,
        message: `The operation has no operationId; its tool is called ${names[i]}.`,
        remedy: "Add an operationId.",
      });
    else if ((byId.get(id) ?? 0) > 1)
      report({
        code: "duplicate-operation-id",
        severity: "warning",
        pointer: operation.pointer,
        message: `Several operations have the operationId ${JSON.stringify(id.slice(0, 100))}; this one's tool is called ${names[i]}.`,
        remedy: "Give each operation its own operationId.",
      });
    else if (id !== names[i])
      report({
        code: "operation-id-changed",
        severity: "info",
        pointer: operation.pointer,
        message: `The operationId ${JSON.stringify(id.slice(0, 100))} is no tool name; the tool is called ${names[i]}.`,
        remedy: "Use letters, digits, - and _, at most 64.",
      });
  });
}

interface Call {
  schema: JsonSchemaObject;
  bindings: Tool["bindings"];
  body?: BodyBinding;
}

/** Brings parameters and body together in one object of arguments, each with a name of its own. */
function toArguments(
  parameters: readonly Parameter[],
  body: Body | undefined,
  operation: RawOperation,
  report: (diagnostic: Diagnostic) => void,
): Call {
  const properties: Record<string, JsonSchema> = {};
  const required: string[] = [];
  const bindings: Tool["bindings"] = {};
  const wanted = new Set(parameters.map(({ name }) => name));
  if (body?.content.kind === "properties")
    for (const name of body.content.properties.keys()) wanted.add(name);

  const claim = (name: string, place: string): string => {
    if (!Object.hasOwn(properties, name) && name !== "__proto__") return name;
    const base = `${name.replaceAll("__proto__", "proto")}_${place}`;
    let free = base;
    for (let i = 2; Object.hasOwn(properties, free) || wanted.has(free); i++) free = `${base}_${i}`;
    report({
      code: "argument-renamed",
      severity: "info",
      pointer: operation.pointer,
      message: `The name ${JSON.stringify(name)} is used more than once; the one in the ${place} is the argument ${JSON.stringify(free)}.`,
    });
    return free;
  };

  const order = { path: 0, query: 1, header: 2, cookie: 3 };
  const sorted = [...parameters].sort((a, b) => order[a.binding.in] - order[b.binding.in]);
  for (const parameter of sorted) {
    const name = claim(parameter.name, parameter.binding.in);
    properties[name] = parameter.schema;
    bindings[name] = parameter.binding;
    if (parameter.required) required.push(name);
  }

  const schema: JsonSchemaObject = { type: "object", properties };
  const call: Call = { schema, bindings };
  let open: JsonSchema | undefined;
  if (body?.content.kind === "whole") {
    const name = claim(body.content.name, "body");
    properties[name] = body.content.schema;
    if (body.required) required.push(name);
    call.body = bodyBinding(body, { kind: "whole", argument: name });
  } else if (body?.content.kind === "properties") {
    const names: Record<string, string> = {};
    const needed: string[] = [];
    let renamed = false;
    for (const [property, value] of body.content.properties) {
      const name = claim(property, "body");
      renamed ||= name !== property;
      properties[name] = value;
      names[name] = property;
      if (body.content.required.has(property)) needed.push(name);
    }
    if (body.required) required.push(...needed);
    else if (needed.length > 0) {
      // The body may be left out; if it is there, it is complete.
      const dependent: Record<string, string[]> = {};
      for (const name of Object.keys(names)) {
        // Of many, each asks for the next: that is as much, and not the square of it.
        const next = needed[(needed.indexOf(name) + 1) % needed.length] as string;
        const others = needed.length > 50 ? [next] : needed.filter((other) => other !== name);
        if (others.length > 0) dependent[name] = others;
      }
      if (Object.keys(dependent).length > 0) schema.dependentRequired = dependent;
    }
    open = body.content.open;
    if (!renamed && body.required && body.content.conditions.length > 0)
      schema.allOf = body.content.conditions;
    call.body = bodyBinding(body, { kind: "properties", properties: names });
  }
  if (required.length > 0) schema.required = required;
  schema.additionalProperties = open ?? false;
  return call;
}
