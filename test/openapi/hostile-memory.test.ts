import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { beforeAll, expect, test } from "vitest";
import { ensureBuilt, root } from "../cli/command.js";

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const many = <T>(count: number, make: (i: number) => [string, T]) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => make(i)));
const body = (schema: unknown) => ({
  post: { requestBody: { content: { "application/json": { schema } } }, responses: {} },
});
const document = (schema: unknown, schemas: object = {}, paths: object = {}) =>
  JSON.stringify({
    openapi: "3.0.3",
    info: { title: "Shop", version: "1" },
    paths: { "/a": body(schema), ...paths },
    components: { schemas },
  });

/** The greatest eaters of time and memory: whether each is accepted. */
const documents: [string, () => string | Uint8Array, boolean][] = [
  [
    "an alias bomb",
    () =>
      `openapi: 3.0.3\npaths: {/a: {get: {responses: {}}}}\nx0: &x0 [a, a]\n${Array.from(
        { length: 30 },
        (_, i) => `x${i + 1}: &x${i + 1} [${Array.from({ length: 9 }, () => `*x${i}`).join(", ")}]`,
      ).join("\n")}\n`,
    false,
  ],
  ["a gzip bomb", () => gzipSync(gzipSync(Buffer.alloc(140 << 20, "["))), false],
  [
    "9,000 schemas deep",
    () =>
      document("S").replace(
        '"S"',
        `${'{"properties":{"a":'.repeat(9_000)}{"type":"string"}${"}}".repeat(9_000)}`,
      ),
    true,
  ],
  [
    "an enum of 100,000 values, in 10 operations",
    () =>
      document(
        ref("E"),
        { E: { type: "string", enum: Array.from({ length: 100_000 }, (_, i) => `value-${i}`) } },
        many(10, (i) => [`/e${i}`, body(ref("E"))]),
      ),
    true,
  ],
  [
    "100 schemas that all refer to all, in 20 operations",
    () =>
      document(
        ref("S0"),
        many(100, (i) => [`S${i}`, { properties: many(100, (j) => [`p${j}`, ref(`S${j}`)]) }]),
        many(20, (i) => [`/s${i}`, body(ref(`S${i}`))]),
      ),
    true,
  ],
  [
    "1,000 catastrophic patterns",
    () =>
      document({
        properties: many(1_000, (i) => [
          `p${i}`,
          { type: "string", pattern: `^((a+)+){1,${i}}$`, default: "a".repeat(99) },
        ]),
      }),
    true,
  ],
];

beforeAll(ensureBuilt);

test.each(documents)("specdojo menu --json stays below 1 GiB: %s", async (_, make, accepted) => {
  const dir = await mkdtemp(join(tmpdir(), "specdojo-hostile-"));
  try {
    const file = join(dir, "document");
    await writeFile(file, make());
    const { code, err } = await menu(file);
    const used = Number(/^kilobytes (\d+)$/m.exec(err)?.[1]);
    expect({ code, err: /Error:|^\s+at /m.test(err) }).toEqual({ code: accepted ? 0 : 1, err: false });
    expect(used).toBeGreaterThan(0);
    expect(used / 1024).toBeLessThan(1024);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

/** Runs the command; the last line of `err` is the greatest memory of the process. */
function menu(file: string): Promise<{ code: number | null; err: string }> {
  const report = 'process.on("exit", () => console.error("\\nkilobytes", process.resourceUsage().maxRSS))';
  const args = [
    "--import",
    `data:text/javascript,${encodeURIComponent(report)}`,
    join(root, "dist", "cli.js"),
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...args, "menu", file, "--json"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      err += chunk;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, err }));
  });
}
