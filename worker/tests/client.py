"""A worker process and a client of its API, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "tml-a-token-for-tests-only"
"""The official SDK takes only keys that begin like this."""


class HttpError(Exception):
    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Worker:
    """Starts `python -m specdojo_worker` and speaks to it."""

    def __init__(self, state: Path | None, *extra: str, dtype: str = "float32") -> None:
        environment = {**os.environ, "SPECDOJO_WORKER_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "specdojo_worker", "--port", "0", "--parent-pid", str(os.getpid())]
        if state is not None:
            command += ["--state-dir", str(state)]
        command += ["--device", "cpu", "--dtype", dtype, "--threads", "1", *extra]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the worker ended before it was ready"
        self.ready = json.loads(line)
        self.base = f"http://127.0.0.1:{self.ready['port']}"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> int:
        if self.process.stdin:
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(300)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        url = path if path.startswith("http") else self.base + path
        given = {"X-API-Key": TOKEN} if headers is None else headers
        request = urllib.request.Request(url, data, {"Content-Type": "application/json", **given}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            content = error.read()
            raise HttpError(error.code, json.loads(content) if content.startswith(b"{") else content) from None

    def get(self, name: str) -> Any:
        return json.loads(self.request("GET", f"/api/v1/{name}"))

    def post(self, name: str, body: object) -> Any:
        return json.loads(self.request("POST", f"/api/v1/{name}", body))

    def wait(self, accepted: dict[str, Any]) -> Any:
        while True:
            result = self.post("retrieve_future", {"request_id": accepted["request_id"], "allow_metadata_only": False})
            if result.get("type") != "try_again":
                return result

    def call(self, name: str, body: object) -> Any:
        return self.wait(self.post(name, body))

    def session(self) -> str:
        return self.post("create_session", {"tags": [], "user_metadata": {}, "sdk_version": "0", "type": "create_session"})["session_id"]

    def model(self, base_model: Path, rank: int, session: str | None = None, **lora: object) -> str:
        body = {"session_id": session or self.session(), "model_seq_id": 1, "base_model": str(base_model), "lora_config": {"rank": rank, "seed": 3, **lora}}
        return self.call("create_model", body)["model_id"]


def encoded(tokens: list[int]) -> dict[str, Any]:
    return {"chunks": [{"type": "encoded_text", "tokens": tokens}]}


def tensor(values: list[float], dtype: str = "float32") -> dict[str, Any]:
    return {"data": values, "dtype": dtype, "shape": [len(values)]}


def cross_entropy(sequence: list[int], prompt: int) -> dict[str, Any]:
    weights = [0.0] * (prompt - 1) + [1.0] * (len(sequence) - prompt)
    return {"model_input": encoded(sequence[:-1]), "loss_fn_inputs": {"target_tokens": tensor(sequence[1:], "int64"), "weights": tensor(weights)}}
