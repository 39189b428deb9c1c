import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand } from "citty";
import { afterEach, describe, expect, test, vi } from "vitest";
import { benchCommand } from "../../src/cli/bench.js";
import { convertSuite } from "../../src/evaluate/convert/index.js";
import { readPythonCall, readPythonFunctions } from "../../src/evaluate/convert/python.js";
import { officialVerdict } from "../../src/evaluate/official.js";
import { scoreAnswer } from "../../src/evaluate/score.js";
import { loadSuite, parseSuite, suiteNames } from "../../src/evaluate/suite.js";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/convert/${name}`, import.meta.url));
afterEach(() => vi.restoreAllMocks());

describe("gold answers fed back pass every scorer", () => {
  test.each(suiteNames)("%s", async (name) => {
    const { items, refused } = await convertSuite(name, fixture(name));
    expect(refused).toEqual({ strict: [], official: [] });
    for (const line of items) {
      const [item] = parseSuite(JSON.stringify(line), line.id);
      if (item === undefined) throw new Error("no item");
      expect(item.suite).toBe(name);
      expect(officialVerdict(item, item.gold)).toBe(true);
      expect(scoreAnswer(item, { calls: item.gold }, item.tools).correct).toBe(true);
      // And an answer that is wrong passes none.
      const wrong = item.gold.length === 0 ? [{ name: "x", arguments: {} }] : [];
      expect(officialVerdict(item, wrong)).toBe(false);
      expect(scoreAnswer(item, { calls: wrong }, item.tools).correct).toBe(false);
    }
  });
});

describe("what a conversion holds", () => {
  test("BFCL: types, literals of Java and JavaScript, optional arguments, system messages", async () => {
    const { items, counts, notes } = await convertSuite("BFCL", fixture("bfcl"));
    expect(counts).toContainEqual({ part: "simple_python", items: 2, published: [400] });
    expect(notes).toEqual([expect.stringContaining("live_relevance")]);
    const find = (id: string) => items.find((item) => item.id === `bfcl-${id}`);
    expect(find("simple_python_0")).toMatchObject({
      gold: [{ name: "trip.plan", arguments: { to: "New York", days: 3, cost: 120 } }],
      tools: [{ parameters: { properties: { cost: { type: "number" }, who: { type: "object" } } } }],
      types: { "trip.plan": { span: ["tuple", "float"], note: ["any"] } },
    });
    expect(find("simple_java_0")?.gold[0]?.arguments).toEqual({
      boat: "canoe",
      hours: "2",
      price: "9.5",
      number: "12L",
      paid: "true",
      extras: 'new ArrayList<>(Arrays.asList("vest", "tent"))',
      marks: "new Object[]{1, 2}",
      options: 'new HashMap<String, Object>() {{ put("limit", 50); put("mode", "day"); }}',
      context: "appContext",
    });
    expect(find("simple_java_0")?.tools[0]).toMatchObject({
      parameters: { properties: { options: { type: "string" } } },
    });
    expect(find("simple_javascript_0")?.gold[0]?.arguments).toMatchObject({ number: "12n", marks: "[1,2]" });
    expect(find("live_parallel_multiple_0-0-0")?.messages?.[0]).toEqual({
      role: "system",
      content: "Be brief.",
    });
    expect(find("irrelevance_0")?.gold).toEqual([]);
  });

  test("ToolAlpaca: answers that leave arguments open count for tool choice only", async () => {
    const { items, notes } = await convertSuite("toolalpaca", fixture("toolalpaca"));
    expect(items[0]?.tools[0]?.parameters).toEqual({
      type: "object",
      properties: {
        kind: { type: "string", description: expect.any(String), enum: ["canoe", "kayak"] },
        seats: { type: "integer", description: expect.any(String) },
        tags: { type: "array", description: expect.any(String) },
      },
      required: ["kind"],
    });
    expect(items.map((item) => item.args_known)).toEqual([undefined, false]);
    expect(notes).toEqual([expect.stringContaining("1 answers leave arguments open")]);
  });

  test("Seal-Tools: the suite's own lists of tools, or tools of the same field", async () => {
    const { items } = await convertSuite("seal-tools", fixture("seal-tools"));
    expect(items.map(({ tools }) => tools.map(({ name }) => name))).toEqual([
      ["hireBoat", "getBoat"],
      expect.arrayContaining(["getBoat", "hireBoat"]),
    ]);
  });

  test("NexusRaven: functions and calls of Python", async () => {
    const { items, counts } = await convertSuite("nexusraven", fixture("nexusraven"));
    expect(counts.map(({ part, items: n }) => [part, n])).toEqual([
      ["cve_cpe", 2],
      ["emailrep", 1],
      ["toolalpaca", 1],
      ["virustotal", 1],
    ]);
    expect(items[1]?.gold).toEqual([{ name: "findBoats", arguments: { verbose: true, tags: ["a", "b"] } }]);
    expect(items[0]?.tools[0]).toMatchObject({
      description: "Find boats by name.",
      parameters: { properties: { limit: { type: "integer", description: "How many." } }, required: [] },
    });
    expect(items.at(-1)?.tools[0]?.parameters).toMatchObject({ required: ["id", "x_apikey"] });
  });

  test("API-Bank: each call after the turns before it, tools as found by then, values of the declared types", async () => {
    const { items } = await convertSuite("api-bank", fixture("api-bank"));
    expect(items.map(({ gold }) => gold[0]?.name)).toEqual([
      "GetUserToken",
      "HireBoat",
      "ToolSearcher",
      "HireBoat",
    ]);
    expect(items[1]).toMatchObject({
      gold: [{ arguments: { token: "t1", hours: 2, names: ["Ann", "Ben"] } }],
      messages: [
        { role: "user" },
        { content: expect.stringContaining("Response: ") },
        { content: "One moment." },
      ],
    });
    expect(items[2]?.tools.map(({ name }) => name)).toEqual(["ToolSearcher"]);
    expect(items[3]?.tools.map(({ name }) => name)).toEqual(["ToolSearcher", "HireBoat"]);
    expect(items[0]?.tools[1]).toMatchObject({ description: "Hire a boat for some hours." });
  });

  test("SNIPS and RestBench", async () => {
    const snips = await convertSuite("snips", fixture("snips"));
    expect(snips.items[0]).toMatchObject({
      question: "put Ann on my boats list",
      gold: [{ name: "AddToPlaylist", arguments: { artist: "Ann", playlist: "boats" } }],
    });
    const rest = await convertSuite("restbench", fixture("restbench"));
    expect(rest.items[0]).toMatchObject({
      args_known: false,
      gold: [{ name: "search-movie" }, { name: "movie-credits" }],
    });
    const [item] = parseSuite(JSON.stringify(rest.items[0]), "x");
    if (item === undefined) throw new Error("no item");
    const call = (name: string) => ({ name, arguments: { any: 1 } });
    const path = ["search-movie", "movie", "movie-credits"].map(call);
    // A longer way passes the correct path rate; another order does not.
    expect(officialVerdict(item, path)).toBe(true);
    expect(officialVerdict(item, [...path].reverse())).toBe(false);
  });
});

describe("what cannot be converted is said", () => {
  test.each([
    ["a suite that is not known", "glue", "bfcl", "convert-unknown", /toolalpaca/],
    ["another suite's folder", "snips", "bfcl", "convert-unreadable", /validate_INTENT/],
    ["a path that is not there", "bfcl", "nowhere", "convert-unreadable", /possible_answer/],
  ])("%s", async (_, name, folder, code, remedy) => {
    await expect(convertSuite(name, fixture(folder))).rejects.toMatchObject({
      code,
      remedy: expect.stringMatching(remedy),
    });
  });

  test("a line of another shape, by file and place", async () => {
    const folder = await mkdtemp(join(tmpdir(), "specdojo-convert-"));
    await writeFile(
      join(folder, "BFCL_v4_irrelevance.json"),
      '{"id":"x","question":"no list","function":[]}\n',
    );
    await expect(convertSuite("bfcl", folder)).rejects.toThrow(/BFCL_v4_irrelevance\.json:1.*\/question/);
  });
});

test("the command writes the suite, and says how its counts compare with the published ones", async () => {
  const out = join(await mkdtemp(join(tmpdir(), "specdojo-convert-")), "deep", "snips.jsonl");
  const written = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  await runCommand(benchCommand, { rawArgs: ["convert", "snips", fixture("snips"), "--out", out] });
  expect(String(written.mock.calls[0]?.[0])).toMatch(/AddToPlaylist +1 +100 +DIFFERS/);
  expect(await loadSuite(out)).toHaveLength(2);
  expect(await readFile(out, "utf8")).toContain('"suite":"snips"');
  await expect(runCommand(benchCommand, { rawArgs: ["convert", "snips"] })).rejects.toMatchObject({
    code: "invalid-option",
  });
});

describe("Python is read as data", () => {
  test.each<[string, unknown]>([
    ["f(a=1, b=-2.5, c='x\\'y', d=\"a\" 'b')", { a: 1, b: -2.5, c: "x'y", d: "ab" }],
    ["r = lib.f(a=[1, (2, 3)], b={'k': None, 2: True})", { a: [1, [2, 3]], b: { k: null, "2": true } }],
    ["f(a='''x\ny''', b=r'\\d', c=u'\\u00e9', d=word)", { a: "x\ny", b: "\\d", c: "é", d: "word" }],
    ["f( )", {}],
  ])("%s", (text, args) => {
    expect(readPythonCall(text).arguments).toEqual(args);
  });
  test.each(["f(a=", "f(a=1", "1 + 2", "f(a=@)"])("%s is refused", (text) => {
    expect(() => readPythonCall(text)).toThrow(SyntaxError);
  });
  test("functions with defaults, annotations and docstrings", () => {
    const source =
      'X = 1\ndef f(a: str, b: List[int] = [1], c=None) -> str:\n    """Doc."""\n    return open(a)\n';
    expect(readPythonFunctions(source)).toEqual([
      {
        name: "f",
        parameters: [
          { name: "a", type: "str", default: undefined },
          { name: "b", type: "List[int]", default: [1] },
          { name: "c", type: undefined, default: null },
        ],
        doc: "Doc.",
      },
    ]);
  });
});
