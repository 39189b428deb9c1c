"""Sampling and training speed of the worker's engine against transformers' `generate`, on one random-weight model.

    OMP_NUM_THREADS=2 python bench/worker-sampling.py [--threads N] [--repeat N] [--dtype bfloat16] [--clock processor]

The workload of one self-play step: 8 prompts of 441 tokens (a common menu of 410 and a question of 31), 8 samples of
26 tokens each, on a 3 M parameter Qwen3; then one packed training step on the same 64 rows. `generate` gets the same
prompts and the same number of new tokens, as one batch of 64 rows (no padding is needed) and as 8 calls of 8, both in
the dtype in which the checkpoint loads (float32) and in the engine's dtype. With `--clock processor` the seconds are the
process's own (all threads), for machines that do other work too. Exits with 1 when the engine is not at
least 10 times as fast as the faster of the float32 ways; the factors to all of them are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config
from transformers.utils import logging as transformers_logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "worker"))

from specdojo_worker.checkpoints import CheckpointStore
from specdojo_worker.models import Runtime, resolve_runtime
from specdojo_worker.sampling import SampleSpec, sample
from specdojo_worker.training import AdamParams, Datum
from specdojo_worker.workspace import LoraSpec, Workspace

PROMPTS, SAMPLES, MENU, QUESTION, NEW = 8, 8, 410, 31, 26


def timed(run: Callable[[], object], repeat: int, clock: Callable[[], float]) -> float:
    """Median seconds by `clock` of `repeat` runs after two that warm up."""
    for _ in range(2):
        run()
    seconds: list[float] = []
    for _ in range(repeat):
        begin = clock()
        run()
        seconds.append(clock() - begin)
    return statistics.median(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description="Worker sampling against transformers' generate")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    options = parser.parse_args()
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    torch.set_num_threads(options.threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    runtime: Runtime = resolve_runtime(options.device, options.dtype)

    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "model"
        torch.manual_seed(0)
        config = Qwen3Config(
            vocab_size=2048, hidden_size=192, intermediate_size=512, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=6,
            head_dim=32, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=0,
        )  # fmt: skip
        AutoModelForCausalLM.from_config(config).save_pretrained(directory)
        rng = np.random.default_rng(0)
        menu = rng.integers(1, 2048, MENU)
        prompts = [np.concatenate([menu, rng.integers(1, 2048, QUESTION)]) for _ in range(PROMPTS)]

        workspace = Workspace(runtime, CheckpointStore(Path(folder) / "state"))
        network, adapter = workspace.sampler(f"base:{directory}")
        specs = [SampleSpec(prompt, SAMPLES, NEW, 1.0, seed, frozenset()) for seed, prompt in enumerate(prompts)]
        engine = timed(lambda: sample(network, adapter, specs), options.repeat, clock)
        outputs = sample(network, adapter, specs)
        if sum(len(c.tokens) for o in outputs for c in o.completions) != PROMPTS * SAMPLES * NEW:
            raise RuntimeError("the engine did not draw as many tokens as it should")

        rows = np.repeat(np.stack(prompts), SAMPLES, axis=0)
        settings = {"do_sample": True, "max_new_tokens": NEW, "min_new_tokens": NEW, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        peers: dict[str, float] = {}
        for dtype in dict.fromkeys((torch.float32, runtime.dtype)):
            plain = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).to(runtime.device)

            def generate(size: int, plain: PreTrainedModel = plain) -> None:
                with torch.inference_mode():
                    for begin in range(0, len(rows), size):
                        ids = torch.from_numpy(rows[begin : begin + size]).to(runtime.device)
                        plain.generate(ids, attention_mask=torch.ones_like(ids), **settings)

            for size in (len(rows), SAMPLES):
                label = f"generate, {str(dtype).removeprefix('torch.')}, {len(rows) // size} x {size} rows"
                peers[label] = timed(lambda size=size, generate=generate: generate(size), max(1, options.repeat // 3), clock)

        data: list[Datum] = []
        for prompt, output in zip(prompts, outputs, strict=True):
            for completion in output.completions:
                sequence = np.concatenate([prompt, completion.tokens])
                logprobs = np.zeros(len(sequence) - 1, dtype=np.float32)
                logprobs[-NEW:] = completion.logprobs
                advantages = np.zeros_like(logprobs)
                advantages[-NEW:] = rng.normal() / (PROMPTS * SAMPLES * NEW)
                data.append(Datum(sequence[:-1], sequence[1:], logprobs=logprobs, advantages=advantages))
        steps: dict[str, float] = {}
        for label, rank, beta in (("full weights", 0, 0.0), ("full weights, KL", 0, 0.01), ("LoRA rank 8", 8, 0.0)):
            workspace.create_model(label, str(directory), LoraSpec(rank))

            def step(label: str = label, beta: float = beta) -> None:
                workspace.forward_backward(label, data, "ppo", {"kl_beta": beta} if beta else {}, backward=True)
                workspace.optim_step(label, AdamParams(1e-4, grad_clip_norm=1.0))

            steps[label] = timed(step, options.repeat, clock)

    tokens = PROMPTS * SAMPLES * NEW
    computed = str(runtime.dtype).removeprefix("torch.")
    print(
        f"{PROMPTS} prompts x {SAMPLES} samples, {MENU + QUESTION} prompt tokens, {NEW} new tokens; {computed} on {runtime.device}, {options.threads} thread(s), clock: {options.clock}\n"
    )
    print("| what | seconds | new tokens/s | engine is faster by |\n|---|---|---|---|")
    print(f"| worker engine, {computed} | {engine:.3f} | {tokens / engine:,.0f} | |")
    for label, seconds in peers.items():
        print(f"| {label} | {seconds:.3f} | {tokens / seconds:,.0f} | {seconds / engine:.1f} |")
    for label, seconds in steps.items():
        print(f"| training step, {label} | {seconds:.3f} | | |")
    factor = min(seconds for label, seconds in peers.items() if "float32" in label) / engine
    print(f"\nThe engine is {factor:.1f} times as fast as generate on the checkpoint as it loads (float32), called the faster way.")
    return 0 if factor >= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
