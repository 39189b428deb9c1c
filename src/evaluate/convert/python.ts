import type { JsonObject, JsonValue } from "../../util/json.js";

/** A call as Python writes it: `name(1, key="value")`. */
export interface PythonCall {
  name: string;
  positional: JsonValue[];
  arguments: JsonObject;
}

const escapes: Record<string, string> = {
  n: "\n",
  t: "\t",
  r: "\r",
  "\\": "\\",
  "'": "'",
  '"': '"',
  "0": "\0",
};

/**
 * Reads literals and calls of Python as data: nothing is run. Bare names (other than True, False and None) are texts.
 * Throws `SyntaxError` with the place where something else stands.
 */
export class PythonReader {
  readonly #text: string;
  at: number;

  constructor(text: string, at = 0) {
    this.#text = text;
    this.at = at;
  }

  #fail(what: string): SyntaxError {
    return new SyntaxError(
      `${what} at ${this.at}: ${JSON.stringify(this.#text.slice(this.at, this.at + 30))}`,
    );
  }

  #space(): void {
    for (;;) {
      const match = /^(?:\s+|#[^\n]*|\\\n)/.exec(this.#text.slice(this.at, this.at + 2000));
      if (match === null) return;
      this.at += match[0].length;
    }
  }

  /** Takes a mark when it is next. */
  take(mark: string): boolean {
    this.#space();
    if (!this.#text.startsWith(mark, this.at)) return false;
    this.at += mark.length;
    return true;
  }

  expect(mark: string): void {
    if (!this.take(mark)) throw this.#fail(`${JSON.stringify(mark)} is missing`);
  }

  /** A name with dots, or undefined. */
  word(): string | undefined {
    this.#space();
    const match = /^[A-Za-z_][\w.]*/.exec(this.#text.slice(this.at, this.at + 300));
    if (match === null) return undefined;
    this.at += match[0].length;
    return match[0];
  }

  #string(): string {
    const start = /^([rRbBuUfF]{0,2})('''|"""|'|")/.exec(this.#text.slice(this.at, this.at + 6));
    if (start === null) throw this.#fail("a text is missing");
    const [whole, prefix = "", quote = ""] = start;
    const raw = /r/i.test(prefix);
    this.at += whole.length;
    let value = "";
    while (!this.#text.startsWith(quote, this.at)) {
      const char = this.#text[this.at];
      if (char === undefined) throw this.#fail("a text does not end");
      if (char !== "\\" || raw) {
        value += char;
        this.at++;
        continue;
      }
      const code = /^\\(?:u([\da-fA-F]{4})|x([\da-fA-F]{2}))/.exec(this.#text.slice(this.at, this.at + 6));
      if (code !== null) {
        value += String.fromCharCode(Number.parseInt(code[1] ?? code[2] ?? "", 16));
        this.at += code[0].length;
      } else {
        const next = this.#text[this.at + 1] ?? "";
        value += next === "\n" ? "" : (escapes[next] ?? `\\${next}`);
        this.at += 2;
      }
    }
    this.at += quote.length;
    return value;
  }

  /** Comma-separated parts up to the closing mark, which is taken too. */
  #list(close: string, part: () => void): void {
    while (!this.take(close)) {
      part();
      if (this.take(",")) continue;
      this.expect(close);
      return;
    }
  }

  value(): JsonValue {
    this.#space();
    const char = this.#text[this.at] ?? "";
    if (this.take("[") || this.take("(")) {
      const items: JsonValue[] = [];
      const close = char === "[" ? "]" : ")";
      let commas = 0;
      while (!this.take(close)) {
        items.push(this.value());
        if (this.take(",")) commas++;
        else {
          this.expect(close);
          break;
        }
      }
      // Brackets around one value only group it.
      return close === ")" && items.length === 1 && commas === 0 ? (items[0] ?? null) : items;
    }
    if (this.take("{")) {
      const entries: [string, JsonValue][] = [];
      this.#list("}", () => {
        const key = this.value();
        this.expect(":");
        entries.push([String(key), this.value()]);
      });
      return Object.fromEntries(entries);
    }
    const rest = this.#text.slice(this.at, this.at + 400);
    if (/^[rRbBuUfF]{0,2}['"]/.test(rest)) {
      let text = this.#string();
      for (;;) {
        this.#space();
        if (!/^[rRbBuUfF]{0,2}['"]/.test(this.#text.slice(this.at, this.at + 3))) return text;
        text += this.#string();
      }
    }
    const number = /^[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/.exec(rest);
    if (number !== null) {
      this.at += number[0].length;
      return Number(number[0].replaceAll("_", ""));
    }
    const word = this.word();
    if (word === undefined) throw this.#fail("a value is missing");
    if (word === "True" || word === "true") return true;
    if (word === "False" || word === "false") return false;
    return word === "None" || word === "null" ? null : word;
  }

  call(): PythonCall {
    const name = this.word();
    if (name === undefined) throw this.#fail("a call is missing");
    this.expect("(");
    const call: PythonCall = { name, positional: [], arguments: {} };
    this.#list(")", () => {
      const before = this.at;
      const key = this.word();
      if (key !== undefined && this.take("=")) call.arguments[key] = this.value();
      else {
        this.at = before;
        call.positional.push(this.value());
      }
    });
    return call;
  }
}

/** A call that is a text's whole content, maybe after `r = `. */
export function readPythonCall(text: string): PythonCall {
  const reader = new PythonReader(text.trim().replace(/^[A-Za-z_]\w*\s*=\s*(?=[A-Za-z_])/, ""));
  return reader.call();
}

export interface PythonFunction {
  name: string;
  parameters: { name: string; type: string | undefined; default: JsonValue | undefined }[];
  doc: string;
}

/** A signature `name(a: str, b: int = None)`, from the reader's place to the closing bracket. */
export function readSignature(reader: PythonReader): Omit<PythonFunction, "doc"> {
  const name = reader.word() ?? "";
  reader.expect("(");
  const parameters: PythonFunction["parameters"] = [];
  while (!reader.take(")")) {
    const parameter = reader.word() ?? "";
    let type: string | undefined;
    if (reader.take(":")) {
      type = reader.word();
      // `List[str]` and the like.
      if (reader.take("[")) {
        type = `${type ?? ""}[${reader.word() ?? ""}]`;
        while (!reader.take("]")) reader.at++;
      }
    }
    const fallback = reader.take("=") ? reader.value() : undefined;
    parameters.push({ name: parameter, type, default: fallback });
    if (!reader.take(",")) {
      reader.expect(")");
      break;
    }
  }
  return { name, parameters };
}

/** The functions that a file of Python defines, with their signatures and docstrings. */
export function readPythonFunctions(source: string): PythonFunction[] {
  return [...source.matchAll(/^def\s+(?=\w+\s*\()/gm)].map((match) => {
    const reader = new PythonReader(source, match.index + match[0].length);
    const signature = readSignature(reader);
    if (reader.take("->")) reader.word();
    reader.expect(":");
    let doc: JsonValue = "";
    try {
      doc = reader.value();
    } catch {
      // Without a docstring the body begins with something else.
    }
    return { ...signature, doc: typeof doc === "string" ? doc : "" };
  });
}
