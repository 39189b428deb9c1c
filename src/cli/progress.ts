import { progress as clackProgress } from "@clack/prompts";
import colors from "picocolors";
import type { Progress } from "../util/progress.js";

/** A progress that a person watches: bars on a terminal, plain lines elsewhere. All of it goes to stderr. */
export interface ShownProgress extends Progress {
  /** Ends the phase under way. */
  end(): void;
}

/** Lines of the form `12:03  training the Solver  20/40  reward 1.02`, a few per phase. */
export function plainProgress(write: (line: string) => void, now: () => number): ShownProgress {
  const start = now();
  let name = "";
  let total = 1;
  let next = 0;
  const say = (text: string): void => write(`${clock(now() - start)}  ${text}`);
  return {
    phase(phase, units) {
      [name, total, next] = [phase, units, 0.25];
      say(name);
    },
    update(done, note) {
      if (done < total * next || done === 0) return;
      while (done >= total * next && next <= 1) next += 0.25;
      say(`${name}  ${done}/${total}${note === undefined ? "" : `  ${note}`}`);
    },
    line: say,
    end() {},
  };
}

/** One bar per phase with its rate and the time left. */
export function terminalProgress(now: () => number): ShownProgress {
  let bar: ReturnType<typeof clackProgress> | undefined;
  let name = "";
  let total = 1;
  let at = 0;
  let begun = now();
  let lastNote = "";
  const end = (): void => {
    bar?.stop(
      `${name} ${colors.dim(clock(now() - begun))}${lastNote === "" ? "" : colors.dim(`  ${lastNote}`)}`,
    );
    bar = undefined;
  };
  return {
    phase(phase, units) {
      end();
      [name, total, at, begun, lastNote] = [phase, Math.max(1, units), 0, now(), ""];
      bar = clackProgress({ max: total, style: "heavy", output: process.stderr });
      bar.start(name);
    },
    update(done, note) {
      const seconds = (now() - begun) / 1000;
      const left = done > 0 ? ((total - done) * seconds) / done : Number.NaN;
      const rate = seconds > 0 && done > 0 ? `${(done / seconds).toFixed(1)}/s` : "";
      const parts = [
        `${done}/${total}`,
        rate,
        Number.isFinite(left) ? `${clock(left * 1000)} left` : "",
        note ?? lastNote,
      ];
      if (note !== undefined) lastNote = note;
      bar?.advance(
        Math.max(0, done - at),
        `${name}  ${colors.dim(parts.filter((part) => part !== "").join("  "))}`,
      );
      at = done;
    },
    line(text) {
      bar?.message(`${name}  ${colors.dim(text.slice(0, 100))}`);
    },
    end,
  };
}

/** Minutes and seconds, `3:07`. */
export function clock(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
