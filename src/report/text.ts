import type { JsonValue } from "../util/json.js";

/** Calls as a person reads them, one per line. */
export function callText(
  calls: readonly { name: string; arguments: Record<string, JsonValue> }[] | null,
): string {
  if (calls === null) return "not readable as an answer";
  if (calls.length === 0) return "no call";
  return calls.map((call) => `${call.name}(${JSON.stringify(call.arguments)})`).join("\n");
}

/** A share in percent with one digit, e.g. `62.5 %` with a space that does not break. */
export function percent(share: number | null): string {
  return share === null ? "–" : `${(share * 100).toFixed(1)}\u00a0%`;
}

/** A difference of shares in percentage points, with its sign. */
export function points(difference: number): string {
  const rounded = (difference * 100).toFixed(1);
  return `${difference >= 0 ? "+" : ""}${rounded === "-0.0" ? "0.0" : rounded}`.replace("-", "−");
}
