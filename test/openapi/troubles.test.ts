import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { describe, expect, test } from "vitest";
import {
  buildRequest,
  buildToolMenu,
  loadOpenApi,
  parseRequest,
  renderCompact,
} from "../../src/openapi/index.js";
import type { JsonObject } from "../../src/util/json.js";
import { troubles } from "./troubles.js";

describe("troubles of published documents", () => {
  test.each(troubles)("%s", async (_, input, want) => {
    const menu = buildToolMenu(await loadOpenApi(input as object));
    expect(menu.tools.map((tool) => renderCompact(tool))).toEqual(want.tools);
    const codes = new Set(menu.diagnostics.map(({ code }) => code));
    for (const code of want.codes ?? []) expect(codes).toContain(code);
    const ajv = new Ajv2020({ strict: false, logger: false });
    formats.default(ajv);
    for (const tool of menu.tools) {
      ajv.compile(tool.parameters);
      for (const { schema } of Object.values(tool.responses)) if (schema !== null) ajv.compile(schema);
    }
    for (const [name, args, line] of want.requests ?? []) {
      const tool = menu.tools.find((one) => one.name === name);
      if (tool === undefined) throw new Error(`no tool ${name}`);
      const request = buildRequest(tool, args as JsonObject);
      const body = request.body === undefined ? "" : ` ${String(request.body)}`;
      expect(`${request.method} ${request.url}${body}`).toBe(line);
      expect(parseRequest(tool, request)).toEqual(args);
    }
  });
});
