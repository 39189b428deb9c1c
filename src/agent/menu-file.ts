import type { Tool, ToolMenu } from "../openapi/types.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonSchema, type JsonSchemaObject } from "../util/json.js";
import { definitionsOf, references, shareDefinitions } from "./definitions.js";

/** Version of the text form of a menu (`tools.json`). */
export const MENU_FORMAT = 1;

function mapSchemas(tool: Tool, change: (schema: JsonSchemaObject) => JsonSchemaObject): Tool {
  const responses: Tool["responses"] = {};
  for (const [status, response] of Object.entries(tool.responses)) {
    const schema = response.schema === null ? null : change(response.schema);
    define(responses, status, { ...response, schema });
  }
  return { ...tool, parameters: change(tool.parameters), responses };
}

/** Sets an own property, also one named `__proto__`. */
function define<T>(record: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(record, key, { value, enumerable: true, writable: true, configurable: true });
}

function fromMap(map: Iterable<[string, JsonSchema]>): Record<string, JsonSchema> {
  const record: Record<string, JsonSchema> = {};
  for (const [name, schema] of map) define(record, name, schema);
  return record;
}

function schemasOf(tool: Tool): JsonSchemaObject[] {
  const schemas = [tool.parameters];
  for (const response of Object.values(tool.responses))
    if (response.schema !== null) schemas.push(response.schema);
  return schemas;
}

/**
 * The JSON text of a menu. Definitions that mean the same in every tool are written once, at the top: a large API
 * whose every response reaches every schema stays as small as its document.
 */
export function writeMenu(menu: ToolMenu, options: { indent?: number } = {}): string {
  const { shared } = shareDefinitions(menu.tools.flatMap(schemasOf));
  const strip = (schema: JsonSchemaObject): JsonSchemaObject => {
    if (schema.$defs === undefined) return schema;
    const { $defs: _, ...rest } = schema;
    const own = [...definitionsOf(schema)].filter(([name]) => !shared.has(name));
    return own.length === 0 ? rest : { ...rest, $defs: fromMap(own) };
  };
  const tools = menu.tools.map((tool) => ({
    ...mapSchemas(tool, strip),
    servers: tool.servers.map((server) => ({ ...server, url: withoutUser(server.url) })),
  }));
  const used = new Set(tools.flatMap(schemasOf).flatMap((schema) => reached(schema, shared)));
  const $defs = fromMap([...shared].filter(([name]) => used.has(name)));
  return JSON.stringify({ format: MENU_FORMAT, ...menu, tools, $defs }, undefined, options.indent);
}

/** A server's address without a user name and password: those have no place in a file that is handed on. */
function withoutUser(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:)?\/\/[^/?#]*@/i, "$1//");
}

/** Names in `shared` that a schema reaches, through its own definitions and through shared ones. */
function reached(schema: JsonSchemaObject, shared: ReadonlyMap<string, JsonSchema>): string[] {
  const own = definitionsOf(schema);
  const found = new Set<string>();
  const queue: JsonSchema[] = [schema, ...own.values()];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const name of references(next)) {
      const definition = own.has(name) ? undefined : shared.get(name);
      if (definition === undefined || found.has(name)) continue;
      found.add(name);
      queue.push(definition);
    }
  }
  return [...found];
}

/**
 * Reads what `writeMenu` wrote (or a plain menu): every schema gets back exactly the definitions that it reaches.
 * @throws SpecdojoError `menu-unreadable` when the text is not a menu, or one of a newer format.
 */
export function readMenu(text: string, place = "tools.json"): ToolMenu {
  const fail = (message: string, remedy: string): never => {
    throw new SpecdojoError("menu-unreadable", message, { place, remedy });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail("The tool menu is not JSON.", "Export the agent or generate the client again.");
  }
  if (
    !isObject(value) ||
    !Array.isArray(value.tools) ||
    !Array.isArray(value.domains) ||
    typeof value.title !== "string"
  )
    return fail("The file is not a tool menu.", "Export the agent or generate the client again.");
  if (value.format !== undefined && value.format !== MENU_FORMAT)
    return fail(
      `The tool menu has format ${JSON.stringify(value.format)}; this version of specdojo reads ${MENU_FORMAT}.`,
      "Update specdojo, or export again.",
    );
  const {
    format: _,
    $defs,
    ...menu
  } = value as unknown as ToolMenu & { format?: number; $defs?: Record<string, JsonSchema> };
  if ($defs === undefined) return menu;
  const shared = new Map(Object.entries($defs));
  const attach = (schema: JsonSchemaObject): JsonSchemaObject => {
    const found = definitionsOf(schema);
    for (const name of reached(schema, shared)) found.set(name, shared.get(name) ?? true);
    return found.size === 0 ? schema : { ...schema, $defs: fromMap(found) };
  };
  return { ...menu, tools: menu.tools.map((tool) => mapSchemas(tool, attach)) };
}
