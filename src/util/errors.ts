const marker: unique symbol = Symbol.for("specdojo.error");

/**
 * A mistake of the user, the environment or a backend. Says what is wrong, where, and what to do about it.
 * What a model wrote never becomes one of these: that is data (see `Rejection`).
 */
export class SpecdojoError extends Error {
  readonly [marker] = true;
  /** Stable machine-readable code, e.g. `document-unreadable`. */
  readonly code: string;
  /** A file, a JSON pointer, a URL or an option name. */
  readonly place: string | undefined;
  /** What the user can do. */
  readonly remedy: string | undefined;

  constructor(
    code: string,
    message: string,
    details: { place?: string | undefined; remedy?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "SpecdojoError";
    this.code = code;
    this.place = details.place;
    this.remedy = details.remedy;
  }

  /** True also for errors from another copy of this package. */
  static isInstance(value: unknown): value is SpecdojoError {
    return value instanceof Error && marker in value;
  }
}
