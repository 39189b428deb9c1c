"""Recorded decoding steps, with a stand-in for CUDA graphs: what is replayed reads and writes the tensors it was recorded with."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FP32

from specdojo_worker import graphs, sampling
from specdojo_worker.models import load
from specdojo_worker.sampling import Sampler, SampleSpec, sample


class Recording:
    """Replays by computing anew, if every tensor of the batch is still where it was."""

    current: Recording | None = None
    replays = 0

    def __init__(self) -> None:
        self.batch: sampling._Batch | None = None

    def places(self) -> list[int]:
        batch = self.batch
        assert batch is not None
        plan = batch.plan
        tensors = [batch._input, batch._positions, plan.start, plan.column]
        for pair in [*plan.own, *plan.prefix, plan._grid or ()]:
            tensors.extend(pair if isinstance(pair, tuple) else [pair])
        return [tensor.data_ptr() for tensor in tensors]

    def replay(self) -> None:
        assert self.batch is not None
        assert self.places() == self.at
        Recording.current = None
        self.result.copy_(self.batch._compute())
        Recording.replays += 1


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recording]:
    compute = sampling._Batch._compute

    def noticed(self: sampling._Batch) -> torch.Tensor:
        result = compute(self)
        recording = Recording.current
        if recording is not None:
            recording.batch, recording.result = self, result
            recording.at = recording.places()
        return result

    @contextmanager
    def graph(recording: Recording):
        Recording.current = recording
        yield
        Recording.current = None

    monkeypatch.setattr(sampling._Batch, "_compute", noticed)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(Recording, "replays", 0)
    return Recording


def specs() -> list[SampleSpec]:
    rng = np.random.default_rng(3)
    return [SampleSpec(rng.integers(5, 99, 10 + i), 3, 30 + 20 * (i % 3), 1.0, i, frozenset({1, 2})) for i in range(8)]


def test_recorded_steps_draw_the_same_tokens(directories: dict[str, Path], recorded: type[Recording], monkeypatch: pytest.MonkeyPatch) -> None:
    network = load(directories["qwen3"], FP32).freeze()
    want = sample(network, None, specs())
    assert recorded.replays == 0
    monkeypatch.setattr(sampling, "MAX_ROWS", 12)
    sampler = Sampler(network)
    sampler._records = True
    requests = [sampler.add(spec) for spec in specs()]
    while not sampler.idle:
        sampler.step()
    assert [[c.tokens for c in request.output.completions] for request in requests] == [[c.tokens for c in output.completions] for output in want]
    assert recorded.replays > 20


def test_a_step_that_cannot_be_recorded_is_computed_as_before(recorded: type[Recording], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def graph(recording: Recording):
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", graph)
    calls: list[int] = []
    step = graphs.StepGraph(lambda: torch.tensor([calls.append(1) or len(calls)]))
    values = [int(step(anew=False)) for _ in range(graphs.AFTER + 3)]
    assert values == [*range(1, graphs.AFTER + 1), *range(graphs.AFTER + 2, graphs.AFTER + 5)]


def test_tensors_that_moved_are_recorded_anew(recorded: type[Recording]) -> None:
    calls: list[int] = []
    step = graphs.StepGraph(lambda: torch.tensor([calls.append(1) or len(calls)]))
    for _ in range(graphs.AFTER):
        step(anew=False)
    step(anew=True)
    assert step._graph is None
    assert len(calls) == graphs.AFTER + 1


def test_a_network_without_lean_decoder_is_not_recorded(directories: dict[str, Path], recorded: type[Recording]) -> None:
    sampler = Sampler(load(directories["llama"], FP32))
    sampler._records = True
    for spec in specs():
        sampler.add(spec)
    while not sampler.idle:
        sampler.step()
    assert recorded.replays == 0
