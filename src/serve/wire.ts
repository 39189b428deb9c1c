import type { ChatAnswer } from "./chat.js";

/** Usage as OpenAI counts it. */
function usageOf({ usage }: ChatAnswer): object {
  return {
    prompt_tokens: usage.prompt,
    completion_tokens: usage.completion,
    total_tokens: usage.prompt + usage.completion,
    prompt_tokens_details: { cached_tokens: usage.cached },
  };
}

const callOf = ({ id, name, arguments: args }: ChatAnswer["calls"][number]) => ({
  id,
  type: "function",
  function: { name, arguments: args },
});

/** An answer as one `chat.completion`. */
export function completionBody(answer: ChatAnswer, model: string): object {
  const message = {
    role: "assistant",
    content: answer.text,
    refusal: null,
    ...(answer.calls.length === 0 ? {} : { tool_calls: answer.calls.map(callOf) }),
  };
  return {
    id: answer.id,
    object: "chat.completion",
    created: answer.created,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: answer.finish }],
    usage: usageOf(answer),
  };
}

/** The same answer as the `chat.completion.chunk`s of a stream. */
export function* completionChunks(
  answer: ChatAnswer,
  model: string,
  includeUsage: boolean,
): Generator<object> {
  const { id, created } = answer;
  const chunk = (choices: object[], usage?: object): object => ({
    id,
    object: "chat.completion.chunk",
    created,
    model,
    choices,
    ...(includeUsage ? { usage: usage ?? null } : {}),
  });
  const delta = (content: object, finish: string | null = null): object =>
    chunk([{ index: 0, delta: content, logprobs: null, finish_reason: finish }]);
  yield delta({ role: "assistant", content: answer.calls.length > 0 && answer.text === null ? null : "" });
  if (answer.text !== null) yield delta({ content: answer.text });
  for (const [index, call] of answer.calls.entries()) {
    const whole = callOf(call);
    yield delta({ tool_calls: [{ index, ...whole, function: { name: call.name, arguments: "" } }] });
    yield delta({ tool_calls: [{ index, function: { arguments: call.arguments } }] });
  }
  yield delta({}, answer.finish);
  if (includeUsage) yield chunk([], usageOf(answer));
}
