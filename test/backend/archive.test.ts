import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectBackend } from "../../src/backend/client.js";
import { extractTar } from "../../src/backend/tar.js";
import { testClock } from "./fake-server.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "specdojo-archive-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** One header and its content, as POSIX ustar has it. */
function entry(
  name: string,
  content: string | Buffer,
  type = "0",
  changes: (header: Buffer) => void = () => undefined,
): Buffer {
  const bytes = Buffer.from(content);
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write("0000644\0", 100);
  header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write(type, 156);
  header.write("ustar\x0000", 257);
  changes(header);
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}
const archive = (...entries: Buffer[]): Buffer => Buffer.concat([...entries, Buffer.alloc(1024)]);
const stream = (bytes: Buffer, size = 700): Readable =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    ),
  );
const long = `${"deep/".repeat(30)}adapter_model.safetensors`;

describe("extractTar", () => {
  const plain = archive(
    entry("./", "", "5"),
    entry("./a.json", "{}"),
    entry("sub/b.bin", Buffer.alloc(3000, 7)),
    entry("empty", ""),
  );

  it.each([
    ["plain", plain],
    ["gzip", gzipSync(plain)],
  ])("writes the files: %s", async (_name, bytes) => {
    await extractTar(stream(bytes), dir);
    expect((await readdir(dir)).sort()).toEqual(["a.json", "empty", "sub"]);
    expect(await readFile(join(dir, "a.json"), "utf8")).toBe("{}");
    expect(await readFile(join(dir, "sub/b.bin"))).toEqual(Buffer.alloc(3000, 7));
  });

  it.each([
    ["GNU", archive(entry("././@LongLink", `${long}\0`, "L"), entry("cut", "x"))],
    [
      "pax",
      archive(entry("PaxHeader", `${`path=${long}\n`.length + 4} path=${long}\n`, "x"), entry("cut", "x")),
    ],
    [
      "ustar prefix",
      archive(entry("b", "x", "0", (header) => header.write(long.slice(0, 120).replace(/\/$/, ""), 345))),
    ],
  ])("reads long names: %s", async (name, bytes) => {
    await extractTar(stream(bytes), dir);
    const file = name === "ustar prefix" ? join(dir, long.slice(0, 120), "b") : join(dir, long);
    expect(await readFile(file, "utf8")).toBe("x");
  });

  it("reads what the system's tar writes", async () => {
    await mkdir(join(dir, "in"));
    await writeFile(join(dir, "in/weights"), Buffer.alloc(100_000, 3));
    const bytes = execFileSync("tar", ["-czf", "-", "-C", join(dir, "in"), "."]);
    await extractTar(stream(bytes), join(dir, "out"));
    expect(await readFile(join(dir, "out/weights"))).toEqual(Buffer.alloc(100_000, 3));
  });

  it.each([
    ["a name that climbs out", archive(entry("../evil", "x")), "unsafe name"],
    ["an absolute name", archive(entry("/tmp/evil", "x")), "unsafe name"],
    ["a climb inside", archive(entry("a/../../evil", "x")), "unsafe name"],
    ["a backslash climb", archive(entry("a\\..\\..\\evil", "x")), "unsafe name"],
    ["a symbolic link", archive(entry("link", "", "2")), "link or device"],
    ["a hard link", archive(entry("link", "", "1")), "link or device"],
    ["a cut", archive(entry("a", Buffer.alloc(5000))).subarray(0, 2000), "ends too early"],
    ["no tar", Buffer.alloc(600, 65), "no tar archive"],
  ])("refuses %s", async (_name, bytes, words) => {
    await expect(extractTar(stream(bytes), dir)).rejects.toMatchObject({
      code: "archive-invalid",
      message: expect.stringContaining(words),
    });
  });

  it("refuses a damaged gzip", async () => {
    const bytes = gzipSync(plain);
    bytes.fill(0, 20, 60);
    await expect(extractTar(stream(bytes), dir)).rejects.toMatchObject({ code: "archive-invalid" });
  });
});

describe("downloadCheckpoint", () => {
  type Route = (request: IncomingMessage, response: ServerResponse) => void;
  const routes = new Map<string, Route[]>();
  const seen: { url: string; key: string | undefined }[] = [];
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const url = request.url ?? "";
    seen.push({ url, key: request.headers["x-api-key"] as string | undefined });
    const list = routes.get(url);
    const route = list !== undefined && list.length > 1 ? list.shift() : list?.[0];
    if (url.endsWith("/create_session")) response.end('{"session_id":"s"}');
    else if (route === undefined) response.writeHead(404).end('{"detail":"Not Found"}');
    else route(request, response);
  };
  const server = createServer(serve);
  const elsewhere = createServer(serve);
  let baseUrl: string;
  let otherUrl: string;
  const listen = async (it: typeof server): Promise<string> => {
    await new Promise<void>((done) => it.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(it.address() as AddressInfo).port}`;
  };
  beforeEach(async () => {
    routes.clear();
    seen.length = 0;
    baseUrl = await listen(server);
    otherUrl = await listen(elsewhere);
  });
  afterEach(async () => {
    for (const it of [server, elsewhere]) {
      it.closeAllConnections();
      await new Promise((done) => it.close(done));
    }
  });

  const typed = "/api/v1/training_runs/run-1/checkpoints/sampler_weights/final/archive";
  const bare = "/api/v1/training_runs/run-1/checkpoints/final/archive";
  const bytes = archive(entry("adapter_config.json", "{}"));
  const send: Route = (_request, response) =>
    response.writeHead(200, { "content-type": "application/x-tar" }).end(bytes);
  const status =
    (code: number): Route =>
    (_request, response) =>
      response.writeHead(code).end("{}");
  const redirect =
    (to: () => string): Route =>
    (_request, response) =>
      response.writeHead(302, { location: to() }).end();
  const download = async (kind: "local" | "skyrl" = "local"): Promise<string[]> => {
    const backend = await connectBackend({ baseUrl, apiKey: "key", kind, clock: testClock() });
    const target = join(dir, "checkpoint");
    try {
      await backend.downloadCheckpoint("tinker://run-1/sampler_weights/final", target);
    } finally {
      await backend.close();
    }
    return readdir(target);
  };

  it.each<[string, Record<string, Route[]>, "local" | "skyrl"]>([
    ["bytes at once", { [typed]: [send] }, "local"],
    ["a redirect to itself", { [typed]: [redirect(() => "/files/1")], "/files/1": [send] }, "local"],
    ["a redirect elsewhere", { [typed]: [redirect(() => `${otherUrl}/signed`)], "/signed": [send] }, "local"],
    [
      "a url in JSON",
      {
        [typed]: [
          (_q, r) =>
            r
              .writeHead(200, { "content-type": "application/json" })
              .end(JSON.stringify({ url: `${otherUrl}/signed`, expires: "x" })),
        ],
        "/signed": [send],
      },
      "local",
    ],
    ["not ready at first", { [typed]: [status(409), status(425), status(503), send] }, "local"],
    [
      "a connection cut in the middle",
      {
        [typed]: [
          (_request, response) => {
            response.writeHead(200, { "content-type": "application/x-tar", "content-length": bytes.length });
            response.write(bytes.subarray(0, 300), () => response.destroy());
          },
          send,
        ],
      },
      "local",
    ],
    ["SkyRL's spelling", { [bare]: [send] }, "skyrl"],
    ["the other spelling than expected", { [bare]: [send] }, "local"],
  ])("gets the files: %s", async (_name, table, kind) => {
    for (const [path, list] of Object.entries(table)) routes.set(path, list);
    expect(await download(kind)).toEqual(["adapter_config.json"]);
    for (const { url, key } of seen) expect([url, key]).toEqual([url, url === "/signed" ? undefined : "key"]);
    expect(await readdir(dir)).toEqual(["checkpoint"]);
  });

  it("replaces files of an earlier download and keeps others", async () => {
    await mkdir(join(dir, "checkpoint"));
    await writeFile(join(dir, "checkpoint/adapter_config.json"), "old");
    await writeFile(join(dir, "checkpoint/note"), "mine");
    routes.set(typed, [send]);
    expect((await download()).sort()).toEqual(["adapter_config.json", "note"]);
    expect(await readFile(join(dir, "checkpoint/adapter_config.json"), "utf8")).toBe("{}");
  });

  it.each<[string, Record<string, Route[]>, string]>([
    ["an unknown checkpoint", {}, "checkpoint-unknown"],
    ["a refusal", { [typed]: [status(403)] }, "backend-failed"],
    [
      "an expired link",
      { [typed]: [redirect(() => "/files/1")], "/files/1": [status(403)] },
      "backend-failed",
    ],
    ["never ready", { [typed]: [status(503)] }, "backend-failed"],
    ["a damaged archive", { [typed]: [(_q, r) => r.end(Buffer.alloc(700, 66))] }, "archive-invalid"],
  ])("writes nothing for %s", async (_name, table, code) => {
    for (const [path, list] of Object.entries(table)) routes.set(path, list);
    await expect(download()).rejects.toMatchObject({ code });
    expect(await readdir(dir)).toEqual([]);
  });

  it.each(["final", "tinker://run", "tinker://run/a/b/c", "tinker:///weights/a"])(
    "refuses the path %s",
    async (path) => {
      const backend = await connectBackend({ baseUrl, clock: testClock() });
      await expect(backend.downloadCheckpoint(path, dir)).rejects.toMatchObject({
        code: "checkpoint-unknown",
        place: path,
      });
      await backend.close();
    },
  );
});
