import type { Random } from "../../src/util/random.js";

/** A reader of GBNF as llama.cpp has it, to draw from a grammar and to match with it, apart from llama.cpp. */
type Node =
  | { kind: "text"; text: string }
  | { kind: "class"; negated: boolean; ranges: [number, number][] }
  | { kind: "rule"; name: string }
  | { kind: "sequence"; parts: Node[] }
  | { kind: "either"; options: Node[] }
  | { kind: "repeat"; part: Node; least: number; most: number };

export class Gbnf {
  readonly #rules = new Map<string, Node>();

  constructor(grammar: string) {
    for (const line of grammar.split("\n").filter((text) => text !== "")) {
      const [name = "", body = ""] = line.split(/ ::= (.*)/s);
      this.#rules.set(name, new Reader(body).all());
    }
    for (const node of this.#rules.values()) this.#check(node);
  }

  get size(): number {
    return this.#rules.size;
  }

  #check(node: Node): void {
    if (node.kind === "rule" && !this.#rules.has(node.name)) throw new Error(`no rule ${node.name}`);
    if (node.kind === "sequence") for (const part of node.parts) this.#check(part);
    if (node.kind === "either") for (const part of node.options) this.#check(part);
    if (node.kind === "repeat") this.#check(node.part);
  }

  #rule(name: string): Node {
    const node = this.#rules.get(name);
    if (node === undefined) throw new Error(`no rule ${name}`);
    return node;
  }

  /** A text of the grammar. Repetitions are short, save that sometimes the most is taken. */
  draw(random: Random, node: Node = this.#rule("root")): string {
    switch (node.kind) {
      case "text":
        return node.text;
      case "class": {
        if (!node.negated) {
          const [low, high] = random.pick(node.ranges);
          return String.fromCodePoint(random.int(low, high));
        }
        const inside = (code: number) => node.ranges.some(([low, high]) => code >= low && code <= high);
        for (;;) {
          const code = random.pick([random.int(32, 126), random.int(160, 0x2fff), 0x1f600]);
          if (!inside(code)) return String.fromCodePoint(code);
        }
      }
      case "rule":
        return this.draw(random, this.#rule(node.name));
      case "sequence":
        return node.parts.map((part) => this.draw(random, part)).join("");
      case "either":
        return this.draw(random, random.pick(node.options));
      case "repeat": {
        const high = Math.min(node.most, random.int(0, 15) === 0 ? 20 : 3);
        const count = random.int(node.least, Math.max(node.least, high));
        return Array.from({ length: count }, () => this.draw(random, node.part)).join("");
      }
    }
  }

  /** Whether the whole text is of the grammar. */
  matches(text: string): boolean {
    return this.#ends(this.#rule("root"), [...text], 0).has([...text].length);
  }

  /** Where a match that begins at a place may end. */
  #ends(node: Node, text: readonly string[], at: number): Set<number> {
    switch (node.kind) {
      case "text": {
        const wanted = [...node.text];
        return new Set(wanted.every((char, i) => text[at + i] === char) ? [at + wanted.length] : []);
      }
      case "class": {
        const code = text[at]?.codePointAt(0);
        if (code === undefined) return new Set();
        const inside = node.ranges.some(([low, high]) => code >= low && code <= high);
        return new Set(inside !== node.negated ? [at + 1] : []);
      }
      case "rule":
        return this.#ends(this.#rule(node.name), text, at);
      case "sequence": {
        let ends = new Set([at]);
        for (const part of node.parts) ends = this.#next(part, text, ends);
        return ends;
      }
      case "either":
        return new Set(node.options.flatMap((option) => [...this.#ends(option, text, at)]));
      case "repeat": {
        let ends = new Set([at]);
        const all = new Set<number>(node.least === 0 ? [at] : []);
        for (let i = 1; i <= node.most && ends.size > 0; i++) {
          ends = this.#next(node.part, text, ends);
          if (i < node.least) continue;
          const before = all.size;
          for (const end of ends) all.add(end);
          if (all.size === before) break;
        }
        return all;
      }
    }
  }

  #next(part: Node, text: readonly string[], starts: ReadonlySet<number>): Set<number> {
    return new Set([...starts].flatMap((start) => [...this.#ends(part, text, start)]));
  }
}

class Reader {
  #at = 0;
  constructor(private readonly text: string) {}

  all(): Node {
    const node = this.#either();
    if (this.#at < this.text.length)
      throw new Error(`cannot read ${this.text.slice(this.#at, this.#at + 40)}`);
    return node;
  }

  #either(): Node {
    const options = [this.#sequence()];
    while (this.text[this.#at] === "|") {
      this.#at++;
      options.push(this.#sequence());
    }
    return options.length === 1 ? (options[0] as Node) : { kind: "either", options };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (;;) {
      while (this.text[this.#at] === " ") this.#at++;
      const char = this.text[this.#at];
      if (char === undefined || char === "|" || char === ")") return { kind: "sequence", parts };
      let part = this.#atom();
      for (let found = this.#repeat(); found !== undefined; found = this.#repeat())
        part = { kind: "repeat", part, least: found[0], most: found[1] };
      parts.push(part);
    }
  }

  #repeat(): [number, number] | undefined {
    const match = /^(?:([?*+])|\{(\d+)(?:,(\d*))?\})/.exec(this.text.slice(this.#at, this.#at + 20));
    if (match === null) return undefined;
    this.#at += match[0].length;
    const [, sign, low = "0", high] = match;
    if (sign !== undefined) return sign === "?" ? [0, 1] : [sign === "+" ? 1 : 0, 1000];
    return [Number(low), high === undefined ? Number(low) : high === "" ? 1000 : Number(high)];
  }

  #atom(): Node {
    const char = this.text[this.#at++];
    if (char === "(") {
      const inside = this.#either();
      if (this.text[this.#at++] !== ")") throw new Error("a bracket is open");
      return inside;
    }
    if (char === '"') {
      let text = "";
      while (this.text[this.#at] !== '"') text += String.fromCodePoint(this.#char());
      this.#at++;
      return { kind: "text", text };
    }
    if (char === "[") {
      const negated = this.text[this.#at] === "^";
      if (negated) this.#at++;
      const ranges: [number, number][] = [];
      while (this.text[this.#at] !== "]") {
        const low = this.#char();
        if (this.text[this.#at] === "-" && this.text[this.#at + 1] !== "]") {
          this.#at++;
          ranges.push([low, this.#char()]);
        } else ranges.push([low, low]);
      }
      this.#at++;
      return { kind: "class", negated, ranges };
    }
    this.#at--;
    const name = /^[A-Za-z0-9-]+/.exec(this.text.slice(this.#at, this.#at + 200))?.[0];
    if (name === undefined) throw new Error(`cannot read ${this.text.slice(this.#at, this.#at + 40)}`);
    this.#at += name.length;
    return { kind: "rule", name };
  }

  #char(): number {
    const code = this.text.codePointAt(this.#at);
    if (code === undefined) throw new Error("a text is open");
    this.#at += String.fromCodePoint(code).length;
    if (code !== 0x5c) return code;
    const escaped = this.text[this.#at++] ?? "";
    const length = { x: 2, u: 4, U: 8 }[escaped];
    if (length === undefined) return { n: 10, r: 13, t: 9 }[escaped] ?? escaped.charCodeAt(0);
    const hex = this.text.slice(this.#at, this.#at + length);
    this.#at += length;
    return Number.parseInt(hex, 16);
  }
}
