import type { SamplingClient } from "../backend/types.js";
import { createArgumentValidator } from "../openapi/arguments.js";
import { shortlist } from "../openapi/search.js";
import type { Tool } from "../openapi/types.js";
import type { Tokenizer } from "../rollout/tokenizer.js";
import { type ChatMessage, messagesToQuestion, questionToMessages } from "../task/conversation.js";
import { callsEqual } from "../task/equality.js";
import { parseCompletion, parseText } from "../task/parse.js";
import {
  briefStyle,
  correctionMessage,
  type PromptStyle,
  resultsMessage,
  solverCompletion,
  solverMessages,
} from "../task/prompts.js";
import type { Rejection, ToolCall } from "../task/types.js";
import { SpecdojoError } from "../util/errors.js";
import type { JsonValue } from "../util/json.js";
import type { TypedToolCall, UntypedOperations } from "./client-types.js";
import type { AgentManifest } from "./manifest.js";
import { type CompletionUsage, type Solver, samplerSolver } from "./solver.js";
import {
  createToolset,
  type ExecuteOptions,
  outcomeText,
  type ToolOutcome,
  type Toolset,
  type ToolsetOptions,
} from "./toolset.js";

/** What `decide` chose. */
export interface Decision<O = UntypedOperations> {
  /** Calls of shown tools whose arguments fit the schema, in the order written. */
  calls: TypedToolCall<O>[];
  /** What the solver says to the user beside its calls, such as a question back where a value is missing. Often empty. */
  text: string;
  /** All that the solver wrote, reasoning included. */
  completion: string;
  /** What was wrong with the text or with calls that were left out. Empty when all was well. */
  rejected: Rejection[];
  /** Names of the tools that the solver was shown. */
  shown: string[];
}

export interface DecideOptions {
  /** Number of tools shown to the solver, found by searching the menu. Default: all, or the agent's `maxTools`. */
  k?: number;
  /** Only tools of these domains. */
  domains?: readonly string[];
  /** Only tools of these names. */
  tools?: readonly string[];
  /**
   * How often the solver is asked again, with the reasons, after an answer with rejections. Default 0: the bundled model
   * was not trained for it.
   */
  reasks?: number;
  /** The answer begins with a call, fitting or not. */
  mustCall?: boolean;
  /** Longest completion, in tokens. Default: the agent's. */
  maxTokens?: number;
  /** Told of each prompt's tokens. */
  onUsage?: (usage: CompletionUsage) => void;
  signal?: AbortSignal;
}

export interface ExecutedCall {
  call: ToolCall;
  outcome: ToolOutcome;
}

export interface RunStep<O = UntypedOperations> {
  decision: Decision<O>;
  executed: ExecutedCall[];
}

/** In the order in which they happen; `executing` and `executed` once for each call. */
export type RunEvent =
  | { type: "decided"; step: number; calls: ToolCall[]; rejected: Rejection[] }
  | { type: "executing"; step: number; call: ToolCall }
  | { type: "executed"; step: number; call: ToolCall; outcome: ToolOutcome };

export interface RunOptions extends DecideOptions, ExecuteOptions {
  /**
   * Default 1: a solver trained by self-play on whole answers makes all calls at once. With more, results are fed
   * back until it makes no further call, or repeats one.
   */
  maxSteps?: number;
  /** Longest text of one result that is fed back, in characters. Default 4000. */
  maxResultCharacters?: number;
  onEvent?: (event: RunEvent) => void;
}

export interface RunResult<O = UntypedOperations> {
  /**
   * `answered`: it ended by itself. `asked`: the solver called nothing and asked the user something (`text`).
   * `no-call`: nothing could be called. `step-limit`: it might have gone on.
   */
  status: "answered" | "asked" | "no-call" | "step-limit";
  /** What the solver said to the user at last; often empty. */
  text: string;
  steps: RunStep<O>[];
  /** The calls of all steps with what became of them, in order. */
  executed: ExecutedCall[];
}

export type Question = string | readonly ChatMessage[];

/** A tuned solver with the tools and the client of its API. */
export interface Agent<O = UntypedOperations> extends Toolset<O> {
  /** The evaluation that was exported with it; null for an agent that was not measured. */
  readonly evaluation: JsonValue;
  /** Null for an agent that was not loaded from a folder. */
  readonly manifest: AgentManifest | null;
  /** Greedy: the same question gives the same calls. */
  decide(question: Question, options?: DecideOptions): Promise<Decision<O>>;
  /** All questions in one batch. */
  decideBatch(questions: readonly Question[], options?: DecideOptions): Promise<Decision<O>[]>;
  /** Decides, executes under the safety policy, and feeds results back as long as `maxSteps` allows. */
  run(question: Question, options?: RunOptions): Promise<RunResult<O>>;
  /** Ends what the agent started. */
  close(): Promise<void>;
}

export type CreateAgentOptions = ToolsetOptions & {
  style?: PromptStyle;
  /** Longest completion, in tokens. Default 512. */
  maxTokens?: number;
  /** A menu with more tools is searched first. Default 64. */
  maxTools?: number;
  evaluation?: JsonValue;
  manifest?: AgentManifest;
} & ({ sampler: SamplingClient; tokenizer: Tokenizer } | { solver: Solver });

/**
 * An agent in memory. It owns its `solver`, but not a `sampler`.
 * @throws SpecdojoError `duplicate-tool` when an own tool has the name of another.
 */
export function createAgent<O = UntypedOperations>(options: CreateAgentOptions): Agent<O> {
  const { style = briefStyle, maxTokens = 512, maxTools = 64 } = options;
  const solver =
    "solver" in options ? options.solver : samplerSolver(options.sampler, options.tokenizer, { style });
  const toolset = createToolset<O>(options);
  const { menu } = toolset;
  const validator = createArgumentValidator();
  function shownTo(
    question: string,
    { k, domains, tools: only }: DecideOptions,
    fits?: (tools: readonly Tool[]) => boolean,
  ): Tool[] {
    const known = new Set(menu.domains.map(({ name }) => name));
    const strange = domains?.find((name) => !known.has(name));
    if (strange !== undefined)
      throw new SpecdojoError("unknown-domain", `The menu has no domain ${JSON.stringify(strange)}.`, {
        place: "decide.domains",
        remedy: `Use one of ${[...known].map((name) => JSON.stringify(name)).join(", ")}.`,
      });
    const allowed = menu.tools.filter(
      ({ name, domain }) => (domains?.includes(domain) ?? true) && (only?.includes(name) ?? true),
    );
    return [...shortlist(allowed, question, k ?? maxTools, (text) => toolset.search(text), fits)];
  }

  function check(completion: string, shown: readonly Tool[]): Decision<O> {
    const names = shown.map(({ name }) => name);
    const text = parseText(completion);
    const parsed = parseCompletion(completion, { calls: true });
    if ("reason" in parsed) return { calls: [], text, completion, rejected: [parsed], shown: names };
    const calls: ToolCall[] = [];
    const rejected: Rejection[] = [];
    for (const [i, call] of (parsed.calls ?? []).entries()) {
      const tool = shown.find(({ name }) => name === call.name);
      if (tool === undefined) {
        const message = `No shown tool is named ${JSON.stringify(call.name.slice(0, 80))}`;
        rejected.push({ reason: "unknown-tool", pointer: `/${i}/name`, message });
        continue;
      }
      const checked = validator.validate(tool, call.arguments);
      if (checked.ok) calls.push(call);
      else
        for (const { pointer, message } of checked.errors)
          rejected.push({ reason: "invalid-arguments", pointer: `/${i}/arguments${pointer}`, message });
    }
    return { calls: calls as TypedToolCall<O>[], text, completion, rejected, shown: names };
  }

  async function decideBatch(
    questions: readonly Question[],
    decideOptions: DecideOptions = {},
  ): Promise<Decision<O>[]> {
    const { signal, reasks = 0, mustCall, onUsage } = decideOptions;
    const texts = questions.map(textOf);
    const fits = await solver.room?.(decideOptions.maxTokens ?? maxTokens);
    const shown = texts.map((text) => shownTo(text, decideOptions, fits));
    const decisions: Decision<O>[] = [];
    let open = questions.map((_, i) => i);
    for (let round = 0; round <= reasks && open.length > 0; round++) {
      const prompts = open.map((i) => {
        const before = decisions[i];
        const messages = solverMessages(shown[i] ?? [], texts[i] ?? "", style);
        return before === undefined
          ? messages
          : [
              ...messages,
              { role: "assistant" as const, content: before.completion },
              correctionMessage(before.rejected),
            ];
      });
      const completions = await solver.complete(prompts, {
        maxTokens: decideOptions.maxTokens ?? maxTokens,
        tools: open.map((i) => shown[i] ?? []),
        ...(mustCall === undefined ? {} : { mustCall }),
        ...(onUsage === undefined ? {} : { onUsage: (_, usage) => onUsage(usage) }),
        ...(signal === undefined ? {} : { signal }),
      });
      for (const [place, i] of open.entries()) {
        const decision = check(completions[place] ?? "", shown[i] ?? []);
        const before = decisions[i];
        // A second answer that is no better leaves the first one standing.
        if (
          before === undefined ||
          decision.rejected.length === 0 ||
          decision.calls.length > before.calls.length
        )
          decisions[i] = decision;
      }
      open = open.filter((i) => (decisions[i]?.rejected.length ?? 0) > 0);
    }
    return decisions;
  }

  async function decide(question: Question, decideOptions?: DecideOptions): Promise<Decision<O>> {
    let first: CompletionUsage | undefined;
    const onUsage = (usage: CompletionUsage): void => {
      first ??= usage;
      decideOptions?.onUsage?.(usage);
    };
    const [decision] = await decideBatch([question], { ...decideOptions, onUsage });
    if (first?.completion === 0 && first.finish === "length")
      throw new SpecdojoError(
        "prompt-too-long",
        `The tools and the question take ${first.prompt} tokens, which leaves no room for an answer.`,
        { place: "decide", remedy: "Shorten the question, or show fewer tools (`k`, or `maxTools`)." },
      );
    return decision as Decision<O>;
  }

  async function run(question: Question, runOptions: RunOptions = {}): Promise<RunResult<O>> {
    const { maxSteps = 1, maxResultCharacters = 4000, onEvent } = runOptions;
    const steps: RunStep<O>[] = [];
    const done: ExecutedCall[] = [];
    let conversation = questionToMessages(textOf(question));
    const result = (status: RunResult["status"]): RunResult<O> => {
      const text = steps.at(-1)?.decision.text ?? "";
      return { status, text, steps, executed: done };
    };
    for (let step = 1; step <= maxSteps; step++) {
      const decision = await decide(step === 1 ? question : conversation, runOptions);
      const calls: ToolCall[] = decision.calls as unknown as ToolCall[];
      onEvent?.({ type: "decided", step, calls, rejected: decision.rejected });
      const before = steps.at(-1)?.decision.calls as unknown as ToolCall[] | undefined;
      if (calls.length === 0 || (before !== undefined && callsEqual(before, calls, menu.tools))) {
        steps.push({ decision, executed: [] });
        const asked = calls.length === 0 && decision.rejected.length === 0 && decision.text !== "";
        return result(step > 1 ? "answered" : asked ? "asked" : "no-call");
      }
      const executed: ExecutedCall[] = [];
      steps.push({ decision, executed });
      for (const call of calls) {
        onEvent?.({ type: "executing", step, call });
        const outcome = await toolset.execute(call, runOptions);
        executed.push({ call, outcome });
        done.push({ call, outcome });
        onEvent?.({ type: "executed", step, call, outcome });
      }
      const results = executed.map(({ call: { name }, outcome }) => ({
        name,
        text: outcomeText(outcome, { maxCharacters: maxResultCharacters, fields: runOptions.fields?.[name] }),
      }));
      conversation = [
        ...conversation,
        { role: "assistant", content: solverCompletion(calls) },
        resultsMessage(results),
      ];
    }
    return result(maxSteps === 1 ? "answered" : "step-limit");
  }

  return {
    ...toolset,
    evaluation: options.evaluation ?? null,
    manifest: options.manifest ?? null,
    decide,
    decideBatch,
    run,
    close: () => solver.close(),
  };
}

function textOf(question: Question): string {
  return typeof question === "string" ? question : messagesToQuestion(question);
}
