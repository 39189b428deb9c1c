import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { createClient } from "../../src/agent/client.js";
import type { RunningMock } from "../../src/mock/index.js";
import { isJsonLike } from "../../src/openapi/body.js";
import { buildRequest, createArgumentValidator, type Tool } from "../../src/openapi/index.js";
import { createValueSampler, optionalParameters } from "../../src/task/values.js";
import type { JsonObject, JsonValue } from "../../src/util/json.js";
import { createRandom } from "../../src/util/random.js";
import { nastyArguments } from "../openapi/sample-arguments.js";
import { mockOf, sampleDocuments } from "./helpers.js";

/** Operations taken of a document, and of one that has hundreds: its schemas take a second each. */
const most = 60;
const mostOfMany = 15;
const rounds = 2;

/** Sends calls to where the document says the API is, and has them arrive at the mock. */
function clientOf(mock: RunningMock) {
  const redirected = (url: string, init: RequestInit) => {
    const { pathname, search } = new URL(url);
    return fetch(mock.origin + pathname + search, init);
  };
  const isAbsolute = mock.menu.tools.every(({ servers: [first] }) => /^https?:\/\//.test(first?.url ?? ""));
  return createClient(mock.menu, {
    fetch: redirected,
    credentials: ({ definition }) =>
      JSON.stringify(definition).includes('"basic"') ? { username: "ann", password: "secret" } : "secret",
    retries: 0,
    // Both ends are in this process, which may have other things to do.
    timeoutMs: 300_000,
    ...(isAbsolute ? {} : { baseUrl: mock.url }),
  });
}

/** The wire cannot tell some values apart, such as the number 1 and the text "1": then the same request is made of both. */
function same(tool: Tool, args: JsonObject, found: JsonObject): boolean {
  if (isDeepStrictEqual(found, args)) return true;
  const options = { server: "http://mock" };
  return isDeepStrictEqual(buildRequest(tool, args, options), buildRequest(tool, found, options));
}

/** Forms and exploded parameters have no way to say that a list or an object is there and empty. */
function isLossy(tool: Tool, args: JsonObject): boolean {
  const hasEmpty = (value: JsonValue): boolean =>
    typeof value === "object" &&
    value !== null &&
    (Object.keys(value).length === 0 || Object.values(value).some(hasEmpty));
  const inJson = tool.body !== undefined && isJsonLike(tool.body.mediaType);
  return Object.entries(args).some(
    ([name, value]) => hasEmpty(value) && !(inJson && !Object.hasOwn(tool.bindings, name)),
  );
}

/** Method and path, without the names of its parameters. */
const shapeOf = ({ method, path }: Tool): string => `${method} ${path.replaceAll(/\{[^{}]*\}/g, "{}")}`;

test.each(sampleDocuments().map((file) => [basename(file), file]))(
  "arguments of %s reach the mock, which finds the same ones",
  async (_, file) => {
    const mock = await mockOf(file);
    const client = clientOf(mock);
    const values = createValueSampler();
    const validator = createArgumentValidator();
    const tools = createRandom(basename(file)).sample(
      mock.menu.tools,
      mock.menu.tools.length > 300 ? mostOfMany : most,
    );
    const counts = { sent: 0, equal: 0 };

    const check = async (tool: Tool, args: JsonObject): Promise<void> => {
      if (isLossy(tool, args)) return;
      const before = mock.log.length;
      const result = await client.call(tool.name, args);
      // Valid for the schema, but nothing that a request can carry, such as a line break in a header.
      if (!result.ok && result.error.kind === "invalid-arguments") return;
      expect(mock.log.length, `${tool.name}: ${result.ok || result.error.message}`).toBe(before + 1);
      const [exchange] = mock.log.slice(-1);
      const place = `${tool.name} ${JSON.stringify(args)} -> ${JSON.stringify(exchange)}`;
      const other = mock.menu.tools.find(({ name }) => name === exchange?.operation);
      expect(other && shapeOf(other), place).toBe(shapeOf(tool));
      // The document has two operations in one place.
      if (other !== tool) return;
      expect(exchange?.problems, place).toEqual([]);
      const keys = Object.keys(args).filter((name) => isKey(mock, tool, name));
      const visible = Object.fromEntries(Object.entries(args).filter(([name]) => !keys.includes(name)));
      if (keys.length === 0) expect(same(tool, visible, exchange?.arguments ?? {}), place).toBe(true);
      counts.sent++;
      if (isDeepStrictEqual(exchange?.arguments, visible)) counts.equal++;
    };

    for (const tool of tools)
      for (let round = 0; round < rounds; round++) {
        const random = createRandom(`${tool.name}/${round}`);
        const chosen = random.sample(optionalParameters(tool), round * 3);
        const valid = values.arguments(tool, chosen, random);
        if (valid !== null) await check(tool, valid);
        const nasty = nastyArguments(tool, random);
        if (validator.validate(tool, nasty).ok) await check(tool, nasty);
      }
    expect(counts.sent).toBeGreaterThan(tools.length);
    expect(counts.equal / counts.sent).toBeGreaterThan(0.95);
  },
  600_000,
);

/** Is the argument an API key that the log leaves out? */
function isKey(mock: RunningMock, tool: Tool, name: string): boolean {
  const binding = tool.bindings[name];
  const schemes = (tool.security ?? [])
    .flatMap(Object.keys)
    .map((scheme) => mock.menu.securitySchemes[scheme]);
  return schemes.some((scheme) => {
    const { in: place, name: key } = (scheme ?? {}) as { in?: string; name?: string };
    return binding !== undefined && place === binding.in && key?.toLowerCase() === binding.name.toLowerCase();
  });
}
