"""The bundled byte-level BPE. A word is the same token in a question, a menu and JSON, so copying is exact:
camelCase is split, digits stand singly, the space is a token of its own, punctuation takes one space with it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .corpus import rows

SPECIAL = [
    "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<question>", "</question>", "<tool_call_answer>", "</tool_call_answer>", "<think>", "</think>",
]
PATTERN = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]|[^\sA-Za-z0-9]+ ?|\s"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if loop.last and message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# General English, so that descriptions and questions of real documents do not fall into single letters.
COMMON = """
the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said
there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more
write go see number no way could people my than first water been call who now find long down day did get come made may part over new sound take only little
work know place year live me back give most very after thing our just name good sentence man think say great where help through much before line right too
mean old any same tell boy follow came want show also around form three small set put end does another well large must big even such because turn here why ask
went men read need land different home us move try kind hand picture again change off play spell air away animal house point page letter mother answer found
information available result results request response returns given multiple value values separated comma based provided using existing current access data
error success successful valid invalid required optional default maximum minimum between during without within under above total unique identifier
metadata additional endpoint account authentication authorization version details list search filter query parameter parameters configuration
application organization organizations address payment payments resource resources collection collections member members invitation permission permissions
monday tuesday wednesday thursday friday saturday sunday weekend month year week hour minute second morning evening visitor visitors opening hours special
available inventory quantity status complete completed purchase sale price product products estimate time ride driver rider location latitude longitude
dog cat friend family school money business company world country state city street phone email message photo image video music book food health report
""".split()


def train(seed: int, size: int, menus: int = 3000) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)

    def texts():  # noqa: ANN202
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
