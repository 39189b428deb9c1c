"""The engine: what waits is answered, together where that may be."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import FP32

from specdojo_worker import engine as module
from specdojo_worker import sampling
from specdojo_worker.engine import Answer, Engine, Job, SampleJob
from specdojo_worker.models import Network, load
from specdojo_worker.sampling import Sampler, SampleSpec, sample


def spec(seed: int, **changes: object) -> SampleSpec:
    given = {"count": 2, "max_tokens": 12, "temperature": 1.0, "seed": seed, "stop": frozenset(), **changes}
    return SampleSpec(np.arange(5, 25) + seed, **given)  # type: ignore[arg-type]


class Desk:
    """Submits jobs to an engine and collects the answers in the order in which they come."""

    def __init__(self) -> None:
        self.engine = Engine(1)
        self.answers: dict[str, Answer] = {}
        self._arrived = threading.Semaphore(0)

    def deliver(self, name: str):
        def take(answer: Answer) -> None:
            self.answers[name] = answer
            self._arrived.release()

        return take

    def sample(self, name: str, network: Network, asked: SampleSpec, *, joinable: bool = True, then=lambda: None) -> None:
        """`then` is called on the engine's thread when the job's turn has come: what it submits arrives meanwhile."""

        def sampler() -> tuple[Network, None]:
            then()
            return network, None

        self.engine.submit(SampleJob(name, sampler, [asked], [self.deliver(name)], joinable))

    def job(self, name: str) -> None:
        self.engine.submit(Job(lambda: {"name": name}, self.deliver(name)))

    def wait(self, count: int) -> dict[str, Answer]:
        for _ in range(count):
            assert self._arrived.acquire(timeout=300)
        assert self.engine.stop(300)
        return self.answers


@pytest.fixture
def network(directories: dict[str, Path]) -> Network:
    return load(directories["qwen3"], FP32).freeze()


def drawn(answer: Answer) -> list[list[int]]:
    return [sequence["tokens"] for sequence in answer["sequences"]]  # type: ignore[union-attr, index]


@pytest.fixture
def samplers(monkeypatch: pytest.MonkeyPatch) -> list[Sampler]:
    """The samplers that requests by themselves are answered with."""
    made: list[Sampler] = []

    def counted(network: Network) -> Sampler:
        made.append(Sampler(network))
        return made[-1]

    monkeypatch.setattr(module, "sampler_of", counted)
    return made


def test_requests_that_arrive_meanwhile_join_and_are_answered_when_they_are_done(network: Network, samplers: list[Sampler]) -> None:
    desk = Desk()
    desk.sample("long", network, spec(0, max_tokens=60), then=lambda: desk.sample("short", network, spec(1, max_tokens=2)))
    answers = desk.wait(2)
    assert list(answers) == ["short", "long"]
    assert len(samplers) == 1
    for name, asked in (("long", spec(0, max_tokens=60)), ("short", spec(1, max_tokens=2))):
        assert drawn(answers[name]) == [c.tokens for c in sample(network, None, [asked])[0].completions]


def test_other_work_is_not_overtaken(network: Network, directories: dict[str, Path], samplers: list[Sampler]) -> None:
    other = load(directories["llama"], FP32)
    desk = Desk()

    def then() -> None:
        desk.sample("other base", other, spec(1))
        desk.sample("late", network, spec(2, max_tokens=1))
        desk.job("training")
        desk.sample("batch", network, spec(3), joinable=False)

    desk.sample("first", network, spec(0, max_tokens=60), then=then)
    answers = desk.wait(5)
    assert list(answers) == ["first", "other base", "late", "training", "batch"]
    assert len(samplers) == 3
    assert drawn(answers["other base"]) == [c.tokens for c in sample(other, None, [spec(1)])[0].completions]


def test_a_mistake_fails_nobody_else(network: Network) -> None:
    desk = Desk()
    wrong = SampleSpec(np.array([5, 10**6]), 1, 4, 1.0, 0, frozenset())

    def then() -> None:
        desk.sample("wrong", network, wrong)
        desk.sample("grammar", network, spec(2, grammar="root ::= ("))
        desk.sample("right", network, spec(1))

    desk.sample("first", network, spec(0), then=then)
    answers = desk.wait(4)
    assert "outside the vocabulary" in str(answers["wrong"]["error"])
    assert "grammar" in str(answers["grammar"]["error"])
    assert len(drawn(answers["right"])) == len(drawn(answers["first"])) == 2


def test_a_failure_while_sampling_is_only_that_request_s(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(self, logits, draw=sampling._Tokens.draw):
        if any(row.spec.seed == 1 for row in self._rows):
            raise RuntimeError("of seed 1")
        return draw(self, logits)

    monkeypatch.setattr(sampling._Tokens, "draw", draw)
    desk = Desk()
    desk.sample("first", network, spec(0), then=lambda: desk.sample("failing", network, spec(1)))
    answers = desk.wait(2)
    assert "of seed 1" in str(answers["failing"]["error"])
    assert len(drawn(answers["first"])) == 2


def test_only_so_many_weights_share_a_batch(network: Network, samplers: list[Sampler]) -> None:
    desk = Desk()
    names = [f"adapter {i}" for i in range(module.MOST_JOINED + 1)]
    desk.sample("first", network, spec(0, max_tokens=60), then=lambda: [desk.sample(name, network, spec(1)) for name in names])
    assert len(desk.wait(len(names) + 1)) == len(names) + 1
    assert len(samplers) == 2
