import type { z } from "zod";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonObject } from "../util/json.js";
import { loadPackage } from "../util/lazy.js";
import { type Arrangement, arrange, domainOf, fitsFilter, type Placed, tagsOf } from "./domains.js";
import { type MenuOptions, menuSchemas, type OperationExtension } from "./menu-options.js";
import type { RawOperation } from "./operations.js";
import { own, pointerTo } from "./pointer.js";
import type { Diagnostic, Tool } from "./types.js";

const key = "x-specdojo";

/** An operation that becomes a tool. */
export interface Selected {
  operation: RawOperation;
  name: string;
  domain: string;
  annotations: Tool["annotations"];
}

/**
 * Chooses operations and their domains: as `x-specdojo` in the document says, then as the options say. The document can
 * make an operation look more dangerous than its method, never less: only the user can.
 *
 * @throws SpecdojoError `invalid-option`, `menu-empty`
 */
export function selectOperations(
  document: JsonObject,
  operations: readonly RawOperation[],
  names: readonly string[],
  options: MenuOptions,
  report: (diagnostic: Diagnostic) => void,
): { selected: Selected[]; arrangements: Arrangement[] } {
  const schemas = once(() => menuSchemas(loadPackage<typeof import("zod")>("zod").z));
  const chosen = checkedOptions(options, schemas);
  const byName = new Map<string, { operation: RawOperation; extension: OperationExtension }>();
  const placed: Placed[] = [];
  operations.forEach((operation, i) => {
    const extension = {
      ...extensionOf(operation.item, operation.itemPointer, schemas, report),
      ...extensionOf(operation.value, operation.pointer, schemas, report),
    };
    const tags = tagsOf(own(operation.value, "tags"));
    const name = names[i] as string;
    const { method, path } = operation;
    byName.set(name, { operation, extension });
    if (extension.exclude !== true)
      placed.push({ name, method, path, tags, domain: extension.domain ?? domainOf(tags, path) });
  });

  const inDocument = documentOptions(document, schemas, report);
  const first = apply(placed, inDocument, (option, name) =>
    report({
      code: "x-specdojo-unknown-domain",
      severity: "warning",
      pointer: pointerTo("", key, "domains", option),
      message: `No domain is called ${JSON.stringify(name)}; this entry is without effect.`,
      remedy: "Use a tag, or the first part of a path.",
    }),
  );
  const second = apply(first.placed, chosen, (option, name, known) => {
    throw new SpecdojoError("invalid-option", `No domain is called ${JSON.stringify(name)}`, {
      place: `domains.${option}`,
      remedy: `The domains are: ${known.slice(0, 20).join(", ")}${known.length > 20 ? ", ..." : ""}.`,
    });
  });
  if (second.placed.length === 0 && operations.length > 0)
    throw new SpecdojoError("menu-empty", "No operation of the document is left", {
      place: first.placed.length === 0 ? `/${key}` : "include, exclude, domains",
      remedy: "Widen the filters.",
    });
  const selected = second.placed.map((one): Selected => {
    const { operation, extension } = byName.get(one.name) as NonNullable<ReturnType<typeof byName.get>>;
    return {
      operation,
      name: one.name,
      domain: one.domain,
      annotations: annotationsOf(one, operation, extension, inDocument, chosen),
    };
  });
  return { selected, arrangements: [first.arrangement, second.arrangement] };
}

function apply(
  placed: readonly Placed[],
  { include, exclude, domains = {} }: MenuOptions,
  unknown: (option: string, name: string, known: string[]) => void,
) {
  const left = placed.filter(
    (one) =>
      (include === undefined || fitsFilter(include, one)) &&
      (exclude === undefined || Object.keys(exclude).length === 0 || !fitsFilter(exclude, one)),
  );
  return arrange(left, domains, unknown);
}

/** What changes more than a new thing being there, by the first word of a name. */
const destructiveVerb =
  /^(?:delete|remove|destroy|drop|purge|wipe|erase|revoke|cancel|terminate|uninstall|unpublish|reset|clear|empty)(?![a-z])/;

function annotationsOf(
  placed: Placed,
  operation: RawOperation,
  extension: OperationExtension,
  inDocument: MenuOptions,
  options: MenuOptions,
): Tool["annotations"] {
  const { method } = placed;
  const reads = ["get", "head", "options", "trace", "query"].includes(method);
  // `deleteUser`, `POST /users/{id}/cancel`; a name that begins so is believed even of a GET.
  const last = placed.path.split("/").findLast((segment) => segment !== "" && !segment.includes("{")) ?? "";
  const id = own(operation.value, "operationId");
  const verbs = [typeof id === "string" ? id : "", reads ? "" : last];
  const destroys =
    method === "delete" ||
    verbs.some((name) => destructiveVerb.test(name.replaceAll(/([a-z])([A-Z])/g, "$1 $2").toLowerCase()));
  let annotations = {
    readOnly: reads && !destroys,
    destructive: destroys,
    idempotent: (reads && !destroys) || method === "put" || method === "delete",
  };
  const inRoot = (inDocument.annotations ?? []).filter(({ tools }) => fitsFilter(tools, placed));
  for (const hint of [...inRoot, extension])
    annotations = {
      readOnly: annotations.readOnly && hint.readOnly !== false && hint.destructive !== true,
      destructive: annotations.destructive || hint.destructive === true,
      idempotent: annotations.idempotent && hint.idempotent !== false,
    };
  for (const hint of options.annotations ?? []) {
    if (!fitsFilter(hint.tools, placed)) continue;
    const destructive = hint.destructive ?? (hint.readOnly === true ? false : annotations.destructive);
    annotations = {
      readOnly: hint.readOnly ?? (annotations.readOnly && !destructive),
      destructive,
      idempotent: hint.idempotent ?? (hint.readOnly === true || annotations.idempotent),
    };
  }
  return annotations;
}

type Schemas = () => ReturnType<typeof menuSchemas>;

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function checkedOptions(options: MenuOptions, schemas: Schemas): MenuOptions {
  if (isObject(options) && Object.keys(options).length === 0) return {};
  const checked = schemas().menuOptionsSchema.safeParse(options);
  if (!checked.success) throw invalidOption(checked.error);
  return checked.data;
}

function documentOptions(
  document: JsonObject,
  schemas: Schemas,
  report: (diagnostic: Diagnostic) => void,
): MenuOptions {
  const value = own(document, key);
  if (value === undefined) return {};
  // Each entry by itself, so that one mistake does not cost the others.
  const options: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(isObject(value) ? value : { "": value })) {
    const parsed = schemas().menuOptionsSchema.safeParse(isObject(value) ? { [name]: entry } : entry);
    if (parsed.success) Object.assign(options, parsed.data);
    else report(invalidExtension(pointerTo("", key), parsed.error));
  }
  return options;
}

function extensionOf(
  holder: Record<string, unknown>,
  pointer: string,
  schemas: Schemas,
  report: (diagnostic: Diagnostic) => void,
): OperationExtension {
  const value = own(holder, key);
  if (value === undefined) return {};
  const parsed = schemas().operationExtensionSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  report(invalidExtension(pointerTo(pointer, key), parsed.error));
  return {};
}

function firstIssue(error: z.ZodError): { path: string; message: string } {
  const [issue] = error.issues;
  return { path: (issue?.path ?? []).map(String).join("."), message: issue?.message ?? "is not valid" };
}

function invalidExtension(pointer: string, error: z.ZodError): Diagnostic {
  const { path, message } = firstIssue(error);
  return {
    code: "x-specdojo-invalid",
    severity: "warning",
    pointer: path === "" ? pointer : pointerTo(pointer, ...path.split(".")),
    message: `\`${key}\` is not valid here and left out: ${message}.`,
    remedy: "docs/domains.md has what can be said.",
  };
}

function invalidOption(error: z.ZodError): SpecdojoError {
  const { path, message } = firstIssue(error);
  return new SpecdojoError("invalid-option", `The options of the menu are not valid: ${message}`, {
    place: path,
    remedy: "docs/domains.md has the options.",
  });
}
