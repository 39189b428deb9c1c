import { type ArgumentValidator, createArgumentValidator } from "../openapi/arguments.js";
import type { ToolMenu } from "../openapi/types.js";
import { TrainedQuestions } from "./contamination.js";
import { type ResolvedTask, readTaskFile } from "./tasks.js";

/** A gold call that contradicts the document. */
export interface GoldFault {
  id: string;
  tool: string;
  /** JSON pointer into the arguments. */
  pointer: string;
  message: string;
}

/** Operations that the document lacks, and gold arguments that the schemas do not allow, where they are known. */
export function checkGold(
  tasks: readonly ResolvedTask[],
  menu: ToolMenu,
  validator: ArgumentValidator = createArgumentValidator(),
): GoldFault[] {
  const byName = new Map(menu.tools.map((tool) => [tool.name, tool]));
  return tasks.flatMap(({ id, gold, argsKnown }) =>
    gold.flatMap(({ name, arguments: args }) => {
      const tool = byName.get(name);
      if (tool === undefined)
        return [{ id, tool: name, pointer: "", message: "is no operation of the document" }];
      const checked = argsKnown ? validator.validate(tool, args) : undefined;
      if (checked === undefined || checked.ok) return [];
      return checked.errors.map(({ pointer, message }) => ({ id, tool: name, pointer, message }));
    }),
  );
}

/** One finding of `checkTaskFile`. An error contradicts the document or cannot be read; a warning is worth a look. */
export interface TaskFinding {
  level: "error" | "warning";
  /** `FILE:LINE`. */
  place: string;
  message: string;
}

export interface TaskCheck {
  tasks: number;
  toolChoiceOnly: number;
  /** Operations of the document that no task needs. */
  uncovered: string[];
  findings: TaskFinding[];
}

/** Looks for lines that cannot be read, contradictions with the document, and tasks that prove less than they seem to. */
export function checkTaskFile(text: string, place: string, menu: ToolMenu): TaskCheck {
  const { tasks, problems } = readTaskFile(text, place, menu);
  const findings: TaskFinding[] = problems.map((problem) => {
    const [, at = place, message = problem] = /^(.*?:\d+): ([\s\S]*)$/.exec(problem) ?? [];
    return { level: "error", place: at, message };
  });
  const lines = new Map(tasks.map(({ id, line }) => [id, `${place}:${line}`]));
  for (const { id, tool, pointer, message } of checkGold(tasks, menu))
    findings.push({
      level: "error",
      place: lines.get(id) ?? place,
      message: `${tool}${pointer === "" ? "" : ` ${pointer}`} ${message}`,
    });
  const byName = new Map(menu.tools.map((tool) => [tool.name, tool]));
  for (const task of tasks) {
    const at = `${place}:${task.line}`;
    const warn = (message: string) => findings.push({ level: "warning", place: at, message });
    if (!task.argsKnown && task.gold.some((call) => Object.keys(call.arguments).length > 0))
      warn("args_known is false, so the arguments given here are not looked at");
    for (const { name } of task.gold)
      if (byName.get(name)?.deprecated === true) warn(`${name} is deprecated in the document`);
    const others = tasks.filter((other) => other.line < task.line).map(({ question }) => question);
    const near = new TrainedQuestions(others).find(task.question);
    if (near !== undefined) warn(`says nearly the same as an earlier task: ${JSON.stringify(near.trained)}`);
  }
  const used = new Set(tasks.flatMap(({ gold }) => gold.map(({ name }) => name)));
  return {
    tasks: tasks.length,
    toolChoiceOnly: tasks.filter(({ argsKnown }) => !argsKnown).length,
    uncovered: menu.tools.map(({ name }) => name).filter((name) => !used.has(name)),
    findings: findings.sort((a, b) => lineOf(a.place) - lineOf(b.place)),
  };
}

const lineOf = (place: string): number => Number(/:(\d+)$/.exec(place)?.[1] ?? 0);
