/** One chat message, as chat templates take it. */
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

const turn = /^(user|assistant):[ \t]*(.*)$/;

/**
 * A question as chat messages. A text whose first line starts with `user:` or `assistant:` is a conversation, one
 * turn per such line (other lines belong to the turn above); any other text is a single user message.
 */
export function questionToMessages(question: string): ChatMessage[] {
  const lines = question.split(/\r?\n/);
  if (!turn.test(lines[0] ?? "")) return [{ role: "user", content: question }];
  const messages: ChatMessage[] = [];
  for (const line of lines) {
    const match = turn.exec(line);
    const last = messages.at(-1);
    if (match !== null)
      messages.push({ role: match[1] === "assistant" ? "assistant" : "user", content: match[2] ?? "" });
    else if (last !== undefined) last.content += `\n${line}`;
  }
  return messages.map((message) => ({ ...message, content: message.content.trim() }));
}

/** The inverse of `questionToMessages`. Line breaks inside a turn of a conversation become spaces. */
export function messagesToQuestion(messages: readonly ChatMessage[]): string {
  const turns = messages.filter((message) => message.role !== "system");
  const [only] = turns;
  if (turns.length === 1 && only?.role === "user" && !turn.test(only.content)) return only.content;
  return turns
    .map(({ role, content }) => `${role}: ${content.trim().replace(/\s*[\r\n]+\s*/g, " ")}`)
    .join("\n");
}

/** Whether a text is a conversation that can be answered: user first and last, no empty turn, three turns or more. */
export function isConversation(question: string): boolean {
  const messages = questionToMessages(question);
  return (
    messages.length >= 3 &&
    messages[0]?.role === "user" &&
    messages.at(-1)?.role === "user" &&
    messages.every((message) => message.content !== "")
  );
}
