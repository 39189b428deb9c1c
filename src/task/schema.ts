import { type Views, viewsOf } from "../openapi/views.js";
import { isObject, type JsonSchemaObject } from "../util/json.js";

export { viewsOf as schemaViews, viewsOfProperty as propertyViews } from "../openapi/views.js";

export function isDeclared(views: Views, key: string): boolean {
  return views.some((view) => isObject(view.properties) && Object.hasOwn(view.properties, key));
}

export function itemViews(views: Views, root: JsonSchemaObject): Views {
  return views.flatMap((view) => viewsOf(view.items, root));
}

/** JSON types that the views name; empty where none does. Nothing is concluded from other keywords. */
export function typesOf(views: Views): Set<string> {
  const types = new Set<string>();
  for (const view of views) {
    if (typeof view.type === "string") types.add(view.type);
    else if (Array.isArray(view.type)) for (const type of view.type) types.add(type);
    else if (Array.isArray(view.enum))
      for (const value of view.enum) types.add(value === null ? "null" : typeof value);
  }
  return types;
}
