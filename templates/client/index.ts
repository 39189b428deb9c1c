import { type Client, type ClientOptions, createClient as create, readMenu } from "specdojo/agent";
import { tools } from "./tools.js";
import type { Operations } from "./types.js";

export type { Operations } from "./types.js";
export type ApiClient = Client<Operations>;

/** A client of this API. Each operation is a method; `call(name, arguments)` reaches every operation by name. */
export function createClient(options?: ClientOptions): ApiClient {
  return create<Operations>(readMenu(tools), options);
}
