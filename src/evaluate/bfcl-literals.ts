import type { JsonValue } from "../util/json.js";

export type Language = "python" | "java" | "javascript";

/*
 * Values as texts of Java and JavaScript. In BFCL's categories for those languages every argument is a text; its checker
 * reads it with the expressions repeated here (type_convertor/java_type_converter.py, js_type_converter.py). What they
 * do not recognise stays a text.
 */

const whole = /^-?\d+$/;
const decimal = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

function readNumberOrText(text: string): JsonValue {
  if (/^\s*[+-]?\d+(_?\d+)*\s*$/.test(text)) return Number(text.replaceAll("_", ""));
  return /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$/.test(text) ? Number(text) : text;
}

function readJavaValue(text: string): JsonValue {
  if (text === "true" || text === "false") return text === "true";
  if (text.length > 1 && text.startsWith('"') && text.endsWith('"')) return text.slice(1, -1);
  if (/^-?\d+[lL]$/.test(text)) return Number(text.slice(0, -1));
  if (/^-?\d+(\.\d+)?([eE][+-]?\d+)?[fF]$/.test(text)) return Number(text.slice(0, -1));
  return readNumberOrText(text);
}

function readJavaItems(texts: readonly string[], itemType: string | undefined): JsonValue[] {
  return texts.map((text) => {
    const item = text.trim();
    if (itemType === "char" || itemType === "String") return item.slice(1, -1);
    return itemType === undefined ? readJavaValue(item) : readJava(item, itemType);
  });
}

function readJava(text: string, type: string, itemType?: string): JsonValue {
  switch (type) {
    case "byte":
    case "short":
    case "integer":
      return whole.test(text) ? Number(text) : text;
    case "float":
      return /^-?\d+(\.\d+)?([eE][+-]?\d+)?[fF]$/.test(text) ? Number(text.slice(0, -1)) : text;
    case "double":
      return decimal.test(text) ? Number(text) : text;
    case "long":
      return /^-?\d+[lL]$/.test(text) ? Number(text.slice(0, -1)) : text;
    case "boolean":
      return text === "true" || text === "false" ? text === "true" : text;
    case "ArrayList": {
      const listed = /new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)/.exec(text)?.[1];
      if (listed !== undefined) return readJavaItems(listed.split(","), itemType);
      const added = /new\s+ArrayList<\w*>\(\)\s*\{\{\s*([\s\S]+?)\s*\}\}/.exec(text)?.[1];
      if (added !== undefined)
        return readJavaItems(
          [...added.matchAll(/add\((.+?)\)/g)].map(([, item = ""]) => item),
          itemType,
        );
      return /new\s+ArrayList<\w*>\(\)/.test(text) ? [] : text;
    }
    case "Array": {
      const listed = /new\s+\w+\[\]\s*\{(.*?)\}/.exec(text)?.[1];
      if (listed === undefined) return text;
      const items = listed.split(",").map((item) => item.trim());
      return items
        .filter((item) => item !== "")
        .map((item) => (itemType === undefined ? readJavaValue(item) : readJava(item, itemType)));
    }
    case "HashMap": {
      const put = /new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*([\s\S]*?)\s*\}?\s*\}/.exec(text)?.[1];
      if (put !== undefined)
        return Object.fromEntries(
          [...put.matchAll(/put\("(.*?)",\s*(.*?)\)/g)].map(([, key = "", value = ""]) => [
            key,
            readJavaValue(value.trim()),
          ]),
        );
      return /new\s+HashMap<.*?>\s*\(\)/.test(text) ? {} : text;
    }
    default:
      return text;
  }
}

const quoted = (text: string): boolean =>
  text.length > 1 &&
  ((text.startsWith('"') && text.endsWith('"')) || (text.startsWith("'") && text.endsWith("'")));

function readJavaScriptValue(text: string): JsonValue {
  const value = text.trim();
  if (value === "true" || value === "false") return value === "true";
  return quoted(value) ? value.slice(1, -1) : readNumberOrText(value);
}

function readJavaScriptArray(code: string, itemType: string | undefined): JsonValue {
  const twoDimensional =
    /^(?:\[\s*\[.*?\]\s*(?:,\s*\[.*?\]\s*)*\]|new\s+Array\(\s*\[.*?\]\s*(?:,\s*\[.*?\]\s*)*\))/.exec(
      code,
    )?.[0];
  if (twoDimensional !== undefined)
    return [...twoDimensional.matchAll(/\[(.*?)\]/g)].map(([, inner = ""]) =>
      inner.trim().replace(/^\[/, "").split(",").map(readJavaScriptValue),
    );
  const match = /^(?:\[(.*?)\]|new\s+Array\((.*?)\))/.exec(code);
  if (match === null) return code;
  const inner = (match[1] ?? match[2] ?? "").trim();
  if (inner === "") return [];
  return inner.split(",").map((part) => {
    const item = part.trim();
    return itemType === undefined ? readJavaScriptValue(item) : readJavaScript(item, itemType);
  });
}

function readJavaScriptObject(code: string): JsonValue {
  if (code === "{}") return {};
  const content = /^\{(.*?)\}/.exec(code)?.[1];
  if (content === undefined) return code;
  const pairs = [...content.matchAll(/([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)/g)];
  return Object.fromEntries(
    pairs.map(([, key = "", raw = ""]) => {
      const value = raw.trim();
      const name = key.trim().replace(/^['"]+|['"]+$/g, "");
      if (value.startsWith("[") && value.endsWith("]")) return [name, readJavaScriptArray(value, undefined)];
      if (value.startsWith("{") && value.endsWith("}")) return [name, readJavaScriptObject(value)];
      return [name, readJavaScriptValue(value.replace(/^['"]+|['"]+$/g, ""))];
    }),
  );
}

function readJavaScript(text: string, type: string, itemType?: string): JsonValue {
  switch (type) {
    case "String":
      return quoted(text) ? text.slice(1, -1) : text;
    case "integer":
      return whole.test(text) ? Number(text) : text;
    case "float":
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case "Bigint":
      return /^-?\d+n$/.test(text) ? Number(text.slice(0, -1)) : text;
    case "Boolean":
      return text === "true" || text === "false" ? text === "true" : text;
    case "array":
      return readJavaScriptArray(text.trim(), itemType);
    case "dict":
      return readJavaScriptObject(text.trim());
    default:
      return text;
  }
}

/** The value that a text of the language stands for; the text itself where it is not read as a value of the type. */
export function readLiteral(
  text: string,
  language: Exclude<Language, "python">,
  type: string,
  itemType?: string,
): JsonValue {
  return language === "java" ? readJava(text, type, itemType) : readJavaScript(text, type, itemType);
}

function writeJavaItem(value: JsonValue): string {
  if (typeof value === "string") return `"${value}"`;
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

/** Texts that stand for a value, most usual first. */
export function writeLiteral(
  value: JsonValue,
  language: Exclude<Language, "python">,
  type: string,
  itemType?: string,
): string[] {
  const scalar = (one: JsonValue, suffix = ""): string =>
    typeof one === "string" ? one : `${String(one)}${suffix}`;
  if (language === "javascript") {
    if (type === "Bigint") return [scalar(value, "n")];
    if (typeof value !== "object" || value === null) return [scalar(value)];
    if (!Array.isArray(value))
      return [
        JSON.stringify(value),
        JSON.stringify(value).replaceAll('"', ""),
        JSON.stringify(value).replaceAll('"', "'"),
      ];
    const bare = `[${value.map((item) => scalar(item)).join(", ")}]`;
    return [JSON.stringify(value), bare];
  }
  if (typeof value !== "object" || value === null) {
    if (typeof value === "string") return [value];
    return [scalar(value, type === "long" ? "L" : type === "float" ? "f" : "")];
  }
  if (!Array.isArray(value)) {
    const puts = Object.entries(value).map(([key, inner]) => `put("${key}", ${writeJavaItem(inner)});`);
    return [`new HashMap<String, Object>() {{ ${puts.join(" ")} }}`];
  }
  const one = (item: JsonValue): string =>
    typeof item === "string"
      ? itemType === "char"
        ? `'${item}'`
        : `"${item}"`
      : scalar(item, itemType === "long" ? "L" : itemType === "float" ? "f" : "");
  const items = value.map(one).join(", ");
  const bare = value.map((item) => scalar(item)).join(", ");
  if (type === "ArrayList")
    return [items === "" ? "new ArrayList<>()" : `new ArrayList<>(Arrays.asList(${items}))`];
  return [`new Object[]{${items}}`, `new Object[]{${bare}}`];
}
