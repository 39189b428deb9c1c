import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { type RenderableTool, renderCompact, renderFull, type ToolMenu } from "../../src/openapi/index.js";
import {
  generatorCompletion,
  generatorMessages,
  solverCompletion,
  solverMessages,
  type TaskSpec,
} from "../../src/task/index.js";

/** Written by `specdojo_worker.pretrain.golden`: the texts on which the bundled model was pretrained. */
const call = z.object({ name: z.string(), arguments: z.record(z.string(), z.json()) });
const rows = z
  .array(
    z.object({
      tools: z.array(z.object({ name: z.string(), description: z.string(), parameters: z.looseObject({}) })),
      menu: z.string(),
      full: z.string(),
      items: z.array(
        z.object({
          question: z.string(),
          calls: z.array(call),
          context: z.enum(["single_turn", "multi_turn"]),
          solver: z.string(),
          solver_completion: z.string(),
          given: z.string(),
          given_completion: z.string(),
          free: z.string(),
          free_completion: z.string(),
        }),
      ),
    }),
  )
  .parse(JSON.parse(readFileSync(new URL("../fixtures/pretrain/prompts.json", import.meta.url), "utf8")));

/** The bundled model's chat template. */
const chat = (messages: readonly { role: string; content: string }[]): string =>
  `${messages.map(({ role, content }) => `<|${role}|>${content}`).join("")}<|assistant|>`;

describe("the brief prompts are those of the pretraining corpus", () => {
  for (const [index, row] of rows.entries()) {
    const tools = row.tools as RenderableTool[];
    const menu = { title: "golden", tools } as unknown as ToolMenu;
    const head = `<|system|>${row.menu}`;
    const names = tools.map(({ name }) => name);

    it(`menu ${index}: both renderings`, () => {
      expect(`Tools:\n${tools.map((tool) => renderCompact(tool)).join("\n")}`).toBe(row.menu);
      expect(`Tools:\n${tools.map((tool) => renderFull(tool)).join("\n")}`).toBe(row.full);
    });
    for (const [number, item] of row.items.entries())
      it(`menu ${index}, request ${number}: both roles`, () => {
        const spec = (answer: TaskSpec["answer"]): TaskSpec => ({
          id: "x",
          domain: "d",
          context: item.context,
          tools: names,
          answer,
        });
        expect(chat(solverMessages(tools, item.question))).toBe(head + item.solver);
        expect(`${solverCompletion(item.calls)}<|end|>`).toBe(item.solver_completion);
        expect(chat(generatorMessages(spec({ kind: "given", calls: item.calls }), menu))).toBe(
          head + item.given,
        );
        expect(`${generatorCompletion(item.question)}<|end|>`).toBe(item.given_completion);
        expect(chat(generatorMessages(spec({ kind: "free", calls: item.calls.length }), menu))).toBe(
          head + item.free,
        );
        expect(`${generatorCompletion(item.question, item.calls)}<|end|>`).toBe(item.free_completion);
      });
  }
});
