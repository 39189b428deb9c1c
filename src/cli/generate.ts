import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { defineCommand } from "citty";
import { generateClient, generatedNotice } from "../agent/generate-client.js";
import { buildToolMenu, loadOpenApi } from "../openapi/index.js";
import { SpecdojoError } from "../util/errors.js";

/** `specdojo generate FILE --out DIR`: the typed client of a document. */
export const generateCommand = defineCommand({
  meta: { name: "generate", description: "Write a typed client for an OpenAPI document" },
  args: {
    file: { type: "positional", description: "OpenAPI document (YAML or JSON)", required: true },
    out: { type: "string", description: "Folder for the client", required: true },
    language: { type: "string", description: "ts: sources; js: modules with declarations", default: "ts" },
    json: { type: "boolean", description: "Print the result as JSON", default: false },
  },
  async run({ args }) {
    const { language } = args;
    if (language !== "ts" && language !== "js")
      throw new SpecdojoError(
        "invalid-option",
        `${JSON.stringify(language)} is not a language of the client.`,
        {
          place: "--language",
          remedy: "Use ts or js.",
        },
      );
    const menu = buildToolMenu(await loadOpenApi(args.file));
    const files = generateClient(menu, { language });
    const dir = resolve(args.out);
    await checkFolder(dir, files);
    await mkdir(dir, { recursive: true });
    for (const [name, text] of files) await writeFile(join(dir, name), text);
    const names = [...files.keys()];
    if (args.json) console.log(JSON.stringify({ dir, files: names, operations: menu.tools.length }));
    else console.log(`${menu.tools.length} operations of ${menu.title}: ${names.join(", ")} in ${args.out}`);
  },
});

/** Overwrites what `generate` wrote before, and nothing else. */
async function checkFolder(dir: string, files: ReadonlyMap<string, string>): Promise<void> {
  for (const name of files.keys()) {
    const place = join(dir, name);
    const text = await readFile(place, "utf8").catch(() => undefined);
    if (text !== undefined && !text.startsWith(generatedNotice))
      throw new SpecdojoError(
        "unusable-folder",
        `${JSON.stringify(name)} is there already and was not generated.`,
        {
          place,
          remedy: "Give the client a folder of its own with --out.",
        },
      );
  }
}
