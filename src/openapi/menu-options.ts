import type { z as Zod } from "zod";

/**
 * The schemas of the options. They are made with the zod that is passed in: a menu without options, which is most of
 * them, never loads it.
 */
export function menuSchemas(z: typeof Zod) {
  const patterns = z.array(z.string().min(1)).min(1);

  /** Which operations: each criterion that is given must hold, and holds if one of its patterns fits. */
  const toolFilterSchema = z
    .strictObject({
      /** Tags of the operation. */
      tags: patterns,
      /** The path template, e.g. `/pets/*`. */
      paths: patterns,
      /** HTTP methods, in any case. */
      methods: patterns,
      /** Tool names. */
      names: patterns,
    })
    .partial();

  /** Changes of the domains, made in this order. */
  const domainOptionsSchema = z
    .strictObject({
      /** Domain -> new domains and what goes there, or `path`: by the next part of the path. The rest stays. */
      split: z.record(
        z.string(),
        z.union([z.literal("path"), z.record(z.string().min(1), toolFilterSchema)]),
      ),
      /** New domain -> patterns of those that become one. */
      merge: z.record(z.string().min(1), patterns),
      /** Old name -> new name. */
      rename: z.record(z.string(), z.string().min(1)),
      /** Patterns of the domains that stay; all, where it is not given. */
      include: patterns,
      /** Patterns of those that go, with their tools. */
      exclude: patterns,
      /** How much more (or less) often than others of its size a domain is practised; 0: never. */
      weights: z.record(z.string(), z.number().nonnegative()),
    })
    .partial();

  const hints = { readOnly: z.boolean(), destructive: z.boolean(), idempotent: z.boolean() };

  /** What a menu is made of; in options, under `menu` in a run's configuration, and as `x-specdojo` in a document. */
  const menuOptionsSchema = z
    .strictObject({
      /** Only these operations become tools. */
      include: toolFilterSchema,
      /** These do not. */
      exclude: toolFilterSchema,
      domains: domainOptionsSchema,
      /** Corrections of what the method says about an operation; the last that fits counts. */
      annotations: z.array(z.strictObject({ tools: toolFilterSchema, ...z.object(hints).partial().shape })),
    })
    .partial();

  /** `x-specdojo` of an operation or of its path. */
  const operationExtensionSchema = z
    .strictObject({
      domain: z.string().trim().min(1).max(200),
      exclude: z.boolean(),
      ...hints,
    })
    .partial();

  return { toolFilterSchema, domainOptionsSchema, menuOptionsSchema, operationExtensionSchema };
}

type Schemas = ReturnType<typeof menuSchemas>;
export type ToolFilter = Zod.infer<Schemas["toolFilterSchema"]>;
export type DomainOptions = Zod.infer<Schemas["domainOptionsSchema"]>;
export type MenuOptions = Zod.infer<Schemas["menuOptionsSchema"]>;
/** `x-specdojo` of an operation or of its path. */
export type OperationExtension = Zod.infer<Schemas["operationExtensionSchema"]>;
