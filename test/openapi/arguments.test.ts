import { describe, expect, test } from "vitest";
import { createArgumentValidator, validateArguments } from "../../src/openapi/index.js";
import type { JsonSchemaObject } from "../../src/util/json.js";

const tool = (properties: NonNullable<JsonSchemaObject["properties"]>, required: string[] = []) => ({
  name: "f",
  parameters: { type: "object", properties, required, additionalProperties: false },
});

describe("errors say where and what", () => {
  const given = tool(
    { id: { type: "integer" }, "a/b": { enum: ["x", "y"] }, at: { type: "string", format: "date" } },
    ["id"],
  );
  test.each<[string, unknown, object[]]>([
    ["missing", {}, [{ pointer: "/id", message: "is required" }]],
    ["type", { id: "1" }, [{ pointer: "/id", message: "must be integer" }]],
    ["unknown", { id: 1, "x~y": 1 }, [{ pointer: "/x~0y", message: "is not an argument of this operation" }]],
    [
      "enum",
      { id: 1, "a/b": "z" },
      [{ pointer: "/a~1b", message: 'must be equal to one of the allowed values: "x", "y"' }],
    ],
    ["format", { id: 1, at: "soon" }, [{ pointer: "/at", message: 'must match format "date"' }]],
    ["no object", "id", [{ pointer: "", message: "must be object" }]],
  ])("%s", (_, args, errors) => {
    expect(validateArguments(given, args)).toEqual({ ok: false, errors });
  });

  test("valid", () => {
    expect(validateArguments(given, { id: 1, "a/b": "x", at: "2024-05-01" })).toEqual({ ok: true });
  });
});

test("names of the prototype are arguments like others", () => {
  const given = tool({ valueOf: { type: "string" }, constructor: { type: "string" } }, ["constructor"]);
  expect(validateArguments(given, {}).ok).toBe(false);
  expect(validateArguments(given, { constructor: "x" }).ok).toBe(true);
});

test.each(["^(a+)+$", "^(a|aa)+$", "^(a|a?)+$", "a*a*a*a*a*a*b", "^(([a-z])+.)+[A-Z]([a-z])+$"])(
  "the pattern %s ends",
  (pattern) => {
    const validator = createArgumentValidator();
    const given = tool({ x: { type: "string", pattern } });
    const start = performance.now();
    validator.validate(given, { x: `${"a".repeat(3_000)}!` });
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(validator.validate(given, { x: "a" }).ok).toBe(new RegExp(pattern, "u").test("a"));
  },
);
