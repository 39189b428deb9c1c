/** LangChain 1 (@langchain/core, langchain): the tools, and the tuned solver as a chat model. */
import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import type { BaseLanguageModelInput } from "@langchain/core/language_models/base";
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BindToolsInput,
} from "@langchain/core/language_models/chat_models";
import { AIMessage, AIMessageChunk, type BaseMessage } from "@langchain/core/messages";
import { ChatGenerationChunk, type ChatResult } from "@langchain/core/outputs";
import type { Runnable } from "@langchain/core/runnables";
import { type DynamicStructuredTool, tool } from "@langchain/core/tools";
import type { Agent, Toolset } from "specdojo";
import { answerOptions, objectSchema, offeredTools, type ToolOptions } from "./shared/options.js";
import { modelName, solverTurn, type Turn, type TurnMessage } from "./shared/solver-turn.js";

/** Tools for `createAgent` and `bindTools`. LangChain checks arguments by the schema before the toolset does. */
export function langchainTools(toolset: Toolset, options: ToolOptions = {}): DynamicStructuredTool[] {
  return offeredTools(toolset, options).map((offered) => {
    const { name, description } = offered;
    const made = tool(
      async (args: unknown, config?: { signal?: AbortSignal }) =>
        (await toolset.answer(name, args, answerOptions(options, config?.signal ?? options.signal))).text,
      { name, description, schema: objectSchema(offered), verboseParsingErrors: true },
    );
    return made as unknown as DynamicStructuredTool;
  });
}

export interface SolverCallOptions extends BaseChatModelCallOptions {
  tools?: BindToolsInput[];
}

/**
 * The tuned solver as a chat model: a user's message becomes tool calls, and their results the answer. Of the bound
 * tools it sees those that the agent knows by the same name.
 */
export class SolverChatModel extends BaseChatModel<SolverCallOptions> {
  readonly #agent: Agent;

  constructor(agent: Agent) {
    super({});
    this.#agent = agent;
  }

  static override lc_name(): string {
    return "SolverChatModel";
  }

  override _llmType(): string {
    return "specdojo";
  }

  override getLsParams(): { ls_provider: string; ls_model_name: string; ls_model_type: "chat" } {
    return { ls_provider: "specdojo", ls_model_name: modelName(this.#agent), ls_model_type: "chat" };
  }

  override bindTools(
    tools: BindToolsInput[],
    options: Partial<SolverCallOptions> = {},
  ): Runnable<BaseLanguageModelInput, AIMessageChunk, SolverCallOptions> {
    return this.withConfig({ ...options, tools });
  }

  override async _generate(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    _manager?: CallbackManagerForLLMRun,
  ): Promise<ChatResult> {
    const { text, calls } = await this.#turn(messages, options);
    const message = new AIMessage({ content: text, tool_calls: calls.map(toolCall) });
    return { generations: [{ text, message }] };
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    manager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const { text, calls } = await this.#turn(messages, options);
    if (text !== "") {
      yield new ChatGenerationChunk({ text, message: new AIMessageChunk(text) });
      await manager?.handleLLMNewToken(text);
    }
    for (const [index, { id, name, json }] of calls.entries()) {
      const chunk = { type: "tool_call_chunk" as const, index, id, name, args: json };
      yield new ChatGenerationChunk({
        text: "",
        message: new AIMessageChunk({ content: "", tool_call_chunks: [chunk] }),
      });
    }
  }

  #turn(messages: readonly BaseMessage[], options: this["ParsedCallOptions"]): Promise<Turn> {
    const choice = options.tool_choice;
    return solverTurn(this.#agent, {
      messages: messages.map(turnMessage),
      tools: (options.tools ?? []).flatMap(nameOf),
      toolChoice: typeof choice === "string" ? choice : nameOf(choice ?? {})[0],
      signal: options.signal,
    });
  }
}

function toolCall({
  id,
  name,
  arguments: args,
}: {
  id: string;
  name: string;
  arguments: Record<string, unknown>;
}) {
  return { type: "tool_call" as const, id, name, args };
}

function turnMessage(message: BaseMessage): TurnMessage {
  const roles: Record<string, TurnMessage["role"]> = { human: "user", ai: "assistant", tool: "tool" };
  return { role: roles[message.type] ?? "system", text: message.text };
}

/** The name of a tool of LangChain or of one in OpenAI's form. */
function nameOf(bound: BindToolsInput): string[] {
  const { name, function: inner } = bound as { name?: unknown; function?: { name?: unknown } };
  const found = name ?? inner?.name;
  return typeof found === "string" ? [found] : [];
}
