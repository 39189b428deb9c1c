import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { SpecdojoError } from "../util/errors.js";

const blockSize = 512;

/**
 * Writes the regular files of a tar or tar.gz stream under `dir`. Links, devices, absolute names and names with `..`
 * are refused. Understands ustar, GNU long names and pax `path` and `size` (POSIX.1-2001).
 */
export async function extractTar(stream: Readable, dir: string): Promise<void> {
  try {
    await extract(stream, dir);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    throw code.startsWith("Z_") ? broken("its compression is damaged") : error;
  }
}

async function extract(stream: Readable, dir: string): Promise<void> {
  const source = new ByteSource(stream);
  const magic = await source.peek(2);
  const bytes = magic[0] === 0x1f && magic[1] === 0x8b ? new ByteSource(gunzip(source.rest())) : source;
  let longName: string | undefined;
  let pax = new Map<string, string>();
  for (;;) {
    const header = await bytes.read(blockSize);
    if (header === undefined || header.every((byte) => byte === 0)) return;
    checkSum(header);
    const type = String.fromCharCode(header[156] ?? 0);
    const size = Number(pax.get("size") ?? readNumber(header.subarray(124, 136)));
    const padding = (blockSize - (size % blockSize)) % blockSize;
    if (type === "L" || type === "x" || type === "g") {
      const content = await bytes.need(size);
      await bytes.need(padding);
      if (type === "L") longName = readText(content);
      if (type === "x") pax = readPax(content);
      continue;
    }
    const prefix = readText(header.subarray(345, 500));
    const short = readText(header.subarray(0, 100));
    const name = pax.get("path") ?? longName ?? (prefix === "" ? short : `${prefix}/${short}`);
    longName = undefined;
    pax = new Map();
    if (type === "5") continue;
    if (type !== "0" && type !== "\0" && type !== "7") throw broken(`it holds a link or device: ${name}`);
    const parts = name.split(/[/\\]/).filter((part) => part !== "" && part !== ".");
    if (/^([/\\]|[A-Za-z]:)/.test(name) || parts.includes("..") || parts.length === 0 || name.includes("\0"))
      throw broken(`it holds an unsafe name: ${name}`);
    const file = join(dir, ...parts);
    await mkdir(dirname(file), { recursive: true });
    const output = createWriteStream(file);
    const written = finished(output);
    // A failure to open shows at the next await below, not as an unhandled rejection.
    written.catch(() => undefined);
    try {
      for await (const chunk of bytes.take(size))
        if (!output.write(chunk)) await Promise.race([once(output, "drain"), written]);
      output.end();
    } catch (error) {
      output.destroy();
      await written.catch(() => undefined);
      throw error;
    }
    await written;
    await bytes.need(padding);
  }
}

function gunzip(compressed: Readable): Readable {
  const output = createGunzip();
  // pipe() does not pass errors on.
  compressed.on("error", (error) => output.destroy(error));
  return compressed.pipe(output);
}

const broken = (why: string): SpecdojoError =>
  new SpecdojoError("archive-invalid", `The archive cannot be used: ${why}`, {
    remedy: "Download it again; if it stays so, the server is at fault.",
  });

function readText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
}

function readNumber(field: Uint8Array): number {
  if (((field[0] ?? 0) & 0x80) !== 0) {
    // GNU: base 256 for sizes above 8 GiB.
    return field.subarray(1).reduce((total, byte) => total * 256 + byte, 0);
  }
  const text = readText(field).trim();
  const value = text === "" ? 0 : Number.parseInt(text, 8);
  if (!Number.isSafeInteger(value)) throw broken("a size in it is no number");
  return value;
}

function checkSum(header: Uint8Array): void {
  let sum = 0;
  for (let i = 0; i < blockSize; i++) sum += i >= 148 && i < 156 ? 32 : (header[i] ?? 0);
  if (sum !== Number.parseInt(readText(header.subarray(148, 156)).trim(), 8))
    throw broken("it is no tar archive, or damaged");
}

function readPax(content: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  let offset = 0;
  while (offset < content.length) {
    const space = content.indexOf(32, offset);
    const length = Number.parseInt(readText(content.subarray(offset, space)), 10);
    if (space === -1 || !(length > 0)) throw broken("an extended header in it is damaged");
    const [key, ...value] = new TextDecoder()
      .decode(content.subarray(space + 1, offset + length - 1))
      .split("=");
    records.set(key ?? "", value.join("="));
    offset += length;
  }
  return records;
}

/** Reads a byte stream in pieces of given length. */
class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer: Uint8Array = new Uint8Array(0);

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  async peek(length: number): Promise<Uint8Array> {
    while (this.#buffer.length < length && (await this.#more()));
    return this.#buffer.subarray(0, length);
  }

  /** Undefined at a clean end. */
  async read(length: number): Promise<Uint8Array | undefined> {
    const found = await this.peek(length);
    if (found.length === 0 && length > 0) return undefined;
    if (found.length < length) throw broken("it ends too early");
    this.#buffer = this.#buffer.subarray(length);
    return found;
  }

  async need(length: number): Promise<Uint8Array> {
    const found = await this.read(length);
    if (found === undefined) throw broken("it ends too early");
    return found;
  }

  async *take(length: number): AsyncGenerator<Uint8Array> {
    let left = length;
    while (left > 0) {
      if (this.#buffer.length === 0 && !(await this.#more())) throw broken("it ends too early");
      const piece = this.#buffer.subarray(0, left);
      this.#buffer = this.#buffer.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  /** What has not been read, as a stream. */
  rest(): Readable {
    return Readable.from(this.#rest(), { objectMode: false });
  }

  async *#rest(): AsyncGenerator<Uint8Array> {
    if (this.#buffer.length > 0) yield this.#buffer;
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done === true) return;
      yield next.value;
    }
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    this.#buffer = this.#buffer.length === 0 ? next.value : Buffer.concat([this.#buffer, next.value]);
    return true;
  }
}
