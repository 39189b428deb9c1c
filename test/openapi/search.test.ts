import { expect, test } from "vitest";
import { createMenuIndex, type Tool } from "../../src/openapi/index.js";
import { stem, wordsOf } from "../../src/openapi/words.js";
import { documentOf, fixture, menuOf } from "./fixtures.js";

test.each([
  ["getPetById", ["get", "pet", "by", "id"]],
  ["list_HTTPServers-v2", ["list", "http", "servers", "v2"]],
  ["/user-groups/{groupId}", ["user", "groups", "group", "id"]],
  ["Größe", ["große"]],
])("words of %s", (text, words) => {
  expect(wordsOf(text)).toEqual(
    words.map((word) => word.normalize("NFKD").replaceAll(/[\u0300-\u036f]/g, "")),
  );
});

test("stems", () => {
  expect(["pets", "categories", "status", "boxes", "address"].map(stem)).toEqual([
    "pet",
    "category",
    "status",
    "box",
    "address",
  ]);
  // The forms of a verb meet.
  for (const forms of [
    ["update", "updates", "updated", "updating"],
    ["list", "listed", "listing"],
    ["plan", "planned", "planning"],
    ["sell", "selling"],
  ])
    expect(new Set(forms.map(stem)).size, forms.join()).toBe(1);
  expect(["string", "ring", "feed", "need", "bed"].map(stem)).toEqual([
    "string",
    "ring",
    "feed",
    "need",
    "bed",
  ]);
});

test("search finds the operation that a question is about", async () => {
  const menu = await menuOf(fixture("specs/museum-3.1.yaml"));
  const index = createMenuIndex(menu);
  const first = (question: string) => index.search(question, 1)[0]?.name;
  expect(first("When does the museum open? I need the hours.")).toBe("getMuseumHours");
  expect(first("Show me the QR code of my ticket")).toBe("getTicketCode");
  expect(first("Cancel that special event: delete it")).toBe("deleteSpecialEvent");
  expect(index.search("zzz", 5)).toEqual([]);
});

test("neighbours are similar, never the tool itself, and always enough", async () => {
  const menu = await menuOf(fixture("specs/petstore-3.0.yaml"));
  const index = createMenuIndex(menu);
  for (const tool of menu.tools) {
    const neighbours = index.neighbours(tool, 19);
    expect(neighbours).toHaveLength(19);
    expect(neighbours).not.toContain(tool);
    expect(new Set(neighbours).size).toBe(19);
  }
  const of = (name: string) => index.neighbours({ name }, 2).map((tool) => tool.name);
  expect(of("findPetsByStatus")).toContain("findPetsByTags");
  expect(of("getOrderById")).toContain("deleteOrder");
});

test("a thousand tools are searched in milliseconds", async () => {
  const paths = Object.fromEntries(
    Array.from({ length: 1_000 }, (_, i) => [
      `/shop${i % 40}/orders${i}/{orderId}`,
      { get: { summary: `Get the order number ${i} of the shop`, responses: {} } },
    ]),
  );
  const index = createMenuIndex(await menuOf(documentOf(paths)));
  index.search("warm up order", 5);
  // Processor time: a busy machine is no slow search.
  const start = process.cpuUsage();
  for (let i = 0; i < 20; i++) index.search(`show me order ${i} of shop ${i}`, 5);
  const { user, system } = process.cpuUsage(start);
  expect((user + system) / 1_000 / 20).toBeLessThan(10);
});

test("what parameters say is searched too, and what the method does", async () => {
  const parameter = {
    name: "kind",
    in: "query",
    description: "Dachshund or terrier",
    schema: { enum: ["poodle"] },
  };
  const menu = await menuOf(
    documentOf({
      "/a": { get: { operationId: "aaa", parameters: [parameter], responses: {} } },
      "/b": { get: { operationId: "bbb", responses: {} }, delete: { operationId: "ccc", responses: {} } },
    }),
  );
  const index = createMenuIndex(menu);
  const names = (question: string) => index.search(question, 3).map(({ name }) => name);
  expect(names("terriers")).toEqual(["aaa"]);
  expect(names("a poodle, please")).toEqual(["aaa"]);
  expect(names("remove it")).toEqual(["ccc"]);
});

test("a trained ranker orders what the words find", async () => {
  const menu = await menuOf(fixture("specs/petstore-3.0.yaml"));
  const byWords = createMenuIndex(menu).search("find a pet", 20);
  expect(byWords.length).toBeGreaterThan(4);
  const asked: [string, number][] = [];
  const ranker = {
    score(question: string, candidates: readonly Tool[]) {
      asked.push([question, candidates.length]);
      return candidates.map((_, i) => (i === 1 ? Number.NaN : i));
    },
  };
  const ranked = createMenuIndex(menu, { ranker, candidates: 4 }).search("find a pet", 20);
  expect(asked).toEqual([["find a pet", 4]]);
  const [first, second, third, fourth, ...rest] = byWords;
  expect(ranked).toEqual([fourth, third, first, second, ...rest]);
});
