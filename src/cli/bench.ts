import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { defineCommand } from "citty";
import { cacheFolder } from "../backend/environment.js";
import { type BenchOptions, type BenchReport, runBench } from "../evaluate/bench.js";
import { TrainedQuestions } from "../evaluate/contamination.js";
import { convertSuite } from "../evaluate/convert/index.js";
import { endpointModel, endpointModels } from "../evaluate/endpoint.js";
import { type LocalModels, startLocalModels } from "../evaluate/local.js";
import { type Ask, asks, type BenchModel, solverBenchModel } from "../evaluate/models.js";
import { openResponses, requestKey } from "../evaluate/responses.js";
import { readSuite, type SuiteItem, suiteNames } from "../evaluate/suite.js";
import { benchText, convertText, suitesText } from "../evaluate/text.js";
import { legend, type Prices, together } from "../evaluate/totals.js";
import { readTrained } from "../evaluate/trained.js";
import { renderBench } from "../report/bench.js";
import { SpecdojoError } from "../util/errors.js";
import { toJsonLines } from "../util/files.js";
import { isObject, type JsonObject } from "../util/json.js";
import { version } from "../version.js";
import { plainProgress, type ShownProgress, terminalProgress } from "./progress.js";
import { Spool } from "./spool.js";

interface Settings {
  apiKey: string | undefined;
  concurrency: number;
  retries: number;
  timeout: number;
  maxTokens: number | undefined;
  temperature: number;
  seed: number;
  extra: JsonObject | undefined;
  /** Undefined: each kind of model in its usual way. */
  asks: readonly Ask[] | undefined;
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
    { place: option, remedy: `Give ${option} ${least} or more.` },
  );
}

function positive(text: string, option: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new SpecdojoError("invalid-option", `${JSON.stringify(text)} is not a number from 0 on.`, {
    place: option,
    remedy: `Give ${option} a number.`,
  });
}

function readAsks(text: string | undefined): Ask[] | undefined {
  if (text === undefined) return undefined;
  return text.split(",").map((name) => {
    const ask = asks.find((known) => known === name.trim());
    if (ask !== undefined) return ask;
    throw new SpecdojoError("invalid-option", `${JSON.stringify(name)} is no way of asking.`, {
      place: "--ask",
      remedy: `Give ${asks.join(", ")}, or both with a comma.`,
    });
  });
}

function readPrices(text: string | undefined): Prices | undefined {
  if (text === undefined) return undefined;
  const [prompt = "", completion = "", ...more] = text.split("/");
  if (more.length > 0 || completion === "")
    throw new SpecdojoError("invalid-option", `${JSON.stringify(text)} is not two prices.`, {
      place: "--price",
      remedy: "Give the prices of a million tokens read and written, such as --price 0.15/0.60",
    });
  return { prompt: positive(prompt, "--price"), completion: positive(completion, "--price") };
}

function readExtra(text: string | undefined): JsonObject | undefined {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isObject(value)) return value as JsonObject;
  throw new SpecdojoError("invalid-option", `${JSON.stringify(text)} is not a JSON object.`, {
    place: "--extra",
    remedy: `Give further fields of the request, such as --extra '{"top_p":0.9}'`,
  });
}

/** `URL#MODEL`; without a model's name, the endpoint must offer exactly one. */
async function openEndpoint(address: string, settings: Settings): Promise<BenchModel[]> {
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
        { place: "--model", remedy: `Name one: ${baseUrl}#NAME` },
      );
    model = offered[0] ?? "";
  }
  const { asks: ways = ["native"], ...rest } = settings;
  return ways.map((ask) => endpointModel(labelOf(address, ask, ways), { baseUrl, model, ask, ...rest }));
}

const labelOf = (name: string, ask: Ask, ways: readonly Ask[]): string =>
  ways.length > 1 ? `${name} (${ask})` : name;

async function openLocal(name: string, local: LocalModels, settings: Settings): Promise<BenchModel[]> {
  const { sampler, style, maxTokens, fingerprint, takesTools } = await local.openBench(name);
  const ways = settings.asks ?? ["prompt"];
  if (ways.includes("native") && !takesTools)
    throw new SpecdojoError("ask-native", "The model's chat template takes no tools.", {
      place: name,
      remedy: "Ask it by the solver's prompt: --ask prompt",
    });
  return ways.map((ask) =>
    solverBenchModel(labelOf(name, ask, ways), sampler, {
      style,
      ask,
      fingerprint,
      maxTokens: settings.maxTokens ?? maxTokens,
      temperature: settings.temperature,
      seed: settings.seed,
    }),
  );
}

interface Survey {
  path: string;
  count: number;
  excluded: BenchReport["excluded"];
  goldFaults: BenchReport["goldFaults"];
  leftOut: ReadonlySet<number>;
}

/** Reads the suite once: all lines are checked before anything is asked, and trained ones are named. */
async function survey(path: string, trained: TrainedQuestions | undefined): Promise<Survey> {
  const excluded: BenchReport["excluded"] = [];
  const goldFaults: BenchReport["goldFaults"] = [];
  const leftOut = new Set<number>();
  let index = 0;
  for await (const { id, question, gold, tools } of readSuite(path)) {
    const found = trained?.find(question);
    if (found !== undefined) {
      excluded.push({ id, question, ...found });
      leftOut.add(index);
    }
    for (const { name } of gold)
      if (!tools.some((tool) => tool.name === name))
        goldFaults.push({ id, problem: `calls ${JSON.stringify(name)}, which is none of the item's tools` });
    index++;
  }
  return { path, count: index - leftOut.size, excluded, goldFaults, leftOut };
}

async function* without(path: string, leftOut: ReadonlySet<number>): AsyncGenerator<SuiteItem> {
  let index = 0;
  for await (const item of readSuite(path, true)) if (!leftOut.has(index++)) yield item;
}

async function convert(words: readonly string[], out: string | undefined, json: boolean) {
  const [name, path, extra] = words;
  if (name === undefined || path === undefined || extra !== undefined)
    throw new SpecdojoError("invalid-option", "`bench convert` needs the suite's name and a path.", {
      place: "specdojo bench convert NAME PATH",
      remedy: `The names are ${suiteNames.join(", ")}.`,
    });
  const suite = await convertSuite(name, path);
  const file = out ?? `${suite.name}.jsonl`;
  await mkdir(dirname(resolve(file)), { recursive: true });
  await writeFile(file, toJsonLines(suite.items)).catch((cause: unknown) => {
    throw new SpecdojoError("convert-unwritable", `cannot write ${file}`, {
      place: file,
      remedy: "Name another file with --out.",
      cause,
    });
  });
  const { items, ...rest } = suite;
  process.stdout.write(
    json ? `${JSON.stringify({ file, items: items.length, ...rest })}\n` : convertText(suite, file),
  );
}

const nameOf = (path: string): string => basename(path, extname(path));

/** Asks all models one suite. Answers are journaled; the journals go when none is missing. */
async function runSuite(
  { path, count, excluded, goldFaults, leftOut }: Survey,
  options: Pick<BenchOptions, "models" | "samples" | "seed" | "prices" | "comparedWith">,
  {
    title,
    cache,
    fresh,
    say,
    progress,
    spool,
  }: {
    title: string;
    cache: string | undefined;
    fresh: boolean;
    say: (line: string) => void;
    progress: ShownProgress;
    spool: Spool;
  },
): Promise<BenchReport> {
  const journals: string[] = [];
  let shown = "";
  const report = await runBench({
    ...options,
    suite: nameOf(path),
    items: () => without(path, leftOut),
    total: count,
    excluded,
    goldFaults,
    async store(model) {
      const file = join(
        cache ?? join(cacheFolder(), "bench"),
        `${requestKey([resolve(path), model.label]).slice(0, 24)}.jsonl`,
      );
      if (cache === undefined) {
        journals.push(file);
        if (fresh) await rm(file, { force: true });
      }
      const responses = await openResponses(file);
      if (responses.found > 0)
        say(`${title}${model.label}: ${responses.found} answers are there from before`);
      return responses;
    },
    onResult: (model, result) => spool.write(model, result),
    onProgress(label, done, total, { errors, tokens }) {
      if (shown !== label) progress.phase(`${title}${label}`, total ?? 1);
      shown = label;
      const notes = [
        ...(errors > 0 ? [`${errors} not answered`] : []),
        ...(tokens > 0 ? [`${tokens} tokens`] : []),
      ];
      progress.update(done, notes.join(", "));
    },
  });
  const missing = report.models.reduce((sum, { totals }) => sum + totals.errors, 0);
  if (missing === 0) await Promise.all(journals.map((file) => rm(file, { force: true })));
  else say(`${title}${missing} answers could not be had; the same command asks only for those.`);
  return report;
}

/** One report as it is, several as a list. */
async function print(reports: readonly BenchReport[], spools: readonly Spool[]): Promise<void> {
  const out = process.stdout;
  const [only] = reports.length === 1 ? reports : [];
  const head = { format: "specdojo-bench-suites-1", legend, together: together(reports) };
  if (only === undefined) out.write(`${JSON.stringify(head).slice(0, -1)},"suites":[`);
  for (const [i, report] of reports.entries()) {
    if (i > 0) out.write(",");
    await spools[i]?.print(only === undefined ? report : { ...report, legend }, out);
  }
  out.write(only === undefined ? "]}\n" : "\n");
}

/** `specdojo bench SUITE...`: any number of models over a suite of tasks that bring their own tools. */
export const benchCommand = defineCommand({
  meta: {
    name: "bench",
    description:
      "Compare models on tool-calling suites; `bench convert NAME PATH` makes one from its original files",
  },
  args: {
    suite: {
      type: "positional",
      description: `Suites, JSON Lines; or \`convert NAME PATH\`, with ${suiteNames.join(", ")} and its original files`,
      required: true,
      valueHint: "...",
    },
    model: {
      type: "string",
      description:
        "An exported agent, a folder of weights, bundled, or URL#MODEL of an OpenAI-compatible endpoint; may be repeated",
    },
    ask: {
      type: "string",
      description: "native (tool calling), prompt (the solver's), or both; default: native for endpoints",
    },
    samples: { type: "string", description: "Answers per item, for pass@k and pass^k", default: "1" },
    temperature: { type: "string", description: "Default 0, and 0.7 for several samples" },
    "max-tokens": { type: "string", description: "Longest answer, in tokens" },
    extra: { type: "string", description: "Further fields of requests to endpoints, as a JSON object" },
    "api-key-env": {
      type: "string",
      description: "Environment variable with the endpoints' key",
      default: "OPENAI_API_KEY",
    },
    concurrency: { type: "string", description: "Requests to an endpoint at a time", default: "8" },
    retries: { type: "string", description: "Further tries of a request that failed", default: "4" },
    timeout: { type: "string", description: "Longest wait for an endpoint, in seconds", default: "120" },
    price: { type: "string", description: "Of a million tokens read and written, such as 0.15/0.60" },
    cache: { type: "string", description: "Folder in which all answers are kept for later runs" },
    fresh: { type: "boolean", description: "Do not go on with an interrupted run", default: false },
    trained: {
      type: "string",
      description: "A run's folder, or JSON Lines with questions trained on; such items are left out",
    },
    page: { type: "string", description: "Write the failure analysis as an HTML page" },
    out: { type: "string", description: "With convert: the file to write; default NAME.jsonl" },
    seed: { type: "string", description: "Seed of the intervals and of sampling", default: "0" },
    python: { type: "string", description: "Python interpreter for the worker" },
    json: { type: "boolean", description: "Print results and totals as JSON", default: false },
  },
  async run({ args, rawArgs }) {
    const [first, ...more] = args._;
    if (first === "convert") return await convert(more, args.out, args.json);
    const names = [
      ...new Set([...repeated(rawArgs, "--model"), ...(args.model === undefined ? [] : [args.model])]),
    ];
    if (names.length === 0)
      throw new SpecdojoError("invalid-option", "No model is given.", {
        place: "--model",
        remedy: "Give --model, once for each model. See --help.",
      });
    const samples = wholeNumber(args.samples, "--samples", 1);
    const settings: Settings = {
      apiKey: process.env[args["api-key-env"]],
      concurrency: wholeNumber(args.concurrency, "--concurrency", 1),
      retries: wholeNumber(args.retries, "--retries", 0),
      timeout: positive(args.timeout, "--timeout") * 1000,
      maxTokens:
        args["max-tokens"] === undefined ? undefined : wholeNumber(args["max-tokens"], "--max-tokens", 1),
      temperature:
        args.temperature === undefined
          ? samples > 1
            ? 0.7
            : 0
          : positive(args.temperature, "--temperature"),
      seed: Number.isInteger(Number(args.seed)) ? Number(args.seed) : 0,
      extra: readExtra(args.extra),
      asks: readAsks(args.ask),
    };
    if (samples > 1 && settings.temperature === 0)
      throw new SpecdojoError("invalid-option", "Greedy answers are all the same.", {
        place: "--temperature",
        remedy: "Give a temperature above 0 for several samples, or --samples 1.",
      });
    const prices = readPrices(args.price);
    const trained =
      args.trained === undefined ? undefined : new TrainedQuestions(await readTrained(args.trained));
    const say = (line: string) => process.stderr.write(`${line}\n`);
    const suites: Survey[] = [];
    for (const path of new Set(args._)) suites.push(await survey(path, trained));
    for (const { path, goldFaults } of suites)
      if (goldFaults.length > 0)
        say(
          `${path}: ${goldFaults.length} gold answers cannot be given, such as ${goldFaults[0]?.id}, which ${goldFaults[0]?.problem}`,
        );
    const progress = process.stderr.isTTY
      ? terminalProgress(process.stderr, () => Date.now())
      : plainProgress(say, () => Date.now());
    const spools: Spool[] = [];
    let local: LocalModels | undefined;
    try {
      const models: BenchModel[] = [];
      for (const name of names) {
        if (/^https?:\/\//i.test(name)) models.push(...(await openEndpoint(name, settings)));
        else {
          local ??= await startLocalModels({ python: args.python, onProgress: say });
          models.push(...(await openLocal(name, local, settings)));
        }
      }
      const reports: BenchReport[] = [];
      for (const suite of suites) {
        const spool = new Spool();
        spools.push(spool);
        const { seed, cache, fresh } = args;
        const known = { models, samples, seed, prices, comparedWith: trained?.count ?? null };
        const title = suites.length > 1 ? `${nameOf(suite.path)}, ` : "";
        reports.push(await runSuite(suite, known, { title, cache, fresh, say, progress, spool }));
      }
      progress.end();
      if (args.page !== undefined) await writeFile(args.page, renderBench(reports, `specdojo ${version}`));
      if (args.json) await print(reports, spools);
      else process.stdout.write(reports.length > 1 ? suitesText(reports) : reports.map(benchText).join(""));
    } finally {
      for (const spool of spools) spool.close();
      await local?.close();
    }
  },
});
