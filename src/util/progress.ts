/** Where long work tells how far it is. The CLI draws it; a library user may pass their own or none. */
export interface Progress {
  /** Begins a phase of `total` units; the one before it is over. */
  phase(name: string, total: number): void;
  /** `done` units of the phase are finished; `note` is a short text such as `reward 1.82`. */
  update(done: number, note?: string): void;
  /** A line that should stay visible. */
  line(text: string): void;
}

export const silentProgress: Progress = { phase() {}, update() {}, line() {} };
