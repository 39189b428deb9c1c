import type { HttpMethod, Tool, ToolMenu } from "../../src/openapi/types.js";
import type { TaskSpec, ToolCall } from "../../src/task/types.js";
import type { JsonSchemaObject } from "../../src/util/json.js";

function operation(
  name: string,
  method: HttpMethod,
  path: string,
  domain: string,
  description: string,
  properties: Record<string, JsonSchemaObject>,
  required: string[] = [],
  extra: JsonSchemaObject = {},
): Tool {
  return {
    name,
    method,
    path,
    domain,
    description,
    parameters: { type: "object", properties, required, additionalProperties: false, ...extra },
    bindings: {},
    responses: {},
    deprecated: false,
    annotations: {
      readOnly: method === "get",
      destructive: method === "delete",
      idempotent: method !== "post",
    },
    servers: [],
    pointer: `/paths/${path.replaceAll("/", "~1")}/${method}`,
  };
}

const id: JsonSchemaObject = { type: "integer", minimum: 1 };
const states = ["planted", "in_bloom", "dormant"];

/** A made-up API of a botanical garden: every kind of schema that the tests need. */
const tools: Tool[] = [
  operation("listPlants", "get", "/plants", "plants", "List all plants of the garden.", {
    state: { type: "string", enum: states },
    limit: { type: "integer", minimum: 1, maximum: 100 },
    shaded: { type: "boolean" },
    near: {
      type: "object",
      properties: { lat: { type: "number" }, lon: { type: "number" } },
      required: ["lat", "lon"],
    },
  }),
  operation("getPlant", "get", "/plants/{plantId}", "plants", "Get one plant.", { plantId: id }, ["plantId"]),
  operation(
    "addPlant",
    "post",
    "/plants",
    "plants",
    "Add a plant to the garden.",
    {
      name: { type: "string", minLength: 2 },
      height: { type: "number", exclusiveMinimum: 0 },
      planted: { type: "string", format: "date" },
      tags: { type: "array", items: { type: "string" }, minItems: 1, maxItems: 4 },
      origin: { $ref: "#/$defs/Place" },
      code: { type: "string", pattern: "^[A-Z]{2}-\\d{4}$" },
    },
    ["name"],
    {
      $defs: {
        Place: {
          type: "object",
          properties: {
            city: { type: "string" },
            country: { type: "string" },
            parent: { $ref: "#/$defs/Place" },
          },
          required: ["city"],
        },
      },
    },
  ),
  operation(
    "updatePlant",
    "put",
    "/plants/{plantId}",
    "plants",
    "Change the state or height of a plant.",
    { plantId: id, state: { type: "string", enum: states }, height: { type: "number", minimum: 0 } },
    ["plantId"],
    { minProperties: 2 },
  ),
  operation("deletePlant", "delete", "/plants/{plantId}", "plants", "Delete a plant.", { plantId: id }, [
    "plantId",
  ]),
  operation("listGardeners", "get", "/gardeners", "staff", "List the gardeners.", {
    team: { type: "string" },
  }),
  operation(
    "hireGardener",
    "post",
    "/gardeners",
    "staff",
    "Register a new gardener.",
    {
      name: { type: "string" },
      email: { type: "string", format: "email" },
      salary: { type: "number" },
      shift: { type: "string", enum: ["early", "late"] },
    },
    ["name", "email"],
  ),
  operation(
    "bookTour",
    "post",
    "/tours",
    "visits",
    "Book a guided tour.",
    {
      date: { type: "string", format: "date" },
      guests: { type: "integer", minimum: 1, maximum: 30 },
      language: { type: "string" },
    },
    ["date", "guests"],
  ),
  operation(
    "cancelTour",
    "delete",
    "/tours/{tourId}",
    "visits",
    "Cancel a tour.",
    { tourId: { type: "string" } },
    ["tourId"],
  ),
  operation(
    "searchTours",
    "post",
    "/tours/search",
    "visits",
    "Search tours by text.",
    { query: { type: "string" } },
    ["query"],
  ),
  operation(
    "measureSoil",
    "post",
    "/soil",
    "visits",
    "Record a soil measurement.",
    {
      depth: { type: "number" },
      temperature: { type: "number" },
      values: { type: "array", items: { type: "number" } },
    },
    ["temperature"],
  ),
];

export const menu: ToolMenu = {
  title: "Botanical Garden",
  version: "1.0.0",
  tools,
  domains: ["plants", "staff", "visits"].map((name) => ({
    name,
    description: "",
    tools: tools.filter((item) => item.domain === name).map((item) => item.name),
  })),
  securitySchemes: {},
  diagnostics: [],
};

export function tool(name: string): Tool {
  const found = tools.find((item) => item.name === name);
  if (found === undefined) throw new Error(`no tool ${name}`);
  return found;
}

export function call(name: string, args: ToolCall["arguments"] = {}): ToolCall {
  return { name, arguments: args };
}

export function given(calls: ToolCall[], shown: string[] = tools.map(({ name }) => name)): TaskSpec {
  return {
    id: "t1",
    domain: "plants",
    context: "single_turn",
    tools: shown,
    answer: { kind: "given", calls },
  };
}

export function free(calls: number, shown: string[] = tools.map(({ name }) => name)): TaskSpec {
  return {
    id: "t1",
    domain: "plants",
    context: "single_turn",
    tools: shown,
    answer: { kind: "free", calls },
  };
}
