import { describe, expect, test } from "vitest";
import {
  buildToolMenu,
  createArgumentValidator,
  loadOpenApi,
  renderCompact,
  type ToolMenu,
} from "../../src/openapi/index.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { hostile } from "./hostile.js";

async function outcome(input: string | Uint8Array): Promise<ToolMenu | SpecdojoError> {
  try {
    return buildToolMenu(await loadOpenApi(input));
  } catch (error) {
    if (SpecdojoError.isInstance(error) && error.code !== "internal-error") return error;
    throw error;
  }
}

describe("hostile documents", () => {
  test.each(hostile)("%s", async (_, make, want) => {
    const given = make();
    const started = process.cpuUsage();
    // A text in one line could be a path.
    const got = await outcome(typeof given === "string" ? new TextEncoder().encode(given) : given);
    const { user, system } = process.cpuUsage(started);
    expect((user + system) / 1e6).toBeLessThan(10);
    expect(Object.keys(Object.prototype)).toEqual([]);
    if ("refused" in want) {
      expect(got).toBeInstanceOf(SpecdojoError);
      expect((got as SpecdojoError).message).toMatch(want.refused);
      expect((got as SpecdojoError).message.length).toBeLessThan(20_000);
      expect((got as SpecdojoError).remedy).toBeTruthy();
      return;
    }
    const menu = got as ToolMenu;
    expect(menu.tools?.length, String(got).slice(0, 300)).toBe(want.tools);
    if (want.code !== undefined) expect(menu.diagnostics.map(({ code }) => code)).toContain(want.code);
    expect(new Set(menu.tools.map(({ name }) => name)).size).toBe(want.tools);
    const validator = createArgumentValidator();
    for (const tool of menu.tools.slice(0, 50)) {
      expect(tool.name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
      expect(renderCompact(tool)).not.toMatch(/[\p{Cc}\u202e]/u);
      try {
        validator.validate(tool, { x: `${"a".repeat(40)}!`, body: `${"a".repeat(40)}!` });
      } catch (error) {
        // A chain of thousands of schemas is too much for the validator, and it says so.
        expect(error).toMatchObject({ code: "schema-unusable" });
      }
    }
  });
});
