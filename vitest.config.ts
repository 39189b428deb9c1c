import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: {
      "specdojo/agent": fileURLToPath(new URL("./src/agent/index.ts", import.meta.url)),
      specdojo: fileURLToPath(new URL("./src/index.ts", import.meta.url)),
    },
  },
  test: { include: ["test/**/*.test.ts"], testTimeout: 30_000 },
});
