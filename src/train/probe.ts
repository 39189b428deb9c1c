import type { SamplingClient } from "../backend/types.js";
import { type CrossVerification, crossVerify } from "../curriculum/index.js";
import type { Tool } from "../openapi/types.js";
import { type RolloutGroup, sampleGroups } from "../rollout/rollout.js";
import {
  parseCalls,
  type Rejection,
  shownTools,
  solverMessages,
  type Task,
  type ToolCall,
} from "../task/index.js";
import type { StepContext } from "./context.js";

/** What a Solver wrote on one task. */
export interface SolvedGroup {
  task: Task;
  rollouts: RolloutGroup;
  answers: (ToolCall[] | Rejection)[];
  check: CrossVerification;
}

export interface SolveOptions {
  sampler: SamplingClient;
  /** Samples per task. */
  count: number;
  seed: string;
  /** The tools to show for a task; default: the specification's. */
  tools?: (task: Task) => readonly Tool[];
  onProgress?: (done: number, total: number) => void;
}

/** Samples a group of answers for each task, in one batch, and compares them with the task's own answer. */
export async function solve(
  context: StepContext,
  tasks: readonly Task[],
  options: SolveOptions,
): Promise<SolvedGroup[]> {
  const { config, menu, tokenizer, signal } = context;
  if (tasks.length === 0) return [];
  const toolsOf = options.tools ?? ((task: Task) => shownTools(task, menu));
  const groups = await sampleGroups(
    options.sampler,
    tokenizer,
    tasks.map((task, index) => ({
      id: `${index}:${task.id}`,
      messages: solverMessages(toolsOf(task), task.question, config.prompts),
    })),
    {
      count: options.count,
      maxTokens: config.solver.maxTokens,
      temperature: config.temperature,
      seed: options.seed,
      signal,
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    },
  );
  return groups.map((rollouts, index) => {
    const task = tasks[index] as Task;
    const answers = rollouts.samples.map(({ text }) => parseCalls(text));
    return { task, rollouts, answers, check: crossVerify(task, answers, { tools: menu.tools }) };
  });
}
