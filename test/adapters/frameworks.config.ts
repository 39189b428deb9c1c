import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import sets from "./frameworks.json" with { type: "json" };

// The tests of the adapters with the frameworks of one set instead of the installed ones (see scripts/frameworks.mjs).
const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = process.env.SPECDOJO_FRAMEWORKS ?? "";
const name = process.env.SPECDOJO_FRAMEWORK_SET as keyof typeof sets;
const packages = Object.keys(sets[name].packages).filter((one) => one !== "zod");

export default defineConfig({
  resolve: {
    alias: [
      { find: /^specdojo$/, replacement: join(root, "src/index.ts") },
      { find: /^specdojo\/agent$/, replacement: join(root, "src/agent/index.ts") },
      { find: /^specdojo\/adapters\/(.*)$/, replacement: join(root, "adapters/$1.ts") },
    ],
  },
  plugins: [
    {
      name: "frameworks",
      enforce: "pre",
      async resolveId(source) {
        if (!packages.some((one) => source === one || source.startsWith(`${one}/`))) return null;
        const found = await this.resolve(source, join(folder, "package.json"), { skipSelf: true });
        if (found !== null && !found.id.startsWith(folder))
          throw new Error(`${source} was resolved to ${found.id}, outside of ${folder}.`);
        return found;
      },
    },
  ],
  test: {
    include: {
      // The examples are written for the newest majors.
      newest: ["test/adapters/**/*.test.ts", "test/adapters/examples.newest.ts"],
      node20: ["test/adapters/mastra.test.ts"],
      llama: ["test/gguf/**/*.test.ts"],
    }[name],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
