import { describe, expect, it } from "vitest";
import { capabilitiesOf, capabilityTable, reductionScale } from "../../src/backend/capabilities.js";
import { connectBackend } from "../../src/backend/client.js";
import type { Backend, Datum } from "../../src/backend/types.js";
import { plainServer } from "./fake-server.js";

const datum = (length: number, weights?: number[]): Datum => ({
  input: new Array(length).fill(1),
  targetTokens: new Array(length).fill(1),
  ...(weights === undefined ? {} : { weights }),
});

describe("reductionScale", () => {
  it("leaves sums alone", () => {
    expect(reductionScale("sum", datum(7), 3)).toBe(1);
  });

  it("undoes a mean per sequence and over sequences", () => {
    const batch = [datum(4), datum(2), datum(3, [0, 1, 1])];
    const losses = [
      [1, 2, 3, 4],
      [5, 6],
      [0, 8, 9],
    ];
    const reduced = batch.map((one, index) => {
      const scale = reductionScale("sequence-mean", one, batch.length);
      const counted = one.weights?.filter((weight) => weight !== 0).length ?? one.input.length;
      const sum = (losses[index] ?? []).reduce((total, loss) => total + loss * scale, 0);
      return sum / counted / batch.length;
    });
    expect(reduced.reduce((total, loss) => total + loss, 0)).toBeCloseTo(38);
  });
});

describe("capabilitiesOf", () => {
  it.each([
    ["local", "local"],
    ["tinker", "tinker"],
    ["skyrl", "skyrl-jax"],
  ] as const)("takes those of the kind %s where the backend states none", (kind, profile) => {
    expect(capabilitiesOf({ kind } as Backend)).toBe(capabilityTable[profile]);
  });

  it("takes the profile and the corrections that were given at the connection", async () => {
    const server = plainServer();
    const backend = await connectBackend({
      baseUrl: await server.start(),
      kind: "skyrl",
      profile: "skyrl-fsdp",
      capabilities: { gradClip: true },
    });
    expect(capabilitiesOf(backend)).toEqual({ ...capabilityTable["skyrl-fsdp"], gradClip: true });
    await backend.close();
    await server.stop();
  });
});
