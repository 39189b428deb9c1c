import type { AnswerOptions, Tool, Toolset } from "specdojo";

/** Which tools an adapter offers, and what they may do. */
export interface ToolOptions extends AnswerOptions {
  /** Names of the tools to offer. Default: all. */
  tools?: readonly string[];
}

/** The same for frameworks that ask for approval themselves. */
export type ApprovalOptions = Omit<ToolOptions, "confirm">;

export function offeredTools(toolset: Toolset, { tools: names }: Pick<ToolOptions, "tools">): Tool[] {
  return toolset.tools.filter(({ name }) => names?.includes(name) ?? true);
}

/** Whether the framework has to ask before it runs a tool. */
export function needsApproval(toolset: Toolset, name: string, { allow }: ApprovalOptions): boolean {
  return toolset.needsConfirmation(name) && allow?.includes(name) !== true;
}

/** The schema as frameworks type it: they edit what they are given, and want the type of the root to be known. */
export function objectSchema(tool: Tool): Record<string, unknown> & { type: "object" } {
  return { ...(structuredClone(tool.parameters) as Record<string, unknown>), type: "object" };
}

/** Options of an answer, without those of the adapter. */
export function answerOptions(
  { tools: _, ...options }: ToolOptions,
  signal: AbortSignal | null | undefined,
): AnswerOptions {
  return signal === undefined || signal === null ? options : { ...options, signal };
}
