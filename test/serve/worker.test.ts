import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import OpenAI from "openai";
import { beforeAll, describe, expect, it } from "vitest";
import { ensureBuilt, root, specdojo } from "../cli/command.js";
import { agentFolder } from "./helpers.js";

/** Set by `npm test`: an interpreter that has the worker's packages. */
const python = process.env.SPECDOJO_TEST_PYTHON;

beforeAll(ensureBuilt, 300_000);

describe("specdojo serve as a command", () => {
  it.each([
    [["no-such-folder"], "There is no exported agent here"],
    [["x", "--port", "many"], "is not a port"],
    [["x", "--runtime", "cloud"], "cannot run in"],
    [["x", "--host", "0.0.0.0"], "--allow-remote"],
  ])("%j is refused", async (args, message) => {
    const { code, err } = await specdojo(["serve", ...args]);
    expect([code, err]).toEqual([1, expect.stringContaining(message)]);
  });

  it.each([
    [["no-such-folder"], "neither an exported agent nor a model"],
    [["bundled", "--format", "onnx"], "no format"],
    [["bundled", "--type", "q2"], "no type"],
    [["bundled"], "--out"],
  ])("export %j is refused", async (args, message) => {
    const { code, err } = await specdojo(["export", ...args]);
    expect([code, err]).toEqual([1, expect.stringContaining(message)]);
  });

  it.skipIf(python === undefined)(
    "with the bundled model in the worker: 50 clients at once, then Ctrl-C (slow)",
    async () => {
      const { dir, remove } = await agentFolder();
      const { FORCE_COLOR: _, SPECDOJO_TOKEN: __, ...env } = process.env;
      const options = ["--port", "0", "--json", "--runtime", "worker", "--python", python ?? ""];
      const child = spawn(process.execPath, [join(root, "dist", "cli.js"), "serve", dir, ...options], {
        env: { ...env, OMP_NUM_THREADS: "1" },
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
      const { url, model, runtime, token } = JSON.parse(line) as Record<string, string>;
      expect([runtime, token?.length]).toEqual(["worker", 32]);
      const openai = new OpenAI({ baseURL: url, apiKey: token, maxRetries: 0, timeout: 500_000 });
      const ask = async (i: number) => {
        const messages = [
          { role: "user" as const, content: `Delete pet ${100 + i}${", please".repeat(i)}.` },
        ];
        const { choices, usage } = await openai.chat.completions.create({ model: model ?? "", messages });
        const { content, tool_calls: calls = [] } = choices[0]?.message ?? {};
        // The first call has the question's number; what follows so odd a question may be a tie, which a batch rounds its own way.
        const [made] = calls.map((call) => (call.type === "function" ? call.function : call));
        return { tokens: usage?.prompt_tokens, content, made };
      };
      // The model's answers are not at stake here, only that each is that of its own question.
      const alone = [await ask(0), await ask(24), await ask(49)];
      const found = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(i)));
      expect([found[0], found[24], found[49]]).toEqual(alone);
      expect(alone.map(({ made }) => JSON.stringify(made))).toEqual(
        [100, 124, 149].map((id) => expect.stringContaining(`${id}`)),
      );
      const [first = 0] = found.map(({ tokens }) => tokens ?? 0);
      const each = ((found[49]?.tokens ?? 0) - first) / 49;
      expect(each).toBeGreaterThan(0);
      expect(found.map(({ tokens = 0 }, i) => Math.abs(tokens - first - i * each) < each)).not.toContain(
        false,
      );
      const wrong = new OpenAI({ baseURL: url, apiKey: "guess", maxRetries: 0 });
      await expect(wrong.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
      child.kill("SIGINT");
      expect(await once(child, "exit")).toEqual([0, null]);
      await remove();
    },
    600_000,
  );
});
