/** Anthropic's messages API (@anthropic-ai/sdk): tools, their results, and tools for its tool runner. Imports only types. */
import type { BetaRunnableTool } from "@anthropic-ai/sdk/lib/tools/BetaRunnableTool";
import type { ContentBlock, Tool, ToolResultBlockParam } from "@anthropic-ai/sdk/resources/messages";
import type { AnswerOptions, Toolset } from "specdojo";
import { answerOptions, objectSchema, offeredTools, type ToolOptions } from "./shared/options.js";

/** `tools` of `messages.create`. */
export function anthropicTools(toolset: Toolset, options: Pick<ToolOptions, "tools"> = {}): Tool[] {
  return offeredTools(toolset, options).map((tool) => ({
    name: tool.name,
    description: tool.description,
    input_schema: objectSchema(tool),
  }));
}

/** Runs the tool uses of a message; the results are the content of the next user message. */
export function runToolUses(
  toolset: Toolset,
  content: readonly ContentBlock[],
  options?: AnswerOptions,
): Promise<ToolResultBlockParam[]> {
  const uses = content.filter((block) => block.type === "tool_use");
  return Promise.all(
    uses.map(async ({ id, name, input }) => {
      const { ok, text } = await toolset.answer(name, input, options);
      return {
        type: "tool_result" as const,
        tool_use_id: id,
        content: text,
        ...(ok ? {} : { is_error: true }),
      };
    }),
  );
}

/** `tools` of `beta.messages.toolRunner`, the package's own loop. */
export function runnableTools(toolset: Toolset, options: ToolOptions = {}): BetaRunnableTool<unknown>[] {
  return anthropicTools(toolset, options).map((tool) => ({
    ...tool,
    parse: (input) => input,
    run: async (input, context) =>
      (await toolset.answer(tool.name, input, answerOptions(options, context?.signal ?? options.signal)))
        .text,
  }));
}
