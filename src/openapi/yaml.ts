import { CORE_SCHEMA, loadAll, mapTag, mergeTag, YAMLException } from "js-yaml";
import { SpecdojoError } from "../util/errors.js";
import { pointerTo } from "./pointer.js";
import type { Diagnostic } from "./types.js";

/** Levels of nesting that are read; JSON may be deeper. */
const maxDepth = 1_000;
/** Keys that `<<` may copy: each is cheap, and a short text can ask for billions. */
const maxMergedKeys = 200_000;
/** Lines, list items and pairs of a text. More would need more memory than a document should. */
const maxTokens = 3_000_000;
/** Characters of a text whose syntax errors are looked at a second time, by a slower parser that finds all of them. */
const maxExplained = 1_000_000;

type Report = (diagnostic: Diagnostic) => void;

/**
 * YAML 1.2 to a value. Aliases are not expanded (objects are shared), so a bomb costs nothing before it is measured.
 * Throws one `SpecdojoError` with line and column.
 */
export async function parseYaml(text: string, name: string, report: Report): Promise<unknown> {
  if (text.length > maxTokens && countTokens(text) > maxTokens)
    throw new SpecdojoError(
      "document-too-large",
      `${name} has more than ${maxTokens} lines, items and pairs.`,
      { place: name, remedy: "Split the document, or give it as JSON, which may be larger." },
    );
  const repeated: [object, string][] = [];
  const tags = {
    ...mapTag,
    addPair(target: Record<string, unknown>, key: unknown, value: unknown): string {
      // A list or an object as a key means nothing in JSON; its text keeps the rest readable.
      const text = typeof key === "object" && key !== null ? JSON.stringify(key).slice(0, 200) : String(key);
      if (Object.hasOwn(target, text)) repeated.push([target, text]);
      return mapTag.addPair(target, text, value);
    },
  };
  const schema = CORE_SCHEMA.withTags(mergeTag, tags);
  let documents: unknown[];
  try {
    documents = loadAll(text, { schema, json: true, maxDepth, maxTotalMergeKeys: maxMergedKeys });
  } catch (error) {
    if (error instanceof RangeError || (error instanceof YAMLException && error.reason.includes("maxDepth")))
      throw new SpecdojoError("document-too-deep", `${name} is nested more than ${maxDepth} levels deep.`, {
        place: name,
        remedy: "Move nested schemas into components and refer to them.",
        cause: error,
      });
    const slow = text.length <= maxExplained ? await parseSlowly(text, name, report) : undefined;
    if (slow !== undefined) return slow.value;
    throw syntaxError(name, `The YAML cannot be parsed: ${explain(error)}`, error);
  }
  if (documents.length > 1) reportSeveral(report);
  if (repeated.length > 0) reportRepeated(text, documents[0], repeated, report);
  return documents[0];
}

/** An upper bound of the number of values. */
function countTokens(text: string): number {
  let count = 1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    // line feed, comma, [, {, and - or ? before a blank (compact lists and keys in one line)
    if (code === 10 || code === 44 || code === 91 || code === 123) count++;
    else if ((code === 45 || code === 63 || code === 58) && text.charCodeAt(i + 1) === 32) count++;
  }
  return count;
}

function explain(error: unknown): string {
  if (!(error instanceof YAMLException)) return error instanceof Error ? error.message : String(error);
  const { mark, reason } = error;
  return mark === undefined ? reason : `line ${mark.line + 1}, column ${mark.column + 1}: ${reason}`;
}

/** The other parser goes on after an error, and reads what the fast one refuses (unknown tags, for example). */
async function parseSlowly(
  text: string,
  name: string,
  report: Report,
): Promise<{ value: unknown } | undefined> {
  const { isCollection, LineCounter, parseDocument } = await import("yaml");
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "silent",
    });
    const fatal = document.errors.filter((error) => error.code !== "MULTIPLE_DOCS");
    if (fatal.length > 0) {
      const reasons = fatal.slice(0, 5).map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        return `line ${line}, column ${col}: ${error.message}`;
      });
      throw syntaxError(name, `The YAML cannot be parsed: ${reasons.join("; ")}`, fatal[0]);
    }
    // Merge keys would not be counted here.
    if (!isCollection(document.contents) || text.includes("<<")) return undefined;
    const value: unknown = document.toJS({ maxAliasCount: -1 });
    if (document.errors.length > 0) reportSeveral(report);
    return { value };
  } catch (error) {
    if (SpecdojoError.isInstance(error)) throw error;
    return undefined;
  }
}

function reportSeveral(report: Report): void {
  report({
    code: "several-documents",
    severity: "warning",
    pointer: "",
    message: "The file holds several YAML documents; only the first is read.",
    remedy: "Keep one document per file.",
  });
}

/** Keys written twice in one mapping. What only overrides a merged key (`<<`) is none of them. */
function reportRepeated(
  text: string,
  root: unknown,
  repeated: readonly [object, string][],
  report: Report,
): void {
  let line: number | undefined;
  try {
    loadAll(text, { schema: CORE_SCHEMA.withTags(mergeTag), maxDepth, maxTotalMergeKeys: maxMergedKeys });
    return;
  } catch (error) {
    if (error instanceof YAMLException && error.reason === "duplicated mapping key")
      line = error.mark === undefined ? undefined : error.mark.line + 1;
  }
  const places = placesOf(root, new Set(repeated.map(([target]) => target)));
  repeated.slice(0, 50).forEach(([target, key], i) => {
    const where = i === 0 && line !== undefined ? ` (line ${line})` : "";
    report({
      code: "duplicate-key",
      severity: "warning",
      pointer: pointerTo(places.get(target) ?? "", key),
      message: `The key ${JSON.stringify(key)} occurs twice in one mapping${where}; the last one counts.`,
      remedy: "Remove or rename one of them.",
    });
  });
}

/** JSON pointers of the wanted objects below a value. */
export function placesOf(root: unknown, wanted: ReadonlySet<unknown>): Map<unknown, string> {
  const places = new Map<unknown, string>();
  const seen = new Set<unknown>();
  const stack: { value: unknown; pointer: string }[] = [{ value: root, pointer: "" }];
  for (let next = stack.pop(); next !== undefined && places.size < wanted.size; next = stack.pop()) {
    const { value, pointer } = next;
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    if (wanted.has(value)) places.set(value, pointer);
    for (const [key, item] of Object.entries(value))
      if (typeof item === "object") stack.push({ value: item, pointer: pointerTo(pointer, key) });
  }
  return places;
}

function syntaxError(name: string, message: string, cause: unknown): SpecdojoError {
  return new SpecdojoError("document-unreadable", message, {
    place: name,
    remedy: "Correct the syntax there; quotes and indentation are the usual reason.",
    cause,
  });
}
