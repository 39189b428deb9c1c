import type { JsonObject } from "../util/json.js";

/** One call of a tool. `arguments` is flat: path, query, header parameters and properties of the body together. */
export interface ToolCall {
  name: string;
  arguments: JsonObject;
}

/**
 * What the Generator is asked for: (domain, context, tools, answer) of Tool-R0.
 * `answer.kind === "given"` fixes operations and argument values, `"free"` only the number of calls (as in the paper).
 */
export interface TaskSpec {
  id: string;
  domain: string;
  context: "single_turn" | "multi_turn";
  /** Names of the tools shown, in the order shown. */
  tools: string[];
  answer: { kind: "given"; calls: ToolCall[] } | { kind: "free"; calls: number };
}

/** A verified task. `question` is one text; a conversation is joined as lines of `user: …` and `assistant: …`. */
export interface Task {
  id: string;
  spec: TaskSpec;
  question: string;
  tools: string[];
  answer: ToolCall[];
}

/** Why a model's text is not a task, or not an answer. Data, never thrown. */
export interface Rejection {
  reason:
    | "no-question"
    | "placeholder-question"
    | "wrong-context"
    | "no-answer"
    | "unparsable-answer"
    | "wrong-number-of-calls"
    | "unknown-tool"
    | "wrong-operation"
    | "invalid-arguments"
    | "leaked-answer"
    | "ungrounded-value"
    | "repeated-value"
    | "off-topic"
    | "ambiguous"
    | "duplicate"
    | "refuted";
  /** JSON pointer into the answer, or a short quote of what was wrong. */
  pointer: string;
  message: string;
}

/** A task for measuring: format of `openapi-tasks`. `name` is the operationId, null where the document has none. */
export interface EvaluationTask {
  id: string;
  question: string;
  gold: { name: string | null; method?: string; path?: string; arguments: JsonObject }[];
  args_known?: boolean;
  source?: string;
}
