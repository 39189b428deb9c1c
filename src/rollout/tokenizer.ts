import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import type { Tokens } from "../backend/types.js";
import type { ChatMessage } from "../task/conversation.js";
import { SpecdojoError } from "../util/errors.js";
import { isObject } from "../util/json.js";
import { ChatTemplate } from "./chat-template.js";

/** A model's own tokenizer and chat template. Token ids are those of Python's `transformers` for the same files. */
export interface Tokenizer {
  /** Token ids that end a completion: `eos_token_id` of the generation config and config, and the tokenizer's eos token. */
  readonly stopTokens: readonly number[];
  /** Number of ids that the tokenizer knows, added tokens included. */
  readonly size: number;
  /** Tokens that the model reads at most, prompt and completion together; absent where its configuration does not say. */
  readonly contextLength?: number | undefined;
  /**
   * Ids of a text of ours, in which the names of special tokens (`<|end|>`) stand for them. No beginning-of-text token
   * is added. For text of a user, a document or a tool use `encodeContent`.
   */
  encode(text: string): Tokens;
  /** Ids of a text of others: a special token's name in it is plain text, so that it cannot steer the model. */
  encodeContent(text: string): Tokens;
  /** Special tokens are written by their names; bytes that are no UTF-8 become U+FFFD. */
  decode(tokens: readonly number[]): string;
  /**
   * Ids of a conversation in the model's own chat template, contents encoded as by `encodeContent`.
   * `addGenerationPrompt` (default true) ends with the beginning of an assistant's turn.
   */
  renderChat(messages: readonly ChatMessage[], options?: RenderOptions): Tokens;
  /** The id of a token by its exact name, e.g. `<|end|>`. */
  tokenId(name: string): number | undefined;
}

export interface RenderOptions {
  addGenerationPrompt?: boolean;
  /** Further variables of the template, e.g. `{ enable_thinking: false }`. */
  variables?: Record<string, string | number | boolean>;
}

/**
 * Reads `tokenizer.json`, `tokenizer_config.json`, the chat template, `generation_config.json` and `config.json` of a
 * model folder. Throws `SpecdojoError` with code `model-incomplete`, `model-unreadable` or `model-no-chat-template`.
 */
export async function loadTokenizer(modelDir: string): Promise<Tokenizer> {
  const read = <S extends z.ZodType>(name: string, schema: S): Promise<z.infer<S> | undefined> =>
    readJson(join(modelDir, name), schema);
  const [tokenizer, config, generation, model, legacyTemplate, templateFile] = await Promise.all([
    read("tokenizer.json", tokenizerFile),
    read("tokenizer_config.json", tokenizerConfig),
    read("generation_config.json", eosConfig),
    read("config.json", modelConfig),
    read("chat_template.json", z.looseObject({ chat_template: z.string() })),
    readFile(join(modelDir, "chat_template.jinja"), "utf8").catch(() => undefined),
  ]);
  if (tokenizer === undefined)
    throw new SpecdojoError("model-incomplete", "The model has no tokenizer.json.", {
      place: modelDir,
      remedy:
        "Use a model with a fast tokenizer, or make the file: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR).",
    });
  const template = templateFile ?? defaultTemplate(config?.chat_template) ?? legacyTemplate?.chat_template;
  const special: Record<string, string> = {};
  for (const name of ["bos_token", "eos_token", "pad_token", "unk_token"] as const) {
    const token = config?.[name];
    if (token != null) special[name] = typeof token === "string" ? token : token.content;
  }
  return new ModelTokenizer({
    place: modelDir,
    tokenizer,
    config: config ?? {},
    special,
    template:
      template === undefined ? undefined : new ChatTemplate(template, join(modelDir, "chat_template.jinja")),
    eos: [...asList(generation?.eos_token_id), ...asList(model?.eos_token_id)],
    contextLength: model?.max_position_embeddings ?? undefined,
  });
}

const tokenizerFile = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int(), content: z.string().min(1), special: z.boolean() })),
  pre_tokenizer: z.unknown(),
});
const tokenName = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const tokenizerConfig = z.looseObject({
  bos_token: tokenName,
  eos_token: tokenName,
  pad_token: tokenName,
  unk_token: tokenName,
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
});
const eosConfig = z.looseObject({ eos_token_id: z.union([z.int(), z.array(z.int())]).nullish() });
const modelConfig = eosConfig.extend({ max_position_embeddings: z.int().positive().nullish() });

interface Parts {
  place: string;
  tokenizer: z.infer<typeof tokenizerFile>;
  config: Record<string, unknown>;
  special: Record<string, string>;
  template: ChatTemplate | undefined;
  eos: number[];
  contextLength: number | undefined;
}

/** Unicode noncharacter: never part of a text that was exchanged, and text of others is freed of it first. */
const mark = "\uFDD0";

class ModelTokenizer implements Tokenizer {
  readonly stopTokens: readonly number[];
  readonly size: number;
  readonly contextLength: number | undefined;
  readonly #hub: HubTokenizer;
  readonly #place: string;
  readonly #template: ChatTemplate | undefined;
  readonly #special: Record<string, string>;
  readonly #edges: RegExp;

  constructor(parts: Parts) {
    const control = parts.tokenizer.added_tokens.filter(isControl);
    this.#place = parts.place;
    this.#template = parts.template;
    this.#special = parts.special;
    this.#edges = edgesOf(control.map(({ content }) => content));
    try {
      this.#hub = new HubTokenizer(withoutMarks(parts.tokenizer), parts.config);
    } catch (cause) {
      throw new SpecdojoError(
        "model-unreadable",
        "The model's tokenizer is of a kind that is not known here.",
        {
          place: join(parts.place, "tokenizer.json"),
          remedy: "Use a model with a byte-level BPE tokenizer, such as those of Qwen or Llama 3.",
          cause,
        },
      );
    }
    const eos = parts.special.eos_token;
    const named = eos === undefined ? undefined : this.#hub.token_to_id(eos);
    this.stopTokens = [...new Set([...parts.eos, ...(named === undefined ? [] : [named])])];
    this.contextLength = parts.contextLength;
    this.size = this.#hub.get_vocab().size;
    const ids = new Set(control.map(({ id }) => id));
    for (const { content } of control)
      if (this.encodeContent(content).some((id) => ids.has(id)))
        throw new SpecdojoError(
          "model-unreadable",
          `The tokenizer cannot write "${content}" as plain text.`,
          {
            place: join(parts.place, "tokenizer.json"),
            remedy: "A text could steer this model by naming its special tokens; use another model.",
          },
        );
  }

  encode(text: string): Tokens {
    return text === "" ? [] : this.#hub.encode(text, { add_special_tokens: false }).ids;
  }

  encodeContent(text: string): Tokens {
    return this.encode(this.#escape(text));
  }

  decode(tokens: readonly number[]): string {
    // Models may have more rows than their tokenizer has tokens.
    const known = tokens.filter((token) => this.#hub.id_to_token(token) !== undefined);
    if (known.length === 0) return "";
    return this.#hub.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  renderChat(messages: readonly ChatMessage[], options: RenderOptions = {}): Tokens {
    if (this.#template === undefined)
      throw new SpecdojoError("model-no-chat-template", "The model has no chat template.", {
        place: this.#place,
        remedy: "Use an instruction-tuned model, or add a chat_template.jinja to its folder.",
      });
    const escaped = messages.map(({ role, content }) => ({ role, content: this.#escape(content) }));
    const text = this.#template.render(escaped, {
      ...this.#special,
      ...options.variables,
      add_generation_prompt: options.addGenerationPrompt ?? true,
    });
    return this.encode(text);
  }

  tokenId(name: string): number | undefined {
    return this.#hub.token_to_id(name);
  }

  /** Parts the first and the last character of every possible special token from its rest. */
  #escape(text: string): string {
    return text.replaceAll(mark, "\uFFFD").replace(this.#edges, (edge) => `${mark}${edge}${mark}`);
  }
}

/** Special tokens, and tokens that look like markup: `<tool_call>` is no special token of Qwen's, but steers it. */
const isControl = (token: { content: string; special: boolean }): boolean =>
  token.special || /^<[^<>\s]+>$|^\[[^[\]\s]+\]$/.test(token.content);

function edgesOf(names: readonly string[]): RegExp {
  const edges = new Set(names.flatMap((name) => [[...name][0] as string, [...name].at(-1) as string]));
  if (edges.size === 0) return /(?!)/g;
  const escaped = [...edges].map((edge) => edge.replace(/[\\\]^-]/g, "\\$&"));
  return new RegExp(`[${escaped.join("")}]`, "gu");
}

/**
 * The tokenizer with one step before its pre-tokenizer that takes out the marks: after special tokens have been looked
 * for, before the text is cut into words. So text without special tokens gets the very ids that it would have got.
 */
function withoutMarks(tokenizer: z.infer<typeof tokenizerFile>): object {
  const unmark = { type: "Replace", pattern: { String: mark }, content: "" };
  const own = tokenizer.pre_tokenizer;
  return {
    ...tokenizer,
    // A normalizer must not bring a name together again.
    added_tokens: tokenizer.added_tokens.map((token) =>
      isControl(token) ? { ...token, normalized: false } : token,
    ),
    pre_tokenizer: { type: "Sequence", pretokenizers: isObject(own) ? [unmark, own] : [unmark] },
  };
}

function defaultTemplate(
  template: string | { name: string; template: string }[] | null | undefined,
): string | undefined {
  if (!Array.isArray(template)) return template ?? undefined;
  return (template.find(({ name }) => name === "default") ?? template[0])?.template;
}

const asList = (value: number | number[] | null | undefined): number[] =>
  value == null ? [] : Array.isArray(value) ? value : [value];

async function readJson<S extends z.ZodType>(file: string, schema: S): Promise<z.infer<S> | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new SpecdojoError("model-unreadable", "A file of the model cannot be read.", {
      place: file,
      remedy: "Check the file's permissions.",
      cause: error,
    });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SpecdojoError("model-unreadable", "A file of the model is damaged, or not what it should be.", {
      place: file,
      remedy: "Download or export the model again.",
      cause,
    });
  }
}
