/**
 * Vercel AI SDK 6 and 7: the tools as plain objects, and the tuned solver as a language model (specification v3, which
 * both majors take). Needs no import of the SDK.
 */
import type { Agent, AnswerOptions, ChatMessage, Toolset } from "specdojo";

export interface AiToolOptions extends Omit<AnswerOptions, "confirm" | "signal"> {
  /** Names of the tools to offer. Default: all. */
  tools?: readonly string[];
}

/** A tool of the AI SDK. Its schema speaks Standard Schema and Standard JSON Schema. */
export interface AiTool {
  description: string;
  inputSchema: {
    readonly "~standard": {
      readonly version: 1;
      readonly vendor: "specdojo";
      validate(value: unknown): { value: unknown } | { issues: { message: string }[] };
      readonly jsonSchema: { input(): Record<string, unknown>; output(): Record<string, unknown> };
    };
  };
  needsApproval: boolean;
  execute(args: unknown, options: { abortSignal?: AbortSignal | undefined }): Promise<string>;
}

/**
 * `tools` of `generateText` and `streamText`. Tools that change something ask for approval the SDK's own way
 * (`needsApproval`), unless `allow` names them.
 */
export function aiTools(toolset: Toolset, options: AiToolOptions = {}): Record<string, AiTool> {
  const { tools: names, ...answerOptions } = options;
  const offered = toolset.tools.filter(({ name }) => names?.includes(name) ?? true);
  const entries = offered.map(({ name, description, parameters, annotations }): [string, AiTool] => {
    const needsApproval = !annotations.readOnly && !(options.allow ?? []).includes(name);
    // The SDK edits the schema that it is given.
    const jsonSchema = (): Record<string, unknown> => structuredClone(parameters) as Record<string, unknown>;
    const tool: AiTool = {
      description,
      inputSchema: {
        "~standard": {
          version: 1,
          vendor: "specdojo",
          validate(value) {
            const issues = toolset.check(name, value);
            if (issues.length === 0) return { value };
            return {
              issues: issues.map(({ pointer, message }) => ({ message: `${pointer} ${message}`.trim() })),
            };
          },
          jsonSchema: { input: jsonSchema, output: jsonSchema },
        },
      },
      needsApproval,
      async execute(args, { abortSignal }) {
        const signal = abortSignal === undefined ? {} : { signal: abortSignal };
        // By now the SDK has asked where it had to.
        return (await toolset.answer(name, args, { ...answerOptions, allow: [name], ...signal })).text;
      },
    };
    return [name, tool];
  });
  return Object.fromEntries(entries);
}

interface PromptMessage {
  role: "system" | "user" | "assistant" | "tool";
  content: string | readonly PromptPart[];
}
interface PromptPart {
  type: string;
  text?: string;
  output?: unknown;
}
interface CallOptions {
  prompt: readonly PromptMessage[];
  tools?: readonly { type: string; name: string }[] | undefined;
  abortSignal?: AbortSignal | undefined;
}
type Content =
  | { type: "text"; text: string }
  | { type: "tool-call"; toolCallId: string; toolName: string; input: string };
interface Generated {
  content: Content[];
  finishReason: { unified: "stop" | "tool-calls"; raw: undefined };
  usage: {
    inputTokens: { total: undefined; noCache: undefined; cacheRead: undefined; cacheWrite: undefined };
    outputTokens: { total: undefined; text: undefined; reasoning: undefined };
  };
  warnings: [];
}
type StreamPart =
  | { type: "stream-start"; warnings: [] }
  | { type: "text-start" | "text-end"; id: string }
  | { type: "text-delta"; id: string; delta: string }
  | Extract<Content, { type: "tool-call" }>
  | ({ type: "finish" } & Pick<Generated, "finishReason" | "usage">);

/** The shape of the SDK's `LanguageModelV3`. */
export interface SolverModel {
  readonly specificationVersion: "v3";
  readonly provider: string;
  readonly modelId: string;
  readonly supportedUrls: Record<string, RegExp[]>;
  doGenerate(options: CallOptions): Promise<Generated>;
  doStream(options: CallOptions): Promise<{ stream: ReadableStream<StreamPart> }>;
}

/**
 * The tuned solver as a model: a user's message becomes tool calls. The solver was trained to make all calls of a
 * request at once, so after their results it ends the turn and hands the results on as text. Of the tools offered it
 * sees those that the agent knows by the same name.
 */
export function solverModel(agent: Agent): SolverModel {
  const doGenerate = async ({ prompt, tools, abortSignal }: CallOptions): Promise<Generated> => {
    const results = prompt.at(-1)?.role === "tool" ? textOf(prompt.at(-1)) : undefined;
    if (results !== undefined) return generated([{ type: "text", text: results }]);
    const known = new Set(agent.tools.map(({ name }) => name));
    const offered = (tools ?? []).filter(({ type, name }) => type === "function" && known.has(name));
    const decision = await agent.decide(conversation(prompt), {
      tools: offered.map(({ name }) => name),
      ...(abortSignal === undefined ? {} : { signal: abortSignal }),
    });
    const calls = decision.calls.map(({ name, arguments: args }, i): Content => {
      const toolCallId = `call-${prompt.length}-${i}`;
      return { type: "tool-call", toolCallId, toolName: name, input: JSON.stringify(args) };
    });
    if (calls.length > 0) return generated(calls);
    const reasons = decision.rejected.map(({ message }) => message).join("; ");
    return generated([{ type: "text", text: `No tool call: ${reasons || "no tool fits"}.` }]);
  };
  return {
    specificationVersion: "v3",
    provider: "specdojo",
    modelId: agent.manifest?.api.title ?? agent.menu.title,
    supportedUrls: {},
    doGenerate,
    async doStream(options) {
      const { content, finishReason, usage } = await doGenerate(options);
      const parts: StreamPart[] = [{ type: "stream-start", warnings: [] }];
      for (const [i, part] of content.entries()) {
        const id = String(i);
        if (part.type === "tool-call") parts.push(part);
        else
          parts.push(
            { type: "text-start", id },
            { type: "text-delta", id, delta: part.text },
            { type: "text-end", id },
          );
      }
      parts.push({ type: "finish", finishReason, usage });
      return { stream: ReadableStream.from(parts) as ReadableStream<StreamPart> };
    },
  };
}

function generated(content: Content[]): Generated {
  const called = content.some(({ type }) => type === "tool-call");
  return {
    content,
    finishReason: { unified: called ? "tool-calls" : "stop", raw: undefined },
    usage: {
      inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
      outputTokens: { total: undefined, text: undefined, reasoning: undefined },
    },
    warnings: [],
  };
}

/** User's and assistant's texts; the agent writes its own system message. */
function conversation(prompt: readonly PromptMessage[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  for (const message of prompt) {
    if (message.role !== "user" && message.role !== "assistant") continue;
    const content = textOf(message);
    if (content !== "") messages.push({ role: message.role, content });
  }
  return messages;
}

function textOf(message: PromptMessage | undefined): string {
  const content = message?.content ?? "";
  if (typeof content === "string") return content;
  const texts = content.map((part) => {
    if (part.type === "text") return part.text ?? "";
    if (part.type !== "tool-result") return "";
    const { output } = part;
    const value = typeof output === "object" && output !== null && "value" in output ? output.value : output;
    return typeof value === "string" ? value : JSON.stringify(value);
  });
  return texts.filter((text) => text !== "").join("\n");
}
