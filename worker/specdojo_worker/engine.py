"""The one thread that computes. Jobs run in the order in which they were submitted."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .errors import ComputeError, RequestError
from .memory import is_out_of_memory
from .models import Network
from .sampling import Base, Request, SampleOutput, SampleSpec, Sampling, sample, sampler_of

log = logging.getLogger("specdojo.engine")

COALESCE_SECONDS = 0.003
"""How long the first of several unbatched sampling requests waits for more."""

MOST_JOINED = 8
"""Different weights that may be sampled in one batch. The workspace keeps as many in memory."""

Answer = dict[str, object]


ABANDONED: Answer = {"error": "the request was cancelled, or its session has ended", "category": "user"}


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Job:
    """`run` computes an answer; `deliver` takes it (from any thread). A job that nobody has `wanted` any more is not run."""

    run: Callable[[], Answer]
    deliver: Callable[[Answer], None]
    wanted: Callable[[], bool] = _always


@dataclass(frozen=True)
class SampleJob:
    """Requests for the same weights; `sampler` gives base and adapter, on the engine thread.

    They are sampled together: by themselves, or, where `joinable` (one request), with whatever else is there.
    """

    key: str
    sampler: Callable[[], tuple[Network | Base, Any]]
    specs: Sequence[SampleSpec]
    deliver: Sequence[Callable[[Answer], None]]
    joinable: bool
    wanted: Callable[[], bool] = _always


class Engine:
    """Owns the compute thread."""

    def __init__(self, threads: int | None) -> None:
        self._queue: queue.Queue[Job | SampleJob | None] = queue.Queue()
        self._threads = threads
        self._stopping = False
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job | SampleJob) -> None:
        self._queue.put(job)

    def stop(self, seconds: float) -> bool:
        """Lets the running job end and drops the rest; False when it did not end in time."""
        self._stopping = True
        self._queue.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _main(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        held: list[Job | SampleJob | None] = []
        while not self._stopping:
            job = held.pop(0) if held else self._queue.get()
            if job is None:
                return
            if not job.wanted():
                for deliver in [job.deliver] if isinstance(job, Job) else job.deliver:
                    deliver(ABANDONED)
                continue
            if isinstance(job, Job):
                job.deliver(guarded(job.run))
                continue
            if job.joinable:
                self._serve(job, held)
            else:
                _answer(job)

    def _serve(self, first: SampleJob, held: list[Job | SampleJob | None]) -> None:
        """Answers requests that came by themselves. Others join them between two tokens, until a job arrives that cannot."""
        serving = _Serving()
        serving.join(first)
        deadline = time.monotonic() + COALESCE_SECONDS
        while True:
            while not held:
                patience = max(0.0, deadline - time.monotonic())
                try:
                    following = self._queue.get(timeout=patience) if patience else self._queue.get_nowait()
                except queue.Empty:
                    break
                if not (isinstance(following, SampleJob) and following.joinable and following.wanted() and serving.join(following)):
                    held.append(following)
            if not serving.step():
                return


class _Serving:
    """Requests over one base, each with the adapter it asks for, that are answered as they are done."""

    def __init__(self) -> None:
        self._base: Network | Base | None = None
        self._sampler: Sampling | None = None
        self._open: dict[Request, tuple[SampleJob, Callable[[Answer], None]]] = {}
        self._keys: set[str] = set()

    def join(self, job: SampleJob) -> bool:
        """False when the job belongs to another base, or to one adapter too many."""
        if len(self._keys | {job.key}) > MOST_JOINED:
            return False
        made: list[Request] = []

        def run() -> Answer:
            base, adapter = job.sampler()
            if self._sampler is None:
                self._base, self._sampler = base, sampler_of(base)
            if base is not self._base:
                return {"joined": False}
            made.extend(self._sampler.add(spec, adapter) for spec in job.specs)
            return {"joined": True}

        answer = guarded(run)
        if answer.get("joined") is False:
            return False
        self._keys.add(job.key)
        self._open.update((request, (job, deliver)) for request, deliver in zip(made, job.deliver, strict=False))
        for deliver in job.deliver[len(made) :]:
            deliver(answer)
        return True

    def step(self) -> bool:
        """Draws tokens and delivers what is done. False when nothing is left."""
        sampler = self._sampler
        if sampler is None or sampler.idle:
            return False
        finished: list[Request] = []

        def run() -> Answer:
            finished.extend(sampler.step())
            return {}

        answer = guarded(run)
        if "error" in answer:
            sampler.abandon()
            for job, deliver in self._open.values():
                if len(self._open) == 1:
                    deliver(answer)
                else:  # one request's mistake must not fail its neighbours
                    _answer(job)
            return False
        for request in finished:
            _, deliver = self._open.pop(request)
            deliver(sample_answer(request.output))
        return True


def _answer(job: SampleJob) -> None:
    """Samples what belongs together. Nothing else is computed with it, so that the results are the same each time."""
    outputs: list[SampleOutput] = []

    def run() -> Answer:
        base, adapter = job.sampler()
        outputs.extend(sample(base, adapter, job.specs))
        return {}

    answer = guarded(run)
    for i, deliver in enumerate(job.deliver):
        deliver(sample_answer(outputs[i]) if outputs else answer)


def sample_answer(output: SampleOutput) -> Answer:
    answer: Answer = {
        "type": "sample",
        "sequences": [{"tokens": c.tokens, "logprobs": c.logprobs, "stop_reason": c.stop_reason} for c in output.completions],
    }
    if output.prompt_logprobs is not None:
        answer["prompt_logprobs"] = output.prompt_logprobs
    return answer


def guarded(run: Callable[[], Answer]) -> Answer:
    """The job's answer, or `{error, category}`."""
    try:
        return run()
    except RequestError as error:
        return {"error": error.message, "category": "user"}
    except ComputeError as error:
        return {"error": error.message, "category": error.category}
    except Exception as error:
        if is_out_of_memory(error):
            return {"error": f"out of memory: {error}".removesuffix(": "), "category": "server"}
        log.exception("a job failed")
        return {"error": f"{type(error).__name__}: {error}", "category": "server"}
