import { fileURLToPath } from "node:url";
import { buildToolMenu, loadOpenApi, type Tool, type ToolMenu } from "../../src/openapi/index.js";

export function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
}

/** The menu of a file, or of an object that is not checked against the official schema (that is most of the time). */
export async function menuOf(input: string | object): Promise<ToolMenu> {
  return buildToolMenu(await loadOpenApi(input, { validate: typeof input === "string" }));
}

/** A 3.0 document with the given paths. */
export function documentOf(paths: object, rest: object = {}): object {
  return { openapi: "3.0.3", info: { title: "Shop", version: "1" }, paths, ...rest };
}

/** The tool of a document with one operation. */
export async function toolOf(
  operation: object,
  { path = "/orders", method = "post", rest = {} as object } = {},
): Promise<Tool> {
  const complete = { responses: { "200": { description: "ok" } }, ...operation };
  const menu = await menuOf(documentOf({ [path]: { [method]: complete } }, rest));
  return menu.tools[0] as Tool;
}

export function jsonBody(schema: object, more: object = {}): object {
  return { requestBody: { ...more, content: { "application/json": { schema } } } };
}
