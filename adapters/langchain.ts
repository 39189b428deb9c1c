/** LangChain (@langchain/core 1). */
import type { AnswerOptions, JsonSchemaObject, Toolset } from "specdojo";

export interface LangchainToolOptions extends AnswerOptions {
  /** Names of the tools to offer. Default: all. */
  tools?: readonly string[];
}

/** What `tool` of `@langchain/core/tools` takes beside the function. */
export interface LangchainToolFields {
  name: string;
  description: string;
  schema: JsonSchemaObject & { type: "object" };
}

type Run = (args: unknown, config?: { signal?: AbortSignal }) => Promise<string>;

/**
 * LangChain tools for `bindTools` and agents. The framework's own `tool` is handed in, so that this file imports
 * nothing: `langchainTools(agent, (run, fields) => tool(run, fields))`.
 */
export function langchainTools<Made>(
  toolset: Toolset,
  tool: (run: Run, fields: LangchainToolFields) => Made,
  options: LangchainToolOptions = {},
): Made[] {
  const { tools: names, ...answerOptions } = options;
  return toolset.tools
    .filter(({ name }) => names?.includes(name) ?? true)
    .map(({ name, description, parameters }) => {
      const run: Run = async (args, config) => {
        const signal = config?.signal ?? options.signal;
        return (
          await toolset.answer(name, args, { ...answerOptions, ...(signal === undefined ? {} : { signal }) })
        ).text;
      };
      return tool(run, { name, description, schema: { ...parameters, type: "object" } });
    });
}
