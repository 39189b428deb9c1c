import type { ToolCall } from "../../src/task/index.js";
import { generatorCompletion, parseCalls, solverCompletion } from "../../src/task/index.js";

/** What the policy knows of the API: how an operation is asked for, and the arguments that it takes. */
const phrases: Record<string, string> = {
  listBooks: "List all books",
  getBook: "Show one book",
  createLoan: "Create a loan",
  removeMember: "Remove a member",
};
const freeArguments: Record<string, string[]> = {
  listBooks: ["shelf"],
  getBook: ["bookId"],
  createLoan: ["copyId", "memberId"],
  removeMember: ["memberId"],
};

/** Four things that either role can do with a prompt; the first is right. */
export const classes = 4;

/** Logits before training, by what the prompt is about. The Solver never samples a right `createLoan`. */
export function startLogits(key: string): number[] {
  if (key === "solver/createLoan") return [-40, 0, 0, 0];
  if (key === "solver/removeMember") return [3, 0, 0, 0];
  if (key === "solver/getBook") return [1, 0, 0, 0];
  if (key.startsWith("generator/")) return [1, 1, 0, 0];
  return [0, 0, 0, 0];
}

/** What a prompt asks for: the row of the policy's table, and the completion of a class. */
export interface Situation {
  key: string;
  complete(choice: number, seed: number): string;
  /** The class of a completion that someone wrote. */
  classify(text: string): number;
}

/** Reads a prompt as the fixture's chat template writes it. */
export function situationOf(prompt: string): Situation {
  const user = prompt.slice(prompt.lastIndexOf("<|user|>") + 8, prompt.lastIndexOf("<|assistant|>"));
  const given = /^Write the (question|conversation) for: (.*)$/s.exec(user);
  if (given !== null) return writer(JSON.parse(given[2] ?? "[]") as ToolCall[], given[1] === "conversation");
  const free = /^Write a (task|conversation) with (\d) calls?\.$/.exec(user);
  if (free !== null) return freeWriter(prompt, free[1] === "conversation", Number(free[2]));
  return solver(readQuestion(user));
}

const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function sentence({ name, arguments: args }: ToolCall): string {
  const said = Object.entries(args).map(([key, value]) => `${words(key)} is ${String(value)}`);
  return said.length === 0 ? `${phrases[name]}.` : `${phrases[name]}: ${said.join("; ")}.`;
}

function readQuestion(text: string): ToolCall[] | undefined {
  const calls = text
    .replace(/^Could you help\? /, "")
    .split(" Then do this. ")
    .map((part): ToolCall | undefined => {
      const [phrase = "", said] = part.replace(/\.$/, "").split(": ");
      const name = Object.keys(phrases).find((key) => phrases[key] === phrase);
      if (name === undefined) return undefined;
      const entries = (said?.split("; ") ?? []).map((item): [string, number] => {
        const [key = "", value = ""] = item.split(" is ");
        return [key.replace(/ (\w)/g, (_, letter: string) => letter.toUpperCase()), Number(value)];
      });
      return { name, arguments: Object.fromEntries(entries) };
    });
  return calls.every((call) => call !== undefined) ? calls : undefined;
}

function question(calls: readonly ToolCall[], choice: number, conversation: boolean): string {
  const plain = calls.map(sentence).join(" Then do this. ");
  const text = choice === 1 ? "Please help me." : choice === 2 ? `Could you help? ${plain}` : plain;
  return conversation ? `user: Hello there\nassistant: What can I do for you?\nuser: ${text}` : text;
}

const classOfQuestion = (text: string): number =>
  !text.includes("</question>")
    ? 3
    : text.includes("Please help me.")
      ? 1
      : text.includes("Could you help?")
        ? 2
        : 0;

function writer(calls: readonly ToolCall[], conversation: boolean): Situation {
  return {
    key: `generator/${calls[0]?.name ?? ""}`,
    complete: (choice) =>
      choice === 3 ? "<question>Well" : generatorCompletion(question(calls, choice, conversation)),
    classify: classOfQuestion,
  };
}

function freeWriter(prompt: string, conversation: boolean, count: number): Situation {
  const shown = Object.keys(phrases).filter((name) => prompt.includes(`\n${name}(`));
  return {
    key: "generator/free",
    complete(choice, seed) {
      if (choice === 3) return "<question>Well";
      const calls = Array.from({ length: count }, (_, index): ToolCall => {
        const name = shown[(seed + index) % shown.length] ?? "getBook";
        const keys = freeArguments[name] ?? [];
        return { name, arguments: Object.fromEntries(keys.map((key, i) => [key, 1 + ((seed + i) % 9000)])) };
      });
      return generatorCompletion(question(calls, choice, conversation), calls);
    },
    classify: classOfQuestion,
  };
}

function solver(right: ToolCall[] | undefined): Situation {
  if (right === undefined)
    return { key: "solver/unread", complete: () => solverCompletion([]), classify: () => 0 };
  const [first = { name: "", arguments: {} }, ...rest] = right;
  return {
    key: `solver/${first.name}`,
    complete(choice, seed) {
      if (choice === 0) return solverCompletion(right);
      if (choice === 3) return "<tool_call_answer>[{";
      const name = choice === 2 ? "searchShelves" : first.name;
      const shift = choice === 2 ? 0 : 1 + (seed % 97);
      const args = Object.fromEntries(
        Object.entries(first.arguments).map(([key, value]) => [key, Number(value) + shift]),
      );
      const wrong = choice === 1 && Object.keys(args).length === 0 ? { limit: shift } : args;
      return solverCompletion([{ name, arguments: wrong }, ...rest]);
    },
    classify(text) {
      const calls = parseCalls(text);
      if (!Array.isArray(calls)) return 3;
      if (JSON.stringify(calls) === JSON.stringify(right)) return 0;
      return calls[0]?.name === first.name ? 1 : 2;
    },
  };
}
