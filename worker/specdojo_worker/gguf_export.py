"""`python -m specdojo_worker.gguf_export MODEL OUT`: a Hugging Face folder of a Qwen2, Qwen3 or Llama model as one GGUF file.

Token ids are those of the folder's `tokenizer.json`. llama.cpp writes tokens as text from this file's list, which it needs
for grammars; it cannot always split text as that tokenizer does, so prompts should reach it as token ids.
The last line of stdout is JSON: `{"tensors": 56, "parameters": 5310464, "bytes": 21357664, "type": "f32"}`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors import safe_open

SMALL = 200_000_000
"""Models with fewer parameters are written in fp32, which is exact for bf16 weights and for fp16 ones."""

ARCHITECTURES = {
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
}

TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}

QWEN_SPLIT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
"""How Qwen's tokenizer splits text: the one splitter of llama.cpp that we can recognise."""


class ExportError(Exception):
    """What the user can mend; the message says how."""


def read_json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"{path.parent} has no {path.name}; give a folder in the layout of transformers") from error
    except ValueError as error:
        raise ExportError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ExportError(f"{path} is not a JSON object")
    return content


def tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and weights, one at a time, in the order of the files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ExportError(f"{folder} has no .safetensors file")
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                yield name, opened.get_tensor(name)


def interleave(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in llama.cpp's order for Llama: a rotated pair side by side, not half a head apart."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def add_vocabulary(writer: gguf.GGUFWriter, folder: Path, size: int, eos: list[int]) -> None:
    tokenizer = read_json(folder / "tokenizer.json")
    model = tokenizer["model"]
    if model.get("type") != "BPE" or "ByteLevel" not in json.dumps([tokenizer.get("pre_tokenizer"), tokenizer.get("decoder")]):
        raise ExportError(f"{folder / 'tokenizer.json'} is not a byte-level BPE tokenizer, such as those of Qwen and Llama 3")
    # Rows that no token uses get a name of their own: the list must be as long as the model has rows, without repetition.
    names = [f"[PAD{i}]" for i in range(size)]
    kinds = [gguf.TokenType.UNUSED] * size
    for text, index in model["vocab"].items():
        names[index], kinds[index] = text, gguf.TokenType.NORMAL
    for token in tokenizer.get("added_tokens", []):
        names[token["id"]] = token["content"]
        kinds[token["id"]] = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
    # The tags of answers are part of what a model says, also where its tokenizer calls them special.
    for index, text in enumerate(names):
        if kinds[index] == gguf.TokenType.CONTROL and re.fullmatch(r"</?\w+>", text):
            kinds[index] = gguf.TokenType.USER_DEFINED
    splits = json.dumps(tokenizer.get("pre_tokenizer"))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2" if json.dumps(QWEN_SPLIT) in splits else "default")
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]])
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(eos[0])
    if len(eos) > 1:
        writer.add_eot_token_id(eos[1])
    template = folder / "chat_template.jinja"
    if template.exists():
        writer.add_chat_template(template.read_text(encoding="utf-8"))


def eos_tokens(folder: Path, config: dict[str, object]) -> list[int]:
    generation = folder / "generation_config.json"
    given = (read_json(generation) if generation.exists() else {}).get("eos_token_id", config.get("eos_token_id"))
    found = given if isinstance(given, list) else [given]
    if not all(isinstance(token, int) for token in found) or not found:
        raise ExportError(f"{folder / 'config.json'} has no eos_token_id")
    return found


def export(folder: Path, out: Path, kind: str = "auto", name: str | None = None) -> dict[str, object]:
    """Writes `out` whole or not at all; the text says what was written (see the module)."""
    config = read_json(folder / "config.json")
    architecture = str((config.get("architectures") or [None])[0])
    if architecture not in ARCHITECTURES:
        raise ExportError(f"{architecture} cannot be written as GGUF here; {', '.join(ARCHITECTURES)} can")
    scaling = config.get("rope_scaling")
    rope = config.get("rope_parameters") or {}
    if (isinstance(scaling, dict) and scaling.get("rope_type", scaling.get("type")) not in (None, "default")) or rope.get("rope_type", "default") != "default":
        raise ExportError(f"{folder / 'config.json'} scales rotary positions, which is not written here; use llama.cpp's convert_hf_to_gguf.py")
    if config.get("use_sliding_window"):
        raise ExportError(f"{folder / 'config.json'} asks for a sliding window, which is not written here")
    weights = dict(tensors(folder))
    parameters = sum(w.numel() for w in weights.values())
    if kind == "auto":
        kind = "f32" if parameters < SMALL else "bf16"
    quantization, file_type = TYPES[kind]
    layers, heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
    hidden = int(config["hidden_size"])
    head = int(config.get("head_dim") or hidden // heads)
    kv_heads = int(config.get("num_key_value_heads") or heads)
    arch = ARCHITECTURES[architecture]
    partial = out.with_name(out.name + ".partial")
    writer = gguf.GGUFWriter(partial, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_name(name or "solver")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))
    add_vocabulary(writer, folder, int(config["vocab_size"]), eos_tokens(folder, config))
    names = gguf.get_tensor_name_map(arch, layers)
    written = 0
    for source, weight in weights.items():
        if source == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        target = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ExportError(f"the weight {source} has no place in a GGUF file of {architecture}")
        if arch == gguf.MODEL_ARCH.LLAMA and re.search(r"\.(q|k)_proj\.", source):
            weight = interleave(weight, heads if ".q_proj." in source else kv_heads)
        values = weight.to(torch.float32).numpy()
        # Norms and biases stay exact; llama.cpp wants them so.
        plain = values.ndim == 1 or quantization == gguf.GGMLQuantizationType.F32
        if plain:
            writer.add_tensor(target, np.ascontiguousarray(values))
        else:
            try:
                data = gguf.quants.quantize(values, quantization)
            except gguf.QuantError as error:
                raise ExportError(f"{source} cannot be written as {kind} ({error}); use --type f16") from error
            writer.add_tensor(target, data, raw_dtype=quantization)
        written += 1
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return {"tensors": written, "parameters": parameters, "bytes": out.stat().st_size, "type": kind}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="specdojo_worker.gguf_export", description="Writes a model folder as one GGUF file.")
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=["auto", *TYPES], default="auto")
    parser.add_argument("--name", help="general.name of the file")
    options = parser.parse_args(argv)
    try:
        print(json.dumps(export(options.model, options.out, options.type, options.name)))
    except ExportError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
