import type { Diagnostic } from "./types.js";

export interface Report {
  /** In the order found, each once. */
  diagnostics: Diagnostic[];
  add(diagnostic: Diagnostic): void;
}

const maxPerCode = 200;

/** Collects diagnostics: each code and place once, and no more than 200 of one code. */
export function createReport(start: readonly Diagnostic[] = []): Report {
  const diagnostics: Diagnostic[] = [];
  const seen = new Set<string>();
  const counts = new Map<string, number>();
  const add = (diagnostic: Diagnostic): void => {
    const count = counts.get(diagnostic.code) ?? 0;
    if (count >= maxPerCode) return;
    const key = `${diagnostic.code}\n${diagnostic.pointer}\n${diagnostic.message}`;
    if (seen.has(key)) return;
    seen.add(key);
    counts.set(diagnostic.code, count + 1);
    diagnostics.push(diagnostic);
  };
  start.forEach(add);
  return { diagnostics, add };
}
