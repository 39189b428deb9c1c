"""The one thread that computes. Jobs run in the order in which they were submitted."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .errors import ComputeError, RequestError
from .memory import is_out_of_memory
from .models import Network
from .sampling import SampleOutput, SampleSpec, sample

log = logging.getLogger("specdojo.engine")

COALESCE_SECONDS = 0.003
"""How long the first of several unbatched sampling requests waits for more."""

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
    """Requests that are sampled together. `sampler` gives network and adapter, on the engine thread."""

    key: str
    sampler: Callable[[], tuple[Network, str | None]]
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
            jobs = [job]
            if job.joinable:
                deadline = time.monotonic() + COALESCE_SECONDS
                while not held:
                    try:
                        following = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
                    except queue.Empty:
                        break
                    if isinstance(following, SampleJob) and following.joinable and following.key == job.key and following.wanted():
                        jobs.append(following)
                    else:
                        held.append(following)
            self._sample(jobs)

    def _sample(self, jobs: list[SampleJob]) -> None:
        specs = [spec for job in jobs for spec in job.specs]
        deliver = [d for job in jobs for d in job.deliver]
        outputs: list[SampleOutput] = []

        def run() -> Answer:
            network, adapter = jobs[0].sampler()
            check_specs(network, specs)
            outputs.extend(sample(network, adapter, specs))
            return {}

        answer = guarded(run)
        if not outputs and len(jobs) > 1:
            for job in jobs:  # one request's mistake must not fail its neighbours
                self._sample([job])
            return
        if not outputs:
            for d in deliver:
                d(answer)
            return
        for output, d in zip(outputs, deliver, strict=True):
            d(sample_answer(output))


def check_specs(network: Network, specs: Sequence[SampleSpec]) -> None:
    """Refuses prompts that the model cannot take."""
    for spec in specs:
        if len(spec.prompt) >= network.max_context:
            raise ComputeError(f"prompt: has {len(spec.prompt)} tokens and the model's context is {network.max_context}; nothing can be sampled")
        if int(spec.prompt.max()) >= network.vocabulary:
            raise ComputeError(f"prompt: token id {int(spec.prompt.max())} is outside the vocabulary of {network.vocabulary}")


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
