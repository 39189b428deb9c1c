import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { defineCommand } from "citty";
import { exportGguf, type GgufType, ggufTypes, writeGguf } from "../agent/gguf/export.js";
import { ggufFile } from "../agent/gguf/file.js";
import { agentFolder } from "../agent/index.js";
import { bundledModelDir } from "../rollout/model-files.js";
import { SpecdojoError } from "../util/errors.js";

/** `specdojo export DIR --format gguf`: the solver as a file that runs in a Node process, without Python. */
export const exportCommand = defineCommand({
  meta: {
    name: "export",
    description: "Write an agent's solver as a GGUF file, which runs in a Node process without Python",
  },
  args: {
    dir: {
      type: "positional",
      description: "Folder of a finished run, of an exported agent or of a model, or bundled",
      required: true,
    },
    format: { type: "string", description: "Format of the file: gguf", default: "gguf" },
    type: { type: "string", description: `Type of the weights: ${ggufTypes.join(", ")}`, default: "auto" },
    out: { type: "string", description: "The file; default: in the agent's folder" },
    python: { type: "string", description: "Python interpreter with the worker's packages and gguf" },
    json: { type: "boolean", description: "Print the result as JSON", default: false },
  },
  async run({ args }) {
    if (args.format !== "gguf")
      throw new SpecdojoError("invalid-option", `There is no format ${JSON.stringify(args.format)}.`, {
        place: "--format",
        remedy: "Use --format gguf.",
      });
    const type = ggufTypes.find((known): known is GgufType => known === args.type);
    if (type === undefined)
      throw new SpecdojoError("invalid-option", `There is no type ${JSON.stringify(args.type)}.`, {
        place: "--type",
        remedy: `Use one of ${ggufTypes.join(", ")}.`,
      });
    const options = {
      type,
      python: args.python,
      onProgress: (line: string) => process.stderr.write(`${line}\n`),
    };
    const dir = args.dir === "bundled" ? bundledModelDir() : agentFolder(args.dir);
    const isAgent = existsSync(join(dir, "agent.json"));
    if (!isAgent && !existsSync(join(dir, "config.json")))
      throw new SpecdojoError("agent-missing", "There is neither an exported agent nor a model here.", {
        place: args.dir,
        remedy: "Name the folder of a finished run, of an exported agent or of a model.",
      });
    if (!isAgent && args.out === undefined)
      throw new SpecdojoError("invalid-option", "A model's folder is not written to.", {
        place: "--out",
        remedy: "Name the file with --out.",
      });
    const file = resolve(args.out ?? join(dir, ggufFile));
    const written =
      args.out === undefined
        ? await exportGguf(dir, options)
        : await writeGguf({ ...options, model: isAgent ? join(dir, "model") : dir, out: file });
    if (args.json) console.log(JSON.stringify({ file, ...written }));
    else
      console.log(
        `${(written.parameters / 1e6).toFixed(1)} M parameters as ${written.type}, ${(written.bytes / 1e6).toFixed(1)} MB: ${file}`,
      );
  },
});
