"""Parameters of made-up operations: a schema, values with the way people say them, and phrases that carry the value."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import vocabulary as v

Json = Any
# A value and the ways to say it in a question.
Spoken = tuple[Json, str]


@dataclass
class Param:
    """`words` name it ("due date"); `sample` draws a value; `phrases` are filled with {L} label and {V} spoken value."""

    words: str
    schema: dict[str, Json]
    sample: Callable[[random.Random], Spoken]
    phrases: list[str] = field(default_factory=list)
    adjective: bool = False  # an enum value that can stand before the noun
    required: bool = False
    name: str = ""  # as spelled in this API

    @property
    def kind(self) -> str:
        return str(self.schema.get("type"))


GENERIC = [
    "with {L} {V}", "with {L} {V}", "with the {L} {V}", "with {L}: {V}", "whose {L} is {V}", "where {L} is {V}", "having {L} {V}",
    "{L} {V}", "{L}: {V}", "{L} = {V}", "({L} {V})", "with {V} as {L}", "with {V} as the {L}", "and {L} {V}", "the {L} is {V}",
    "with {L} set to {V}", "using {L} {V}", "{L} should be {V}", "of {L} {V}",
]


def word(rng: random.Random) -> str:
    """One content word, a third of the time a pseudo-word."""
    r = rng.random()
    if r < 0.32:
        return v.pseudo_word(rng)
    if r < 0.55:
        return rng.choice(v.COMMON)
    if r < 0.7:
        return rng.choice(v.THINGS)
    if r < 0.85:
        return rng.choice(v.NOUNS).replace("-", " ").split()[0]
    return rng.choice(v.ADJECTIVES)


def title(rng: random.Random) -> str:
    n = rng.choice([1, 1, 2, 2, 3])
    text = " ".join(word(rng) for _ in range(n))
    r = rng.random()
    if r < 0.6:
        return " ".join(w.capitalize() for w in text.split())
    return text.capitalize() if r < 0.75 else text


def person(rng: random.Random) -> str:
    first = rng.choice(v.FIRST_NAMES) if rng.random() < 0.7 else v.pseudo_word(rng, 2, 2)
    if rng.random() < 0.4:
        return first.capitalize()
    return first.capitalize() + " " + rng.choice(v.LAST_NAMES).capitalize()


def handle(rng: random.Random) -> str:
    first = rng.choice(v.FIRST_NAMES) if rng.random() < 0.6 else v.pseudo_word(rng, 2, 3)
    r = rng.random()
    if r < 0.35:
        return first
    if r < 0.55:
        return f"{first}{rng.randint(1, 99)}"
    if r < 0.75:
        return f"{first}_{rng.choice(v.LAST_NAMES)}"
    if r < 0.9:
        return f"{first}.{rng.choice(v.LAST_NAMES)}"
    return first + rng.choice(v.LAST_NAMES).capitalize()


def quoted(rng: random.Random, text: str, p: float = 0.3) -> str:
    r = rng.random()
    if r < p * 0.6:
        return f'"{text}"'
    return f"'{text}'" if r < p else text


def text_value(make: Callable[[random.Random], str], p_quote: float = 0.3) -> Callable[[random.Random], Spoken]:
    def sample(rng: random.Random) -> Spoken:
        text = make(rng)
        return text, quoted(rng, text, p_quote)

    return sample


def integer(low: int, high: int) -> Callable[[random.Random], Spoken]:
    def sample(rng: random.Random) -> Spoken:
        digits = rng.randint(len(str(low)), len(str(high)))
        n = min(high, max(low, rng.randint(10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1)))
        return n, str(n)

    return sample


def digits(high: int) -> Callable[[random.Random], Spoken]:
    """A number that the API takes as a string."""

    def sample(rng: random.Random) -> Spoken:
        text = str(integer(1, high)(rng)[0])
        return text, quoted(rng, text, 0.1)

    return sample


def decimal(low: float, high: float, most: int = 2) -> Callable[[random.Random], Spoken]:
    """A number with at most that many decimal places."""

    def sample(rng: random.Random) -> Spoken:
        places = rng.choice([0, 1, 2, most])
        x = round(rng.uniform(low, high), places)
        if places == 0 or x == int(x):
            return int(x), str(int(x))
        return x, repr(x)

    return sample


def degrees(limit: int) -> Callable[[random.Random], Spoken]:
    """A coordinate between -limit and limit degrees."""

    def sample(rng: random.Random) -> Spoken:
        x = round(rng.uniform(-limit, limit), rng.choice([1, 2, 3, 4, 4, 5, 6]))
        return x, repr(x)

    return sample


def date(rng: random.Random) -> Spoken:
    y, m, d = rng.randint(2019, 2031), rng.randint(1, 12), rng.randint(1, 28)
    iso = f"{y}-{m:02d}-{d:02d}"
    r = rng.random()
    month = v.MONTHS[m - 1]
    if r < 0.72:
        return iso, iso
    if r < 0.82:
        return iso, f"{month} {d}, {y}"
    if r < 0.92:
        return iso, f"{d} {month} {y}"
    suffix = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(d, "th")
    return iso, f"{month} {d}{suffix} {y}" if r < 0.96 else f"the {d}{suffix} of {month} {y}"


def datetime_(rng: random.Random) -> Spoken:
    day, _ = date(rng)
    text = f"{day}T{rng.randint(0, 23):02d}:{rng.choice(['00', '15', '30', '45', '10'])}:00Z"
    return text, text


def clock(rng: random.Random) -> Spoken:
    text = f"{rng.randint(0, 23):02d}:{rng.choice(['00', '15', '30', '45', '20'])}"
    return text, text


def email(rng: random.Random) -> Spoken:
    host = rng.choice([word(rng), v.pseudo_word(rng, 2, 2)])
    text = f"{handle(rng).lower()}@{host}.{rng.choice(['com', 'org', 'net', 'io', 'example', 'de'])}"
    return text, text


def url(rng: random.Random) -> Spoken:
    text = f"{rng.choice(['https', 'https', 'http'])}://{rng.choice(['', 'www.', 'img.', 'cdn.'])}{v.pseudo_word(rng, 2, 2)}.{rng.choice(['com', 'org', 'io', 'net'])}"
    if rng.random() < 0.7:
        text += f"/{word(rng)}" + rng.choice(["", ".png", ".jpg", f"/{rng.randint(1, 99)}"])
    return text, text


def code(rng: random.Random) -> str:
    r = rng.random()
    letters = "".join(rng.choice(string.ascii_uppercase) for _ in range(rng.randint(1, 4)))
    if letters.lower() in v.BANNED:
        return code(rng)
    if r < 0.5:
        return f"{letters}-{rng.randint(1, 9999)}"
    if r < 0.7:
        return f"{letters}{rng.randint(10, 99999)}"
    if r < 0.8:
        return str(rng.randint(10, 999999))
    return "".join(rng.choice("0123456789abcdef") for _ in range(rng.choice([6, 8])))


def uuid(rng: random.Random) -> Spoken:
    h = "".join(rng.choice("0123456789abcdef") for _ in range(32))
    text = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
    return text, text


def slug(rng: random.Random) -> str:
    return "-".join(word(rng) for _ in range(rng.choice([1, 2, 2, 3])))


def phone(rng: random.Random) -> Spoken:
    text = rng.choice(["+1 555 ", "555-", "+44 20 ", "0"]) + str(rng.randint(1000, 99999999))
    return text, text


def secret(rng: random.Random) -> str:
    return v.pseudo_word(rng, 1, 2) + rng.choice(["", str(rng.randint(1, 9999)), "!", "#" + str(rng.randint(1, 99))])


def note(rng: random.Random) -> str:
    """A short free text."""
    t, w = rng.choice(v.THINGS), word(rng)
    return rng.choice([
        f"needs a new {w}", f"call {person(rng)} first", f"very {rng.choice(v.ADJECTIVES)} {w}", f"the {w} is {rng.choice(v.ADJECTIVES)}",
        f"arrived with {v.a(f'{rng.choice(v.ADJECTIVES)} {w}')}", f"do not move the {t}", f"check the {w} again", "great service",
        f"{w} missing", "leave at the door", "as discussed", f"too {rng.choice(v.ADJECTIVES)}", f"keep away from the {t}", f"about the {t} {w}",
    ])


def joined(rng: random.Random, items: list[str]) -> str:
    if len(items) == 1:
        return items[0]
    return ", ".join(items[:-1]) + rng.choice([" and ", " and ", ", ", " or "]) + items[-1]


def spoken_enum(rng: random.Random, value: str) -> str:
    if rng.random() < 0.15:
        return quoted(rng, value, 1.0)
    return value.replace("_", " ").replace("-", " ") if rng.random() < 0.75 else value


def enum_values(rng: random.Random) -> list[str]:
    r = rng.random()
    if r < 0.62:
        values = list(rng.choice(v.ENUM_SETS))
    elif r < 0.82:
        values = rng.sample(rng.choice([v.ADJECTIVES + v.THINGS, v.COMMON]), rng.randint(2, 5))
    else:
        values = list(dict.fromkeys(v.pseudo_word(rng, 1, 2) for _ in range(rng.randint(2, 5))))
    r = rng.random()
    if r < 0.08:
        values = [x.upper() for x in values]
    elif r < 0.14:
        values = [x.capitalize() for x in values]
    return values


def enum(words: str, values: list[str], phrases: list[str] | None = None) -> Param:
    def sample(rng: random.Random) -> Spoken:
        x = rng.choice(values)
        return x, spoken_enum(rng, x) if x.islower() or rng.random() < 0.4 else spoken_enum(rng, x.lower())

    return Param(words, {"type": "string", "enum": values}, sample, phrases or [], adjective=True)


def enum_array(words: str, values: list[str]) -> Param:
    def sample(rng: random.Random) -> Spoken:
        xs = rng.sample(values, min(len(values), rng.choice([1, 1, 1, 2, 2])))
        return xs, joined(rng, [spoken_enum(rng, x) for x in xs])

    return Param(words, {"type": "array", "items": {"type": "string", "enum": values}}, sample, [], adjective=True)


def string_array(words: str, make: Callable[[random.Random], str], phrases: list[str]) -> Param:
    def sample(rng: random.Random) -> Spoken:
        xs = [make(rng) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
        p = rng.choice([0.0, 0.0, 1.0])
        return xs, joined(rng, [quoted(rng, x, p) for x in xs])

    return Param(words, {"type": "array", "items": {"type": "string"}}, sample, phrases)


def number_array(words: str) -> Param:
    def sample(rng: random.Random) -> Spoken:
        xs = [rng.randint(1, 999) for _ in range(rng.choice([1, 2, 2, 3]))]
        return xs, joined(rng, [str(x) for x in xs]).replace(" or ", " and ")

    return Param(words, {"type": "array", "items": {"type": "integer"}}, sample, [])


STR: dict[str, Json] = {"type": "string"}
INT: dict[str, Json] = {"type": "integer"}
NUM: dict[str, Json] = {"type": "number"}


def attribute(rng: random.Random) -> Param:
    """One property that a made-up resource may have."""
    c = rng.choice
    kind = rng.choices(
        ["name", "person", "text", "note", "email", "phone", "price", "count", "amount", "enum", "enum2", "enumarray", "city",
         "country", "address", "date", "datetime", "time", "url", "tags", "bool", "rating", "currency", "language", "code", "percent",
         "year", "password", "pseudo", "ids", "object", "color", "urls"],
        [10, 6, 4, 6, 5, 3, 6, 7, 5, 9, 5, 3, 4, 2, 2, 7, 3, 2, 3, 5, 6, 3, 2, 2, 4, 2, 2, 2, 9, 2, 5, 3, 2],
    )[0]
    if kind == "name":
        w = c(["name", "name", "name", "title", "title", "label", "display name", "full name", "subject", "headline"])
        extra = ["called {V}", "named {V}", "called {V}", "named {V}", "{V}"] if "name" in w else ["titled {V}", "called {V}", "{V}"]
        return Param(w, STR, text_value(title), extra * 2)
    if kind == "person":
        w = c(["owner", "assignee", "author", "customer", "user", "username", "first name", "last name", "created by", "manager",
               "contact", "driver", "reporter", "recipient", "sender", "guest name", "buyer", "seller", "nickname"])
        make = handle if w in ("username", "user", "nickname") else (lambda r: person(r).split()[0]) if w in ("first name",) else (
            lambda r: c(v.LAST_NAMES).capitalize()) if w == "last name" else (person if rng.random() < 0.6 else handle)
        extra = {"assignee": ["assigned to {V}", "for {V}"], "author": ["by {V}", "written by {V}"], "owner": ["owned by {V}", "of {V}", "belonging to {V}"],
                 "created by": ["created by {V}", "by {V}"], "customer": ["for {V}", "of {V}", "for customer {V}"], "user": ["for {V}", "for user {V}", "of {V}"],
                 "recipient": ["for {V}", "to {V}"], "sender": ["from {V}"], "driver": ["driven by {V}"], "guest name": ["for {V}", "for guest {V}"],
                 "reporter": ["reported by {V}"], "buyer": ["bought by {V}"], "seller": ["sold by {V}"]}.get(w, [])
        return Param(w, STR, text_value(make, 0.1), extra * 2)
    if kind == "text":
        w = c(["query", "search", "keyword", "q", "search term", "text", "term", "phrase", "filter", "topic", "subject", "brand", "material", "department", "team", "company", "genre", "species", "breed", "flavor"])
        extra = ["matching {V}", "about {V}", "containing {V}", "that mention {V}", "for {V}"] if w in ("query", "search", "keyword", "q", "search term", "text", "term", "phrase", "topic") else []
        return Param(w, STR, text_value(lambda r: " ".join(word(r) for _ in range(c([1, 1, 2]))), 0.4), extra * 2)
    if kind == "note":
        w = c(["description", "note", "notes", "comment", "message", "summary", "reason", "text", "body", "instructions", "remark", "additional metadata", "bio", "details", "content"])
        extra = ["saying {V}", "with the {L} {V}", "{L}: {V}", "because {V}" if w == "reason" else "with {L} {V}"]
        return Param(w, STR, text_value(note, 0.7), extra)
    if kind == "email":
        return Param(c(["email", "email", "contact email", "email address", "mail"]), {"type": "string", "format": "email"} if rng.random() < 0.5 else STR, email, ["at {V}", "{V}", "with email {V}", "reachable at {V}"])
    if kind == "phone":
        return Param(c(["phone", "phone number", "mobile", "telephone"]), STR, phone, ["phone {V}", "phone number {V}"])
    if kind == "price":
        w = c(["price", "cost", "fee", "budget", "salary", "total", "amount", "rent", "max price", "min price", "deposit"])
        extra = ["for {V} dollars", "at {V} euros", "costing {V}", "priced at {V}", "for ${V}"] if w in ("price", "cost", "fee", "rent") else (
            ["under {V}", "up to {V} dollars", "below {V}", "cheaper than {V}"] if w == "max price" else ["above {V}", "over {V} dollars", "from {V} up"] if w == "min price" else ["with {L} {V}", "with a {L} of {V}"])
        return Param(w, NUM, decimal(1, c([50, 999, 9999])), extra)
    if kind == "count":
        w = c(["quantity", "count", "stock", "seats", "capacity", "guests", "party size", "pages", "copies", "floors", "age", "number of rooms", "attempts", "level", "version", "position", "priority", "days", "nights", "hours", "minutes", "duration", "delay", "width", "height", "size"])
        extra = {"quantity": ["{V} of them", "{V} units", "{V} pieces"], "guests": ["for {V} guests", "for {V} people"], "party size": ["for {V} people", "for a party of {V}"],
                 "seats": ["with {V} seats", "seating {V}"], "capacity": ["with room for {V}", "that hold {V}"], "pages": ["with {V} pages"], "copies": ["{V} copies"],
                 "age": ["aged {V}", "{V} years old"], "days": ["for {V} days", "over {V} days"], "nights": ["for {V} nights"], "hours": ["for {V} hours"],
                 "minutes": ["for {V} minutes", "taking {V} minutes"], "duration": ["lasting {V} minutes", "of {V} minutes"]}.get(w, [])
        return Param(w, INT, integer(1, c([20, 99, 500])), extra * 2)
    if kind == "amount":
        w = c(["weight", "length", "distance", "temperature", "volume", "speed", "area", "depth", "power", "radius", "dosage", "ratio"])
        unit = {"weight": "kg", "length": "meters", "distance": "km", "temperature": "degrees", "volume": "liters", "speed": "km/h", "area": "square meters", "depth": "meters", "power": "watts", "radius": "km"}.get(w)
        low = -40 if w == "temperature" else 0.1
        extra = [f"with {{L}} {{V}} {unit}", f"{{L}} {{V}} {unit}", f"with a {{L}} of {{V}} {unit}"] if unit else []
        extra += {"weight": ["weighing {V} kg"], "radius": ["within {V} km"], "distance": ["{V} km away"], "temperature": ["at {V} degrees"]}.get(w, [])
        return Param(w, NUM, decimal(low, c([10, 90, 400])), extra)
    if kind in ("enum", "enum2"):
        w = c(["status", "status", "status", "state", "stage", "phase", "condition"]) if kind == "enum" else c(
            ["type", "category", "kind", "priority", "size", "severity", "mode", "class", "level", "visibility", "channel", "role", "plan", "format", "difficulty", "method", "unit", v.pseudo_word(rng, 1, 2)])
        extra = ["that are {V}", "which are {V}", "in {L} {V}", "marked {V}", "marked as {V}"] if kind == "enum" else ["of {L} {V}", "with {L} {V}", "as {V}"]
        return enum(w, enum_values(rng), extra)
    if kind == "enumarray":
        return enum_array(c(["status", "state", "type", "category", "level", "channel"]), enum_values(rng))
    if kind == "color":
        return Param(c(["color", "color", "colour"]), STR, lambda r: (lambda x: (x, x))(r.choice(v.ADJECTIVES[:7])), ["in {V}", "in {V} color"], adjective=True)
    if kind == "city":
        return Param(c(["city", "city", "location", "town", "destination", "origin", "place", "region", "area", "district"]), STR,
                     lambda r: (lambda x: (x, x))(r.choice(v.CITIES) if r.random() < 0.6 else v.pseudo_word(r, 2, 3).capitalize()), ["in {V}", "in {V}", "near {V}", "at {V}", "from {V}", "to {V}"][: 4 if rng.random() < 0.9 else 6])
    if kind == "country":
        return Param("country", STR, lambda r: (lambda x: (x, x))(r.choice(v.COUNTRIES)), ["in {V}", "from {V}"])
    if kind == "address":
        return Param(c(["address", "street", "delivery address"]), STR, lambda r: (lambda x: (x, x))(f"{r.randint(1, 200)} {word(r).capitalize()} {r.choice(['Street', 'Road', 'Lane', 'Avenue'])}"), ["at {V}", "to {V}"])
    if kind == "date":
        w = c(["date", "due date", "start date", "end date", "deadline", "birthday", "expiry date", "from", "to", "since", "until", "before", "after", "check in", "check out", "ship date", "created after", "created before", "day"])
        first = w.split()[0]
        extra = {"date": ["on {V}", "for {V}"], "day": ["on {V}", "for {V}"], "due": ["due on {V}", "due {V}", "by {V}"], "start": ["from {V}", "starting {V}", "starting on {V}", "beginning {V}"],
                 "end": ["until {V}", "to {V}", "ending {V}", "ending on {V}"], "deadline": ["by {V}", "to be finished by {V}"], "birthday": ["born on {V}"], "expiry": ["expiring on {V}", "valid until {V}"],
                 "from": ["from {V}", "starting {V}", "from {V} on"], "to": ["to {V}", "up to {V}", "until {V}"], "since": ["since {V}", "newer than {V}"], "until": ["until {V}", "up to {V}"], "before": ["before {V}", "earlier than {V}"],
                 "after": ["after {V}", "later than {V}"], "check": ["checking in on {V}" if w == "check in" else "checking out on {V}"], "ship": ["shipping on {V}", "shipped on {V}"],
                 "created": ["created after {V}" if "after" in w else "created before {V}"]}.get(first, [])
        return Param(w, {"type": "string", "format": "date"}, date, extra * 3)
    if kind == "datetime":
        w = c(["starts at", "ends at", "created at", "scheduled at", "timestamp", "start time", "end time", "ship date", "pickup time", "since"])
        extra = {"starts": ["starting at {V}", "at {V}"], "ends": ["ending at {V}"], "scheduled": ["at {V}", "scheduled for {V}"], "start": ["starting {V}", "from {V}"], "end": ["ending {V}", "until {V}"], "since": ["since {V}"]}.get(w.split()[0], [])
        return Param(w, {"type": "string", "format": "date-time"}, datetime_, extra * 2)
    if kind == "time":
        return Param(c(["time", "opens at", "closes at", "reminder time"]), STR if rng.random() < 0.5 else {"type": "string", "format": "time"}, clock, ["at {V}"])
    if kind == "url":
        return Param(c(["url", "website", "image url", "link", "callback url", "avatar", "photo"]), {"type": "string", "format": "uri"} if rng.random() < 0.4 else STR, url, ["{L} {V}", "at {V}"])
    if kind == "urls":
        w = c(["image urls", "photos", "links", "attachments", "pictures"])
        return string_array(w, lambda r: url(r)[0], ["with {L} {V}", "{L} {V}", "with {L} {V}"])
    if kind == "tags":
        w = c(["tags", "tags", "labels", "keywords", "categories", "topics", "skills", "ingredients", "members", "names", "codes"])
        extra = ["tagged {V}", "tagged with {V}", "with tags {V}", "with the tag {V}"] if w == "tags" else ["labelled {V}"] if w == "labels" else ["with {L} {V}"]
        return string_array(w, (handle if w == "members" else code if w == "codes" else word), extra * 2)
    if kind == "bool":
        w = c(["active", "enabled", "public", "verified", "urgent", "archived", "featured", "complete", "private", "visible", "express", "insured", "vegetarian", "confirmed", "approved", "expired", "free", "paid",
               "include archived", "include details", "notify", "dry run", "force", "gift wrap", "recurring"])
        return Param(w, {"type": "boolean"}, lambda r: (lambda b: (b, "true" if b else "false"))(r.random() < 0.7), [])
    if kind == "rating":
        return Param(c(["rating", "score", "stars", "min rating", "grade"]), INT if rng.random() < 0.6 else NUM, integer(1, 10), ["with {V} stars" if rng.random() < 0.5 else "rated {V}", "with {V} stars", "with a {L} of {V}"])
    if kind == "currency":
        return Param("currency", STR, lambda r: (lambda x: (x, x))(r.choice(v.CURRENCIES)), ["in {V}"])
    if kind == "language":
        return Param(c(["language", "lang", "locale"]), STR, lambda r: (lambda x: (x, x))(r.choice(v.LANGUAGES)), ["in {L} {V}", "in {V}"])
    if kind == "code":
        return Param(c(["code", "sku", "reference", "serial number", "barcode", "promo code", "order number", "tracking number", "plate", "isbn"]), STR, text_value(code, 0.1), ["{L} {V}"])
    if kind == "percent":
        return Param(c(["discount", "percent", "tax rate", "commission", "progress", "threshold"]), c([INT, NUM]), integer(1, 100), ["with {L} {V}", "with {V} percent {L}", "with a {L} of {V}", "with a {L} of {V} percent"])
    if kind == "year":
        return Param("year", INT, lambda r: (lambda x: (x, str(x)))(r.randint(1900, 2035)), ["from {V}", "of {V}", "in {V}"])
    if kind == "password":
        return Param(c(["password", "pin", "secret", "passphrase"]), STR, text_value(secret, 0.2), ["with password {V}" if rng.random() < 0.3 else "with {L} {V}", "{L} {V}"])
    if kind == "ids":
        return number_array(c(["ids", "numbers", "positions", "item ids", "user ids"]))
    if kind == "object":
        return nested(rng)
    w = v.pseudo_word(rng, 2, 2) if rng.random() < 0.7 else f"{word(rng)} {c(['level', 'code', 'mode', 'type', 'name', 'value', 'index', 'group'])}"
    return c([
        lambda: Param(w, STR, text_value(word, 0.2)),
        lambda: Param(w, INT, integer(0, 9999)),
        lambda: Param(w, NUM, decimal(-500, 500, c([2, 3, 5]))),
        lambda: Param(w, STR, text_value(title, 0.3)),
        lambda: enum(w, enum_values(rng)),
    ])()


def coordinates(rng: random.Random) -> list[Param]:
    """A point, as two numbers."""
    of = rng.choice(["", "", "", "from ", "to ", "center ", "site ", "home ", "target ", "last "])
    north, east = rng.choice([("latitude", "longitude"), ("latitude", "longitude"), ("lat", "lon"), ("lat", "lng"), ("geo lat", "geo long")])
    out = []
    for words, spoken, limit in ((north, ["latitude", "lat"], 90), (east, ["longitude", "lng"], 180)):
        short = of + words if of else rng.choice(spoken)
        out.append(Param(of + words, NUM, degrees(limit), [f"with {short} {{V}}", f"{short} {{V}}", f"{short}: {{V}}", "with {L} {V}", "{L} {V}", "at {L} {V}"]))
    return out


OBJECT = ["with {L} {V}", "{L}: {V}", "{L} ({V})", "with {L}: {V}", "{L} {V}"]
"""Phrases for an object, or a list of objects."""


def nested(rng: random.Random) -> Param:
    """An object with a few properties, or an array of such objects."""
    head = rng.choice(["address", "category", "size", "owner", "contact", "location", "item", "items", "tags", "options", "details", "dimensions", "payment", v.pseudo_word(rng, 2, 2), v.pseudo_word(rng, 1, 2)])
    fields: list[Param] = []
    while len(fields) < rng.choice([1, 2, 2, 3]):
        p = attribute(rng)
        if p.kind in ("object",) or p.kind == "array" or any(p.words == q.words for q in fields):
            continue
        fields.append(p)
    if rng.random() < 0.35 and not any(p.words == "id" for p in fields):
        fields.insert(0, Param("id", INT, integer(1, 999)))
    if head in ("items", "tags") and rng.random() < 0.8:
        return things(rng, head, fields)
    schema, sample = thing(rng, fields)
    return Param(head, schema, sample, OBJECT)


def thing(rng: random.Random, fields: list[Param]) -> tuple[dict[str, Json], Callable[[random.Random], Spoken]]:
    """Schema and sampler of an object with these properties, some of them required."""
    required = [p.words for p in fields if rng.random() < 0.4]
    schema: dict[str, Json] = {"type": "object", "properties": {p.words: p.schema for p in fields}}
    if required:
        schema["required"] = required

    def sample(r: random.Random) -> Spoken:
        chosen = [p for p in fields if p.words in required or r.random() < 0.55] or [r.choice(fields)]
        value, said = {}, []
        for p in chosen:
            x, s = p.sample(r)
            if p.kind == "boolean":
                s = "true" if x else "false"
            value[p.words] = x
            said.append(f"{p.words} {s}" if r.random() < 0.8 or len(chosen) > 1 else s)
        return value, joined(r, said).replace(" or ", " and ")

    return schema, sample


def things(rng: random.Random, words: str, fields: list[Param]) -> Param:
    """An array of one to three such objects."""
    schema, one = thing(rng, fields)

    def sample(r: random.Random) -> Spoken:
        values, said = zip(*(one(r) for _ in range(r.choice([1, 1, 2, 2, 3]))), strict=True)
        if len(said) == 1:
            return list(values), said[0]
        return list(values), r.choice(["; ".join(said), "one with " + ", one with ".join(said), "first " + ", then ".join(said), " and another one with ".join(said)])

    return Param(words, {"type": "array", "items": schema}, sample, OBJECT)


def paging(rng: random.Random) -> Param:
    """A parameter of list operations that is not a filter."""
    kind = rng.choice(["limit", "limit", "page", "offset", "sort", "order", "fields"])
    if kind == "limit":
        return Param(rng.choice(["limit", "limit", "page size", "max results", "per page", "count", "size", "top", "take"]), INT, integer(1, 200),
                     ["first {V}", "only {V}", "at most {V}", "up to {V}", "{V} at most", "limit {V}", "no more than {V}", "{V} per page", "just {V} of them", "max {V}", "{V} results", "limited to {V}"])
    if kind == "page":
        return Param(rng.choice(["page", "page number"]), INT, integer(1, 50), ["page {V}", "on page {V}", "the {V}. page", "page number {V}"])
    if kind == "offset":
        return Param(rng.choice(["offset", "skip", "start"]), INT, integer(1, 500), ["skipping the first {V}", "skip {V}", "starting after {V}", "offset {V}", "from position {V}"])
    if kind == "sort":
        return Param(rng.choice(["sort by", "sort", "order by"]), STR, lambda r: (lambda x: (x, x))(r.choice(["name", "date", "price", "size", "rating", "title", "status"])), ["sorted by {V}", "ordered by {V}", "by {V}", "sort by {V}"])
    if kind == "order":
        values = rng.choice([["asc", "desc"], ["ascending", "descending"], ["newest", "oldest"]])
        return Param(rng.choice(["order", "sort order", "direction"]), {"type": "string", "enum": values}, lambda r: (lambda x: (x, {"asc": "ascending", "desc": "descending"}.get(x, x) if r.random() < 0.6 else x))(r.choice(values)),
                     ["in {V} order", "{V}", "order {V}", "{V} first" if values[0] == "newest" else "sorted {V}"])
    return string_array("fields", lambda r: r.choice(["name", "id", "status", "date", "price", "title"]), ["only the {L} {V}", "with fields {V}"])


def identifier(rng: random.Random, noun: str) -> Param:
    """The parameter that picks one thing of a resource."""
    r = rng.random()
    n = noun.replace("-", " ")
    w = rng.choice(["id", "id", f"{n} id", f"{n} id", f"{n} id", f"{n} id"])
    if r < 0.48:
        return Param(w, INT, integer(1, rng.choice([20, 999, 99999])), required=True)
    if r < 0.58:
        return Param(w, STR, digits(rng.choice([20, 999, 99999])), required=True)
    if r < 0.70:
        return Param(w, STR, text_value(code, 0.1), required=True)
    if r < 0.77:
        return Param(rng.choice(["slug", f"{n} slug", w]), STR, text_value(slug, 0.15), required=True)
    if r < 0.80:
        return Param(w, {"type": "string", "format": "uuid"}, uuid, required=True)
    if r < 0.88:
        return Param(rng.choice(["code", f"{n} code", "reference", f"{n} number", "number", "key", "sku"]), STR, text_value(code, 0.1), required=True)
    if noun in ("user", "account", "member", "customer", "employee", "student", "player", "guest", "patient") or r < 0.92:
        return Param(rng.choice(["username", "user name", "login", "handle"] if noun in ("user", "account") else ["name", f"{n} name"]), STR, text_value(handle, 0.15), required=True)
    return Param(rng.choice(["name", f"{n} name", "title"]), STR, text_value(lambda q: word(q) if rng.random() < 0.5 else title(q), 0.3), required=True)
