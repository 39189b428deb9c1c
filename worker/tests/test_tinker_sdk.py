"""The official `tinker` SDK, unmodified, against a real worker.

`npm test` installs it into the environment that it makes. Otherwise it runs where this interpreter has the package, or where
SPECDOJO_TINKER_PYTHON names one that has it: `python -m venv sdk && sdk/bin/pip install tinker==0.38.0`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from client import TOKEN, Worker
from transformers import AutoModelForCausalLM

PYTHON = sys.executable if importlib.util.find_spec("tinker") else os.environ.get("SPECDOJO_TINKER_PYTHON")

pytestmark = pytest.mark.skipif(PYTHON is None, reason="needs the tinker SDK: pip install tinker==0.38.0, or SPECDOJO_TINKER_PYTHON")


@pytest.fixture(scope="module")
def found(directories: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with Worker(tmp_path_factory.mktemp("sdk")) as worker:
        program = Path(__file__).with_name("tinker_program.py")
        done = subprocess.run(
            [str(PYTHON), str(program), worker.base, TOKEN, str(directories["qwen3"])],
            capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])


def test_supervised_loop(found: dict[str, Any]) -> None:
    losses = found["supervised"]
    assert losses[-1] < 0.6 * losses[0]
    assert all(value < 0 for output in found["forward"] for value in output)
    assert found["lora_rank"] == 4


def test_a_resumed_model_goes_on_alike(found: dict[str, Any]) -> None:
    assert found["resumed"][0] == found["resumed"][1]
    # Without the optimizer's state the weights are the same and the step is another.
    assert found["without_optimizer"][0] == found["resumed"][0][0]
    assert found["without_optimizer"][1] != found["resumed"][0][1]
    assert found["checkpoint"] == [True, {"step": "6"}, True, True]
    assert found["undisturbed"] is True


def test_grpo_loop(found: dict[str, Any]) -> None:
    rewards = found["rewards"]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.1
    assert found["gap"] < 1e-4


def test_sampling(found: dict[str, Any]) -> None:
    assert found["seeded"] and found["top_k"] and found["top_p"]
    assert found["stop"] == ["stop", True]
    assert found.get("stop_string", ["stop", True]) == ["stop", True]
    assert "stop" in found["ends"]
    assert found["prompt_logprobs"] == [None, 6, True]


def test_rest(found: dict[str, Any]) -> None:
    assert found["models"] and found["sampler"]
    assert found["runs"] == 4
    assert found["run"] == [True, {"name": "first"}]
    assert found["weights_info"] == 2
    assert found["session"] == [True, 4]
    assert found["expires"] == [True]
    assert found["held"] == [["external", "sampler", "training"], ["sampler", "training"]]
    folder, names = found["export"]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(names)
    with torch.no_grad():
        assert AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([[5, 9]])).logits.shape == (1, 2, 120)


def test_a_loss_of_the_callers_own(found: dict[str, Any]) -> None:
    if found["custom"] is None:
        pytest.skip("forward_backward_custom of the SDK needs torch, which its interpreter lacks")
    assert found["custom"] > 0


def test_mistakes(found: dict[str, Any]) -> None:
    vocabulary, checkpoint, model = found["mistakes"]
    assert "vocabulary of 120" in vocabulary
    assert "there is no checkpoint" in checkpoint
    assert "there is no directory" in model
