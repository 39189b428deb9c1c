import type { JsonSchemaObject, JsonValue } from "../util/json.js";

export type HttpMethod =
  | ("get" | "put" | "post" | "delete" | "options" | "head" | "patch" | "trace")
  // OpenAPI 3.2: QUERY reads, with a body.
  | "query";

export type OpenApiVersion = "2.0" | "3.0" | "3.1" | "3.2";

/** Something about the document that a user may want to know or mend. */
export interface Diagnostic {
  /** Stable code, e.g. `missing-operation-id`. */
  code: string;
  severity: "error" | "warning" | "info";
  /** JSON pointer into the document, e.g. `/paths/~1pets/get`. */
  pointer: string;
  message: string;
  remedy?: string;
}

/** Where one argument of a tool goes in the HTTP request. */
export interface ParameterBinding {
  in: "path" | "query" | "header" | "cookie";
  /** The name on the wire (the argument's own name may differ after a collision). */
  name: string;
  style:
    | "simple"
    | "label"
    | "matrix"
    | "form"
    | "spaceDelimited"
    | "pipeDelimited"
    | "deepObject"
    | "tabDelimited";
  explode: boolean;
  allowReserved?: boolean;
  /** Media type, when the parameter is declared by `content`. */
  contentType?: string;
  /** It is all of the query string and not one pair of it (`in: querystring` of OpenAPI 3.2). */
  whole?: boolean;
}

/** How the request body is made from the tool's arguments. */
export interface BodyBinding {
  mediaType: string;
  required: boolean;
  /**
   * `properties`: the body is an object whose properties are arguments of the tool; the record maps argument name to
   * property name. `whole`: one argument holds the whole body.
   */
  shape: { kind: "properties"; properties: Record<string, string> } | { kind: "whole"; argument: string };
  /** How single properties of a form or multipart body are written, where the document says so. */
  encoding?: Record<string, PropertyEncoding>;
}

/** How one property of a form or multipart body is written, by the property's name. */
export interface PropertyEncoding {
  contentType?: string;
  style?: ParameterBinding["style"];
  explode?: boolean;
  allowReserved?: boolean;
}

/** One operation of the document, as a model and a caller see it. */
export interface Tool {
  /** `[A-Za-z0-9_-]{1,64}`, unique in the menu, stable under additions and reordering. */
  name: string;
  method: HttpMethod;
  /** Path template as in the document, e.g. `/pets/{petId}`. */
  path: string;
  domain: string;
  /** Plain text: summary and description. */
  description: string;
  /** JSON Schema 2020-12 of the arguments object: all parameters and the body. Cycles are kept as `$defs`. */
  parameters: JsonSchemaObject;
  bindings: Record<string, ParameterBinding>;
  body?: BodyBinding;
  /** JSON Schema of the response body by status (`200`, `4XX`, `default`); null where no JSON body is described. */
  responses: Record<string, { description: string; schema: JsonSchemaObject | null }>;
  operationId?: string;
  deprecated: boolean;
  annotations: { readOnly: boolean; destructive: boolean; idempotent: boolean };
  /** OR of ANDs: each entry maps a scheme's name to scopes. Undefined where none is declared. */
  security?: Record<string, string[]>[];
  /** Server URL templates that apply to this operation, most specific first. */
  servers: Server[];
  /** JSON pointer of the operation in the document. */
  pointer: string;
}

export interface Server {
  url: string;
  variables: Record<string, { default: string; enum?: string[] }>;
}

export interface Domain {
  name: string;
  description: string;
  /** Tool names, in document order. */
  tools: string[];
  /** How often it is practised, against others of its size. Default 1; 0: never. */
  weight?: number;
}

/** All tools of one API. JSON-serialisable. */
export interface ToolMenu {
  title: string;
  version: string;
  tools: Tool[];
  domains: Domain[];
  securitySchemes: Record<string, JsonValue>;
  diagnostics: Diagnostic[];
}
