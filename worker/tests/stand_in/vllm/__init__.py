"""A stand-in for vLLM in tests where it is not installed: the calls that the worker makes, answered by transformers and peft."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from .sampling_params import RequestOutputKind


@dataclass
class SamplingParams:
    n: int = 1
    max_tokens: int | None = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE

    def __post_init__(self) -> None:
        if self.temperature == 0 and self.n > 1:
            raise ValueError(f"n must be 1 when using greedy sampling, got {self.n}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}.")


class LLM:
    def __init__(self, model: str, **options: object) -> None:
        self.llm_engine = Engine(model, options)


class Engine:
    def __init__(self, model: str, options: dict[str, object]) -> None:
        self.options = options
        self._model = model
        self._waiting: list[tuple[str, list[int], SamplingParams, object]] = []
        self._loaded: dict[int, object] = {0: AutoModelForCausalLM.from_pretrained(model)}

    def add_request(self, request_id: str, prompt: dict[str, list[int]], params: SamplingParams, lora_request: object = None) -> str:
        self._waiting.append((request_id, prompt["prompt_token_ids"], params, lora_request))
        return request_id

    def abort_request(self, request_ids: list[str]) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting[0] not in request_ids]

    def remove_lora(self, lora_id: int) -> bool:
        return self._loaded.pop(lora_id, None) is not None

    def step(self) -> list[SimpleNamespace]:
        """One request is done in each."""
        name, prompt, params, lora = self._waiting.pop(0)
        number = 0 if lora is None else lora.lora_int_id
        if number not in self._loaded:
            self._loaded[number] = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(self._model), lora.lora_path)
        model = self._loaded[number]
        outputs = [self._complete(model, prompt, params, index) for index in range(params.n)]
        if params.output_kind is not RequestOutputKind.FINAL_ONLY:
            outputs = outputs[-1:]  # the others came with earlier steps
        scores = None
        if params.prompt_logprobs is not None:
            logprobs = model(torch.tensor([prompt])).logits[0].log_softmax(-1)
            scores = [None, *({token: SimpleNamespace(logprob=float(row[token]))} for row, token in zip(logprobs[:-1], prompt[1:], strict=True))]
        return [SimpleNamespace(request_id=name, finished=True, outputs=outputs, prompt_logprobs=scores)]

    @staticmethod
    def _complete(model, prompt: list[int], params: SamplingParams, index: int) -> SimpleNamespace:  # type: ignore[no-untyped-def]
        tokens: list[int] = []
        logprobs: list[dict[int, SimpleNamespace]] = []
        generator = torch.Generator().manual_seed((params.seed or 0) + index)
        while len(tokens) < (params.max_tokens or 16) and not (tokens and tokens[-1] in params.stop_token_ids):
            row = model(torch.tensor([prompt + tokens])).logits[0, -1].log_softmax(-1)
            kept = row.masked_fill(row < row.topk(params.top_k or len(row)).values[-1], float("-inf"))
            drawn = row.argmax() if params.temperature == 0 else torch.multinomial((kept / params.temperature).softmax(-1), 1, generator=generator)[0]
            tokens.append(int(drawn))
            logprobs.append({int(drawn): SimpleNamespace(logprob=float(row[drawn]))})
        stopped = tokens[-1] in params.stop_token_ids
        return SimpleNamespace(index=index, token_ids=tokens, logprobs=logprobs, finish_reason="stop" if stopped else "length", stop_reason=None)
