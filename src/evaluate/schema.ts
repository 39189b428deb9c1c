import { z } from "zod";
import { failureKinds } from "./score.js";
import { valueFaults } from "./values.js";

const share = z.number().min(0).max(1);
const count = z.number().int().min(0);
const interval = z.object({ low: z.number(), high: z.number() });

const callSchema = z.object({ name: z.string(), arguments: z.record(z.string(), z.json()) });

const failureSchema = z.object({
  kind: z.enum(failureKinds),
  tool: z.string().optional(),
  argument: z.string().optional(),
  fault: z.enum(valueFaults).optional(),
  want: z.json().optional(),
  got: z.json().optional(),
});

/** How one model did on some tasks. Shares are null when there is nothing to take a share of. */
const summarySchema = z.object({
  tasks: count,
  correct: count,
  accuracy: share.nullable(),
  /** 95 % Wilson interval of the accuracy. */
  interval,
  /** Share of tasks with exactly the right tools. */
  toolChoice: share.nullable(),
  /** Means of the parts of the scores. */
  name: share.nullable(),
  keyF1: share.nullable(),
  value: share.nullable(),
  /** Share of tasks with the right number of calls, and how far calls keep the gold order. */
  count: share.nullable().optional(),
  order: share.nullable().optional(),
  /** The tasks whose arguments are known: whole calls right. The others count for the choice of tools only. */
  whole: z.object({ tasks: count, correct: count, accuracy: share.nullable(), interval }).optional(),
});
export type Summary = z.infer<typeof summarySchema>;

const differenceSchema = interval.extend({ value: z.number(), gained: count, lost: count, p: share });

const answerSchema = z.object({
  /** Null when the text could not be read as an answer. */
  calls: z.array(callSchema).nullable(),
  /** What the model wrote, cut to 2,000 characters. */
  text: z.string(),
  correct: z.boolean(),
  failures: z.array(failureSchema),
});
export type EvaluatedAnswer = z.infer<typeof answerSchema>;

const groupSchema = z.object({
  /** Name of a domain or tool. */
  name: z.string(),
  base: summarySchema.nullable(),
  tuned: summarySchema,
});
export type EvaluatedGroup = z.infer<typeof groupSchema>;

const kindCounts = z.object({
  /** Number of tasks that show the kind of failure at least once. */
  byKind: z.partialRecord(z.enum(failureKinds), count),
  /** Number of wrong values by kind of mistake. */
  byFault: z.partialRecord(z.enum(valueFaults), count),
});
export type FailureCounts = z.infer<typeof kindCounts>;

const baselineSchema = z.object({
  /** For example `supervised`. */
  name: z.string(),
  summary: summarySchema,
  /** The tuned model minus this one, on the same tasks. */
  difference: differenceSchema,
});
export type Baseline = z.infer<typeof baselineSchema>;

/** What `evaluation.json` holds. */
export const evaluationSchema = z.object({
  format: z.literal("specdojo-evaluation-1"),
  api: z.object({ title: z.string(), version: z.string() }),
  tasks: z.object({
    /** `user`: a person's own tasks; `held-out`: written by templates that training never sees. */
    origin: z.enum(["user", "held-out"]),
    /** Number of tasks that were scored. */
    count,
    /** Of these, tasks whose arguments are not known: only the choice of tools counts. */
    toolChoiceOnly: count,
    /** Who wrote the tasks, with the number of tasks, as they say themselves. */
    writers: z.array(z.object({ source: z.string(), tasks: count })),
    /** Tasks left out because they, or near-duplicates, were trained on. */
    excluded: z.array(
      z.object({ id: z.string(), question: z.string(), trained: z.string(), similarity: share }),
    ),
    /** Number of training questions that the tasks were compared with; null when none were given. */
    comparedWith: count.nullable(),
    /** Gold calls that contradict the document: no answer that the document allows can be right. */
    goldFaults: z
      .array(z.object({ id: z.string(), tool: z.string(), pointer: z.string(), message: z.string() }))
      .optional(),
  }),
  /** What was asked: the folder of the agent, and the model that it is compared with. */
  models: z.object({ base: z.string().nullable(), tuned: z.string() }).optional(),
  /** Seed of the bootstrap. */
  seed: z.union([z.number(), z.string()]),
  overall: z.object({
    base: summarySchema.nullable(),
    tuned: summarySchema,
    /** Tuned minus base: 95 % paired bootstrap interval; exact McNemar p; tasks that only one model answered right. */
    difference: differenceSchema.nullable(),
    /** The same for tasks whose arguments are known, and for the choice of tools in all tasks. */
    wholeDifference: differenceSchema.nullable().optional(),
    toolChoiceDifference: differenceSchema.nullable().optional(),
  }),
  /** Other ways to train on the same tasks, measured on the same questions. */
  baselines: z.array(baselineSchema).default([]),
  /** Right answers on requests about made-up APIs that no training has seen: what was forgotten. Null when not measured. */
  otherApis: z
    .object({ tasks: count, base: share, tuned: share, source: z.string() })
    .nullable()
    .default(null),
  domains: z.array(groupSchema),
  operations: z.array(groupSchema),
  failures: z.object({ base: kindCounts.nullable(), tuned: kindCounts }),
  /** Every task with the models' answers, in the order of the task file. */
  items: z.array(
    z.object({
      id: z.string(),
      question: z.string(),
      gold: z.array(callSchema),
      argsKnown: z.boolean(),
      base: answerSchema.nullable(),
      tuned: answerSchema,
    }),
  ),
});
export type Evaluation = z.infer<typeof evaluationSchema>;
