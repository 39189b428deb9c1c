import type { Tool } from "../openapi/types.js";
import { answerKey } from "../task/equality.js";
import { reject } from "../task/rejection.js";
import type { Rejection, Task, ToolCall } from "../task/types.js";

export interface CrossVerification {
  /** Share of the samples that equal the task's answer as whole calls, in [0, 1]. */
  passRate: number;
  /** Number of samples, K. */
  samples: number;
  /** Share of the samples that agree on the most frequent other answer. */
  otherAgreement: number;
  /** Set when the Solver refutes the task. */
  rejection: Rejection | null;
}

export interface CrossVerifyOptions {
  /** Give the types by which values are compared. */
  tools?: readonly Tool[];
  /** Share of the samples on one other answer that refutes a task whose own answer was never given. */
  refuteAt?: number;
}

/**
 * Compares a task's answer with the frozen Solver's samples, call by call with names and arguments. A weak Solver
 * fails hard tasks and wrong ones alike, so failing is not enough: a task is refuted when no sample gives its answer
 * and at least half of them agree on another one. An answer that cannot be read agrees with nothing.
 */
export function crossVerify(
  task: Pick<Task, "answer">,
  samples: readonly (readonly ToolCall[] | Rejection)[],
  { tools, refuteAt = 0.5 }: CrossVerifyOptions = {},
): CrossVerification {
  const own = answerKey(task.answer, tools);
  const others = new Map<string, number>();
  let passes = 0;
  for (const sample of samples) {
    if (!Array.isArray(sample)) continue;
    const key = answerKey(sample as readonly ToolCall[], tools);
    if (key === own) passes++;
    else others.set(key, (others.get(key) ?? 0) + 1);
  }
  const count = samples.length;
  const [rival = "", agreeing = 0] = [...others].sort(([, a], [, b]) => b - a)[0] ?? [];
  const refuted = count > 0 && passes === 0 && agreeing / count >= refuteAt;
  return {
    passRate: count === 0 ? 0 : passes / count,
    samples: count,
    otherAgreement: count === 0 ? 0 : agreeing / count,
    rejection: refuted
      ? reject("refuted", "", `${agreeing} of ${count} samples agree on ${rival === "" ? "no call" : rival}`)
      : null,
  };
}
