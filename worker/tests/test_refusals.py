"""Bad requests of every call: a 4xx that names the field, and afterwards the worker goes on as if nothing had been asked."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from client import TOKEN, HttpError, Worker, cross_entropy, encoded, tensor
from starlette.requests import Request
from starlette.responses import Response

from specdojo_worker.checkpoints import CheckpointStore
from specdojo_worker.engine import Engine
from specdojo_worker.errors import ComputeError, RequestError
from specdojo_worker.models import Runtime
from specdojo_worker.openai import OpenAi
from specdojo_worker.rest import Rest
from specdojo_worker.server import Api
from specdojo_worker.web import MAX_BODY, MAX_MESSAGE, TokenGuard, guarded
from specdojo_worker.workspace import Workspace

SEQUENCE = [5, 9, 30, 31, 7, 8, 50, 51, 52, 1]
Body = dict[str, Any]


@pytest.fixture(scope="module")
def ids(worker: Worker, directories: dict[str, Path]) -> dict[str, str]:
    base = str(directories["qwen3"])
    session = worker.session()
    model = worker.model(directories["qwen3"], 2, session)
    sampling = worker.post("create_sampling_session", {"session_id": session, "sampling_session_seq_id": 90, "base_model": base})
    state = worker.call("save_weights", {"model_id": model, "path": "state", "seq_id": 1})["path"]
    sampler = worker.call("save_weights_for_sampler", {"model_id": model, "path": "sampler", "seq_id": 2})["path"]
    return {"base": base, "session": session, "model": model, "sampling": sampling["sampling_session_id"], "state": state, "sampler": sampler}


def datum(**change: Any) -> Body:
    return {**cross_entropy(SEQUENCE, 4), **change}


def losses(ids: dict[str, str], **change: Any) -> Body:
    given = {"data": [datum()], "loss_fn": "cross_entropy", **change}
    return {"model_id": ids["model"], "seq_id": 50, "forward_backward_input": given}


def inputs(**change: Any) -> Body:
    return {"data": [datum(loss_fn_inputs={**cross_entropy(SEQUENCE, 4)["loss_fn_inputs"], **change})]}


def sampled(ids: dict[str, str], params: Body | None = None, **change: Any) -> Body:
    return {"sampling_session_id": ids["sampling"], "seq_id": 50, "num_samples": 1, "prompt": encoded([5, 6]), "sampling_params": params or {}, **change}


def stepped(ids: dict[str, str], **adam: float) -> Body:
    return {"model_id": ids["model"], "seq_id": 50, "adam_params": adam}


def policy(**change: Any) -> Body:
    given = {"target_tokens": tensor([6], "int64"), "logprobs": tensor([-1.0]), "advantages": tensor([1.0]), **change}
    return {"loss_fn": "ppo", "data": [{"model_input": encoded([5]), "loss_fn_inputs": {k: v for k, v in given.items() if v is not None}}]}


F = "forward_backward_input"
D = f"{F}.data[0]"
I = f"{D}.loss_fn_inputs"  # noqa: E741

CASES: list[tuple[str, Callable[[dict[str, str]], Any], int, str]] = [
    ("create_session", lambda ids: {"tags": "x"}, 422, "tags"),
    ("create_session", lambda ids: {"tags": [1]}, 422, "tags"),
    ("create_session", lambda ids: {"user_metadata": 3}, 422, "user_metadata"),
    ("session_heartbeat", lambda ids: {}, 422, "session_id"),
    ("session_heartbeat", lambda ids: {"session_id": 5}, 422, "session_id"),
    ("session_heartbeat", lambda ids: {"session_id": "nobody"}, 404, "session_id"),
    ("create_sampling_session", lambda ids: {"session_id": ids["session"], "sampling_session_seq_id": 1}, 422, "base_model"),
    ("create_sampling_session", lambda ids: {"session_id": ids["session"], "base_model": ids["base"]}, 422, "sampling_session_seq_id"),
    (
        "create_sampling_session",
        lambda ids: {"session_id": ids["session"], "sampling_session_seq_id": -1, "base_model": ids["base"]},
        422,
        "sampling_session_seq_id",
    ),
    (
        "create_sampling_session",
        lambda ids: {"session_id": ids["session"], "sampling_session_seq_id": 90, "model_path": ids["sampler"]},
        409,
        "sampling_session_seq_id",
    ),
    ("create_sampling_session", lambda ids: {"session_id": ids["session"], "sampling_session_seq_id": 1, "model_path": ids["state"]}, 422, "model_path"),
    ("create_sampling_session", lambda ids: {"session_id": ids["session"], "sampling_session_seq_id": 1, "model_path": "/etc"}, 422, "model_path"),
    ("create_sampling_session", lambda ids: {"session_id": ids["session"], "sampling_session_seq_id": 1, "base_model": "/no/such"}, 422, "base_model"),
    ("get_info", lambda ids: {"model_id": "nobody"}, 404, "model_id"),
    ("weights_info", lambda ids: {"tinker_path": "tinker://../weights/x"}, 422, "tinker_path"),
    ("weights_info", lambda ids: {"tinker_path": ids["state"] + "\n"}, 422, "tinker_path"),
    ("create_model", lambda ids: {"session_id": "nobody"}, 404, "session_id"),
    ("create_model", lambda ids: {"session_id": ids["session"], "model_seq_id": "1"}, 422, "model_seq_id"),
    ("create_model", lambda ids: {"session_id": ids["session"], "model_seq_id": 7, "base_model": ids["base"]}, 422, "lora_config"),
    (
        "create_model",
        lambda ids: {"session_id": ids["session"], "model_seq_id": 7, "base_model": ids["base"], "lora_config": {"rank": -1}},
        422,
        "lora_config.rank",
    ),
    (
        "create_model",
        lambda ids: {"session_id": ids["session"], "model_seq_id": 7, "base_model": ids["base"], "lora_config": {"rank": 1e9}},
        422,
        "lora_config.rank",
    ),
    (
        "create_model",
        lambda ids: {"session_id": ids["session"], "model_seq_id": 7, "base_model": ids["base"], "lora_config": {"rank": 2, "train_mlp": 1}},
        422,
        "lora_config.train_mlp",
    ),
    (
        "create_model",
        lambda ids: {
            "session_id": ids["session"],
            "model_seq_id": 7,
            "base_model": ids["base"],
            "lora_config": {"rank": 2, "train_mlp": False, "train_attn": False},
        },
        422,
        "lora_config.train_attn",
    ),
    (
        "create_model",
        lambda ids: {
            "session_id": ids["session"],
            "model_seq_id": 7,
            "base_model": ids["base"],
            "lora_config": {"rank": 2},
            "optimizer_config": {"type": "dimuon"},
        },
        422,
        "optimizer_config.type",
    ),
    ("create_model", lambda ids: {"session_id": ids["session"], "model_seq_id": 1, "base_model": ids["base"], "lora_config": {"rank": 9}}, 409, "seq_id"),
    ("asample", lambda ids: sampled(ids, sampling_session_id="nobody"), 404, "sampling_session_id"),
    ("asample", lambda ids: sampled(ids, seq_id=None), 422, "seq_id"),
    ("asample", lambda ids: sampled(ids, seq_id=1.5), 422, "seq_id"),
    ("asample", lambda ids: sampled(ids, num_samples=0), 422, "num_samples"),
    ("asample", lambda ids: sampled(ids, num_samples=10**6), 422, "num_samples"),
    ("asample", lambda ids: sampled(ids, prompt=[5, 6]), 422, "prompt"),
    ("asample", lambda ids: sampled(ids, prompt=encoded([])), 422, "prompt.chunks"),
    ("asample", lambda ids: sampled(ids, prompt=encoded([5, 120])), 422, "prompt.chunks"),
    ("asample", lambda ids: sampled(ids, prompt=encoded([5, -1])), 422, "prompt.chunks[0].tokens"),
    ("asample", lambda ids: sampled(ids, prompt=encoded([5, "6"])), 422, "prompt.chunks[0].tokens"),
    ("asample", lambda ids: sampled(ids, prompt=encoded([5] * 256)), 422, "prompt"),
    ("asample", lambda ids: sampled(ids, prompt={"chunks": [{"type": "image", "data": ""}]}), 422, "prompt.chunks[0].type"),
    ("asample", lambda ids: sampled(ids, {"temperature": -1}), 422, "sampling_params.temperature"),
    ("asample", lambda ids: sampled(ids, {"temperature": "hot"}), 422, "sampling_params.temperature"),
    ("asample", lambda ids: sampled(ids, {"top_p": 2}), 422, "sampling_params.top_p"),
    ("asample", lambda ids: sampled(ids, {"top_k": -5}), 422, "sampling_params.top_k"),
    ("asample", lambda ids: sampled(ids, {"seed": -1}), 422, "sampling_params.seed"),
    ("asample", lambda ids: sampled(ids, {"max_tokens": 0}), 422, "sampling_params.max_tokens"),
    ("asample", lambda ids: sampled(ids, {"stop": [1, "a"]}), 422, "sampling_params.stop"),
    ("asample", lambda ids: sampled(ids, {"stop": ""}), 422, "sampling_params.stop"),
    ("asample", lambda ids: sampled(ids, topk_prompt_logprobs=3), 422, "topk_prompt_logprobs"),
    ("asample", lambda ids: sampled(ids, prompt_logprobs_last_n=1), 422, "prompt_logprobs_last_n"),
    ("asample", lambda ids: sampled(ids, prompt_logprobs="yes"), 422, "prompt_logprobs"),
    ("asample", lambda ids: sampled(ids, batch={"id": "b", "size": 0}), 422, "batch.size"),
    ("forward_backward", lambda ids: {"model_id": ids["model"]}, 422, "seq_id"),
    ("forward_backward", lambda ids: losses(ids, loss_fn=None), 422, f"{F}.loss_fn"),
    ("forward_backward", lambda ids: losses(ids, loss_fn="gspo"), 422, f"{F}.loss_fn"),
    ("forward_backward", lambda ids: losses(ids, loss_fn_config={"kl_beta": "x"}), 422, f"{F}.loss_fn_config.kl_beta"),
    ("forward_backward", lambda ids: losses(ids, loss_fn_config={"clip_low_threshold": 0.1}), 422, f"{F}.loss_fn_config.clip_low_threshold"),
    ("forward_backward", lambda ids: losses(ids, data={}), 422, f"{F}.data"),
    ("forward_backward", lambda ids: losses(ids, data=[5]), 422, D),
    ("forward_backward", lambda ids: losses(ids, data=[datum()] * 65_537), 413, f"{F}.data"),
    ("forward_backward", lambda ids: losses(ids, data=[datum(model_input=encoded([5, 120]))]), 422, f"{D}.model_input.chunks"),
    ("forward_backward", lambda ids: losses(ids, data=[datum(model_input=encoded([5] * 257))]), 422, f"{D}.model_input"),
    ("forward_backward", lambda ids: losses(ids, **inputs(target_tokens=tensor([120] * 9, "int64"))), 422, f"{I}.target_tokens"),
    ("forward_backward", lambda ids: losses(ids, **inputs(target_tokens=tensor([-1] * 9, "int64"))), 422, f"{I}.target_tokens"),
    ("forward_backward", lambda ids: losses(ids, **inputs(weights=tensor([1.0]))), 422, f"{I}.weights.data"),
    ("forward_backward", lambda ids: losses(ids, **inputs(weights=tensor([1e39] * 9))), 422, f"{I}.weights.data"),
    ("forward_backward", lambda ids: losses(ids, **inputs(weights={**tensor([1.0] * 9), "dtype": "float64"})), 422, f"{I}.weights.dtype"),
    ("forward_backward", lambda ids: losses(ids, **inputs(weights={**tensor([1.0] * 9), "shape": [3, 3]})), 422, f"{I}.weights.shape"),
    ("forward_backward", lambda ids: losses(ids, **inputs(weights={"data": [1.0], "sparse_crow_indices": [0]})), 422, f"{I}.weights.sparse_csr"),
    ("forward_backward", lambda ids: losses(ids, **inputs(mask=tensor([1.0] * 9))), 422, f"{I}.mask"),
    ("forward_backward", lambda ids: losses(ids, **policy(advantages=None)), 422, f"{I}.advantages"),
    ("forward_backward", lambda ids: losses(ids, **policy(logprobs=None)), 422, f"{I}.logprobs"),
    ("forward", lambda ids: {"model_id": ids["model"], "seq_id": 50, "forward_input": {"data": [], "loss_fn": "ppo"}}, 422, "forward_input.data"),
    ("optim_step", lambda ids: {"model_id": ids["model"], "seq_id": 50}, 422, "adam_params"),
    ("optim_step", lambda ids: {"model_id": ids["model"], "seq_id": 50, "adam_params": {}}, 422, "adam_params.learning_rate"),
    ("optim_step", lambda ids: {"model_id": ids["model"], "seq_id": 50, "adam_params": {"learning_rate": -1}}, 422, "adam_params.learning_rate"),
    ("optim_step", lambda ids: {"model_id": ids["model"], "seq_id": 50, "adam_params": {"learning_rate": 1, "beta1": 1}}, 422, "adam_params.beta1"),
    ("optim_step", lambda ids: {"model_id": ids["model"], "seq_id": 50, "optimizer_params": {"type": "dimuon"}}, 422, "optimizer_params"),
    ("optim_step", lambda ids: {"model_id": ids["model"], "seq_id": 1, "adam_params": {"learning_rate": 1}}, 409, "seq_id"),
    ("save_weights", lambda ids: {"model_id": ids["model"], "seq_id": 50}, 422, "path"),
    ("save_weights", lambda ids: {"model_id": ids["model"], "seq_id": 50, "path": "../x"}, 422, "path"),
    ("save_weights", lambda ids: {"model_id": ids["model"], "seq_id": 50, "path": "a" * 200}, 422, "path"),
    ("save_weights", lambda ids: {"model_id": ids["model"], "seq_id": 50, "path": "x", "ttl_seconds": "soon"}, 422, "ttl_seconds"),
    ("save_weights", lambda ids: {"model_id": ids["model"], "seq_id": 50, "path": "x", "user_metadata": {"a": 1}}, 422, "user_metadata"),
    ("save_weights_for_sampler", lambda ids: {"model_id": ids["model"], "seq_id": 50}, 422, "sampling_session_seq_id"),
    ("save_weights_for_sampler", lambda ids: {"model_id": ids["model"], "seq_id": 50, "path": "x", "kind": "inflight"}, 422, "kind"),
    (
        "save_weights_external",
        lambda ids: {"model_id": ids["model"], "seq_id": 50, "path": "x", "age_encryption_recipients": ["age1"]},
        422,
        "age_encryption_recipients",
    ),
    ("optim_step", lambda ids: stepped(ids, learning_rate=10**400), 422, "adam_params.learning_rate"),
    ("optim_step", lambda ids: stepped(ids, learning_rate=1e300), 422, "adam_params.learning_rate"),
    ("optim_step", lambda ids: stepped(ids, learning_rate=0.1, eps=0), 422, "adam_params.eps"),
    ("optim_step", lambda ids: {**stepped(ids, learning_rate=0.1), "seq_id": 2**63}, 422, "seq_id"),
    ("asample", lambda ids: sampled(ids, {"grammar": "root ::= $"}), 422, "sampling_params.grammar"),
    ("asample", lambda ids: sampled(ids, {"grammar": 'root ::= "a" | other'}), 422, "sampling_params.grammar"),
    ("create_model", lambda ids: {"session_id": ids["session"], "model_seq_id": 10**400}, 422, "model_seq_id"),
    ("load_weights", lambda ids: {"model_id": ids["model"], "seq_id": 50, "path": "x"}, 422, "path"),
    ("load_weights", lambda ids: {"model_id": ids["model"], "seq_id": 50, "path": "tinker://a/weights/b"}, 404, "path"),
    ("load_weights", lambda ids: {"session_id": ids["session"], "model_seq_id": 8, "path": ids["sampler"], "optimizer": True}, 422, "optimizer"),
    (
        "load_weights",
        lambda ids: {"session_id": ids["session"], "model_seq_id": 8, "path": ids["state"], "optimizer": True, "base_model": "other"},
        422,
        "base_model",
    ),
    ("unload_model", lambda ids: {"model_id": "nobody"}, 404, "model_id"),
    ("retrieve_future", lambda ids: {}, 422, "request_id"),
    ("cancel_future", lambda ids: {"request_id": "nobody"}, 404, "request_id"),
    ("sessions/nobody/finish", lambda ids: {}, 404, "session_id"),
]


@pytest.mark.parametrize(("call", "body", "status", "field"), CASES, ids=[f"{c[0]}-{c[3]}-{i}" for i, c in enumerate(CASES)])
def test_the_field_is_named(worker: Worker, ids: dict[str, str], call: str, body: Callable[[dict[str, str]], Any], status: int, field: str) -> None:
    with pytest.raises(HttpError) as caught:
        worker.post(call, body(ids))
    assert (caught.value.status, caught.value.body["field"]) == (status, field), caught.value.body
    assert caught.value.body["detail"].startswith(field)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/healthz/", 404),
        ("GET", "//api/v1/healthz", 404),
        ("GET", f"/api/v1/{'a' * 20_000}", 404),
        ("GET", "/api/v1/create_model", 405),
        ("GET", "/api/v1/training_runs/nobody", 404),
        ("GET", "/api/v1/training_runs/a%2Fb", 404),
        ("GET", "/api/v1/training_runs?limit=x", 422),
        ("GET", "/api/v1/training_runs/a/checkpoints/weights/b/archive", 404),
        ("GET", "/api/v1/training_runs/a/checkpoints/other/b/archive", 404),
        ("DELETE", "/api/v1/training_runs/a/checkpoints/weights/b", 404),
        ("GET", "/api/v1/samplers/nobody", 404),
        ("GET", "/api/v1/sessions/nobody", 404),
    ],
)
def test_unknown_addresses(worker: Worker, method: str, path: str, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        worker.request(method, path)
    assert caught.value.status == status
    assert 0 < len(caught.value.body["detail"]) <= MAX_MESSAGE


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 422),
        (b'{"model_id": NaN', {}, 422),
        (b"\xff\xfe", {}, 422),
        (b'{"model_id": "\\ud83d"}', {}, 422),
        (b'{"model_id": "\xed\xa0\xbd"}', {}, 422),
        ('{"model_id": "a"}'.encode("utf-16"), {}, 422),
        (b"[" * 100_000, {}, 422),
        (b"\x28\xb5\x2f\xfd", {"Content-Encoding": "zstd"}, 415),
        (b"\x0a\xff\xff\xff\xff\x0f", {"Content-Type": "application/x-protobuf"}, 422),
        (b"\x1a\x04\x0a\x02\x0a\x7f", {"Content-Type": "application/x-protobuf"}, 422),
        (b"", {"Content-Type": "application/x-protobuf"}, 422),
    ],
)
def test_bodies_that_cannot_be_read(worker: Worker, body: bytes, headers: dict[str, str], status: int) -> None:
    request = urllib.request.Request(f"{worker.base}/api/v1/forward_backward", body, {"X-API-Key": TOKEN, **headers}, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=300)
    assert caught.value.code == status
    assert json.loads(caught.value.read())["field"]


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Method and path of every call that the worker has."""
    store = CheckpointStore(tmp_path_factory.mktemp("routes"))
    api = Api(Engine(1), Workspace(Runtime(torch.device("cpu"), torch.float32), store), store)
    found = [*api.routes(), *Rest(api, TokenGuard(TOKEN)).routes(), *OpenAi(api).routes()]
    return [(method, route.path) for route in found for method in sorted(route.methods - {"HEAD"})]


ANY_OBJECT = {"client/config", "client/dynamic_config", "telemetry"}
"""Calls that make nothing of their body."""


def test_every_call_with_a_body_is_in_the_table(routes: list[tuple[str, str]]) -> None:
    calls = {path.removeprefix("/api/v1/") for method, path in routes if method == "POST" and path.startswith("/api/v1/")}
    refused = {re.sub(r"^sessions/nobody", "sessions/{session}", call) for call, *_ in CASES}
    assert calls - ANY_OBJECT == refused


def test_every_call_wants_the_token(worker: Worker, routes: list[tuple[str, str]]) -> None:
    assert len(routes) > 35
    for method, path in routes:
        for headers in ({}, {"X-API-Key": TOKEN[:-1]}, {"Authorization": f"Bearer {TOKEN}x"}, {"X-API-Key": f"{TOKEN} "[1:]}):
            with pytest.raises(HttpError) as caught:
                worker.request(method, re.sub(r"\{[^}]*\}", "x", path), {} if method in ("POST", "PUT") else None, headers)
            assert (caught.value.status, caught.value.body["field"]) == (401, "X-API-Key"), (method, path)


@pytest.mark.parametrize("body", [[], "x", 5, True])
def test_every_body_is_an_object(worker: Worker, ids: dict[str, str], routes: list[tuple[str, str]], body: object) -> None:
    for method, path in routes:
        if method not in ("POST", "PUT") or path.endswith(("/ttl", "/finish")):
            continue
        with pytest.raises(HttpError) as caught:
            worker.request(method, path, body)
        assert caught.value.status == 422, (path, caught.value.body)
        said = caught.value.body.get("error", caught.value.body)
        assert said.get("field", said.get("param")) == "body", (path, said)


@pytest.mark.parametrize("seconds", [0, -5, "soon", 1e300, True, 10**12])
def test_a_bad_time_to_live(worker: Worker, ids: dict[str, str], seconds: object) -> None:
    run, kind, name = ids["state"].removeprefix("tinker://").split("/")
    with pytest.raises(HttpError) as caught:
        worker.request("PUT", f"/api/v1/training_runs/{run}/checkpoints/{kind}/{name}/ttl", {"ttl_seconds": seconds})
    assert (caught.value.status, caught.value.body["field"]) == (422, "ttl_seconds")


WHOLE: dict[str, Callable[[dict[str, str]], Body]] = {
    "create_session": lambda ids: {"tags": ["a"], "user_metadata": {"a": "b"}, "display_name": "c"},
    "create_sampling_session": lambda ids: {
        "session_id": ids["session"],
        "sampling_session_seq_id": 700,
        "base_model": ids["base"],
        "model_path": ids["sampler"],
    },
    "get_info": lambda ids: {"model_id": ids["model"]},
    "weights_info": lambda ids: {"tinker_path": ids["state"]},
    "create_model": lambda ids: {
        "session_id": ids["session"],
        "model_seq_id": 1,  # taken: nothing is made
        "base_model": ids["base"],
        "lora_config": {"rank": 2, "alpha": 32, "seed": 1, "train_mlp": True, "train_attn": True, "train_unembed": False},
        "optimizer_config": {"type": "adamw"},
        "user_metadata": {"a": "b"},
    },
    "asample": lambda ids: {
        **sampled(ids, {"max_tokens": 2, "temperature": 1, "top_p": 1, "top_k": 3, "seed": 1, "stop": [1]}),
        "seq_id": 1,
        "prompt_logprobs": True,
        "prompt_logprobs_last_n": 1,
        "batch": {"id": "never whole", "size": 2},
    },
    "forward_backward": lambda ids: {**losses(ids, **policy(), loss_fn_config={"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}), "seq_id": 1},
    "forward": lambda ids: {"model_id": ids["model"], "seq_id": 1, "forward_input": {"data": [datum()], "loss_fn": "cross_entropy"}},
    "optim_step": lambda ids: {
        "model_id": ids["model"],
        "seq_id": 1,
        "adam_params": {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.9, "eps": 1e-9, "weight_decay": 0, "grad_clip_norm": 1},
    },
    "save_weights": lambda ids: {"model_id": ids["model"], "seq_id": 1, "path": "a", "ttl_seconds": 9, "user_metadata": {"a": "b"}, "overwrite": True},
    "save_weights_for_sampler": lambda ids: {"model_id": ids["model"], "seq_id": 1, "path": "a", "sampling_session_seq_id": 3, "kind": "snapshot"},
    "save_weights_external": lambda ids: {"model_id": ids["model"], "seq_id": 1, "path": "a"},
    "load_weights": lambda ids: {"model_id": ids["model"], "seq_id": 1, "path": ids["state"], "optimizer": True},
    "retrieve_future": lambda ids: {"request_id": "nothing"},
    "cancel_future": lambda ids: {"request_id": "nothing"},
}
ODD = (None, [], {}, "", "x", "\0", "\ud800", -1, 0.5, 1e308, float("nan"), 2**70, 10**400, True, ["x"], [[]], {"x": 1})


def changed(value: Any) -> Iterator[Any]:
    """The value with each of its parts, in turn, made odd."""
    yield from ODD
    if isinstance(value, dict):
        for key, part in value.items():
            for odd in changed(part):
                yield {**value, key: odd}
    elif isinstance(value, list):
        for i, part in enumerate(value):
            for odd in changed(part):
                yield [*value[:i], odd, *value[i + 1 :]]


@pytest.mark.parametrize("call", WHOLE)
def test_no_odd_value_is_a_fault_of_the_worker(worker: Worker, ids: dict[str, str], call: str) -> None:
    """Requests with a number that is taken or a batch that never is whole: none of them is computed."""
    answered = 0
    for body in changed(WHOLE[call](ids)):
        try:
            worker.post(call, body)
        except HttpError as error:
            assert error.status < 500, body
            assert error.body["detail"].startswith(error.body["field"]), body
        answered += 1
    assert answered > 10


WRITTEN: dict[str, Callable[[str], Body]] = {
    "/v1/chat/completions": lambda base: {
        "model": base,
        "messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": [{"type": "text", "text": "c"}]}],
        **{"max_completion_tokens": 1, "temperature": 1, "top_p": 1, "n": 1, "seed": 1, "stop": ["z"], "logprobs": True},
        **{"top_logprobs": 0, "logit_bias": {}, "stream": False, "stream_options": {"include_usage": True}},
    },
    "/v1/completions": lambda base: {
        "model": base,
        "prompt": ["ab", [5, 6]],
        **{"max_tokens": 1, "temperature": 1, "top_p": 1, "n": 1, "seed": 1, "stop": ["z"], "logprobs": 0, "echo": False},
    },
}


@pytest.mark.parametrize("path", WRITTEN)
def test_no_odd_value_is_a_fault_of_the_calls_for_text(worker: Worker, ids: dict[str, str], path: str) -> None:
    refused = 0
    for body in changed(WRITTEN[path](ids["base"])):
        if isinstance(body, dict) and body.get("model") == "x":
            continue  # the name of a model that could be downloaded
        try:
            worker.request("POST", path, body)
        except HttpError as error:
            said = error.body["error"]
            assert error.status < 500, body
            assert said["message"].startswith(said["param"]), body
            refused += 1
    assert refused > 50


def test_a_model_that_cannot_be_had_is_named_by_the_callers_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore(tmp_path)
    api = Api(Engine(1), Workspace(Runtime(torch.device("cpu"), torch.float32), store), store)

    def nowhere(name: str) -> Path:
        raise ComputeError(f"base_model: {name!r} cannot be had")

    monkeypatch.setattr(api.workspace.bases, "directory", nowhere)
    for field in ("model", "base_model"):
        with pytest.raises(RequestError) as caught:
            asyncio.run(api.tokenizer("owner/name", field))
        assert (caught.value.status, caught.value.field, caught.value.message) == (404, field, f"{field}: 'owner/name' cannot be had")


def exchange(worker: Worker, request: bytes, *, hang_up: bool = False) -> bytes:
    """What the worker says to these bytes, to the end of the connection."""
    with socket.create_connection(("127.0.0.1", worker.ready["port"]), 300) as connection:
        connection.sendall(request)
        if hang_up:
            return b""
        return b"".join(iter(lambda: connection.recv(65536), b""))


def head(length: int) -> bytes:
    lines = ["POST /api/v1/create_session HTTP/1.1", "Host: here", f"X-API-Key: {TOKEN}", f"Content-Length: {length}", "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_body_that_is_too_large_is_not_waited_for(worker: Worker) -> None:
    said = exchange(worker, head(MAX_BODY + 1) + b"{")
    assert said.startswith(b"HTTP/1.1 413 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["field"] == "body"


def test_clients_that_hang_up_within_a_body(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(20):
        exchange(worker, head(100) + b'{"tags": [', hang_up=True)
    assert worker.get("healthz") == {"status": "ok"}
    assert "Traceback" not in capfd.readouterr().err


def test_a_refusal_quotes_only_so_much(worker: Worker, ids: dict[str, str]) -> None:
    long = "a" * 100_000
    for body in ({"model_id": long}, losses(ids, loss_fn_config={long: 1})):
        with pytest.raises(HttpError) as caught:
            worker.post("forward_backward", body)
        assert caught.value.status in (404, 422)
        assert max(len(caught.value.body["detail"]), len(caught.value.body["field"])) <= MAX_MESSAGE


@pytest.mark.parametrize(("error", "status", "field"), [(MemoryError(), 413, "body"), (KeyError("x"), 500, None)])
def test_what_no_one_foresaw_is_answered_in_json(error: Exception, status: int, field: str | None) -> None:
    async def fails(request: Request) -> Response:
        raise error

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b"", "server": ("here", 1)})
    found = asyncio.run(guarded(fails)(request))
    assert found.status_code == status
    assert json.loads(bytes(found.body))["field"] == field


def test_no_file_outside_a_checkpoint(worker: Worker, ids: dict[str, str]) -> None:
    run, kind, name = ids["state"].removeprefix("tinker://").split("/")
    for file in ("../../../x", "%2e%2e/%2e%2e/x", "/etc/passwd", ""):
        with pytest.raises(HttpError) as caught:
            worker.request("GET", f"/api/v1/files/{run}/{kind}/{name}/{file}")
        assert caught.value.status == 404


def test_nothing_was_lost(worker: Worker, ids: dict[str, str]) -> None:
    """After all of these the numbers that they used are still free, and the model is what it was."""
    found = worker.call("forward_backward", losses(ids))
    assert found["metrics"]["tokens:sum"] == 6
    assert len(worker.wait(worker.post("asample", sampled(ids)))["sequences"]) == 1
