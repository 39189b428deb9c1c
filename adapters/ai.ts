/**
 * Vercel AI SDK 6 and 7: the tools as plain objects, and the tuned solver as a language model (specification v3, which
 * both majors take). Needs no import of the SDK.
 */
import type { Agent, Toolset } from "specdojo";
import {
  type ApprovalOptions,
  answerOptions,
  needsApproval,
  objectSchema,
  offeredTools,
} from "./shared/options.js";
import { modelName, solverTurn, type TurnMessage, textOf } from "./shared/solver-turn.js";

export type AiToolOptions = Omit<ApprovalOptions, "signal">;

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
  const entries = offeredTools(toolset, options).map((tool): [string, AiTool] => {
    const { name, description } = tool;
    const jsonSchema = () => objectSchema(tool);
    const made: AiTool = {
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
      needsApproval: needsApproval(toolset, name, options),
      async execute(args, { abortSignal }) {
        // By now the SDK has asked where it had to.
        const answer = answerOptions({ ...options, allow: [name] }, abortSignal);
        return (await toolset.answer(name, args, answer)).text;
      },
    };
    return [name, made];
  });
  return Object.fromEntries(entries);
}

interface PromptMessage {
  role: "system" | "user" | "assistant" | "tool";
  content: string | readonly { type: string; output?: unknown }[];
}
interface CallOptions {
  prompt: readonly PromptMessage[];
  tools?: readonly { type: string; name: string }[] | undefined;
  toolChoice?: { type: string; toolName?: string } | undefined;
  responseFormat?: { type: string } | undefined;
  abortSignal?: AbortSignal | undefined;
}
type Content =
  | { type: "text"; text: string }
  | { type: "tool-call"; toolCallId: string; toolName: string; input: string };
interface Warning {
  type: "unsupported";
  feature: string;
  details: string;
}
interface Generated {
  content: Content[];
  finishReason: { unified: "stop" | "tool-calls"; raw: undefined };
  usage: {
    inputTokens: { total: undefined; noCache: undefined; cacheRead: undefined; cacheWrite: undefined };
    outputTokens: { total: undefined; text: undefined; reasoning: undefined };
  };
  warnings: Warning[];
}
export type SolverStreamPart =
  | { type: "stream-start"; warnings: Warning[] }
  | { type: "text-start" | "text-end" | "tool-input-end"; id: string }
  | { type: "tool-input-start"; id: string; toolName: string }
  | { type: "text-delta" | "tool-input-delta"; id: string; delta: string }
  | Extract<Content, { type: "tool-call" }>
  | ({ type: "finish" } & Pick<Generated, "finishReason" | "usage">)
  | { type: "error"; error: unknown };

/** The shape of the SDK's `LanguageModelV3`. */
export interface SolverModel {
  readonly specificationVersion: "v3";
  readonly provider: string;
  readonly modelId: string;
  readonly supportedUrls: Record<string, RegExp[]>;
  doGenerate(options: CallOptions): Promise<Generated>;
  doStream(options: CallOptions): Promise<{ stream: ReadableStream<SolverStreamPart> }>;
}

/**
 * The tuned solver as a model: a user's message becomes tool calls, and their results the answer. Of the tools offered
 * it sees those that the agent knows by the same name. It samples greedily: settings of sampling change nothing.
 */
export function solverModel(agent: Agent): SolverModel {
  const doGenerate = async (options: CallOptions): Promise<Generated> => {
    const { prompt, tools = [], toolChoice, abortSignal } = options;
    const turn = await solverTurn(agent, {
      messages: prompt.flatMap(turnMessages),
      tools: tools.filter(({ type }) => type === "function").map(({ name }) => name),
      toolChoice: toolChoice?.toolName ?? toolChoice?.type,
      signal: abortSignal,
    });
    const said: Content[] = turn.text === "" ? [] : [{ type: "text", text: turn.text }];
    const calls = turn.calls.map(({ id, name, json }): Content => {
      return { type: "tool-call", toolCallId: id, toolName: name, input: json };
    });
    const content = [...said, ...calls];
    return {
      content,
      finishReason: { unified: calls.length > 0 ? "tool-calls" : "stop", raw: undefined },
      usage: {
        inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
        outputTokens: { total: undefined, text: undefined, reasoning: undefined },
      },
      warnings: warningsOf(options),
    };
  };
  return {
    specificationVersion: "v3",
    provider: "specdojo",
    modelId: modelName(agent),
    supportedUrls: {},
    doGenerate,
    async doStream(options) {
      // Calls are checked as a whole, so nothing can be streamed before all of them are there.
      const stream = new ReadableStream<SolverStreamPart>({
        async start(controller) {
          controller.enqueue({ type: "stream-start", warnings: warningsOf(options) });
          try {
            for (const part of parts(await doGenerate(options))) controller.enqueue(part);
          } catch (error) {
            controller.enqueue({ type: "error", error });
          }
          controller.close();
        },
      });
      return { stream };
    },
  };
}

function* parts({ content, finishReason, usage }: Generated): Generator<SolverStreamPart> {
  for (const part of content)
    if (part.type === "tool-call") {
      const id = part.toolCallId;
      yield { type: "tool-input-start", id, toolName: part.toolName };
      yield { type: "tool-input-delta", id, delta: part.input };
      yield { type: "tool-input-end", id };
      yield part;
    } else {
      yield { type: "text-start", id: "text" };
      yield { type: "text-delta", id: "text", delta: part.text };
      yield { type: "text-end", id: "text" };
    }
  yield { type: "finish", finishReason, usage };
}

function warningsOf({ responseFormat, toolChoice }: CallOptions): Warning[] {
  const details = "The solver answers with tool calls only.";
  return [
    ...(responseFormat?.type === "json"
      ? [{ type: "unsupported" as const, feature: "responseFormat", details }]
      : []),
    ...(toolChoice?.type === "required"
      ? [
          {
            type: "unsupported" as const,
            feature: "toolChoice required",
            details: "It may find no tool that fits.",
          },
        ]
      : []),
  ];
}

function turnMessages({ role, content }: PromptMessage): TurnMessage[] {
  if (role !== "tool" || typeof content === "string") return [{ role, text: textOf(content) }];
  return content
    .filter(({ type }) => type === "tool-result")
    .map(({ output }) => ({ role, text: resultText(output) }));
}

/** A result as the SDK hands it back: text, JSON, parts, or the denial of an approval. */
function resultText(output: unknown): string {
  if (typeof output !== "object" || output === null) return JSON.stringify(output);
  if ("value" in output) {
    if (typeof output.value === "string") return output.value;
    return textOf(output.value) || JSON.stringify(output.value);
  }
  return "reason" in output && typeof output.reason === "string"
    ? `Not run: ${output.reason}`
    : "Not run: denied.";
}
