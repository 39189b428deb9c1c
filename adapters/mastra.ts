/** Mastra (@mastra/core 1, and 0.24 for Node 20): tools made by its `createTool`, and the tuned solver as a model. */
import type { Agent, Toolset } from "specdojo";
import { type AiTool, aiTools, type SolverModel, type SolverStreamPart, solverModel } from "./ai.js";
import { type ApprovalOptions, answerOptions } from "./shared/options.js";

/** What `createTool` of `@mastra/core/tools` takes. */
export interface MastraToolOptions {
  id: string;
  description: string;
  inputSchema: AiTool["inputSchema"];
  requireApproval: boolean;
  execute: (input: unknown, context?: { abortSignal?: AbortSignal | undefined }) => Promise<string>;
}

/**
 * `tools` of a Mastra `Agent`: `mastraTools(toolset, createTool)`. The framework's own function is handed in, so that
 * this file imports nothing. Tools that change something ask for approval Mastra's own way (`requireApproval`), unless
 * `allow` names them.
 */
export function mastraTools<Made>(
  toolset: Toolset,
  createTool: (options: MastraToolOptions) => Made,
  options: ApprovalOptions = {},
): Record<string, Made> {
  const entries = Object.entries(aiTools(toolset, options)).map(([name, tool]): [string, Made] => {
    const { description, inputSchema, needsApproval } = tool;
    const execute: MastraToolOptions["execute"] = async (input, context) => {
      // By now Mastra has asked where it had to.
      const answer = answerOptions({ ...options, allow: [name] }, context?.abortSignal ?? options.signal);
      return (await toolset.answer(name, argumentsOf(input), answer)).text;
    };
    return [
      name,
      createTool({ id: name, description, inputSchema, requireApproval: needsApproval, execute }),
    ];
  });
  return Object.fromEntries(entries);
}

/** Mastra 0.24 hands the arguments over as `context`, beside what 1.0 gives as a second parameter. */
function argumentsOf(input: unknown): unknown {
  const old = typeof input === "object" && input !== null && "context" in input && "runtimeContext" in input;
  return old ? input.context : input;
}

type CallOptions = Parameters<SolverModel["doGenerate"]>[0];
type Ended = Pick<Awaited<ReturnType<SolverModel["doGenerate"]>>, "finishReason">;

/** The shape of `LanguageModelV2`, the AI SDK's previous specification. */
export interface SolverModelV2 extends Omit<SolverModel, "specificationVersion" | "doGenerate" | "doStream"> {
  readonly specificationVersion: "v2";
  doGenerate(options: CallOptions): Promise<object>;
  doStream(options: CallOptions): Promise<{ stream: ReadableStream<object> }>;
}

/** The solver as `model` of an `Agent` of Mastra 0.24. Mastra 1 takes `solverModel` of `specdojo/adapters/ai`. */
export function solverModelV2(agent: Agent): SolverModelV2 {
  const model = solverModel(agent);
  const ended = ({ finishReason }: Ended) => ({
    finishReason: finishReason.unified,
    usage: { inputTokens: undefined, outputTokens: undefined, totalTokens: undefined },
  });
  return {
    ...model,
    specificationVersion: "v2",
    async doGenerate(options) {
      const generated = await model.doGenerate(options);
      return { content: generated.content, ...ended(generated), warnings: [] };
    },
    async doStream(options) {
      const { stream } = await model.doStream(options);
      const converted = new TransformStream<SolverStreamPart, object>({
        transform(part, controller) {
          if (part.type === "finish") controller.enqueue({ type: part.type, ...ended(part) });
          else controller.enqueue(part.type === "stream-start" ? { ...part, warnings: [] } : part);
        },
      });
      return { stream: stream.pipeThrough(converted) };
    },
  };
}
