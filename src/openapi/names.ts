import { hash32 } from "../util/random.js";
import type { HttpMethod } from "./types.js";
import { stem, wordsOf } from "./words.js";

const maxLength = 64;

export interface OperationIdentity {
  method: HttpMethod;
  path: string;
  operationId: string | undefined;
}

/**
 * One name per operation: `[A-Za-z0-9_-]{1,64}`, unique. It depends on what an operation is and not on where it stands.
 * Where several want one name, it stays with the one whose method and path have most of its words (then the one whose
 * operationId is exactly that, then by method and path); each other gets a suffix made from its own method and path.
 */
export function toolNames(operations: readonly OperationIdentity[]): string[] {
  const wanted = operations.map(wantedName);
  const groups = new Map<string, number[]>();
  wanted.forEach((name, i) => {
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [i]);
    else group.push(i);
  });
  const result = [...wanted];
  const taken = new Set(groups.keys());
  const colliding: { name: string; index: number; key: string }[] = [];
  for (const [name, group] of groups) {
    if (group.length === 1) continue;
    const claims = group.map((index) => claimTo(name, operations[index] as OperationIdentity, index));
    claims.sort(
      (a, b) =>
        b.shared - a.shared || Number(b.exact) - Number(a.exact) || order(a.key, b.key) || a.index - b.index,
    );
    for (const { index, key } of claims.slice(1)) colliding.push({ name, index, key });
  }
  colliding.sort((a, b) => order(a.key, b.key) || a.index - b.index);
  const rounds = new Map<string, number>();
  for (const { name, index, key } of colliding) {
    const first = withSuffix(name, key);
    let candidate = first;
    let round = rounds.get(first) ?? 0;
    for (; taken.has(candidate); round++) candidate = withSuffix(name, `${key} ${round + 1}`);
    rounds.set(first, round);
    result[index] = candidate;
    taken.add(candidate);
  }
  return result;
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How much a name is about an operation: the part of its words that method and path have, too. */
function claimTo(name: string, { method, path, operationId }: OperationIdentity, index: number) {
  const about = new Set(wordsOf(`${method} ${path.slice(0, 1_000)}`).map(stem));
  const words = [...new Set(wordsOf(name).map(stem))];
  const shared = words.filter((word) => about.has(word)).length / Math.max(1, words.length);
  return { index, shared, exact: operationId === name, key: `${method} ${path}` };
}

function wantedName(operation: OperationIdentity): string {
  const key = `${operation.method} ${operation.path}`;
  const id = operation.operationId === undefined ? "" : clean(operation.operationId);
  const name = id === "" ? nameFromPath(operation.method, operation.path) : id;
  return name.length > maxLength ? withSuffix(name, key) : name;
}

function clean(text: string): string {
  return text
    .slice(0, 1_000)
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f]/g, "")
    .replaceAll(/[^A-Za-z0-9_-]+/g, "_")
    .replaceAll(/_{3,}/g, "__")
    .replaceAll(/^[_-]+|[_-]+$/g, "");
}

/** `GET /pets/{petId}` -> `getPetsByPetId`. */
function nameFromPath(method: HttpMethod, path: string): string {
  let name: string = method;
  const place = path.slice(0, 1_000);
  for (const segment of place.split(/[/?#]+/)) {
    for (const part of segment.split(/(\{[^{}]*\})/)) {
      const words = wordsOf(part)
        .map((word) => word.replaceAll(/[^a-z0-9]/g, ""))
        .filter((word) => word !== "");
      if (words.length === 0) continue;
      if (part.startsWith("{")) name += "By";
      for (const word of words) name += word.charAt(0).toUpperCase() + word.slice(1);
    }
  }
  if (name === method) return /[^/]/.test(path) ? withSuffix(name, `${method} ${path}`) : `${method}Root`;
  return name;
}

function withSuffix(name: string, key: string): string {
  const suffix = hash32(key).toString(36).padStart(7, "0");
  return `${name.slice(0, maxLength - suffix.length - 1).replace(/[_-]+$/, "")}_${suffix}`;
}
