"""Clients that come, share the worker, and vanish."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from client import ROOT, TOKEN, HttpError, Worker, cross_entropy, encoded

from specdojo_worker.checkpoints import CheckpointPath, CheckpointStore
from specdojo_worker.engine import Engine, Job
from specdojo_worker.models import Runtime
from specdojo_worker.server import Api
from specdojo_worker.wire import Fields
from specdojo_worker.workspace import Workspace

SEQUENCE = [5, 9, 30, 31, 7, 8, 50, 51, 52, 1]
ADAM = {"learning_rate": 1e-2}


def train(worker: Worker, model: str, steps: int, first: int = 1) -> list[float]:
    losses = []
    for step in range(steps):
        body = {"model_id": model, "seq_id": first + 2 * step, "forward_backward_input": {"data": [cross_entropy(SEQUENCE, 4)], "loss_fn": "cross_entropy"}}
        losses.append(worker.call("forward_backward", body)["metrics"]["loss:sum"])
        worker.call("optim_step", {"model_id": model, "seq_id": first + 2 * step + 1, "adam_params": ADAM})
    return losses


def test_a_client_that_vanishes_leaves_nothing_but_its_checkpoints(directories: dict[str, Path], tmp_path: Path) -> None:
    with Worker(tmp_path, "--session-timeout", "10") as worker:
        gone, alive = worker.session(), worker.session()
        beating = {gone, alive}

        def beat() -> None:
            while beating:
                for session in list(beating):
                    worker.post("session_heartbeat", {"session_id": session})
                time.sleep(0.3)

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        model = worker.model(directories["qwen3"], 2, gone)
        other = worker.model(directories["qwen3"], 2, alive)
        path = worker.call("save_weights", {"model_id": model, "path": "kept", "seq_id": 1})["path"]
        sampling = worker.post("create_sampling_session", {"session_id": gone, "sampling_session_seq_id": 1, "base_model": str(directories["qwen3"])})
        beating.discard(gone)
        limit = time.monotonic() + 300
        while time.monotonic() < limit:
            try:
                worker.get(f"samplers/{sampling['sampling_session_id']}")
            except HttpError:
                break
            time.sleep(0.3)
        with pytest.raises(HttpError) as caught:
            worker.post("session_heartbeat", {"session_id": gone})
        assert caught.value.status == 410
        with pytest.raises(HttpError) as caught:
            worker.post("optim_step", {"model_id": model, "seq_id": 2, "adam_params": ADAM})
        assert (caught.value.status, caught.value.body["field"]) == (404, "model_id")
        # The other client has noticed nothing, and the checkpoint is there for whoever comes back.
        assert len(train(worker, other, 2)) == 2
        back = worker.call("load_weights", {"session_id": alive, "model_seq_id": 5, "path": path, "optimizer": True})
        assert back["model_id"] == f"{alive}:train:5"
        assert len(train(worker, back["model_id"], 1)) == 1
        beating.clear()
        heart.join()


def test_a_finished_session_is_over_at_once(worker: Worker, directories: dict[str, Path]) -> None:
    session = worker.session()
    model = worker.model(directories["qwen3"], 2, session)
    worker.request("POST", f"/api/v1/sessions/{session}/finish", {"reason": {"type": "success"}})
    with pytest.raises(HttpError) as caught:
        worker.post("get_info", {"model_id": model})
    assert caught.value.status == 404
    assert session not in worker.get("sessions?limit=1000")["sessions"]


def test_two_clients_at_once_get_what_each_gets_alone(worker: Worker, directories: dict[str, Path]) -> None:
    base = directories["qwen3"]
    alone = train(worker, worker.model(base, 4), 5)
    models = [worker.model(base, 4) for _ in range(2)]
    found: dict[int, list[float]] = {}

    def client(i: int) -> None:
        found[i] = train(worker, models[i], 5)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: alone, 1: alone}


def test_a_cancelled_request_is_not_computed(directories: dict[str, Path], tmp_path: Path) -> None:
    engine, store = Engine(1), CheckpointStore(tmp_path)
    api = Api(engine, Workspace(Runtime(torch.device("cpu"), torch.float32), store), store)
    body = {"base_model": str(directories["qwen3"]), "prompt": encoded([5, 6]), "sampling_params": {"max_tokens": 2}}

    async def scenario() -> list[dict[str, object]]:
        free = threading.Event()
        engine.submit(Job(lambda: {"free": free.wait()}, lambda _: None))
        accepted = [json.loads((await api._asample(Fields(body), b"")).body) for _ in range(3)]
        await api._cancel(Fields({"request_id": accepted[1]["request_id"]}), b"")
        free.set()
        futures = [api._futures.get(one["request_id"]) for one in accepted]
        for future in futures:
            await future.done.wait()
        return [future.result or {} for future in futures]

    first, second, third = asyncio.run(scenario())
    engine.stop(60)
    assert "cancelled" in str(second["error"])
    assert "sequences" in first and "sequences" in third


def test_another_worker_on_the_same_folder_leaves_what_is_being_written(tmp_path: Path) -> None:
    path = CheckpointPath("run", "weights", "one")
    leftover = tmp_path / "run" / "weights" / ".tmp-of-a-dead-writer"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("x")
    store = CheckpointStore(tmp_path)
    with store.writing(path, {"base_model": "b"}) as draft:
        (draft / "weights").write_text("x")
        # As it does when it starts.
        program = "import sys; from pathlib import Path; from specdojo_worker.checkpoints import CheckpointStore; CheckpointStore(Path(sys.argv[1])).sweep()"
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
        assert (draft / "weights").exists()
        assert not leftover.exists()
    assert (store.require(path, "path") / "weights").read_text() == "x"
    assert [entry.name for entry in (tmp_path / "run" / "weights").iterdir()] == ["one"]


def test_a_parent_that_dies_during_the_start_leaves_no_worker(tmp_path: Path) -> None:
    environment = {**os.environ, "SPECDOJO_WORKER_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "specdojo_worker", "--state-dir", str(tmp_path), "--device", "cpu"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.close()  # type: ignore[union-attr]
    assert process.wait(300) in (0, 1)
    assert list(tmp_path.iterdir()) == []
