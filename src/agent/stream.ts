import { createParser } from "eventsource-parser";
import type { StreamItem } from "./client-types.js";
import { decode } from "./transport.js";

/** Why an item cannot be handed on. */
export class ItemError extends Error {
  readonly reason: "too-large" | "not-json";

  constructor(reason: "too-large" | "not-json") {
    super(reason);
    this.reason = reason;
  }
}

type Chunks = AsyncGenerator<Uint8Array>;
type Items = AsyncGenerator<StreamItem, void, undefined>;

/** What separates the texts of media types that are JSON after JSON. */
const delimiters = new Map([
  ["application/x-ndjson", "\n"],
  ["application/ndjson", "\n"],
  ["application/jsonl", "\n"],
  ["application/x-jsonlines", "\n"],
  ["application/jsonlines", "\n"],
  ["application/stream+json", "\n"],
  ["application/json-seq", "\x1e"],
]);

/**
 * The items of a streaming response: server-sent events, JSON lines, or a JSON text sequence (RFC 7464). Any other
 * response is read whole and is one item. @throws ItemError, and whatever `chunks` throws
 */
export function readItems(chunks: Chunks, contentType: string, maxBytes: number): Items {
  const mediaType = contentType.split(";")[0]?.trim().toLowerCase() ?? "";
  if (mediaType === "text/event-stream") return events(chunks, maxBytes);
  const delimiter = delimiters.get(mediaType);
  return delimiter === undefined ? whole(chunks, contentType, maxBytes) : lines(chunks, delimiter, maxBytes);
}

async function* events(chunks: Chunks, maxBytes: number): Items {
  const found: StreamItem[] = [];
  let overflow = false;
  const parser = createParser({
    maxBufferSize: maxBytes,
    onEvent: ({ data, event, id }) =>
      found.push({
        data: jsonOrText(data),
        ...(event === undefined ? {} : { event }),
        ...(id === undefined ? {} : { id }),
      }),
    onError: ({ type }) => {
      overflow ||= type === "max-buffer-size-exceeded";
    },
  });
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    yield* found.splice(0);
    if (overflow) throw new ItemError("too-large");
  }
}

async function* lines(chunks: Chunks, delimiter: string, maxBytes: number): Items {
  const decoder = new TextDecoder();
  // Parts of a line that has not ended yet, joined once.
  let parts: string[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    const texts = decoder.decode(chunk, { stream: true }).split(delimiter);
    const rest = texts.pop() ?? "";
    for (const text of texts) {
      yield* item(parts.join("") + text);
      parts = [];
      size = 0;
    }
    parts.push(rest);
    size += rest.length;
    if (size > maxBytes) throw new ItemError("too-large");
  }
  yield* item(parts.join("") + decoder.decode());
}

function* item(text: string): Generator<StreamItem, void, undefined> {
  if (text.trim() === "") return;
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw new ItemError("not-json");
  }
  yield { data };
}

async function* whole(chunks: Chunks, contentType: string, maxBytes: number): Items {
  const all: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    all.push(chunk);
    size += chunk.byteLength;
    if (size > maxBytes) throw new ItemError("too-large");
  }
  const { data, broken } = decode(Buffer.concat(all), contentType, []);
  if (broken) throw new ItemError("not-json");
  if (size > 0) yield { data };
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
