/** OpenAI Agents SDK (@openai/agents): the tools as plain objects, and the tuned solver as a model. Imports only types. */
import type {
  AgentOutputItem,
  FunctionTool,
  Model,
  ModelRequest,
  ModelResponse,
  StreamEvent,
} from "@openai/agents";
import type { Agent, Toolset } from "specdojo";
import {
  type ApprovalOptions,
  answerOptions,
  needsApproval,
  objectSchema,
  offeredTools,
} from "./shared/options.js";
import { solverTurn, type TurnMessage, textOf } from "./shared/solver-turn.js";

/**
 * `tools` of an `Agent`. Tools that change something ask for approval the SDK's own way (an interruption), unless
 * `allow` names them. The SDK does not check arguments of tools that are not strict: the toolset does.
 */
export function agentsTools(toolset: Toolset, options: ApprovalOptions = {}): FunctionTool[] {
  return offeredTools(toolset, options).map((tool): FunctionTool => {
    const { name, description } = tool;
    const asks = needsApproval(toolset, name, options);
    return {
      type: "function",
      name,
      description,
      parameters: objectSchema(tool) as unknown as FunctionTool["parameters"],
      strict: false,
      // By now the SDK has asked where it had to.
      invoke: async (_context, input, details) =>
        (
          await toolset.answer(
            name,
            input,
            answerOptions({ ...options, allow: [name] }, details?.signal ?? options.signal),
          )
        ).text,
      needsApproval: () => Promise.resolve(asks),
      isEnabled: () => Promise.resolve(true),
    };
  });
}

/**
 * The tuned solver as `model` of an `Agent`: a user's message becomes tool calls, and their results the answer. Of the
 * agent's tools it sees those that it knows by the same name. It reports no token counts.
 */
export function agentsModel(agent: Agent): Model {
  const respond = async (request: ModelRequest): Promise<AgentOutputItem[]> => {
    const { input, tools, modelSettings, signal } = request;
    const turn = await solverTurn(agent, {
      messages: typeof input === "string" ? [{ role: "user", text: input }] : input.flatMap(turnMessages),
      tools: tools.filter(({ type }) => type === "function").map(({ name }) => name),
      toolChoice: modelSettings.toolChoice,
      signal,
    });
    const said: AgentOutputItem = {
      type: "message",
      role: "assistant",
      status: "completed",
      content: [{ type: "output_text", text: turn.text }],
    };
    const calls = turn.calls.map(({ id, name, json }): AgentOutputItem => {
      return { type: "function_call", callId: id, name, arguments: json, status: "completed" };
    });
    return turn.text === "" ? calls : [said, ...calls];
  };
  return {
    async getResponse(request) {
      return { output: await respond(request), usage: { ...usage } as unknown as ModelResponse["usage"] };
    },
    async *getStreamedResponse(request): AsyncGenerator<StreamEvent> {
      yield { type: "response_started" };
      const output = await respond(request);
      for (const item of output)
        if (item.type === "message") yield { type: "output_text_delta", delta: textOf(item.content) };
      const response = { id: "specdojo", output, usage: { ...usage } };
      yield { type: "response_done", response } as StreamEvent;
    },
  };
}

const usage = {
  requests: 1,
  inputTokens: 0,
  outputTokens: 0,
  totalTokens: 0,
  inputTokensDetails: [],
  outputTokensDetails: [],
};

type InputItem = Exclude<ModelRequest["input"], string>[number];

function turnMessages(item: InputItem): TurnMessage[] {
  if (item.type === "function_call_result") {
    const { output } = item;
    const text = typeof output === "string" ? output : textOf(Array.isArray(output) ? output : [output]);
    return [{ role: "tool", text }];
  }
  return "role" in item ? [{ role: item.role, text: textOf(item.content) }] : [];
}
