import { runCommand } from "citty";
import { afterEach, expect, test, vi } from "vitest";
import { menuCommand } from "../../src/cli/menu.js";
import { fixture } from "./fixtures.js";

async function run(...rawArgs: string[]): Promise<{ out: string; err: string; code: number }> {
  const text = { out: "", err: "" };
  const take = (stream: "out" | "err") => (chunk: unknown) => {
    text[stream] += String(chunk);
    return true;
  };
  vi.spyOn(process.stdout, "write").mockImplementation(take("out"));
  vi.spyOn(process.stderr, "write").mockImplementation(take("err"));
  await runCommand(menuCommand, { rawArgs });
  const code = Number(process.exitCode ?? 0);
  process.exitCode = 0;
  return { ...text, code };
}

afterEach(() => {
  vi.restoreAllMocks();
});

test("--json prints tools and diagnostics and nothing else", async () => {
  const { out, err, code } = await run(fixture("specs/uber-2.0.yaml"), "--json");
  expect({ err, code }).toEqual({ err: "", code: 0 });
  const parsed: { tools: object[]; diagnostics: object[] } = JSON.parse(out);
  expect(Object.keys(parsed)).toEqual(["tools", "diagnostics"]);
  expect(parsed.tools).toHaveLength(5);
  expect(Object.keys(parsed.tools[0] ?? {})).toEqual([
    "name",
    "method",
    "path",
    "domain",
    "description",
    "parameters",
  ]);
  expect(parsed.tools[0]).toMatchObject({ name: "getProducts", method: "GET", path: "/products" });
  expect(parsed.diagnostics[0]).toMatchObject({ code: "missing-operation-id", severity: "info" });
});

test("the form for a person", async () => {
  const { out, code } = await run(fixture("specs/museum-3.1.yaml"));
  expect(code).toBe(0);
  expect(out).toContain("8 tools in 3 domains");
  expect(out).toContain("deleteSpecialEvent(eventId: uuid) - Delete special event");
});

test.each([[], ["--json"]])("a document that cannot be used %j", async (...more: string[]) => {
  const { out, err, code } = await run(fixture("specs-bad/openapi-1.0.yaml"), ...more);
  expect({ out, code }).toEqual({ out: "", code: 1 });
  expect(err).toContain("not supported");
});
