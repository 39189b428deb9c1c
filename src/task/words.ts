import { wordsOf as splitWords } from "../openapi/words.js";

/** Words that say nothing about which operation is meant. */
export const stopWords: ReadonlySet<string> = new Set(
  (
    "a about above after again all also am an and any are as ask at be because been before being below between both but by can " +
    "could d did do does doing done down during each either few for from further get give had has have having he hello help her " +
    "here hers hey hi him his how i if in into is it its itself just kindly know let like ll m make may me mean might mine " +
    "more most much must my need needs nor now of off ok okay on once one only onto or other our ours out over own per please " +
    "re s same she should so some such t tell than thank thanks that the their theirs them then there these they thing things " +
    "this those through to too under until up upon us use using ve very want wants was we were what when where which while who " +
    "whom whose why will wish with within would yes you your yours set operation api endpoint request response return returns " +
    "returned given specific specified based resource resources object objects data value values called named"
  ).split(" "),
);

/** The four things that operations do to a resource. */
export type Action = "read" | "create" | "update" | "delete";

const actionWords: Record<Action, string> = {
  read:
    "get list show find fetch retrieve view display search read query lookup look see check browse pull what which where how many " +
    "tell give enumerate inspect describe locate return obtain count download who when",
  create:
    "create add new register make post insert place submit upload book open start sign signup join launch generate schedule " +
    "order buy publish enroll enrol build set save record store issue append include introduce put provision write compose send " +
    "invite purchase reserve",
  update:
    "update change edit set rename modify replace patch mark switch move correct adjust put alter revise fix assign make turn " +
    "toggle enable disable reset save increase decrease raise lower extend amend reschedule transfer refresh convert should",
  delete:
    "delete remove cancel drop erase destroy discard revoke unsubscribe clear purge wipe rid unregister deregister close " +
    "dismiss detach unlink withdraw archive leave terminate end trash throw take forget " +
    "del strike scrap gone eliminate retire quit ditch",
};

/** Actions that a stem may express; several words serve for more than one. */
const actionsByStem: ReadonlyMap<string, ReadonlySet<Action>> = (() => {
  const map = new Map<string, Set<Action>>();
  for (const action of ["read", "create", "update", "delete"] as const)
    for (const word of actionWords[action].split(" ")) {
      const key = stem(word);
      const actions = map.get(key) ?? new Set<Action>();
      map.set(key, actions.add(action));
    }
  return map;
})();

const noActions: ReadonlySet<Action> = new Set();

export function actionsOf(stemmed: string): ReadonlySet<Action> {
  return actionsByStem.get(stemmed) ?? noActions;
}

/**
 * A light English stemmer: plural, -ing, -ed, -tion, -ment, -ly endings and a final e go, y becomes i. It only has to
 * bring the forms of one word together, not to be right about the root.
 */
export function stem(word: string): string {
  let text = word;
  if (text.length > 3) {
    if (text.endsWith("ies") && text.length > 4) text = `${text.slice(0, -3)}y`;
    else if (/(?:ss|sh|ch|x|z)es$/.test(text)) text = text.slice(0, -2);
    else if (text.endsWith("s") && !/(?:ss|us|is)$/.test(text)) text = text.slice(0, -1);
  }
  for (const ending of ["ations", "ation", "ition", "tion", "ing", "ied", "ed", "ment", "ly"])
    if (text.endsWith(ending) && text.length - ending.length >= 3) {
      const keep = ending === "tion" ? "t" : ending === "ied" ? "y" : "";
      text = text.slice(0, -ending.length) + keep;
      break;
    }
  if (text.length > 3 && /([bdfgklmnprt])\1$/.test(text)) text = text.slice(0, -1);
  if (text.length > 3 && text.endsWith("at")) text = text.slice(0, -2);
  if (text.length > 3 && text.endsWith("e")) text = text.slice(0, -1);
  return text.length > 2 && text.endsWith("y") ? `${text.slice(0, -1)}i` : text;
}

/** Lower-case words of a text without digits; identifiers are split. */
export function wordsOf(text: string): string[] {
  return splitWords(text).flatMap((word) => (/\p{N}/u.test(word) ? (word.match(/\p{L}+/gu) ?? []) : [word]));
}
