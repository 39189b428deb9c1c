"""Tokenized batches of rows: one menu and lanes of packed branches, in fixed shapes so that compiled code is reused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .corpus import Branch, rows

LANES, LENGTH = 3, 288
PROMPT_WEIGHT = 0.3  # of the loss on a prompt's tokens, beside 1 on a completion's


@dataclass(frozen=True)
class Bucket:
    menu: int  # tokens of the longest menu
    rows: int


BUCKETS = [Bucket(160, 4), Bucket(320, 4), Bucket(640, 3), Bucket(1152, 2), Bucket(1792, 1)]
SIZES = {(1, 6): 0.25, (4, 14): 0.55, (12, 30): 0.17, (26, 40): 0.03}
"""Operations of a menu (least, most) and how often. A row goes to the narrowest bucket that holds it: were the width drawn first,
menus of short signatures would be seen far too often."""
EARLY = [0.8, 0.2, 0.0, 0.0]
"""Weights while copying is not learned yet: small menus teach it soonest."""


@dataclass
class Batch:
    """Rows of one menu and lanes of branches. Positions count from the menu's end; segment 0 is padding; trained are the tokens after
    `where`, flat indices into [rows * lanes * length]."""

    menu: Tensor  # [rows, width] int64
    menu_length: Tensor  # [rows]
    lanes: Tensor  # [rows, lanes, length], as positions and segments
    positions: Tensor
    segments: Tensor
    where: Tensor  # [n]
    targets: Tensor  # [n], -100 to skip
    weights: Tensor  # [n]
    kinds: list[tuple[str, int, int]]  # branch kind and the range of its completion in `where`
    tokens: int  # real tokens
    characters: int  # of the completions


def pack(tokenizer: Tokenizer, rows_: list[tuple[str, list[Branch]]], menu_width: int) -> Batch:
    n = len(rows_)
    menu = torch.zeros(n, menu_width, dtype=torch.int64)
    menu_length = torch.zeros(n, dtype=torch.int64)
    lanes = torch.zeros(n, LANES, LENGTH, dtype=torch.int64)
    positions = torch.zeros_like(lanes)
    segments = torch.zeros_like(lanes)
    where: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    kinds: list[tuple[str, int, int]] = []
    tokens = characters = 0
    for i, (text, branches) in enumerate(rows_):
        head = tokenizer.encode("<|system|>" + text).ids
        menu[i, : len(head)] = torch.tensor(head)
        menu_length[i] = len(head)
        tokens += len(head)
        prompts = tokenizer.encode_batch([b.prompt for b in branches])
        completions = tokenizer.encode_batch([b.completion for b in branches])
        tokenized = [(b, p.ids, c.ids, len(p.ids + c.ids) - 1) for b, p, c in zip(branches, prompts, completions, strict=True)]  # the last is only a target
        room = list(accumulate(size for *_, size in tokenized))
        kept = [x for x, end in zip(tokenized, room, strict=True) if end <= LANES * LENGTH]  # the first ones, so that long ones are as frequent as drawn
        fill = [0] * LANES
        for j, (b, p, c, size) in enumerate(sorted(kept, key=lambda x: -x[3])):
            lane = next((k for k in range(LANES) if fill[k] + size <= LENGTH), None)
            if lane is None:
                continue
            ids = p + c
            at = fill[lane]
            fill[lane] += size
            lanes[i, lane, at : at + size] = torch.tensor(ids[:-1])
            positions[i, lane, at : at + size] = torch.arange(size)
            segments[i, lane, at : at + size] = j + 1
            base = (i * LANES + lane) * LENGTH + at
            kinds.append((b.kind, len(where) + len(p) - 1, len(where) + size))
            where.extend(range(base, base + size))
            targets.extend(ids[1:])
            weights.extend([PROMPT_WEIGHT] * (len(p) - 1) + [1.0] * len(c))
            tokens += size
            characters += len(b.completion)
    pad = n * LANES * LENGTH - len(where)
    trained = (torch.tensor(where + [0] * pad), torch.tensor(targets + [-100] * pad), torch.tensor(weights + [0.0] * pad))
    return Batch(menu, menu_length, lanes, positions, segments, *trained, kinds, tokens, characters)


def batches(tokenizer: Tokenizer, seed: int, early: int = 0, held_out: bool = False) -> Iterator[Batch]:
    """Endless batches, each of one bucket; the sizes of menus are drawn by weight, for the first `early` batches by the weights
    of `EARLY`. With `held_out` of the scenarios that are kept for measuring."""
    rng = random.Random(seed)
    sources = [rows(seed * 1000 + i, sizes, 22, held_out) for i, sizes in enumerate(SIZES)]
    waiting: dict[Bucket, list[tuple[str, list[Branch]]]] = {bucket: [] for bucket in BUCKETS}
    made = 0
    while True:
        [source] = rng.choices(sources, EARLY if made < early else list(SIZES.values()))
        row = next(source)
        length = len(tokenizer.encode(row.menu).ids) + 1
        bucket = next((b for b in BUCKETS if length <= b.menu), None)
        if bucket is None:
            continue
        waiting[bucket].append((row.menu, row.branches))
        if len(waiting[bucket]) == bucket.rows:
            yield pack(tokenizer, waiting[bucket], bucket.menu)
            waiting[bucket] = []
            made += 1
