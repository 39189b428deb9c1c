"""One GRPO step of the worker against one of TRL's GRPOTrainer: same model, prompts, group size and lengths.

    python -m venv trl && trl/bin/pip install -r worker/requirements.lock trl==1.16.0
    OMP_NUM_THREADS=2 trl/bin/python bench/grpo.py [--threads N] [--steps N] [--dtype bfloat16] [--clock processor]

A step is: sample 64 rows (8 prompts of 441 tokens that share a menu of 410, 8 samples of 26 tokens each), reward them,
one policy update with the clipped objective, one AdamW step; on a 3 M parameter Qwen3 of random weights, all of which
are trained. The two take turns in one process. TRL gets all rows as one batch, which is its fastest way here. Before
that, both compute loss and gradient of the same rollouts with importance ratios that differ from 1.

With `--clock processor` the seconds are the process's own (all threads), for machines that do other work too.
Exits with 1 when loss or gradient differ by more than 1e-3 (float32), or the worker is not at least 15 times as fast.
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
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    TrainerCallback,
)
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig, GRPOTrainer
from trl import __version__ as trl_version

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "worker"))

from specdojo_worker.checkpoints import CheckpointStore
from specdojo_worker.models import resolve_runtime
from specdojo_worker.sampling import SampleSpec, sample
from specdojo_worker.training import AdamParams, Datum
from specdojo_worker.workspace import LoraSpec, Workspace

PROMPTS, SAMPLES, MENU, QUESTION, NEW, VOCABULARY = 8, 8, 410, 31, 26, 2048
LEARNING_RATE = 1e-4
LIMIT = 1e-3
AIM = 15


def reward(tokens: list[int]) -> float:
    """Something that both sides compute alike and that differs within a group."""
    return sum(token % 7 for token in tokens) / len(tokens)


def make_model(directory: Path) -> None:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=192, intermediate_size=512, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=6,
        head_dim=32, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    words = Tokenizer(WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w1"))
    words.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w0", pad_token="w0").save_pretrained(directory)


class Ours:
    """The worker's engine, called as the server calls it."""

    def __init__(self, directory: Path, state: Path, dtype: str, prompts: list[np.ndarray]) -> None:
        self.workspace = Workspace(resolve_runtime("cpu", dtype), CheckpointStore(state))
        self.prompts = prompts
        self.workspace.create_model("model", str(directory), LoraSpec(0))
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        key = f"sampler-{self.steps}"
        self.workspace.save_ephemeral("model", key)
        network, adapter = self.workspace.sampler(key)
        specs = [SampleSpec(prompt, SAMPLES, NEW, 1.0, 1000 * self.steps + i, frozenset()) for i, prompt in enumerate(self.prompts)]
        data: list[Datum] = []
        for prompt, output in zip(self.prompts, sample(network, adapter, specs), strict=True):
            rewards = np.array([reward(completion.tokens) for completion in output.completions])
            advantages = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4) / (PROMPTS * SAMPLES * NEW)
            for completion, advantage in zip(output.completions, advantages, strict=True):
                data.append(datum(prompt, np.array(completion.tokens), np.array(completion.logprobs), np.full(NEW, advantage)))
        if sum(int(d.needed.sum()) for d in data) != PROMPTS * SAMPLES * NEW:
            raise RuntimeError("the engine did not draw as many tokens as it should")
        self.workspace.forward_backward("model", data, "ppo", {"trained_only": 1.0}, backward=True)
        self.workspace.optim_step("model", AdamParams(LEARNING_RATE, 0.9, 0.999, 1e-8, 0.0, 1.0))


def datum(prompt: np.ndarray, tokens: np.ndarray, logprobs: np.ndarray, advantages: np.ndarray) -> Datum:
    sequence = np.concatenate([prompt, tokens]).astype(np.int64)
    before = np.zeros(len(prompt) - 1, dtype=np.float32)
    return Datum(
        sequence[:-1], sequence[1:],
        logprobs=np.concatenate([before, logprobs]).astype(np.float32), advantages=np.concatenate([before, advantages]).astype(np.float32),
    )  # fmt: skip


class Turns(TrainerCallback):
    """Times TRL's steps, and takes one of ours after each."""

    def __init__(self, clock: Callable[[], float], ours: Ours) -> None:
        self.clock, self.ours = clock, ours
        self.begin = 0.0
        self.seconds: dict[str, list[float]] = {"trl": [], "ours": []}

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.begin = self.clock()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        middle = self.clock()
        self.ours.step()
        self.seconds["trl"].append(middle - self.begin)
        self.seconds["ours"].append(self.clock() - middle)


def make_trainer(directory: Path, output: Path, texts: list[str], dtype: str, steps: int) -> GRPOTrainer:
    settings = GRPOConfig(
        output_dir=str(output), per_device_train_batch_size=PROMPTS * SAMPLES, num_generations=SAMPLES, gradient_accumulation_steps=1,
        max_completion_length=NEW, generation_kwargs={"min_new_tokens": NEW}, temperature=1.0, beta=0.0, loss_type="dapo",
        learning_rate=LEARNING_RATE, lr_scheduler_type="constant", max_grad_norm=1.0, max_steps=steps, bf16=dtype == "bfloat16",
        gradient_checkpointing=False, use_cpu=True, report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip

    def rewards(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [reward(tokens) for tokens in completion_ids]

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return GRPOTrainer(
        model=model, reward_funcs=rewards, args=settings, train_dataset=Dataset.from_dict({"prompt": texts}),
        processing_class=PreTrainedTokenizerFast.from_pretrained(directory),
    )  # fmt: skip


def difference(trainer: GRPOTrainer, ours: Ours) -> tuple[float, float, float]:
    """TRL's loss, and how far ours and our gradient are from TRL's, relative to it, on rollouts that TRL sampled."""
    model = trainer.model
    model.train()
    rows = [row for row in trainer.train_dataset for _ in range(SAMPLES)]
    inputs = trainer._generate_and_score_completions(rows)
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    with torch.no_grad():
        now = trainer._get_per_token_logps_and_entropies(model, ids, mask, NEW)[0]
    # As if sampled by another policy: importance ratios from .67 to 1.5, some of which the objective clips.
    old = now + 0.4 * (2 * torch.rand(now.shape, generator=torch.Generator().manual_seed(1)) - 1)
    inputs["old_per_token_logps"] = old
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(model, inputs)
    loss.backward()
    theirs = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    data: list[Datum] = []
    for i in range(len(rows)):
        if not (mask[i] == 1).all():
            raise RuntimeError("TRL's rollouts are padded although all have one length")
        advantage = float(inputs["advantages"][i]) / (PROMPTS * SAMPLES * NEW)
        prompt, tokens = inputs["prompt_ids"][i].numpy(), inputs["completion_ids"][i].numpy()
        data.append(datum(prompt, tokens, old[i].numpy(), np.full(NEW, advantage)))
    policy = ours.workspace._model("model").policy
    _, metrics = policy.forward_backward(data, "ppo", {"trained_only": 1.0}, backward=True)
    gradients = dict(zip(policy.weights.names, policy.weights.gradients, strict=True))
    squared = sum(float((gradients[name] - g).square().sum()) for name, g in theirs.items())
    norm = sum(float(g.square().sum()) for g in theirs.values())
    policy.weights.clear()
    if theirs.keys() != gradients.keys() or norm == 0:
        raise RuntimeError("the gradients do not cover the same weights")
    return float(loss), abs(metrics["loss:sum"] - float(loss)) / abs(float(loss)), (squared / norm) ** 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description="One GRPO step against TRL's GRPOTrainer")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=6, help="steps of each; the first warms up and does not count")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    clock = time.perf_counter if options.clock == "wall" else time.process_time

    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "model"
        make_model(directory)
        rng = np.random.default_rng(0)
        menu = rng.integers(1, VOCABULARY, MENU)
        prompts = [np.concatenate([menu, rng.integers(1, VOCABULARY, QUESTION)]) for _ in range(PROMPTS)]
        texts = [" ".join(f"w{token}" for token in prompt) for prompt in prompts]

        exact = Ours(directory, Path(folder) / "exact", "float32", prompts)
        trainer = make_trainer(directory, Path(folder) / "check", texts, "float32", 1)
        loss, loss_off, gradient_off = difference(trainer, exact)
        print(f"float32, the same rollouts: loss {loss:.6f}; relative difference of the loss {loss_off:.2e}, of the gradient {gradient_off:.2e}", flush=True)

        ours = Ours(directory, Path(folder) / "state", options.dtype, prompts)
        trainer = make_trainer(directory, Path(folder) / "run", texts, options.dtype, options.steps)
        turns = Turns(clock, ours)
        trainer.add_callback(turns)
        trainer.train()

    trl, own = (statistics.median(turns.seconds[name][1:]) for name in ("trl", "ours"))
    print(f"{PROMPTS} x {SAMPLES} rows, {MENU + QUESTION} prompt tokens, {NEW} new tokens; {options.dtype}, {options.threads} thread(s), clock: {options.clock}\n")
    print("| one GRPO step | median, s | least, s | greatest, s |\n| --- | ---: | ---: | ---: |")
    for label, name in ((f"TRL {trl_version}", "trl"), ("the worker", "ours")):
        counted = turns.seconds[name][1:]
        print(f"| {label} | {statistics.median(counted):.3f} | {min(counted):.3f} | {max(counted):.3f} |")
    print(f"\nThe worker is {trl / own:.1f} times as fast.")
    agrees = loss_off <= LIMIT and gradient_off <= LIMIT
    return 0 if agrees and trl / own >= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
