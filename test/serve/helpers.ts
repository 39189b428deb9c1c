import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { exportAgent } from "../../src/agent/export.js";
import type { CompleteOptions, Solver } from "../../src/agent/solver.js";
import { bundledModelDir } from "../../src/rollout/model-files.js";
import { type ServedAgent, type ServeOptions, serveAgent } from "../../src/serve/index.js";
import type { ChatMessage } from "../../src/task/conversation.js";
import { briefStyle } from "../../src/task/prompts.js";
import { petstoreMenu } from "../agent/helpers.js";

/** The Petstore's menu with the bundled model, as an exported agent. */
export async function agentFolder(): Promise<{ dir: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "specdojo-serve-"));
  const merged = join(folder, "bundled");
  await cp(bundledModelDir(), merged, { recursive: true, filter: (path) => !path.endsWith(".jsonl") });
  const dir = join(folder, "agent");
  await exportAgent({
    dir,
    menu: await petstoreMenu(),
    solver: { merged },
    evaluation: null,
    version: "0",
    createdAt: new Date(0),
    baseModel: { name: "bundled" },
    prompts: briefStyle,
    maxTokens: 128,
  });
  return { dir, remove: () => rm(folder, { recursive: true, force: true }) };
}

export interface Scripted extends Solver {
  /** What each call of `complete` was asked, in order. */
  asked: { questions: string[]; options: CompleteOptions; shown: string[][] }[];
  closed: number;
}

/** A solver that answers the last message of each prompt by `answer`, or waits until it is told to stop. */
export function scripted(
  answer: (question: string, messages: readonly ChatMessage[]) => string | object[] | Promise<never>,
): Scripted {
  const solver: Scripted = {
    asked: [],
    closed: 0,
    async complete(prompts, options) {
      const questions = prompts.map((messages) => messages.at(-1)?.content ?? "");
      const shown = (options.tools ?? []).map((tools) => tools.map(({ name }) => name));
      solver.asked.push({ questions, options, shown });
      await new Promise((resolve) => setTimeout(resolve, 5));
      const left = new Promise<never>((_, reject) => {
        options.signal?.addEventListener("abort", () => reject(options.signal?.reason), { once: true });
      });
      return Promise.all(
        prompts.map(async (messages, i) => {
          const given = await Promise.race([answer(questions[i] ?? "", messages), left]);
          const text = typeof given === "string" ? given : calls(given);
          options.onUsage?.(i, {
            prompt: 100 + i,
            cached: 90,
            completion: text.length,
            finish: text === "" || text.endsWith("[") ? "length" : "stop",
          });
          return text;
        }),
      );
    },
    close: () => Promise.resolve(void solver.closed++),
  };
  return solver;
}

export const calls = (list: readonly object[], text = ""): string =>
  `${text}<tool_call_answer>${JSON.stringify(list)}</tool_call_answer>`;

export const token = "a-token-of-the-tests";

export interface Served extends ServedAgent {
  openai: OpenAI;
}

export async function serve(dir: string, options: Partial<ServeOptions>): Promise<Served> {
  const served = await serveAgent({ dir, token, ...options });
  const openai = new OpenAI({ baseURL: served.url, apiKey: token, maxRetries: 0 });
  return { ...served, openai };
}
