"""The protocol over HTTP, against a real worker process."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from client import ROOT, TOKEN, HttpError, Worker, cross_entropy, encoded, tensor
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

SEQUENCE = [5, 9, 30, 31, 7, 8, 50, 51, 52, 1]


def adam(rate: float = 1e-2) -> dict[str, float]:
    return {"learning_rate": rate, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.0, "grad_clip_norm": 1.0}


def step(worker: Worker, model: str, sequence: int, loss: str = "cross_entropy") -> float:
    data = [cross_entropy(SEQUENCE, 4)]
    found = worker.call("forward_backward", {"model_id": model, "seq_id": sequence, "forward_backward_input": {"data": data, "loss_fn": loss}})
    worker.call("optim_step", {"model_id": model, "seq_id": sequence + 1, "adam_params": adam()})
    return found["metrics"]["loss:sum"]


def asample(worker: Worker, session: str, sequence: int, prompt: list[int], **extra: Any) -> dict[str, Any]:
    params = {"max_tokens": 6, "temperature": 1.0, "seed": 11, "stop": [1]}
    body = {"sampling_session_id": session, "seq_id": sequence, "num_samples": 2, "prompt": encoded(prompt), "sampling_params": params, **extra}
    return worker.post("asample", body)


def sampling_session(worker: Worker, base: Path) -> str:
    body = {"session_id": worker.session(), "sampling_session_seq_id": 1, "base_model": str(base)}
    return worker.post("create_sampling_session", body)["sampling_session_id"]


def test_refuses_calls_without_the_token(worker: Worker) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"X-API-Key": ""}):
        for method, path in (("GET", "/api/v1/healthz"), ("POST", "/api/v1/create_session"), ("GET", "/v1/models"), ("GET", "/nowhere")):
            with pytest.raises(HttpError) as caught:
                worker.request(method, path, {} if method == "POST" else None, headers)
            assert caught.value.status == 401
    assert json.loads(worker.request("GET", "/api/v1/healthz", None, {"Authorization": f"Bearer {TOKEN}"})) == {"status": "ok"}


@pytest.mark.parametrize(
    ("call", "body", "status", "field"),
    [
        ("create_sampling_session", {"session_id": "none"}, 404, "session_id"),
        ("forward_backward", {"model_id": "none"}, 404, "model_id"),
        ("retrieve_future", {"request_id": "none"}, 404, "request_id"),
        ("asample", {"sampling_session_id": "none"}, 404, "sampling_session_id"),
        ("asample", {"base_model": "/no/such/directory"}, 422, "base_model"),
        ("weights_info", {"tinker_path": "tinker://a/weights/../b"}, 422, "tinker_path"),
        ("weights_info", {"tinker_path": "tinker://a/weights/b"}, 404, "tinker_path"),
        ("create_session", [], 422, "body"),
    ],
)
def test_a_mistake_names_its_field(worker: Worker, call: str, body: object, status: int, field: str) -> None:
    with pytest.raises(HttpError) as caught:
        worker.post(call, body)
    assert (caught.value.status, caught.value.body["field"]) == (status, field)
    assert caught.value.body["detail"].startswith(field)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"loss_fn": "dpo"}, "forward_backward_input.loss_fn"),
        ({"data": []}, "forward_backward_input.data"),
        ({"loss_fn_config": {"beta": 1}}, "forward_backward_input.loss_fn_config.beta"),
        ({"loss_fn": "ppo"}, "forward_backward_input.data[0].loss_fn_inputs.weights"),
        ({"data": [{"model_input": encoded([5, -1]), "loss_fn_inputs": {}}]}, "forward_backward_input.data[0].model_input.chunks[0].tokens"),
        (
            {"data": [{"model_input": encoded([5, 6]), "loss_fn_inputs": {"target_tokens": tensor([6], "int64")}}]},
            "forward_backward_input.data[0].loss_fn_inputs.target_tokens.data",
        ),
    ],
)
def test_bad_data_is_refused_by_path(worker: Worker, directories: dict[str, Path], change: dict[str, Any], field: str) -> None:
    model = worker.model(directories["qwen3"], 2)
    given = {"data": [cross_entropy(SEQUENCE, 4)], "loss_fn": "cross_entropy", **change}
    with pytest.raises(HttpError) as caught:
        worker.post("forward_backward", {"model_id": model, "seq_id": 1, "forward_backward_input": given})
    assert (caught.value.status, caught.value.body["field"]) == (422, field)


def test_bad_base_models_are_explained(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, content in (("broken", "{"), ("vision", '{"model_type": "vit"}'), ("pickled", '{"model_type": "llama"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    for name, words in (
        ("empty", "no config.json"),
        ("missing", "no directory"),
        ("broken", "model configuration"),
        ("vision", "causal"),
        ("pickled", "safetensors"),
    ):
        with pytest.raises(HttpError) as caught:
            worker.post("create_model", {"session_id": worker.session(), "model_seq_id": 1, "base_model": str(tmp_path / name), "lora_config": {"rank": 1}})
        assert caught.value.body["field"] == "base_model"
        assert words in caught.value.body["detail"]


def test_the_same_request_again_is_answered_once(worker: Worker, directories: dict[str, Path]) -> None:
    session = worker.session()
    body = {"session_id": session, "model_seq_id": 1, "base_model": str(directories["llama"]), "lora_config": {"rank": 2}}
    first, second = worker.post("create_model", body), worker.post("create_model", body)
    assert first == second
    model = worker.wait(first)["model_id"]
    request = {"model_id": model, "seq_id": 1, "forward_backward_input": {"data": [cross_entropy(SEQUENCE, 4)], "loss_fn": "cross_entropy"}}
    assert worker.post("forward_backward", request) == worker.post("forward_backward", request)
    norm = worker.call("optim_step", {"model_id": model, "seq_id": 2, "adam_params": adam()})["metrics"]["grad_norm:mean"]
    other = worker.model(directories["llama"], 2, seed=0)
    worker.call("forward_backward", {**request, "model_id": other})
    assert worker.call("optim_step", {"model_id": other, "seq_id": 2, "adam_params": adam()})["metrics"]["grad_norm:mean"] == norm
    for changed in ({**request, "forward_backward_input": {**request["forward_backward_input"], "loss_fn_config": {"kl_beta": 1}}},):
        with pytest.raises(HttpError) as caught:
            worker.post("forward_backward", changed)
        assert (caught.value.status, caught.value.body["field"]) == (409, "seq_id")
    with pytest.raises(HttpError) as caught:
        worker.post("optim_step", {"model_id": model, "seq_id": 1, "adam_params": adam()})
    assert caught.value.status == 409
    sampler = sampling_session(worker, directories["llama"])
    assert asample(worker, sampler, 1, [5, 6]) == asample(worker, sampler, 1, [5, 6])
    with pytest.raises(HttpError) as caught:
        asample(worker, sampler, 1, [5, 7])
    assert caught.value.status == 409


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_trains_saves_and_resumes_bit_exactly(worker: Worker, directories: dict[str, Path], kind: str, rank: int) -> None:
    model = worker.model(directories[kind], rank)
    before = [step(worker, model, n) for n in (1, 3, 5)]
    assert before[2] < before[1] < before[0]
    path = worker.call("save_weights", {"model_id": model, "path": "state-1", "seq_id": 7})["path"]
    again = worker.model(directories[kind], rank)
    worker.call("load_weights", {"model_id": again, "path": path, "optimizer": True, "seq_id": 1})
    assert [step(worker, model, n) for n in (8, 10, 12)] == [step(worker, again, n) for n in (2, 4, 6)]
    ends = [worker.call("save_weights", {"model_id": m, "path": "end", "seq_id": 20})["path"] for m in (model, again)]
    files = [unpack(worker, end) for end in ends]
    assert files[0].keys() == files[1].keys()
    for name in files[0]:
        if name != "checkpoint.json":
            assert files[0][name] == files[1][name], name
    assert worker.post("weights_info", {"tinker_path": path}) == {"base_model": str(directories[kind]), "is_lora": rank > 0, "lora_rank": rank or None}


def unpack(worker: Worker, path: str) -> dict[str, bytes]:
    run, kind, name = path.removeprefix("tinker://").split("/")
    link = worker.get(f"training_runs/{run}/checkpoints/{kind}%2F{name}/archive")
    address, _, query = link["url"].partition("?")
    signature = query[-64:]
    for forged in (address, link["url"].replace(signature, signature[::-1]), link["url"].replace("until=", "until=9"), link["url"].replace("/end.", "/other.")):
        if forged != link["url"]:
            with pytest.raises(HttpError) as caught:
                worker.request("GET", forged, None, {})
            assert caught.value.status == 401
    # The address is signed: it needs no token, so that any program can download it.
    with tarfile.open(fileobj=io.BytesIO(worker.request("GET", link["url"], None, {}))) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
def test_sampler_checkpoints_load_elsewhere(worker: Worker, directories: dict[str, Path], tmp_path: Path, kind: str) -> None:
    from peft import PeftModel

    made: dict[int, Path] = {}
    for rank in (0, 4):
        model = worker.model(directories[kind], rank)
        step(worker, model, 1)
        step(worker, model, 3)
        path = worker.call("save_weights_for_sampler", {"model_id": model, "path": "out", "seq_id": 5})["path"]
        listed = worker.get(f"training_runs/{model}/checkpoints")["checkpoints"]
        assert [(c["checkpoint_id"], c["checkpoint_type"], c["tinker_path"]) for c in listed] == [("sampler_weights/out", "sampler", path)]
        made[rank] = tmp_path / str(rank)
        for name, content in unpack(worker, path).items():
            (made[rank] / name).parent.mkdir(parents=True, exist_ok=True)
            (made[rank] / name).write_bytes(content)
        # The persisted and the ephemeral sampler are the same weights.
        ephemeral = worker.call("save_weights_for_sampler", {"model_id": model, "sampling_session_seq_id": 1, "seq_id": 6})["sampling_session_id"]
        persisted = worker.post("create_sampling_session", {"session_id": worker.session(), "sampling_session_seq_id": 1, "model_path": path})
        a = worker.wait(asample(worker, ephemeral, 1, [5, 9, 30], prompt_logprobs=True))
        b = worker.wait(asample(worker, persisted["sampling_session_id"], 1, [5, 9, 30], prompt_logprobs=True))
        assert a == b
        # And they are what training left: its logprobs agree with transformers on the exported files.
        full = AutoModelForCausalLM.from_pretrained(made[rank] if rank == 0 else made[rank] / "merged")
        found = worker.call(
            "forward", {"model_id": model, "seq_id": 7, "forward_backward_input": {"data": [cross_entropy(SEQUENCE, 1)], "loss_fn": "cross_entropy"}}
        )
        with torch.no_grad():
            logits = full(torch.tensor([SEQUENCE[:-1]])).logits[0].log_softmax(-1)
        want = logits.gather(1, torch.tensor(SEQUENCE[1:])[:, None])[:, 0]
        assert torch.allclose(torch.tensor(found["loss_fn_outputs"][0]["logprobs"]["data"]), want, atol=1e-4)
        assert AutoTokenizer.from_pretrained(made[rank]).encode("ab") == AutoTokenizer.from_pretrained(directories[kind]).encode("ab")

    with safe_open(made[4] / "adapter_model.safetensors", "pt") as file:
        names = set(file.keys())
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(directories[kind]), made[4])
    loaded = {n.replace(".default", "") for n, _ in adapted.named_parameters() if ".lora_" in n}
    assert loaded == names
    assert len(names) == 2 * 2 * 7
    merged = AutoModelForCausalLM.from_pretrained(made[4] / "merged")
    tokens = torch.tensor([SEQUENCE])
    with torch.no_grad():
        assert torch.allclose(adapted(tokens).logits, merged(tokens).logits, atol=1e-4)
        base = AutoModelForCausalLM.from_pretrained(directories[kind])
        assert not torch.allclose(base(tokens).logits, merged(tokens).logits, atol=1e-2)


def test_a_batch_does_not_depend_on_arrival(worker: Worker, directories: dict[str, Path]) -> None:
    prompts = [[5, 9, 30, n] for n in range(10, 22)]
    results: list[list[Any]] = []
    for shuffle in range(3):
        session = sampling_session(worker, directories["qwen3"])
        order = list(range(len(prompts)))
        random.Random(shuffle).shuffle(order)
        found: dict[int, Any] = {}

        def send(i: int, session: str = session, found: dict[int, Any] = found) -> None:
            found[i] = worker.wait(asample(worker, session, i + 1, prompts[i], batch={"id": "b1", "size": len(prompts)}))

        threads = [threading.Thread(target=send, args=(i,)) for i in order]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        results.append([found[i] for i in range(len(prompts))])
    assert results[0] == results[1] == results[2]
    assert all(len(r["sequences"]) == 2 for r in results[0])


def test_a_compute_failure_is_a_result(worker: Worker, directories: dict[str, Path]) -> None:
    sampler = sampling_session(worker, directories["qwen3"])
    model = worker.model(directories["qwen3"], 2)
    body = {"model_id": model, "path": "twice", "seq_id": 1}
    worker.call("save_weights", body)
    failed = worker.call("save_weights", {**body, "seq_id": 2})
    assert failed["category"] == "user"
    assert "exists already" in failed["error"]
    assert "sequences" in worker.wait(asample(worker, sampler, 3, [5, 6]))


def test_old_ephemeral_samplers_go(worker: Worker, directories: dict[str, Path]) -> None:
    model = worker.model(directories["qwen3"], 0)
    sessions = [
        worker.call("save_weights_for_sampler", {"model_id": model, "sampling_session_seq_id": n, "seq_id": n})["sampling_session_id"] for n in (1, 2, 3)
    ]
    assert "no longer kept" in worker.wait(asample(worker, sessions[0], 1, [5, 6]))["error"]
    assert "sequences" in worker.wait(asample(worker, sessions[2], 1, [5, 6]))
    worker.call("unload_model", {"model_id": model})
    with pytest.raises(HttpError) as caught:
        worker.post("optim_step", {"model_id": model, "seq_id": 9, "adam_params": adam()})
    assert (caught.value.status, caught.value.body["field"]) == (404, "model_id")


def test_ends_with_its_parent(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    assert set(worker.ready) == {"port", "pid", "device", "dtype"}
    worker.process.stdin.close()  # type: ignore[union-attr]
    assert worker.process.wait(300) == 0
    assert worker.process.stdout.read() == ""  # type: ignore[union-attr]


def test_sigterm_ends_cleanly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = Worker(None)
    session = worker.session()
    assert [p.name.startswith("specdojo-") for p in tmp_path.iterdir()] == [True]
    assert session
    worker.process.terminate()
    assert worker.process.wait(300) == 0
    assert list(tmp_path.iterdir()) == []


def test_ends_in_peace_while_a_client_waits(tmp_path: Path, directories: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    worker = Worker(tmp_path)
    # A batch whose second request never comes: its first waits.
    body = {"sampling_session_id": sampling_session(worker, directories["qwen3"]), "seq_id": 1, "prompt": encoded([5, 6])}
    accepted = worker.post("asample", {**body, "batch": {"id": "b", "size": 2}})
    said: list[object] = []

    def wait() -> None:
        try:
            worker.wait(accepted)
        except (HttpError, OSError) as error:  # the answer, or a connection that closed before it
            said.append(getattr(error, "status", 503))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)  # most likely it has asked by now
    worker.process.terminate()
    assert worker.process.wait(300) == 0
    waiting.join()
    assert said == [503]
    assert "Traceback" not in capfd.readouterr().err


def test_needs_a_token_and_no_argument_takes_it() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "SPECDOJO_WORKER_TOKEN"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "specdojo_worker"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "SPECDOJO_WORKER_TOKEN" in done.stderr
