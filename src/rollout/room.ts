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
  const sizes = new WeakMap<RenderableTool, number>();
  const sizeOf = (tool: RenderableTool): number => {
    let size = sizes.get(tool);
    if (size === undefined) {
      const [system] = solverMessages([tool], "", { ...style, instructions: "brief" });
      size = tokenizer.encodeContent(system?.content ?? "").length;
      sizes.set(tool, size);
    }
    return size;
  };
  return (tools) => tools.reduce((sum, tool) => sum + sizeOf(tool), 0) <= limit;
}
