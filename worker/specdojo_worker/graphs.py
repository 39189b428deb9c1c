"""Decoding steps launched as one: on a GPU a step is recorded as a CUDA graph, which a small batch needs to be fast.

Launching a step's operations one by one takes the host longer than a GPU takes to compute them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

log = logging.getLogger("specdojo.graphs")

AFTER = 4
"""Steps that are launched operation by operation before one is recorded, which costs about as much as some steps do."""


class StepGraph:
    """Calls `compute`, and once it has been called a few times, replays a recording of it.

    compute: takes its input from tensors that stay in place, waits for nothing on the host, and gives a tensor, which the next
    call overwrites.
    """

    def __init__(self, compute: Callable[[], torch.Tensor]) -> None:
        self._compute = compute
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: torch.Tensor | None = None
        self._broken = False

    def __call__(self, *, anew: bool) -> torch.Tensor:
        """`anew`: tensors that `compute` works on have moved since the last call."""
        if anew:
            self._calls, self._graph, self._result = 0, None, None
        if self._graph is None and self._calls >= AFTER and not self._broken:
            self._record()
        if self._graph is None or self._result is None:
            self._calls += 1
            return self._compute()
        self._graph.replay()
        return self._result

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._result = self._compute()
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            log.warning("a decoding step could not be recorded as a CUDA graph and is launched operation by operation: %s", error)
            self._broken = True
            return
        self._graph = graph
