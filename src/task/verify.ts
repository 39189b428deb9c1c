import { createArgumentValidator } from "../openapi/arguments.js";
import type { ToolMenu } from "../openapi/types.js";
import { isConversation, questionToMessages } from "./conversation.js";
import { callsEqual } from "./equality.js";
import { groundCall, readQuestion, saidTooOften } from "./grounding.js";
import { type Completion, parseCompletion, parseQuestion } from "./parse.js";
import { isRejection, pointerTo, quote, reject } from "./rejection.js";
import {
  contradicts,
  profileOf,
  sharesWord,
  type ToolProfile,
  type TopicWeights,
  topicQuestion,
  topicScores,
  topicWeights,
} from "./topic.js";
import type { Rejection, Task, TaskSpec, ToolCall } from "./types.js";

export interface VerifierOptions {
  /** Reject values that the question does not say. */
  grounding: boolean;
  /** Reject questions that do not speak of the operation, or more of another one. */
  topic: boolean;
  /** A neighbour is clearly nearer when its score exceeds the own one by this factor plus `ambiguityOffset`. */
  ambiguityFactor: number;
  ambiguityOffset: number;
  topicWeights: TopicWeights;
}

export const verifierDefaults: VerifierOptions = {
  grounding: true,
  topic: true,
  ambiguityFactor: 1.2,
  ambiguityOffset: 0.5,
  topicWeights,
};

/** Everything the verifier found out about one completion; the Generator's reward is made of this. */
export interface Assessment {
  question: string | null;
  /** The task's answer: the given one, or the calls that the Generator wrote. */
  calls: ToolCall[] | null;
  /** Which of the asked-for parts were written well; `answer` is null where the answer was given. */
  format: { question: boolean; shape: boolean; answer: boolean | null };
  placeholder: boolean;
  /** Shares in [0, 1] over the calls (`grounded`: over the argument values). Zero without a question. */
  validity: { inMenu: number; fits: number; grounded: number };
  /** In [0, 1]: the own operation's share of the topic score against the nearest other one; 0 when off topic. */
  topicality: number;
  result: Task | Rejection;
}

export interface Verifier {
  verify(spec: TaskSpec, completion: string | Completion): Task | Rejection;
  assess(spec: TaskSpec, completion: string | Completion): Assessment;
}

const placeholder =
  /^[\s"'<[({*_]*(?:\.{2,}|…|(?:the |a |your |user'?s? |my |actual |some |insert |write )*(?:question|request|text|query|task|conversation|string|todo|tbd|placeholder|n\/a)(?: (?:text|here|goes here|for|to be written))*)[\s"'>\])}*_.:!?…]*$/i;

/** Whether a question only stands for a question: no letters, or a template's words. */
export function isPlaceholder(question: string): boolean {
  const text = question.slice(0, 200);
  return (
    !/\p{L}{2,}/u.test(text) ||
    placeholder.test(text) ||
    /\b(?:lorem ipsum|insert (?:your )?question|question goes here)\b/i.test(text)
  );
}

const jsonLike = /[{[]\s*"[^"]{0,200}"\s*[:,\]]|<\/?(?:tool_call_answer|question|think)>/;

/** A piece of the answer's form that the question gives away, or undefined. */
function leak(question: string, calls: readonly ToolCall[]): string | undefined {
  const json = jsonLike.exec(question)?.[0];
  if (json !== undefined) return json;
  const lower = question.toLowerCase();
  for (const { name } of calls) {
    // A one-word name ("search") is ordinary speech; a joined one ("findPets", "find_pets") is not.
    if (!/[_\d-]|\p{Ll}\p{Lu}/u.test(name)) continue;
    const at = lower.indexOf(name.toLowerCase());
    if (at < 0) continue;
    const around = `${question[at - 1] ?? " "}${question[at + name.length] ?? " "}`;
    if (!/[\p{L}\p{N}_]/u.test(around)) return name;
  }
  return undefined;
}

/**
 * Makes tasks out of completions of the Generator, or says what is wrong with them. Checks, in this order: a real
 * question; the specification obeyed (context, number of calls, shown tools, given answer); every call accepted by
 * the document's schemas; nothing of the answer's form in the question; every value said; the question about this
 * operation and not about a neighbour.
 */
export function createVerifier(menu: ToolMenu, options: Partial<VerifierOptions> = {}): Verifier {
  const settings: VerifierOptions = { ...verifierDefaults, ...options };
  const validator = createArgumentValidator();
  const tools = new Map(menu.tools.map((tool) => [tool.name, tool]));
  const profiles = new Map<string, ToolProfile>(
    menu.tools.map((tool) => [tool.name, profileOf(tool, settings.topicWeights)]),
  );

  function assess(spec: TaskSpec, completion: string | Completion): Assessment {
    const free = spec.answer.kind === "free";
    const parsed =
      typeof completion === "string"
        ? parseCompletion(completion, { question: true, calls: free })
        : completion;
    const assessment: Assessment = {
      question: null,
      calls: null,
      format: { question: false, shape: false, answer: free ? false : null },
      placeholder: false,
      validity: { inMenu: 0, fits: 0, grounded: 0 },
      topicality: 0,
      result: isRejection(parsed) ? parsed : reject("no-question", "", "No question"),
    };
    if (isRejection(parsed)) {
      // A question without a readable answer still earns its part of the format.
      const alone = typeof completion === "string" ? parseQuestion(completion) : null;
      assessment.question = alone;
      assessment.format.question = alone !== null;
      assessment.placeholder = alone !== null && isPlaceholder(alone);
      return assessment;
    }
    const { question } = parsed;
    if (question === null) return assessment;
    const calls = spec.answer.kind === "given" ? spec.answer.calls : parsed.calls;
    assessment.question = question;
    assessment.calls = calls;
    assessment.format.question = true;
    assessment.placeholder = isPlaceholder(question);
    const problems: Rejection[] = [];
    if (assessment.placeholder)
      problems.push(reject("placeholder-question", quote(question), "The question is a placeholder"));

    const dialogue = spec.context === "multi_turn";
    const shape = dialogue ? isConversation(question) : questionToMessages(question).length === 1;
    if (!shape)
      problems.push(
        reject(
          "wrong-context",
          quote(question),
          dialogue
            ? "Asked for a conversation that starts and ends with the user"
            : "Asked for a single question",
        ),
      );
    assessment.format.shape = shape;
    if (calls === null) {
      problems.push(reject("no-answer", "", "No calls"));
      return { ...assessment, result: problems[0] ?? assessment.result };
    }
    if (free) assessment.format.answer = true;
    if (spec.answer.kind === "given" && parsed.calls !== null && !callsEqual(parsed.calls, calls, menu.tools))
      problems.push(reject("wrong-operation", "", "The answer written is not the given one"));
    if (spec.answer.kind === "free" && calls.length !== spec.answer.calls) {
      assessment.format.shape = false;
      problems.push(
        reject("wrong-number-of-calls", "", `Asked for ${spec.answer.calls} calls, got ${calls.length}`),
      );
    }
    problems.push(...checkCalls(spec, question, calls, assessment));
    const [first] = problems;
    assessment.result = first ?? {
      id: spec.id,
      spec,
      question,
      tools: [...spec.tools],
      answer: calls.map((call) => ({ ...call })),
    };
    return assessment;
  }

  function checkCalls(
    spec: TaskSpec,
    question: string,
    calls: readonly ToolCall[],
    assessment: Assessment,
  ): Rejection[] {
    const structural: Rejection[] = [];
    const spoken: Rejection[] = [];
    const reading = readQuestion(question);
    let known = 0;
    let fitting = 0;
    let leaves = 0;
    let missing = 0;
    for (const [index, call] of calls.entries()) {
      const pointer = pointerTo("", index);
      const tool = spec.tools.includes(call.name) ? tools.get(call.name) : undefined;
      if (tool === undefined) {
        structural.push(
          reject("unknown-tool", `${pointer}/name`, `${quote(call.name)} is not one of the shown tools`),
        );
      } else {
        known++;
        const check = validator.validate(tool, call.arguments);
        if (check.ok) fitting++;
        else
          for (const { pointer: at, message } of check.errors)
            structural.push(reject("invalid-arguments", `${pointer}/arguments${at}`, message));
      }
      const grounding = groundCall(reading, call, tool);
      leaves += grounding.leaves;
      missing += grounding.missing.length;
      for (const { pointer: at, value } of settings.grounding ? grounding.missing : [])
        spoken.push(
          reject(
            "ungrounded-value",
            `${pointer}/arguments${at}`,
            `The question does not say ${quote(JSON.stringify(value))}`,
          ),
        );
    }
    assessment.validity = {
      inMenu: calls.length === 0 ? 0 : known / calls.length,
      fits: calls.length === 0 ? 0 : fitting / calls.length,
      grounded: calls.length === 0 ? 0 : leaves === 0 ? 1 : 1 - missing / leaves,
    };
    const repeated =
      settings.grounding && spec.context === "single_turn" ? saidTooOften(reading, calls) : undefined;
    if (repeated !== undefined)
      spoken.push(
        reject(
          "repeated-value",
          quote(repeated),
          `The question says ${quote(repeated)} more often than needed`,
        ),
      );
    const leaked = leak(question, calls);
    if (leaked !== undefined)
      spoken.unshift(reject("leaked-answer", quote(leaked), "The question gives the answer's form away"));
    const topic =
      structural.length === 0 && calls.length > 0 ? checkTopic(spec, question, calls, assessment) : undefined;
    if (topic !== undefined && settings.topic) spoken.push(topic);
    return [...structural, ...spoken];
  }

  function checkTopic(
    spec: TaskSpec,
    question: string,
    calls: readonly ToolCall[],
    assessment: Assessment,
  ): Rejection | undefined {
    const asked = topicQuestion(question, calls);
    const shown = spec.tools.map((name) => profiles.get(name)).filter((profile) => profile !== undefined);
    const scores = topicScores(asked, shown, settings.topicWeights);
    const own = new Set(calls.map((call) => call.name));
    let rival = 0;
    let rivalName = "";
    for (const [index, name] of spec.tools.entries())
      if (!own.has(name) && (scores[index] ?? 0) > rival) {
        rival = scores[index] ?? 0;
        rivalName = name;
      }
    let least = 1;
    let verdict: Rejection | undefined;
    for (const [index, { name }] of calls.entries()) {
      const profile = profiles.get(name);
      if (profile === undefined) continue;
      const score = scores[spec.tools.indexOf(name)] ?? 0;
      const pointer = pointerTo("", index);
      if (!sharesWord(asked, profile, shown)) {
        least = 0;
        verdict ??= reject("off-topic", pointer, `The question has no word of the operation ${name}`);
      } else if (contradicts(asked, profile)) {
        least = 0;
        verdict ??= reject("off-topic", pointer, `The question asks for another action than ${name}`);
      } else {
        least = Math.min(least, score + rival === 0 ? 1 : score / (score + rival));
        if (rival > score * settings.ambiguityFactor + settings.ambiguityOffset)
          verdict ??= reject(
            "ambiguous",
            pointer,
            `The question speaks more of ${rivalName} than of ${name}`,
          );
      }
    }
    assessment.topicality = least;
    return verdict;
  }

  return { assess, verify: (spec, completion) => assess(spec, completion).result };
}
