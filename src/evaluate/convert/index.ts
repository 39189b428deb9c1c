import { createArgumentValidator } from "../../openapi/arguments.js";
import { SpecdojoError } from "../../util/errors.js";
import { officialVerdict } from "../official.js";
import { scoreAnswer } from "../score.js";
import { parseSuite, type SuiteName, suiteNames } from "../suite.js";
import { convertApiBank } from "./api-bank.js";
import { convertBfcl } from "./bfcl.js";
import type { Conversion } from "./files.js";
import { convertNexusRaven } from "./nexusraven.js";
import { convertRestBench } from "./restbench.js";
import { convertSealTools } from "./seal-tools.js";
import { convertSnips } from "./snips.js";
import { convertToolAlpaca } from "./toolalpaca.js";

const converters: Record<SuiteName, (path: string) => Promise<Conversion>> = {
  bfcl: convertBfcl,
  toolalpaca: convertToolAlpaca,
  "seal-tools": convertSealTools,
  nexusraven: convertNexusRaven,
  "api-bank": convertApiBank,
  snips: convertSnips,
  restbench: convertRestBench,
};

export interface ConvertedSuite extends Conversion {
  name: SuiteName;
  /** Items whose gold answer does not pass: strict, and the official rules. The suite contradicts itself there. */
  refused: { strict: string[]; official: string[] };
  /** Items whose gold arguments the schemas do not allow, with what is wrong first. */
  invalid: { id: string; problem: string }[];
}

/**
 * Converts a suite from its original public files, and feeds its gold answers back to the scorers. Throws
 * `convert-unknown` for a name that is none of `suiteNames`, `convert-unreadable` where the files are not as published.
 */
export async function convertSuite(name: string, path: string): Promise<ConvertedSuite> {
  const suite = suiteNames.find((known) => known === name.toLowerCase());
  if (suite === undefined)
    throw new SpecdojoError("convert-unknown", `There is no suite ${JSON.stringify(name)}.`, {
      place: name,
      remedy: `The suites are ${suiteNames.join(", ")}.`,
    });
  const conversion = await converters[suite](path);
  const refused: ConvertedSuite["refused"] = { strict: [], official: [] };
  const invalid: ConvertedSuite["invalid"] = [];
  const validator = createArgumentValidator();
  for (const line of conversion.items) {
    const [item] = parseSuite(JSON.stringify(line), line.id);
    if (item === undefined) continue;
    if (!scoreAnswer(item, { calls: item.gold }, item.tools).correct) refused.strict.push(item.id);
    if (officialVerdict(item, item.gold) === false) refused.official.push(item.id);
    if (!item.argsKnown) continue;
    for (const call of item.gold) {
      const tool = item.tools.find((candidate) => candidate.name === call.name);
      if (tool === undefined) continue;
      let problem: string | undefined;
      try {
        const checked = validator.validate(tool, call.arguments);
        if (!checked.ok) problem = `${call.name}${checked.errors[0]?.pointer} ${checked.errors[0]?.message}`;
      } catch (error) {
        problem = `${call.name}: the schema cannot be used (${error instanceof Error ? error.message : String(error)})`;
      }
      if (problem === undefined) continue;
      invalid.push({ id: item.id, problem });
      break;
    }
  }
  return { ...conversion, name: suite, refused, invalid };
}
