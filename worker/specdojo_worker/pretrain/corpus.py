"""The pretraining corpus: menus of made-up operations with branches, each a prompt tail and a completion.

The texts are those of the brief prompts in `src/task/prompts.ts`, byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import questions as q
from .apis import Operation, compact, json_text, make_api

ANSWER = "<tool_call_answer>{}</tool_call_answer>"
QUESTION = "<question>{}</question>"


@dataclass
class Branch:
    """`prompt` follows the menu (with role marks), `completion` is trained and ends with the end mark."""

    kind: str
    prompt: str
    completion: str


@dataclass
class Row:
    menu: str
    branches: list[Branch]
    tools: list[Operation]


@dataclass
class Example:
    """A request in the form of the benchmark samples."""

    kind: str
    turns: list[tuple[str, str]]
    calls: list[dict[str, Any]]

    @property
    def text(self) -> str:
        if len(self.turns) == 1:
            return self.turns[0][1]
        return "\n".join(f"{role}: {text}" for role, text in self.turns)


def request(rng: random.Random, menu: list[Operation], others: list[Operation], kind: str, plain: bool = False) -> Example | None:
    op = rng.choice(menu)
    if kind == "one":
        text, call = q.sentence(rng, op)
        return Example(kind, [("user", q.dress(rng, text, plain=plain))], [call])
    if kind == "two":
        if rng.random() < 0.35:
            both = q.same_twice(rng, op)
            if both:
                return Example(kind, [("user", q.dress(rng, both[0], plain=plain))], both[1])
        (t1, c1), (t2, c2) = q.sentence(rng, op, few=True), q.sentence(rng, rng.choice(menu), few=True)
        if c1 == c2:
            return None
        if rng.random() < 0.08:
            t3, c3 = q.sentence(rng, rng.choice(menu), few=True)
            if not t2.endswith("?"):
                return Example("three", [("user", q.dress(rng, q.two(rng, f"{t1.rstrip('?')}, {t2}", t3), plain=plain))], [c1, c2, c3])
        return Example(kind, [("user", q.dress(rng, q.two(rng, t1, t2), plain=plain))], [c1, c2])
    if kind == "talk":
        talk = q.conversation(rng, op)
        return Example(kind, talk[0], [talk[1]]) if talk else None
    other = rng.choice(others)  # no tool of the menu serves this
    if any(o.noun == other.noun for o in menu):
        return None
    text, _ = q.sentence(rng, other)
    return Example(kind, [("user", q.dress(rng, text))], [])


def menu_text(menu: list[Operation]) -> str:
    return "Tools:\n" + "\n".join(compact(o.name, o.description, o.schema) for o in menu)


def solver_branch(example: Example) -> Branch:
    prompt = "".join(f"<|{role}|>{text}" for role, text in example.turns) + "<|assistant|>"
    return Branch("solver-" + example.kind, prompt, ANSWER.format(json_text(example.calls)) + "<|end|>")


def generator_branch(example: Example, free: bool) -> Branch:
    talk = len(example.turns) > 1
    what = "conversation" if talk else ("task" if free else "question")
    question = QUESTION.format(example.text)
    if free:
        n = len(example.calls)
        prompt = f"Write a {what} with {n} call{'' if n == 1 else 's'}."
        return Branch("free", f"<|user|>{prompt}<|assistant|>", question + ANSWER.format(json_text(example.calls)) + "<|end|>")
    prompt = f"Write the {what} for: {json_text(example.calls)}"
    return Branch("conditioned", f"<|user|>{prompt}<|assistant|>", question + "<|end|>")


def draw_menu(rng: random.Random, size: int) -> tuple[list[Operation], list[Operation]]:
    """A menu of `size` operations of one API, and operations of another API."""
    ops = make_api(rng, size + rng.choice([0, 0, 2, 6]))
    first = rng.randrange(max(1, len(ops) - size + 1))
    menu = ops[first : first + size] if rng.random() < 0.5 else rng.sample(ops, size)
    if rng.random() < 0.5:
        rng.shuffle(menu)
    return menu, make_api(rng, 4)


def rows(seed: int, sizes: tuple[int, int], branches: int) -> Iterator[Row]:
    """Endless rows. `sizes` bounds the number of operations of a menu (both included)."""
    rng = random.Random(seed)
    while True:
        menu, others = draw_menu(rng, rng.randint(*sizes))
        out: list[Branch] = []
        while len(out) < branches:
            role = rng.random()
            if role < 0.70:
                kind = rng.choices(["one", "two", "talk", "none"], [76, 15, 5, 4])[0]
                example = request(rng, menu, others, kind)
                if example:
                    out.append(solver_branch(example))
            else:
                kind = rng.choices(["one", "two", "talk"], [80, 12, 8])[0]
                example = request(rng, menu, others, kind, plain=True)
                if example:
                    out.append(generator_branch(example, free=role > 0.92))
        yield Row(menu_text(menu), out, menu)
