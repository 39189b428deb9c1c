import { stripVTControlCharacters } from "node:util";
import { runCommand } from "citty";
import { afterEach, expect, test, vi } from "vitest";
import { menuCommand, menuText } from "../../src/cli/menu.js";
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
  expect(Object.keys(parsed)).toEqual(["tools", "diagnostics", "domains"]);
  expect(parsed.tools).toHaveLength(5);
  expect(Object.keys(parsed.tools[0] ?? {})).toEqual([
    "name",
    "method",
    "path",
    "domain",
    "description",
    "parameters",
    "annotations",
    "deprecated",
    "tokens",
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

test("the same fault at several places is shown once, and not beside what was searched", async () => {
  const { out } = await run(fixture("specs/uber-2.0.yaml"));
  const { diagnostics } = JSON.parse((await run(fixture("specs/uber-2.0.yaml"), "--json")).out) as {
    diagnostics: { code: string }[];
  };
  expect(diagnostics.length).toBeGreaterThan(1);
  expect(out).toContain("5 notes");
  const grouped = menuText({
    ...{ title: "T", version: "1", tools: [], domains: [], securitySchemes: {} },
    diagnostics: [..."abcde"].map((letter) => ({
      ...{ code: "document-invalid", severity: "warning", message: "Not valid.", remedy: "Correct it." },
      pointer: `/${letter}`,
    })),
  });
  expect(stripVTControlCharacters(grouped)).toMatch(
    /5 warnings\n {2}document-invalid: Not valid\.\n {4}Correct it\.\n {4}\/a\n {4}\/b\n {4}\/c\n {4}and 2 more places\n$/,
  );
  expect((await run(fixture("specs/uber-2.0.yaml"), "--search", "ride")).out).not.toContain("notes");
});

test.each([[], ["--json"]])("a document that cannot be used %j", async (...more: string[]) => {
  const { out, err, code } = await run(fixture("specs-bad/openapi-1.0.yaml"), ...more);
  expect({ out, code }).toEqual({ out: "", code: 1 });
  expect(err).toContain("not supported");
});

test("fingerprints", async () => {
  const { out } = await run(fixture("specs/uber-2.0.yaml"), "--json", "--fingerprints");
  const { tools } = JSON.parse(out) as { tools: { fingerprint: string }[] };
  expect(new Set(tools.map(({ fingerprint }) => fingerprint)).size).toBe(5);
});

const names = (out: string): string[] =>
  (JSON.parse(out) as { tools: { name: string }[] }).tools.map(({ name }) => name);

test.each<[string[], string[]]>([
  [
    ["--domain", "Tickets"],
    ["buyMuseumTickets", "getTicketCode"],
  ],
  [
    ["--method", "delete,patch"],
    ["updateSpecialEvent", "deleteSpecialEvent"],
  ],
  [["--name", "get*", "--tag", "events"], ["getSpecialEvent"]],
  [["--path", "*hours"], ["getMuseumHours"]],
  [["--search", "show the QR code of my ticket", "--size", "1"], ["getTicketCode"]],
])("a part of the menu: %j", async (args, want) => {
  const { out, code } = await run(fixture("specs/museum-3.1.yaml"), "--json", ...args);
  expect(code).toBe(0);
  expect(names(out)).toEqual(want);
});

test("a drawn menu", async () => {
  const args = [fixture("specs/museum-3.1.yaml"), "--domain", "Events", "--size", "4", "--distractors", "2"];
  const first = await run(...args, "--json");
  expect(await run(...args, "--json")).toEqual(first);
  expect(names(first.out)).toHaveLength(4);
  expect((JSON.parse(first.out) as { drawn: string[] }).drawn).toHaveLength(2);
  expect((await run(...args, "--json", "--seed", "7")).out).not.toBe(first.out);
  const { out } = await run(...args);
  expect(out.match(/ \(near\)$/gm)).toHaveLength(2);
});

test.each([
  [["--domain", "Nobody"], "No domain is called"],
  [["--size", "many"], "not a number"],
  [["--size", "3", "--distractors", "3"], "distractors cannot be"],
  [["--config", "no-such-file.json"], "cannot be read"],
  [["--name", "nothing*"], "No operation of the document is left"],
])("%j is refused", async (args, message) => {
  const { out, err, code } = await run(fixture("specs/museum-3.1.yaml"), ...args);
  expect({ out, code }).toEqual({ out: "", code: 1 });
  expect(err).toContain(message);
});
