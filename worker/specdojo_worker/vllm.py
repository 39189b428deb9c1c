"""Sampling by vLLM, where it is installed, in place of `sampling.Sampler` and with the same calls.

vLLM holds a second copy of each base model, which adapters share; an adapter reaches it as a folder in PEFT's format. It draws
with its own random numbers: the same seed gives other tokens than the worker's own sampler, and they depend on the batch.
Models trained with all weights cannot be sampled, and grammars are refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import ComputeError
from .models import Limits, Runtime
from .sampling import Completion, Request, SampleOutput, SampleSpec, check_prompt

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as greatest rank of a base model's adapters."""

USUAL_RANK = 64
"""Room for adapters of at least this rank is made in any case."""

MOST_ADAPTERS = 4
"""Adapters that are computed in one batch."""

MEMORY = 0.4
"""Share of the GPU's memory that vLLM takes for weights and cache; the rest is for training."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA adapter as vLLM knows it; `release` makes it forget the adapter."""

    number: int
    request: object
    release: Callable[[], None]


class VllmBase:
    """vLLM's engine for one base model. For one thread."""

    def __init__(self, directory: Path, runtime: Runtime, limits: Limits, rank: int) -> None:
        """rank: the greatest among the adapters known so far."""
        # Before vllm is imported: no reports to its makers, and the engine in this process, which ends with us.
        os.environ.update(VLLM_NO_USAGE_STATS="1", VLLM_ENABLE_V1_MULTIPROCESSING="0")
        from vllm import LLM

        self.directory = directory
        self.limits = limits
        self.rank = next((r for r in RANKS if r >= max(rank, USUAL_RANK)), RANKS[-1])
        self._adapters = 0
        options: dict[str, Any] = {"gpu_memory_utilization": MEMORY} if runtime.device.type == "cuda" else {"enforce_eager": True}
        self._llm = LLM(
            model=str(directory), dtype=str(runtime.dtype).removeprefix("torch."), skip_tokenizer_init=True, enable_lora=True,
            max_lora_rank=self.rank, max_loras=MOST_ADAPTERS, enable_prefix_caching=True, logprobs_mode="raw_logprobs", trust_remote_code=False, **options,
        )  # fmt: skip

    def adapter(self, folder: Path, rank: int) -> Adapter:
        """The adapter in `folder` (adapter_config.json, adapter_model.safetensors)."""
        from vllm.lora.request import LoRARequest

        if rank > self.rank:
            raise ComputeError(
                f"lora_config.rank: is {rank}, and vLLM was started for adapters of at most rank {self.rank}; create the model before anything is sampled"
            )
        self._adapters += 1
        number = self._adapters
        return Adapter(number, LoRARequest(f"adapter-{number}", number, str(folder)), lambda: self._llm.llm_engine.remove_lora(number))

    def sampler(self) -> VllmSampler:
        return VllmSampler(self._llm.llm_engine, self.limits)


class VllmSampler:
    """As `sampling.Sampler`: requests are added, also between two steps, until all are done."""

    def __init__(self, engine: Any, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._requests = 0
        self._open: dict[str, Request] = {}

    def add(self, spec: SampleSpec, adapter: Adapter | None = None) -> Request:
        check_prompt(spec, self._limits)
        if spec.grammar is not None:
            raise ComputeError("sampling_params.grammar: is not supported where vLLM samples; start the worker without --sampler vllm")
        request = Request(spec, None, self._requests)
        self._requests += 1
        name = str(request.number)
        prompt = {"prompt_token_ids": spec.prompt.tolist()}
        self._engine.add_request(name, prompt, parameters(spec, self._limits), lora_request=None if adapter is None else adapter.request)
        self._open[name] = request
        return request

    @property
    def idle(self) -> bool:
        return not self._open

    def step(self) -> list[Request]:
        finished: list[Request] = []
        with torch.inference_mode():
            answers = self._engine.step()
        for answer in answers:
            if answer.finished:
                request = self._open.pop(answer.request_id)
                request.given = output(request.spec, answer)
                finished.append(request)
        return finished

    def abandon(self) -> None:
        """Drops what is not done."""
        self._engine.abort_request(list(self._open))
        self._open.clear()


def parameters(spec: SampleSpec, limits: Limits) -> Any:
    """The request in vLLM's words. It refuses several greedy completions of one prompt, which would be equal, and top_p 0."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    greedy = spec.temperature <= 0
    return SamplingParams(
        n=1 if greedy else spec.count,
        max_tokens=min(spec.max_tokens, limits.context - len(spec.prompt)),
        temperature=max(spec.temperature, 0.0),
        top_p=spec.top_p if spec.top_p > 0 else 1.0,
        top_k=1 if spec.top_p <= 0 else spec.top_k,
        seed=None if greedy else spec.seed,
        stop_token_ids=sorted(spec.stop),
        ignore_eos=True,
        logprobs=0,
        prompt_logprobs=0 if spec.prompt_logprobs else None,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def output(spec: SampleSpec, answer: Any) -> SampleOutput:
    """vLLM's answer in our words. `logprobs` holds one dictionary per token, with the drawn token's value among others."""
    completions: list[Completion] = []
    for one in sorted(answer.outputs, key=lambda o: o.index):
        tokens = list(one.token_ids)
        logprobs = [float(known[token].logprob) for token, known in zip(tokens, one.logprobs, strict=True)]
        if not all(map(math.isfinite, logprobs)):
            raise ComputeError("the model's probabilities are not finite", category="server")
        completions.append(Completion(tokens, logprobs, "stop" if one.finish_reason == "stop" else "length"))
    if spec.temperature <= 0:
        completions *= spec.count
    scores: list[float | None] | None = None
    if spec.prompt_logprobs:
        scores = [None if known is None else float(known[token].logprob) for token, known in zip(spec.prompt.tolist(), answer.prompt_logprobs, strict=True)]
        if spec.prompt_logprobs_last is not None:
            hidden = len(scores) - spec.prompt_logprobs_last
            scores[:hidden] = [None] * hidden
    return SampleOutput(completions, scores)
