import { open, readFile, rm, stat } from "node:fs/promises";

/** How long a lock file may be empty, between its making and its writing, in ms. */
const unwritten = 10_000;

/**
 * Takes a lock: a file that holds its owner's process id and, where the system tells it, when that process began. A file
 * whose owner is gone is taken over. Returns the release, or the id of the living owner (0 while that is being written).
 */
export async function takeLock(file: string): Promise<(() => Promise<void>) | number> {
  for (;;) {
    try {
      const handle = await open(file, "wx");
      try {
        await handle.writeFile(`${process.pid} ${await beginningOf(process.pid)}`);
      } catch (error) {
        await rm(file, { force: true });
        throw error;
      } finally {
        await handle.close();
      }
      return () => rm(file, { force: true });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const owner = await livingOwner(file);
    if (owner !== undefined) return owner;
    await rm(file, { force: true });
  }
}

async function livingOwner(file: string): Promise<number | undefined> {
  const found = await readFile(file, "utf8").catch(() => undefined);
  if (found === undefined) return undefined;
  const [id = "", begun = ""] = found.split(" ");
  const pid = Number(id);
  if (id === "" || !Number.isInteger(pid) || pid <= 0) {
    const made = await stat(file).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
    return Date.now() - made > unwritten ? undefined : 0;
  }
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Any other refusal, such as EPERM, means that it lives.
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return undefined;
  }
  const begins = await beginningOf(pid);
  // The id may have gone to another process since.
  return begun !== "" && begins !== "" && begun !== begins ? undefined : pid;
}

/** When a process began, in the system's own unit (Linux: clock ticks since the boot); empty where it is not told. */
async function beginningOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field is the program's name in brackets, which may hold anything.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}
