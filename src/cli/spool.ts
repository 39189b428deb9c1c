import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchReport } from "../evaluate/bench.js";
import { linesOf } from "../evaluate/lines.js";

/** Results wait in files until the totals are known, so that a suite of any size fits in memory. */
export class Spool {
  readonly #folder = mkdtempSync(join(tmpdir(), "specdojo-bench-"));
  readonly #files = new Map<number, { fd: number; text: string }>();

  path(model: number): string {
    return join(this.#folder, `${model}.jsonl`);
  }

  write(model: number, result: object): void {
    let file = this.#files.get(model);
    if (file === undefined) {
      file = { fd: openSync(this.path(model), "w"), text: "" };
      this.#files.set(model, file);
    }
    file.text += `${JSON.stringify(result)}\n`;
    if (file.text.length > 1 << 16) this.#flush(file);
  }

  #flush(file: { fd: number; text: string }): void {
    writeSync(file.fd, file.text);
    file.text = "";
  }

  /** Writes the report as JSON with the results in their places. */
  async print(report: BenchReport & { legend?: object }, out: NodeJS.WritableStream): Promise<void> {
    const { models, ...rest } = report;
    let text = `${JSON.stringify(rest).slice(0, -1)},"models":[`;
    for (const [i, { label, totals }] of models.entries()) {
      text += `${i === 0 ? "" : ","}${JSON.stringify({ label, totals }).slice(0, -1)},"results":[`;
      let first = true;
      const file = this.#files.get(i);
      if (file !== undefined) this.#flush(file);
      if (file !== undefined)
        for await (const line of linesOf(this.path(i))) {
          text += first ? line : `,${line}`;
          first = false;
          if (text.length < 1 << 16) continue;
          if (!out.write(text)) await new Promise((drained) => out.once("drain", drained));
          text = "";
        }
      text += "]}";
    }
    out.write(`${text}]}`);
  }

  close(): void {
    for (const { fd } of this.#files.values()) closeSync(fd);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
