import { Script } from "node:vm";
import type { ErrorObject, ValidateFunction } from "ajv";
import type { Ajv2020 } from "ajv/dist/2020.js";
import { SpecdojoError } from "../util/errors.js";
import { loadPackage } from "../util/lazy.js";
import type { Tool } from "./types.js";

export interface ArgumentError {
  /** JSON pointer into the arguments. */
  pointer: string;
  message: string;
}

export type ArgumentCheck = { ok: true } | { ok: false; errors: ArgumentError[] };

export interface ArgumentValidator {
  /** Checks arguments against the tool's schema. Each tool is compiled once, when it is first used. */
  validate(tool: Pick<Tool, "name" | "parameters">, args: unknown): ArgumentCheck;
}

/** Longest time that one pattern of the document may take on one value, in milliseconds. */
const patternTimeout = 50;

/** A validator with its own cache, by the tool's schema. Patterns of the document can never make it hang. */
export function createArgumentValidator(): ArgumentValidator {
  const { Ajv2020: Validator } = loadPackage<typeof import("ajv/dist/2020.js")>("ajv/dist/2020.js");
  const formats = loadPackage<typeof import("ajv-formats")>("ajv-formats");
  const ajv = new Validator({
    strict: false,
    allErrors: true,
    logger: false,
    ownProperties: true,
    validateSchema: false,
    addUsedSchema: false,
    multipleOfPrecision: 9,
    code: { regExp: Object.assign(guardedRegExp, { code: "guardedRegExp" }) },
  });
  formats.default(ajv);
  const compiled = new WeakMap<object, ValidateFunction>();
  return {
    validate(tool, args) {
      let check = compiled.get(tool.parameters);
      if (check === undefined) {
        check = compile(ajv, tool);
        compiled.set(tool.parameters, check);
      }
      if (check(args)) return { ok: true };
      return { ok: false, errors: (check.errors ?? []).map(toArgumentError) };
    },
  };
}

function compile(ajv: Ajv2020, { name, parameters }: Pick<Tool, "name" | "parameters">): ValidateFunction {
  try {
    return ajv.compile(parameters);
  } catch (error) {
    throw new SpecdojoError("schema-unusable", `The schema of ${name} cannot be compiled: ${String(error)}`, {
      place: name,
      remedy: "Nest its schemas less deeply, or leave the operation out of the menu.",
      cause: error,
    });
  }
}

/** Checks one call; for many calls use `createArgumentValidator`, which compiles each schema once. */
export function validateArguments(tool: Pick<Tool, "name" | "parameters">, args: unknown): ArgumentCheck {
  return createArgumentValidator().validate(tool, args);
}

function toArgumentError(error: ErrorObject): ArgumentError {
  const parameters: Record<string, unknown> = error.params;
  const key = parameters.missingProperty ?? parameters.additionalProperty ?? parameters.unevaluatedProperty;
  const place =
    typeof key === "string" && error.keyword !== "dependentRequired"
      ? `${error.instancePath}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`
      : error.instancePath;
  let message = error.message ?? "is not valid";
  if (error.keyword === "required") message = "is required";
  else if (error.keyword === "additionalProperties" || error.keyword === "unevaluatedProperties")
    message = "is not an argument of this operation";
  if (Array.isArray(parameters.allowedValues))
    message += `: ${parameters.allowedValues.map((value) => JSON.stringify(value)).join(", ")}`;
  return { pointer: place, message };
}

/**
 * A regular expression that ends: simple patterns run as they are, those that could backtrack without end run with a
 * time limit. A value that cannot be decided in time counts as a match: the fault is the pattern's.
 */
function guardedRegExp(source: string, flags: string): { test(text: string): boolean; toString(): string } {
  const pattern = new RegExp(source, flags);
  const loops = unboundedLoops(source);
  const script = new Script("pattern.test(text)");
  return {
    // Ajv tells compiled patterns apart by their text.
    toString: () => String(pattern),
    test(text) {
      // Backtracking over n characters with k loops side by side costs about n^k steps.
      if (loops === 0 || (loops !== undefined && text.length ** loops <= 1e6)) return pattern.test(text);
      try {
        return script.runInNewContext({ pattern, text }, { timeout: patternTimeout }) === true;
      } catch {
        return true;
      }
    },
  };
}

/** The number of `*`, `+`, `{n,}` and large `{n,m}`; undefined where one stands on a group that holds another. */
function unboundedLoops(source: string): number | undefined {
  const bare = source.replaceAll(/\\[\s\S]/g, "x").replaceAll(/\[[^\]]*\]/g, "x");
  let loops = 0;
  let nested = false;
  const groups: { loops: number }[] = [];
  for (let i = 0; i < bare.length; i++) {
    const char = bare[i];
    if (char === "(") groups.push({ loops });
    else if (char === ")") {
      const group = groups.pop();
      const repeated = /^(?:[*+]|\{\d+(?:,\d*)?\})/.test(bare.slice(i + 1, i + 12));
      const inside = bare.slice(bare.lastIndexOf("(", i), i);
      if (repeated && group !== undefined && (loops > group.loops || inside.includes("|"))) nested = true;
    } else if (char === "*" || char === "+") loops++;
    else if (char === "?" && bare[i - 1] !== "(") loops += /[*+}?]/.test(bare[i - 1] ?? "") ? 0 : 0.25;
    else if (char === "{") {
      const match = /^\{(\d+)(,(\d*))?\}/.exec(bare.slice(i, i + 24));
      if (match?.[2] !== undefined) loops += match[3] === "" || Number(match[3]) > 20 ? 1 : 0.25;
    }
  }
  return nested ? undefined : loops;
}
