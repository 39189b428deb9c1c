import { basename } from "node:path";
import { z } from "zod";
import type { SuiteLine } from "../suite.js";
import { type Conversion, findFiles, readJsonFile } from "./files.js";

const remedy =
  "Give the folder 2017-06-custom-intent-engines of github.com/sonos/nlu-benchmark (INTENT/validate_INTENT.json).";

const fileSchema = z.record(
  z.string(),
  z.array(z.object({ data: z.array(z.object({ text: z.string(), entity: z.string().optional() })) })),
);

/** The suite has no descriptions; these are ours. */
const intents: Record<string, { description: string; slots: readonly string[] }> = {
  AddToPlaylist: {
    description: "Add a track, album or artist to a playlist.",
    slots: ["artist", "entity_name", "music_item", "playlist", "playlist_owner"],
  },
  BookRestaurant: {
    description: "Book a table at a restaurant.",
    slots: [
      "city",
      "country",
      "cuisine",
      "facility",
      "party_size_description",
      "party_size_number",
      "poi",
      "restaurant_name",
      "restaurant_type",
      "served_dish",
      "sort",
      "spatial_relation",
      "state",
      "timeRange",
    ],
  },
  GetWeather: {
    description: "Get the weather forecast for a place and time.",
    slots: [
      "city",
      "condition_description",
      "condition_temperature",
      "country",
      "current_location",
      "geographic_poi",
      "spatial_relation",
      "state",
      "timeRange",
    ],
  },
  PlayMusic: {
    description: "Play music.",
    slots: ["album", "artist", "genre", "music_item", "playlist", "service", "sort", "track", "year"],
  },
  RateBook: {
    description: "Rate a book.",
    slots: [
      "best_rating",
      "object_name",
      "object_part_of_series_type",
      "object_select",
      "object_type",
      "rating_unit",
      "rating_value",
    ],
  },
  SearchCreativeWork: {
    description: "Find a creative work such as a book, film, game or song.",
    slots: ["object_name", "object_type"],
  },
  SearchScreeningEvent: {
    description: "Find when or where a film is shown.",
    slots: [
      "location_name",
      "movie_name",
      "movie_type",
      "object_location_type",
      "object_type",
      "spatial_relation",
      "timeRange",
    ],
  },
};

const tools = Object.entries(intents).map(([name, { description, slots }]) => ({
  name,
  description,
  parameters: {
    type: "object",
    properties: Object.fromEntries(
      slots.map((slot) => [
        slot,
        {
          type: "string",
          description: `${slot
            .replace(/([A-Z])/g, "_$1")
            .toLowerCase()
            .replaceAll("_", " ")} as worded in the request`,
        },
      ]),
    ),
    required: [],
  },
}));

/** SNIPS (the custom intents of 2017): intents are tools, slots their arguments with the words of the request. */
export async function convertSnips(path: string): Promise<Conversion> {
  const files = await findFiles(path, /^validate_\w+\.json$/, remedy);
  const conversion: Conversion = { items: [], counts: [], notes: [] };
  const unknown = new Set<string>();
  for (const file of files) {
    const content = await readJsonFile(file, fileSchema, remedy);
    for (const [intent, utterances] of Object.entries(content)) {
      const known = Object.hasOwn(intents, intent) ? intents[intent] : undefined;
      if (known === undefined) {
        conversion.notes.push(
          `${basename(file)}: left out, because ${JSON.stringify(intent)} is none of the seven intents`,
        );
        continue;
      }
      let repeated = 0;
      for (const [i, { data }] of utterances.entries()) {
        const args: Record<string, string> = {};
        for (const { text, entity } of data) {
          if (entity === undefined) continue;
          if (!known.slots.includes(entity)) unknown.add(`${intent}.${entity}`);
          // A slot that stands twice is one argument: the suite gives no order of importance, so the words are joined.
          if (Object.hasOwn(args, entity)) repeated++;
          args[entity] = Object.hasOwn(args, entity) ? `${args[entity]} ${text.trim()}` : text.trim();
        }
        const item: SuiteLine = {
          id: `snips-${intent}-${String(i).padStart(3, "0")}`,
          question: data
            .map(({ text }) => text)
            .join("")
            .replace(/\s+/g, " ")
            .trim(),
          tools,
          gold: [{ name: intent, arguments: args }],
          suite: "snips",
          category: intent,
        };
        conversion.items.push(item);
      }
      if (repeated > 0)
        conversion.notes.push(
          `${intent}: ${repeated} slots stand twice in a request; their words are joined`,
        );
      conversion.counts.push({ part: intent, items: utterances.length, published: [100] });
    }
  }
  if (unknown.size > 0)
    conversion.notes.push(`slots that the tools do not declare: ${[...unknown].sort().join(", ")}`);
  return conversion;
}
