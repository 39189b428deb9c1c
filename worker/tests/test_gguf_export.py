from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

gguf = pytest.importorskip("gguf", reason="pip install gguf==0.19.0")

from specdojo_worker import gguf_export  # noqa: E402

BUNDLED = Path(__file__).parents[1] / "base-model"


def read(path: Path) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape(tuple(reversed(t.shape.tolist()))) for t in reader.tensors}
    return fields, tensors


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model's files, with weights that a test may change."""
    folder = tmp_path_factory.mktemp("model")
    for file in BUNDLED.iterdir():
        if file.suffix in (".json", ".jinja", ".safetensors"):
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_bundled_model_is_written_exactly(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    report = gguf_export.export(model, out)
    fields, tensors = read(out)
    weights = load_file(model / "model.safetensors")
    config = json.loads((model / "config.json").read_text())
    assert report == {"tensors": len(weights), "parameters": sum(w.numel() for w in weights.values()), "bytes": out.stat().st_size, "type": "f32"}
    for key, name in {"block_count": "num_hidden_layers", "attention.head_count": "num_attention_heads", "context_length": "max_position_embeddings"}.items():
        assert fields[f"qwen3.{key}"] == config[name]
    assert fields["qwen3.rope.freq_base"] == pytest.approx(10000.0)
    assert fields["tokenizer.ggml.eos_token_id"] == config["eos_token_id"]
    for source, target in {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "model.layers.0.self_attn.q_proj.weight": "blk.0.attn_q.weight",
        "model.layers.5.self_attn.k_norm.weight": "blk.5.attn_k_norm.weight",
        "model.layers.3.mlp.down_proj.weight": "blk.3.ffn_down.weight",
    }.items():
        np.testing.assert_array_equal(tensors[target], weights[source].float().numpy())


def test_tokens_keep_their_ids_and_tags_can_be_written(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    gguf_export.export(model, out)
    fields, _ = read(out)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    names, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    for text, index in tokenizer["model"]["vocab"].items():
        assert names[index] == text
    assert kinds[names.index("<|end|>")] == gguf.TokenType.CONTROL
    assert kinds[names.index("<tool_call_answer>")] == gguf.TokenType.USER_DEFINED
    assert len(set(names)) == len(names) == json.loads((model / "config.json").read_text())["vocab_size"]


@pytest.mark.parametrize(("kind", "error"), [("f16", 2e-3), ("bf16", 1e-9), ("q8_0", 2e-2)])
def test_types(model: Path, tmp_path: Path, kind: str, error: float) -> None:
    out = tmp_path / "m.gguf"
    assert gguf_export.export(model, out, kind)["type"] == kind
    _, tensors = read(out)
    weights = load_file(model / "model.safetensors")
    want = weights["model.layers.1.mlp.up_proj.weight"].float().numpy()
    assert np.abs(tensors["blk.1.ffn_up.weight"] - want).max() <= error * np.abs(want).max()
    np.testing.assert_array_equal(tensors["output_norm.weight"], weights["model.norm.weight"].float().numpy())


def test_llama_rotates_neighbours() -> None:
    rows = torch.arange(16.0).reshape(16, 1)
    assert gguf_export.interleave(rows, heads=2)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel cannot be written"),
        ("config.json", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "scales rotary positions"),
        ("config.json", {"use_sliding_window": True}, "sliding window"),
        ("tokenizer.json", {"model": {"type": "Unigram", "vocab": []}}, "not a byte-level BPE"),
    ],
)
def test_what_cannot_be_written_is_named(model: Path, tmp_path: Path, file: str, change: dict[str, object], message: str) -> None:
    for one in model.iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes())
    content = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps(content | change))
    with pytest.raises(gguf_export.ExportError, match=message):
        gguf_export.export(tmp_path, tmp_path / "m.gguf")
    assert not list(tmp_path.glob("m.gguf*"))


def test_a_weight_without_a_place_is_named(model: Path, tmp_path: Path) -> None:
    for one in model.iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes())
    save_file(load_file(model / "model.safetensors") | {"model.layers.0.extra.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(gguf_export.ExportError, match=r"extra\.weight has no place"):
        gguf_export.export(tmp_path, tmp_path / "m.gguf")
    assert not list(tmp_path.glob("m.gguf*"))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gguf_export.main([str(tmp_path), str(tmp_path / "m.gguf")]) == 2
    assert "no config.json" in capsys.readouterr().err
    assert gguf_export.main([str(BUNDLED), str(tmp_path / "m.gguf")]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "f32"
