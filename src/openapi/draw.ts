import { SpecdojoError } from "../util/errors.js";
import { createRandom } from "../util/random.js";
import { createMenuIndex, type MenuIndex } from "./search.js";
import type { Tool, ToolMenu } from "./types.js";

export interface DrawOptions {
  /** Tools of this domain are drawn; default: of any. */
  domain?: string;
  /** Number of tools, distractors included. */
  size: number;
  /** How many of them are distractors. Default: half, and what the domain does not fill. */
  distractors?: number;
  /** Share of the distractors that are near neighbours of what was drawn; the others are any tools. Default 1. */
  near?: number;
  /** Default 0. */
  seed?: number | string;
  /** An index over the menu, if there is one already. */
  index?: MenuIndex;
}

export interface DrawnMenu extends ToolMenu {
  /** Names of the tools drawn from the domain; the others are distractors. */
  drawn: string[];
}

/**
 * A smaller menu, as a model is asked with: some tools of a domain among others that are easily taken for them (of the same
 * domain, or with similar words), in random order. The same seed draws the same menu.
 *
 * @throws SpecdojoError `invalid-option`
 */
export function drawMenu(menu: ToolMenu, options: DrawOptions): DrawnMenu {
  const { domain, size, near = 1, seed = 0 } = options;
  const wrong = (option: string, value: unknown, remedy: string): SpecdojoError =>
    new SpecdojoError("invalid-option", `${option} cannot be ${JSON.stringify(value)}`, {
      place: option,
      remedy,
    });
  const names = menu.domains.map((one) => one.name);
  if (domain !== undefined && !names.includes(domain))
    throw wrong("domain", domain, `The domains are: ${names.slice(0, 20).join(", ")}.`);
  if (!Number.isInteger(size) || size < 1) throw wrong("size", size, "Give a whole number of 1 or more.");
  if (!(near >= 0 && near <= 1)) throw wrong("near", near, "Give a share from 0 to 1.");
  const wanted = options.distractors ?? Math.floor(size / 2);
  if (!Number.isInteger(wanted) || wanted < 0 || wanted >= size)
    throw wrong("distractors", wanted, `Give a whole number from 0 to ${size - 1}.`);

  const random = createRandom(`${seed}/menu/${domain ?? ""}`);
  const members = menu.tools.filter((tool) => domain === undefined || tool.domain === domain);
  const drawn = random.sample(members, size - wanted);
  const chosen = new Set(drawn);
  const open = Math.min(size, menu.tools.length) - chosen.size;
  const index = options.index ?? createMenuIndex(menu);
  // The neighbours of each take turns, so that all have some.
  const lists = drawn.map((tool) => index.neighbours(tool, size + drawn.length));
  const close = Math.round(open * near) + chosen.size;
  for (let rank = 0; rank < size + drawn.length && chosen.size < close; rank++)
    for (const list of lists) {
      const tool = list[rank];
      if (tool !== undefined && chosen.size < close) chosen.add(tool);
    }
  for (const tool of random.shuffle(menu.tools)) if (chosen.size < drawn.length + open) chosen.add(tool);
  const shown = new Set<Tool["name"]>([...chosen].map((tool) => tool.name));
  return {
    ...menu,
    tools: random.shuffle([...chosen]),
    domains: menu.domains
      .map((one) => ({ ...one, tools: one.tools.filter((name) => shown.has(name)) }))
      .filter((one) => one.tools.length > 0),
    drawn: drawn.map((tool) => tool.name),
  };
}
