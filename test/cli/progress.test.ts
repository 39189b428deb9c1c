import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { clock, plainProgress, terminalProgress } from "../../src/cli/progress.js";

it.each([
  [0, "0:00"],
  [999, "0:01"],
  [187_000, "3:07"],
  [3_600_000, "60:00"],
])("%i ms is %s", (milliseconds, want) => {
  expect(clock(milliseconds)).toBe(want);
});

describe("plain lines", () => {
  const made = () => {
    const lines: string[] = [];
    let now = 0;
    const progress = plainProgress(
      (line) => lines.push(line),
      () => now,
    );
    return { lines, progress, at: (seconds: number) => (now = 1000 * seconds) };
  };

  it("say each phase and its quarters with the time", () => {
    const { lines, progress, at } = made();
    progress.phase("training", 40);
    for (let step = 1; step <= 40; step++) {
      at(step);
      progress.update(step, `reward ${step}`);
    }
    expect(lines).toEqual([
      "0:00  training",
      "0:10  training  10/40  reward 10",
      "0:20  training  20/40  reward 20",
      "0:30  training  30/40  reward 30",
      "0:40  training  40/40  reward 40",
    ]);
  });

  it("keep lines, and say a phase of one step once", () => {
    const { lines, progress } = made();
    progress.phase("starting", 1);
    progress.line("Downloading");
    progress.update(1);
    progress.update(1);
    progress.end();
    expect(lines).toEqual(["0:00  starting", "0:00  Downloading", "0:00  starting  1/1"]);
  });
});

describe("bars", () => {
  /** What a person sees at last: each line after its last rewriting. */
  const screen = (text: string): string[] =>
    stripVTControlCharacters(text)
      .split("\n")
      .map((line) => line.slice(line.lastIndexOf("\r") + 1));
  const made = (columns?: number) => {
    let text = "";
    let now = 0;
    const terminal = {
      write: (chunk: string) => {
        text += chunk;
      },
      ...(columns === undefined ? {} : { columns }),
    };
    const progress = terminalProgress(terminal, () => now);
    return { progress, at: (seconds: number) => (now = 1000 * seconds), seen: () => screen(text) };
  };

  it("show phase, share, rate, time left and the note", () => {
    const { progress, at, seen } = made(120);
    progress.phase("training the Solver", 40);
    at(20);
    progress.update(10, "reward 1.02");
    expect(seen()).toEqual([
      `${"━".repeat(5)}${"─".repeat(15)} training the Solver  10/40  0:20  0.5/s  1:00 left  reward 1.02`,
    ]);
  });

  it("leave a line for each finished phase and for what must stay visible", () => {
    const { progress, at, seen } = made();
    progress.phase("one", 2);
    at(1);
    progress.update(2, "done");
    progress.line("Something happened");
    progress.phase("two", 0);
    at(3);
    progress.end();
    progress.end();
    expect(seen()).toEqual(["Something happened", "one  2/2  0:01  done", "two  0/1  0:02", ""]);
  });

  it.each([10, 22, 40])("never fill a line of %i columns", (columns) => {
    const { progress, at, seen } = made(Math.max(columns, 24));
    progress.phase("a phase with a long name that does not fit", 7);
    at(5);
    progress.update(3, "a note that is long too");
    expect(seen().at(-1)?.length).toBeLessThan(Math.max(columns, 24));
  });

  it("show their text where the terminal does not tell its width", () => {
    const { progress, seen } = made(0);
    progress.phase("training", 2);
    expect(seen().at(-1)).toContain("training");
  });

  it("do nothing outside a phase", () => {
    const { progress, seen } = made();
    progress.update(1);
    progress.end();
    expect(seen()).toEqual([""]);
  });
});
