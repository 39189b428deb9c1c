import { Deadline } from "./transport.js";

/** Lets a limited number of calls in at once, the others in the order in which they came. */
export class Limiter {
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(limit: number) {
    this.#free = limit;
  }

  /** Resolves to a function that gives the place back; undefined where a signal was aborted first. */
  async enter(signals: readonly AbortSignal[]): Promise<(() => void) | undefined> {
    if (this.#free > 0) this.#free--;
    else {
      const waiting = new Deadline(signals);
      let turn = (): void => undefined;
      const called = new Promise<void>((resolve) => {
        turn = resolve;
      });
      this.#queue.push(turn);
      await waiting.race(called).catch(() => undefined);
      waiting.close();
      const place = this.#queue.indexOf(turn);
      if (place !== -1) {
        // Aborted before its turn.
        this.#queue.splice(place, 1);
        return undefined;
      }
    }
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    };
  }
}
