import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { evaluationSchema } from "../evaluate/schema.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject } from "../util/json.js";
import { metricLineSchema, type ReportData, trainingSampleSchema } from "./data.js";

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR"))
      return undefined;
    throw new SpecdojoError("report-unreadable", `cannot read ${path}`, {
      place: path,
      remedy: "Check its rights.",
      cause,
    });
  }
}

function broken(place: string, why: string): SpecdojoError {
  return new SpecdojoError("report-data-invalid", `${place}: ${why}`, {
    place,
    remedy:
      "The file was not written by this version of specdojo, or was changed; write it again or take it away.",
  });
}

function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw broken(place, error instanceof Error ? error.message : "not JSON");
  }
}

function check<T>(schema: z.ZodType<T>, value: unknown, place: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw broken(
    place,
    issue === undefined ? "not valid" : `/${issue.path.map(String).join("/")}: ${issue.message}`,
  );
}

/** Lines of a log that is appended to. A last line that was cut off, as by a killed run, is left out. */
function readLog<T>(schema: z.ZodType<T>, text: string | undefined, path: string): T[] {
  const lines = (text ?? "").split("\n");
  const cutOff = lines.pop();
  const rows = lines.flatMap((line, i) =>
    line.trim() === "" ? [] : [check(schema, parseJson(line, `${path}:${i + 1}`), `${path}:${i + 1}`)],
  );
  if (cutOff !== undefined && cutOff.trim() !== "") {
    try {
      rows.push(check(schema, JSON.parse(cutOff), path));
    } catch {
      return rows;
    }
  }
  return rows;
}

const manifestPart = z.object({
  api: z.object({ title: z.string(), version: z.string() }).optional(),
  baseModel: z.object({ name: z.string() }).optional(),
  training: z.record(z.string(), z.json()).optional(),
});

/**
 * What the report shows, from the files of a run's folder or an exported agent's: `evaluation.json`, `metrics.jsonl`,
 * `rollouts.jsonl` (see `trainingSampleSchema`), `config.json`, and `agent.json` for the API's name and the summary of
 * the training. Any may be missing, but not both the evaluation and the metrics.
 */
export async function loadReportData(dir: string, writtenBy: string): Promise<ReportData> {
  const at = (name: string) => join(dir, name);
  const [evaluationText, metricsText, samplesText, configText, manifestText] = await Promise.all(
    ["evaluation.json", "metrics.jsonl", "rollouts.jsonl", "config.json", "agent.json"].map((name) =>
      readOptional(at(name)),
    ),
  );
  const evaluationValue =
    evaluationText === undefined ? null : parseJson(evaluationText, at("evaluation.json"));
  const evaluation =
    evaluationValue === null ? null : check(evaluationSchema, evaluationValue, at("evaluation.json"));
  const metrics = readLog(metricLineSchema, metricsText, at("metrics.jsonl"));
  if (evaluation === null && metrics.length === 0)
    throw new SpecdojoError("report-no-data", `${dir} has neither evaluation.json nor metrics.jsonl`, {
      place: dir,
      remedy: "Give the folder of a run or of an exported agent.",
    });
  const manifest =
    manifestText === undefined
      ? {}
      : check(manifestPart, parseJson(manifestText, at("agent.json")), at("agent.json"));
  const config = configText === undefined ? {} : parseJson(configText, at("config.json"));
  if (!isObject(config)) throw broken(at("config.json"), "not an object");
  return {
    api: evaluation?.api ?? manifest.api ?? { title: "API", version: "unknown" },
    writtenBy,
    evaluation,
    metrics,
    samples: readLog(trainingSampleSchema, samplesText, at("rollouts.jsonl")),
    config: check(
      z.record(z.string(), z.json()),
      {
        ...(manifest.baseModel === undefined ? {} : { "base model": manifest.baseModel.name }),
        ...(manifest.training ?? {}),
        ...config,
      },
      at("config.json"),
    ),
  };
}
