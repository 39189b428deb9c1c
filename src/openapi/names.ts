import { hash32 } from "../util/random.js";
import type { HttpMethod } from "./types.js";
import { wordsOf } from "./words.js";

const maxLength = 64;

export interface OperationIdentity {
  method: HttpMethod;
  path: string;
  operationId: string | undefined;
}

/**
 * One name per operation: `[A-Za-z0-9_-]{1,64}`, unique. It depends on the operation itself and not on its position:
 * where several want the same name, each gets a suffix made from its own method and path (the one whose operationId is
 * exactly that name keeps it, if it is the only one).
 */
export function toolNames(operations: readonly OperationIdentity[]): string[] {
  const wanted = operations.map(wantedName);
  const groups = new Map<string, number[]>();
  wanted.forEach((name, i) => {
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [i]);
    else group.push(i);
  });
  const result = new Array<string>(operations.length).fill("");
  const taken = new Set<string>();
  const colliding: { name: string; index: number; key: string }[] = [];
  for (const [name, group] of groups) {
    const exact = group.filter((i) => operations[i]?.operationId === name);
    const keeper = group.length === 1 ? group[0] : exact.length === 1 ? exact[0] : undefined;
    for (const index of group) {
      const operation = operations[index] as OperationIdentity;
      if (index === keeper) {
        result[index] = name;
        taken.add(name);
      } else colliding.push({ name, index, key: `${operation.method} ${operation.path}` });
    }
  }
  colliding.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.index - b.index));
  for (const { name, index, key } of colliding) {
    let candidate = withSuffix(name, key);
    for (let round = 1; taken.has(candidate); round++) candidate = withSuffix(name, `${key} ${round}`);
    result[index] = candidate;
    taken.add(candidate);
  }
  return result;
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
