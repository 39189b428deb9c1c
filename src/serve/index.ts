import { resolve } from "node:path";
import { chooseRuntime, openSolver, type Runtime, readAgentFolder } from "../agent/load.js";
import type { Solver } from "../agent/solver.js";
import { SpecdojoError } from "../util/errors.js";
import { batched } from "./batcher.js";
import { Chat } from "./chat.js";
import { isLoopback, type RunningServer, startServer } from "./server.js";

export interface ServeOptions {
  /** An exported agent's folder. */
  dir: string;
  /** Default 127.0.0.1. Another than this machine's own needs `allowRemote`. */
  host?: string;
  /** Default 0: a free one. */
  port?: number;
  /** What clients send as their API key; null for none, which only a loopback address may have. */
  token: string | null;
  allowRemote?: boolean;
  /** The model's name for clients. Default: made from the API's title. */
  name?: string;
  runtime?: Runtime;
  /** Interpreter for the worker. */
  python?: string;
  /** A solver that runs already; it is closed with the server. */
  solver?: Solver;
  onLog?: (line: string) => void;
  onError?: (error: unknown) => void;
}

export interface ServedAgent extends RunningServer {
  model: string;
  /** `given` for `ServeOptions.solver`. */
  runtime: Runtime | "given";
}

/** Shortest token for an address that others can reach. */
const minToken = 16;
/** Prompts that the worker answers at a time; llama.cpp takes one. */
const workerBatch = 32;

/**
 * Serves an exported agent as an OpenAI-compatible endpoint: `/v1/models` and `/v1/chat/completions`. The solver is
 * started before the port is open.
 * @throws SpecdojoError `serve-remote`, `serve-token`, `port-unavailable`, or those of `loadAgent`.
 */
export async function serveAgent(options: ServeOptions): Promise<ServedAgent> {
  const { host = "127.0.0.1", port = 0, token } = options;
  checkReach(host, token, options.allowRemote === true);
  const dir = resolve(options.dir);
  const { manifest, menu } = await readAgentFolder(dir);
  const runtime = options.solver === undefined ? await chooseRuntime(manifest, options) : "given";
  const solver =
    options.solver ??
    (await openSolver(dir, manifest, { ...options, ...(runtime === "given" ? {} : { runtime }) }));
  const shared = batched(solver, runtime === "gguf" ? 1 : workerBatch);
  try {
    const chat = new Chat({
      menu,
      solver: shared,
      style: manifest.prompts,
      maxTokens: manifest.sampling.maxTokens,
      maxTools: manifest.menu.maxTools,
    });
    const model = options.name ?? nameOf(manifest.api.title);
    const { onError } = options;
    const server = await startServer({
      chat,
      model,
      host,
      port,
      token,
      ...(onError === undefined ? {} : { onError }),
    });
    return {
      model,
      runtime,
      url: server.url,
      async close() {
        await server.close();
        await shared.close();
      },
    };
  } catch (error) {
    await shared.close();
    throw error;
  }
}

function checkReach(host: string, token: string | null, allowed: boolean): void {
  if (isLoopback(host)) {
    if (token === "")
      throw new SpecdojoError("serve-token", "The token is empty.", {
        place: "token",
        remedy: "Give one, or none.",
      });
    return;
  }
  if (!allowed)
    throw new SpecdojoError("serve-remote", `${host} can be reached from other machines.`, {
      place: "--host",
      remedy: "Keep to 127.0.0.1, or say that this is meant with --allow-remote.",
    });
  if (token === null || token.length < minToken)
    throw new SpecdojoError(
      "serve-token",
      `An address that others reach needs a token of ${minToken} characters or more.`,
      {
        place: "--host",
        remedy: "Set SPECDOJO_TOKEN to a long random text, or leave it out to have one made.",
      },
    );
}

/** `Swagger Petstore - v1.0` -> `swagger-petstore-v1.0`. */
function nameOf(title: string): string {
  const name = title
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/g, "-")
    .replace(/^[-.]+|[-.]+$/g, "");
  return name === "" ? "solver" : name.slice(0, 64);
}
