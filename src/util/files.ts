import { appendFile, mkdir, open, readFile, rename, rm, stat, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import type { z } from "zod";
import { SpecdojoError } from "./errors.js";

/** Writes a file as a whole: a reader, or a run that is killed, sees the old content or the new one, never half of it. */
export async function writeAtomic(path: string, data: string): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(partial, "w");
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw writeProblem(cause, path);
  }
}

/** One JSON value per line. */
export const toJsonLines = (values: readonly unknown[]): string =>
  values.map((value) => `${JSON.stringify(value)}\n`).join("");

export async function appendLines(path: string, values: readonly unknown[]): Promise<void> {
  try {
    await appendFile(path, toJsonLines(values));
  } catch (cause) {
    throw writeProblem(cause, path);
  }
}

/** Size in bytes, 0 where there is no file. */
export async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Cuts off what was written after `size` bytes, such as lines of a step that was not finished. */
export async function cutTo(path: string, size: number): Promise<void> {
  if ((await sizeOf(path)) > size) await truncate(path, size);
}

/** Reads JSONL that this program wrote. @throws SpecdojoError `file-damaged` naming the line. */
export async function readJsonLines<S extends z.ZodType>(path: string, schema: S): Promise<z.infer<S>[]> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text.split("\n").flatMap((line, index) => {
    if (line === "") return [];
    try {
      return [schema.parse(JSON.parse(line))];
    } catch (cause) {
      throw new SpecdojoError("file-damaged", "A line of the file cannot be read", {
        place: `${path}:${index + 1}`,
        remedy: "Restore the file, or start the run again in a new folder.",
        cause,
      });
    }
  });
}

export function writeProblem(cause: unknown, path: string): unknown {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const known: Record<string, [string, string]> = {
    ENOSPC: ["disk-full", "Free some space; nothing that was finished is lost. Then resume the run."],
    EDQUOT: ["disk-full", "The quota is used up; free some space, then resume the run."],
    EACCES: ["not-writable", "Choose another folder, or change its permissions."],
    EPERM: ["not-writable", "Choose another folder, or change its permissions."],
    EROFS: ["not-writable", "The disk is read-only; choose another folder."],
    // Making a folder on a read-only disk fails with this code in Node.
    ENOENT: ["not-writable", "The folder is gone, or the disk is read-only; choose another folder."],
    EEXIST: ["not-writable", "A file stands where a folder is needed; choose another folder."],
    ENOTDIR: ["not-writable", "A file stands where a folder is needed; choose another folder."],
  };
  const entry = typeof code === "string" ? known[code] : undefined;
  if (entry === undefined) return cause;
  return new SpecdojoError(entry[0], `The file cannot be written (${code})`, {
    place: path,
    remedy: entry[1],
    cause,
  });
}
