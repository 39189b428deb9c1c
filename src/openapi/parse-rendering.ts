import { SpecdojoError } from "../util/errors.js";
import { isObject, type JsonSchema, type JsonSchemaObject, type JsonValue } from "../util/json.js";
import { formats, jsonText, type RenderableTool } from "./render.js";

/**
 * A tool from its line of JSON; undoes `renderFull`.
 * @throws SpecdojoError `rendering-unreadable`
 */
export function parseFull(line: string): RenderableTool {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw unreadable(line, 0, "JSON");
  }
  if (!isObject(value) || typeof value.name !== "string" || !isObject(value.parameters))
    throw unreadable(line, 0, "an object with name, description and parameters");
  const { name, description, parameters } = value;
  return {
    name,
    description: typeof description === "string" ? description : "",
    parameters: parameters as JsonSchemaObject,
  };
}

/**
 * A tool from its compact line: the same name, the same arguments and which of them are required, and what the line says of
 * their types. `renderCompact` makes the same line of it again (but for a space at the end). What the line leaves out (limits, patterns, the rest of the
 * description) is not there.
 *
 * @throws SpecdojoError `rendering-unreadable`, with the column.
 */
export function parseCompact(line: string): RenderableTool {
  const reader = new Reader(line);
  const name = reader.match(/[A-Za-z0-9_-]+/y, "the name of a tool");
  reader.expect("(");
  const parameters = reader.members(")");
  const rest = line.slice(reader.at);
  if (rest !== "" && !rest.startsWith(" - ")) throw unreadable(line, reader.at, "a description after ` - `");
  return { name, description: rest.slice(" - ".length), parameters };
}

/** A recursive-descent reader of `name: type, name?: type`; nesting is as deep as the renderer writes it, or a little more. */
class Reader {
  at = 0;
  readonly #line: string;
  #depth = 0;

  constructor(line: string) {
    this.#line = line;
  }

  match(pattern: RegExp, what: string): string {
    const found = this.#peek(pattern);
    if (found === undefined) throw unreadable(this.#line, this.at, what);
    this.at += found.length;
    return found;
  }

  expect(text: string): void {
    if (!this.#skip(text)) throw unreadable(this.#line, this.at, JSON.stringify(text));
  }

  /** Properties up to a closing bracket, which is read too. */
  members(close: string): JsonSchemaObject {
    const properties: [string, JsonSchema][] = [];
    const required: string[] = [];
    while (!this.#skip(close)) {
      if (properties.length > 0) this.expect(", ");
      const name = this.#peek(/"/y) === undefined ? this.match(/[\w$.-]+/y, "a name") : this.#string();
      const optional = this.#skip("?");
      this.expect(": ");
      properties.push([name, this.#type()]);
      if (!optional) required.push(name);
    }
    return {
      type: "object",
      properties: Object.fromEntries(properties),
      ...(required.length > 0 ? { required } : {}),
    };
  }

  /** Alternatives joined by `|`. */
  #type(): JsonSchema {
    if (++this.#depth > 64) throw unreadable(this.#line, this.at, "less nesting");
    const choices: JsonSchemaObject[] = [];
    do {
      let choice = this.#single();
      while (this.#skip("[]")) choice = { type: "array", items: choice };
      const last = choices.at(-1);
      // Values side by side are one list of values.
      if (Array.isArray(choice.enum) && Array.isArray(last?.enum)) last.enum.push(...choice.enum);
      else choices.push(choice);
    } while (this.#skip("|"));
    this.#depth--;
    return choices.length === 1 ? (choices[0] as JsonSchemaObject) : { anyOf: choices };
  }

  #single(): JsonSchemaObject {
    if (this.#skip("(")) {
      const inner = this.#type();
      this.expect(")");
      return inner as JsonSchemaObject;
    }
    const value = this.#json();
    if (value !== undefined) return { enum: [value] };
    if (this.#skip("{*: ")) {
      const values = this.#type();
      this.expect("}");
      // Of an empty schema the renderer would say nothing.
      const isAny = typeof values === "object" && Object.keys(values).length === 0;
      return { type: "object", additionalProperties: isAny ? { anyOf: [values] } : values };
    }
    if (this.#skip("{")) return this.members("}");
    const word = this.match(/[A-Za-z_][\w./-]*/y, "a type or a value");
    if (word === "any") return {};
    if (formats.has(word)) return { type: "string", format: word };
    return types.has(word) ? { type: word } : { enum: [word] };
  }

  /** A value in JSON: a number, a text in quotes, or an object or array written without spaces. */
  #json(): JsonValue | undefined {
    const number = this.#peek(/-?\d[\d.eE+-]*/y);
    if (number !== undefined) return this.#take(number);
    if (this.#peek(/"/y) !== undefined) return this.#string();
    const literal = this.#peek(/true(?![\w./-])|false(?![\w./-])/y);
    if (literal !== undefined) return this.#take(literal);
    if (this.#peek(/[[{]/y) === undefined) return undefined;
    const end = this.#closing();
    const text = end === undefined ? "" : this.#line.slice(this.at, end);
    try {
      // A type in braces has a space after each colon.
      return jsonText(JSON.parse(text)) === text ? this.#take(text) : undefined;
    } catch {
      return undefined;
    }
  }

  #string(): string {
    return String(this.#take(this.match(/"(?:[^"\\]|\\.)*"/y, "a text in quotes"), 0));
  }

  #take(text: string, length = text.length): JsonValue {
    this.at += length;
    try {
      return JSON.parse(text) as JsonValue;
    } catch {
      throw unreadable(this.#line, this.at, "a value in JSON");
    }
  }

  /** Where the bracket that begins here closes. */
  #closing(): number | undefined {
    let depth = 0;
    for (let i = this.at; i < this.#line.length; i++) {
      const char = this.#line[i];
      if (char === '"')
        for (i++; i < this.#line.length && this.#line[i] !== '"'; i++) if (this.#line[i] === "\\") i++;
      if (char === "{" || char === "[") depth++;
      else if ((char === "}" || char === "]") && --depth === 0) return i + 1;
    }
    return undefined;
  }

  #peek(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    return pattern.exec(this.#line)?.[0];
  }

  #skip(text: string): boolean {
    const found = this.#line.startsWith(text, this.at);
    if (found) this.at += text.length;
    return found;
  }
}

const types = new Set(["string", "integer", "number", "boolean", "null", "object"]);

function unreadable(line: string, column: number, wanted: string): SpecdojoError {
  return new SpecdojoError(
    "rendering-unreadable",
    `This is no rendering of a tool: ${JSON.stringify(line.slice(0, 80))}; column ${column + 1} should have ${wanted}.`,
    { remedy: "Give a line as `renderCompact` or `renderFull` writes it." },
  );
}
