// What `specdojo generate FILE --out DIR --language js` writes, loaded as it is.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { buildToolMenu, generateClient, loadOpenApi } from "specdojo";
import { document, serve } from "./_server.mjs";

// Inside the package, so that the generated files find "specdojo".
const dir = await mkdtemp(join(fileURLToPath(new URL(".", import.meta.url)), "_generated-"));
try {
  const files = generateClient(buildToolMenu(await loadOpenApi(document)), { language: "js" });
  for (const [name, text] of files) await writeFile(join(dir, name), text);
  const { createClient } = await import(pathToFileURL(join(dir, "index.js")).href);

  const api = await serve(() => [200, { available: 2 }]);
  const client = createClient({ baseUrl: api.url, credentials: () => "key" });
  const inventory = await client.getInventory();
  assert.deepEqual(inventory.ok && inventory.data, { available: 2 });
  api.close();
} finally {
  await rm(dir, { recursive: true, force: true });
}
