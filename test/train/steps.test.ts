import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Datum, SamplingClient } from "../../src/backend/types.js";
import type { Tokenizer } from "../../src/rollout/tokenizer.js";
import { createSpecGenerator, type Task, type ToolCall } from "../../src/task/index.js";
import { solverCompletion } from "../../src/task/prompts.js";
import { makeCandidates } from "../../src/train/candidates-phase.js";
import { trainGeneratorStep } from "../../src/train/generator-phase.js";
import type { ReplayItem, RunConfig } from "../../src/train/index.js";
import { shelve, trainSolverStep, trainSupervisedStep } from "../../src/train/solver-phase.js";
import { FakeBackend, type FakeOptions } from "./fake-backend.js";
import { contextOf, createRun, removeScratch, toyConfig, toyTokenizer } from "./setup.js";

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await toyTokenizer();
});
afterAll(removeScratch);

const taskOf = (id: string, question: string, answer: ToolCall[]): Task => ({
  id,
  spec: { id, domain: "d", context: "single_turn", tools: [], answer: { kind: "given", calls: answer } },
  question,
  tools: [],
  answer,
});
const withTools = (task: Task): Task => {
  const tools = ["listBooks", "getBook", "createLoan", "removeMember"];
  return { ...task, tools, spec: { ...task.spec, tools } };
};
const book = withTools(
  taskOf("book", "Show one book: book id is 7.", [{ name: "getBook", arguments: { bookId: 7 } }]),
);
/** The toy Solver never samples the right answer. */
const loan = withTools(
  taskOf("loan", "Create a loan: copy id is 2; member id is 9.", [
    { name: "createLoan", arguments: { copyId: 2, memberId: 9 } },
  ]),
);
/** The toy Solver always gives the same answer to what it cannot read. */
const unread = withTools(taskOf("unread", "What is new?", [{ name: "listBooks", arguments: {} }]));

async function setup(
  change: Partial<RunConfig> = {},
  options: Partial<FakeOptions> = {},
  replay: ReplayItem[] = [],
) {
  const backend = new FakeBackend({ tokenizer, ...options });
  const config = { ...toyConfig, ...change };
  const context = await contextOf(await createRun(config), backend, tokenizer, { replay });
  const model = await backend.createModel({ baseModel: "toy", lora: { rank: 0 } });
  const trained = (): {
    loss: string | undefined;
    data: Datum[];
    config: Record<string, number> | undefined;
  }[] =>
    backend.calls.flatMap(({ method, loss, data, config }) =>
      method === "forwardBackward" ? [{ loss, data: data ?? [], config }] : [],
    );
  return { backend, context, model, trained };
}
type Setup = Awaited<ReturnType<typeof setup>>;

const solverStep = ({ context, model }: Setup, tasks: Task[]) =>
  trainSolverStep(context, {
    solver: model,
    shelves: shelve(context, tasks, "s"),
    learningRate: context.config.solver.learningRate,
    seed: "s",
  });

/** A datum's completion as text, without the token that ends it. */
function completionOf(datum: Datum): string {
  const values = datum.advantages ?? datum.weights ?? [];
  const first = values.findIndex((value) => value !== 0);
  return tokenizer.decode(datum.targetTokens.slice(first, -1));
}
const sum = (values: readonly number[] = []): number => values.reduce((total, value) => total + value, 0);
const gold =
  '<tool_call_answer>[{"name":"createLoan","arguments":{"copyId":2,"memberId":9}}]</tool_call_answer>';

describe("shelves", () => {
  it("hold every task once, with its tools in view, few menus for many tasks", async () => {
    const { context } = await setup({ solver: { ...toyConfig.solver, groupsPerMenu: 3 } });
    const tasks = Array.from({ length: 12 }, (_, i) => ({ ...(i % 2 === 0 ? loan : book), id: String(i) }));
    const shelves = shelve(context, tasks, "s");
    expect(shelves.flatMap((shelf) => shelf.tasks.map(({ id }) => Number(id))).sort((a, b) => a - b)).toEqual(
      tasks.map((_, i) => i),
    );
    expect(shelves.length).toBeLessThan(12);
    for (const { tools, tasks: own } of shelves) {
      expect(own.length).toBeLessThanOrEqual(3);
      const names = tools.map(({ name }) => name);
      for (const { answer } of own) for (const { name } of answer) expect(names).toContain(name);
    }
  });

  it("hold one task each where every task has its own menu", async () => {
    const { context } = await setup({ solver: { ...toyConfig.solver, groupsPerMenu: 1 } });
    expect(shelve(context, [loan, book, { ...loan, id: "x" }], "s").map(({ tasks }) => tasks.length)).toEqual(
      [1, 1, 1],
    );
  });
});

describe("candidates", () => {
  it("that no Solver could be asked, for want of room, are none", async () => {
    const { context, model } = await setup();
    const made = async (opponent: SamplingClient) =>
      makeCandidates(context, {
        writer: await model.sampler(),
        opponent,
        specs: createSpecGenerator(context.menu, { seed: 1, answer: context.config.answer }),
        seed: "c",
      });
    const outcomes = ({ candidates }: Awaited<ReturnType<typeof made>>, outcome: string) =>
      candidates.filter((candidate) => candidate.outcome === outcome);
    const asked = await made(await model.sampler());
    expect(outcomes(asked, "kept").length).toBeGreaterThan(0);
    expect(outcomes(asked, "too-long")).toEqual([]);
    const unasked = await made({ sample: async (requests) => requests.map(() => ({ sequences: [] })) });
    expect(outcomes(unasked, "kept")).toEqual([]);
    expect(outcomes(unasked, "too-long").length).toBeGreaterThanOrEqual(outcomes(asked, "kept").length);
    expect({ tasks: unasked.tasks, measured: unasked.measured }).toEqual({ tasks: [], measured: [] });
  });
});

describe("the Solver's step", () => {
  it("trains on the group's advantages, one normalisation for the batch", async () => {
    const at = await setup();
    const { metrics, groups } = await solverStep(at, [book]);
    const [{ data, loss, config } = { data: [], loss: "", config: {} }] = at.trained();
    expect({ loss, config }).toEqual({
      loss: "ppo",
      config: { clip_low_threshold: 0.8, clip_high_threshold: 1.2 },
    });
    expect(data.length).toBeGreaterThan(1);
    // Scaled by the number of trained tokens, so that the gradient is a mean over tokens.
    const tokens = data.flatMap(({ advantages = [] }) => advantages).filter((value) => value !== 0).length;
    const [rollouts] = groups;
    const mean = sum(rollouts?.rollouts.map(({ reward }) => reward)) / 4;
    const deviation = Math.sqrt(sum(rollouts?.rollouts.map(({ reward }) => (reward - mean) ** 2)) / 4);
    for (const datum of data) {
      const reward =
        rollouts?.rollouts.find(({ text }) => text === completionOf(datum))?.reward ?? Number.NaN;
      expect(datum.advantages?.at(-1)).toBeCloseTo((reward - mean) / deviation / tokens, 9);
    }
    expect(metrics).toMatchObject({ zero_variance_groups: 0, anchored_groups: 0, sampler_kl: 0 });
    expect(metrics.reward).toBeCloseTo(mean, 9);
    expect(metrics.pass_rate).toBe(rollouts?.passRate);
  });

  it("counts groups without variance, which train nothing", async () => {
    const at = await setup({ goldAnchor: false });
    const { metrics } = await solverStep(at, [unread]);
    expect(metrics.zero_variance_groups).toBe(1);
    expect(at.trained()).toEqual([]);
    expect(at.backend.count("optimStep")).toBe(0);
    const both = await solverStep(at, [unread, book]);
    expect(both.metrics.zero_variance_groups).toBe(0.5);
    expect(
      at
        .trained()[0]
        ?.data.every((datum) => completionOf(datum) !== "<tool_call_answer>[]</tool_call_answer>"),
    ).toBe(true);
  });

  it("anchors a group in which all fail with the task's own answer, at ratio 1", async () => {
    const at = await setup();
    const { metrics } = await solverStep(at, [loan, book]);
    expect(metrics.anchored_groups).toBe(0.5);
    expect(at.backend.count("forward")).toBe(1);
    const anchors = (at.trained()[0]?.data ?? []).filter((datum) => completionOf(datum) === gold);
    expect(anchors).toHaveLength(1);
    expect(Math.max(...(anchors[0]?.advantages ?? []))).toBeGreaterThan(0);
    // The policy's own logprob, so that the importance ratio is 1: here of a row [-40, 0, 0, 0].
    expect(Math.min(...(anchors[0]?.logprobs ?? []))).toBeCloseTo(-40 - Math.log(3), 3);
    expect(metrics.sampler_kl).toBeCloseTo(0, 9);
  });

  it("leaves such a group as it is without the option", async () => {
    const at = await setup({ goldAnchor: false });
    const { metrics } = await solverStep(at, [loan]);
    expect(metrics.anchored_groups).toBe(0);
    expect(at.backend.count("forward")).toBe(0);
    expect(at.trained().flatMap(({ data }) => data.map(completionOf))).not.toContain(gold);
  });

  it("learns what it never samples only with the anchor", async () => {
    const rates = [];
    for (const goldAnchor of [true, false]) {
      const at = await setup({ goldAnchor, solver: { ...toyConfig.solver, learningRate: 500 } });
      for (let step = 0; step < 10; step++)
        await trainSolverStep(at.context, {
          solver: at.model,
          shelves: shelve(at.context, [loan], `s${step}`),
          learningRate: 500,
          seed: `s${step}`,
        });
      rates.push((await solverStep(at, [loan])).metrics.pass_rate ?? 0);
    }
    expect(rates[0]).toBeGreaterThan(0.5);
    expect(rates[1]).toBe(0);
  });

  it("by rejection sampling trains on the distinct right samples, each group alike", async () => {
    const at = await setup({ method: "rejection-sampling", solver: { ...toyConfig.solver, groupSize: 12 } });
    const { metrics, groups } = await solverStep(at, [book, loan]);
    expect(metrics.pass_rate).toBeGreaterThan(0);
    const right = groups[0]?.rollouts.filter(({ correct }) => correct).map(({ text }) => text) ?? [];
    expect(right.length).toBeGreaterThan(1);
    const [batch] = at.trained();
    expect(batch?.loss).toBe("cross_entropy");
    expect(batch?.data.map(completionOf)).toEqual([...new Set(right)]);
    expect(sum(batch?.data[0]?.weights)).toBeCloseTo(1, 9);
  });

  it("does nothing by rejection sampling where nothing is right", async () => {
    const at = await setup({ method: "rejection-sampling" });
    await solverStep(at, [loan]);
    expect(at.backend.count("optimStep")).toBe(0);
  });

  it("supervised, trains on the answers without sampling", async () => {
    const at = await setup();
    await trainSupervisedStep(at.context, {
      solver: at.model,
      shelves: shelve(at.context, [loan, book], "s"),
      learningRate: 2,
      seed: "s",
    });
    expect(at.backend.count("sample")).toBe(0);
    const [batch] = at.trained();
    expect(batch?.loss).toBe("cross_entropy");
    expect(batch?.data.map(completionOf)[0]).toBe(gold);
    expect(sum(batch?.data.flatMap(({ weights = [] }) => weights))).toBeCloseTo(1, 9);
    expect(at.backend.count("optimStep")).toBe(1);
  });

  it.each([
    [true, { clip_low_threshold: 0.8, clip_high_threshold: 1.2, kl_beta: 0.02 }],
    [false, { clip_low_threshold: 0.8, clip_high_threshold: 1.2 }],
  ])("asks for the KL term where the backend has one: %s", async (klInLoss, want) => {
    const at = await setup({ solver: { ...toyConfig.solver, klBeta: 0.02 } }, { capabilities: { klInLoss } });
    await solverStep(at, [book]);
    expect(at.trained()[0]?.config).toEqual(want);
  });

  it("scales for a backend that takes means over sequences", async () => {
    const factors = [];
    for (const lossReduction of ["sum", "sequence-mean"] as const) {
      const at = await setup({}, { capabilities: { lossReduction } });
      await solverStep(at, [book]);
      factors.push(at.trained()[0]?.data[0]?.advantages?.at(-1) ?? Number.NaN);
    }
    const at = await setup();
    await solverStep(at, [book]);
    const [batch] = at.trained();
    const length = batch?.data[0]?.targetTokens.length ?? 0;
    expect((factors[1] ?? 0) / (factors[0] ?? 0)).toBeCloseTo(length * (batch?.data.length ?? 0), 6);
  });
});

describe("replay", () => {
  const item: ReplayItem = {
    tools: [{ name: "openGate", description: "Open a gate", parameters: { type: "object", properties: {} } }],
    question: "What is new?",
    gold: [{ name: "openGate", arguments: {} }],
  };
  const solver = { ...toyConfig.solver, replay: 3, replayWeight: 0.25 };

  it("joins every step with its weight", async () => {
    const others = ["b", "c", "d"].map((question) => ({ ...item, question, tools: [...item.tools] }));
    const at = await setup({ solver }, {}, [item, { ...item, question: "And now?" }, ...others]);
    await solverStep(at, [book]);
    const [policy, replay] = at.trained();
    expect([policy?.loss, replay?.loss]).toEqual(["ppo", "cross_entropy"]);
    expect(new Set(replay?.data.map(({ input }) => input.join())).size).toBe(3);
    expect(completionOf(replay?.data[0] ?? { input: [], targetTokens: [] })).toContain("openGate");
    expect(sum(replay?.data.flatMap(({ weights = [] }) => weights))).toBeCloseTo(0.25, 9);
    expect(at.backend.count("optimStep")).toBe(1);
  });

  it.each([
    ["without items", solver, []],
    ["without weight", { ...solver, replayWeight: 0 }, [item]],
    ["with none asked for", { ...solver, replay: 0 }, [item]],
  ])("is left out %s", async (_, settings, items) => {
    const at = await setup({ solver: settings }, {}, items);
    await solverStep(at, [book]);
    expect(at.trained()).toHaveLength(1);
  });
});

describe("the tasks' own answers", () => {
  const solver = { ...toyConfig.solver, goldWeight: 0.5 };

  it("join every step with their weight", async () => {
    const at = await setup({ solver });
    await solverStep(at, [book, loan]);
    const [policy, golds] = at.trained();
    expect([policy?.loss, golds?.loss]).toEqual(["ppo", "cross_entropy"]);
    expect(golds?.data.map(completionOf)).toEqual([book, loan].map(({ answer }) => solverCompletion(answer)));
    expect(sum(golds?.data.flatMap(({ weights = [] }) => weights))).toBeCloseTo(0.5, 9);
    expect(at.backend.count("optimStep")).toBe(1);
  });

  it.each([
    [0, []],
    [0.5, ["cross_entropy"]],
  ])("are all there is where no sample is kept: weight %s", async (goldWeight, losses) => {
    const at = await setup({ method: "rejection-sampling", solver: { ...solver, goldWeight } });
    await solverStep(at, [loan]);
    expect(at.trained().map(({ loss }) => loss)).toEqual(losses);
    expect(at.backend.count("optimStep")).toBe(losses.length);
  });
});

describe("the Generator's step", () => {
  const step = async (change: Partial<RunConfig> = {}) => {
    const at = await setup(change);
    const specs = createSpecGenerator(at.context.menu, { seed: 1, answer: at.context.config.answer });
    const opponent = await at.backend.createSampler({ baseModel: "toy" });
    return {
      at,
      result: await trainGeneratorStep(at.context, {
        generator: at.model,
        opponent,
        specs,
        learningRate: at.context.config.generator.learningRate,
        seed: "g",
      }),
    };
  };

  it("rewards difficulty unless it is told not to", async () => {
    const full = (await step()).result.metrics;
    const without = (await step({ difficultyReward: false })).result.metrics;
    const { reward_difficulty = 0, reward_coherence = 0 } = full;
    expect(reward_difficulty).toBeGreaterThan(0);
    expect(full.reward_curriculum).toBeCloseTo(0.5 * reward_difficulty + 0.5 * reward_coherence, 9);
    expect(without.reward_curriculum).toBeCloseTo(0.5 * reward_coherence, 9);
    expect(without.reward).toBeLessThan(full.reward ?? 0);
  });

  it("trains on whole groups with the rewards of its transcripts", async () => {
    const { at, result } = await step();
    const [batch] = at.trained();
    expect(batch?.loss).toBe("ppo");
    expect((batch?.data.length ?? 0) % 4).toBe(0);
    const [first] = result.transcripts.filter(({ rejection }) => rejection !== undefined);
    expect(first?.reward).toBeLessThan(Math.max(...result.transcripts.map(({ reward }) => reward)));
    expect(result.metrics.valid).toBeGreaterThan(0);
    expect(result.metrics.valid).toBeLessThan(1);
  });

  it("probes only what is valid, K times", async () => {
    const { at, result } = await step();
    expect(at.backend.count("sample")).toBe(2);
    const rates = result.metrics.pass_rate ?? Number.NaN;
    const valid = Math.round((result.metrics.valid ?? 0) * 12);
    expect(rates * valid * 4).toBeCloseTo(Math.round(rates * valid * 4), 6);
  });
});
