import { z } from "zod";

/** Version of the layout of an exported agent. A reader refuses a newer one. */
export const AGENT_FORMAT = 1;

const relativePath = z
  .string()
  .regex(/^(?!\/)(?!.*(?:^|\/)\.\.(?:\/|$))[^\\:]+$/, "must be a relative path inside the folder");

export const promptStyleSchema = z.object({
  instructions: z.enum(["brief", "full"]),
  rendering: z.enum(["compact", "full"]),
});

/** `agent.json`: what an exported agent is made of. Holds no path of the machine it was made on, and no credentials. */
export const manifestSchema = z.object({
  formatVersion: z.literal(AGENT_FORMAT),
  /** Version of specdojo that wrote the folder. */
  specdojo: z.string(),
  /** ISO 8601. */
  createdAt: z.iso.datetime(),
  api: z.object({ title: z.string(), version: z.string() }),
  baseModel: z.object({ name: z.string(), licence: z.string().optional() }),
  prompts: promptStyleSchema,
  menu: z.object({
    /** A menu with more tools is searched first, and this many of its tools are shown to the solver. */
    maxTools: z.int().positive(),
  }),
  sampling: z.object({ maxTokens: z.int().positive() }),
  /** Free summary of how the solver was trained. */
  training: z.record(z.string(), z.json()),
  licences: z.array(z.object({ what: z.string(), licence: z.string() })),
  /** Relative path -> SHA-256 (hex) and size in bytes, of every other file of the folder. */
  files: z.record(
    relativePath,
    z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), bytes: z.int().nonnegative() }),
  ),
});

export type AgentManifest = z.infer<typeof manifestSchema>;
