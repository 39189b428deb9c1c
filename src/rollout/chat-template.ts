import { Environment, Interpreter, Template } from "@huggingface/jinja";
import type { ChatMessage } from "../task/conversation.js";
import { SpecdojoError } from "../util/errors.js";

type Variables = Record<string, string | number | boolean>;

/** A Jinja chat template as `transformers` renders it, save that nothing in it depends on the current date. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #place: string;

  constructor(source: string, place: string) {
    this.#place = place;
    try {
      this.#template = new Template(source);
    } catch (cause) {
      throw new SpecdojoError("model-unreadable", "The model's chat template cannot be read.", {
        place,
        remedy: "Check the template; a corrected one may be put into chat_template.jinja.",
        cause,
      });
    }
  }

  /** Where the template knows no system role, the system message is put before the first user message. */
  render(messages: readonly ChatMessage[], variables: Variables): string {
    try {
      return this.#run(messages, variables);
    } catch (cause) {
      const merged = withoutSystem(messages);
      if (merged !== undefined) {
        try {
          return this.#run(merged, variables);
        } catch {
          // The first failure says more.
        }
      }
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new SpecdojoError(
        "model-unreadable",
        `The model's chat template refused the conversation: ${why}`,
        {
          place: this.#place,
          remedy: "Use an instruction-tuned model whose template takes system, user and assistant messages.",
          cause,
        },
      );
    }
  }

  #run(messages: readonly ChatMessage[], variables: Variables): string {
    const environment = new Environment();
    const globals = {
      true: true,
      false: false,
      none: null,
      True: true,
      False: false,
      None: null,
      range,
      // Prompts must not change with the day: every date is this one.
      strftime_now: (format: unknown) => formatDate(String(format)),
      raise_exception: (message: unknown) => {
        throw new Error(String(message));
      },
    };
    for (const [name, value] of Object.entries({ ...globals, ...variables, messages }))
      environment.set(name, value);
    return String(new Interpreter(environment).run(this.#template.parsed).value);
  }
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = typeof stop === "number" ? [start, stop] : [0, start];
  return Array.from(
    { length: Math.max(0, Math.ceil((to - from) / step)) },
    (_, index) => from + index * step,
  );
}

const fixedDate: Readonly<Record<string, string>> = {
  "%Y": "2025",
  "%m": "01",
  "%d": "01",
  "%b": "Jan",
  "%B": "January",
  "%H": "00",
  "%M": "00",
  "%%": "%",
};
const formatDate = (format: string): string =>
  format.replace(/%[YmdbBHM%]/g, (field) => fixedDate[field] ?? field);

function withoutSystem(messages: readonly ChatMessage[]): ChatMessage[] | undefined {
  const [system, user, ...rest] = messages;
  if (system?.role !== "system" || user?.role !== "user") return undefined;
  return [{ role: "user", content: `${system.content}\n\n${user.content}` }, ...rest];
}
