#!/usr/bin/env node
import { stripVTControlCharacters } from "node:util";
import { type ArgsDef, type CommandDef, defineCommand, parseArgs, renderUsage, runCommand } from "citty";
import colors from "picocolors";
import { SpecdojoError } from "./util/errors.js";
import { version } from "./version.js";

// Each is loaded when it is used. Each has arguments of its own type; here only what all have in common counts.
const commands = {
  bootstrap: async () => (await import("./cli/bootstrap.js")).bootstrapCommand,
  menu: async () => (await import("./cli/menu.js")).menuCommand,
  diff: async () => (await import("./cli/diff.js")).diffCommand,
  eval: async () => (await import("./cli/eval.js")).evalCommand,
  bench: async () => (await import("./cli/bench.js")).benchCommand,
  tasks: async () => (await import("./cli/tasks.js")).tasksCommand,
  resume: async () => (await import("./cli/bootstrap.js")).resumeCommand,
  report: async () => (await import("./cli/report.js")).reportCommand,
  generate: async () => (await import("./cli/generate.js")).generateCommand,
  export: async () => (await import("./cli/export.js")).exportCommand,
  serve: async () => (await import("./cli/serve.js")).serveCommand,
  mock: async () => (await import("./cli/mock.js")).mockCommand,
  doctor: async () => (await import("./cli/doctor.js")).doctorCommand,
} as unknown as Record<string, () => Promise<CommandDef>>;

const main = defineCommand({
  meta: {
    name: "specdojo",
    version,
    description: "From an OpenAPI document to a tool-calling model of your own",
  },
  subCommands: commands,
});

/** Exit codes: 0 done, 1 an error, 130 stopped by the user. */
async function start(argv: string[]): Promise<number> {
  const [name] = argv;
  if (name === "--version" || name === "-v") {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  const command = name !== undefined && Object.hasOwn(commands, name) ? await commands[name]?.() : undefined;
  if (command === undefined || argv.includes("--help") || argv.includes("-h")) {
    const usage = command === undefined ? await renderUsage(main) : await renderUsage(command, main);
    const asked = name === undefined || name === "--help" || name === "-h" || command !== undefined;
    const stream = asked ? process.stdout : process.stderr;
    const text = `${asked ? "" : `Unknown command ${JSON.stringify(name)}.\n\n`}${usage}\n`;
    stream.write(stream.isTTY ? text : stripVTControlCharacters(text));
    return asked ? 0 : 1;
  }
  checkOptions(command, argv.slice(1));
  checkPositionals(command, argv.slice(1));
  await runCommand(command, { rawArgs: argv.slice(1) });
  return Number(process.exitCode ?? 0);
}

/** citty takes any option; a misspelled one must not be passed over. */
function checkOptions(command: CommandDef, argv: readonly string[]): void {
  const known = Object.entries((command.args ?? {}) as ArgsDef).flatMap(([name, { type }]) =>
    type === "positional" ? [] : [name],
  );
  const end = argv.indexOf("--");
  for (const arg of end < 0 ? argv : argv.slice(0, end)) {
    const name = /^--(?:no-)?([^=]+)/.exec(arg)?.[1];
    if (name === undefined || known.includes(name)) continue;
    throw new SpecdojoError("invalid-option", `There is no option --${name}`, {
      remedy: `The options are: ${known.map((option) => `--${option}`).join(", ")}. See --help.`,
    });
  }
}

/** Nor one word too many, unless a command takes any number of them, as the hint `...` says. */
function checkPositionals(command: CommandDef, argv: string[]): void {
  const definitions = (command.args ?? {}) as ArgsDef;
  const positionals = Object.values(definitions).filter(({ type }) => type === "positional");
  if (positionals.some(({ valueHint }) => valueHint === "...")) return;
  const wanted = positionals.length;
  const extra = parseArgs(argv, definitions)._[wanted];
  if (extra === undefined) return;
  throw new SpecdojoError("invalid-option", `${JSON.stringify(extra)} is one argument too many`, {
    remedy: "Folders and files other than the first are given with options. See --help.",
  });
}

/** What comes from a document or a file cannot move the cursor or colour the terminal. */
const visible = (text: string): string => text.replaceAll(/(?!\n)\p{Cc}/gu, " ");

function show(error: unknown): number {
  if (SpecdojoError.isInstance(error)) {
    const stopped = error.code === "stopped";
    const parts = [
      stopped ? error.message : `${colors.red("error")} ${visible(error.message)}`,
      ...(error.place === undefined || error.message.includes(error.place)
        ? []
        : [`  at      ${visible(error.place)}`]),
      ...(error.remedy === undefined ? [] : [`  ${stopped ? "" : "remedy  "}${visible(error.remedy)}`]),
    ];
    process.stderr.write(`${parts.join("\n")}\n`);
    return stopped ? 130 : 1;
  }
  // citty's own messages about arguments are for people; anything else is a fault of ours and shows its stack.
  const usage = error instanceof Error && error.name === "CLIError";
  const text = error instanceof Error ? (usage ? error.message : error.stack) : String(error);
  process.stderr.write(`${colors.red("error")} ${text}\n${usage ? "  remedy  See --help.\n" : ""}`);
  return 1;
}

// Who reads the output may stop early (`| head`); that is no error of this program.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

start(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.exitCode = show(error);
  },
);
