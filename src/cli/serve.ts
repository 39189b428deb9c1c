import { randomBytes } from "node:crypto";
import { defineCommand } from "citty";
import { agentFolder } from "../agent/index.js";
import { serveAgent } from "../serve/index.js";
import { SpecdojoError } from "../util/errors.js";

const runtimes = ["gguf", "worker"] as const;

/** `specdojo serve DIR`: an OpenAI-compatible endpoint over a tuned solver. */
export const serveCommand = defineCommand({
  meta: {
    name: "serve",
    description: "Serve an agent's solver as an OpenAI-compatible endpoint on this machine",
  },
  args: {
    dir: {
      type: "positional",
      description: "Folder of a finished run, or of an exported agent",
      required: true,
    },
    port: { type: "string", description: "TCP port; 0 takes a free one", default: "8765" },
    host: { type: "string", description: "Address to listen on", default: "127.0.0.1" },
    "allow-remote": {
      type: "boolean",
      description: "Allow an address that other machines can reach",
      default: false,
    },
    token: {
      type: "boolean",
      description: "Ask clients for the token in SPECDOJO_TOKEN, or for a new one",
      negativeDescription: "Let in every program on this machine",
      default: true,
    },
    name: { type: "string", description: "The model's name for clients; default: from the API's title" },
    runtime: {
      type: "string",
      description: "Where the solver runs: gguf or worker; default: gguf where it can",
    },
    python: { type: "string", description: "Python interpreter for the worker" },
    json: {
      type: "boolean",
      description: "Print address, model and token as one line of JSON",
      default: false,
    },
  },
  async run({ args }) {
    const port = Number(args.port);
    if (!Number.isInteger(port) || port < 0 || port > 65535)
      throw new SpecdojoError("invalid-option", `${JSON.stringify(args.port)} is not a port.`, {
        place: "--port",
        remedy: "Give a number from 0 to 65535.",
      });
    const runtime = runtimes.find((known) => known === args.runtime);
    if (args.runtime !== undefined && runtime === undefined)
      throw new SpecdojoError("invalid-option", `The solver cannot run in ${JSON.stringify(args.runtime)}.`, {
        place: "--runtime",
        remedy: `Use one of ${runtimes.join(", ")}.`,
      });
    const given = process.env.SPECDOJO_TOKEN;
    const made = given === undefined || given === "";
    const token = args.token ? (made ? randomBytes(24).toString("base64url") : given) : null;
    const log = (line: string): void => void process.stderr.write(`${line}\n`);
    const served = await serveAgent({
      dir: agentFolder(args.dir),
      host: args.host,
      port,
      token,
      allowRemote: args["allow-remote"],
      onError: (error) => log(error instanceof Error ? error.message : String(error)),
      ...(args.name === undefined ? {} : { name: args.name }),
      ...(runtime === undefined ? {} : { runtime }),
      ...(args.python === undefined ? {} : { python: args.python }),
    });
    const { url, model } = served;
    // A token that the user gave is the user's secret; one made here has to be told.
    const shown = token !== null && made ? { token } : {};
    if (args.json) console.log(JSON.stringify({ url, model, runtime: served.runtime, ...shown }));
    else {
      console.log(`${model} at ${url} (${served.runtime === "gguf" ? "in this process" : "in the worker"})`);
      if (token === null) console.log("No token is asked for.");
      else console.log(made ? `API key: ${token}` : "The API key is that of SPECDOJO_TOKEN.");
    }
    await new Promise<void>((stop) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop());
    });
    await served.close();
  },
});
