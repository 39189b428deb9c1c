"""Written scenarios: operations of made-up businesses with the ways people ask for them (`scenarios/*.txt`).

A line's first character says what it is: `=` a scenario, `>` an operation's names, `.` a description, `-` a parameter, `!` an
imperative wording, `?` another wording, anything else an entity with its nouns; `scenarios/README.md` has the whole format.
`python -m specdojo_worker.pretrain.scenarios` checks the files and counts.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from . import parameters as p
from . import vocabulary as v

FOLDER = Path(__file__).parent / "scenarios"
SLOT = re.compile(r"\{([^{}]*)\}")
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()

Binding = tuple[str, str]


@dataclass(frozen=True)
class Piece:
    """A part of a wording; an optional one is left out unless its parameters are stated."""

    text: str
    optional: bool
    slots: tuple[str, ...]
    bindings: tuple[Binding, ...]

    def names(self, params: Collection[str]) -> list[str]:
        """The parameters that it states."""
        return [x for x in self.slots if x in params] + [name for name, _ in self.bindings]


@dataclass(frozen=True)
class Wording:
    imperative: bool
    pieces: tuple[Piece, ...]

    def needs(self, params: Collection[str]) -> set[str]:
        """The parameters that it always states."""
        return {x for piece in self.pieces if not piece.optional for x in piece.names(params)}


@dataclass
class ParamLine:
    names: list[str]
    kind: str
    rest: str
    required: bool
    phrases: list[str]


@dataclass
class OperationLine:
    names: list[str]
    descriptions: list[str] = field(default_factory=list)
    params: list[ParamLine] = field(default_factory=list)
    wordings: list[Wording] = field(default_factory=list)


@dataclass
class Scenario:
    name: str
    entities: dict[str, list[str]] = field(default_factory=dict)
    operations: list[OperationLine] = field(default_factory=list)

    @property
    def held_out(self) -> bool:
        """One in twelve is never trained on: it measures wordings that the model has not seen."""
        return zlib.crc32(self.name.encode()) % 12 == 0


def pieces(text: str) -> tuple[Piece, ...]:
    out = []
    for part in re.findall(r"\[[^\[\]]*\]|[^\[\]]+", text):
        optional = part.startswith("[")
        body = part[1:-1] if optional else part
        bindings = tuple((name.strip(), value.strip()) for name, value in re.findall(r"@([^@=]+)=([^@]+)", body))
        last = len(body) if optional else 0
        said = re.sub(r"\s*@[^@=]+=[^@]+", lambda m, last=last: " " if m.end() < last else "", body)
        if optional and body.endswith(" ") and not said.endswith(" "):
            said += " "
        out.append(Piece(said, optional, tuple(SLOT.findall(said)), bindings))
    return tuple(out)


def param_line(text: str) -> ParamLine:
    head, _, phrases = text.partition(";")
    names, _, kind = head.partition(":")
    kind = kind.strip()
    required = kind.endswith("!")
    word, _, rest = kind.removesuffix("!").strip().partition(" ")
    return ParamLine([n.strip() for n in names.split("~")], word, rest.strip(), required, [x.strip() for x in phrases.split(" / ") if x.strip()])


def parse(text: str, place: str = "") -> list[Scenario]:
    """Scenarios of one file. Raises ValueError naming the line when a wording speaks of something that is not there."""
    out: list[Scenario] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.rstrip()
        if not line.strip() or line.startswith("#"):
            continue
        mark, rest = line[0], line[1:].strip()
        try:
            if mark == "=":
                out.append(Scenario(rest))
            elif mark == ">":
                out[-1].operations.append(OperationLine([x.strip() for x in rest.split("|")]))
            elif mark == ".":
                out[-1].operations[-1].descriptions.append(rest.removesuffix("."))
            elif mark == "-":
                out[-1].operations[-1].params.append(param_line(rest))
            elif mark in "!?":
                operation = out[-1].operations[-1]
                wording = Wording(mark == "!", pieces(rest))
                check(out[-1], operation, wording)
                operation.wordings.append(wording)
            else:
                entity, _, nouns = line.partition(":")
                out[-1].entities[entity.strip()] = [x.strip() for x in nouns.split("/") if x.strip()]
        except (IndexError, ValueError) as error:
            raise ValueError(f"{place}:{number}: {error}: {line}") from error
    return out


def entity_of(scenario: Scenario, slot: str) -> tuple[str, str] | None:
    """The entity that a slot names and how it is said: "one", "many" or "article"."""
    form = "one"
    if slot[:1].isupper():
        slot = slot[0].lower() + slot[1:]
    for prefix in ("a ", "an "):
        if slot.startswith(prefix) and slot.removeprefix(prefix) in scenario.entities:
            return slot.removeprefix(prefix), "article"
    slot = slot.removeprefix("=")
    if slot in scenario.entities:
        return slot, form
    many = next((e for e in scenario.entities if slot in (e + "s", v.plural(e))), None)
    return (many, "many") if many else None


def check(scenario: Scenario, operation: OperationLine, wording: Wording) -> None:
    params = {line.names[0]: line for line in operation.params}
    for piece in wording.pieces:
        for slot in piece.slots:
            if slot not in params and entity_of(scenario, slot) is None:
                raise ValueError(f"no parameter and no entity {slot!r}")
        for name, value in piece.bindings:
            if name not in params:
                raise ValueError(f"no parameter {name!r}")
            constant(params[name], value)
    missing = {name for name, line in params.items() if line.required} - wording.needs(params)
    if missing:
        raise ValueError(f"required {', '.join(missing)} not stated")


def choices(line: ParamLine) -> dict[str, list[str]]:
    """Values of an enum or pick with the ways to say each."""
    out: dict[str, list[str]] = {}
    for item in line.rest.split("|"):
        value, _, said = item.partition("=")
        out[value.strip()] = [x.strip() for x in said.split(",") if x.strip()]
    return out


def constant(line: ParamLine, value: str) -> Any:
    if line.kind in ("enum", "pick"):
        if value not in choices(line) and line.kind == "enum":
            raise ValueError(f"{line.names[0]!r} has no value {value!r}")
        return value
    if line.kind in ("enums", "picks"):
        return [value]
    if line.kind == "bool":
        if value not in ("true", "false"):
            raise ValueError(f"{line.names[0]!r} is true or false, not {value!r}")
        return value == "true"
    if line.kind in ("int", "rating", "year"):
        return int(value)
    if line.kind in ("num", "money", "percent"):
        x = float(value)
        return int(x) if x == int(x) else x
    return value


@cache
def load() -> list[Scenario]:
    """All scenarios of the folder, in the order of the files' names."""
    return [s for file in sorted(FOLDER.glob("*.txt")) for s in parse(file.read_text(encoding="utf-8"), file.name)]


def counted(low: int, high: int) -> Callable[[random.Random], p.Spoken]:
    """An integer, now and then said as a word."""
    draw = p.integer(low, high)

    def sample(rng: random.Random) -> p.Spoken:
        n, said = draw(rng)
        n = max(low, n)
        return n, NUMBERS[n] if 1 < n <= 12 and rng.random() < 0.15 else str(n) if said != str(n) else said

    return sample


def money(low: float, high: float) -> Callable[[random.Random], p.Spoken]:
    draw = p.decimal(low, high)

    def sample(rng: random.Random) -> p.Spoken:
        x, said = draw(rng)
        return x, rng.choice([said, said, f"${said}", f"{said} dollars", f"{said} euros", f"{said} euro"])

    return sample


def spoken_choice(line: ParamLine, values: list[str]) -> Callable[[random.Random], p.Spoken]:
    said = choices(line)

    def say(rng: random.Random, value: str) -> str:
        if said[value] and rng.random() < 0.6:
            return rng.choice(said[value])
        return value.replace("_", " ") if line.kind in ("enum", "enums") else value

    def one(rng: random.Random) -> p.Spoken:
        value = rng.choice(values)
        return value, say(rng, value)

    def many(rng: random.Random) -> p.Spoken:
        chosen = rng.sample(values, min(len(values), rng.choice([1, 1, 2, 2, 3])))
        return chosen, p.joined(rng, [say(rng, value) for value in chosen]).replace(" or ", " and ")

    return many if line.kind in ("enums", "picks") else one


def number_range(line: ParamLine, low: float, high: float) -> tuple[float, float]:
    bounds = [float(x) for x in line.rest.split()[:2]]
    return (bounds[0], bounds[1]) if len(bounds) == 2 else (low, high)


def drawn_type(rng: random.Random, line: ParamLine) -> tuple[dict[str, Any], Callable[[random.Random], p.Spoken]]:
    """Schema and sampler of a parameter that is no reference."""
    kind = line.kind
    text = {
        "name": lambda: p.text_value(p.title, 0.3), "person": lambda: p.text_value(p.person, 0.05), "handle": lambda: p.text_value(p.handle, 0.1),
        "first": lambda: p.text_value(lambda r: p.person(r).split()[0], 0.05), "last": lambda: p.text_value(lambda r: r.choice(v.LAST_NAMES).capitalize(), 0.05),
        "word": lambda: p.text_value(p.word, 0.2), "note": lambda: p.text_value(p.note, 0.7), "text": lambda: p.text_value(p.note, 0.7),
        "code": lambda: p.text_value(p.code, 0.05), "slug": lambda: p.text_value(p.slug, 0.1), "phone": lambda: p.phone,
        "city": lambda: lambda r: (lambda x: (x, x))(r.choice(v.CITIES) if r.random() < 0.7 else v.pseudo_word(r, 2, 3).capitalize()),
        "country": lambda: lambda r: (lambda x: (x, x))(r.choice(v.COUNTRIES)),
        "address": lambda: lambda r: (lambda x: (x, x))(f"{r.randint(1, 200)} {p.word(r).capitalize()} {r.choice(['Street', 'Road', 'Lane', 'Avenue'])}"),
        "color": lambda: lambda r: (lambda x: (x, x))(r.choice(v.ADJECTIVES[:9])),
        "language": lambda: lambda r: (lambda x: (x, x))(r.choice(["English", "French", "German", "Spanish", "Italian", "Polish", "Dutch", "Swedish", "Japanese", "Korean"])),
        "currency": lambda: lambda r: (lambda x: (x, x))(r.choice(v.CURRENCIES)),
    }
    formatted: dict[str, tuple[str, Any, float]] = {"date": ("date", p.date, 0.85), "time": ("time", p.clock, 0.4), "datetime": ("date-time", p.datetime_, 0.85), "email": ("email", p.email, 0.5), "url": ("uri", p.url, 0.4), "uuid": ("uuid", p.uuid, 1.0)}
    if kind in text:
        return p.STR, text[kind]()
    if kind in formatted:
        name, sample, share = formatted[kind]
        return ({"type": "string", "format": name} if rng.random() < share else p.STR), sample
    if kind == "int":
        low, high = number_range(line, 1, 99)
        return p.INT, counted(int(low), int(high))
    if kind == "rating":
        return p.INT, counted(1, 5)
    if kind == "year":
        return p.INT, lambda r: (lambda x: (x, str(x)))(r.randint(1950, 2035))
    if kind == "percent":
        return rng.choice([p.INT, p.NUM]), lambda r: (lambda x: (x, rng.choice([f"{x} percent", f"{x}%", f"{x} %"])))(r.randint(1, 100))
    if kind == "num":
        return p.NUM, p.decimal(*number_range(line, 0.1, 90))
    if kind in ("lat", "lon"):
        return p.NUM, p.degrees(90 if kind == "lat" else 180)
    if kind == "money":
        return p.NUM, money(*number_range(line, 1, 900))
    if kind == "bool":
        return {"type": "boolean"}, lambda r: (lambda b: (b, "true" if b else "false"))(r.random() < 0.7)
    if kind == "ids":
        return {"type": "array", "items": p.INT}, p.number_array("").sample
    if kind == "words":
        return {"type": "array", "items": p.STR}, p.string_array("", p.word, []).sample
    if kind in ("enum", "enums", "pick", "picks"):
        values = list(choices(line))
        one: dict[str, Any] = {"type": "string", "enum": values} if kind.startswith("enum") else p.STR
        return (one if kind in ("enum", "pick") else {"type": "array", "items": one}), spoken_choice(line, values)
    if kind == "object":
        return object_type(rng, line)
    raise ValueError(f"no type {kind!r}")


def object_type(rng: random.Random, line: ParamLine) -> tuple[dict[str, Any], Callable[[random.Random], p.Spoken]]:
    fields = [param_line(f"{name.replace('_', ' ')}: {kind}") for name, _, kind in (item.partition("=") for item in line.rest.split())]
    types = {f.names[0]: drawn_type(rng, f) for f in fields}
    required = [f.names[0] for f in fields if f.required]
    schema: dict[str, Any] = {"type": "object", "properties": {name: kind[0] for name, kind in types.items()}}
    if required:
        schema["required"] = required

    def sample(r: random.Random) -> p.Spoken:
        chosen = [n for n in types if n in required or r.random() < 0.6] or [r.choice(list(types))]
        drawn = {n: types[n][1](r) for n in chosen}
        return {n: x for n, (x, _) in drawn.items()}, p.joined(r, [f"{n} {said}" for n, (_, said) in drawn.items()]).replace(" or ", " and ")

    return schema, sample


@dataclass
class Spoken:
    """What a made-up operation needs to be asked for: its wordings, parameters by slot, and nouns by entity."""

    scenario: Scenario
    wordings: list[Wording]
    lines: dict[str, ParamLine]
    params: dict[str, p.Param]
    references: dict[str, str]  # slot -> entity
    nouns: dict[str, list[str]]

    def noun(self, rng: random.Random, entity: str) -> str:
        """The API's own noun, now and then another one that means the same."""
        names = self.nouns[entity]
        return names[0] if len(names) == 1 or rng.random() < 0.8 else rng.choice(names[1:])

    def say(self, rng: random.Random, slot: str) -> str:
        found = entity_of(self.scenario, slot)
        assert found
        noun = self.noun(rng, found[0])
        return {"one": noun, "many": v.plural(noun), "article": v.a(noun)}[found[1]]


def nouns_of(rng: random.Random, scenario: Scenario, things: list[str]) -> dict[str, list[str]]:
    """Nouns of one made-up API: mostly the written ones, sometimes any thing or an invented word."""
    out: dict[str, list[str]] = {}
    swap = rng.random() < 0.35
    for entity, nouns in scenario.entities.items():
        r = rng.random()
        if swap and r < 0.35:
            out[entity] = [v.pseudo_word(rng, 2, 3)]
        elif swap and r < 0.55:
            out[entity] = [rng.choice(things)]
        else:
            first = rng.choice(nouns)
            out[entity] = [first, *(n for n in nouns if n != first)]
    if len({names[0] for names in out.values()}) < len(out):
        return {entity: list(nouns) for entity, nouns in scenario.entities.items()}
    return out


def fill(nouns: dict[str, list[str]], scenario: Scenario, text: str) -> str:
    """Names and descriptions with the API's nouns."""

    def one(match: re.Match[str]) -> str:
        found = entity_of(scenario, match.group(1))
        if not found:
            raise ValueError(f"{scenario.name}: no entity {match.group(1)!r} in {text!r}")
        noun = nouns[found[0]][0]
        said = {"one": noun, "many": v.plural(noun), "article": v.a(noun)}[found[1]]
        return said.capitalize() if match.group(1)[0].isupper() else said

    return SLOT.sub(one, text)


def trained(held_out: bool = False) -> Iterator[Scenario]:
    return (s for s in load() if s.held_out == held_out)


def main() -> None:
    scenarios = load()
    operations = [line for s in scenarios for line in s.operations]
    wordings = sum(len(line.wordings) for line in operations)
    print(f"{len(scenarios)} scenarios, {sum(s.held_out for s in scenarios)} of them held out, {len(operations)} operations, {wordings} wordings")


if __name__ == "__main__":
    main()
