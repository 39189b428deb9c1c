import type { MeasuredTask } from "./select.js";

/** Measured success on one operation. */
export interface OperationPassRate {
  operation: string;
  /** Mean over the operation's tasks, in [0, 1]. */
  passRate: number;
  tasks: number;
}

/** Mean pass rate per operation; a task of two calls counts for both. */
export function passRatesByOperation(measured: Iterable<MeasuredTask>): OperationPassRate[] {
  const sums = new Map<string, { sum: number; tasks: number }>();
  for (const { task, passRate } of measured)
    for (const name of new Set(task.answer.map((call) => call.name))) {
      const entry = sums.get(name) ?? { sum: 0, tasks: 0 };
      entry.sum += passRate;
      entry.tasks++;
      sums.set(name, entry);
    }
  return [...sums].map(([operation, { sum, tasks }]) => ({ operation, passRate: sum / tasks, tasks }));
}

/**
 * Weights for the next iteration's specifications: `floor + 1 - p`, with p the pass rate drawn towards 1/2 by
 * `prior` imaginary tasks, so that one lucky sample does not decide. What the Solver masters is still practised at
 * `floor`; an operation that is not listed keeps the generator's default of 1.
 */
export function operationWeights(
  passRates: Iterable<OperationPassRate>,
  { floor = 0.25, prior = 2 }: { floor?: number; prior?: number } = {},
): Record<string, number> {
  const weights: [string, number][] = [];
  for (const { operation, passRate, tasks } of passRates) {
    const smoothed = (passRate * tasks + prior / 2) / (tasks + prior);
    weights.push([operation, floor + 1 - smoothed]);
  }
  return Object.fromEntries(weights);
}
