import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Datum } from "../backend/types.js";
import type { RenderableTool } from "../openapi/index.js";
import type { Tokenizer } from "../rollout/tokenizer.js";
import { type PromptStyle, solverCompletion, solverMessages } from "../task/prompts.js";
import type { ToolCall } from "../task/types.js";
import type { Random } from "../util/random.js";
import { likelihoodDatum } from "./grpo.js";

const replayRow = z.object({
  tools: z.array(
    z.object({
      name: z.string(),
      description: z.string(),
      parameters: z.looseObject({ type: z.literal("object") }),
    }),
  ),
  items: z.array(
    z.object({
      question: z.string(),
      gold: z.array(z.object({ name: z.string(), arguments: z.record(z.string(), z.json()) })),
    }),
  ),
});

/** A request about a made-up API, with its answer. */
export interface ReplayItem {
  tools: RenderableTool[];
  question: string;
  gold: ToolCall[];
}

/** Reads `NAME` beside a model's weights; a model without it has nothing to replay. */
export async function loadReplay(
  modelDir: string,
  name: "replay.jsonl" | "other-apis.jsonl",
): Promise<ReplayItem[]> {
  const text = await readFile(join(modelDir, name), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const { tools, items } = replayRow.parse(JSON.parse(line));
      return items.map((item) => ({ tools: tools as RenderableTool[], ...item }));
    });
}

/** `count` items of weight 1 as cross-entropy data: all those of drawn menus, since items of one menu share its tokens. */
export function replayData(
  items: readonly ReplayItem[],
  count: number,
  random: Random,
  tokenizer: Tokenizer,
  style: PromptStyle,
): Datum[] {
  const drawn = new Set<ReplayItem>();
  while (drawn.size < Math.min(count, items.length)) {
    const { tools } = random.pick(items);
    for (const item of items) if (item.tools === tools && drawn.size < count) drawn.add(item);
  }
  return [...drawn].map(({ tools, question, gold }) =>
    answerDatum(tokenizer, tools, question, gold, style, 1),
  );
}

/** The right answer to a question as a cross-entropy datum. */
export function answerDatum(
  tokenizer: Tokenizer,
  tools: readonly RenderableTool[],
  question: string,
  gold: readonly ToolCall[],
  style: PromptStyle,
  weight: number,
): Datum {
  const prompt = tokenizer.renderChat(solverMessages(tools, question, style));
  return likelihoodDatum(prompt, answerTokens(tokenizer, gold), weight);
}

/** A right answer as the model would sample it, with the token that ends it. */
export function answerTokens(tokenizer: Tokenizer, gold: readonly ToolCall[]): number[] {
  const [stop] = tokenizer.stopTokens;
  return [...tokenizer.encode(solverCompletion(gold)), ...(stop === undefined ? [] : [stop])];
}
