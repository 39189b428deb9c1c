"""Constrained decoding: which tokens a grammar allows next.

Grammars are GBNF, the notation of llama.cpp; llguidance compiles and follows them.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from tokenizers import Tokenizer

from .errors import ComputeError

MAX_GRAMMAR = 2**20
"""Longest grammar, in characters."""

KEPT = 256
"""Compiled grammars that are kept: one per selection of tools."""


class Guide:
    """Follows one completion. `stop` are the token ids that end it; they are allowed where the grammar is fulfilled."""

    def __init__(self, matcher: LLMatcher, stop: frozenset[int], end: int, vocabulary: int) -> None:
        """`end` is the token that llguidance itself takes for the end."""
        self._matcher = matcher
        self._stop = list(stop)
        self._end = end
        self._vocabulary = vocabulary

    @property
    def over(self) -> bool:
        """The completion ends here: nothing may follow, and there is no stop token to say so."""
        return not self._stop and not self.allowed().any()

    def allowed(self) -> np.ndarray:
        """Which tokens may follow: bool [vocabulary], at least one of them where there are stop tokens."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        mask = np.zeros(self._vocabulary, dtype=bool)
        known = np.unpackbits(bits, bitorder="little")[: self._vocabulary]
        mask[: len(known)] = known
        mask[self._end : self._end + 1] = False
        mask[self._stop] = self._matcher.is_accepting()
        if not mask.any():  # nothing can follow: better an end than a wrong token
            mask[self._stop] = True
        return mask

    def take(self, token: int) -> None:
        """The token that was drawn, unless it ended the completion."""
        self._matcher.consume_token(token)
        if self._matcher.is_error():
            raise ComputeError(f"grammar: token {token} cannot be followed: {self._matcher.get_error()[:200]}", category="server")


def guide(grammar: str, directory: Path, stop: frozenset[int], vocabulary: int) -> Guide:
    """A new completion under `grammar`, for the model with this tokenizer and so many token ids.

    Raises ComputeError where the grammar or the tokenizer cannot be used.
    """
    made = Guide(_compiled(grammar, directory, vocabulary).deep_copy(), stop, _tokenizer(directory, vocabulary).eos_token, vocabulary)
    if made.over:
        raise ComputeError("sampling_params.grammar: allows no text")
    return made


@lru_cache(maxsize=KEPT)
def _compiled(grammar: str, directory: Path, vocabulary: int) -> LLMatcher:
    matcher = LLMatcher(_tokenizer(directory, vocabulary), LLMatcher.grammar_from_lark(lark(grammar)), log_level=0)
    if matcher.is_error():
        raise ComputeError(f"sampling_params.grammar: cannot be compiled: {matcher.get_error()[:500]}")
    return matcher


_PART = re.compile(
    r"""(?P<space>\s+|\#[^\n]*) | (?P<rule>[A-Za-z][A-Za-z0-9-]*)\s*::= | (?P<name>[A-Za-z][A-Za-z0-9-]*)
    | "(?P<text>(?:[^"\\\n]|\\.)*)" | \[(?P<not>\^?)(?P<set>(?:[^\]\\\n]|\\.)*)\] | (?P<any>\.) | (?P<sign>[()|*+?]|\{\d+(?:,\d*)?\})""",
    re.VERBOSE,
)
_CHAR = re.compile(r"""\\x([0-9A-Fa-f]{2}) | \\u([0-9A-Fa-f]{4}) | \\U([0-9A-Fa-f]{8}) | \\([nrt]) | \\(["\\\[\]^-]) | ([^\\])""", re.VERBOSE)


@lru_cache(maxsize=KEPT)
def lark(gbnf: str) -> str:
    """A grammar of llama.cpp in the notation of llguidance. Raises ComputeError where it is none.

    What is not recursive becomes a terminal, which llguidance follows as one regular expression.
    """
    rules: dict[str, list[tuple[str, str]]] = {}
    body: list[tuple[str, str]] = []
    at = 0
    while at < len(gbnf):
        part = _PART.match(gbnf, at)
        kind = part.lastgroup if part else None
        if part is None or (kind not in ("space", "rule") and not rules):
            line = gbnf.count("\n", 0, at) + 1
            raise ComputeError(f"sampling_params.grammar: is no GBNF grammar: line {line}: {gbnf[at : at + 40]!r}")
        if kind == "rule":
            body = rules[part["rule"]] = []
        elif kind == "set":
            body.append(("part", f"/[{part['not']}{_set(part['set'])}]/"))
        elif kind == "text":
            body.append(("part", json.dumps("".join(map(chr, _codes(part["text"]))), ensure_ascii=False)))
        elif kind == "any":
            body.append(("part", "/(?s:.)/"))
        elif kind != "space":
            body.append((str(kind), part[0]))
        at = part.end()
    missing = next((name for body in [[("name", "root")], *rules.values()] for kind, name in body if kind == "name" and name not in rules), None)
    if missing is not None:
        raise ComputeError(f"sampling_params.grammar: is no GBNF grammar: there is no rule {missing!r}")
    names = _names(rules)
    lines = [f"{names[name]}: {' '.join(names[part] if kind == 'name' else part for kind, part in body) or chr(34) * 2}" for name, body in rules.items()]
    # Every spelling of what is allowed stays open, as in llama.cpp; the model chooses among them.
    return "\n".join(['%llguidance {"no_forcing": true}', "start: " + names["root"], *lines])


def _names(rules: dict[str, list[tuple[str, str]]]) -> dict[str, str]:
    """Small letters for rules from which a cycle can be reached, capitals for the others."""
    waiting = {name: {part for kind, part in body if kind == "name"} for name, body in rules.items()}
    users: dict[str, list[str]] = {}
    for name, parts in waiting.items():
        for part in parts:
            users.setdefault(part, []).append(name)
    ready = [name for name, parts in waiting.items() if not parts]
    flat = set(ready)
    while ready:
        done = ready.pop()
        for user in users.get(done, []):
            waiting[user].discard(done)
            if not waiting[user] and user not in flat:
                flat.add(user)
                ready.append(user)
    return {name: f"{'R' if name in flat else 'r'}{i}" for i, name in enumerate(rules)}


def _codes(text: str) -> list[int]:
    """The characters of a literal or a set, escapes resolved."""
    codes, at = [], 0
    while at < len(text):
        char = _CHAR.match(text, at)
        if char is None:
            raise ComputeError(f"sampling_params.grammar: is no GBNF grammar: unknown escape {text[at : at + 2]!r}")
        hexadecimal = char[1] or char[2] or char[3]
        code = int(hexadecimal, 16) if hexadecimal else {"n": 10, "r": 13, "t": 9}[char[4]] if char[4] else ord(char[5] or char[6])
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ComputeError(f"sampling_params.grammar: is no GBNF grammar: {char[0]!r} is no character")
        codes.append(code)
        at = char.end()
    return codes


def _set(text: str) -> str:
    """A character set of GBNF as one of a regular expression: every character as its number."""
    # A hyphen that is no range is written at an end or escaped.
    parts = re.findall(r"((?:\\x..|\\u.{4}|\\U.{8}|\\.|[^\\]))(?:-((?:\\x..|\\u.{4}|\\U.{8}|\\.|[^\\])))?", text, re.DOTALL)
    number = lambda char: f"\\x{{{_codes(char)[0]:x}}}"
    return "".join(number(low) + (f"-{number(high)}" if high else "") for low, high in parts)


class _Vocabulary:
    """The tokenizer as llguidance reads it: each token's bytes."""

    bos_token_id = None

    def __init__(self, path: Path, size: int) -> None:
        text = path.read_text(encoding="utf-8")
        tokenizer = json.loads(text)
        self._whole = Tokenizer.from_str(text)
        added = tokenizer.get("added_tokens", [])
        known: dict[str, int] = tokenizer["model"]["vocab"]
        if not isinstance(known, dict):
            known = {token: i for i, (token, _) in enumerate(known)}
        count = max([size, *(i + 1 for i in known.values()), *(token["id"] + 1 for token in added)])
        self.tokens = [b""] * count
        byte_level = "ByteLevel" in json.dumps([tokenizer.get("pre_tokenizer"), tokenizer.get("decoder")])
        for token, i in known.items():
            self.tokens[i] = _bytes_of_level(token) if byte_level else _bytes_of_piece(token)
        for token in added:
            self.tokens[token["id"]] = token["content"].encode()
        # Turns' markers are no text. The tags of answers are, also where a tokenizer calls them special.
        self.special_token_ids = [token["id"] for token in added if token.get("special") and "|" in token["content"]]
        self.eos_token_id = self.special_token_ids[0] if self.special_token_ids else count - 1

    def __call__(self, text: str) -> list[int]:
        return self._whole.encode(text, add_special_tokens=False).ids


def _byte_letters() -> dict[str, int]:
    """The letter that byte-level BPE writes for each byte (GPT-2's `bytes_to_unicode`)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


_LETTERS = _byte_letters()


def _bytes_of_level(token: str) -> bytes:
    return bytes(_LETTERS[letter] for letter in token) if all(letter in _LETTERS for letter in token) else token.encode()


def _bytes_of_piece(token: str) -> bytes:
    """A piece of SentencePiece: `<0x0A>` is a byte, the low line a space."""
    byte = re.fullmatch(r"<0x([0-9A-F]{2})>", token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("\u2581", " ").encode()


@lru_cache(maxsize=8)
def _tokenizer(directory: Path, size: int) -> LLTokenizer:
    try:
        vocabulary = _Vocabulary(directory / "tokenizer.json", size)
        return LLTokenizer(TokenizerWrapper(vocabulary), n_vocab=len(vocabulary.tokens))
    except Exception as error:
        raise ComputeError(f"sampling_params.grammar: the model's tokenizer.json cannot be used for grammars: {error}") from error
