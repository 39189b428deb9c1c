import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { isReservedAddress } from "../../src/openapi/download.js";
import { buildToolMenu, type LoadOptions, loadOpenApi, type ToolMenu } from "../../src/openapi/index.js";
import { SpecdojoError } from "../../src/util/errors.js";
import { documentOf, jsonBody } from "./fixtures.js";

const ok = { responses: { "200": { description: "ok" } } };
const withBody = (reference: string) =>
  documentOf({ "/a": { post: { ...ok, operationId: "send", ...jsonBody({ $ref: reference }) } } });

/** A folder with these files; an object is written as JSON. */
function folder(files: Record<string, unknown>): string {
  const root = mkdtempSync(join(tmpdir(), "specdojo-references-"));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(root, name, ".."), { recursive: true });
    writeFileSync(join(root, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return root;
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Answers at 127.0.0.1; returns its host with the port, and what was asked. */
async function serve(listener: RequestListener): Promise<{ host: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    listener(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function menu(input: Parameters<typeof loadOpenApi>[0], options: LoadOptions = {}): Promise<ToolMenu> {
  return buildToolMenu(await loadOpenApi(input, { validate: false, ...options }));
}

async function failure(promise: Promise<unknown>): Promise<SpecdojoError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!SpecdojoError.isInstance(error)) throw new Error(`expected a SpecdojoError, got ${String(error)}`);
  return error;
}

const names = (result: ToolMenu) => Object.keys(result.tools[0]?.parameters.properties ?? {});

describe("files", () => {
  const files = {
    "api/openapi.yaml": `openapi: 3.0.3
info: {title: T, version: "1"}
paths:
  /a: {$ref: "paths/a.yaml"}
components: {schemas: {Own: {type: string}}}
`,
    "api/paths/a.yaml": `post:
  operationId: send
  parameters: [{$ref: "../../shared/parameters.json#/limit"}]
  requestBody: {content: {application/json: {schema: {$ref: "../../shared/Pet.json"}}}}
  responses: {}
`,
    "shared/parameters.json": { limit: { name: "limit", in: "query", schema: { type: "integer" } } },
    "shared/Pet.json": {
      type: "object",
      properties: {
        name: { type: "string" },
        own: { $ref: "../api/openapi.yaml#/components/schemas/Own" },
        parent: { $ref: "#" },
        tag: { $ref: "#/definitions/Tag" },
      },
      definitions: { Tag: { type: "integer" } },
    },
  };

  test("are read inside the folder, through any number of documents, and cycles stay references", async () => {
    const root = folder(files);
    const result = await menu(join(root, "api/openapi.yaml"), { references: { files: root } });
    expect(result.diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(names(result)).toEqual(["limit", "name", "own", "parent", "tag"]);
    const { parent, tag, own } = (result.tools[0]?.parameters.properties ?? {}) as Record<
      string,
      { $ref: string }
    >;
    expect(parent?.$ref).toBe("#/$defs/shared_Pet.json");
    expect([tag?.$ref, own?.$ref]).toEqual(["#/$defs/Tag", "#/$defs/Own"]);
  });

  test("the bundled document is one: it loads again without the folder", async () => {
    const root = folder(files);
    const { document } = await loadOpenApi(join(root, "api/openapi.yaml"), { references: { files: root } });
    expect(names(await menu(document))).toEqual(["limit", "name", "own", "parent", "tag"]);
  });

  test("are not read where nothing allows it", async () => {
    const root = folder(files);
    const error = await failure(menu(join(root, "api/openapi.yaml")));
    expect(error.message).toContain('"paths/a.yaml" leaves the document');
  });

  test("a text's references start at the folder", async () => {
    const root = folder(files);
    const text = JSON.stringify(withBody("shared/Pet.json"));
    expect(names(await menu(text, { references: { files: root } }))).toContain("name");
  });

  test.each<[string, string, RegExp]>([
    ["upwards", "../outside.json", /out of the folder/],
    ["an absolute path", "/etc/hosts", /out of the folder/],
    ["a file URL", "file:///etc/hosts", /out of the folder/],
    ["another machine", "file://server/share/x.json", /out of the folder/],
    ["encoded", "%2e%2e/outside.json", /out of the folder/],
    ["a link out", "link.json", /out of the folder/],
    ["a folder linked out", "dir/outside.json", /out of the folder/],
    ["a folder", "sub", /not a regular file/],
    ["nothing", "gone.json", /no such file/],
    ["not YAML", "broken.yaml", /cannot be parsed/],
    ["a web address", "http://127.0.0.1:1/x.json", /host 127.0.0.1:1 is not allowed/],
  ])("%s is not followed", async (_, reference, message) => {
    const outer = folder({
      "outside.json": { type: "object", properties: { secret: {} } },
      "root/sub/x": "",
    });
    const root = join(outer, "root");
    writeFileSync(join(root, "broken.yaml"), 'a: "b\n');
    symlinkSync(join(outer, "outside.json"), join(root, "link.json"));
    symlinkSync(outer, join(root, "dir"));
    const error = await failure(menu(withBody(reference), { references: { files: root } }));
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("secret");
  });

  test("a link inside the folder is followed", async () => {
    const root = folder({ "real.json": { type: "object", properties: { name: {} } } });
    symlinkSync(join(root, "real.json"), join(root, "link.json"));
    expect(names(await menu(withBody("link.json"), { references: { files: root } }))).toEqual(["name"]);
  });

  test.each<[string, LoadOptions["limits"] & object, RegExp]>([
    ["documents", { maxDocuments: 3 }, /3 documents have been read/],
    ["hops", { maxHops: 4 }, /4 documents away/],
    ["bytes", { maxBytes: 2_000 }, /more than \d+ bytes/],
  ])("a chain of files ends at the limit of %s", async (_, limits, message) => {
    const chain = Array.from({ length: 20 }, (_, i) => [
      `${i}.json`,
      { type: "object", description: "x".repeat(200), properties: { next: { $ref: `${i + 1}.json` } } },
    ]);
    const root = folder(Object.fromEntries(chain));
    const error = await failure(menu(withBody("0.json"), { references: { files: root }, limits }));
    expect(error.message).toMatch(message);
  });

  test("a folder that does not exist is a mistake of the caller", async () => {
    const error = await failure(menu(withBody("a.json"), { references: { files: "/no/such/folder" } }));
    expect(error.message).toContain("/no/such/folder");
  });
});

test("a reference to the document's own address or to an $id in it is a local one", async () => {
  const root = folder({});
  const document = {
    ...withBody("openapi.json#/components/schemas/A"),
    components: {
      schemas: {
        A: { type: "object", properties: { b: { $ref: "https://example.com/b" } } },
        B: { $id: "https://example.com/b", type: "string" },
      },
    },
  };
  writeFileSync(join(root, "openapi.json"), JSON.stringify(document));
  const result = await menu(join(root, "openapi.json"));
  expect(names(result)).toEqual(["b"]);
  expect(result.diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
});

describe("hosts", () => {
  const pet = JSON.stringify({ type: "object", properties: { name: { $ref: "more.json#/Name" } } });

  test("are asked when they are named", async () => {
    const { host, asked } = await serve((request, response) => {
      response.end(request.url === "/pet.json" ? gzipSync(pet) : '{"Name":{"type":"string"}}');
    });
    const result = await menu(withBody(`http://${host}/pet.json`), { references: { hosts: [host] } });
    expect(names(result)).toEqual(["name"]);
    expect(asked).toEqual(["/pet.json", "/more.json"]);
  });

  test("are not asked when they are not", async () => {
    const { host, asked } = await serve((_, response) => response.end(pet));
    for (const references of [{}, { hosts: [] }, { hosts: ["example.com"] }, { hosts: ["127.0.0.1"] }])
      await failure(menu(withBody(`http://${host}/pet.json`), { references }));
    expect(asked).toEqual([]);
  });

  test("a redirect leads to named hosts only", async () => {
    const other = await serve((_, response) => response.end(pet));
    const { host } = await serve((_, response) => {
      response.writeHead(302, { location: `http://${other.host}/pet.json` }).end();
    });
    const error = await failure(menu(withBody(`http://${host}/pet.json`), { references: { hosts: [host] } }));
    expect(error.message).toContain(`${other.host}, which is not allowed`);
    expect(other.asked).toEqual([]);
  });

  test("a downloaded document does not read files", async () => {
    const root = folder({ "secret.json": { type: "object", properties: { secret: {} } } });
    const { host } = await serve((_, response) => {
      response.end(
        JSON.stringify({ type: "object", properties: { x: { $ref: `file://${root}/secret.json` } } }),
      );
    });
    const references = { files: root, hosts: [host] };
    const error = await failure(menu(withBody(`http://${host}/pet.json`), { references }));
    expect(error.message).toContain("may not refer to files");
  });

  test("a name that leads to a loopback address is refused", async () => {
    const { host, asked } = await serve((_, response) => response.end(pet));
    const port = host.split(":")[1];
    // A public name service that answers with the address in the name; without one the name is unknown. Both are refusals.
    const name = `127-0-0-1.nip.io:${port}`;
    const error = await failure(
      menu(withBody(`http://${name}/pet.json`), {
        references: { hosts: [name] },
        limits: { timeout: 3_000 },
      }),
    );
    expect(error.message).toMatch(/private or loopback|cannot be downloaded/);
    expect(asked).toEqual([]);
  });

  test("a slow answer ends in time", async () => {
    const { host } = await serve((_, response) => {
      response.write("{");
    });
    const options = { references: { hosts: [host] }, limits: { timeout: 200 } };
    const error = await failure(menu(withBody(`http://${host}/slow`), options));
    expect(error.message).toContain("takes too long");
  });

  test("an endless answer ends at the limit", async () => {
    const { host } = await serve((_, response) => {
      const timer = setInterval(() => response.write("x".repeat(10_000)), 1);
      response.on("close", () => clearInterval(timer));
    });
    const options = { references: { hosts: [host] }, limits: { maxBytes: 50_000 } };
    const error = await failure(menu(withBody(`http://${host}/endless`), options));
    expect(error.message).toMatch(/more than \d+ bytes/);
  });
});

describe("an address that the user gives", () => {
  const document = JSON.stringify(documentOf({ "/a": { get: { ...ok, operationId: "a" } } }));

  test("is downloaded, also over a redirect, also packed", async () => {
    const { host } = await serve((request, response) => {
      if (request.url === "/old") response.writeHead(301, { location: "/new" }).end();
      else response.end(gzipSync(document));
    });
    for (const address of [`http://${host}/old`, new URL(`http://${host}/new`)])
      expect((await menu(address)).tools.map(({ name }) => name)).toEqual(["a"]);
  });

  test.each<[string, RequestListener, RegExp]>([
    ["404", (_, response) => response.writeHead(404).end("secret"), /status 404/],
    ["a page", (_, response) => response.end("<html>"), /HTML/],
    ["a ring", (_, response) => response.writeHead(302, { location: "/again" }).end(), /redirects too often/],
    [
      "a file",
      (_, response) => response.writeHead(302, { location: "file:///etc/passwd" }).end(),
      /no web address/,
    ],
    [
      "metadata of the cloud",
      (_, response) => response.writeHead(302, { location: "http://169.254.169.254/x" }).end(),
      /private or loopback/,
    ],
    [
      "another port of this machine",
      (_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/x" }).end(),
      /private or loopback/,
    ],
    ["a broken line", (request) => request.socket.destroy(), /cannot be downloaded/],
  ])("%s is an error with a remedy", async (_, listener, message) => {
    const { host } = await serve(listener);
    const error = await failure(menu(`http://user:password@${host}/x?key=token`));
    expect(error.message).toMatch(message);
    expect(error.remedy).toBeTruthy();
    expect(`${error.message} ${error.place}`).not.toMatch(/password|token|secret/);
  });

  test("its references are no more allowed than others", async () => {
    const { host, asked } = await serve((_, response) => response.end(JSON.stringify(withBody("pet.json"))));
    await failure(menu(`http://${host}/api.json`));
    expect(asked).toEqual(["/api.json"]);
  });
});

test.each([
  ["8.8.8.8", false],
  ["2606:4700::1111", false],
  ["127.0.0.1", true],
  ["10.1.2.3", true],
  ["172.31.0.1", true],
  ["192.168.1.1", true],
  ["169.254.169.254", true],
  ["100.64.0.1", true],
  ["0.0.0.0", true],
  ["255.255.255.255", true],
  ["::1", true],
  ["::", true],
  ["::ffff:127.0.0.1", true],
  ["fd00::1", true],
  ["fe80::1", true],
  ["64:ff9b::7f00:1", true],
  ["localhost", true],
])("%s is reserved: %s", (address, reserved) => {
  expect(isReservedAddress(address)).toBe(reserved);
});
