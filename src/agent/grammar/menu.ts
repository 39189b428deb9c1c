import type { RenderableTool } from "../../openapi/render.js";
import type { PromptStyle } from "../../task/prompts.js";
import { repeat } from "./notation.js";
import { type GrammarLimits, literal, Rules, SchemaGrammar } from "./schema.js";

export interface MenuGrammarOptions {
  style: PromptStyle;
  /** At least one call, and nothing said beside it. */
  mustCall?: boolean | undefined;
  limits?: Partial<GrammarLimits> | undefined;
}

const defaults: GrammarLimits = { calls: 12, string: 400, items: 16, depth: 6 };

/**
 * The grammar (GBNF, the notation of llama.cpp) of the solver's answers with calls of these tools: names of tools, names
 * of arguments, types, values of enumerations, formats, patterns and bounds, and every required argument. It may allow
 * less than a schema, such as arguments in the order of the prompt only. What it cannot say (`not`, `if`, `contains`,
 * alternatives that overlap, patterns with look-around) is left to the check of the answer.
 */
export function menuGrammar(tools: readonly RenderableTool[], options: MenuGrammarOptions): string {
  const { style, mustCall = false } = options;
  const limits = { ...defaults, ...options.limits };
  const order = style.rendering === "compact" ? "required-first" : "declared";
  const rules = new Rules(style.instructions === "full");
  const calls = tools.flatMap((tool) => {
    const args = new SchemaGrammar(tool.parameters, rules, order, limits).value(tool.parameters);
    if (args === undefined) return [];
    const { comma, colon } = rules;
    const name = literal(JSON.stringify(tool.name));
    return [`"{\\"name\\"" ${colon} ${name} ${comma} "\\"arguments\\"" ${colon} ${args} "}"`];
  });
  const call = calls.length === 0 ? undefined : rules.add("call", calls.join(" | "));
  const some = `${call} ${repeat(`(${rules.comma} ${call})`, 0, limits.calls - 1)}`;
  const inside = call === undefined ? "" : mustCall ? ` ${some}` : ` (${some})?`;
  const answer = `"<tool_call_answer>["${inside} "]</tool_call_answer>"`;
  if (mustCall && style.instructions === "brief") return rules.text(answer);
  // Questions back are said before the answer; a general model thinks first.
  const said = "[^<\\x00-\\x09\\x0b-\\x1f]";
  const speech = mustCall ? '"\\n"{0,2}' : repeat(rules.add("said", said), 0, limits.string);
  if (style.instructions === "brief") return rules.text(`${speech} ${answer}`);
  const thought = rules.add("thought", `"<think>" (${said} | "<" [^/])* "</think>"`);
  return rules.text(`${thought}? ${speech} ${answer}`);
}
