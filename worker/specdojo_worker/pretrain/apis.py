"""Made-up APIs: resources with operations, spelled in one API's own style, and their compact renderings.

`compact` is the Python twin of `renderCompact` in `src/openapi/render.ts`; a golden test holds them together.
"""

from __future__ import annotations

import json
import random
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import scenarios
from . import vocabulary as v
from .parameters import INT, Param, attribute, coordinates, enum_array, identifier, integer, paging, things
from .scenarios import OperationLine, Scenario, Spoken

BANNED = v.BANNED
NOUNS = [n for n in dict.fromkeys(v.NOUNS) if n not in BANNED and "-" not in n]
BANNED_NAMES = frozenset(int(x, 16) for x in (Path(__file__).parent / "banned-names.txt").read_text().split())  # CRC-32 of names in lower case letters
WORDS = {"string", "integer", "number", "boolean", "null", "object", "any", "true", "false"}
FORMATS = {"date", "date-time", "time", "email", "uuid", "uri", "ipv4", "binary", "byte"}


@dataclass
class Operation:
    name: str
    description: str
    action: str  # list | get | create | update | delete | bulk | verb | fact | global | scenario
    noun: str
    params: list[Param]
    ref: Param | None = None  # the parameter that picks the thing
    phrases: list[str] = field(default_factory=list)  # for verb, fact and global operations
    sub: str = ""  # noun of the things inside `noun`
    body: bool = False  # update and create: the attributes are the payload
    spoken: Spoken | None = None  # wordings of an operation of a written scenario

    @property
    def schema(self) -> dict[str, Any]:
        required = [p.name for p in self.params if p.required]
        schema: dict[str, Any] = {"type": "object", "properties": {p.name: p.schema for p in self.params}}
        return {**schema, "required": required} if required else schema


def json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def type_text(s: dict[str, Any], depth: int = 0) -> str:
    if "enum" in s:
        return "|".join(
            x if isinstance(x, str) and re.fullmatch(r"[A-Za-z_][\w./-]*", x) and x not in WORDS | FORMATS else json_text(x) for x in s["enum"]
        )
    t = s.get("type")
    if t == "array":
        inner = type_text(s.get("items", {}), depth)
        simple = "|" not in re.sub(r"\{.*\}|\(.*\)", "", inner)
        return f"{inner}[]" if simple else f"({inner})[]"
    if t == "object":
        if not s.get("properties") or depth >= 3:
            return "object"
        return "{" + arguments_text(s, depth + 1) + "}"
    if t == "string" and s.get("format") in FORMATS:
        return str(s["format"])
    return str(t) if t else "any"


def arguments_text(s: dict[str, Any], depth: int = 0) -> str:
    required = s.get("required", [])
    names = [n for n in s["properties"] if n in required] + [n for n in s["properties"] if n not in required]
    return ", ".join(
        (n if re.fullmatch(r"[\w$.-]+", n) else json_text(n)) + ("" if n in required else "?") + ": " + type_text(s["properties"][n], depth)
        for n in names
    )


def compact(name: str, description: str, schema: dict[str, Any]) -> str:
    """One line: `getOrderById(orderId: integer) - Find an order`."""
    d = re.sub(r"\s+", " ", description).strip()
    d = d.split(". ")[0].removesuffix(".")
    if len(d) > 100:
        cut = d[:101].rfind(" ")
        d = d[: cut if cut > 0 else 100].rstrip()
    return f"{name}({arguments_text(schema)})" + (f" - {d}" if d else "")


class Style:
    """How one API spells its names."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.params = rng.choices(["camel", "snake", "kebab", "lower", "pascal"], [60, 28, 4, 4, 4])[0]
        self.ops = rng.choices(["camel", "snake", "kebab", "pascal"], [68, 16, 8, 8])[0]
        self.noun_first = rng.random() < 0.1
        self.by_path = rng.random() < 0.12
        self.describe = rng.choices([0.0, 0.6, 1.0], [6, 24, 70])[0]
        self.sentence = rng.random() < 0.3  # full stops
        self.verbs = {k: rng.choice(a["name"]) for k, a in v.ACTIONS.items()}
        self.varied = rng.random() < 0.4  # a verb drawn anew for each operation

    @staticmethod
    def spell(style: str, words: str) -> str:
        ws = re.findall(r"[A-Za-z][a-z]*|[0-9]+", words)
        if not ws:
            return words
        ws = [w.lower() for w in ws]
        if style == "camel":
            return ws[0] + "".join(w.capitalize() for w in ws[1:])
        if style == "pascal":
            return "".join(w.capitalize() for w in ws)
        return {"snake": "_", "kebab": "-", "lower": ""}[style].join(ws)

    def param(self, p: Param) -> Param:
        def walk(s: dict[str, Any]) -> dict[str, Any]:
            s = dict(s)
            if "properties" in s:
                s["properties"] = {self.spell(self.params, k): walk(x) for k, x in s["properties"].items()}
                if "required" in s:
                    s["required"] = [self.spell(self.params, k) for k in s["required"]]
            if "items" in s:
                s["items"] = walk(s["items"])
            return s

        def value(x: Any, s: dict[str, Any]) -> Any:
            if isinstance(x, dict):
                keys = list(s["properties"])
                out = {self.spell(self.params, k): y for k, y in x.items()}
                order = [k for k in keys if k in s.get("required", [])] + [k for k in keys if k not in s.get("required", [])]
                return {k: out[k] for k in order if k in out}
            if isinstance(x, list):
                return [value(y, s.get("items", {})) for y in x]
            return x

        schema = walk(p.schema)
        draw = p.sample

        def sample(rng: random.Random) -> tuple[Any, str]:
            x, said = draw(rng)
            return value(x, schema), said

        return Param(p.words, schema, sample, p.phrases, p.adjective, p.required, self.spell(self.params, p.words))

    def op(self, verb: str, noun: str, tail: str = "") -> str:
        words = f"{noun} {verb} {tail}" if self.noun_first else f"{verb} {noun} {tail}"
        return self.spell(self.ops, words)[:64]


def resource_noun(rng: random.Random) -> str:
    r = rng.random()
    if r < 0.36:
        return v.pseudo_word(rng, 1, 3)
    if r < 0.41:
        return rng.choice(v.COMMON[-150:])
    if r < 0.49:
        return f"{rng.choice(NOUNS)} {rng.choice(NOUNS)}" if rng.random() < 0.5 else f"{rng.choice(v.ADJECTIVES)} {rng.choice(NOUNS)}"
    return rng.choice(NOUNS)


def attributes(rng: random.Random, n: int) -> list[Param]:
    out: list[Param] = coordinates(rng) if rng.random() < 0.08 else []
    while len(out) < n:
        p = attribute(rng)
        if all(p.words != q.words for q in out):
            out.append(p)
    return out


def describe(rng: random.Random, style: Style, action: str, noun: str, ident: str = "id") -> str:
    if rng.random() > style.describe:
        return ""
    t = rng.choice(v.ACTIONS[action]["desc"])
    text = t.format(n=noun, ns=v.plural(noun), a_n=v.a(noun), id=ident)
    return finish(rng, style, text)


def finish(rng: random.Random, style: Style, text: str) -> str:
    if rng.random() < 0.1:
        text += rng.choice([". Needs a valid session.", " (admin only)", ". Results are cached for a minute.", " for the current user",
                            ". Returns 404 when there is none.", " of the current account", " (beta)", ". Deprecated fields are left out."])
    return text + "." if style.sentence and not text.endswith(".") else text


def plain_verb(rng: random.Random) -> tuple[str, list[str]]:
    """A verb that is asked for by itself: a rare one, or one that does not exist."""
    word = rng.choice(v.RARE_VERBS) if rng.random() < 0.6 else v.pseudo_word(rng, 1, 2)
    past = word + "d" if word.endswith("e") else re.sub("([^aeiou])y$", r"\1i", word) + "ed"
    return word, [f"{word} {{r}}", f"{word} {{r}}", f"I want to {word} {{r}}", f"we have to {word} {{r}}", f"{{r}} must be {past}", f"get {{r}} {past}", f"can you {word} {{r}}?", f"time to {word} {{r}}"]


def required_some(rng: random.Random, params: list[Param], p: float) -> list[Param]:
    return [Param(q.words, q.schema, q.sample, q.phrases, q.adjective, rng.random() < p, q.name) for q in params]


def resource_operations(rng: random.Random, style: Style, noun: str) -> list[Operation]:
    """All operations of one resource."""
    ns = v.plural(noun)
    attrs = [style.param(p) for p in attributes(rng, rng.randint(2, 8))]
    ref = style.param(identifier(rng, noun))
    ops: list[Operation] = []

    def verb(action: str) -> str:
        return rng.choice(v.ACTIONS[action]["name"]) if style.varied else style.verbs[action]

    def order(params: list[Param]) -> list[Param]:
        return [p for p in params if p.required] + [p for p in params if not p.required]

    def add(action: str, name: str, description: str, params: list[Param], **more: Any) -> None:
        names: set[str] = set()
        unique = []
        for p in order(params):
            if p.name not in names:
                names.add(p.name)
                unique.append(p)
        ops.append(Operation(name, description, action, noun, unique, **more))

    filters = [p for p in attrs if p.kind not in ("object",)]
    by_path = style.by_path
    # list
    chosen = rng.sample(filters, min(len(filters), rng.choice([0, 1, 1, 2, 3, 4])))
    extra = [style.param(p) for p in (paging(rng) for _ in range(rng.choice([0, 0, 1, 1, 2, 3])))]
    extra = [p for i, p in enumerate(extra) if all(p.words != q.words for q in [*chosen, *extra[:i]])]
    add("list", style.op("get" if by_path else verb("list"), ns), describe(rng, style, "list", noun), required_some(rng, chosen, 0.1) + required_some(rng, extra, 0.0))
    if rng.random() < 0.35 and filters:  # find by one field
        p = rng.choice(filters)
        if rng.random() < 0.3 and "enum" in p.schema:
            p = style.param(enum_array(p.words, p.schema["enum"]))
        q = Param(p.words, p.schema, p.sample, p.phrases, p.adjective, rng.random() < 0.7, p.name)
        text = rng.choice([f"Finds {ns} by {p.words}", f"Get {ns} with a given {p.words}", f"{ns.capitalize()} by {p.words}", f"List {ns} filtered by {p.words}"])
        add("list", style.op(rng.choice(["find", "get", "list", "search"]), ns, f"by {p.words}"), finish(rng, style, text) if rng.random() < style.describe else "", [q])
    tail = rng.choice(["", "", f"by {ref.words}" if len(ref.words.split()) < 3 else "", "by id" if "id" in ref.words else ""])
    add("get", style.op("get" if by_path else verb("get"), noun, tail), describe(rng, style, "get", noun, ref.words), [ref], ref=ref)
    if rng.random() < 0.9:
        payload = rng.sample(attrs, rng.randint(1, len(attrs)))
        if rng.random() < 0.15:
            payload.insert(0, style.param(Param("id", INT, integer(1, 9999))))
        params = required_some(rng, payload, rng.choice([0.0, 0.3, 0.5, 1.0]))
        if rng.random() < 0.04:
            params = [p for p in params if p.kind != "object"][:3] or params[:1]
        add("create", style.op("post" if by_path else verb("create"), noun), describe(rng, style, "create", noun), params, body=True)
    if rng.random() < 0.85:
        payload = rng.sample(attrs, rng.randint(1, len(attrs)))
        tail = rng.choice(["", "", "", "by id", "with form" if rng.random() < 0.3 else ""])
        add("update", style.op("put" if by_path else verb("update"), noun, tail), describe(rng, style, "update", noun, ref.words), [ref, *required_some(rng, payload, 0.08)], ref=ref, body=True)
    if rng.random() < 0.85:
        params = [ref]
        if rng.random() < 0.12:
            params.append(style.param(rng.choice(attrs)))
            params[1] = Param(params[1].words, params[1].schema, params[1].sample, params[1].phrases, params[1].adjective, False, params[1].name)
        add("delete", style.op("delete" if by_path else verb("delete"), noun), describe(rng, style, "delete", noun, ref.words), params, ref=ref)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        word, phrases = plain_verb(rng) if rng.random() < 0.4 else rng.choice(list(v.VERBS.items()))
        name = style.op(word, noun)
        if any(o.name == name for o in ops):
            continue
        extra = required_some(rng, rng.sample(attrs, min(len(attrs), rng.choice([0, 0, 1, 2]))), 0.2)
        text = finish(rng, style, rng.choice([f"{word.capitalize()} {v.a(noun)}", f"{word.capitalize()}s {v.a(noun)}" if word[-1] not in "hysx" else f"{word.capitalize()} {v.a(noun)}", f"{word.capitalize()} the {noun} with the given {ref.words}"]))
        add("verb", name, text if rng.random() < style.describe else "", [ref, *[p for p in extra if p.kind != "object"]], ref=ref, phrases=phrases)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        fact = rng.choice(list(v.FACTS))
        name = style.op("get", noun, fact)
        if any(o.name == name for o in ops):
            continue
        text = finish(rng, style, rng.choice([f"Get the {fact} of {v.a(noun)}", f"Returns the {fact} of {v.a(noun)}", f"{fact.capitalize()} of {v.a(noun)}", f"{noun.capitalize()} {fact}"]))
        add("fact", name, text if rng.random() < style.describe else "", [ref], ref=ref, phrases=v.FACTS[fact])
    if rng.random() < 0.15:
        raw = [p for p in attributes(rng, rng.randint(2, 5)) if p.kind not in ("object", "array")]
        if raw:
            body = things(rng, rng.choice(["body", "body", ns, "items"]), raw)
            tail = rng.choice(["", "in bulk", "batch", "with list", "from list"])
            text = finish(rng, style, rng.choice([f"Creates several {ns} at once", f"Add a list of {ns}", f"Create many {ns} from an array", f"Bulk creation of {ns}"]))
            add("bulk", style.op(verb("create"), ns, tail), text if rng.random() < style.describe else "", required_some(rng, [style.param(body)], 0.8))
    for _ in range(rng.choice([0, 0, 0, 0, 1])):
        words, descs, phrases = rng.choice(v.GLOBALS)
        name = style.spell(style.ops, words.format(ns=ns, n=noun) if rng.random() < 0.5 else "get " + words.format(ns=ns, n=noun))
        params = []
        if words == "sign in":
            params = [style.param(attribute_of(rng, "user")), style.param(attribute_of(rng, "password"))]
            params = required_some(rng, params, rng.choice([0.0, 1.0]))
        if any(o.name == name for o in ops):
            continue
        text = finish(rng, style, rng.choice(descs).format(n=noun, ns=ns, a_n=v.a(noun)))
        add("global", name, text if rng.random() < style.describe else "", params, phrases=[p.format(n=noun, ns=ns, a_n=v.a(noun)) for p in phrases])
    if rng.random() < 0.25:
        sub = resource_noun(rng)
        if sub != noun:
            subs = v.plural(sub)
            sattrs = [style.param(p) for p in attributes(rng, rng.randint(1, 3))]
            text = finish(rng, style, rng.choice([f"List the {subs} of {v.a(noun)}", f"{subs.capitalize()} of {v.a(noun)}", f"Get all {subs} in {v.a(noun)}"]))
            add("list", style.op(verb("list"), f"{noun} {subs}"), text if rng.random() < style.describe else "", [ref, *required_some(rng, [p for p in sattrs if p.kind != "object"][:2], 0.0)], ref=ref, sub=sub)
            if rng.random() < 0.6:
                text = finish(rng, style, rng.choice([f"Add {v.a(sub)} to {v.a(noun)}", f"Create {v.a(sub)} in {v.a(noun)}"]))
                add("create", style.op(verb("create"), f"{noun} {sub}"), text if rng.random() < style.describe else "", [ref, *required_some(rng, sattrs, 0.4)], ref=ref, sub=sub, body=True)
    return ops


def scenario_operations(rng: random.Random, style: Style, scenario: Scenario) -> list[Operation]:
    """The operations of a written scenario with one API's nouns, names and identifiers."""
    nouns = scenarios.nouns_of(rng, scenario, NOUNS)
    identifiers = {entity: identifier(rng, names[0]) for entity, names in nouns.items()}
    ops = []
    for line in scenario.operations:
        op = scenario_operation(rng, style, scenario, line, nouns, identifiers)
        if op and all(op.name != o.name for o in ops):
            ops.append(op)
    rng.shuffle(ops)
    return ops


def scenario_operation(
    rng: random.Random, style: Style, scenario: Scenario, line: OperationLine, nouns: dict[str, list[str]], identifiers: dict[str, Param]
) -> Operation | None:
    references = {q.names[0]: q.names[0] for q in line.params if q.kind == "ref" and q.names[0] in nouns}
    every = {q.names[0]: q for q in line.params}
    lines = {slot: q for slot, q in every.items() if q.required or rng.random() < 0.85}
    params: dict[str, Param] = {}
    for slot, q in lines.items():
        if slot in references:
            given = identifiers[slot]
            noun, words = nouns[slot][0], given.words
            alone = len(references) == 1 and (len(lines) == 1 or (q.required and rng.random() < 0.5))
            if noun not in words and not alone:
                words = f"{noun} {words}"
            drawn = Param(words, given.schema, given.sample, required=q.required)
        else:
            schema, sample = scenarios.drawn_type(rng, q)
            drawn = Param(rng.choice(q.names), schema, sample, [x.replace("{v}", "{V}") for x in q.phrases], required=q.required)
        params[slot] = style.param(drawn)
    names = [q.name for q in params.values()]
    if len(set(names)) < len(names):
        return None
    wordings = [w for w in line.wordings if w.needs(every) <= params.keys()]
    if not wordings:
        return None
    words = scenarios.fill(nouns, scenario, rng.choice(line.names))
    text = finish(rng, style, scenarios.fill(nouns, scenario, rng.choice(line.descriptions))) if line.descriptions and rng.random() < style.describe else ""
    refs = [s for s in params if s in references]
    noun = nouns[refs[0]][0] if refs else next((nouns[e][0] for e in nouns), scenario.name)
    ordered = sorted(params.values(), key=lambda q: not q.required)
    spoken = Spoken(scenario, wordings, every, params, references, nouns)
    return Operation(style.spell(style.ops, words)[:64], text, "scenario", noun, ordered, ref=params[refs[0]] if len(refs) == 1 else None, spoken=spoken)


def attribute_of(rng: random.Random, what: str) -> Param:
    from .parameters import STR, handle, secret, text_value

    if what == "user":
        return Param(rng.choice(["username", "user", "login", "user name"]), STR, text_value(handle, 0.1), ["as {V}", "with user {V}", "user {V}", "as user {V}", "username {V}"])
    return Param(rng.choice(["password", "pin", "secret"]), STR, text_value(secret, 0.15), ["with password {V}", "password {V}", "the {L} is {V}", "and {L} {V}", "{L} {V}"])


def make_api(rng: random.Random, size: int, held_out: bool = False) -> list[Operation]:
    """At least `size` operations with unique names; no banned name or noun. With `held_out` of scenarios that are never trained on."""
    style = Style(rng)
    ops: list[Operation] = []
    used: set[str] = set()
    nouns: set[str] = set()
    written = list(scenarios.trained(held_out))
    rng.shuffle(written)
    while len(ops) < size:
        if written and (held_out or rng.random() < 0.7):
            new = scenario_operations(rng, style, written.pop())
            things = {op.noun for op in new}
            if things & nouns:  # "cancel booking 5" would be about either
                continue
            nouns |= things
        else:
            noun = resource_noun(rng)
            if noun in nouns or any(w in BANNED for w in noun.split()):
                continue
            nouns.add(noun)
            new = resource_operations(rng, style, noun)
        for op in new:
            key = op.name.lower()
            if key not in used and allowed(op.name) and len(op.params) <= 12:
                used.add(key)
                ops.append(op)
    return ops


def allowed(name: str) -> bool:
    """False for the name of an operation that the evaluation documents or a well-known API have."""
    key = re.sub(r"[^a-z]", "", name.lower())
    return key not in BANNED and zlib.crc32(key.encode()) not in BANNED_NAMES
