import type { Client, ClientOptions } from "specdojo/agent";
import type { Operations } from "./types.js";

export type { Operations } from "./types.js";
export type ApiClient = Client<Operations>;

/** A client of this API. Each operation is a method; `call(name, arguments)` reaches every operation by name. */
export declare function createClient(options?: ClientOptions): ApiClient;
