import { isObject, type JsonObject, type JsonValue } from "../util/json.js";
import { type Language, readLiteral } from "./bfcl-literals.js";
import type { AcceptableCall, ArgumentType, SuiteItem } from "./suite.js";

/*
 * The AST checker of the Berkeley Function Calling Leaderboard (bfcl_eval/eval_checker/ast_eval/ast_checker.py, version
 * 2026.3.23), rule by rule, with its peculiarities: calls are matched greedily, `true` equals `1` inside lists, texts
 * inside nested lists are compared exactly. One difference cannot be helped: JSON in JavaScript does not tell `5.0`
 * from `5`, so a whole number passes where the checker wants Python's `float` inside a list.
 */

/** Python's types, as `type(value)` would name them. */
type PythonType = "str" | "int" | "float" | "bool" | "list" | "dict" | "none";

const pythonTypes: Record<string, PythonType> = {
  string: "str",
  integer: "int",
  float: "float",
  number: "float",
  boolean: "bool",
  array: "list",
  tuple: "list",
  dict: "dict",
  object: "dict",
  any: "str",
};
const javaTypes: Record<string, PythonType> = {
  byte: "int",
  short: "int",
  integer: "int",
  float: "float",
  double: "float",
  long: "int",
  boolean: "bool",
  char: "str",
  Array: "list",
  ArrayList: "list",
  HashMap: "dict",
  String: "str",
  any: "str",
};
const javascriptTypes: Record<string, PythonType> = {
  String: "str",
  integer: "int",
  float: "float",
  Bigint: "int",
  Boolean: "bool",
  dict: "dict",
  array: "list",
  any: "str",
};
const typeTables: Record<Language, Record<string, PythonType>> = {
  python: pythonTypes,
  java: javaTypes,
  javascript: javascriptTypes,
};
/** Types whose items are checked too. */
const nestedTypes: Record<Language, ReadonlySet<string>> = {
  python: new Set(["array", "tuple"]),
  java: new Set(["Array", "ArrayList"]),
  javascript: new Set(["array"]),
};

function typeOf(value: JsonValue): PythonType {
  if (value === null) return "none";
  if (Array.isArray(value)) return "list";
  switch (typeof value) {
    case "string":
      return "str";
    case "boolean":
      return "bool";
    case "number":
      return Number.isInteger(value) ? "int" : "float";
    default:
      return "dict";
  }
}

/** Whether `type(value) == type`; a whole number may be either of Python's numbers. */
function isA(value: JsonValue, type: PythonType): boolean {
  return typeOf(value) === type || (type === "float" && typeof value === "number");
}

/** Python's `==` of JSON values. */
function pythonEqual(a: JsonValue, b: JsonValue): boolean {
  const [x, y] = [a, b].map((value) => (typeof value === "boolean" ? Number(value) : value)) as [
    JsonValue,
    JsonValue,
  ];
  if (Array.isArray(x) && Array.isArray(y))
    return x.length === y.length && x.every((item, i) => pythonEqual(item, y[i] ?? null));
  if (isObject(x) && isObject(y)) {
    const keys = Object.keys(x);
    return (
      keys.length === Object.keys(y).length &&
      keys.every(
        (key) => Object.hasOwn(y, key) && pythonEqual(x[key] as JsonValue, (y as JsonObject)[key] ?? null),
      )
    );
  }
  return x === y;
}

const isIn = (value: JsonValue, values: readonly JsonValue[]): boolean =>
  values.some((other) => pythonEqual(value, other));

/** Texts are compared without case, kind of quotes, and these characters. */
export function standardText(text: string): string {
  return text
    .replace(/[ ,./\-_*^]/g, "")
    .toLowerCase()
    .replaceAll("'", '"');
}

const standard = (value: JsonValue): JsonValue => (typeof value === "string" ? standardText(value) : value);

/** Null where the value has no fitting type; otherwise whether it is a variable's name instead of a value. */
function checkType(
  value: JsonValue,
  allowed: readonly JsonValue[],
  type: PythonType,
  itemType: PythonType | undefined,
): { variable: boolean } | null {
  const first = allowed.find((answer) => answer !== "");
  const allowedType = first === undefined ? undefined : typeOf(first);
  const variable = allowedType !== undefined && allowedType !== type;
  if (isA(value, type)) {
    if (itemType === undefined) return { variable };
    const items = Array.isArray(value) ? value : [];
    const fits = allowed.some(
      (answer) =>
        !Array.isArray(answer) ||
        items.every((item) => checkType(item, answer, itemType, undefined) !== null),
    );
    return fits ? { variable } : null;
  }
  return allowedType !== undefined && isA(value, allowedType) ? { variable: true } : null;
}

/** An object against objects whose every property lists its allowed values. */
function objectFits(value: JsonValue, allowed: readonly JsonValue[]): boolean {
  if (!isObject(value)) return false;
  return allowed.some((answer) => {
    if (!isObject(answer)) return false;
    // A property whose values are no list but one text is read letter by letter, and may be left out.
    const listed = (key: string): JsonValue[] => {
      const values = (answer as JsonObject)[key] ?? null;
      if (typeof values === "string") return [...values, ""];
      return Array.isArray(values) ? values : [values];
    };
    return (
      Object.entries(value).every(
        ([key, inner]) =>
          Object.hasOwn(answer, key) && isIn(standard(inner as JsonValue), listed(key).map(standard)),
      ) &&
      Object.keys(answer).every((key) => Object.hasOwn(value, key) || listed(key).some((one) => one === ""))
    );
  });
}

function valueFits(
  value: JsonValue,
  allowed: readonly JsonValue[],
  type: PythonType,
  itemType: PythonType | undefined,
): boolean {
  if (type === "dict") return objectFits(value, allowed);
  if (type === "list" && itemType === "dict")
    return allowed.some((answer) => {
      const answers = Array.isArray(answer) ? answer : [];
      return (
        Array.isArray(value) &&
        value.length === answers.length &&
        value.every((item, i) => objectFits(item, [answers[i] ?? null]))
      );
    });
  if (type === "str")
    return allowed.some(
      (answer) => typeof answer === "string" && standardText(answer) === standardText(String(value)),
    );
  if (type === "list") {
    const own = (value as JsonValue[]).map(standard);
    // A text among the allowed lists, such as the `""` of an argument that may be left out, is read letter by letter.
    return allowed.some((answer) => {
      const items = typeof answer === "string" ? [...answer] : Array.isArray(answer) ? answer : undefined;
      return items !== undefined && pythonEqual(own, items.map(standard));
    });
  }
  return isIn(value, allowed);
}

/** The types of a tool's arguments as the suite's file declares them; where it does not say, from the JSON Schema. */
function argumentTypes(item: Pick<SuiteItem, "tools" | "types">, name: string): Map<string, ArgumentType> {
  const declared = item.types !== undefined && Object.hasOwn(item.types, name) ? item.types[name] : undefined;
  if (declared !== undefined) return new Map(Object.entries(declared));
  const tool = item.tools.find((candidate) => candidate.name === name);
  return new Map(
    Object.entries(tool?.parameters.properties ?? {}).map(([key, schema]) => {
      const view = isObject(schema) ? schema : {};
      const items = isObject(view.items) ? view.items.type : undefined;
      const type = typeof view.type === "string" ? view.type : "any";
      return [key, typeof items === "string" ? [type, items] : [type]];
    }),
  );
}

/** Whether one call fits one acceptable call. */
function callFits(
  call: { name: string; arguments: JsonObject },
  acceptable: AcceptableCall,
  item: Pick<SuiteItem, "tools" | "types">,
  language: Language,
): boolean {
  const tool = item.tools.find((candidate) => candidate.name === acceptable.name);
  if (tool === undefined || call.name !== acceptable.name) return false;
  if (!(tool.parameters.required ?? []).every((key) => Object.hasOwn(call.arguments, key))) return false;
  const types = argumentTypes(item, acceptable.name);
  const table = typeTables[language];
  for (const [key, given] of Object.entries(call.arguments)) {
    const declared = types.get(key);
    const allowed = Object.hasOwn(acceptable.arguments, key) ? acceptable.arguments[key] : undefined;
    if (declared === undefined || allowed === undefined) return false;
    const [typeName, itemName] = declared;
    const type = table[typeName] ?? "str";
    const itemType =
      nestedTypes[language].has(typeName) && itemName !== undefined ? table[itemName] : undefined;
    let value = given;
    if (language !== "python") {
      if (typeof given !== "string") return false;
      value = readLiteral(given, language, typeName, itemName);
    }
    const checked = checkType(value, allowed, type, itemType);
    if (checked === null) return false;
    if (!(checked.variable ? isIn(value, allowed) : valueFits(value, allowed, type, itemType))) return false;
  }
  return Object.entries(acceptable.arguments).every(
    ([key, allowed]) => Object.hasOwn(call.arguments, key) || allowed.some((answer) => answer === ""),
  );
}

/** The language whose literals a category's arguments are written in. */
export function languageOf(category: string | undefined): Language {
  if (category === undefined) return "python";
  if (/(?:^|_)javascript$/.test(category)) return "javascript";
  return /(?:^|_)java$/.test(category) ? "java" : "python";
}

/**
 * Whether an answer passes BFCL's AST checker: as many calls as acceptable ones; each acceptable call, in order, takes
 * the first call left that fits it. With no acceptable calls (irrelevance) an answer passes when it holds no call, also
 * when it cannot be read as one.
 */
export function passesBfcl(
  calls: readonly { name: string; arguments: JsonObject }[] | null,
  acceptable: readonly AcceptableCall[],
  item: Pick<SuiteItem, "tools" | "types" | "category">,
): boolean {
  if (acceptable.length === 0) return calls === null || calls.length === 0;
  if (calls === null || calls.length !== acceptable.length) return false;
  const language = languageOf(item.category);
  const left = new Set(calls);
  return acceptable.every((wanted) => {
    for (const call of left)
      if (callFits(call, wanted, item, language)) {
        left.delete(call);
        return true;
      }
    return false;
  });
}
