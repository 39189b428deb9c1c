import { createHash } from "node:crypto";
import { createReadStream, writeSync } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { writeProblem } from "../util/files.js";
import type { BenchAnswer } from "./models.js";

/** Part of every key: raised when what is stored, or how answers are read, changes. */
const version = 1;

const answerSchema = z.object({
  calls: z.array(z.object({ name: z.string(), arguments: z.record(z.string(), z.json()) })).nullable(),
  text: z.string(),
  tokens: z.object({ prompt: z.number(), completion: z.number() }).optional(),
  truncated: z.boolean().optional(),
});

type Answered = Exclude<BenchAnswer, { error: string }>;

/** Answers by what was asked. Faults of the harness are never kept. */
export interface ResponseStore {
  /** Answers that were there when it was opened. */
  readonly found: number;
  get(key: string): Promise<Answered | undefined>;
  put(key: string, answer: Answered): void;
  close(): Promise<void>;
}

/** The key of a request: a hash of all that decides its answer, as JSON. */
export function requestKey(request: unknown): string {
  return createHash("sha256")
    .update(`${version}\n${JSON.stringify(request)}`)
    .digest("base64url");
}

/**
 * Opens a file of answers (JSON Lines, only ever appended to). What a killed process left half written is passed over.
 * In memory there is one short entry for each answer, not the answer itself.
 */
export async function openResponses(path: string): Promise<ResponseStore> {
  await mkdir(dirname(path), { recursive: true }).catch((cause: unknown) => {
    throw writeProblem(cause, path);
  });
  const file = await open(path, "a+").catch((cause: unknown) => {
    throw writeProblem(cause, path);
  });
  const places = new Map<string, { at: number; length: number }>();
  let end = 0;
  for await (const { line, at, whole } of linesOf(path)) {
    end = at + line.length + Number(whole);
    const key = /^\{"key":"([\w-]{43})",/.exec(line.toString("latin1", 0, 60))?.[1];
    if (key !== undefined && whole) places.set(key, { at, length: line.length });
    else if (!whole) end = await endLine(file);
  }
  const found = places.size;
  return {
    found,
    async get(key) {
      const place = places.get(key);
      if (place === undefined) return undefined;
      const { buffer, bytesRead } = await file.read(Buffer.alloc(place.length), 0, place.length, place.at);
      try {
        const parsed = z
          .object({ key: z.literal(key), answer: answerSchema })
          .safeParse(JSON.parse(buffer.toString("utf8", 0, bytesRead)));
        // Another process that wrote at the same time moved it; then it is asked again.
        return parsed.success ? parsed.data.answer : undefined;
      } catch {
        return undefined;
      }
    },
    put(key, answer) {
      const line = Buffer.from(`${JSON.stringify({ key, answer })}\n`);
      try {
        // One short write each: an answer is safe as soon as it is here, and a thread would cost more than the write.
        writeSync(file.fd, line);
      } catch (cause) {
        throw writeProblem(cause, path);
      }
      places.set(key, { at: end, length: line.length - 1 });
      end += line.length;
    },
    close: () => file.close(),
  };
}

/** Ends a line that a killed process left, so that the next one stands for itself. Returns the file's size. */
async function endLine(file: Awaited<ReturnType<typeof open>>): Promise<number> {
  await file.appendFile("\n");
  return (await file.stat()).size;
}

async function* linesOf(path: string): AsyncGenerator<{ line: Buffer; at: number; whole: boolean }> {
  let rest: Buffer = Buffer.alloc(0);
  let at = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) {
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    let start = 0;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, start)) {
      yield { line: rest.subarray(start, end), at: at + start, whole: true };
      start = end + 1;
    }
    at += start;
    rest = rest.subarray(start);
  }
  if (rest.length > 0) yield { line: rest, at, whole: false };
}
