import type { RenderableTool } from "../openapi/render.js";
import { type PromptStyle, solverMessages } from "../task/prompts.js";
import type { Tokenizer } from "./tokenizer.js";

/** Tokens set aside for what stands in a prompt beside the tools: instructions in full, the question. */
const reserve = { brief: 512, full: 1024 } as const;

/** Whether a prompt with these tools leaves room for a completion of `maxTokens`; always, for a model of unknown context. */
export function menuRoom(
  tokenizer: Tokenizer,
  style: PromptStyle,
  maxTokens: number,
  contextLength = tokenizer.contextLength,
): (tools: readonly RenderableTool[]) => boolean {
  if (contextLength === undefined) return () => true;
  const limit = contextLength - maxTokens - reserve[style.instructions];
  return (tools) => tools.reduce((sum, tool) => sum + sizeOf(tool, tokenizer, style), 0) <= limit;
}

/** Tokens of tools in prompts, by rendering: counted once for a tokenizer. */
const counted = new WeakMap<Tokenizer, Record<PromptStyle["rendering"], WeakMap<RenderableTool, number>>>();

function sizeOf(tool: RenderableTool, tokenizer: Tokenizer, { rendering }: PromptStyle): number {
  const sizes = counted.get(tokenizer) ?? { compact: new WeakMap(), full: new WeakMap() };
  counted.set(tokenizer, sizes);
  let size = sizes[rendering].get(tool);
  if (size === undefined) {
    const [system] = solverMessages([tool], "", { instructions: "brief", rendering });
    size = tokenizer.encodeContent(system?.content ?? "").length;
    sizes[rendering].set(tool, size);
  }
  return size;
}
