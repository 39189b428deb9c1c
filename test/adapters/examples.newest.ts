import { readdirSync } from "node:fs";
import { beforeEach, expect, test, vi } from "vitest";

// With the installed versions `examples/run.mjs` runs them, as programs of their own.
const folder = new URL("../../examples/frameworks/", import.meta.url);
const names = readdirSync(folder).filter((name) => /^[^_].*\.mjs$/.test(name));

beforeEach(() => {
  vi.resetModules();
});

test("there is one for every framework", () => {
  const adapters = readdirSync(new URL("../../adapters/", import.meta.url)).filter((name) =>
    name.endsWith(".ts"),
  );
  const wanted = adapters
    .map((name) => name.replace(/\.ts$/, ".mjs"))
    .filter((name) => name !== "mcp-v1.mjs");
  expect(names.sort()).toEqual(wanted.sort());
});

test.each(names)("examples/frameworks/%s", async (name) => {
  // Throws when the answer is not that of the API.
  expect(await import(new URL(name, folder).href)).toBeDefined();
});
