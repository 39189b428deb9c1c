import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { defineCommand } from "citty";
import pc from "picocolors";
import { readMenu } from "../agent/index.js";
import {
  buildToolMenu,
  diffMenus,
  loadOpenApi,
  type MenuDiff,
  type MenuOptions,
  type ToolMenu,
} from "../openapi/index.js";
import { SpecdojoError } from "../util/errors.js";
import { readMenuOptions } from "./menu.js";

/** `specdojo diff OLD NEW`: what became of the tools, and what a trained model would notice. */
export const diffCommand = defineCommand({
  meta: {
    name: "diff",
    description: "Compare the tools of two documents, or of an exported agent and a document",
  },
  args: {
    old: {
      type: "positional",
      description: "OpenAPI document, or folder of an exported agent",
      required: true,
    },
    new: { type: "positional", description: "The same, newer", required: true },
    rendering: {
      type: "string",
      description: "What the model is shown of a tool: compact, or full with the whole schema",
      default: "compact",
    },
    config: {
      type: "string",
      description: "JSON file of a run's configuration; its `menu` counts for documents",
    },
    check: { type: "boolean", description: "Exit with 1 where a model would notice", default: false },
    json: { type: "boolean", description: "Print JSON", default: false },
  },
  async run({ args }) {
    const { rendering } = args;
    if (rendering !== "compact" && rendering !== "full")
      throw new SpecdojoError("invalid-option", `${JSON.stringify(rendering)} is no rendering of a tool`, {
        place: "--rendering",
        remedy: "Use compact or full.",
      });
    const options = await readMenuOptions(args.config);
    const [before, after] = [await menuOf(args.old, options), await menuOf(args.new, options)];
    const diff = diffMenus(before, after, { rendering });
    process.stdout.write(args.json ? `${JSON.stringify(diff)}\n` : diffText(diff));
    if (args.check && diff.noticed) process.exitCode = 1;
  },
});

async function menuOf(place: string, options: MenuOptions): Promise<ToolMenu> {
  const found = await stat(place).catch(() => undefined);
  if (found?.isDirectory() !== true) return buildToolMenu(await loadOpenApi(place), options);
  const file = join(place, "tools.json");
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new SpecdojoError("file-unreadable", "The folder holds no exported agent", {
      place: file,
      remedy: "Give the folder `agent` of a run, or an OpenAPI document.",
      cause,
    });
  });
  return readMenu(text, file);
}

/** The form for a person: what a model would notice first. */
export function diffText({ added, removed, changed, unchanged, noticed }: MenuDiff): string {
  const seen = changed.filter((one) => one.noticed.length > 0);
  const unseen = changed.filter((one) => one.noticed.length === 0);
  const lines = [
    `${added.length} added, ${removed.length} removed, ${changed.length} changed, ${unchanged} the same`,
    noticed
      ? "A model trained on the old tools would notice."
      : "A model trained on the old tools would notice nothing.",
  ];
  const section = (title: string, entries: string[][]): void => {
    if (entries.length > 0) lines.push("", pc.bold(title), ...entries.flat());
  };
  section(
    "Added",
    added.map(({ line }) => [pc.green(`  + ${visible(line)}`)]),
  );
  section(
    "Removed",
    removed.map(({ line }) => [pc.red(`  - ${visible(line)}`)]),
  );
  section(
    "Changed, and a model would notice",
    seen.map(({ line, noticed: parts, unnoticed, breaks }) => [
      ...(line.old === line.new
        ? [`    ${visible(line.new)}`]
        : [pc.red(`  - ${visible(line.old)}`), pc.green(`  + ${visible(line.new)}`)]),
      pc.dim(`    ${[...parts, ...unnoticed].join(", ")}`),
      ...breaks.map((why) => pc.yellow(`    ! ${visible(why)}`)),
    ]),
  );
  section(
    "Changed, and a model would not notice",
    unseen.map(({ name, unnoticed, breaks }) => [
      `    ${visible(name)} ${pc.dim(unnoticed.join(", "))}`,
      ...breaks.map((why) => pc.yellow(`    ! ${visible(why)}`)),
    ]),
  );
  return `${lines.join("\n")}\n`;
}

/** Text of the document cannot move the cursor or colour the terminal. */
function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, " ");
}
