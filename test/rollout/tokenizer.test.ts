import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer, type Tokenizer } from "../../src/rollout/tokenizer.js";
import type { ChatMessage } from "../../src/task/conversation.js";

interface Golden {
  encode: { text: string; ids: number[] }[];
  encodeContent: { text: string; ids: number[] }[];
  decode: { text: string; ids: number[] }[];
  chat: { messages: ChatMessage[]; addGenerationPrompt: boolean; ids: number[] }[];
}
const fixtures = fileURLToPath(new URL("../fixtures/tokenizer", import.meta.url));
const golden = JSON.parse(await readFile(join(fixtures, "golden.json"), "utf8")) as Record<string, Golden>;
const familyNames = Object.keys(golden);

async function controlIds(dir: string): Promise<Map<string, number>> {
  const file = JSON.parse(await readFile(join(dir, "tokenizer.json"), "utf8")) as {
    added_tokens: { content: string; id: number }[];
  };
  return new Map(file.added_tokens.map(({ content, id }) => [content, id]));
}

describe.each(familyNames)("the %s tokenizer", (name) => {
  const { encode, encodeContent, decode, chat } = golden[name] as Golden;
  let tokenizer: Tokenizer;
  let control: Map<string, number>;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(join(fixtures, name));
    control = await controlIds(join(fixtures, name));
  });

  it.each(encode)("encodes $text as transformers does", ({ text, ids }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
  });
  it.each(encodeContent)(
    "encodes the content $text as transformers does with special tokens off",
    ({ text, ids }) => {
      expect(tokenizer.encodeContent(text)).toEqual(ids);
    },
  );
  it.each(decode)("decodes to $text", ({ text, ids }) => {
    expect(tokenizer.decode(ids)).toBe(text);
  });
  it.each(chat)(
    "renders a chat as transformers does ($addGenerationPrompt)",
    ({ messages, addGenerationPrompt, ids }) => {
      expect(tokenizer.renderChat(messages, { addGenerationPrompt })).toEqual(ids);
    },
  );

  it("gives any text back", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
        const want = name === "qwen" ? text.normalize("NFC") : text;
        expect(tokenizer.decode(tokenizer.encodeContent(text))).toBe(want);
      }),
    );
  });

  it("never lets a content become a special token, alone or in a chat", () => {
    const piece = fc.oneof(
      fc.constantFrom(...control.keys(), "<", "|", ">", "<|", "|>", "\uFDD0", "/", "end", "system"),
      fc.string({ maxLength: 5 }),
    );
    const ids = new Set(control.values());
    const count = (tokens: number[]): number => tokens.filter((token) => ids.has(token)).length;
    const plain = (content: string): ChatMessage[] => [
      { role: "system", content },
      { role: "user", content },
    ];
    const wanted = count(tokenizer.renderChat(plain("text")));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join("");
        expect(count(tokenizer.encodeContent(text))).toBe(0);
        expect(count(tokenizer.renderChat(plain(text)))).toBe(wanted);
      }),
    );
  });

  it("keeps the words of a special token's name", () => {
    for (const text of control.keys()) expect(tokenizer.decode(tokenizer.encodeContent(text))).toBe(text);
  });

  it("knows what ends a completion", () => {
    const ends: Record<string, string[]> = {
      brief: ["<|end|>"],
      qwen: ["<|im_end|>", "<|endoftext|>"],
      llama: ["<|eot_id|>", "<|begin_of_text|>"],
    };
    expect(tokenizer.stopTokens).toEqual(ends[name]?.map((end) => control.get(end)));
  });
});

describe("a model folder", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "specdojo-tokenizer-"));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));
  const changed = async (change: (dir: string) => Promise<void>): Promise<string> => {
    const copy = await mkdtemp(join(dir, "model-"));
    await cp(join(fixtures, "qwen"), copy, { recursive: true });
    await change(copy);
    return copy;
  };
  const user: ChatMessage[] = [{ role: "user", content: "hi" }];

  it.each([
    ["without a tokenizer", (d: string) => rm(join(d, "tokenizer.json")), "model-incomplete"],
    [
      "with a damaged tokenizer",
      (d: string) => writeFile(join(d, "tokenizer.json"), "{"),
      "model-unreadable",
    ],
    ["with another tokenizer", (d: string) => writeFile(join(d, "tokenizer.json"), "{}"), "model-unreadable"],
    [
      "with a broken template",
      (d: string) => writeFile(join(d, "chat_template.jinja"), "{% for %}"),
      "model-unreadable",
    ],
  ])("%s is refused", async (_name, change, code) => {
    await expect(loadTokenizer(await changed(change))).rejects.toMatchObject({ code });
  });

  it("without a chat template can encode but not render", async () => {
    const copy = await changed(async (d) => {
      await rm(join(d, "chat_template.jinja"));
    });
    const tokenizer = await loadTokenizer(copy);
    expect(tokenizer.encode("hi").length).toBeGreaterThan(0);
    expect(() => tokenizer.renderChat(user)).toThrow(
      expect.objectContaining({ code: "model-no-chat-template", place: copy }),
    );
  });

  it.each([
    ["a string", "{{ messages[0].content }}!"],
    [
      "a list",
      [
        { name: "tool_use", template: "no" },
        { name: "default", template: "{{ messages[0].content }}!" },
      ],
    ],
  ])("takes the template from tokenizer_config.json, %s", async (_name, template) => {
    const copy = await changed(async (d) => {
      await rm(join(d, "chat_template.jinja"));
      const file = join(d, "tokenizer_config.json");
      const config = JSON.parse(await readFile(file, "utf8")) as object;
      await writeFile(file, JSON.stringify({ ...config, chat_template: template }));
    });
    const tokenizer = await loadTokenizer(copy);
    expect(tokenizer.decode(tokenizer.renderChat(user))).toBe("hi!");
  });

  it("puts the system message into the user's where the template has no system role", async () => {
    const template = `{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}`;
    const tokenizer = await loadTokenizer(
      await changed((d) => writeFile(join(d, "chat_template.jinja"), template)),
    );
    const text = tokenizer.decode(tokenizer.renderChat([{ role: "system", content: "Tools" }, ...user]));
    expect(text).toBe("[user]Tools\n\nhi");
  });

  it("says what the template refused", async () => {
    const template = "{{ raise_exception('never') }}";
    const tokenizer = await loadTokenizer(
      await changed((d) => writeFile(join(d, "chat_template.jinja"), template)),
    );
    expect(() => tokenizer.renderChat(user)).toThrow(/never/);
  });

  it("renders the same on every day", async () => {
    const template = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% endif %}";
    const tokenizer = await loadTokenizer(
      await changed((d) => writeFile(join(d, "chat_template.jinja"), template)),
    );
    expect(tokenizer.decode(tokenizer.renderChat(user))).toBe("01 Jan 2025");
  });

  it("passes variables on to the template", async () => {
    const template = "{% if enable_thinking is false %}<quiet>{% endif %}{{ eos_token }}";
    const tokenizer = await loadTokenizer(
      await changed((d) => writeFile(join(d, "chat_template.jinja"), template)),
    );
    const tokens = tokenizer.renderChat(user, { variables: { enable_thinking: false } });
    expect(tokenizer.decode(tokens)).toBe("<quiet><|im_end|>");
    expect(tokens.at(-1)).toBe(tokenizer.tokenId("<|im_end|>"));
  });

  it("refuses a tokenizer that cannot write its special tokens as text", async () => {
    const copy = await changed(async (d) => {
      const file = join(d, "tokenizer.json");
      const json = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
      const letter = {
        id: 9999,
        content: "q",
        special: true,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
      };
      await writeFile(
        file,
        JSON.stringify({ ...json, added_tokens: [...(json.added_tokens as object[]), letter] }),
      );
    });
    await expect(loadTokenizer(copy)).rejects.toMatchObject({ code: "model-unreadable" });
  });

  it("skips ids beyond the tokenizer when decoding", async () => {
    const tokenizer = await loadTokenizer(join(fixtures, "brief"));
    expect(tokenizer.decode([tokenizer.size + 5])).toBe("");
    expect(tokenizer.decode([])).toBe("");
  });
});
