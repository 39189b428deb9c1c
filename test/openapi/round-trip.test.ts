import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import {
  buildRequest,
  buildToolMenu,
  type HttpRequest,
  loadOpenApi,
  parseRequest,
  type Tool,
} from "../../src/openapi/index.js";
import { argumentViews, isBinary, typesOf, type Views, viewsOfItem } from "../../src/openapi/views.js";
import { createValueSampler, optionalParameters } from "../../src/task/values.js";
import { SpecdojoError } from "../../src/util/errors.js";
import type { JsonObject, JsonValue } from "../../src/util/json.js";
import { createRandom } from "../../src/util/random.js";
import { fixture } from "./fixtures.js";
import { nastyArguments } from "./sample-arguments.js";

const here = [
  ...readdirSync(fixture("specs")).map((name) => fixture(`specs/${name}`)),
  fixture("openapi/wire.yaml"),
];
// More documents where they are at hand; the repository does not need them.
const shared = fileURLToPath(new URL("../../../shared/data/specs", import.meta.url));
const there = existsSync(shared)
  ? readdirSync(shared)
      .filter((name) => name !== "index.json")
      .map((name) => `${shared}/${name}`)
  : [];

/** Is there one way only to read the value? */
function isPlain(value: JsonValue, views: Views, tool: Tool): boolean {
  const types = typesOf(views);
  if (types.size !== 1 || isBinary(views)) return false;
  if (views.some((view) => view.enum !== undefined)) return true;
  if (Array.isArray(value))
    return (
      types.has("array") &&
      value.length > 0 &&
      value.every(
        (item, i) =>
          typeof item !== "object" &&
          item !== "" &&
          isPlain(item, viewsOfItem(views, i, tool.parameters), tool),
      )
    );
  return typeof value !== "object" && !types.has("array") && !types.has("object");
}

const isEmpty = (value: JsonValue | undefined): boolean =>
  typeof value === "object" && value !== null && Object.values(value).every(isEmpty);

/** Checks one call; false where it is refused, with a reason. */
function check(tool: Tool, args: JsonObject): boolean {
  let request: HttpRequest;
  try {
    request = buildRequest(tool, args, { server: "https://api.example/base" });
  } catch (error) {
    if (!SpecdojoError.isInstance(error)) throw error;
    return false;
  }
  const parsed = parseRequest(tool, request);
  const again = buildRequest(tool, parsed, { server: "https://api.example/base" });
  if (!isDeepStrictEqual(again, request))
    expect(again, `${tool.name} ${JSON.stringify(args)} -> ${JSON.stringify(parsed)}`).toEqual(request);
  for (const name of Object.keys(parsed)) expect(Object.keys(args)).toContain(name);
  for (const [name, value] of Object.entries(args)) {
    const views = argumentViews(tool.parameters, name);
    const inJson = !Object.hasOwn(tool.bindings, name) && isJson(request);
    const unused = tool.bindings[name]?.in === "path" && !tool.path.includes(`{${tool.bindings[name].name}}`);
    if (inJson || (isPlain(value, views, tool) && !unused)) {
      if (!isDeepStrictEqual(parsed[name], value))
        expect(parsed[name], `${tool.name}.${name} in ${request.url}`).toEqual(value);
    } else if (!unused && !isEmpty(value)) expect(Object.keys(parsed)).toContain(name);
  }
  return true;
}

const isJson = (request: HttpRequest): boolean => /json/.test(request.headers["Content-Type"] ?? "");

describe("parseRequest undoes buildRequest", () => {
  test.each([...here, ...there])(
    "%s",
    async (file) => {
      const rounds = file.endsWith("wire.yaml") ? 15 : file.startsWith(shared) ? 1 : 3;
      const { tools } = buildToolMenu(await loadOpenApi(file, { validate: false }));
      const values = createValueSampler();
      let [kept, refused] = [0, 0];
      for (const tool of tools)
        for (let round = 0; round < rounds; round++) {
          const random = createRandom(`${tool.name}/${round}`);
          const valid = values.arguments(tool, random.sample(optionalParameters(tool), round * 2), random);
          if (valid !== null) check(tool, valid);
          if (check(tool, nastyArguments(tool, random))) kept++;
          else refused++;
        }
      expect(kept).toBeGreaterThan(refused);
    },
    120_000,
  );
});

test("a damaged request is refused or read, and nothing else", async () => {
  const { tools } = buildToolMenu(await loadOpenApi(fixture("openapi/wire.yaml"), { validate: false }));
  const outcomes = { read: 0, refused: 0 };
  for (const tool of tools)
    for (let round = 0; round < 80; round++) {
      const random = createRandom(`${tool.name}/damage/${round}`);
      const damage = (text: string): string => {
        const at = random.int(0, text.length);
        const mark = random.pick([
          "%",
          "[",
          "]",
          "=",
          "&",
          ";",
          "/",
          "..",
          "\u0000",
          "{",
          "[__proto__]",
          "\ud800",
          "",
        ]);
        return text.slice(0, at) + mark + text.slice(at + random.int(0, 3));
      };
      try {
        const request = buildRequest(tool, nastyArguments(tool, random));
        const { body } = request;
        parseRequest(tool, {
          method: request.method,
          url: damage(request.url),
          headers: Object.fromEntries(
            Object.entries(request.headers).map(([name, text]) => [name, damage(text)]),
          ),
          ...(body === undefined
            ? {}
            : {
                body:
                  typeof body === "string"
                    ? damage(body)
                    : Buffer.from(damage(Buffer.from(body).toString("latin1")), "latin1"),
              }),
        });
        outcomes.read++;
      } catch (error) {
        if (!SpecdojoError.isInstance(error)) throw error;
        outcomes.refused++;
      }
    }
  expect(Math.min(outcomes.read, outcomes.refused)).toBeGreaterThan(100);
});
