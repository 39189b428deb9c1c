"""Requests of people for calls of made-up operations."""

from __future__ import annotations

import random
import re
from typing import Any

from . import vocabulary as v
from .apis import Operation
from .parameters import GENERIC, Param
from .scenarios import SLOT, constant

Call = dict[str, Any]

LIST = [
    "list {x}", "list all {x}", "show me {x}", "show {x}", "show me all {x}", "get {x}", "get all the {x}", "find {x}", "find all {x}",
    "search for {x}", "look for {x}", "which {x} do we have?", "which {x} are there?", "what {x} are there?", "I want to see {x}",
    "I need {x}", "give me {x}", "give me a list of {x}", "fetch {x}", "pull up {x}", "let me see all {x}", "do we have any {x}?",
    "are there any {x}?", "what are our {x}?", "can you list {x}?", "could you find {x}?", "I'm looking for {x}", "any {x}?", "{x}",
    "{x}, please", "an overview of {x}", "browse {x}", "display {x}", "I'd like to see {x}", "bring up {x}", "tell me about {x}",
]
GET = [
    "show me {r}", "show {r}", "get {r}", "look up {r}", "find {r}", "fetch {r}", "pull up {r}", "open {r}", "I need {r}", "details of {r}",
    "give me the details of {r}", "what do we know about {r}?", "tell me about {r}", "tell me more about {r}", "what is {r}?", "info on {r}",
    "can I see {r}?", "could you look up {r}?", "I want to see {r}", "let me see {r}", "retrieve {r}", "get me {r}", "get details for {r}",
    "bring up {r}", "display {r}", "check {r}", "what's in {r}?", "who or what is {r}?", "I'd like to look at {r}", "read {r}", "view {r}",
    "give me everything on {r}", "how does {r} look?", "which one is {r}?",
]
CREATE = [
    "create {x}", "add {x}", "register {x}", "make {x}", "set up {x}", "I want {x}", "I need {x}", "we need {x}", "enter {x}",
    "please add {x}", "put {x} into the system", "can you create {x}?", "could you add {x}?", "let's add {x}", "open {x}", "we got {x}", "there is {x}", "save {x}",
    "I'd like to add {x}", "I'd like {x}", "start {x}", "submit {x}", "place {x}", "book in {x}", "record {x}", "insert {x}",
]
DELETE = [
    "delete {r}", "remove {r}", "get rid of {r}", "drop {r}", "erase {r}", "{r} can go", "we don't need {r} any more", "please delete {r}", "throw out {r}", "throw {r} away",
    "take {r} out of the system", "{r} should be removed", "{r} is gone, remove it", "{r} was a mistake, delete it", "I want {r} deleted", "I no longer want {r}", "can you remove {r}?",
    "delete {r} for good", "wipe {r}", "take {r} off the list", "clear out {r}", "{r} must go", "we no longer have {r}", "{r} is no longer needed",
]
BEFORE = ["please ", "hi, ", "hey, ", "hello, ", "ok, ", "now ", "quickly ", "can you please ", "could you ", "would you ", "I need you to ", "go ahead and ", "kindly ", "next, ", "just ", "I want you to "]
AFTER = [" please", ", please", " for me", ", thanks", " now", " right away", " when you can", " asap", " today", ", thank you", " if you can"]
DISTRACTORS = [
    "I'm preparing the weekly report.", "We have a meeting in a minute.", "My boss is asking.", "It has been a long day.", "The team is waiting for this.",
    "Sorry for the late message.", "This came up on the phone.", "I'm new here.", "Something odd happened yesterday.", "We are cleaning up.", "A customer just called.",
]


def label(p: Param) -> str:
    return p.words


PREPOSITIONS = frozenset("after as at before below above between by for from in into of on over past since to under until up with".split())


def phrase(rng: random.Random, p: Param, said: str, value: Any) -> str:
    """One parameter with its value in words, such as `with color red`."""
    if p.kind == "boolean":
        w = p.words
        if w.startswith(("include", "notify", "dry", "force", "gift")):
            yes = [f"with {w}", f"{w}", f"and {w}", f"with {w} on", f"with {w} true"]
            no = [f"without {w}", f"no {w}", f"with {w} off", f"with {w} false", f"{w} false"]
        else:
            yes = [f"that is {w}", f"{w}: yes", f"{w} true", f"with {w} true", f"marked as {w}", f"which is {w}"]
            no = [f"that is not {w}", f"{w}: no", f"{w} false", f"not {w}", f"with {w} false", f"which is not {w}"]
        return rng.choice(yes if value else no)
    patterns = GENERIC
    if p.phrases and rng.random() < 0.62:
        patterns = p.phrases
    if patterns is GENERIC and label(p).split()[-1] in PREPOSITIONS:
        patterns = ["{L} {V}"]
    elif isinstance(value, list) and patterns is GENERIC:
        patterns = ["with {L} {V}", "{L} {V}", "with {L}: {V}", "{L}: {V}"]
    text = rng.choice(patterns).replace("{L}", label(p)).replace("{V}", said)
    return text


def join(rng: random.Random, parts: list[str]) -> str:
    """Parameter phrases as one tail, with its leading space."""
    if not parts:
        return ""
    if len(parts) == 1:
        return " " + parts[0]
    r = rng.random()
    if r < 0.35:
        return " " + ", ".join(parts)
    if r < 0.75:
        return " " + ", ".join(parts[:-1]) + " and " + parts[-1].removeprefix("and ")
    return " " + " ".join(parts)


def reference(rng: random.Random, noun: str, p: Param, said: str, *, bare: bool = True) -> str:
    w = p.words
    short = w.split()[-1]
    name_like = short in ("name", "username", "login", "handle", "title", "slug")
    forms = [f"the {noun} with {w} {said}", f"the {noun} with the {short} {said}", f"{noun} {said}", f"{noun} {said}", f"the {noun} {said}", f"{noun} with {short} {said}", f"the {noun} whose {short} is {said}", f"{noun} {short} {said}"]
    if name_like:
        forms += [f"the {noun} called {said}", f"the {noun} named {said}", f"{said}" if bare and rng.random() < 0.3 else f"{noun} {said}"]
    else:
        forms += [f"{noun} number {said}", f"{noun} #{said}", f"{noun} no. {said}", f"the {noun} with number {said}", f"number {said}" if bare and rng.random() < 0.2 else f"{noun} {said}"]
    return rng.choice(forms)


def pick(rng: random.Random, op: Operation, *, few: bool = False) -> list[Param]:
    """The parameters that a request states: all required ones and some optional ones, in the order of the signature."""
    optional = [p for p in op.params if not p.required]
    if op.action in ("update",):
        n = rng.choice([1, 1, 1, 2, 2, 3])
    elif op.action == "create":
        n = rng.choice([0, 1, 2, 2, 3, 4])
        if not any(p.required for p in op.params):
            n = max(1, n)
    elif op.action == "global":
        n = 2
    else:
        n = rng.choice([0, 0, 1, 1, 2, 3])
    if few:
        n = min(n, 1)
    chosen = {id(p) for p in rng.sample(optional, min(n, len(optional)))}
    return [p for p in op.params if p.required or id(p) in chosen]


BULK = [
    "create these {ns}: {V}", "add these {ns}: {V}", "add several {ns} at once: {V}", "here are the new {ns}: {V}", "register the following {ns}: {V}", "the list of new {ns}: {V}", "put these {ns} in: {V}",
    "we have new {ns}, {V}", "new {ns} for the list: {V}", "make {ns} with {V}",
]


def sentence(rng: random.Random, op: Operation, *, few: bool = False) -> tuple[str, Call]:
    """One request and its call. The sentence starts in lower case and may end in a question mark."""
    if op.spoken:
        return worded(rng, op, few=few)
    n, ns = op.noun, v.plural(op.noun)
    params = op.params if op.action == "bulk" else pick(rng, op, few=few)
    if op.action == "update" and not [p for p in params if p is not op.ref]:
        params = [*params, *[p for p in op.params if p is not op.ref][:1]]
    drawn = {id(p): p.sample(rng) for p in params}
    call: Call = {"name": op.name, "arguments": {p.name: drawn[id(p)][0] for p in op.params if id(p) in drawn}}
    rest = [p for p in params if p is not op.ref]
    rng.shuffle(rest)
    r = reference(rng, n, op.ref, drawn[id(op.ref)][1]) if op.ref else ""

    def said(p: Param) -> str:
        return phrase(rng, p, drawn[id(p)][1], drawn[id(p)][0])

    if op.action == "list":
        adjective = next((p for p in rest if p.adjective and rng.random() < 0.6), None)
        before = ""
        if adjective:
            before = drawn[id(adjective)][1] + " "
            rest = [p for p in rest if p is not adjective]
        flags = [p for p in rest if p.kind == "boolean" and drawn[id(p)][0] is True and " " not in p.words and rng.random() < 0.6][:1]
        if flags:
            before = flags[0].words + " " + before
            rest = [p for p in rest if p is not flags[0]]
        things = v.plural(op.sub) if op.sub else ns
        x = before + things
        if op.sub:
            x += rng.choice([f" of {r}", f" of {r}", f" in {r}", f" for {r}", f" that belong to {r}"])
        x += join(rng, [said(p) for p in rest])
        t = rng.choice(LIST)
        if not t.endswith("{x}") and not t.endswith("{x}?"):
            t = rng.choice(LIST[:12])
        text = t.replace("{x}", x)
    elif op.action in ("get", "delete"):
        text = rng.choice(GET if op.action == "get" else DELETE).replace("{r}", r)
        text = tail(text, join(rng, [said(p) for p in rest]))
    elif op.action == "create":
        thing = op.sub or n
        x = rng.choice([v.a(thing), "a new " + thing, "a new " + thing, "the " + thing, thing if rng.random() < 0.3 else v.a("new " + thing)])
        if op.ref:
            x += rng.choice([f" to {r}", f" for {r}", f" in {r}"])
        if rng.random() < 0.2 and rest and not op.ref:
            text = rng.choice(["new {n}: {p}", "add this {n}: {p}", "here is a new {n}: {p}", "we have a new {n}: {p}", "a new {n} came in: {p}", "create {n}: {p}"]).replace("{n}", thing).replace(
                "{p}", ", ".join(f"{label(p)} {drawn[id(p)][1]}" if p.kind != "boolean" else said(p) for p in rest))
        else:
            text = tail(rng.choice(CREATE).replace("{x}", x), "", x, join(rng, [said(p) for p in rest]))
    elif op.action == "update":
        text = update(rng, r, rest, drawn)
    elif op.action == "bulk":
        [(_, several)] = drawn.values()
        text = rng.choice(BULK).replace("{ns}", ns).replace("{V}", several)
    else:
        spoken = rng.choice(op.phrases)
        text = spoken if op.action == "global" else spoken.replace("{r}", r)
        text = tail(text, join(rng, [said(p) for p in rest]))
    return text, call


def worded(rng: random.Random, op: Operation, *, few: bool = False, instead: dict[str, str] | None = None, imperative: bool = False) -> tuple[str, Call]:
    """One request in a written wording. `instead` says some references in other words; a slot that is missing there and in
    the operation raises KeyError."""
    spoken = op.spoken
    assert spoken
    pool = [w for w in spoken.wordings if w.imperative] if imperative else spoken.wordings
    wording = rng.choice(pool or spoken.wordings)
    bound: dict[str, Any] = {}
    stated: list[str] = []
    texts: list[str] = []

    fixed = wording.needs(spoken.lines)
    for piece in wording.pieces:
        names = piece.names(spoken.lines)
        left_out = any(x in fixed or x in stated or x in bound or x not in spoken.params for x in names) or rng.random() > (0.2 if few else 0.5)
        if piece.optional and left_out:
            texts.append(" " if piece.text.startswith(" ") and piece.text.endswith(" ") else "")
            continue
        stated += [x for x in piece.slots if x in spoken.params]
        bound |= {b: constant(spoken.lines[b], value) for b, value in piece.bindings}
        texts.append(piece.text)
    drawn = {slot: spoken.params[slot].sample(rng) for slot in dict.fromkeys(stated)}
    left = [slot for slot in spoken.params if slot not in drawn and slot not in bound]
    rest = [slot for slot in left if spoken.params[slot].required]
    if not rest and left and not few:
        slot = rng.choice(left)
        rest = [slot] if rng.random() < (0.4 if spoken.params[slot].phrases else 0.1) else []
    drawn |= {slot: spoken.params[slot].sample(rng) for slot in rest}

    def say(slot: str) -> str:
        if slot not in spoken.params:
            return spoken.say(rng, slot)
        if instead and slot in instead:
            return instead[slot]
        said = drawn[slot][1]
        if slot in spoken.references:
            return reference(rng, spoken.noun(rng, spoken.references[slot]), spoken.params[slot], said)
        return said

    text = SLOT.sub(lambda m: say(m.group(1)), "".join(texts))
    more = [phrase(rng, spoken.params[slot], drawn[slot][1], drawn[slot][0]) if slot not in spoken.references else f"for {say(slot)}" for slot in rest]
    text = re.sub(r" {2,}", " ", tail(text, join(rng, more))).replace(" ,", ",").strip()
    values = {**{slot: x for slot, (x, _) in drawn.items()}, **bound}
    by_name = {id(spoken.params[slot]): x for slot, x in values.items()}
    return text, {"name": op.name, "arguments": {q.name: by_name[id(q)] for q in op.params if id(q) in by_name}}


def tail(text: str, rest: str, x: str = "", inside: str = "") -> str:
    """Puts the parameter phrases at the end (before a question mark), or right after `x`."""
    if x:
        return text.replace(x, x + inside, 1)
    if text.endswith("?"):
        return text[:-1] + rest + "?"
    return text + rest


def update(rng: random.Random, r: str, rest: list[Param], drawn: dict[int, tuple[Any, str]]) -> str:
    def pair(p: Param, patterns: list[str]) -> str:
        value, said = drawn[id(p)]
        if p.kind == "boolean":
            said = "true" if value else "false"
        return rng.choice(patterns).replace("{L}", label(p)).replace("{V}", said)

    if not rest:
        return f"update {r}"
    if len(rest) == 1:
        p = rest[0]
        value, said = drawn[id(p)]
        forms = [
            "change the {L} of {r} to {V}", "set the {L} of {r} to {V}", "update the {L} of {r} to {V}", "{r} should have {L} {V}", "{r} now has {L} {V}",
            "the {L} of {r} is now {V}", "set {L} to {V} for {r}", "update {r}: {L} {V}", "update {r} with {L} {V}", "edit {r} and set its {L} to {V}", "give {r} the {L} {V}",
            "change {r}'s {L} to {V}", "for {r}, make the {L} {V}", "the new {L} of {r} is {V}", "modify {r}: {L} = {V}", "put {V} as the {L} of {r}", "the {L} for {r} needs to be {V}", "{r} has a new {L}: {V}",
            "correct the {L} of {r} to {V}", "change {r} so that its {L} is {V}",
        ]
        if p.words in ("name", "title", "label", "display name", "full name"):
            forms += ["rename {r} to {V}", "{r} is now called {V}", "call {r} {V} from now on", "rename {r} as {V}"] * 3
        if p.adjective and "enum" in p.schema:
            forms += ["mark {r} as {V}", "{r} is {V} now", "{r} is now {V}", "set {r} to {V}", "make {r} {V}", "move {r} to {V}", "switch {r} to {V}", "flag {r} as {V}"] * 2
        if p.kind == "boolean":
            w = p.words
            forms = [f"make {{r}} {w}", f"mark {{r}} as {w}", f"{{r}} is {w} now", f"set {{r}} to {w}", f"set {w} to true for {{r}}"] if value else [
                f"make {{r}} not {w}", f"{{r}} is not {w} any more", f"{{r}} is no longer {w}", f"set {w} to false for {{r}}", f"mark {{r}} as not {w}"]
        return rng.choice(forms).replace("{r}", r).replace("{L}", label(p)).replace("{V}", said)
    parts = [pair(p, ["{L} {V}", "{L} to {V}", "{L} = {V}", "the {L} to {V}"][:1] if i >= 0 and rng.random() < 0.5 else ["{L} to {V}"]) for i, p in enumerate(rest)]
    setting = all(" to " in x for x in parts)
    tail_ = ", ".join(parts[:-1]) + rng.choice([" and ", ", "]) + parts[-1]
    if setting:
        return rng.choice(["update {r}: set {p}", "for {r}, set {p}", "change {r}: {p}", "on {r}, change {p}"]).replace("{r}", r).replace("{p}", tail_)
    parts = [pair(p, ["{L} {V}", "{L} {V}", "{L}: {V}"]) for p in rest]
    tail_ = ", ".join(parts[:-1]) + rng.choice([" and ", ", "]) + parts[-1]
    return rng.choice(["update {r}: {p}", "update {r} with {p}", "{r} now has {p}", "change {r} to {p}", "{r} should have {p}", "edit {r}: {p}"]).replace("{r}", r).replace("{p}", tail_)


def dress(rng: random.Random, text: str, *, plain: bool = False) -> str:
    """Case, politeness, a distracting sentence, full stop, now and then a slip of the keyboard."""
    if not plain:
        command = text.split()[0] in COMMANDS
        r = rng.random()
        if r < 0.14 and command:
            before = rng.choice(BEFORE)
            text = before + text
            if before.startswith(("can", "could", "would")) and not text.endswith("?"):
                text += "?"
        if rng.random() < 0.08 and not text.endswith("?"):
            text += rng.choice(AFTER)
    r = rng.random()
    if r < 0.8:
        text = text[0].upper() + text[1:]
    if not text.endswith(("?", ".", "!")) and rng.random() < 0.55:
        text += "."
    if not plain and rng.random() < 0.05:
        first = rng.choice(DISTRACTORS)
        text = f"{first} {text[0].upper()}{text[1:]}"
    if not plain and rng.random() < 0.03:
        words = text.split(" ")
        i = rng.randrange(len(words))
        if words[i].isalpha() and words[i].islower() and len(words[i]) > 4 and words[i] in COMMON:
            j = rng.randrange(1, len(words[i]) - 1)
            words[i] = words[i][:j] + words[i][j + 1] + words[i][j] + words[i][j + 2 :]
            text = " ".join(words)
    return text


COMMANDS = {
    "list", "show", "get", "find", "search", "look", "give", "fetch", "pull", "browse", "display", "bring", "open", "retrieve", "check", "read", "view", "create", "add", "register", "make", "set",
    "enter", "put", "save", "start", "submit", "place", "record", "insert", "delete", "remove", "drop", "erase", "throw", "take", "wipe", "clear", "change", "update", "edit", "modify", "correct",
    "rename", "mark", "move", "switch", "flag", "cancel", "approve", "archive", "restore", "publish", "activate", "stop", "pause", "resume", "lock", "unlock", "copy", "verify", "export", "download",
    "reset", "sync", "ship", "refresh", "close", "reopen", "inspect", "retry", "print", "track", "book", "pay", "refund", "rate", "share", "validate", "schedule", "merge", "count", "tell",
}
COMMON = {"please", "create", "update", "delete", "remove", "change", "should", "could", "would", "there", "which", "system", "details", "register", "about", "search"}


def two(rng: random.Random, first: str, second: str) -> str:
    """Two requests in one text."""
    f, s = first.rstrip("?."), second
    if first.endswith("?"):
        return rng.choice([f"{first} And {s}", f"{first} Also, {s}", f"{first} Then {s}"])
    return rng.choice([f"{f} and {s}", f"{f} and {s}", f"{f}, then {s}", f"{f} and then {s}", f"{f}; {s}", f"{f}. Also, {s}", f"{f}. Then {s}", f"{f}, and also {s}", f"{f} and after that {s}", f"first {f}, then {s}", f"{f}. After that, {s}"])


def same_twice(rng: random.Random, op: Operation) -> tuple[str, list[Call]] | None:
    """One request for two things of one kind: `delete orders 3 and 5`."""
    if op.action not in ("get", "delete", "verb", "fact", "scenario") or not op.ref or [p for p in op.params if p.required and p is not op.ref]:
        return None
    (x, sx), (y, sy) = op.ref.sample(rng), op.ref.sample(rng)
    if x == y:
        return None
    ns = v.plural(op.noun)
    both = rng.choice([f"{ns} {sx} and {sy}", f"the {ns} {sx} and {sy}", f"{op.noun} {sx} and {op.noun} {sy}", f"both {ns} {sx} and {sy}", f"{ns} number {sx} and {sy}", f"the {ns} with {op.ref.words} {sx} and {sy}"])
    if op.spoken:
        slot = next(iter(op.spoken.references))
        if slot not in op.spoken.params or not any(w.imperative and not re.search(r"\b(?:it|its|is|has)\b", w.pieces[0].text) and slot in w.pieces[0].slots for w in op.spoken.wordings):
            return None
        text, call = worded(rng, op, few=True, instead={slot: both}, imperative=True)
        if op.ref.name not in call["arguments"] or len(call["arguments"]) > 1 or both not in text:
            return None
        return text, [{"name": op.name, "arguments": {op.ref.name: x}}, {"name": op.name, "arguments": {op.ref.name: y}}]
    templates = {"get": GET[:9], "delete": DELETE[:4]}.get(op.action) or [t for t in op.phrases if " is " not in t and "does" not in t and " it" not in t and "has " not in t][:3] or [op.phrases[0]]
    return rng.choice(templates).replace("{r}", both), [{"name": op.name, "arguments": {op.ref.name: x}}, {"name": op.name, "arguments": {op.ref.name: y}}]


FILLERS = [
    ("one moment, I have to look something up", "Take your time."), ("sorry, I was on the phone", "No problem. Go on."), ("where was I?", "You were about to say what you need."),
    ("is the system up today?", "Yes, everything is running."), ("I talked to my colleague about this", "And what did you decide?"), ("thanks for your patience", "You're welcome."),
    ("let me think", "Of course."), ("this is urgent", "Understood. What do you need?"), ("can you help me with that?", "Yes, I can."), ("we had trouble with this before", "I see. What can I do now?"),
]


def conversation(rng: random.Random, op: Operation, menu: list[Operation]) -> tuple[list[tuple[str, str]], Call] | None:
    """A request over several turns: (role, text) turns ending with the user's, and the call."""
    talk = follow_up(rng, op, menu) if rng.random() < 0.3 else None
    talk = talk or one_request(rng, op)
    if talk and rng.random() < 0.3:
        said, reply = rng.choice(FILLERS)
        talk[0][-1:-1] = [("user", dress(rng, said, plain=True)), ("assistant", reply)]
    return talk


def follow_up(rng: random.Random, op: Operation, menu: list[Operation]) -> tuple[list[tuple[str, str]], Call] | None:
    """A second request about the thing of a first one, which was answered."""
    first = [o for o in menu if o is not op and o.noun == op.noun and o.ref and op.ref and o.ref.schema == op.ref.schema and o.ref.words == op.ref.words]
    if not first or [p for p in op.params if p.required and p is not op.ref]:
        return None
    before = rng.choice(first)
    asked, call = sentence(rng, before, few=True)
    assert before.ref and op.ref
    value = call["arguments"].get(before.ref.name)
    it = rng.choice(["it", f"that {op.noun}", f"this {op.noun}", f"the same {op.noun}"])
    last = about_it(rng, op, it)
    if value is None or last is None:
        return None
    text, more = last
    reply = rng.choice(["Done.", "Here it is.", "OK.", "All right, that is done.", "Sure, here you are.", "Done. Anything else?"])
    return [("user", dress(rng, asked)), ("assistant", reply), ("user", dress(rng, text))], {"name": op.name, "arguments": {**more, op.ref.name: value}}


def about_it(rng: random.Random, op: Operation, it: str) -> tuple[str, dict[str, Any]] | None:
    """A request about a thing that was named before, and its arguments but for the reference."""
    if op.spoken:
        text, call = worded(rng, op, few=True, instead={next(iter(op.spoken.references)): it})
        return (text, call["arguments"]) if it in text else None
    pool = {"get": GET[:9], "delete": DELETE[:5]}.get(op.action) or op.phrases
    if not pool:
        return None
    return rng.choice(pool).replace("{r}", it).replace(" up it", " it up"), {}


def one_request(rng: random.Random, op: Operation) -> tuple[list[tuple[str, str]], Call] | None:
    if op.ref and (len(op.params) == 1 or (op.spoken and op.ref.required)) and rng.random() < 0.6:
        value, said = op.ref.sample(rng)
        r = reference(rng, op.noun, op.ref, said, bare=False)
        opening = rng.choice([f"I'm looking at {r}", f"there is a problem with {r}", f"let's talk about {r}", f"do you know {r}?", f"I have {r} here", f"it's about {r}", f"{r} came up again"])
        reply = rng.choice(["What would you like to do with it?", "Sure, what about it?", "Yes. How can I help?", "I see. What do you need?", "All right, go on.", "OK. What should happen with it?"])
        last = about_it(rng, op, rng.choice(["it", f"that {op.noun}", f"this {op.noun}"]))
        if last is None:
            return None
        text, more = last
        return [("user", dress(rng, opening, plain=True)), ("assistant", reply), ("user", dress(rng, text))], {"name": op.name, "arguments": {**more, op.ref.name: value}}
    rest = [p for p in op.params if p.required and p is not op.ref and p.kind not in ("object", "boolean", "array")]
    if op.action == "create" and len(rest) == 1 and not op.ref:
        p = rest[0]
        value, said = p.sample(rng)
        thing = op.noun
        opening = rng.choice(CREATE).replace("{x}", rng.choice([v.a(thing), "a new " + thing]))
        reply = rng.choice([f"What is the {p.words}?", f"Sure. Which {p.words} should it have?", f"Please tell me the {p.words}.", f"I need the {p.words} for that."])
        last = rng.choice([said, f"the {p.words} is {said}", f"{said}, please", f"it's {said}", f"{p.words} {said}", f"take {said}"])
        return [("user", dress(rng, opening)), ("assistant", reply), ("user", dress(rng, last, plain=True) if last != said else last)], {"name": op.name, "arguments": {p.name: value}}
    return None


def lacking(rng: random.Random, op: Operation) -> tuple[str, str] | None:
    """A request that leaves open which thing it is about, and the question to ask back."""
    if not op.ref or not op.ref.required:
        return None
    noun = op.noun
    vague = rng.choice([f"the {noun}", f"the {noun}", f"my {noun}", f"one of the {v.plural(noun)}", f"that {noun}"])
    if op.spoken:
        text, _ = worded(rng, op, few=True, instead={next(iter(op.spoken.references)): vague})
        if vague not in text:
            return None
    else:
        pool = {"get": GET[:9], "delete": DELETE[:5]}.get(op.action) or op.phrases
        if not pool:
            return None
        text = rng.choice(pool).replace("{r}", vague)
    return text, rng.choice([f"Which {noun}? I need the {op.ref.words}.", f"What is the {op.ref.words} of the {noun}?", f"Please tell me the {op.ref.words}."])
