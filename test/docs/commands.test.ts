import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { benchCommand } from "../../src/cli/bench.js";
import { bootstrapCommand, resumeCommand } from "../../src/cli/bootstrap.js";
import { diffCommand } from "../../src/cli/diff.js";
import { doctorCommand } from "../../src/cli/doctor.js";
import { evalCommand } from "../../src/cli/eval.js";
import { exportCommand } from "../../src/cli/export.js";
import { generateCommand } from "../../src/cli/generate.js";
import { menuCommand } from "../../src/cli/menu.js";
import { mockCommand } from "../../src/cli/mock.js";
import { reportCommand } from "../../src/cli/report.js";
import { serveCommand } from "../../src/cli/serve.js";
import { tasksCommand } from "../../src/cli/tasks.js";
import { codeBlocks, documents, prose, read, root } from "./markdown.js";

const commands = new Map<string, object>(
  Object.entries({
    bench: benchCommand,
    bootstrap: bootstrapCommand,
    resume: resumeCommand,
    diff: diffCommand,
    doctor: doctorCommand,
    eval: evalCommand,
    generate: generateCommand,
    export: exportCommand,
    serve: serveCommand,
    menu: menuCommand,
    mock: mockCommand,
    report: reportCommand,
    tasks: tasksCommand,
  }).map(([name, { args }]) => [name, args ?? {}]),
);
const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

/** Command lines in shell blocks (continued lines joined, comments cut) and in inline code. */
function commandLines(path: string): { place: string; line: string }[] {
  const blocks = codeBlocks(path)
    .filter(({ language }) => language === "sh")
    .flatMap(({ place, text }) =>
      text
        .replaceAll("\\\n", " ")
        .split("\n")
        .map((line) => ({ place, line: line.replace(/\s#.*$/, "") })),
    );
  const inline = [...prose(path).matchAll(/`([^`\n]+)`/g)].map(([, line = ""]) => ({ place: path, line }));
  return [...blocks, ...inline];
}

function problemsOf(line: string): string[] {
  const [, name, rest = ""] = /^(?:npx )?specdojo ([a-z]+)(.*)$/.exec(line.trim()) ?? [];
  if (name !== undefined) {
    const options = commands.get(name);
    if (options === undefined) return [`no command ${name}`];
    return [...rest.matchAll(/\s--([a-z-]+)/g)]
      .filter(([, option = ""]) => !Object.hasOwn(options, option))
      .map(([, option]) => `${name} has no option --${option}`);
  }
  const [, script] = /^npm run ([\w:-]+)/.exec(line.trim()) ?? [];
  return script === undefined || Object.hasOwn(scripts, script) ? [] : [`no script ${script}`];
}

test.each(documents)("the commands in %s exist", (path) => {
  const problems = commandLines(path).flatMap(({ place, line }) =>
    problemsOf(line).map((problem) => `${place}: ${problem}`),
  );
  expect(problems).toEqual([]);
});

test("a command that does not exist is found", () => {
  expect(problemsOf("specdojo train x.yaml")).toEqual(["no command train"]);
  expect(problemsOf("npx specdojo eval dir --task x")).toEqual(["eval has no option --task"]);
  expect(problemsOf("npm run nothing")).toEqual(["no script nothing"]);
});

/** The anchor that GitHub makes of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");

test.each(documents)("the links in %s resolve", (path) => {
  const broken = [...prose(path).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^https?:/.test(target))
    .filter((target) => {
      const [file = "", anchor] = target.split("#");
      const wanted = file === "" ? path : join(dirname(path), file);
      if (!existsSync(join(root, wanted))) return true;
      if (anchor === undefined) return false;
      return !read(wanted)
        .split("\n")
        .some((line) => /^#+ /.test(line) && anchorOf(line.replace(/^#+ /, "")) === anchor);
    });
  expect(broken).toEqual([]);
});
