/** One turn of the tuned solver as the language model of a framework, for all adapters that offer it as one. */
import type { Agent, ChatMessage } from "specdojo";

/** A framework's message: the text in it, and for a tool's result what the tool returned. */
export interface TurnMessage {
  role: ChatMessage["role"] | "tool";
  text: string;
}

export interface TurnRequest {
  messages: readonly TurnMessage[];
  /** Names of the tools that the framework offers. Those that the agent does not know are not seen by the solver. */
  tools: readonly string[];
  /** `none`, or the name of the only tool that may be called. Everything else leaves it to the solver. */
  toolChoice?: string | undefined;
  signal?: AbortSignal | null | undefined;
}

export interface TurnCall {
  /** Unique within the conversation. */
  id: string;
  name: string;
  arguments: Record<string, unknown>;
  /** The arguments as JSON text. */
  json: string;
}

export interface Turn {
  /** Said beside the calls. Without calls it ends the turn and is never empty. */
  text: string;
  calls: TurnCall[];
}

/**
 * The solver makes all calls of a request at once, so after their results the turn ends, with the results as its text.
 * The agent writes the system message itself: those of the framework are left out.
 */
export async function solverTurn(agent: Agent, request: TurnRequest): Promise<Turn> {
  const { messages, toolChoice, signal } = request;
  const lastSpoken = messages.findLastIndex(({ role }) => role !== "tool");
  const results = messages.slice(lastSpoken + 1).map(({ text }) => text);
  if (results.length > 0) return { text: results.join("\n"), calls: [] };

  const offered = new Set(request.tools);
  const tools = agent.tools
    .map(({ name }) => name)
    .filter((name) => offered.has(name) && (!offered.has(toolChoice ?? "") || name === toolChoice));
  if (toolChoice === "none" || tools.length === 0)
    return { text: "No tool call: none of the agent's tools is offered.", calls: [] };
  const conversation = messages.flatMap(({ role, text }) =>
    role === "tool" || role === "system" || text === "" ? [] : [{ role, content: text }],
  );
  const decision = await agent.decide(conversation, {
    tools,
    ...(signal === undefined || signal === null ? {} : { signal }),
  });
  const calls = decision.calls.map(({ name, arguments: args }, index) => ({
    id: `call_${messages.length}_${index}`,
    name,
    arguments: args,
    json: JSON.stringify(args),
  }));
  const reasons = decision.rejected.map(({ message }) => message.replace(/\.$/, "")).join("; ");
  const silence = calls.length > 0 ? "" : `No tool call: ${reasons || "no tool fits"}.`;
  return { text: decision.text || silence, calls };
}

/** Name of the solver as a model. */
export function modelName(agent: Agent): string {
  return agent.manifest?.api.title ?? agent.menu.title;
}

/** The text of a message whose content is a text or parts of which some are texts. */
export function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .flatMap((part: unknown) =>
      typeof part === "object" && part !== null && "text" in part && typeof part.text === "string"
        ? [part.text]
        : [],
    )
    .join("\n");
}
