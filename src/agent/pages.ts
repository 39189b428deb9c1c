import { own, pointerKeys } from "../openapi/pointer.js";
import type { Tool } from "../openapi/types.js";
import { isObject } from "../util/json.js";
import type { Paging } from "./client-types.js";

/** How the next page is asked for. */
export interface NextPage {
  args: unknown;
  /** Its address, where the server gave one: on the same origin. */
  url?: string;
}

type Arguments = Readonly<Record<string, unknown>>;

/** `nextPageToken`, `next_page_token` and `next-page-token` are one name. */
const bare = (name: string): string => name.toLowerCase().replaceAll(/[^a-z]/g, "");
const names = (text: string): ReadonlySet<string> => new Set(text.split(" "));

const cursorArguments = names(
  "cursor pagetoken nextpagetoken nexttoken nextcursor after pageafter continuationtoken paginationtoken startcursor pagecursor marker",
);
const lastItemArguments = names("startingafter afterid sinceid");
const pageArguments = names("page pagenumber pageno pageindex");
const offsetArguments = names("offset skip start startindex");
const sizeArguments = names("limit perpage pagesize size count maxresults top");

/** Objects of a response that hold what is said about paging. */
const containers = names(
  "meta metadata pagination paging page pageinfo links cursor cursors responsemetadata next info",
);
const urlKeys = names("next nexturl nexturi nextlink nextpage nextpageurl nextpageuri odatanextlink href");
const cursorKeys = names(
  "nextcursor nextpagetoken nexttoken nextpagecursor cursor after endcursor continuationtoken marker nextmarker next nextpage",
);
const moreKeys = names("hasmore hasnext hasnextpage more nextpageexists");
const totalPagesKeys = names("totalpages pages lastpage pagecount pagetotal numpages");
const totalKeys = names("total totalcount totalresults totalitems count");
const listKeys = names("data items results value values records entries list content");

/** The list of a response: itself, a property with a usual name for it, or its only list. */
export function itemsIn(data: unknown): unknown[] {
  if (Array.isArray(data)) return data;
  if (!isObject(data)) return [];
  const lists = Object.entries(data).filter((entry): entry is [string, unknown[]] => Array.isArray(entry[1]));
  const [named] = lists.filter(([key]) => listKeys.has(bare(key)));
  return named?.[1] ?? (lists.length === 1 ? (lists[0]?.[1] ?? []) : []);
}

/** Goes from one page of a list to the next. Ends where the server has no more or repeats itself. */
export class Pager {
  readonly #tool: Tool | undefined;
  readonly #paging: Paging | undefined;
  #args: Arguments;
  readonly #seen = new Set<string>();

  constructor(tool: Tool | undefined, args: Arguments, paging: Paging | undefined) {
    this.#tool = tool;
    this.#args = args;
    this.#paging = paging;
  }

  /** What follows a page; `foreign` where that lies on another origin. `url` is the page's own address. */
  after(
    data: unknown,
    items: readonly unknown[],
    headers: Headers,
    url: string,
  ): NextPage | "foreign" | undefined {
    const next = this.#next(data, items, headers);
    if (next === undefined) return undefined;
    let page: NextPage;
    if ("address" in next) {
      if (!URL.canParse(next.address, url)) return undefined;
      const address = new URL(next.address, url);
      if (address.origin !== new URL(url).origin || address.username !== "") return "foreign";
      page = { args: this.#args, url: address.href };
    } else {
      this.#args = { ...this.#args, [next.argument]: next.value };
      page = { args: this.#args };
    }
    // A server that ignores the argument sends the same page for ever.
    const content = JSON.stringify(items.slice(0, 3));
    const marks = [JSON.stringify(page), ...(items.length > 0 ? [`items ${content} ${items.length}`] : [])];
    if (marks.some((mark) => this.#seen.has(mark))) return undefined;
    for (const mark of marks) this.#seen.add(mark);
    return page;
  }

  #next(
    data: unknown,
    items: readonly unknown[],
    headers: Headers,
  ): { address: string } | { argument: string; value: unknown } | undefined {
    const paging = this.#paging;
    if (paging !== undefined) return this.#as(paging, data, items, headers);
    const link = linkNext(headers.get("link") ?? "");
    if (link !== undefined) return { address: link };
    const facts = factsOf(data);
    if (facts.some(({ key, value }) => moreKeys.has(key) && value === false)) return undefined;
    const address = facts.find(({ key, value }) => urlKeys.has(key) && isAddress(value))?.value;
    if (typeof address === "string") return { address };
    const cursor = this.#argument(cursorArguments);
    if (cursor !== undefined) {
      const found = facts.find(
        ({ key, value }) =>
          cursorKeys.has(key) && value !== "" && (typeof value === "string" || typeof value === "number"),
      );
      if (found !== undefined && found.value !== this.#args[cursor])
        return { argument: cursor, value: found.value };
    }
    const hasMore = facts.some(({ key, value }) => moreKeys.has(key) && value === true);
    const lastItem = this.#argument(lastItemArguments);
    if (lastItem !== undefined && hasMore)
      return this.#as({ by: "last-item", argument: lastItem }, data, items, headers);
    const page = this.#argument(pageArguments);
    if (page !== undefined) return this.#as({ by: "page", argument: page }, data, items, headers);
    const offset = this.#argument(offsetArguments);
    if (offset !== undefined) return this.#as({ by: "offset", argument: offset }, data, items, headers);
    return undefined;
  }

  #as(
    paging: Paging,
    data: unknown,
    items: readonly unknown[],
    headers: Headers,
  ): { address: string } | { argument: string; value: unknown } | undefined {
    switch (paging.by) {
      case "link": {
        const address = linkNext(headers.get("link") ?? "");
        return address === undefined ? undefined : { address };
      }
      case "url": {
        const address = at(data, paging.pointer);
        return typeof address === "string" && address !== "" ? { address } : undefined;
      }
      case "cursor": {
        const value = at(data, paging.pointer);
        const isCursor = (typeof value === "string" && value !== "") || typeof value === "number";
        return isCursor ? { argument: paging.argument, value } : undefined;
      }
      case "last-item": {
        const { argument, property = "id" } = paging;
        const value = own(items.at(-1), property);
        const ended = factsOf(data).some(({ key, value: more }) => moreKeys.has(key) && more === false);
        return value === undefined || ended ? undefined : { argument, value };
      }
      case "page": {
        const { argument, first = this.#number(argument) ?? 1 } = paging;
        const current = asNumber(this.#args[argument]) ?? first;
        const last = largest(data, totalPagesKeys);
        const ended = last === undefined ? this.#isShort(items) : current >= last - (first === 0 ? 1 : 0);
        return items.length === 0 || ended ? undefined : { argument, value: current + 1 };
      }
      case "offset": {
        const { argument } = paging;
        const next = (asNumber(this.#args[argument]) ?? this.#number(argument) ?? 0) + items.length;
        const total = largest(data, totalKeys);
        const ended = total !== undefined && total > items.length ? next >= total : this.#isShort(items);
        return items.length === 0 || ended ? undefined : { argument, value: next };
      }
    }
  }

  /** Fewer items than were asked for: there are no more. */
  #isShort(items: readonly unknown[]): boolean {
    const argument = this.#argument(sizeArguments);
    if (argument === undefined) return false;
    const size = asNumber(this.#args[argument]) ?? this.#number(argument);
    return size !== undefined && items.length < size;
  }

  /** An argument's default in the document. */
  #number(argument: string): number | undefined {
    return asNumber(own(own(this.#tool?.parameters.properties, argument), "default"));
  }

  #argument(wanted: ReadonlySet<string>): string | undefined {
    return Object.keys(this.#tool?.parameters.properties ?? {}).find((name) => wanted.has(bare(name)));
  }
}

/** What a response says at its top, in its containers, and in theirs. */
function factsOf(data: unknown): { key: string; value: unknown }[] {
  const facts: { key: string; value: unknown }[] = [];
  const visit = (value: unknown, depth: number): void => {
    if (!isObject(value)) return;
    for (const [name, inner] of Object.entries(value)) {
      const key = bare(name);
      if (isObject(inner)) {
        if (containers.has(key) && depth < 2) visit(inner, depth + 1);
      } else facts.push({ key, value: inner });
    }
  };
  visit(data, 0);
  return facts;
}

function largest(data: unknown, keys: ReadonlySet<string>): number | undefined {
  const found = factsOf(data).flatMap(({ key, value }) =>
    keys.has(key) && typeof value === "number" ? [value] : [],
  );
  return found.length === 0 ? undefined : Math.max(...found);
}

function isAddress(value: unknown): boolean {
  return typeof value === "string" && /^(?:https?:\/\/|\/|\?)/i.test(value);
}

function asNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function at(data: unknown, pointer: string): unknown {
  let value = data;
  for (const key of pointerKeys(pointer) ?? [])
    value = Array.isArray(value) ? value[Number(key)] : own(value, key);
  return value;
}

/** The address with `rel="next"` of a Link header (RFC 8288). */
function linkNext(header: string): string | undefined {
  const parameter = /;\s*([\w!#$&+^`|~-]+\*?)(?:\s*=\s*(?:"([^"]*)"|([^\s",;]+)))?/g;
  const link = new RegExp(`<([^<>]*)>((?:\\s*${parameter.source})*)`, "g");
  for (const [, address = "", parameters = ""] of header.slice(0, 8192).matchAll(link))
    for (const [, name = "", quoted, token = ""] of parameters.matchAll(parameter))
      if (name.toLowerCase() === "rel" && (quoted ?? token).toLowerCase().split(/\s+/).includes("next"))
        return address;
  return undefined;
}
