import { basename, extname } from "node:path";
import { defineCommand } from "citty";
import { type BenchModel, runBench, solverBenchModel } from "../evaluate/bench.js";
import { endpointModel, endpointModels } from "../evaluate/endpoint.js";
import { type LocalModels, startLocalModels } from "../evaluate/local.js";
import { loadSuite } from "../evaluate/suite.js";
import { benchText } from "../evaluate/text.js";
import { SpecdojoError } from "../util/errors.js";

interface EndpointSettings {
  apiKey: string | undefined;
  concurrency: number;
  retries: number;
}

/** Every value of a repeated option; citty keeps only the last. */
export function repeated(rawArgs: readonly string[], option: string): string[] {
  return rawArgs.flatMap((arg, i) => {
    if (arg.startsWith(`${option}=`)) return [arg.slice(option.length + 1)];
    const next = rawArgs[i + 1];
    return arg === option && next !== undefined ? [next] : [];
  });
}

function wholeNumber(text: string, option: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new SpecdojoError(
    "invalid-option",
    `${JSON.stringify(text)} is not a whole number from ${least} on.`,
    {
      place: option,
      remedy: `Give ${option} ${least} or more.`,
    },
  );
}

/** `URL#MODEL`; without a model's name, the endpoint must offer exactly one. */
async function openEndpoint(address: string, settings: EndpointSettings): Promise<BenchModel> {
  const [baseUrl = address, name] = address.split("#", 2);
  let model = name;
  if (model === undefined || model === "") {
    const offered = await endpointModels({ baseUrl, apiKey: settings.apiKey }).catch((cause: unknown) => {
      throw new SpecdojoError("endpoint-unreachable", `${baseUrl} does not list its models.`, {
        place: "--model",
        remedy: `Check the address, which usually ends in /v1, or name the model: ${baseUrl}#NAME`,
        cause,
      });
    });
    if (offered.length !== 1)
      throw new SpecdojoError(
        "endpoint-models",
        `${baseUrl} offers ${offered.length} models: ${offered.slice(0, 10).join(", ")}`,
        {
          place: "--model",
          remedy: `Name one: ${baseUrl}#NAME`,
        },
      );
    model = offered[0] ?? "";
  }
  return endpointModel(address, { baseUrl, model, ...settings });
}

/** `specdojo bench SUITE`: any number of models over a suite of tasks that bring their own tools. */
export const benchCommand = defineCommand({
  meta: { name: "bench", description: "Compare models on a tool-calling suite" },
  args: {
    suite: { type: "positional", description: "Suite, JSON Lines", required: true },
    model: {
      type: "string",
      description:
        "An exported agent, a folder of weights, bundled, or URL#MODEL of an OpenAI-compatible endpoint; may be repeated",
      required: true,
    },
    "api-key-env": {
      type: "string",
      description: "Environment variable with the endpoints' key",
      default: "OPENAI_API_KEY",
    },
    concurrency: { type: "string", description: "Requests to an endpoint at a time", default: "8" },
    retries: { type: "string", description: "Further tries of a request that failed", default: "4" },
    seed: { type: "string", description: "Seed of the intervals", default: "0" },
    python: { type: "string", description: "Python interpreter for the worker" },
    json: { type: "boolean", description: "Print results and totals as JSON", default: false },
  },
  async run({ args, rawArgs }) {
    const settings: EndpointSettings = {
      apiKey: process.env[args["api-key-env"]],
      concurrency: wholeNumber(args.concurrency, "--concurrency", 1),
      retries: wholeNumber(args.retries, "--retries", 0),
    };
    const items = await loadSuite(args.suite);
    const names = [...new Set([...repeated(rawArgs, "--model"), args.model])];
    let local: LocalModels | undefined;
    try {
      const models: BenchModel[] = [];
      for (const name of names) {
        if (/^https?:\/\//i.test(name)) models.push(await openEndpoint(name, settings));
        else {
          local ??= await startLocalModels({
            python: args.python,
            onProgress: (line) => process.stderr.write(`${line}\n`),
          });
          const { solver, style, maxTokens } = await local.open(name);
          models.push(solverBenchModel(name, solver, { style, maxTokens }));
        }
      }
      const report = await runBench({
        suite: basename(args.suite, extname(args.suite)),
        items,
        models,
        seed: args.seed,
        onProgress: (label, done, total) => {
          if (process.stderr.isTTY)
            process.stderr.write(`\r${label}: ${done} of ${total}${done === total ? "\n" : ""}`);
          else if (done === total) process.stderr.write(`${label}: ${total} items\n`);
        },
      });
      process.stdout.write(args.json ? `${JSON.stringify(report)}\n` : benchText(report));
    } finally {
      await local?.close();
    }
  },
});
