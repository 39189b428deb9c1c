import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: {
      "specdojo/agent": fileURLToPath(new URL("./src/agent/index.ts", import.meta.url)),
      specdojo: fileURLToPath(new URL("./src/index.ts", import.meta.url)),
    },
  },
  // The limits only end what hangs: a machine may be busy.
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
