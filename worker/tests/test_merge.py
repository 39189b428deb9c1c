"""An adapter added to its base gives what PEFT gives, and nothing is left out without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from specdojo_worker.checkpoints import CheckpointPath, CheckpointStore
from specdojo_worker.errors import ComputeError
from specdojo_worker.merge import main, merge
from specdojo_worker.models import Runtime
from specdojo_worker.workspace import LoraSpec, Workspace

TOKENS = torch.tensor([[5, 9, 30, 31, 7]])


@pytest.fixture
def adapter(directories: dict[str, Path], tmp_path: Path) -> Path:
    """An adapter with random weights, as the worker saves it."""
    store = CheckpointStore(tmp_path / "state")
    workspace = Workspace(Runtime(torch.device("cpu"), torch.float32), store)
    workspace.create_model("m", str(directories["qwen3"]), LoraSpec(4))
    weights = workspace._models["m"].policy.weights
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for master in weights.masters:
            master.add_(0.05 * torch.randn(master.shape, generator=generator))
    path = CheckpointPath("m", "weights", "a")
    workspace.save_weights("m", path)
    return store.directory(path)


def change(adapter: Path, **values: Any) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, **values}))


def test_as_peft_does(directories: dict[str, Path], adapter: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(directories["qwen3"])
    with torch.no_grad():
        before = base(TOKENS).logits.clone()
        want = PeftModel.from_pretrained(base, adapter)(TOKENS).logits
        # What other servers write does not matter: the tensors say which modules they are for.
        change(adapter, target_modules=None, task_type=None)
        assert main([str(directories["qwen3"]), str(adapter), str(tmp_path / "out")]) == 0
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "out")(TOKENS).logits
        mended = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(directories["qwen3"]), adapter)(TOKENS).logits
    assert torch.equal(mended, want)
    assert torch.allclose(found, want, atol=1e-4)
    assert not torch.allclose(found, before, atol=1e-2)
    assert (tmp_path / "out" / "tokenizer.json").is_file()


@pytest.mark.parametrize(
    ("values", "words"),
    [({"use_dora": True}, "use_dora"), ({"r": None}, "must be numbers"), ({"rank_pattern": {"q_proj": 2}}, "rank_pattern")],
)
def test_refuses_other_adapters(directories: dict[str, Path], adapter: Path, tmp_path: Path, values: dict[str, Any], words: str) -> None:
    change(adapter, **values)
    with pytest.raises(ComputeError, match=words):
        merge(directories["qwen3"], adapter, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "words"),
    [("base_model.model.model.layers.9.mlp.up_proj.lora_{}.weight", "which the base model lacks"), ("base_model.model.score.{}", "not one of a pair")],
)
def test_nothing_is_left_out(directories: dict[str, Path], adapter: Path, tmp_path: Path, name: str, words: str) -> None:
    file = adapter / "adapter_model.safetensors"
    save_file({**load_file(file), name.format("A"): torch.zeros(4, 32), name.format("B"): torch.zeros(32, 4)}, file)
    with pytest.raises(ComputeError, match=words):
        merge(directories["qwen3"], adapter, tmp_path / "out")


def test_another_base(directories: dict[str, Path], adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in directories["qwen3"].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    weights = load_file(other / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    save_file({**weights, name: weights[name][:, :-1].contiguous()}, other / "model.safetensors", metadata={"format": "pt"})
    assert main([str(other), str(adapter), str(tmp_path / "out")]) == 1
    assert "the adapter is for" in capsys.readouterr().err
