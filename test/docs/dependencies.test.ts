import { expect, test } from "vitest";
import { codeRows, read } from "./markdown.js";

test("docs/dependencies.md lists every dependency", () => {
  const npm = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
  const names = ["dependencies", "devDependencies", "peerDependencies"].flatMap((kind) =>
    Object.keys(npm[kind] ?? {}),
  );
  const project = read("worker/pyproject.toml");
  const lists = [
    /^dependencies = \[([\s\S]*?)^\]/m,
    /^dev = \[(.*)\]/m,
    /^gguf = \[(.*)\]/m,
    /^requires = \[(.*)\]/m,
  ];
  for (const list of lists)
    names.push(
      ...[...(list.exec(project)?.[1] ?? "").matchAll(/"([\w-]+)[^"]*"/g)].map(([, name = ""]) => name),
    );
  expect(
    codeRows("docs/dependencies.md")
      .map(([name]) => name)
      .sort(),
  ).toEqual(names.sort());
});
