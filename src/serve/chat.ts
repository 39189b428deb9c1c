import { randomBytes } from "node:crypto";
import { z } from "zod";
import { type Agent, createAgent, type Decision } from "../agent/agent.js";
import { defineTool } from "../agent/define-tool.js";
import type { CompletionUsage, Solver } from "../agent/solver.js";
import type { Tool, ToolMenu } from "../openapi/types.js";
import type { ChatMessage } from "../task/conversation.js";
import type { PromptStyle } from "../task/prompts.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject } from "../util/json.js";

/** A request that cannot be answered: HTTP status, and what OpenAI's clients make an error of. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
  ) {
    super(message);
  }
}

const parts = z.array(z.looseObject({ type: z.string(), text: z.string().optional() }));
const content = z.union([z.string(), parts]).nullish();
const message = z.discriminatedUnion("role", [
  z.looseObject({ role: z.literal("system"), content }),
  z.looseObject({ role: z.literal("developer"), content }),
  z.looseObject({ role: z.literal("user"), content }),
  z.looseObject({ role: z.literal("assistant"), content }),
  z.looseObject({ role: z.literal("tool"), content, tool_call_id: z.string() }),
]);
const functionTool = z.looseObject({
  type: z.literal("function"),
  function: z.looseObject({
    name: z.string(),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
  }),
});
const choice = z.union([
  z.enum(["none", "auto", "required"]),
  z.looseObject({ type: z.literal("function"), function: z.looseObject({ name: z.string() }) }),
]);
const count = z.int().min(1);

/** What is read of a request. Settings of sampling are passed over: decoding is always greedy. */
const requestSchema = z.looseObject({
  model: z.string(),
  messages: z.array(message).min(1),
  tools: z.array(functionTool).max(1024).nullish(),
  tool_choice: choice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: count.nullish(),
  max_completion_tokens: count.nullish(),
  n: z.literal(1, "must be 1: the same question has one answer").nullish(),
  logprobs: z.literal(false, "is not supported").nullish(),
  functions: z.undefined("is not supported; use tools").optional(),
  response_format: z
    .looseObject({ type: z.literal("text", "must be text: answers are tool calls") })
    .nullish(),
});
export type ChatRequest = z.infer<typeof requestSchema>;
type Message = ChatRequest["messages"][number];

/** @throws RequestError 400 naming the first part that is wrong. */
export function readRequest(body: unknown): ChatRequest {
  const read = requestSchema.safeParse(body);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const param =
    issue?.path
      .map((key, i) => (typeof key === "number" ? `[${key}]` : `${i > 0 ? "." : ""}${String(key)}`))
      .join("") ?? "";
  throw new RequestError(
    400,
    "invalid_request",
    `${param || "The body"}: ${issue?.message ?? "is not valid"}`,
    param || null,
  );
}

/** The parts of an answer, before it is written as one JSON body or as events. */
export interface ChatAnswer {
  id: string;
  /** Seconds since 1970. */
  created: number;
  text: string | null;
  calls: { id: string; name: string; arguments: string }[];
  finish: "stop" | "tool_calls" | "length";
  usage: CompletionUsage;
}

export interface ChatOptions {
  menu: ToolMenu;
  solver: Solver;
  style: PromptStyle;
  maxTokens: number;
  maxTools: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** Agents that are kept for tools which requests bring along. */
const maxAgents = 16;

/** Answers requests with one solver. */
export class Chat {
  readonly #own: Agent;
  readonly #others = new Map<string, Agent>();

  constructor(private readonly options: ChatOptions) {
    this.#own = createAgent(options);
  }

  /**
   * One turn. Without `tools` the solver is shown the agent's own menu. After results of tools the turn ends with them
   * as its text, since the solver makes all calls of a request at once.
   * @throws RequestError, or the signal's reason.
   */
  async answer(request: ChatRequest, signal: AbortSignal): Promise<ChatAnswer> {
    const { messages } = request;
    const results = messages.slice(messages.findLastIndex(({ role }) => role !== "tool") + 1);
    if (results.length > 0) return this.#said(results.map((one) => textOf(one)).join("\n"));
    if (messages.at(-1)?.role !== "user")
      throw new RequestError(
        400,
        "invalid_request",
        "messages: the last one must be the user's, or a tool's",
        "messages",
      );

    const agent = this.#agentFor(request);
    const names = request.tools?.map((tool) => tool.function.name) ?? agent.tools.map(({ name }) => name);
    const wanted = chosenName(request);
    if (wanted !== undefined && !names.includes(wanted))
      throw new RequestError(
        400,
        "invalid_request",
        `tool_choice: there is no tool ${JSON.stringify(wanted)}`,
        "tool_choice",
      );
    if (request.tool_choice === "none" || names.length === 0) return this.#said("No tool may be called.");

    let usage: CompletionUsage = { prompt: 0, cached: 0, completion: 0, finish: "stop" };
    const limit = request.max_completion_tokens ?? request.max_tokens ?? this.options.maxTokens;
    const mustCall = request.tool_choice === "required" || wanted !== undefined;
    const decision = await agent.decide(conversationOf(messages), {
      tools: wanted === undefined ? names : [wanted],
      maxTokens: Math.min(limit, this.options.maxTokens),
      mustCall,
      onUsage: (told) => {
        usage = told;
      },
      signal,
    });
    const all = decision.calls as unknown as { name: string; arguments: object }[];
    const calls = (request.parallel_tool_calls === false ? all.slice(0, 1) : all).map((call) => ({
      id: `call_${randomBytes(12).toString("hex")}`,
      name: call.name,
      arguments: JSON.stringify(call.arguments),
    }));
    if (mustCall && calls.length === 0)
      throw new RequestError(
        422,
        "no_valid_call",
        `The solver wrote no call that fits: ${reasonsOf(decision)}`,
        "tool_choice",
      );
    const cut = usage.finish === "length" && calls.length === 0;
    const text =
      decision.text !== "" && !cut ? decision.text : calls.length > 0 || cut ? null : noCall(decision);
    return {
      ...this.#head(),
      text,
      calls,
      finish: calls.length > 0 ? "tool_calls" : cut ? "length" : "stop",
      usage,
    };
  }

  #head(): { id: string; created: number } {
    const { now = Date.now } = this.options;
    return { id: `chatcmpl-${randomBytes(12).toString("hex")}`, created: Math.floor(now() / 1000) };
  }

  #said(text: string): ChatAnswer {
    const usage = { prompt: 0, cached: 0, completion: 0, finish: "stop" } as const;
    return { ...this.#head(), text, calls: [], finish: "stop", usage };
  }

  /** The agent of the menu's tools; another one where a request brings tools that the menu does not know. */
  #agentFor({ tools }: ChatRequest): Agent {
    const menu = new Map(this.#own.tools.map((tool) => [tool.name, tool]));
    if (tools == null || tools.every((tool) => menu.has(tool.function.name))) return this.#own;
    const key = JSON.stringify(tools);
    const known = this.#others.get(key);
    if (known !== undefined) return known;
    const seen = new Set<string>();
    const shown = tools.map((tool, i): Tool => {
      const { name, description, parameters } = tool.function;
      const place = `tools[${i}].function`;
      if (seen.has(name))
        throw new RequestError(
          400,
          "invalid_request",
          `${place}.name: two tools have the name ${JSON.stringify(name)}`,
          place,
        );
      seen.add(name);
      // The solver was tuned on the menu's wording of its own tools.
      const own = menu.get(name);
      if (own !== undefined) return own;
      try {
        const { $schema: _, ...schema } = { type: "object", ...parameters } as Record<string, unknown>;
        const made = defineTool({
          name,
          description: description ?? "",
          parameters: schema as never,
          execute: () => null,
        });
        return made.tool;
      } catch (error) {
        if (SpecdojoError.isInstance(error))
          throw new RequestError(400, "invalid_request", `${place}: ${error.message}`, place);
        throw error;
      }
    });
    const made = createAgent({ ...this.options, menu: { ...this.options.menu, tools: shown, domains: [] } });
    const [oldest] = this.#others.keys();
    if (this.#others.size >= maxAgents && oldest !== undefined) this.#others.delete(oldest);
    this.#others.set(key, made);
    return made;
  }
}

function chosenName({ tool_choice: choice }: ChatRequest): string | undefined {
  return isObject(choice) ? choice.function.name : undefined;
}

/** The agent writes the system message itself: those of the request are left out, and so are earlier results. */
function conversationOf(messages: readonly Message[]): ChatMessage[] {
  return messages.flatMap((one): ChatMessage[] => {
    const text = textOf(one);
    return (one.role === "user" || one.role === "assistant") && text !== ""
      ? [{ role: one.role, content: text }]
      : [];
  });
}

function textOf(one: Message): string {
  if (typeof one.content === "string") return one.content;
  return (one.content ?? []).flatMap(({ text }) => text ?? []).join("\n");
}

const reasonsOf = (decision: Decision): string =>
  decision.rejected.map(({ message: why }) => why.replace(/\.$/, "")).join("; ") || "no tool fits";
const noCall = (decision: Decision): string => `No tool call: ${reasonsOf(decision)}.`;
