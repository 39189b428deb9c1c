import { isJsonLike } from "../openapi/body.js";
import type { Tool } from "../openapi/types.js";
import { argumentViews, isBinary, type Views, viewsOfItem, viewsOfProperty } from "../openapi/views.js";
import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import type { ArgumentIssue, FileContent } from "./client-types.js";

/** A file among the arguments of a call. */
export interface Attachment {
  /** Keys that lead to it. */
  path: readonly (string | number)[];
  content: FileContent;
  /** Its name, where it was given by name. */
  name?: string;
}

/** Deeper files are not looked for: no multipart body nests further. */
const deepest = 4;

/**
 * Takes the files out of the arguments of a body, contents and names of `files` alike. `args` has an empty text
 * or `data:` URL in place of each, so that they fit the schema as text does. With `files`, any other text where a file is meant is an
 * issue; without, it is the file's text.
 */
export function takeFiles(
  tool: Tool,
  args: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, FileContent>> | undefined,
): { args: Record<string, unknown>; attachments: Attachment[]; issues: ArgumentIssue[] } {
  const inJson = isJsonLike(tool.body?.mediaType ?? "");
  const placeholder = (content: FileContent): string => (inJson ? "" : dataUrl(content, ""));
  const attachments: Attachment[] = [];
  const issues: ArgumentIssue[] = [];
  function visit(value: unknown, views: Views, path: (string | number)[]): unknown {
    if (isFile(value)) {
      attachments.push({ path, content: value });
      return placeholder(value);
    }
    if (typeof value === "string" && files !== undefined && isBinary(views) && !value.startsWith("data:")) {
      const content = Object.hasOwn(files, value) ? files[value] : undefined;
      if (content === undefined)
        issues.push({ pointer: pointerTo(path), message: unknownFile(value, files) });
      else attachments.push({ path, content, name: value });
      return content === undefined ? value : placeholder(content);
    }
    if (path.length > deepest) return value;
    if (Array.isArray(value))
      return value.map((item, i) => visit(item, viewsOfItem(views, i, tool.parameters), [...path, i]));
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        key,
        visit(item, viewsOfProperty(views, key, tool.parameters), [...path, key]),
      ]),
    );
  }
  if (tool.body === undefined) return { args: { ...args }, attachments, issues };
  const entries = Object.entries(args).map(([name, value]): [string, unknown] => [
    name,
    Object.hasOwn(tool.bindings, name) ? value : visit(value, argumentViews(tool.parameters, name), [name]),
  ]);
  return { args: Object.fromEntries(entries), attachments, issues };
}

/** Arguments with the files' contents in them: `data:` URLs, or plain base64 in a JSON body. */
export async function putFiles(
  args: JsonObject,
  attachments: readonly Attachment[],
  form: "data-url" | "base64",
): Promise<JsonObject> {
  const whole = structuredClone(args);
  for (const { path, content, name } of attachments) {
    const bytes = content instanceof Uint8Array ? content : new Uint8Array(await content.arrayBuffer());
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
    let place: JsonValue = whole;
    for (const key of path.slice(0, -1))
      place = (place as Record<string | number, JsonValue>)[key] as JsonValue;
    const last = path.at(-1) ?? "";
    Object.defineProperty(place, last, {
      value: form === "base64" ? text : dataUrl(content, text, name),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return whole;
}

export function isFile(value: unknown): value is FileContent {
  return value instanceof Uint8Array || value instanceof Blob;
}

/** `3 bytes` or `photo.png, 3 bytes`. */
export function describeFile({ name, content }: Attachment): string {
  const size = content instanceof Uint8Array ? content.byteLength : content.size;
  return `${name === undefined ? "" : `${name}, `}${size} bytes`;
}

function dataUrl(content: FileContent, base64: string, given?: string): string {
  const type = content instanceof Uint8Array ? "" : (content.type.split(";")[0] ?? "").trim();
  // Servers go by the ending of a file's name.
  const name = given ?? (content instanceof File ? content.name : undefined);
  const last = name
    ?.split(/[/\\]/)
    .at(-1)
    ?.replaceAll(/[^\w. -]/g, "_");
  const parameter = last ? `;name=${encodeURIComponent(last)}` : "";
  return `data:${/^[\w.+-]+\/[\w.+-]+$/.test(type) ? type : "application/octet-stream"}${parameter};base64,${base64}`;
}

function pointerTo(path: readonly (string | number)[]): string {
  return path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function unknownFile(value: string, files: Readonly<Record<string, FileContent>>): string {
  const names = Object.keys(files);
  const known = names.length === 0 ? "none were given" : names.map((name) => JSON.stringify(name)).join(", ");
  return `names no file: ${JSON.stringify(value.slice(0, 80))}; files: ${known}`;
}
