import { SpecdojoError } from "../util/errors.js";

/** What is thrown for a fault of ours: the caller of a document's reader needs to handle one kind of error only. */
export function asOurError(error: unknown): SpecdojoError {
  if (SpecdojoError.isInstance(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SpecdojoError("internal-error", `The document cannot be used: ${message}`, {
    remedy: "This is a fault of specdojo: please report it with the document.",
    cause: error,
  });
}
