import type { SamplingClient } from "../backend/types.js";
import { deduplicate, type MeasuredTask, type SelectionReport, select } from "../curriculum/index.js";
import { sampleGroups } from "../rollout/rollout.js";
import {
  createVerifier,
  generatorMessages,
  isRejection,
  type SpecGenerator,
  type Task,
} from "../task/index.js";
import type { StepContext } from "./context.js";
import { solve } from "./probe.js";

/** One completion of the frozen Generator and what became of it. */
export interface Candidate {
  id: string;
  domain: string;
  text: string;
  /**
   * A rejection's reason; `duplicate`; `too-long`, where no Solver could be asked; or `kept`: it became a candidate for the
   * selection.
   */
  outcome: string;
  question?: string;
  passRate?: number;
}

export interface CandidatesResult {
  /** Selected for training, easy to hard. */
  tasks: MeasuredTask[];
  /** All that were verified and not refuted: what the pass rates per operation are made of. */
  measured: MeasuredTask[];
  candidates: Candidate[];
  report: SelectionReport;
}

/**
 * Phases 2 and 3 of an iteration: the frozen Generator writes candidates; they are verified, deduplicated, solved K times
 * by the frozen Solver (cross-verification and difficulty in one), and a mix of difficulties is selected.
 */
export async function makeCandidates(
  context: StepContext,
  options: { writer: SamplingClient; opponent: SamplingClient; specs: SpecGenerator; seed: string },
): Promise<CandidatesResult> {
  const { config, menu, tokenizer, signal, progress } = context;
  const settings = config.candidates;
  const specs = Array.from({ length: settings.specs }, () => options.specs.next());
  const rollouts = await sampleGroups(
    options.writer,
    tokenizer,
    specs.map((spec) => ({ id: spec.id, messages: generatorMessages(spec, menu, config.prompts) })),
    {
      count: settings.perSpec,
      maxTokens: config.generator.maxTokens,
      temperature: config.temperature,
      seed: `${options.seed}/write`,
      signal,
      onProgress: (done, total) => progress.update(Math.round((40 * done) / total), "writing tasks"),
    },
  );
  const verifier = createVerifier(menu);
  const candidates: Candidate[] = [];
  const verified: Task[] = [];
  const byId = new Map<string, Candidate>();
  for (const [index, group] of rollouts.entries())
    for (const [number, { text }] of group.samples.entries()) {
      const spec = specs[index];
      if (spec === undefined) continue;
      const id = `${spec.id}.${number}`;
      const result = verifier.verify(spec, text);
      const rejected = isRejection(result);
      const candidate: Candidate = {
        id,
        domain: spec.domain,
        text,
        outcome: rejected ? result.reason : "kept",
      };
      candidates.push(candidate);
      byId.set(id, candidate);
      if (rejected) continue;
      candidate.question = result.question;
      verified.push({ ...result, id });
    }
  const { kept, dropped } = deduplicate(verified);
  for (const { task } of dropped) setOutcome(byId, task.id, "duplicate");

  const solved = await solve(context, kept, {
    sampler: options.opponent,
    count: settings.probes,
    seed: `${options.seed}/probe`,
    onProgress: (done, total) => progress.update(40 + Math.round((60 * done) / total), "solving tasks"),
  });
  const measured: MeasuredTask[] = [];
  for (const { task, check } of solved) {
    const candidate = byId.get(task.id);
    if (candidate === undefined) continue;
    if (check.samples === 0) {
      candidate.outcome = "too-long";
      continue;
    }
    candidate.passRate = check.passRate;
    if (check.rejection === null) measured.push({ task, passRate: check.passRate });
    else candidate.outcome = check.rejection.reason;
  }
  const { tasks, report } = select(measured, {
    size: settings.keep,
    mix: settings.mix,
    order: settings.order,
    domains: Object.fromEntries(menu.domains.map(({ name, weight = 1 }) => [name, weight])),
    seed: `${options.seed}/select`,
  });
  return { tasks, measured, candidates, report };
}

function setOutcome(candidates: ReadonlyMap<string, Candidate>, id: string, outcome: string): void {
  const candidate = candidates.get(id);
  if (candidate !== undefined) candidate.outcome = outcome;
}
