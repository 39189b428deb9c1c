import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { defineCommand } from "citty";
import { loadReportData } from "../report/load.js";
import { renderReport } from "../report/render.js";
import { SpecdojoError } from "../util/errors.js";

/** `specdojo report DIR`: writes the report page of a run or an exported agent again. */
export const reportCommand = defineCommand({
  meta: { name: "report", description: "Write report.html from a run's folder or an exported agent" },
  args: {
    dir: {
      type: "positional",
      description: "Folder with evaluation.json, metrics.jsonl or both",
      required: true,
    },
    out: {
      type: "string",
      description:
        "Where to write the page; default: report.html in the run's folder, or here for an agent's",
    },
    json: { type: "boolean", description: "Print the result as JSON", default: false },
  },
  async run({ args }) {
    const data = await loadReportData(args.dir, "specdojo report");
    // An exported agent's files are listed with their hashes: what is written there would damage it.
    const out =
      args.out ?? (existsSync(join(args.dir, "agent.json")) ? "report.html" : join(args.dir, "report.html"));
    const page = renderReport(data);
    await writeFile(out, page).catch((cause: unknown) => {
      throw new SpecdojoError("report-unwritable", `cannot write ${out}`, {
        place: out,
        remedy: "Name another file with --out.",
        cause,
      });
    });
    const bytes = Buffer.byteLength(page);
    process.stdout.write(
      args.json ? `${JSON.stringify({ report: out, bytes })}\n` : `${out} (${Math.ceil(bytes / 1024)} KiB)\n`,
    );
  },
});
