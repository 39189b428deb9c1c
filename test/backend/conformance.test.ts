import { fileURLToPath } from "node:url";
import { describe, it } from "vitest";
import { type BackendProfile, capabilityTable, kindOf } from "../../src/backend/capabilities.js";
import { connectBackend } from "../../src/backend/client.js";
import { startWorker } from "../../src/backend/worker.js";
import { loadTokenizer } from "../../src/rollout/tokenizer.js";
import { conformance, type Target } from "./conformance.js";

/**
 * Against the local worker, or against any server: SPECDOJO_CONFORMANCE_URL, _PROFILE (a column of the capability table),
 * _KEY, _MODEL (as the server names it) and _TOKENIZER (its folder here, when that is not the same).
 */
const { env } = process;
const url = env.SPECDOJO_CONFORMANCE_URL;
const python = env.SPECDOJO_TEST_PYTHON;
const bundled = fileURLToPath(new URL("../../worker/base-model", import.meta.url));

async function text(model: string, backend: Target["backend"]): Promise<Target> {
  const tokenizer = await loadTokenizer(env.SPECDOJO_CONFORMANCE_TOKENIZER ?? model);
  const prompt = tokenizer.renderChat([{ role: "user", content: "List the pets that are available." }]);
  return { backend, model, prompt, answer: tokenizer.encodeContent("findPetsByStatus") };
}

if (url !== undefined) {
  const profile = (env.SPECDOJO_CONFORMANCE_PROFILE ?? "tinker") as BackendProfile;
  if (!(profile in capabilityTable)) throw new Error(`SPECDOJO_CONFORMANCE_PROFILE: there is no ${profile}`);
  conformance(`${profile} at ${url}`, async () =>
    text(
      env.SPECDOJO_CONFORMANCE_MODEL ?? bundled,
      await connectBackend({
        baseUrl: url,
        kind: kindOf(profile),
        profile,
        ...(env.SPECDOJO_CONFORMANCE_KEY === undefined ? {} : { apiKey: env.SPECDOJO_CONFORMANCE_KEY }),
      }),
    ),
  );
} else if (python !== undefined)
  conformance("the local worker (slow)", async () =>
    text(bundled, await startWorker({ python, args: ["--dtype", "float32", "--threads", "1"] })),
  );
else
  describe("conformance", () => {
    it.skip("needs SPECDOJO_TEST_PYTHON or SPECDOJO_CONFORMANCE_URL", () => undefined);
  });
