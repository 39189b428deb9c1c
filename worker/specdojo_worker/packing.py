"""Token sequences that share prefixes, packed as one row without repeating the shared tokens.

A batch of sequences becomes a forest of *segments*: runs of tokens, each with a parent segment. The packed row lists
the segments in depth-first order. A token attends to all ancestors of its segment and causally inside its own segment,
at its position in the original sequence, so every result equals that of the separate sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_SHARED = 16
"""Shortest run of common tokens that is worth a segment of its own."""


@dataclass(frozen=True)
class Segment:
    """`length` tokens at packed offset `start`; the first one stands at `position` in its sequences."""

    parent: int
    start: int
    length: int
    position: int

    @property
    def stop(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class Pack:
    """A packed row.

    tokens, positions: int64 [N]. segments: depth-first, parents before children.
    rows: for each input sequence (in input order) the packed index of each of its tokens, int64 [len].
    """

    tokens: np.ndarray
    positions: np.ndarray
    segments: tuple[Segment, ...]
    rows: tuple[np.ndarray, ...]

    def ancestors(self, segment: int) -> list[int]:
        """Segment ids from the root down to the parent of `segment`."""
        path: list[int] = []
        parent = self.segments[segment].parent
        while parent >= 0:
            path.append(parent)
            parent = self.segments[parent].parent
        return path[::-1]


def padded_length(length: int) -> int:
    """`length` rounded up, so that few different matrix shapes occur: CPU kernels are compiled for each new shape."""
    step = 16 if length <= 128 else 64 if length <= 1024 else 128
    return -(-length // step) * step


def padded(packed: Pack) -> Pack:
    """The same rows with a segment of token 0 behind them, up to a length that `padded_length` allows."""
    length = len(packed.tokens)
    extra = padded_length(length) - length
    if not extra:
        return packed
    return Pack(
        tokens=np.concatenate([packed.tokens, np.zeros(extra, dtype=np.int64)]),
        positions=np.concatenate([packed.positions, np.arange(extra)]),
        segments=(*packed.segments, Segment(-1, length, extra, 0)),
        rows=packed.rows,
    )


def common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    """Number of leading tokens that two sequences share."""
    n = min(len(a), len(b))
    different = np.nonzero(a[:n] != b[:n])[0]
    return int(different[0]) if len(different) else n


def sort_key(sequence: np.ndarray) -> bytes:
    """Bytes that sort like the tokens do."""
    return sequence.astype(">u4").tobytes()


def pack(sequences: Sequence[np.ndarray], min_shared: int = MIN_SHARED) -> Pack:
    """Packs sequences (each int64, not empty), sharing common prefixes of at least `min_shared` tokens."""
    keys = [sort_key(sequence) for sequence in sequences]
    order = sorted(range(len(sequences)), key=lambda i: keys[i])
    distinct: list[int] = []
    distinct_of: dict[int, int] = {}
    for i in order:
        if not distinct or keys[distinct[-1]] != keys[i]:
            distinct.append(i)
        distinct_of[i] = len(distinct) - 1
    ordered = [sequences[i] for i in distinct]

    segments: list[Segment] = []
    tokens: list[np.ndarray] = []
    size = 0
    paths: list[list[tuple[int, int]]] = [[] for _ in ordered]

    def add(sequence: np.ndarray, begin: int, end: int, parent: int) -> int:
        nonlocal size
        segments.append(Segment(parent, size, end - begin, begin))
        tokens.append(sequence[begin:end])
        size += end - begin
        return len(segments) - 1

    # (first, last + 1, tokens already covered by `parent`'s path, parent, path so far); a stack keeps the order depth-first.
    stack: list[tuple[int, int, int, int, list[tuple[int, int]]]] = []

    def push(groups: list[tuple[int, int]], depth: int, parent: int, path: list[tuple[int, int]]) -> None:
        stack.extend((low, high, depth, parent, path) for low, high in reversed(groups))

    push(_partition(ordered, 0, len(ordered), 0), 0, -1, [])
    while stack:
        low, high, depth, parent, path = stack.pop()
        if high - low == 1:
            sequence = ordered[low]
            paths[low] = path + ([(add(sequence, depth, len(sequence), parent), len(sequence) - depth)] if len(sequence) > depth else [])
            continue
        shared = common_prefix(ordered[low], ordered[high - 1])
        if shared - depth >= min_shared:
            segment = add(ordered[low], depth, shared, parent)
            push(_partition(ordered, low, high, shared), shared, segment, [*path, (segment, shared - depth)])
        else:
            push(_partition(ordered, low, high, shared), depth, parent, path)

    rows_distinct = [np.concatenate([np.arange(segments[s].start, segments[s].start + n) for s, n in path]) for path in paths]
    positions = np.concatenate([np.arange(s.position, s.position + s.length) for s in segments])
    return Pack(
        tokens=np.concatenate(tokens).astype(np.int64),
        positions=positions.astype(np.int64),
        segments=tuple(segments),
        rows=tuple(rows_distinct[distinct_of[i]] for i in range(len(sequences))),
    )


def _partition(ordered: Sequence[np.ndarray], low: int, high: int, at: int) -> list[tuple[int, int]]:
    """Splits sorted sequences [low, high), equal before `at`, into runs with the same token at `at`."""
    groups: list[tuple[int, int]] = []
    begin = low
    for i in range(low + 1, high + 1):
        if i == high or len(ordered[i - 1]) <= at or ordered[i][at] != ordered[begin][at]:
            groups.append((begin, i))
            begin = i
    return groups


def split_by_budget(sequences: Sequence[np.ndarray], budget: int) -> list[list[int]]:
    """Indices of `sequences` in micro-batches of at most `budget` packed tokens (a longer sequence stands alone).

    Sequences are taken in token order, so that those with a common prefix meet in one micro-batch. Deterministic.
    """
    order = sorted(range(len(sequences)), key=lambda i: (sort_key(sequences[i]), i))
    batches: list[list[int]] = []
    used = 0
    for i in order:
        if batches:
            shared = common_prefix(sequences[batches[-1][-1]], sequences[i])
            fresh = len(sequences[i]) - (shared if shared >= MIN_SHARED else 0)
            if used + fresh <= budget:
                batches[-1].append(i)
                used += fresh
                continue
        batches.append([i])
        used = len(sequences[i])
    return batches
