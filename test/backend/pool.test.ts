import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ConnectOptions } from "../../src/backend/client.js";
import { connectBackends } from "../../src/backend/pool.js";
import { type FakeServer, plainServer } from "./fake-server.js";

describe("connectBackends", () => {
  let servers: FakeServer[];
  let options: ConnectOptions[];

  beforeEach(async () => {
    servers = [plainServer(), plainServer()];
    options = [];
    for (const server of servers)
      options.push({ baseUrl: await server.start(), kind: "skyrl", profile: "skyrl-fsdp", patience: 0 });
  });
  afterEach(async () => {
    for (const server of servers) await server.stop();
  });

  const model = { baseModel: "tiny", lora: { rank: 2 } };
  const counts = (path: string): number[] => servers.map((server) => server.to(path).length);
  /** The server's list of a run's checkpoints has this name. */
  const keep = (index: number, run: string, name: string): void => {
    servers[index]?.on(`training_runs/${run}/checkpoints`, () => ({
      checkpoints: [{ checkpoint_id: name }],
    }));
  };

  it("gives each model a server of its own, and a place that became free to the next", async () => {
    const backend = await connectBackends(options);
    expect(backend.capabilities.trainableModels).toBe("many");
    const first = await backend.createModel(model);
    await backend.createModel(model);
    expect(counts("create_model")).toEqual([1, 1]);
    await expect(backend.createModel(model)).rejects.toMatchObject({ code: "option-unsupported" });
    await first.unload();
    await backend.createModel(model);
    expect(counts("create_model")).toEqual([2, 1]);
    await backend.close();
  });

  it("asks the server that saved a checkpoint", async () => {
    const backend = await connectBackends(options);
    await backend.createModel(model);
    const second = await backend.createModel(model);
    const path = await second.saveForSampler("final");
    await backend.createSampler({ path });
    expect(counts("create_sampling_session")).toEqual([0, 1]);
    await backend.close();
  });

  it("finds a checkpoint of an earlier session by asking all", async () => {
    keep(1, "old", "weights/step-3");
    const backend = await connectBackends(options);
    await backend.createModel({ ...model, resumeFrom: "tinker://old/weights/step-3" });
    expect(counts("load_weights")).toEqual([0, 1]);
    await expect(
      backend.createSampler({ path: "tinker://old/sampler_weights/step-4" }),
    ).rejects.toMatchObject({
      code: "checkpoint-unknown",
    });
    await backend.close();
  });

  it("wants servers of one kind, and at least one", async () => {
    const [first = { baseUrl: "" }, second = { baseUrl: "" }] = options;
    await expect(connectBackends([first, { ...second, profile: "skyrl-jax" }])).rejects.toMatchObject({
      code: "option-invalid",
    });
    await expect(connectBackends([])).rejects.toMatchObject({ code: "option-invalid" });
  });
});
