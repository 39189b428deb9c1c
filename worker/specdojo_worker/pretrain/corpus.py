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
from .fingerprints import call_fingerprint, fingerprint, marks

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
    reply: str = ""  # what is said before the calls: a question back when a value is missing

    @property
    def text(self) -> str:
        if len(self.turns) == 1:
            return self.turns[0][1]
        return "\n".join(f"{role}: {text}" for role, text in self.turns)


    @property
    def evaluated(self) -> bool:
        """Whether the evaluation data has the same question or the same calls."""
        asked = any(fingerprint(text) in marks() for _, text in self.turns)
        return asked or (any(c["arguments"] for c in self.calls) and call_fingerprint(self.calls) in marks())


def request(rng: random.Random, menu: list[Operation], others: list[Operation], kind: str, plain: bool = False) -> Example | None:
    op = rng.choice(menu)
    if kind == "one":
        text, call = q.sentence(rng, op)
        return Example(kind, [("user", q.dress(rng, text, plain=plain))], [call])
    if kind in ("two", "three"):
        both = q.same_twice(rng, op) if kind == "two" and rng.random() < 0.35 else None
        if both:
            return Example(kind, [("user", q.dress(rng, both[0], plain=plain))], both[1])
        parts = [q.sentence(rng, o, few=True) for o in [op, *rng.choices(menu, k=1 if kind == "two" else 2)]]
        texts, calls = [text for text, _ in parts], [call for _, call in parts]
        if kind == "three":
            texts[:2] = [f"{texts[0].rstrip('?')}, {texts[1]}"]
            if texts[0].endswith("?"):
                return None
        if any(c in calls[:i] for i, c in enumerate(calls)):
            return None
        return Example(kind, [("user", q.dress(rng, q.two(rng, *texts), plain=plain))], calls)
    if kind == "talk":
        talk = q.conversation(rng, op, menu)
        return Example(kind, talk[0], [talk[1]]) if talk else None
    if kind == "ask":
        back = q.lacking(rng, op)
        return Example(kind, [("user", q.dress(rng, back[0]))], [], back[1]) if back else None
    other = rng.choice(others)  # no tool of the menu serves this
    if any(o.noun == other.noun and (o.action == other.action or not other.spoken) for o in menu if o.action != "scenario" or not other.spoken):
        return None
    text, _ = q.sentence(rng, other)
    return Example(kind, [("user", q.dress(rng, text))], [])


def menu_text(menu: list[Operation], full: bool = False) -> str:
    """The tools as signatures, or as JSON with their schemas."""
    render = described if full else lambda o: compact(o.name, o.description, o.schema)
    return "Tools:\n" + "\n".join(map(render, menu))


def described(o: Operation) -> str:
    return json_text({"name": o.name, "description": o.description, "parameters": o.schema})


def solver_branch(example: Example) -> Branch:
    prompt = "".join(f"<|{role}|>{text}" for role, text in example.turns) + "<|assistant|>"
    return Branch("solver-" + example.kind, prompt, example.reply + ANSWER.format(json_text(example.calls)) + "<|end|>")


def choice_branch(example: Example) -> Branch:
    """One call up to its operation's name: choosing is harder to learn than copying arguments, and takes fewer tokens by itself."""
    whole = solver_branch(example)
    before, mark, _ = whole.completion.partition('"arguments')
    return Branch("solver-choice", whole.prompt, before + mark)


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


def draw_menu(rng: random.Random, size: int, held_out: bool = False) -> tuple[list[Operation], list[Operation]]:
    """A menu of `size` operations of one API, and operations that it lacks: of the same API and of another one."""
    ops = make_api(rng, size + rng.choice([1, 2, 4, 8]), held_out)
    if rng.random() < 0.5:
        first = rng.randrange(len(ops) - size + 1)
        menu = ops[first : first + size]
    else:
        menu = rng.sample(ops, size)
    if rng.random() < 0.5:
        rng.shuffle(menu)
    chosen = {o.name for o in menu}
    return menu, [o for o in ops if o.name not in chosen][:4] + make_api(rng, 4, held_out)[:4]


FULL = 0.08  # share of the menus that are rendered in full
SOLVER = {"one": 36, "choice": 36, "two": 24, "three": 10, "talk": 7, "none": 16, "ask": 8}
GENERATOR = {"one": 72, "two": 13, "three": 7, "talk": 8}


def rows(seed: int, sizes: tuple[int, int], branches: int, held_out: bool = False) -> Iterator[Row]:
    """Endless rows. `sizes` bounds the number of operations of a menu (both included)."""
    rng = random.Random(seed)
    while True:
        full = rng.random() < FULL
        size = rng.randint(*sizes)
        menu, others = draw_menu(rng, rng.randint(1, 5) if full else size, held_out)
        out: list[Branch] = []
        while len(out) < branches:
            role = rng.random()
            solver = role < 0.72
            kind = draw(rng, SOLVER if solver else GENERATOR)
            example = request(rng, menu, others, "one" if kind == "choice" else kind, plain=not solver)
            if example and not example.evaluated:
                write = choice_branch if kind == "choice" else solver_branch
                out.append(write(example) if solver else generator_branch(example, free=role > 0.96))
        yield Row(menu_text(menu, full), out, menu)


def draw(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
