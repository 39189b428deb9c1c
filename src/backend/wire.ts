import { z } from "zod";

/** Replies of the training API. Unknown fields are ignored, so that servers may say more. */

export const futureReply = z.object({ request_id: z.string(), model_id: z.string().nullish() });

export const tryAgainReply = z.object({ type: z.literal("try_again") });

/** A failed request in a 200 reply (hosted form). */
export const failedReply = z.object({ error: z.string(), category: z.string().nullish() });

/** A failed request in a 4xx reply (SkyRL, FastAPI). */
export const detailReply = z.object({
  detail: z.union([
    z.string(),
    z.array(z.object({ loc: z.array(z.union([z.string(), z.number()])).optional(), msg: z.string() })),
    z.record(z.string(), z.unknown()),
  ]),
});

export const sessionReply = z.object({ session_id: z.string() });

export const anyReply = z.looseObject({}).nullable();

export const capabilitiesReply = z.object({
  supported_models: z.array(
    z.object({ model_name: z.string().nullish(), max_context_length: z.int().nullish() }),
  ),
});

export const samplingSessionReply = z.object({ sampling_session_id: z.string() });

export const createModelReply = z.object({ model_id: z.string() });

const metrics = z
  .record(z.string(), z.number().nullable())
  .nullish()
  .transform((record) => {
    const known: Record<string, number> = {};
    for (const [name, value] of Object.entries(record ?? {})) if (value !== null) known[name] = value;
    return known;
  });

const tensor = z.object({ data: z.array(z.number()) });

export const forwardBackwardReply = z.object({
  loss_fn_outputs: z.array(z.object({ logprobs: z.union([tensor, z.array(z.number())]) })),
  metrics,
});

export const optimStepReply = z.object({ metrics });

export const pathReply = z.object({ path: z.string() });

export const samplerReply = z.union([samplingSessionReply, pathReply]);

export const sampleReply = z.object({
  sequences: z.array(
    z
      .object({
        tokens: z.array(z.int()),
        logprobs: z.array(z.number()),
        stop_reason: z.enum(["stop", "length"]),
      })
      .refine((sequence) => sequence.tokens.length === sequence.logprobs.length, {
        message: "tokens and logprobs differ in length",
      }),
  ),
  prompt_logprobs: z.array(z.number().nullable()).nullish(),
});

export const checkpointsReply = z.object({ checkpoints: z.array(z.object({ checkpoint_id: z.string() })) });

export const archiveReply = z.object({ url: z.string() });
