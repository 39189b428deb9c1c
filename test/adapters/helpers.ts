import { createRequire } from "node:module";
import * as z from "zod";
import * as z3 from "zod/v3";
import { createAgent } from "../../src/agent/agent.js";
import { defineTool } from "../../src/agent/define-tool.js";
import type { Agent, Solver } from "../../src/agent/index.js";
import { json, type MockServer, mockServer, petstoreMenu } from "../agent/helpers.js";

export { json, type MockServer, mockServer };

/** What the scripted solver answers, by a word of the question: calls, and what it says to the user. */
const script: [word: string, calls: object[], text?: string][] = [
  ["called", [{ name: "getPetById", arguments: { petId: 3 } }]],
  [
    "both",
    [
      { name: "getPetById", arguments: { petId: 3 } },
      { name: "getPetById", arguments: { petId: 4 } },
    ],
  ],
  ["Delete", [{ name: "deletePet", arguments: { petId: 3 } }]],
  [
    "Note",
    [
      { name: "note", arguments: { text: "feed Rex" } },
      { name: "remind", arguments: { text: "feed Rex", days: 2 } },
    ],
  ],
  ["Look", [{ name: "getPetById", arguments: { petId: 3 } }], "Looking."],
  ["that pet", [], "Which pet do you mean?"],
  ["wrong", [{ name: "getPetById", arguments: { petId: "three" } }]],
];

export const petOf = (id: number): object => ({ id, name: id === 3 ? "Rex" : "Ada" });

export interface Kennel {
  agent: Agent;
  /** The API over loopback. */
  api: MockServer;
  /** `GET /pet/3`, in the order of the requests. */
  requests(): string[];
  /** What the own tools were given. */
  notes: unknown[];
  /** The last lines that the solver was asked to answer. */
  asked: string[];
  close(): Promise<void>;
}

/** An agent with a scripted solver, the Petstore's tools over loopback, and a zod 4 and a zod 3 tool of its own. */
export async function kennel(solver?: Solver): Promise<Kennel> {
  const api = await mockServer(({ url }, response) =>
    json(response, 200, petOf(Number(url.split("/").at(-1)))),
  );
  const asked: string[] = [];
  const notes: unknown[] = [];
  const agent = createAgent({
    menu: await petstoreMenu(),
    solver: solver ?? {
      complete: (prompts) =>
        Promise.resolve(
          prompts.map((messages) => {
            const question = messages.at(-1)?.content ?? "";
            asked.push(question);
            const [, calls = [], text = ""] = script.find(([word]) => question.includes(word)) ?? [];
            return `${text}<tool_call_answer>${JSON.stringify(calls)}</tool_call_answer>`;
          }),
        ),
      close: () => Promise.resolve(),
    },
    client: { baseUrl: api.url, credentials: () => "key-of-this-user" },
    tools: [
      defineTool({
        name: "note",
        description: "Writes a note",
        parameters: z.object({ text: z.string(), urgent: z.boolean().default(false) }),
        execute(args) {
          notes.push(args);
          return { noted: args.text };
        },
      }),
      defineTool({
        name: "remind",
        description: "Reminds of something",
        parameters: z3.z.object({ text: z3.z.string(), days: z3.z.number().int().min(1) }),
        execute(args) {
          notes.push(args);
          return { inDays: args.days };
        },
      }),
    ],
  });
  return {
    agent,
    api,
    requests: () => api.seen.map(({ method, url }) => `${method} ${url}`),
    notes,
    asked,
    async close() {
      await agent.close();
      await api.close();
    },
  };
}

/** A server that answers its requests with these bodies, in order. */
export function scripted(replies: object[]): Promise<MockServer> {
  return mockServer((_, response, count) => json(response, 200, replies[count - 1] ?? { error: "no more" }));
}

export const bodyOf = (server: MockServer, index: number): unknown =>
  JSON.parse(server.seen[index]?.body ?? "null");

const folder = process.env.SPECDOJO_FRAMEWORKS;
const require = createRequire(folder === undefined ? import.meta.url : `${folder}/package.json`);

/** Whether a framework that is no dependency is there (see `scripts/frameworks.mjs`). */
export function isInstalled(name: string): boolean {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}
