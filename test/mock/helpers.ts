import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";
import { type MockOptions, type RunningMock, startMock } from "../../src/mock/index.js";
import { type LoadedDocument, loadOpenApi } from "../../src/openapi/index.js";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export const petstore = here("../../examples/petstore/openapi.yaml");

/** Every sample document of the repository, and more where they are at hand; the repository does not need them. */
export function sampleDocuments(): string[] {
  const shared = here("../../../shared/data/specs");
  const fixtures = here("../fixtures/specs");
  const names = (dir: string) => readdirSync(dir).filter((name) => name !== "index.json");
  return [
    petstore,
    here("../fixtures/openapi/wire.yaml"),
    ...names(fixtures).map((name) => `${fixtures}/${name}`),
    ...(existsSync(shared)
      ? names(shared)
          .filter((name) => !existsSync(`${fixtures}/${name}`))
          .map((name) => `${shared}/${name}`)
      : []),
  ];
}

const loaded = new Map<string, Promise<LoadedDocument>>();

/** A document of a file, read once, or of an object: its paths and what else it has. */
export function documentOf(input: string | object): Promise<LoadedDocument> {
  if (typeof input !== "string") {
    const whole = { openapi: "3.1.0", info: { title: "Test", version: "1" }, ...input };
    return loadOpenApi(whole, { validate: false });
  }
  const known = loaded.get(input) ?? loadOpenApi(input, { validate: false });
  loaded.set(input, known);
  return known;
}

const running: RunningMock[] = [];
afterEach(async () => {
  for (const mock of running.splice(0)) await mock.close();
});

/** A mock that is closed after the test. */
export async function mockOf(input: string | object, options: MockOptions = {}): Promise<RunningMock> {
  const mock = await startMock(await documentOf(input), options);
  running.push(mock);
  return mock;
}
