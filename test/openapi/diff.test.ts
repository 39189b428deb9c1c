import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { runCommand } from "citty";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { writeMenu } from "../../src/agent/index.js";
import { diffCommand } from "../../src/cli/diff.js";
import { createFingerprinter, diffMenus, type ToolPart } from "../../src/openapi/index.js";
import { documentOf, fixture, menuOf } from "./fixtures.js";

const get = {
  operationId: "getPet",
  summary: "Find a pet",
  tags: ["pet"],
  parameters: [
    { name: "petId", in: "path", required: true, schema: { type: "integer" } },
    { name: "fields", in: "query", schema: { type: "string", maxLength: 50 } },
  ],
  responses: { "200": { description: "ok" } },
};
const other = { operationId: "listPets", responses: {} };
const paths = (operation: object, path = "/pets/{petId}", method = "get") =>
  documentOf({ [path]: { [method]: operation }, "/pets": { get: other } });

async function changeOf(after: object, rendering: "compact" | "full" = "compact") {
  const diff = diffMenus(await menuOf(paths(get)), await menuOf(after), { rendering });
  expect({ added: diff.added, removed: diff.removed, unchanged: diff.unchanged }).toEqual({
    added: [],
    removed: [],
    unchanged: 1,
  });
  expect(diff.changed).toHaveLength(1);
  const [change] = diff.changed;
  expect(diff.noticed).toBe((change?.noticed.length ?? 0) > 0);
  return change;
}

describe("what a model would notice", () => {
  const [petId, fields] = get.parameters;
  test.each<[string, object, ToolPart[], ToolPart[], string[]]>([
    ["summary", paths({ ...get, summary: "Look up a pet" }), ["description"], [], []],
    ["description", paths({ ...get, description: "Slow on Mondays." }), [], ["description"], []],
    ["name", paths({ ...get, operationId: "readPet" }), ["name"], [], ["the tool was called getPet"]],
    [
      "a new optional argument",
      paths({
        ...get,
        parameters: [...get.parameters, { name: "x", in: "query", schema: { type: "string" } }],
      }),
      ["signature"],
      ["parameters", "bindings"],
      [],
    ],
    [
      "an argument gone",
      paths({ ...get, parameters: [petId] }),
      ["signature"],
      ["parameters", "bindings"],
      ["fields is gone"],
    ],
    [
      "an argument required",
      paths({ ...get, parameters: [petId, { ...fields, required: true }] }),
      ["signature"],
      ["parameters"],
      ["fields is now required"],
    ],
    [
      "another type",
      paths({ ...get, parameters: [{ ...petId, schema: { type: "string" } }, fields] }),
      ["signature"],
      ["parameters"],
      ["petId was integer, is string"],
    ],
    [
      "a limit",
      paths({ ...get, parameters: [petId, { ...fields, schema: { type: "string", maxLength: 9 } }] }),
      [],
      ["parameters"],
      ["fields has the maxLength 9 and not 50 now"],
    ],
    [
      "a wider type",
      paths({
        ...get,
        parameters: [
          { ...petId, schema: { type: "number" } },
          { ...fields, schema: { type: "string", nullable: true } },
        ],
      }),
      ["signature"],
      ["parameters"],
      [],
    ],
    ["method", paths(get, "/pets/{petId}", "post"), [], ["method", "annotations"], []],
    ["path", paths(get, "/animals/{petId}"), [], ["path"], []],
    ["domain", paths({ ...get, tags: ["animals"] }), [], ["domain"], []],
    ["server", { ...paths(get), servers: [{ url: "https://new.example" }] }, [], ["servers"], []],
    ["deprecation", paths({ ...get, deprecated: true }), [], ["deprecated"], []],
    [
      "response",
      paths({
        ...get,
        responses: {
          "200": { description: "ok", content: { "application/json": { schema: { type: "string" } } } },
        },
      }),
      [],
      ["responses"],
      [],
    ],
  ])("%s", async (what, after, noticed, unnoticed, breaks) => {
    if (what === "server") {
      const diff = diffMenus(await menuOf(paths(get)), await menuOf(after));
      expect(diff.changed.map((one) => [one.noticed, one.unnoticed])).toEqual([
        [noticed, unnoticed],
        [noticed, unnoticed],
      ]);
      return;
    }
    expect(await changeOf(after)).toMatchObject({ noticed, unnoticed, breaks });
  });

  test("with the whole schema in the prompt, a limit too", async () => {
    const [id, field] = get.parameters;
    const after = paths({ ...get, parameters: [id, { ...field, schema: { type: "string", maxLength: 9 } }] });
    expect(await changeOf(after, "full")).toMatchObject({ noticed: ["parameters"], unnoticed: [] });
  });
});

test("a tool that became another name is no new tool; others are added and removed", async () => {
  const before = await menuOf(paths(get));
  const after = await menuOf(
    documentOf({
      "/pets/{petId}": { get: { ...get, operationId: "readPet" } },
      "/toys": { get: { operationId: "listToys", summary: "All toys", responses: {} } },
    }),
  );
  const diff = diffMenus(before, after);
  expect(diff.changed).toMatchObject([{ name: "readPet", formerName: "getPet" }]);
  expect(diff.added).toMatchObject([{ name: "listToys", line: "listToys() - All toys" }]);
  expect(diff.removed).toMatchObject([{ name: "listPets" }]);
});

test("a fingerprint depends on what a tool is, not on where it stands", async () => {
  const print = async (document: object) => {
    const { tools } = await menuOf(document);
    const fingerprint = createFingerprinter();
    return Object.fromEntries(tools.map((tool) => [tool.name, fingerprint(tool).all]));
  };
  const one = await print(paths(get));
  expect(one.getPet).toMatch(/^[0-9a-f]{16}$/);
  const turned = documentOf({
    "/new": { get: { responses: {} } },
    "/pets": { get: other },
    "/pets/{petId}": { get: Object.fromEntries(Object.entries(get).reverse()) },
  });
  expect(await print(turned)).toMatchObject(one);
  expect((await print(paths({ ...get, summary: "x" }))).getPet).not.toBe(one.getPet);
});

describe("specdojo diff", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "specdojo-diff-"));
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(dir, { recursive: true });
  });
  async function run(...rawArgs: string[]): Promise<{ out: string; code: number }> {
    let out = "";
    vi.spyOn(process.stdout, "write").mockImplementation((chunk: unknown) => {
      out += String(chunk);
      return true;
    });
    await runCommand(diffCommand, { rawArgs });
    const code = Number(process.exitCode ?? 0);
    process.exitCode = 0;
    return { out, code };
  }
  const file = (name: string, content: object | string): string => {
    writeFileSync(join(dir, name), typeof content === "string" ? content : JSON.stringify(content));
    return join(dir, name);
  };

  test("text", async () => {
    const old = file("old.json", paths(get));
    const now = file(
      "new.json",
      documentOf({ "/pets/{petId}": { get: { ...get, parameters: get.parameters.slice(0, 1) } } }),
    );
    const { out, code } = await run(old, now);
    expect(code).toBe(0);
    expect(stripVTControlCharacters(out)).toBe(
      [
        "0 added, 1 removed, 1 changed, 0 the same",
        "A model trained on the old tools would notice.",
        "",
        "Removed",
        "  - listPets()",
        "",
        "Changed, and a model would notice",
        "  - getPet(petId: integer, fields?: string) - Find a pet",
        "  + getPet(petId: integer) - Find a pet",
        "    signature, parameters, bindings",
        "    ! fields is gone",
        "",
      ].join("\n"),
    );
    expect((await run(old, now, "--check")).code).toBe(1);
  });

  test("json, of an exported agent and its document", async () => {
    file("tools.json", writeMenu(await menuOf(fixture("specs/museum-3.1.yaml"))));
    const { out, code } = await run(dir, fixture("specs/museum-3.1.yaml"), "--json", "--check");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ added: [], removed: [], changed: [], unchanged: 8, noticed: false });
  });

  test("with the configuration of a run", async () => {
    const config = file("config.json", { menu: { include: { names: ["getPet"] } } });
    const { out } = await run(
      file("old.json", paths(get)),
      file("new.json", paths(get)),
      "--json",
      "--config",
      config,
    );
    expect(JSON.parse(out)).toMatchObject({ unchanged: 1 });
  });

  test.each<[string, string[], RegExp]>([
    ["a rendering", ["a", "b", "--rendering", "short"], /no rendering/],
    ["a folder without an agent", ["test", "b"], /no exported agent/],
  ])("%s that is none", async (_, args, message) => {
    await expect(run(...args)).rejects.toThrowError(message);
  });
});

test("limits that are closer break calls, wider ones and more values do not", async () => {
  const menu = (schema: object) =>
    menuOf(paths({ ...get, parameters: [{ name: "x", in: "query", schema }] }, "/x"));
  const breaks = async (old: object, now: object) =>
    diffMenus(await menu(old), await menu(now)).changed.flatMap((one) => one.breaks);
  const closer = { type: "string", minLength: 2, maxLength: 5, pattern: "^a" };
  const wider = { type: "string", minLength: 1, maxLength: 9 };
  expect(await breaks(wider, closer)).toEqual([
    "x has the minLength 2 and not 1 now",
    "x has the maxLength 5 and not 9 now",
    "x has another pattern now",
  ]);
  expect(await breaks(closer, wider)).toEqual([]);
  const few = { type: "string", enum: ["a", "b|c"] };
  const many = { type: "string", enum: ["a", "b|c", "d"] };
  expect(await breaks(few, many)).toEqual([]);
  expect(await breaks(many, few)).toHaveLength(1);
});
