import { setTimeout as sleep } from "node:timers/promises";
import { SpecdojoError } from "../util/errors.js";
import type { Random } from "../util/random.js";
import type { MockAnswer } from "./types.js";

/** Something that goes wrong with an answer. */
export type Fault =
  /** No answer, ever. */
  | { kind: "timeout" }
  /** The connection is reset before the answer. */
  | { kind: "reset" }
  /** Another status than the document's success, with `Retry-After` in seconds where one is given. */
  | { kind: "status"; status: number; retryAfterS?: number }
  /** The body is noise, and called what the answer's body would have been. */
  | { kind: "garbage" }
  /** The body breaks off. */
  | { kind: "truncated" }
  /** The body begins and never ends. */
  | { kind: "stall" }
  /** The body comes byte by byte, one each `everyMs` milliseconds. */
  | { kind: "slow"; everyMs: number }
  /** A body of JSON with this many bytes. */
  | { kind: "huge"; bytes: number };

export interface FaultRule {
  fault: Fault;
  /** Names of tools; default all. */
  operations?: readonly string[];
  /** Chance for each request, from 0 to 1. Default 1. */
  rate?: number;
  /** For so many requests only. Default for ever. */
  times?: number;
}

/** How an answer goes over the wire. */
export interface Delivery {
  /** Undefined: nothing is sent at all. */
  head: { status: number; headers: Record<string, string> } | undefined;
  body(signal: AbortSignal): AsyncGenerator<Uint8Array>;
  ending: "end" | "reset" | "hang";
}

/** Picks the fault of each request. */
export function createFaultPlan(
  rules: readonly FaultRule[],
  random: Random,
): (operation: string | undefined) => Fault | undefined {
  const left = new Map(rules.map((rule) => [rule, rule.times ?? Infinity]));
  return (operation) => {
    for (const rule of rules) {
      const { operations, rate = 1 } = rule;
      const count = left.get(rule) ?? 0;
      if (count <= 0) continue;
      if (operations !== undefined && (operation === undefined || !operations.includes(operation))) continue;
      if (rate < 1 && random.next() >= rate) continue;
      left.set(rule, count - 1);
      return rule.fault;
    }
    return undefined;
  };
}

const chunkBytes = 64 * 1024;

/** An answer as it is sent, with the fault in it. */
export function deliver(answer: MockAnswer, fault: Fault | undefined, random: Random): Delivery {
  const { status, headers } = answer;
  const bytes = answer.body ?? new Uint8Array();
  const whole = (body: Uint8Array): Delivery["body"] =>
    async function* () {
      if (body.length > 0) yield body;
    };
  const half = bytes.subarray(0, Math.floor(bytes.length / 2));
  const json = { "content-type": "application/json" };
  switch (fault?.kind) {
    case undefined:
      return { head: { status, headers }, body: whole(bytes), ending: "end" };
    case "timeout":
      return { head: undefined, body: whole(new Uint8Array()), ending: "hang" };
    case "reset":
      return { head: undefined, body: whole(new Uint8Array()), ending: "reset" };
    case "status": {
      const after: Record<string, string> =
        fault.retryAfterS === undefined ? {} : { "retry-after": String(fault.retryAfterS) };
      const problem = { title: "Injected fault", status: fault.status };
      return {
        head: {
          status: fault.status,
          headers: { "content-type": "application/problem+json", ...after },
        },
        body: whole(Buffer.from(JSON.stringify(problem))),
        ending: "end",
      };
    }
    case "garbage": {
      const noise = Uint8Array.from({ length: 200 }, () => random.int(0, 255));
      noise[0] = 0x7b;
      noise[1] = 0xff;
      return { head: { status: 200, headers: { ...json, ...headers } }, body: whole(noise), ending: "end" };
    }
    case "truncated": {
      const length = String(Math.max(bytes.length, 100));
      return {
        head: { status, headers: { ...json, ...headers, "content-length": length } },
        body: whole(half.length > 0 ? half : Buffer.from("{")),
        ending: "reset",
      };
    }
    case "stall":
      return {
        head: { status, headers: { ...json, ...headers } },
        body: whole(half.length > 0 ? half : Buffer.from("{")),
        ending: "hang",
      };
    case "slow": {
      const { everyMs } = fault;
      return {
        head: { status, headers },
        body: async function* (signal) {
          for (let i = 0; i < bytes.length; i++) {
            await sleep(everyMs, undefined, { signal });
            yield bytes.subarray(i, i + 1);
          }
        },
        ending: "end",
      };
    }
    case "huge": {
      const count = Math.max(2, fault.bytes);
      return {
        head: { status: 200, headers: { ...headers, ...json } },
        body: async function* () {
          const text = Buffer.alloc(Math.min(chunkBytes, count), "x");
          yield Buffer.from('"');
          for (let sent = 2; sent < count; sent += text.length) yield text.subarray(0, count - sent);
          yield Buffer.from('"');
        },
        ending: "end",
      };
    }
  }
}

const plainKinds = ["timeout", "reset", "garbage", "truncated", "stall"] as const;
const pattern =
  /^(?<kind>[a-z]+|[1-5]\d\d)(?:=(?<value>\d+))?(?:@(?<operation>[\w-]+))?(?::(?<rate>\d*\.?\d+))?$/;

/**
 * Reads `KIND[=VALUE][@OPERATION][:RATE]`, e.g. `503`, `429=2` (Retry-After in seconds), `slow=50` (milliseconds),
 * `huge=1000000` (bytes), `reset@getPetById:0.2`.
 *
 * @throws SpecdojoError `invalid-option`
 */
export function parseFault(text: string): FaultRule {
  const { kind = "", value, operation, rate } = pattern.exec(text.trim())?.groups ?? {};
  const number = value === undefined ? undefined : Number(value);
  const fault = faultOf(kind, number);
  if (fault === undefined || (rate !== undefined && Number(rate) > 1))
    throw new SpecdojoError("invalid-option", `${JSON.stringify(text)} is not a fault.`, {
      place: "--fault",
      remedy:
        "Write KIND, KIND=VALUE, KIND@OPERATION or KIND:RATE (0 to 1), where KIND is a status such as 503 or one of " +
        `${plainKinds.join(", ")}, slow, huge.`,
    });
  return {
    fault,
    ...(operation === undefined ? {} : { operations: [operation] }),
    ...(rate === undefined ? {} : { rate: Number(rate) }),
  };
}

function faultOf(kind: string, value: number | undefined): Fault | undefined {
  if (/^\d+$/.test(kind)) {
    const after = value === undefined ? {} : { retryAfterS: value };
    return Number(kind) < 200 ? undefined : { kind: "status", status: Number(kind), ...after };
  }
  if (kind === "slow") return { kind, everyMs: value ?? 100 };
  if (kind === "huge") return { kind, bytes: value ?? 64 * 1024 * 1024 };
  const plain = plainKinds.find((one) => one === kind);
  return plain === undefined || value !== undefined ? undefined : { kind: plain };
}
