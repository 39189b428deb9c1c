import type { Tool, ToolMenu } from "../../src/openapi/types.js";
import type { JsonSchema } from "../../src/util/json.js";

/** A tool with only what scoring looks at. */
export function tool(
  name: string,
  properties: Record<string, JsonSchema> = {},
  required: string[] = [],
  more: Partial<Tool> = {},
): Tool {
  return {
    name,
    operationId: name,
    method: "get",
    path: `/${name}`,
    domain: "main",
    description: "",
    parameters: { type: "object", properties, required },
    bindings: {},
    responses: {},
    deprecated: false,
    annotations: { readOnly: true, destructive: false, idempotent: true },
    servers: [],
    pointer: "",
    ...more,
  };
}

export function menuOf(tools: Tool[]): ToolMenu {
  const domains = [...new Set(tools.map((entry) => entry.domain))].map((name) => ({
    name,
    description: "",
    tools: tools.filter((entry) => entry.domain === name).map((entry) => entry.name),
  }));
  return { title: "Boats", version: "1", tools, domains, securitySchemes: {}, diagnostics: [] };
}

/** Boats for hire: enough of an API for the tests here. */
export const boats: ToolMenu = menuOf([
  tool(
    "findBoats",
    {
      kind: { type: "string", enum: ["canoe", "kayak", "dinghy"] },
      seats: { type: "integer" },
      limit: { type: "integer", default: 20 },
    },
    [],
    { path: "/boats", description: "Finds boats", domain: "boats" },
  ),
  tool("getBoat", { boatId: { type: "integer" } }, ["boatId"], {
    path: "/boats/{boatId}",
    description: "Returns one boat",
    domain: "boats",
  }),
  tool(
    "hireBoat",
    {
      boatId: { type: "integer" },
      from: { type: "string", format: "date" },
      hours: { type: "number" },
      paid: { type: "boolean", default: false },
      extras: { type: "array", items: { type: "string", enum: ["paddle", "vest", "tent"] } },
      note: { type: "string" },
    },
    ["boatId", "from"],
    {
      method: "post",
      path: "/hires",
      description: "Hire a boat",
      domain: "hires",
      annotations: { readOnly: false, destructive: false, idempotent: false },
    },
  ),
  tool("endHire", { hireId: { type: "string" } }, ["hireId"], {
    method: "delete",
    path: "/hires/{hireId}",
    description: "",
    domain: "hires",
    annotations: { readOnly: false, destructive: true, idempotent: true },
  }),
]);
