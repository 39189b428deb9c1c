import { isForm, isJsonLike } from "../openapi/body.js";
import type { LoadedDocument } from "../openapi/load.js";
import { buildToolMenu } from "../openapi/menu.js";
import { operationsOf, type RawOperation } from "../openapi/operations.js";
import { own, pointerTo } from "../openapi/pointer.js";
import { References } from "../openapi/references.js";
import { SchemaConverter } from "../openapi/schema.js";
import type { Tool, ToolMenu } from "../openapi/types.js";
import { isOpen, viewsOf } from "../openapi/views.js";
import { isObject, type JsonObject, type JsonSchemaObject, type JsonValue } from "../util/json.js";

/** What an operation answers under one status, in one media type. */
export interface MediaExamples {
  mediaType: string;
  /** Undefined where the document has none. */
  schema: JsonSchemaObject | undefined;
  /** Examples of the document by name; one without a name is called `example`. */
  examples: ReadonlyMap<string, JsonValue>;
}

export interface ResponseSpec {
  /** `200`, `4XX` or `default`. */
  status: string;
  content: MediaExamples[];
  headers: { name: string; required: boolean; schema: JsonSchemaObject; example: JsonValue | undefined }[];
}

/** An operation with what a tool does not tell: all its media types, examples and headers. */
export interface MockOperation {
  tool: Tool;
  /** Media types of the request body; empty where none is declared. */
  requestTypes(): readonly string[];
  /** May the body have properties that are not declared? */
  openBody(): boolean;
  responses(): readonly ResponseSpec[];
}

/** The operations of a document. Each is read when it is first asked for. */
export function mockOperations(loaded: LoadedDocument): { menu: ToolMenu; operations: MockOperation[] } {
  const menu = buildToolMenu(loaded);
  const reader = new Reader(loaded);
  const raw = operationsOf(loaded.document, reader.references, () => undefined);
  const operations = menu.tools.map((tool, i): MockOperation => {
    const operation = raw[i] as RawOperation;
    return {
      tool,
      requestTypes: once(() => reader.requestTypes(operation, tool)),
      openBody: once(() => reader.openBody(operation)),
      responses: once(() => reader.responses(operation)),
    };
  });
  return { menu, operations };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

class Reader {
  readonly references: References;
  readonly #document: JsonObject;
  readonly #version: LoadedDocument["version"];
  readonly #converter: SchemaConverter;

  constructor({ document, version }: LoadedDocument) {
    this.#document = document;
    this.#version = version;
    this.references = new References(document);
    // What is wrong with the document is told by its menu.
    this.#converter = new SchemaConverter(this.references, version, () => undefined);
  }

  requestTypes(operation: RawOperation, tool: Tool): string[] {
    if (tool.body === undefined) return [];
    const types =
      this.#version === "2.0"
        ? this.#list(operation, "consumes")
        : Object.keys(objectOf(own(this.#followed(own(operation.value, "requestBody"), ""), "content")));
    // Forms of 2.0 are sent whatever `consumes` says.
    return [...new Set([...types, tool.body.mediaType])];
  }

  openBody(operation: RawOperation): boolean {
    const body = this.#followed(own(operation.value, "requestBody"), "");
    return Object.values(objectOf(own(body, "content"))).every((media) => {
      const schema = this.#schema(own(media, "schema"), "", "request");
      return schema === undefined || isOpen(viewsOf(schema, schema));
    });
  }

  responses(operation: RawOperation): ResponseSpec[] {
    const declared = objectOf(own(operation.value, "responses"));
    return Object.keys(declared)
      .filter((status) => !status.startsWith("x-"))
      .map((status) => {
        const place = pointerTo(operation.pointer, "responses", status);
        const response = this.#followed(declared[status], place);
        return {
          status: status.toUpperCase() === "DEFAULT" ? "default" : status.toUpperCase(),
          content:
            this.#version === "2.0"
              ? this.#swagger(operation, response, place)
              : this.#media(response, place),
          headers: this.#headers(response, place),
        };
      });
  }

  #media(response: unknown, place: string): MediaExamples[] {
    const content = objectOf(own(response, "content"));
    return Object.keys(content).map((mediaType) => {
      const media = content[mediaType];
      const pointer = pointerTo(place, "content", mediaType, "schema");
      return {
        mediaType,
        schema: this.#schema(own(media, "schema"), pointer, "response"),
        examples: this.#examples(media),
      };
    });
  }

  #swagger(operation: RawOperation, response: unknown, place: string): MediaExamples[] {
    const examples = objectOf(own(response, "examples"));
    const declared = own(response, "schema");
    const isFile = own(declared, "type") === "file";
    const produced = this.#list(operation, "produces");
    const fallback = isFile ? "application/octet-stream" : "application/json";
    const types = produced.length > 0 ? produced : declared === undefined ? [] : [fallback];
    const all = new Set([...types, ...Object.keys(examples)]);
    if (declared === undefined)
      for (const type of types) if (!Object.hasOwn(examples, type)) all.delete(type);
    return [...all].map((mediaType) => ({
      mediaType,
      schema: isFile ? undefined : this.#schema(declared, pointerTo(place, "schema"), "response"),
      examples: new Map(
        Object.hasOwn(examples, mediaType) ? [["example", examples[mediaType] as JsonValue]] : [],
      ),
    }));
  }

  #examples(media: unknown): Map<string, JsonValue> {
    const found = new Map<string, JsonValue>();
    const single = own(media, "example");
    if (single !== undefined) found.set("example", single as JsonValue);
    const named = objectOf(own(media, "examples"));
    for (const name of Object.keys(named)) {
      const value = own(this.#followed(named[name], ""), "value");
      if (value !== undefined) found.set(name, value as JsonValue);
    }
    return found;
  }

  #headers(response: unknown, place: string): ResponseSpec["headers"] {
    const declared = objectOf(own(response, "headers"));
    return Object.keys(declared).flatMap((name) => {
      const header = this.#followed(declared[name], place);
      if (!isObject(header) || !/^[\w!#$%&'*+.^`|~-]+$/.test(name)) return [];
      const schema = this.#version === "2.0" ? header : own(header, "schema");
      const example = own(header, "example") ?? [...this.#examples(header).values()][0];
      return {
        name: name.toLowerCase(),
        required: own(header, "required") === true,
        schema: this.#schema(schema, pointerTo(place, "headers", name), "response") ?? {},
        example: example as JsonValue | undefined,
      };
    });
  }

  #schema(value: unknown, pointer: string, direction: "request" | "response"): JsonSchemaObject | undefined {
    if (value === undefined) return undefined;
    const schema = this.#converter.convert(value, pointer, direction);
    const whole = schema === true ? {} : schema === false ? { not: {} } : schema;
    return this.#converter.complete(whole, direction);
  }

  #followed(value: unknown, place: string): unknown {
    const target = this.references.follow(value, place);
    return target.kind === "found" ? target.value : undefined;
  }

  #list(operation: RawOperation, key: "consumes" | "produces"): string[] {
    const declared = own(operation.value, key) ?? own(this.#document, key);
    return Array.isArray(declared) ? declared.filter((type) => typeof type === "string") : [];
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

/** Can a body of this media type be read as arguments of the tool? */
export function isReadable(mediaType: string, tool: Tool): boolean {
  const bound = bareType(tool.body?.mediaType ?? "");
  const type = bareType(mediaType);
  return type === bound || isJsonLike(type) || isForm(type) || bound.includes("*");
}

export function bareType(mediaType: string): string {
  return (mediaType.split(";")[0] ?? "").trim().toLowerCase();
}
