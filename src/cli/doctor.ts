import { defineCommand } from "citty";
import pc from "picocolors";
import { type Check, diagnose } from "../backend/diagnose.js";
import { bundledModelDir, missingParts } from "../rollout/model-files.js";
import { loadTokenizer } from "../rollout/tokenizer.js";
import { SpecdojoError } from "../util/errors.js";

/** `specdojo doctor`: whether this machine has what a run needs. Exit code 1 when something is amiss. */
export const doctorCommand = defineCommand({
  meta: { name: "doctor", description: "Check Node, Python, PyTorch, disk and the bundled model" },
  args: {
    python: { type: "string", description: "Check this interpreter instead of the managed environment" },
    out: { type: "string", description: "Folder that runs are written to", default: "." },
    json: { type: "boolean", description: "Print JSON", default: false },
  },
  async run({ args }) {
    const checks = await diagnose({ outDir: args.out, ...(args.python ? { python: args.python } : {}) });
    checks.push(await checkModel(bundledModelDir()));
    const ok = checks.every(({ status }) => status === "ok");
    process.stdout.write(args.json ? `${JSON.stringify({ ok, checks })}\n` : doctorText(checks));
    if (!ok) process.exitCode = 1;
  },
});

/** One line per check, with the remedy below a problem. */
export function doctorText(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map(({ name, status, detail, remedy }) => {
    const mark = status === "ok" ? pc.green("ok     ") : pc.red("problem");
    const line = `${mark}  ${name.padEnd(width)}  ${detail}`;
    return remedy === undefined ? line : `${line}\n${" ".repeat(width + 11)}${pc.bold("→")} ${remedy}`;
  });
  const problems = checks.filter(({ status }) => status === "problem").length;
  lines.push(problems === 0 ? "All is well." : `${problems} ${problems === 1 ? "problem" : "problems"}.`);
  return `${lines.join("\n")}\n`;
}

/** Whether a model's folder is complete and its tokenizer can be read. */
export async function checkModel(dir: string): Promise<Check> {
  const name = "bundled model";
  const remedy = "Install the package again, or name a model with --model.";
  try {
    const missing = await missingParts(dir).catch(() => ["everything"]);
    if (missing.length > 0)
      return { name, status: "problem", detail: `${dir} lacks ${missing.join(", ")}`, remedy };
    const { size } = await loadTokenizer(dir);
    return { name, status: "ok", detail: `${dir}, ${size} tokens` };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return {
      name,
      status: "problem",
      detail,
      remedy: (SpecdojoError.isInstance(error) && error.remedy) || remedy,
    };
  }
}
