import { z } from "zod";
import { evaluationSchema } from "../evaluate/schema.js";

/** One line of `metrics.jsonl`: where in the run it was measured, and any numbers. What is not a number is not drawn. */
export const metricLineSchema = z
  .object({
    /** Optimisation steps since the run began; never falls. */
    step: z.number().int().min(0),
    iteration: z.number().int().min(0),
    /** `generator` or `solver`. */
    role: z.string(),
    /** For example `train` or `evaluate`. */
    phase: z.string().optional(),
  })
  .catchall(z.unknown());
export type MetricLine = z.infer<typeof metricLineSchema>;

const callSchema = z.object({ name: z.string(), arguments: z.record(z.string(), z.json()) });

/** One line of `rollouts.jsonl`: a task of the training with what the Solver wrote on it. */
export const trainingSampleSchema = z.object({
  iteration: z.number().int().min(0),
  domain: z.string(),
  question: z.string(),
  answer: z.array(callSchema),
  /** Share of right answers among the rollouts, before training on the task. */
  passRate: z.number().min(0).max(1).optional(),
  rollouts: z.array(z.object({ text: z.string(), reward: z.number(), correct: z.boolean().optional() })),
});
export type TrainingSample = z.infer<typeof trainingSampleSchema>;

/** All that the report page shows. */
export const reportDataSchema = z.object({
  api: z.object({ title: z.string(), version: z.string() }),
  /** What wrote the page, e.g. `specdojo 0.1.0`. */
  writtenBy: z.string(),
  evaluation: evaluationSchema.nullable(),
  metrics: z.array(metricLineSchema),
  samples: z.array(trainingSampleSchema),
  /** The run's configuration; nested values are shown by their path. Must hold no secrets. */
  config: z.record(z.string(), z.json()),
});
export type ReportData = z.infer<typeof reportDataSchema>;
