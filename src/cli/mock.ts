import { defineCommand } from "citty";
import pc from "picocolors";
import { type MockExchange, type MockOptions, parseFault, startMock } from "../mock/index.js";
import { loadOpenApi } from "../openapi/index.js";
import { SpecdojoError } from "../util/errors.js";

/** `specdojo mock FILE`: serves a document on this machine until it is stopped. */
export const mockCommand = defineCommand({
  meta: { name: "mock", description: "Serve a mock of the API that an OpenAPI document describes" },
  args: {
    file: { type: "positional", description: "OpenAPI document (YAML or JSON)", required: true },
    port: { type: "string", description: "Port on 127.0.0.1; 0 takes a free one", default: "4010" },
    seed: { type: "string", description: "Same seed, same answers", default: "0" },
    token: {
      type: "string",
      description: "The only credential that is accepted (key, token or name:password); default any",
    },
    empty: { type: "boolean", description: "Nothing exists until it is created", default: false },
    latency: { type: "string", description: "Wait before each answer, in ms: 200, or 50-500", default: "0" },
    fault: {
      type: "string",
      description: "Faults, by commas: KIND[=VALUE][@OPERATION][:RATE], e.g. 503:0.1,reset@addPet",
    },
    cors: { type: "boolean", description: "Let web pages of every origin call the mock", default: false },
    json: { type: "boolean", description: "Print each request as a line of JSON", default: false },
  },
  async run({ args }) {
    const { json } = args;
    const options: MockOptions & { port: number } = {
      port: whole(args.port, "--port", 65_535),
      seed: whole(args.seed, "--seed", 2 ** 31 - 1),
      empty: args.empty,
      cors: args.cors,
      latencyMs: latencyOf(args.latency),
      faults: args.fault === undefined ? [] : args.fault.split(",").map(parseFault),
      ...(args.token === undefined ? {} : { credentials: { "*": args.token } }),
      onRequest: (exchange) => console.log(json ? JSON.stringify(exchange) : lineOf(exchange)),
    };
    const mock = await startMock(await loadOpenApi(args.file), options);
    const { title, tools } = mock.menu;
    console.log(
      json
        ? JSON.stringify({ url: mock.url, operations: tools.length })
        : `${visible(title) || "The API"} (${tools.length} operations) at ${pc.bold(mock.url)}`,
    );
    await new Promise<void>((resolve) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
    });
    await mock.close();
  },
});

function whole(text: string, place: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= most) return value;
  throw new SpecdojoError("invalid-option", `${JSON.stringify(text)} is not a whole number up to ${most}.`, {
    place,
    remedy: `Give for example ${place} 1.`,
  });
}

function latencyOf(text: string): number | [number, number] {
  const [, low, high] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  if (low !== undefined && high === undefined) return Number(low);
  if (low !== undefined && Number(low) <= Number(high)) return [Number(low), Number(high)];
  throw new SpecdojoError("invalid-option", `${JSON.stringify(text)} is not a time.`, {
    place: "--latency",
    remedy: "Give milliseconds: 200, or a range as 50-500.",
  });
}

function lineOf({ method, url, status, operation, problems, fault, warnings }: MockExchange): string {
  const code = String(status ?? "---");
  const colour = status === undefined || status >= 500 ? pc.red : status >= 400 ? pc.yellow : pc.green;
  const head = `${colour(code)} ${method} ${visible(url)}`;
  const name = operation === undefined ? "" : pc.dim(` ${operation}`);
  const notes = [
    ...(fault === undefined ? [] : [`fault: ${fault}`]),
    ...problems.map(({ pointer, message }) => `${pointer} ${message}`.trim()),
    ...warnings.map((warning) => `note: ${warning}`),
  ];
  return [head + name, ...notes.map((note) => `    ${visible(note)}`)].join("\n");
}

/** Text of a request or of the document cannot move the cursor or colour the terminal. */
function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, " ");
}
