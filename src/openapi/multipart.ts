import { hash32 } from "../util/random.js";

/** One part of a `multipart/form-data` body. */
export interface Part {
  name: string;
  filename?: string | undefined;
  contentType?: string | undefined;
  data: Uint8Array;
}

/** The bytes of a multipart body. The boundary depends on the parts alone, and occurs in none of them. */
export function writeMultipart(parts: readonly Part[]): { bytes: Uint8Array; boundary: string } {
  const heads = parts.map(({ name, filename, contentType }) => {
    let head = `Content-Disposition: form-data; name="${quoted(name)}"`;
    if (filename !== undefined) head += `; filename="${quoted(filename)}"`;
    if (contentType !== undefined) head += `\r\nContent-Type: ${contentType.replaceAll(/[\r\n]/g, "")}`;
    return head;
  });
  const text = parts
    .map(
      ({ data }, i) => heads[i] + Buffer.from(data.buffer, data.byteOffset, data.length).toString("latin1"),
    )
    .join("\n");
  let boundary = `specdojo-${hash32(text).toString(36)}`;
  for (let i = 0; text.includes(boundary); i++)
    boundary = `specdojo-${hash32(`${text.length}/${i}`).toString(36)}-${i}`;
  const chunks = parts.flatMap(({ data }, i) => [
    Buffer.from(`--${boundary}\r\n${heads[i]}\r\n\r\n`),
    data,
    Buffer.from("\r\n"),
  ]);
  return { bytes: new Uint8Array(Buffer.concat([...chunks, Buffer.from(`--${boundary}--\r\n`)])), boundary };
}

/** The parts of a multipart body, in order; undefined where it is not one. */
export function readMultipart(body: Uint8Array, boundary: string): Part[] | undefined {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  const mark = Buffer.from(`--${boundary}`);
  const parts: Part[] = [];
  let at = bytes.indexOf(mark);
  while (at !== -1) {
    const start = at + mark.length;
    if (bytes.toString("latin1", start, start + 2) === "--") return parts;
    const end = bytes.indexOf(Buffer.concat([Buffer.from("\r\n"), mark]), start);
    const blank = bytes.indexOf("\r\n\r\n", start);
    if (end === -1 || blank === -1 || blank > end) return undefined;
    const head = bytes.toString("utf8", start, blank);
    const [, name] = /\bname="([^"]*)"/i.exec(head.replaceAll(/\bfilename="[^"]*"/gi, "")) ?? [];
    const [, filename] = /\bfilename="([^"]*)"/i.exec(head) ?? [];
    const [, contentType] = /^content-type:[ \t]*(.*?)[ \t]*$/im.exec(head) ?? [];
    const data = new Uint8Array(bytes.subarray(blank + 4, Math.max(blank + 4, end)));
    if (name !== undefined)
      parts.push({ name: unquoted(name), filename: filename && unquoted(filename), contentType, data });
    at = end + 2;
  }
  return undefined;
}

/** As browsers write names. A percent sign is kept apart from what they make of quotes and line breaks. */
function quoted(name: string): string {
  return name
    .replaceAll(/%(?=(?:25)*(?:22|0D|0A))/g, "%25")
    .replaceAll('"', "%22")
    .replaceAll("\r", "%0D")
    .replaceAll("\n", "%0A");
}

function unquoted(name: string): string {
  return name
    .replaceAll(/%(?:22|0D|0A)/g, (code) => decodeURIComponent(code))
    .replaceAll(/%25(?=(?:25)*(?:22|0D|0A))/g, "%");
}
