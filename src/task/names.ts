import type { Random } from "../util/random.js";
import {
  adjectives,
  cities,
  colors,
  countries,
  countryCodes,
  currencies,
  fileStems,
  fileTypes,
  firstNames,
  jobs,
  languageCodes,
  lastNames,
  mimeTypes,
  nouns,
  occasions,
  sentences,
  statuses,
  streets,
  syllables,
  timeZones,
  topics,
} from "./pools.js";
import { wordsOf } from "./words.js";

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A pronounceable word that no dictionary has (nearly always). */
export function pseudoWord(random: Random): string {
  const count = random.int(2, 3);
  let word = "";
  for (let i = 0; i < count; i++)
    word +=
      random.pick(syllables.onsets) +
      random.pick(syllables.vowels) +
      (i === count - 1 ? random.pick(syllables.codas) : "");
  return word;
}

/** One of the list, or in a quarter of the draws a made-up word. */
function wordFrom(random: Random, list: readonly string[], made = 0.25): string {
  if (random.next() >= made) return random.pick(list);
  const word = pseudoWord(random);
  return /^\p{Lu}/u.test(list[0] ?? "") ? capital(word) : word;
}

const digits = (random: Random, count: number): string =>
  Array.from({ length: count }, () => random.int(0, 9)).join("");
const hex = (random: Random, count: number): string =>
  Array.from({ length: count }, () => random.int(0, 15).toString(16)).join("");
const letters = (random: Random, count: number): string =>
  Array.from({ length: count }, () => String.fromCharCode(65 + random.int(0, 25))).join("");
const twoDigits = (value: number): string => String(value).padStart(2, "0");

function date(random: Random): string {
  return `${random.int(2019, 2029)}-${twoDigits(random.int(1, 12))}-${twoDigits(random.int(1, 28))}`;
}
function time(random: Random): string {
  return `${twoDigits(random.int(6, 22))}:${random.pick(["00", "15", "30", "45"])}:00`;
}
function host(random: Random): string {
  return `${wordFrom(random, nouns, 0.5)}.${random.pick(["com", "org", "net", "io", "dev", "example"])}`;
}
function fullName(random: Random): string {
  return `${wordFrom(random, firstNames)} ${wordFrom(random, lastNames)}`;
}
function email(random: Random): string {
  return `${wordFrom(random, firstNames).toLowerCase()}${random.pick(["", "", ".", "_"])}${random.pick([wordFrom(random, lastNames).toLowerCase(), digits(random, 2)])}@${host(random)}`;
}
function identifier(random: Random): string {
  return random.pick([
    () => `${letters(random, random.int(2, 3))}-${digits(random, random.int(3, 5))}`,
    () => hex(random, 8),
    () => digits(random, random.int(3, 6)),
    () => `${pseudoWord(random)}-${digits(random, 2)}`,
    () => `${letters(random, 1)}${digits(random, 4)}`,
  ])();
}
function phrase(random: Random): string {
  return random.pick([
    () => `${random.pick(adjectives)} ${wordFrom(random, nouns)}`,
    () => random.pick(occasions),
    () => `${wordFrom(random, nouns, 0.5)} ${random.pick(nouns)}`,
  ])();
}
function thingName(random: Random): string {
  const [first = "", ...rest] = phrase(random).split(" ");
  return random.pick([
    () => capital(first),
    () => [capital(first), ...rest].join(" "),
    () => capital(pseudoWord(random)),
    () => capital(random.pick(nouns)),
  ])();
}

type Maker = (random: Random) => string;

const byFormat: ReadonlyMap<string, Maker> = new Map<string, Maker>([
  ["date", date],
  ["date-time", (random) => `${date(random)}T${time(random)}Z`],
  ["time", (random) => `${time(random)}Z`],
  ["duration", (random) => `PT${random.int(5, 90)}M`],
  ["email", email],
  ["idn-email", email],
  [
    "uuid",
    (random) =>
      `${hex(random, 8)}-${hex(random, 4)}-4${hex(random, 3)}-a${hex(random, 3)}-${hex(random, 12)}`,
  ],
  ["uri", (random) => `https://${host(random)}/${wordFrom(random, nouns)}`],
  ["url", (random) => `https://${host(random)}/${wordFrom(random, nouns)}`],
  ["uri-reference", (random) => `/${wordFrom(random, nouns)}/${random.int(2, 99)}`],
  ["hostname", host],
  ["ipv4", (random) => Array.from({ length: 4 }, () => random.int(1, 250)).join(".")],
  ["ipv6", (random) => `2001:db8::${hex(random, 3)}a`],
  ["password", (random) => `${capital(pseudoWord(random))}${digits(random, 3)}!`],
  ["byte", (random) => btoa(pseudoWord(random))],
  ["phone", phoneNumber],
]);

function phoneNumber(random: Random): string {
  return random.pick([
    () => `+${random.int(31, 98)} ${digits(random, 3)} ${digits(random, 3)} ${digits(random, 3)}`,
    () => `555-${digits(random, 3)}-${digits(random, 4)}`,
  ])();
}

/** By the last words of the property's name; the first match wins. */
const byName: readonly [RegExp, Maker][] = [
  [/^(?:key|word)$/, (random) => wordFrom(random, nouns)],
  [/(?:^| )e ?mail(?: address)?$/, email],
  [/(?:phone|mobile|tel|telephone|fax)(?: number)?$/, phoneNumber],
  [/(?:first|given) name$/, (random) => wordFrom(random, firstNames)],
  [/(?:last|family) name$|^surname$/, (random) => wordFrom(random, lastNames)],
  [
    /(?:user ?name|login|handle|nickname|screen name)$/,
    (random) =>
      `${wordFrom(random, firstNames, 0.4).toLowerCase()}${random.pick([() => digits(random, 2), () => `_${random.pick(nouns)}`, () => ""])()}`,
  ],
  [
    /(?:full|customer|contact|guest|display|author|owner|person|passenger|patient|employee|client) name$|^(?:author|owner|assignee|recipient|customer|guest|contact|artist|director|creator)$/,
    fullName,
  ],
  [
    /(?:city|town|municipality|destination|origin|location|place|departure|arrival)$/,
    (random) => wordFrom(random, cities),
  ],
  [/country code$|^(?:market|region code)$/, (random) => random.pick(countryCodes)],
  [/(?:country|nationality|nation)$/, (random) => wordFrom(random, countries)],
  [/(?:currency|currency code)$/, (random) => random.pick(currencies)],
  [/(?:language|lang|locale|language code)$/, (random) => random.pick(languageCodes)],
  [/(?:time ?zone|tz)$/, (random) => random.pick(timeZones)],
  [
    /(?:street|address|address line|line)$/,
    (random) => `${random.int(1, 180)} ${wordFrom(random, streets, 0)}`,
  ],
  [/(?:zip|zip code|postal code|postcode)$/, (random) => digits(random, 5)],
  [/(?:date time|timestamp|datetime| at)$/, (random) => `${date(random)}T${time(random)}Z`],
  [/(?:date|day|birthday|dob|since|until|deadline)$/, date],
  [/(?:^| )time$/, (random) => time(random).slice(0, 5)],
  [/(?:month)$/, (random) => date(random).slice(0, 7)],
  [
    /(?:url|uri|link|website|homepage|href|webhook|callback)$/,
    (random) => `https://${host(random)}/${wordFrom(random, nouns)}`,
  ],
  [/(?:host|hostname|domain)$/, host],
  [/(?:ip|ip address)$/, (random) => Array.from({ length: 4 }, () => random.int(1, 250)).join(".")],
  [/(?:colou?r|hex)$/, (random) => random.pick(colors)],
  [
    /(?:file ?name|attachment|document|image|photo|picture)$/,
    (random) => `${wordFrom(random, fileStems)}-${random.int(2, 99)}.${random.pick(fileTypes)}`,
  ],
  [/(?:mime type|content type|media type)$/, (random) => random.pick(mimeTypes)],
  [/(?:path|folder|directory)$/, (random) => `/${wordFrom(random, nouns)}/${wordFrom(random, fileStems)}`],
  [/(?:password|secret|passphrase)$/, (random) => `${capital(pseudoWord(random))}${digits(random, 3)}!`],
  [/(?:uuid|guid)$/, (random) => hex(random, 8)],
  [/(?:version)$/, (random) => `${random.int(1, 9)}.${random.int(0, 20)}`],
  [/(?:^| )(?:id|ids|identifier|key|code|sku|token|ref|reference|number|no|hash|serial|isbn)$/, identifier],
  [/(?:status|state|stage|phase)$/, (random) => wordFrom(random, statuses, 0.1)],
  [
    /(?:tag|label|category|topic|genre|keyword|interest|skill|group|department|team|channel|type|kind)$/,
    (random) => wordFrom(random, topics),
  ],
  [/(?:job|role|occupation|profession|job title)$/, (random) => random.pick(jobs)],
  [
    /(?:company|organi[sz]ation|brand|vendor|supplier|employer|manufacturer|merchant)(?: name)?$/,
    (random) =>
      `${wordFrom(random, lastNames, 0.5)} ${random.pick(["Ltd", "Labs", "Group", "Foods", "Systems", "Works", "Partners"])}`,
  ],
  [/(?:query|search|q|term|text search|keywords)$/, (random) => phrase(random)],
  [
    /(?:description|comment|note|notes|message|body|text|content|summary|reason|feedback|review|bio|caption|instructions)$/,
    (random) => (random.next() < 0.7 ? random.pick(sentences) : `${phrase(random)} ${pseudoWord(random)}`),
  ],
  [/(?:title|subject|headline|heading|event|topic name)$/, (random) => capital(phrase(random))],
  [/(?:name)$/, (random) => (random.next() < 0.25 ? wordFrom(random, firstNames) : thingName(random))],
];

/** A parameter's name without the place that a menu appends where two parameters share a name (`username_body`). */
export function bareName(name: string): string {
  return name.replace(/_(?:body|path|query|header|cookie)\d*$/, "");
}

/** A short text that fits a property's name, format and description. Drawn from pools and made-up words. */
export function textFor(
  name: string,
  format: string | undefined,
  description: string,
  random: Random,
): string {
  const maker = byFormat.get(format ?? "");
  if (maker !== undefined) return maker(random);
  const said = wordsOf(bareName(name)).join(" ");
  for (const [pattern, make] of byName) if (pattern.test(said)) return make(random);
  if (/YYYY-MM-DD|\bISO ?8601 date\b/i.test(description)) return date(random);
  if (/\b(?:identifier|ID|UUID)\b/.test(description)) return identifier(random);
  return random.pick([() => wordFrom(random, nouns), () => phrase(random), () => pseudoWord(random)])();
}
