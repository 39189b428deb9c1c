#!/usr/bin/env node
import { type CommandDef, defineCommand, renderUsage, runCommand } from "citty";
import colors from "picocolors";
import { benchCommand } from "./cli/bench.js";
import { bootstrapCommand, resumeCommand } from "./cli/bootstrap.js";
import { doctorCommand } from "./cli/doctor.js";
import { evalCommand } from "./cli/eval.js";
import { generateCommand } from "./cli/generate.js";
import { menuCommand } from "./cli/menu.js";
import { reportCommand } from "./cli/report.js";
import { SpecdojoError } from "./util/errors.js";
import { version } from "./version.js";

// Each command has arguments of its own type; here only what all have in common counts.
const commands: Record<string, CommandDef> = {
  bootstrap: bootstrapCommand,
  menu: menuCommand,
  eval: evalCommand,
  bench: benchCommand,
  resume: resumeCommand,
  report: reportCommand,
  generate: generateCommand,
  doctor: doctorCommand,
} as unknown as Record<string, CommandDef>;

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
  const command = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined || argv.includes("--help") || argv.includes("-h")) {
    const usage = command === undefined ? await renderUsage(main) : await renderUsage(command, main);
    const asked = name === undefined || name.startsWith("-") || command !== undefined;
    (asked ? process.stdout : process.stderr).write(
      `${asked ? "" : `Unknown command ${JSON.stringify(name)}.\n\n`}${usage}\n`,
    );
    return asked ? 0 : 1;
  }
  await runCommand(command, { rawArgs: argv.slice(1) });
  return Number(process.exitCode ?? 0);
}

function show(error: unknown): number {
  if (SpecdojoError.isInstance(error)) {
    const stopped = error.code === "stopped";
    const parts = [
      stopped ? error.message : `${colors.red("error")} ${error.message}`,
      ...(error.place === undefined || error.message.includes(error.place)
        ? []
        : [`  at      ${error.place}`]),
      ...(error.remedy === undefined ? [] : [`  ${stopped ? "" : "remedy  "}${error.remedy}`]),
    ];
    process.stderr.write(`${parts.join("\n")}\n`);
    return stopped ? 130 : 1;
  }
  // citty's own messages about arguments are for people; anything else is a fault of ours and shows its stack.
  const usage = error instanceof Error && error.name === "CLIError";
  process.stderr.write(
    `${colors.red("error")} ${error instanceof Error ? (usage ? error.message : error.stack) : String(error)}\n`,
  );
  return 1;
}

start(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.exitCode = show(error);
  },
);
