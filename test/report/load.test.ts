import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "citty";
import { afterEach, expect, test, vi } from "vitest";
import { reportCommand } from "../../src/cli/report.js";
import { loadReportData } from "../../src/report/load.js";
import { hostileReport } from "./data.js";

afterEach(() => {
  vi.restoreAllMocks();
});

const line = (step: number) =>
  JSON.stringify({ step, iteration: 1, role: "solver", phase: "train", reward: 0.5, note: "x" });

async function folder(files: Record<string, string>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "specdojo-report-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  return dir;
}

test("a run's folder", async () => {
  const { evaluation, samples } = await hostileReport();
  const dir = await folder({
    "evaluation.json": JSON.stringify(evaluation),
    "metrics.jsonl": `${line(1)}\n${line(2)}\n`,
    "rollouts.jsonl": `${JSON.stringify(samples[0])}\n`,
    "config.json": '{"seed":7}',
    "agent.json": JSON.stringify({ baseModel: { name: "bundled" }, training: { steps: 4 }, files: {} }),
  });
  const data = await loadReportData(dir, "test");
  expect(data.evaluation).toEqual(evaluation);
  expect(data.metrics.map((entry) => entry.step)).toEqual([1, 2]);
  expect(data.samples).toEqual(samples);
  expect(data.config).toEqual({ "base model": "bundled", steps: 4, seed: 7 });
});

test("metrics alone, the last line cut off by a killed run", async () => {
  const dir = await folder({ "metrics.jsonl": `${line(1)}\n${line(2).slice(0, 20)}` });
  const data = await loadReportData(dir, "test");
  expect(data).toMatchObject({ evaluation: null, api: { title: "API" } });
  expect(data.metrics).toHaveLength(1);
});

test("an agent that was not measured", async () => {
  const dir = await folder({ "evaluation.json": "null", "metrics.jsonl": line(1) });
  expect((await loadReportData(dir, "test")).evaluation).toBeNull();
});

test.each<[string, Record<string, string>, string, RegExp]>([
  ["nothing to show", { "config.json": "{}" }, "report-no-data", /neither/],
  [
    "a broken line inside",
    { "metrics.jsonl": `${line(1)}\n{oops\n${line(2)}\n` },
    "report-data-invalid",
    /metrics\.jsonl:2/,
  ],
  [
    "a line without its role",
    { "metrics.jsonl": '{"step":1,"iteration":1}\n' },
    "report-data-invalid",
    /\/role/,
  ],
  [
    "an evaluation of another shape",
    { "evaluation.json": "{}" },
    "report-data-invalid",
    /evaluation\.json: \/format/,
  ],
  [
    "a configuration that is a list",
    { "metrics.jsonl": line(1), "config.json": "[]" },
    "report-data-invalid",
    /not an object/,
  ],
])("%s is said with its place", async (_, files, code, message) => {
  const dir = await folder(files);
  await expect(loadReportData(dir, "test")).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  });
});

test("specdojo report writes the page into a run's folder", async () => {
  const written = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const dir = await folder({ "metrics.jsonl": line(1) });
  await runCommand(reportCommand, { rawArgs: [dir, "--json"] });
  const path = join(dir, "report.html");
  const page = await readFile(path, "utf8");
  expect(page).toContain("<!doctype html>");
  expect(JSON.parse(String(written.mock.calls[0]?.[0]))).toEqual({
    report: path,
    bytes: Buffer.byteLength(page),
  });
});

test("a page that cannot be written is said", async () => {
  const dir = await folder({ "metrics.jsonl": line(1) });
  await expect(
    runCommand(reportCommand, { rawArgs: [dir, "--out", join(dir, "no", "where.html")] }),
  ).rejects.toMatchObject({ code: "report-unwritable" });
});
