import { runCommand } from "citty";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { mockCommand } from "../../src/cli/mock.js";
import { petstore } from "./helpers.js";

const lines: string[] = [];
beforeEach(() => {
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
});
afterEach(() => {
  vi.restoreAllMocks();
  lines.length = 0;
});

test("serves until it is stopped, and prints what is asked", async () => {
  const args = ["--port", "0", "--json", "--token", "s3cr3t", "--fault", "503@getInventory,reset@addPet:0"];
  const done = runCommand(mockCommand, { rawArgs: [petstore, ...args] });
  await vi.waitFor(() => expect(lines).toHaveLength(1), { timeout: 200_000 });
  const { url, operations } = JSON.parse(lines[0] ?? "") as { url: string; operations: number };
  expect(operations).toBe(20);
  const status = async (path: string, api_key = "s3cr3t") =>
    (await fetch(url + path, { headers: { api_key } })).status;
  expect([
    await status("/pet/3"),
    await status("/pet/x"),
    await status("/pet/3", "other"),
    await status("/store/inventory"),
  ]).toEqual([200, 400, 401, 503]);
  process.emit("SIGINT");
  await done;
  await expect(fetch(url)).rejects.toThrow("fetch failed");
  expect(lines.slice(1).map((line) => (JSON.parse(line) as { status: number }).status)).toEqual([
    200, 400, 401, 503,
  ]);
  expect(lines.join()).not.toContain("s3cr3t");
}, 300_000);

test.each([
  ["--port", "99999", "is not a whole number up to 65535"],
  ["--seed", "x", "is not a whole number"],
  ["--latency", "9-1", "is not a time"],
  ["--fault", "boom", "is not a fault"],
  ["--fault", "503@noSuch", "has no operation"],
])("%s %s is an error", async (option, value, message) => {
  await expect(
    runCommand(mockCommand, { rawArgs: [petstore, "--port", "0", option, value] }),
  ).rejects.toThrow(message);
});
