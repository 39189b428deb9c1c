import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { lineChart, smooth, ticks } from "../../src/report/chart.js";
import { escapeHtml, html } from "../../src/report/html.js";
import { renderReport } from "../../src/report/index.js";
import { points } from "../../src/report/text.js";
import { hostile, hostileReport } from "./data.js";

const page = renderReport(await hostileReport());
const tags = [...page.matchAll(/<\/?([a-z!][a-z0-9]*)\b((?:[^>"]|"[^"]*")*)>/gi)];
/** What stands in the tags, with the values of attributes taken out. */
const attributes = tags.map(([, , inside = ""]) => inside.replace(/"[^"]*"/g, '""')).join("\n");

describe("a page from hostile text", () => {
  test("holds no script, no handler and no element that the text brings", () => {
    expect(page).not.toMatch(/<script|<img|<iframe|<object|<link/i);
    expect(attributes).not.toMatch(/\bon\w+=/i);
    expect(page).not.toContain("</pre></style>");
    expect(page.match(/<style>/g)).toHaveLength(1);
    expect(page.match(/<\/body>/g)).toHaveLength(1);
  });

  test("shows the text as it is, except for the marks that turn the writing around", () => {
    expect(page).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
    expect(page).toContain("{{body}} $&amp; [U+202E]evil &quot;&#39; &amp;amp;");
    expect(page).not.toContain("\u202E");
  });

  test("every opened element is closed", () => {
    const open: string[] = [];
    const alone = new Set(["meta", "!doctype"]);
    for (const [tag, name = ""] of tags) {
      if (alone.has(name.toLowerCase()) || tag.endsWith("/>")) continue;
      if (tag.startsWith("</")) expect([open.pop(), tag]).toEqual([name, tag]);
      else open.push(name);
    }
    expect(open).toEqual([]);
  });

  test("asks the network for nothing, and its policy allows nothing but its own style", () => {
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1] ?? "";
    const style = /<style>([\s\S]*?)<\/style>/.exec(page)?.[1] ?? "";
    const hash = createHash("sha256").update(style).digest("base64");
    expect(policy).toBe(
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`,
    );
    expect(style).not.toMatch(/url\(|@import/);
    expect(attributes).not.toMatch(/\s(?:src|srcset|action|style)=/);
    for (const [tag] of tags) expect(tag).not.toMatch(/ href="(?!#)/);
  });

  test("shows other ways to train, and what was forgotten", () => {
    expect(page).toContain("+25.0</td>");
    expect(page).toContain("−10.0 to +50.0");
    expect(page).toMatch(/50\.0\u00a0% right before training, 25\.0\u00a0% after, of 8 tasks/);
  });

  test("says what proves it: who wrote the tasks, what was left out", () => {
    expect(page).toContain("1 tasks scored, 1 left out");
    expect(page).toContain("<td>dropped</td>");
    expect(page).toContain("answer not readable");
    expect(page).toContain("wrong tool");
  });
});

test("every link of the table of contents leads somewhere", () => {
  const links = [...page.matchAll(/<a href="#([^"]+)"/g)].map((match) => match[1]);
  expect(links).toEqual([
    "result",
    "tasks",
    "training",
    "operations",
    "failures",
    "samples",
    "rollouts",
    "configuration",
  ]);
  for (const id of links) expect(page).toContain(`id="${id}"`);
});

test("what is missing leaves no section behind", async () => {
  const data = await hostileReport();
  const bare = renderReport({ ...data, evaluation: null, samples: [], config: {} });
  expect([...bare.matchAll(/<section id="([^"]+)"/g)].map((match) => match[1])).toEqual(["training"]);
});

test("data of another shape is refused", async () => {
  const data = await hostileReport();
  expect(() => renderReport({ ...data, metrics: [{ step: -1, iteration: 0, role: "solver" }] })).toThrow();
});

describe("charts", () => {
  test("the parts of a long curve are not joined", () => {
    const many = Array.from({ length: 40 }, (_, x) => ({ x, y: x % 3, part: x < 20 ? 1 : 2 }));
    const { markup } = lineChart({
      title: "t",
      xLabel: "step",
      series: [{ label: "a", tone: "solver", points: many }],
    });
    expect(markup.match(/<path/g)).toHaveLength(4);
    expect(markup).not.toContain("NaN");
  });
  test("few points are joined and marked", () => {
    const few = [
      { x: 0, y: 1, part: 1 },
      { x: 5, y: 2, part: 2 },
    ];
    const { markup } = lineChart({
      title: "t",
      xLabel: "step",
      series: [{ label: "a", tone: "solver", points: few }],
    });
    expect(markup.match(/<path/g)).toHaveLength(1);
    expect(markup.match(/<circle/g)).toHaveLength(2);
  });
  test.each([
    ["no point", []],
    [
      "points that are no numbers",
      [
        { x: 0, y: Number.NaN },
        { x: 1, y: Number.POSITIVE_INFINITY },
      ],
    ],
  ])("%s: nothing is drawn", (_, points) => {
    const { markup } = lineChart({
      title: "Loss",
      xLabel: "step",
      series: [{ label: "a", tone: "base", points }],
    });
    expect(markup).toBe('<p class="quiet">Nothing was recorded for Loss.</p>');
  });
  test("one point, and equal points, are inside the drawing", () => {
    for (const points of [
      [{ x: 3, y: 5 }],
      [
        { x: 0, y: 5 },
        { x: 9, y: 5 },
      ],
    ]) {
      const { markup } = lineChart({
        title: "t",
        xLabel: "step",
        series: [{ label: "a", tone: "base", points }],
      });
      for (const [, y] of markup.matchAll(/cy="([^"]+)"/g)) expect(Number(y)).toBeGreaterThan(12);
    }
  });
  test.each([
    [0, 1, 4, [0, 0.25, 0.5, 0.75, 1]],
    [0, 180, 6, [0, 50, 100, 150]],
    [-0.3, 0.3, 3, [-0.2, 0, 0.2]],
    [5, 5, 4, [5]],
  ])("ticks of %d to %d", (low, high, count, want) => {
    expect(ticks(low, high, count)).toEqual(want);
  });
  test("smoothing keeps both ends and the mean of a line", () => {
    const line = Array.from({ length: 9 }, (_, x) => ({ x, y: 2 * x }));
    expect(smooth(line, 2)).toEqual(line);
    expect(
      smooth(
        [
          { x: 0, y: 0 },
          { x: 1, y: 9 },
          { x: 2, y: 0 },
        ],
        1,
      ),
    ).toEqual([
      { x: 0, y: 0 },
      { x: 1, y: 3 },
      { x: 2, y: 0 },
    ]);
  });
});

test("templates escape values and keep markup", () => {
  expect(html`<b>${"<i>"}${html`<u>${1}</u>`}${[html`<s></s>`, "&"]}${false}${undefined}</b>`.markup).toBe(
    "<b>&lt;i&gt;<u>1</u><s></s>&amp;</b>",
  );
  expect(escapeHtml("a\u0000b\tc")).toBe("a[U+0000]b\tc");
  expect(escapeHtml(hostile)).not.toMatch(/[<>"']/);
});

test.each([
  [0.123, "+12.3"],
  [-0.05, "−5.0"],
  [0, "+0.0"],
  [-0.0001, "0.0"],
])("%d in points", (difference, want) => {
  expect(points(difference)).toBe(want);
});
