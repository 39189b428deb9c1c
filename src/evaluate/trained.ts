import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { SpecdojoError } from "../util/errors.js";

/** A question alone, or a task of a run's iteration. */
const trainedLine = z.union([
  z.object({ question: z.string() }),
  z.object({ task: z.object({ question: z.string() }) }),
]);

async function readQuestions(path: string): Promise<string[]> {
  const problem = (message: string, cause?: unknown) =>
    new SpecdojoError("trained-invalid", message, {
      place: path,
      remedy: 'Give a JSON Lines file whose lines have a "question", or the folder of a run.',
      cause,
    });
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw problem(`cannot read ${path}`, cause);
  });
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    try {
      const read = trainedLine.parse(JSON.parse(line));
      return ["question" in read ? read.question : read.task.question];
    } catch (cause) {
      throw problem(`${path}:${i + 1}: not an object with a question`, cause);
    }
  });
}

/** Files with the tasks that the Solver of a run was trained on; empty where the folder is no run's. */
async function trainedFiles(folder: string): Promise<string[]> {
  if (!existsSync(join(folder, "run.json"))) return [];
  const entries = await readdir(folder);
  return entries
    .filter((name) => /^iteration-\d+$/.test(name))
    .sort()
    .map((name) => join(folder, name, "tasks.jsonl"))
    .filter((file) => existsSync(file));
}

/** Questions of a JSON Lines file, or all that a run's folder was trained on. Throws `trained-invalid`. */
export async function readTrained(path: string): Promise<string[]> {
  const files = await trainedFiles(path);
  const lists = await Promise.all((files.length > 0 ? files : [path]).map(readQuestions));
  return lists.flat();
}

/** The run that an agent's folder belongs to: itself, or the folder around it. Undefined where that is none with training tasks. */
export async function trainingRun(dir: string): Promise<string | undefined> {
  for (const folder of basename(dir) === "agent" ? [dir, dirname(dir)] : [dir])
    if ((await trainedFiles(folder)).length > 0) return folder;
  return undefined;
}
