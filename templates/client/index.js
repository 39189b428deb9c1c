import { createClient as create, readMenu } from "specdojo/agent";
import { tools } from "./tools.js";

/** A client of this API. Each operation is a method; `call(name, arguments)` reaches every operation by name. */
export function createClient(options) {
  return create(readMenu(tools), options);
}
