import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Tool } from "../openapi/types.js";
import type { ToolCall } from "../task/types.js";
import { SpecdojoError } from "../util/errors.js";
import type { JsonSchemaObject, JsonValue } from "../util/json.js";

const jsonObject = z.record(z.string(), z.json());

/** One line of a suite: its own tools, and the calls that answer it; see `docs/evaluation.md`. */
export const suiteItemSchema = z.object({
  id: z.string().min(1),
  question: z.string(),
  /** The turns of a conversation; `question` then has them joined. */
  messages: z.array(z.object({ role: z.string(), content: z.string() })).optional(),
  tools: z.array(
    z.object({
      name: z.string().min(1),
      description: z.string().optional(),
      parameters: jsonObject.optional(),
    }),
  ),
  /** Empty where no tool should be called. */
  gold: z.array(z.object({ name: z.string(), arguments: jsonObject })),
  /** Every allowed value of each argument, as BFCL has them. `""` allows to leave the argument out. */
  acceptable: z
    .array(z.object({ name: z.string(), arguments: z.record(z.string(), z.array(z.json())) }))
    .optional(),
});

export interface SuiteItem {
  id: string;
  question: string;
  messages: { role: "user" | "assistant"; content: string }[];
  tools: Tool[];
  gold: ToolCall[];
  acceptable: AcceptableCall[] | undefined;
}

export interface AcceptableCall {
  name: string;
  arguments: Record<string, JsonValue[]>;
}

const noSchema: JsonSchemaObject = { type: "object", properties: {} };

/** A tool that no HTTP request belongs to: what is shown to a model and scored, and nothing else. */
export function suiteTool(tool: {
  name: string;
  description?: string | undefined;
  parameters?: object | undefined;
}): Tool {
  return {
    name: tool.name,
    method: "post",
    path: "/",
    domain: "suite",
    description: tool.description ?? "",
    parameters: tool.parameters === undefined ? noSchema : (tool.parameters as JsonSchemaObject),
    bindings: {},
    responses: {},
    deprecated: false,
    annotations: { readOnly: false, destructive: false, idempotent: false },
    servers: [],
    pointer: "",
  };
}

/** Suites call the answering side `agent`, `assistant`, `bot` or `system`; whoever is not the user answers. */
function toRole(role: string): "user" | "assistant" {
  return role.toLowerCase() === "user" ? "user" : "assistant";
}

/** Reads a suite (JSON Lines). Throws `suite-invalid`, which names file and line, where a line has another shape. */
export function parseSuite(text: string, place: string): SuiteItem[] {
  const items: SuiteItem[] = [];
  for (const [index, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    if (line.trim() === "") continue;
    const fail = (what: string) =>
      new SpecdojoError("suite-invalid", `${place}:${index + 1}: ${what}`, {
        place: `${place}:${index + 1}`,
        remedy: 'Each line is an object with "id", "question", "tools", "gold" and, for BFCL, "acceptable".',
      });
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw fail(`not JSON (${error instanceof Error ? error.message : String(error)})`);
    }
    const parsed = suiteItemSchema.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw fail(
        issue === undefined ? "not an item" : `/${issue.path.map(String).join("/")}: ${issue.message}`,
      );
    }
    const { id, question, messages, tools, gold, acceptable } = parsed.data;
    items.push({
      id,
      question,
      messages: messages?.map(({ role, content }) => ({ role: toRole(role), content })) ?? [
        { role: "user", content: question },
      ],
      tools: tools.map(suiteTool),
      gold,
      acceptable,
    });
  }
  if (items.length === 0)
    throw new SpecdojoError("suite-empty", `${place} has no items`, {
      place,
      remedy: "Give a file with one item per line.",
    });
  return items;
}

/** Reads a suite file; throws `suite-unreadable` when there is none, otherwise as `parseSuite`. */
export async function loadSuite(path: string): Promise<SuiteItem[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new SpecdojoError("suite-unreadable", `cannot read the suite ${path}`, {
      place: path,
      remedy: "Give the path of a JSON Lines file.",
      cause,
    });
  }
  return parseSuite(text, path);
}
