import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** A package that not every use needs, loaded when it is asked for the first time. Its CommonJS form: at once. */
export function loadPackage<T>(name: string): T {
  return require(name) as T;
}
