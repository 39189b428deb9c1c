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

export interface Terminal {
  write(text: string): unknown;
  columns?: number;
}

const barWidth = 20;
const clearLine = "\r\u001b[2K";

/**
 * One bar per phase with its rate and the time left; a finished phase stays as a line. It only writes: the keyboard is
 * left alone, so that Ctrl-C remains a signal.
 */
export function terminalProgress(terminal: Terminal, now: () => number): ShownProgress {
  let phase: { name: string; total: number; done: number; note: string; begun: number } | undefined;
  const draw = (): void => {
    if (phase === undefined) return;
    const { name, total, done, note, begun } = phase;
    const seconds = (now() - begun) / 1000;
    // A few large units tell nothing about the time left.
    const rate = done > 0 && seconds > 0 && total > 4 ? done / seconds : 0;
    const details = [
      `${done}/${total}`,
      clock(seconds * 1000),
      ...(rate > 0 ? [`${rate.toFixed(1)}/s`, `${clock((1000 * (total - done)) / rate)} left`] : []),
      note,
    ].filter((part) => part !== "");
    const filled = Math.round((barWidth * Math.min(done, total)) / total);
    const room = Math.max(0, (terminal.columns || 80) - barWidth - 2);
    const title = name.slice(0, room);
    const rest = `  ${details.join("  ")}`.slice(0, room - title.length);
    terminal.write(
      `${clearLine}${colors.cyan("━".repeat(filled))}${colors.dim("─".repeat(barWidth - filled))} ${title}${colors.dim(rest)}`,
    );
  };
  const end = (): void => {
    if (phase === undefined) return;
    const { name, total, done, note, begun } = phase;
    const details = [`${done}/${total}`, clock(now() - begun), note].filter((part) => part !== "");
    terminal.write(`${clearLine}${name}  ${colors.dim(details.join("  "))}\n`);
    phase = undefined;
  };
  return {
    phase(name, units) {
      end();
      phase = { name, total: Math.max(1, units), done: 0, note: "", begun: now() };
      draw();
    },
    update(done, note) {
      if (phase === undefined) return;
      phase = { ...phase, done, note: note ?? phase.note };
      draw();
    },
    line(text) {
      terminal.write(`${phase === undefined ? "" : clearLine}${text}\n`);
      draw();
    },
    end,
  };
}

/** Minutes and seconds, `3:07`. */
export function clock(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
