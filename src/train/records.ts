import { z } from "zod";
import type { MeasuredTask } from "../curriculum/index.js";
import { readJsonLines } from "../util/files.js";
import type { RunDirectory } from "./run-directory.js";

const call = z.object({ name: z.string(), arguments: z.record(z.string(), z.json()) });

const measuredTask = z.object({
  task: z.object({
    id: z.string(),
    spec: z.object({
      id: z.string(),
      domain: z.string(),
      context: z.enum(["single_turn", "multi_turn"]),
      tools: z.array(z.string()),
      answer: z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("given"), calls: z.array(call) }),
        z.object({ kind: z.literal("free"), calls: z.int() }),
      ]),
    }),
    question: z.string(),
    tools: z.array(z.string()),
    answer: z.array(call),
  }),
  passRate: z.number().min(0).max(1),
});

/** The tasks that the Solver is trained on in an iteration (from 0), easy to hard. */
export const readTasks = (run: RunDirectory, iteration: number): Promise<MeasuredTask[]> =>
  readJsonLines(run.path(`iteration-${iteration + 1}`, "tasks.jsonl"), measuredTask);

/** All verified candidates of an iteration with the frozen Solver's pass rates. */
export const readCandidates = (run: RunDirectory, iteration: number): Promise<MeasuredTask[]> =>
  readJsonLines(run.path(`iteration-${iteration + 1}`, "measured.jsonl"), measuredTask);
