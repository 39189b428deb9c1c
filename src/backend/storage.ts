import { SpecdojoError } from "../util/errors.js";

/** The file system's refusals that a user can mend, in words; undefined for other errors. */
export function storageProblem(error: unknown, place: string): SpecdojoError | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT")
    return new SpecdojoError("disk-full", "No space is left on the disk.", {
      place,
      remedy: "Free some space, or choose a folder on another disk.",
      cause: error,
    });
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return new SpecdojoError("not-writable", "The folder cannot be written.", {
      place,
      remedy: "Choose another folder, or change its permissions.",
      cause: error,
    });
  // Making a folder on a read-only disk fails with ENOENT in Node.
  if (code === "ENOENT")
    return new SpecdojoError("not-writable", "The folder cannot be made; the disk may be read-only.", {
      place,
      remedy: "Choose another folder.",
      cause: error,
    });
  if (code === "ENOTDIR" || code === "EEXIST")
    return new SpecdojoError("not-writable", "A file stands where a folder is needed.", {
      place,
      remedy: "Choose another folder, or move the file away.",
      cause: error,
    });
  return undefined;
}
