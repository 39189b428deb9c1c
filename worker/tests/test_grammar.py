"""Constrained decoding keeps to the grammar, and changes nothing for the rows beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from specdojo_worker.errors import ComputeError
from specdojo_worker.grammar import guide
from specdojo_worker.models import Runtime, load
from specdojo_worker.sampling import SampleSpec, sample

BASE = Path(__file__).parents[1] / "base-model"
CALL = r"""root ::= "<tool_call_answer>[" call ("," call){0,2} "]</tool_call_answer>"
call ::= "{\"name\":\"" name "\",\"arguments\":{\"id\":" id "}}"
name ::= "getPetById" | "deletePet" | "getPet"
id ::= [1-9] [0-9]{0,3}
"""


@pytest.fixture(scope="module")
def network():
    network = load(BASE, Runtime(torch.device("cpu"), torch.float32))
    with torch.no_grad():  # a model without sense
        for parameter in network.hf.parameters():
            parameter.normal_(std=0.05)
    return network


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(BASE / "tokenizer.json"))


def spec(tokenizer: Tokenizer, **changes: object) -> SampleSpec:
    prompt = np.asarray(tokenizer.encode("<|user|>anything<|end|><|assistant|>", add_special_tokens=False).ids, dtype=np.int64)
    given = {"count": 4, "max_tokens": 120, "temperature": 1.0, "seed": 3, "stop": frozenset({0}), "grammar": CALL, **changes}
    return SampleSpec(prompt=prompt, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 50.0])
def test_a_model_without_sense_writes_calls(network, tokenizer: Tokenizer, temperature: float) -> None:
    (output,) = sample(network, None, [spec(tokenizer, temperature=temperature, count=16)])
    for completion in output.completions:
        assert completion.stop_reason == "stop"
        assert np.isfinite(completion.logprobs).all()
        text = tokenizer.decode(completion.tokens[:-1], skip_special_tokens=False)
        assert text.startswith("<tool_call_answer>") and text.endswith("</tool_call_answer>")
        calls = json.loads(text[len("<tool_call_answer>") : -len("</tool_call_answer>")])
        assert 1 <= len(calls) <= 3
        for call in calls:
            assert call["name"] in ("getPetById", "deletePet", "getPet")
            assert 1 <= call["arguments"]["id"] <= 9999


def test_rows_beside_a_guided_one_stay_as_they_are(network, tokenizer: Tokenizer) -> None:
    free = spec(tokenizer, grammar=None, max_tokens=12)
    (alone,) = sample(network, None, [free])
    beside, _ = sample(network, None, [free, spec(tokenizer, seed=9)])
    assert [c.tokens for c in beside.completions] == [c.tokens for c in alone.completions]


def test_logprobs_are_those_of_the_whole_distribution(network, tokenizer: Tokenizer) -> None:
    request = spec(tokenizer, count=1)
    (output,) = sample(network, None, [request])
    (completion,) = output.completions
    whole = np.concatenate([request.prompt, completion.tokens])
    (scored,) = sample(network, None, [SampleSpec(whole, 1, 1, 0.0, 0, frozenset({0}), prompt_logprobs=True)])
    assert scored.prompt_logprobs is not None
    np.testing.assert_allclose(completion.logprobs, scored.prompt_logprobs[len(request.prompt) :], atol=1e-4)


def test_every_spelling_is_open_and_the_end_only_at_the_end(tokenizer: Tokenizer) -> None:
    """Single characters as well as the tokens that a tokenizer would choose."""
    text = '[{"name":"getPetById","arguments":{"id":17}}]'
    begin, end = tokenizer.token_to_id("<tool_call_answer>"), tokenizer.token_to_id("</tool_call_answer>")
    for inside in (tokenizer.encode(text, add_special_tokens=False).ids, [tokenizer.token_to_id(letter) for letter in text]):
        follower = guide(CALL, BASE, frozenset({0}), 3072)
        for token in [begin, *inside, end]:
            allowed = follower.allowed()
            assert allowed[token]
            assert not allowed[0]
            follower.take(token)
        assert follower.allowed().nonzero()[0].tolist() == [0]


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("root ::= (", "cannot be compiled"),
        ("nothing", "no GBNF"),
        ("root ::= $", "no GBNF.*line 1"),
        (r'root ::= "\q"', "unknown escape"),
        ('root ::= missing "a"', "no rule 'missing'"),
        ('start ::= "a"', "no rule 'root'"),
        ('root ::= "a"{2,1}', "cannot be compiled"),
        (r'root ::= "\U00110000"', "is no character"),
        (r"root ::= [\uD800-\uDFFF]", "is no character"),
    ],
)
def test_a_wrong_grammar_is_the_callers_mistake(network, tokenizer: Tokenizer, grammar: str, message: str) -> None:
    with pytest.raises(ComputeError, match=message) as caught:
        sample(network, None, [spec(tokenizer, grammar=grammar)])
    assert "sampling_params.grammar" in str(caught.value)
    assert caught.value.category == "user"


@pytest.mark.parametrize("stop", [frozenset(), frozenset({0}), frozenset({5})])
def test_a_completion_ends_with_its_grammar_whatever_the_stop_tokens(network, tokenizer: Tokenizer, stop: frozenset[int]) -> None:
    """Token 0 is what the library itself takes for the end."""
    (output,) = sample(network, None, [spec(tokenizer, grammar='root ::= "12" | "345"', stop=stop)])
    for completion in output.completions:
        assert completion.stop_reason == "stop"
        text, end = (completion.tokens[:-1], completion.tokens[-1:]) if stop else (completion.tokens, [])
        assert tokenizer.decode(text) in ("12", "345")
        assert set(end) == stop


def test_a_grammar_without_any_text(network, tokenizer: Tokenizer) -> None:
    with pytest.raises(ComputeError, match="allows no text") as caught:
        sample(network, None, [spec(tokenizer, grammar="root ::= root", stop=frozenset())])
    assert caught.value.category == "user"
    (output,) = sample(network, None, [spec(tokenizer, grammar="root ::= root")])
    assert [c.tokens for c in output.completions] == [[0]] * 4


@pytest.mark.parametrize(
    ("grammar", "right", "wrong"),
    [
        ('root ::= ("ab"{2} | [^a-c\\x00-\\x1f]){2}', ["xabab", "zz"], ["ab", "xa", "\t\t"]),
        ('root ::= "\\"" [a-] [-b] "\\\\" . "\\x41\\n"', ['"--\\\u00fcA\n', '"ab\\\nA\n'], ['"ba']),
        ('root ::= list # a comment\nlist ::= "[" (list ("," list){0,2})? "]"', ["[]", "[[],[[]]]", "[[],[],[]]"], ["[,", "[[],[],[],"]),
        ('root ::= [\\u00e0-\\u00ff\\]]+ ""', ["\u00e9]\u00fc"], ["e"]),
    ],
)
def test_the_notation(tokenizer: Tokenizer, grammar: str, right: list[str], wrong: list[str]) -> None:
    def follows(text: str) -> tuple[bool, bool]:
        """Whether the text is allowed to its end, and whether it may end there."""
        follower = guide(grammar, BASE, frozenset({0}), 3072)
        for token in tokenizer.encode(text, add_special_tokens=False).ids:
            if not follower.allowed()[token]:
                return False, False
            follower.take(token)
        return True, bool(follower.allowed()[0])

    assert [follows(text) for text in right] == [(True, True)] * len(right)
    assert not any(all(follows(text)) for text in wrong)


def test_a_model_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ComputeError, match=r"tokenizer\.json"):
        guide(CALL, tmp_path, frozenset({0}), 99)
