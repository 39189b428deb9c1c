"""The written scenarios are sound: every wording can be asked, its call fits, and what is held out stays out."""

from __future__ import annotations

import itertools
import random
import re

import pytest
from test_pretrain import fits

from specdojo_worker.pretrain import apis, scenarios
from specdojo_worker.pretrain import questions as q
from specdojo_worker.pretrain.clean import branches, contaminated
from specdojo_worker.pretrain.corpus import Branch, make_api, rows
from specdojo_worker.pretrain.fingerprints import call_fingerprint, fingerprint, marks

SMALL = """
= tool library
item: tool / instrument
member: member / patron

> lend {item} | borrow {item}
. Lend {a item} to {a member}
- item: ref!
- member: ref!
- due date ~ until: date ; due back on {v}
- calm: bool
! lend {item} to {member}[ until {due date}]
? {member} is in no hurry with {item}[ and {due date}] @calm=true
"""


def test_a_scenario_is_read_whole() -> None:
    [scenario] = scenarios.parse(SMALL)
    [operation] = scenario.operations
    assert scenario.entities == {"item": ["tool", "instrument"], "member": ["member", "patron"]}
    assert [(x.names, x.kind, x.required, x.phrases) for x in operation.params] == [
        (["item"], "ref", True, []), (["member"], "ref", True, []), (["due date", "until"], "date", False, ["due back on {v}"]), (["calm"], "bool", False, []),
    ]
    first, second = operation.wordings
    assert first.imperative and not second.imperative
    assert [(piece.text, piece.optional) for piece in first.pieces] == [("lend {item} to {member}", False), (" until {due date}", True)]
    assert second.needs({"item", "member", "due date", "calm"}) == {"item", "member", "calm"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("! lend {tool} to {member}", "no parameter and no entity 'tool'"),
        ("! lend {item}", "required member not stated"),
        ("! lend {item}[ to {member}]", "required member not stated"),
        ("! lend {item} to {member} @calm=perhaps", "true or false"),
        ("! lend {item} to {member} @hurry=true", "no parameter 'hurry'"),
    ],
)
def test_a_wording_that_speaks_of_nothing_is_refused(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        scenarios.parse(SMALL + line + "\n", "small.txt")
    assert f"small.txt:{len(SMALL.splitlines()) + 1}" in str(caught.value)


def test_every_written_operation_can_be_asked_for_and_its_call_fits() -> None:
    rng = random.Random(1)
    asked = 0
    for scenario in scenarios.load():
        assert len(scenario.operations) >= 5, scenario.name
        for line in scenario.operations:
            assert line.descriptions and len(line.wordings) >= 5, (scenario.name, line.names)
        for op in apis.scenario_operations(rng, apis.Style(rng), scenario):
            for _ in range(3):
                text, call = q.sentence(rng, op)
                asked += 1
                assert not re.search(r"[{}\[\]]|@\w+=", text), text
                assert fits(call["arguments"], op.schema), (text, call)
    assert asked > 6000


def test_held_out_scenarios_are_never_trained_on() -> None:
    held = {s.name for s in scenarios.trained(held_out=True)}
    assert 5 <= len(held) <= len(scenarios.load()) // 6
    used = {op.spoken.scenario.name for row in itertools.islice(rows(5, (6, 12), 1), 250) for op in row.tools if op.spoken}
    assert len(used) > 50 and not used & held
    unseen = [op for seed in range(5) for op in make_api(random.Random(seed), 12, held_out=True)]
    assert {op.spoken.scenario.name for op in unseen if op.spoken} <= held
    assert any(op.spoken for op in unseen)


def test_no_two_businesses_of_an_api_have_a_thing_in_common() -> None:
    for seed in range(30):
        of: dict[str, set[str]] = {}
        for op in make_api(random.Random(seed), 25):
            if op.spoken:
                of.setdefault(op.spoken.scenario.name, set()).add(op.noun)
        for one, other in itertools.combinations(of.values(), 2):
            assert not one & other


def test_a_request_that_lacks_its_thing_is_asked_back() -> None:
    rng = random.Random(3)
    found = []
    for op in make_api(rng, 60):
        back = q.lacking(rng, op)
        if back:
            found.append(back)
            assert not re.search(r"\d", back[0].replace(op.noun, "")) or len(op.params) > 1
            assert back[1].endswith(("?", "."))
    assert len(found) > 10


def test_the_corpus_repeats_no_evaluation_data() -> None:
    assert len(marks()) > 300
    assert list(contaminated(itertools.islice(branches(7), 15_000))) == []


def test_contamination_is_found() -> None:
    calls = [{"name": "x", "arguments": {"a": 1}}]
    assert fingerprint("Show, my PROFILE!") == fingerprint("show my profile") and fingerprint("show my profile") in marks()
    assert call_fingerprint(calls) == call_fingerprint([{"arguments": {"a": 1}, "name": "x"}]) != call_fingerprint([{"name": "x", "arguments": {"a": 2}}])
    dirty = Branch("solver-one", "<|user|>Show my profile.<|assistant|>", "<tool_call_answer>[]</tool_call_answer><|end|>")
    assert len(list(contaminated([("Tools:", dirty)]))) == 1
    assert len(list(contaminated([("Tools:\naddPet()", dirty)]))) == 2
