"""Small random models, made from configurations."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

VOCABULARY = 120
KINDS = ("qwen2", "qwen3", "llama")


def config(kind: str, **changes: object) -> object:
    common = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        "initializer_range": 0.2,
        **changes,
    }
    if kind == "qwen2":
        return Qwen2Config(tie_word_embeddings=True, **common)
    if kind == "qwen3":
        return Qwen3Config(tie_word_embeddings=True, **{"head_dim": 8, **common})
    return LlamaConfig(tie_word_embeddings=False, **common)


def save_random(kind: str, directory: Path, seed: int = 0, **changes: object) -> Path:
    """Writes a random model with a tokenizer of single characters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config(kind, **changes))
    model.save_pretrained(directory)
    words = {"<bos>": 0, "<end>": 1, "<user>": 2, "<assistant>": 3, "<unk>": 4} | {chr(33 + i): 5 + i for i in range(94)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<end>", unk_token="<unk>", additional_special_tokens=["<user>", "<assistant>"]
    )
    fast.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    fast.save_pretrained(directory)
    return directory
