"""The corpus is right and clean, its batches are aligned, and the exported model is the trained one."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from specdojo_worker.pretrain import apis
from specdojo_worker.pretrain import questions as q
from specdojo_worker.pretrain import tokenizer as tok
from specdojo_worker.pretrain.batches import BUCKETS, LANES, LENGTH, PROMPT_WEIGHT, SIZES, batches, pack
from specdojo_worker.pretrain.corpus import request, rows
from specdojo_worker.pretrain.golden import golden
from specdojo_worker.pretrain.model import Decoder, Shape
from specdojo_worker.pretrain.samples import SEEDS, sample
from specdojo_worker.pretrain.scenarios import NUMBERS
from specdojo_worker.pretrain.train import export

GOLDEN = Path(__file__).parents[2] / "test" / "fixtures" / "pretrain" / "prompts.json"
KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return tok.train(3, 700, menus=60)


def test_prompts_are_those_of_the_golden_file() -> None:
    assert golden() == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_seeds_reproduce_and_differ() -> None:
    assert sample(5, 3, 2) == sample(5, 3, 2)
    assert sample(SEEDS["replay"], 3, 2) != sample(SEEDS["other-apis"], 3, 2)


def fits(value: object, schema: dict) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    if not isinstance(value, KINDS[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean"):
        return False
    if isinstance(value, list):
        return all(fits(x, schema["items"]) for x in value)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return set(value) <= set(known) and set(schema.get("required", [])) <= set(value) and all(fits(x, known[k]) for k, x in value.items())
    return True


def test_gold_calls_fit_their_schemas_and_are_said() -> None:
    calls = unsaid = 0
    for row in sample(11, 150, 4):
        tools = {t["name"]: t["parameters"] for t in row["tools"]}
        assert len(tools) == len(row["tools"])
        for item in row["items"]:
            for call in item["gold"]:
                calls += 1
                assert fits(call["arguments"], tools[call["name"]]), (item, tools[call["name"]])
                for value in call["arguments"].values():
                    if isinstance(value, int) and not isinstance(value, bool):
                        said = re.search(rf"(?<!\d){re.escape(str(value))}(?!\d)", item["question"])
                        unsaid += not said and not (0 <= value < len(NUMBERS) and NUMBERS[value] in item["question"].lower())
    assert calls > 500
    assert unsaid < 5  # a few written wordings imply a number


def test_menus_have_one_to_forty_operations_in_both_renderings() -> None:
    drawn = [row for sizes in SIZES for row in itertools.islice(rows(41, sizes, 2), 60)]
    assert {1, 40} <= {len(row.tools) for row in drawn}
    in_full = [row for row in drawn if row.menu.startswith('Tools:\n{"name":')]
    assert 0 < len(in_full) < len(drawn) / 4
    assert all(json.loads(line)["parameters"]["type"] == "object" for row in in_full for line in row.menu.splitlines()[1:])


def test_conversations_have_up_to_five_turns_and_what_is_asked_was_said() -> None:
    rng = random.Random(6)
    lengths = set()
    for row in itertools.islice(rows(43, (6, 12), 1), 150):
        example = request(rng, row.tools, [], "talk")
        if not example:
            continue
        lengths.add(len(example.turns))
        assert [role for role, _ in example.turns] == ["user", "assistant"] * (len(example.turns) // 2) + ["user"]
        said = " ".join(text for role, text in example.turns if role == "user").lower()
        [spoken] = [op.spoken for op in row.tools if op.name == example.calls[0]["name"]]  # a written wording may stand for a constant
        for value in example.calls[0]["arguments"].values():
            if isinstance(value, int) and not isinstance(value, bool) and not spoken:
                assert str(value) in said or (value < len(NUMBERS) and NUMBERS[value] in said), example
    assert lengths == {3, 5}


def test_two_and_three_calls_are_different_ones() -> None:
    rng = random.Random(9)
    for row in itertools.islice(rows(44, (4, 8), 1), 60):
        for kind, count in (("two", 2), ("three", 3)):
            example = request(rng, row.tools, [], kind)
            if example:
                assert example.kind == kind and len(example.calls) == count
                assert all(a != b for a, b in itertools.combinations(example.calls, 2))


def test_several_things_are_asked_for_at_once() -> None:
    rng = random.Random(8)
    lengths = []
    for op in (op for seed in range(200) for op in apis.make_api(random.Random(seed), 10) if op.action == "bulk"):
        text, call = q.sentence(rng, op)
        [things] = call["arguments"].values()
        assert fits(call["arguments"], op.schema)
        lengths.append(len(things))
        for value in (x for thing in things for x in thing.values() if isinstance(x, int) and not isinstance(x, bool)):
            assert str(value) in text
    assert set(lengths) == {1, 2, 3}


def test_a_string_may_be_said_as_digits() -> None:
    menus = (row.tools for row in itertools.islice(rows(44, (6, 12), 1), 60))
    ids = [op.ref.sample(random.Random(1))[0] for tools in menus for op in tools if op.ref and op.ref.schema == {"type": "string"}]
    assert any(x.isdigit() for x in ids) and not all(x.isdigit() for x in ids)


def test_no_banned_name_or_noun() -> None:
    banned = apis.BANNED
    for row in itertools.islice(rows(21, (4, 12), 4), 400):
        for op in row.tools:
            assert re.sub(r"[^a-z]", "", op.name.lower()) not in banned
            assert not banned & set(op.noun.split())


def test_a_batch_trains_each_completion_token_at_its_place(small: Tokenizer) -> None:
    [row] = itertools.islice(rows(31, (2, 4), 6), 1)
    batch = pack(small, [(row.menu, row.branches)], 800)
    flat = batch.lanes.flatten()
    segments = batch.segments.flatten()
    assert len(batch.kinds) >= 3
    seen = set()
    for _, start, end in batch.kinds:
        where, targets = batch.where[start:end], batch.targets[start:end]
        text = small.decode(targets.tolist(), skip_special_tokens=False)
        seen.add(text)
        # The token after a trained position, in the same branch, is its target.
        assert torch.equal(flat[where[1:]], targets[:-1])
        assert len(set(segments[where].tolist())) == 1
    assert seen <= {b.completion for b in row.branches}
    assert (batch.targets[batch.kinds[-1][2] :] == -100).all()
    assert flat.numel() == LANES * LENGTH
    # A branch's prompt is trained too, but for its first token, and weighs less.
    prompts = [(before, start) for before, (_, start, _) in zip([0, *(end for _, _, end in batch.kinds)], batch.kinds, strict=False)]
    weights = torch.zeros_like(batch.weights)
    for (begin, start), (_, _, end) in zip(prompts, batch.kinds, strict=True):
        weights[begin:start], weights[start:end] = PROMPT_WEIGHT, 1.0
        assert "<|user|>" + small.decode(batch.targets[begin:start].tolist(), skip_special_tokens=False) in {b.prompt for b in row.branches}
    assert torch.equal(batch.weights, weights)


def test_long_requests_are_trained_as_often_as_they_are_drawn() -> None:
    tokenizer = Tokenizer.from_file(str(Path(__file__).parents[1] / "base-model" / "tokenizer.json"))
    drawn, trained = Counter[str](), Counter[str]()
    for row in itertools.islice(rows(33, (4, 8), 22), 80):
        drawn.update(branch.kind for branch in row.branches)
        trained.update(kind for kind, _, _ in pack(tokenizer, [(row.menu, row.branches)], 2000).kinds)
    shares = {kind: trained[kind] / drawn[kind] for kind in ("solver-one", "solver-two", "solver-three", "solver-none")}
    assert min(shares.values()) > 0.7 * max(shares.values())


def test_a_choice_is_the_start_of_an_answer(small: Tokenizer) -> None:
    choices = 0
    for row in itertools.islice(rows(34, (4, 8), 12), 20):
        for branch in row.branches:
            if branch.kind != "solver-choice":
                continue
            choices += 1
            cut = json.loads(branch.completion.removeprefix("<tool_call_answer>") + '":{}}]')
            assert cut[0]["name"] in {op.name for op in row.tools}
            # Its tokens are the first ones of the whole answer.
            whole = branch.completion + '":{"id":1}}]</tool_call_answer><|end|>'
            ids = small.encode(branch.completion).ids
            assert small.encode(whole).ids[: len(ids)] == ids
    assert choices > 40


def test_batches_are_as_long_as_menus_are(small: Tokenizer) -> None:
    drawn = list(itertools.islice(batches(small, 51), 40))
    assert [len(batch.menu) for batch in drawn] == [next(b.rows for b in BUCKETS if b.menu == batch.menu.shape[1]) for batch in drawn]
    widths = [0, *(b.menu for b in BUCKETS)]
    for batch in drawn:
        narrower = widths[widths.index(batch.menu.shape[1]) - 1]
        assert all(narrower < length <= batch.menu.shape[1] for length in batch.menu_length.tolist())
    assert len({batch.menu.shape[1] for batch in drawn}) >= 4
    early = list(itertools.islice(batches(small, 51, early=40), 40))
    assert sum(b.menu_length.float().mean() for b in early) < sum(b.menu_length.float().mean() for b in drawn)


def test_the_loss_weighs_each_token(small: Tokenizer) -> None:
    [row] = itertools.islice(rows(32, (2, 4), 6), 1)
    batch = pack(small, [(row.menu, row.branches)], 800)
    torch.manual_seed(0)
    model = Decoder(Shape(vocab=small.get_vocab_size(), hidden=64, heads=2, kv_heads=2, head_dim=32, ff=96, layers=2))
    with torch.no_grad():
        hidden = model(batch.menu, batch.lanes, model.places(batch))
        chances = (hidden[batch.where].float() @ model.model.embed_tokens.weight.T).log_softmax(-1)
        terms = [-weight * chances[i, target] for i, (weight, target) in enumerate(zip(batch.weights.tolist(), batch.targets.tolist(), strict=True)) if weight]
        answers = sum(end - start for _, start, end in batch.kinds)
        assert model.loss(batch.menu, batch.lanes, model.places(batch), batch.where, batch.targets, batch.weights).item() == pytest.approx(sum(terms).item() / answers, rel=0.02)


def test_the_export_is_the_trained_model(small: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    shape = Shape(vocab=small.get_vocab_size(), hidden=64, heads=2, kv_heads=2, head_dim=32, ff=96, layers=2)
    model = Decoder(shape)
    for p in model.parameters():
        if p.dim() == 2:
            torch.nn.init.normal_(p, std=0.1)
    export(model, small, tmp_path)
    other = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    [row] = itertools.islice(rows(41, (2, 3), 1), 1)
    batch = pack(small, [(row.menu, row.branches)], 300)
    with torch.no_grad():
        hidden = model(batch.menu, batch.lanes, model.places(batch))
        ours = (hidden @ model.model.embed_tokens.weight.to(hidden.dtype).T).float()
    ids = small.encode("<|system|>" + row.menu + row.branches[0].prompt + row.branches[0].completion).ids
    theirs = other(torch.tensor([ids])).logits[0]
    _, start, end = batch.kinds[0]
    places = batch.where[start:end]
    offset = len(ids) - 1 - len(places)
    assert (ours[places].softmax(-1) - theirs[offset : offset + len(places)].softmax(-1)).abs().max() < 0.02
    assert AutoTokenizer.from_pretrained(tmp_path)("Find pet 12.").input_ids == small.encode("Find pet 12.").ids
