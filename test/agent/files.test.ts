import { openAsBlob } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { createClient } from "../../src/agent/client.js";
import { createToolset } from "../../src/agent/toolset.js";
import { json, type MockServer, menuOf, mockServer } from "./helpers.js";

const servers: MockServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

const binary = { type: "string", format: "binary" };
const body = (type: string, schema: object) => ({
  requestBody: { required: true, content: { [type]: { schema } } },
});
const object = (properties: object, required: string[] = []) => ({ type: "object", properties, required });

async function api() {
  const server = await mockServer((_, response) => json(response, 200, {}));
  servers.push(server);
  const post = (operationId: string, rest: object) => ({ post: { operationId, responses: {}, ...rest } });
  const menu = await menuOf({
    paths: {
      "/form": post(
        "form",
        body(
          "multipart/form-data",
          object({ title: { type: "string" }, photo: binary, more: { type: "array", items: binary } }),
        ),
      ),
      "/raw": post("raw", body("image/png", binary)),
      "/json": post(
        "json",
        body("application/json", object({ data: { type: "string", format: "byte" } }, ["data"])),
      ),
      "/list": { get: { operationId: "list", responses: {} } },
    },
  });
  return { server, menu, options: { baseUrl: server.url } };
}

/** Name -> content type and content of each part. */
function partsOf(server: MockServer): Record<string, [string, string][]> {
  const { headers, body: text = "" } = server.seen.at(-1) ?? { headers: {} };
  const boundary = /boundary=(\S+)/.exec(headers["content-type"] ?? "")?.[1] ?? "none";
  const parts = new Map<string, [string, string][]>();
  for (const part of text.split(`--${boundary}`).slice(1, -1)) {
    const [head = "", content = ""] = part.slice(2, -2).split("\r\n\r\n");
    const name = /name="([^"]*)"/.exec(head)?.[1] ?? "";
    const type = /content-type: (.*)/i.exec(head)?.[1] ?? "";
    parts.set(name, [...(parts.get(name) ?? []), [type, content]]);
  }
  return Object.fromEntries(parts);
}

const png = new Blob(["PNG"], { type: "image/png" });

describe("files", () => {
  test("contents among the arguments of a form", async () => {
    const { menu, options, server } = await api();
    const client = createClient(menu, options);
    const args = { title: "T", photo: png, more: [new Uint8Array([65, 66]), new Blob(["text"])] };
    expect(await client.call("form", args as never)).toMatchObject({ ok: true });
    expect(partsOf(server)).toMatchObject({
      title: [[expect.any(String), "T"]],
      photo: [["image/png", "PNG"]],
      more: [
        [expect.any(String), "AB"],
        [expect.any(String), "text"],
      ],
    });
  });

  test("by name, from the disk, so that no content is in a prompt", async () => {
    const dir = await mkdtemp(join(tmpdir(), "specdojo-files-"));
    try {
      await writeFile(join(dir, "cat.png"), "MEOW");
      const { menu, options, server } = await api();
      const toolset = createToolset({ menu, client: options });
      const files = { "cat.png": await openAsBlob(join(dir, "cat.png"), { type: "image/png" }) };
      const seen: unknown[] = [];
      const confirm = (call: unknown) => seen.push(call) > 0;
      const call = { name: "form", arguments: { photo: "cat.png" } };
      expect(await toolset.execute(call, { files, confirm })).toMatchObject({ ok: true });
      expect(partsOf(server)).toEqual({ photo: [["image/png", "MEOW"]] });
      expect(server.seen.at(-1)?.body).toContain('name="photo"; filename="cat.png"');
      expect(seen).toEqual([call]);
      expect(await toolset.execute(call, { files, dryRun: true })).toMatchObject({
        dryRun: { body: "[with files: cat.png, 4 bytes]" },
      });
      const before = server.seen.length;
      for (const given of [files, undefined])
        expect(
          await toolset.execute(
            { name: "form", arguments: { more: ["dog.png"] } },
            { allow: ["form"], ...(given === undefined ? {} : { files: given }) },
          ),
        ).toMatchObject({
          ok: false,
          error: { kind: "invalid-arguments", issues: [{ pointer: "/more/0" }] },
        });
      expect(server.seen.length).toBe(before);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test("a whole body goes out as it is, again after a failure, too", async () => {
    const { menu, options, server } = await api();
    let attempts = 0;
    const client = createClient(menu, {
      ...options,
      retryDelayMs: 1,
      fetch: (url, init) => (++attempts === 1 ? Promise.reject(new TypeError("reset")) : fetch(url, init)),
    });
    expect(await client.call("raw", { body: png } as never, { idempotencyKey: "k" })).toMatchObject({
      ok: true,
    });
    expect(attempts).toBe(2);
    expect(server.seen).toMatchObject([{ body: "PNG", headers: { "content-type": "image/png" } }]);
    expect(
      await client.call("raw", { body: "photo" }, { files: { photo: new Uint8Array([67]) } }),
    ).toMatchObject({
      ok: true,
    });
    expect(server.seen.at(-1)).toMatchObject({ body: "C" });
  });

  test("base64 in JSON, and plain text as ever", async () => {
    const { menu, options, server } = await api();
    const client = createClient(menu, options);
    await client.call("json", { data: png } as never);
    await client.call("form", { photo: "just text" });
    expect(server.seen[0]?.body).toBe('{"data":"UE5H"}');
    expect(partsOf(server)).toMatchObject({ photo: [[expect.any(String), "just text"]] });
  });

  test("where no file goes, a content is an invalid argument; one that cannot be read is an error", async () => {
    const { menu, options, server } = await api();
    const client = createClient(menu, options);
    expect(await client.call("form", { title: png } as never)).toMatchObject({ ok: true });
    expect(await client.call("list", { q: png } as never)).toMatchObject({
      error: { kind: "invalid-arguments" },
    });
    const gone = new Blob(["x"]);
    gone.arrayBuffer = () => Promise.reject(new Error("/home/me/secret"));
    expect(await client.call("form", { photo: gone } as never)).toMatchObject({
      error: {
        kind: "invalid-arguments",
        issues: [{ pointer: "/photo", message: "The file cannot be read." }],
      },
    });
    expect(server.seen).toHaveLength(1);
  });
});
