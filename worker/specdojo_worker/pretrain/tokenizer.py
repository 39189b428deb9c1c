"""The bundled byte-level BPE. A word is the same token in a question, a menu and JSON, so copying is exact:
camelCase is split, digits stand singly, the space is a token of its own, punctuation takes one space with it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .corpus import rows
from .vocabulary import COMMON

SPECIAL = [
    "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<question>", "</question>", "<tool_call_answer>", "</tool_call_answer>", "<think>", "</think>",
]
PATTERN = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]|[^\sA-Za-z0-9]+ ?|\s"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if loop.last and message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
def train(seed: int, size: int, menus: int = 3000) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)

    def texts():
        for row in itertools.islice(rows(seed, (3, 10), 10), menus):
            yield row.menu
            for branch in row.branches:
                text = branch.prompt + branch.completion
                for mark in SPECIAL:
                    text = text.replace(mark, "\n")
                yield text
        yield from (f"{w} {w.capitalize()}" for w in COMMON for _ in range(40))

    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """Writes the files that transformers and the TypeScript tokenizer read."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": None, "eos_token": "<|end|>", "pad_token": "<|pad|>", "model_max_length": context,
        "clean_up_tokenization_spaces": False, "chat_template": CHAT_TEMPLATE,
        "added_tokens_decoder": {str(tokenizer.token_to_id(t)): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True} for t in SPECIAL},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
