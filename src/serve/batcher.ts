import type { CompleteOptions, CompletionUsage, Solver } from "../agent/solver.js";
import type { RenderableTool } from "../openapi/render.js";
import type { ChatMessage } from "../task/conversation.js";

interface Waiting {
  messages: readonly ChatMessage[];
  tools: readonly RenderableTool[];
  signal: AbortSignal;
  onUsage: ((usage: CompletionUsage) => void) | undefined;
  resolve(text: string): void;
  reject(error: unknown): void;
}

/**
 * A solver for many askers at a time: what arrives while it works is answered together, at most `size` prompts in one
 * batch. An asker who leaves is not waited for; a batch that all have left is stopped.
 */
export function batched(solver: Solver, size: number): Solver {
  /** By what a whole batch must have in common. */
  const queues = new Map<string, { options: CompleteOptions; waiting: Waiting[] }>();
  let running = false;
  let closed = false;

  async function run(): Promise<void> {
    if (running) return;
    running = true;
    // What arrives in the same turn of the event loop belongs together.
    await new Promise((resolve) => setImmediate(resolve));
    for (let next = queues.entries().next(); !next.done; next = queues.entries().next()) {
      const [key, queue] = next.value;
      const batch = queue.waiting.splice(0, size).filter(({ signal }) => !signal.aborted);
      // Others that wait get their turn before what is left of this queue.
      queues.delete(key);
      if (queue.waiting.length > 0) queues.set(key, queue);
      if (batch.length > 0) await answer(batch, queue.options);
    }
    running = false;
  }

  async function answer(batch: readonly Waiting[], options: CompleteOptions): Promise<void> {
    const all = new AbortController();
    let left = 0;
    const leave = (): void => {
      if (++left === batch.length) all.abort(batch[0]?.signal.reason);
    };
    for (const { signal } of batch) signal.addEventListener("abort", leave, { once: true });
    try {
      const texts = await solver.complete(
        batch.map(({ messages }) => messages),
        {
          ...options,
          tools: batch.map(({ tools }) => tools),
          signal: all.signal,
          onUsage: (index, usage) => batch[index]?.onUsage?.(usage),
        },
      );
      for (const [i, one] of batch.entries()) one.resolve(texts[i] ?? "");
    } catch (error) {
      for (const one of batch) one.reject(error);
    } finally {
      for (const { signal } of batch) signal.removeEventListener("abort", leave);
    }
  }

  function ask(messages: readonly ChatMessage[], index: number, options: CompleteOptions): Promise<string> {
    const { maxTokens, mustCall = false, onUsage } = options;
    const signal = options.signal ?? new AbortController().signal;
    return new Promise((resolve, reject) => {
      if (closed) return reject(new Error("The server is closing."));
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      const key = `${maxTokens} ${mustCall}`;
      const queue = queues.get(key) ?? { options: { maxTokens, mustCall }, waiting: [] };
      queues.set(key, queue);
      const usage = onUsage === undefined ? undefined : (told: CompletionUsage) => onUsage(index, told);
      queue.waiting.push({
        messages,
        tools: options.tools?.[index] ?? [],
        signal,
        onUsage: usage,
        resolve,
        reject,
      });
      void run();
    });
  }

  return {
    complete: (prompts, options) =>
      Promise.all(prompts.map((messages, index) => ask(messages, index, options))),
    async close() {
      closed = true;
      await solver.close();
    },
  };
}
