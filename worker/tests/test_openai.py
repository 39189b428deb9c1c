"""OpenAI's API: over plain HTTP, and with the `openai` package where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from client import TOKEN, HttpError, Worker
from transformers import AutoModelForCausalLM, AutoTokenizer


def ask(worker: Worker, call: str, body: dict[str, Any]) -> dict[str, Any]:
    return json.loads(worker.request("POST", f"/v1/{call}", body))


def greedy(directory: Path, text: str, count: int) -> list[int]:
    tokenizer, model = AutoTokenizer.from_pretrained(directory), AutoModelForCausalLM.from_pretrained(directory)
    prompt = tokenizer.encode(text, return_tensors="pt", add_special_tokens=False)
    return model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, do_sample=False)[0, prompt.shape[1] :].tolist()


def test_chat(worker: Worker, directories: dict[str, Path]) -> None:
    body = {"model": str(directories["qwen3"]), "messages": [{"role": "user", "content": "ab"}], "max_tokens": 5, "temperature": 0, "n": 2, "logprobs": True}
    found = ask(worker, "chat/completions", body)
    first, second = found["choices"]
    assert first["message"] == second["message"]
    assert found["usage"]["prompt_tokens"] == 4
    tokenizer = AutoTokenizer.from_pretrained(directories["qwen3"])
    want = [t for t in greedy(directories["qwen3"], "<user>ab<assistant>", 5) if t != 1]
    assert first["message"]["content"] == tokenizer.decode(want)
    assert [entry["token"] for entry in first["logprobs"]["content"]] == [tokenizer.decode([t]) for t in want]
    assert all(entry["logprob"] <= 0 for entry in first["logprobs"]["content"])


def test_completions(worker: Worker, directories: dict[str, Path]) -> None:
    name, tokenizer = str(directories["llama"]), AutoTokenizer.from_pretrained(directories["llama"])
    body = {"model": name, "prompt": "abc", "max_tokens": 6, "temperature": 0, "logprobs": 0}
    one = ask(worker, "completions", body)
    want = greedy(directories["llama"], "abc", 6)
    assert one["choices"][0]["text"] == tokenizer.decode([t for t in want if t != 1])
    assert len(one["choices"][0]["logprobs"]["token_logprobs"]) == len([t for t in want if t != 1])
    several = ask(worker, "completions", {**body, "prompt": ["abc", "xyz"], "n": 2})
    assert [c["index"] for c in several["choices"]] == [0, 1, 2, 3]
    assert several["choices"][0]["text"] == one["choices"][0]["text"]
    assert ask(worker, "completions", {**body, "prompt": tokenizer.encode("abc", add_special_tokens=False)})["choices"] == one["choices"]
    text = one["choices"][0]["text"].replace(" ", "")
    cut = ask(worker, "completions", {**body, "stop": [text[2]]})["choices"][0]
    assert cut["finish_reason"] == "stop"
    assert text[2] not in cut["text"]


def test_a_stream_says_the_same(worker: Worker, directories: dict[str, Path]) -> None:
    body = {"model": str(directories["qwen3"]), "messages": [{"role": "user", "content": "ab"}], "max_tokens": 5, "seed": 3}
    whole = ask(worker, "chat/completions", body)
    raw = worker.request("POST", "/v1/chat/completions", {**body, "stream": True, "stream_options": {"include_usage": True}}).decode()
    assert raw.endswith("data: [DONE]\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in raw.split("\n\n")[:-2]]
    text = "".join(choice["delta"].get("content", "") for event in events for choice in event["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert events[-1]["usage"] == whole["usage"]
    assert [c["finish_reason"] for e in events for c in e["choices"]][-1] == whole["choices"][0]["finish_reason"]


@pytest.mark.parametrize(
    ("call", "change", "status", "param"),
    [
        ("chat/completions", {"model": "tinker://a/sampler_weights/b"}, 404, "model"),
        ("chat/completions", {"model": "/no/such"}, 422, "model"),
        ("chat/completions", {"messages": []}, 422, "messages"),
        ("chat/completions", {"messages": [{"content": "a"}]}, 422, "messages[0].role"),
        ("chat/completions", {"tools": "x"}, 422, "tools"),
        ("chat/completions", {"temperature": 9}, 422, "temperature"),
        ("chat/completions", {"n": 1000}, 422, "n"),
        ("chat/completions", {"stop": 5}, 400, "stop"),
        ("chat/completions", {"presence_penalty": 1}, 400, "presence_penalty"),
        ("chat/completions", {"top_logprobs": 3}, 400, "top_logprobs"),
        ("chat/completions", {"response_format": {"type": "json_object"}}, 400, "response_format"),
        ("chat/completions", {"messages": [{"role": "user", "content": "a" * 300}]}, 400, "messages"),
        ("completions", {"prompt": None}, 400, "prompt"),
        ("completions", {"prompt": [120]}, 400, "prompt"),
        ("completions", {"prompt": ""}, 400, "prompt"),
        ("completions", {"prompt": "a", "logprobs": 5}, 400, "logprobs"),
        ("completions", {"prompt": "a", "echo": True}, 400, "echo"),
    ],
)
def test_mistakes(worker: Worker, directories: dict[str, Path], call: str, change: dict[str, Any], status: int, param: str) -> None:
    body = {"model": str(directories["qwen3"]), "messages": [{"role": "user", "content": "ab"}], "max_tokens": 2, **change}
    with pytest.raises(HttpError) as caught:
        ask(worker, call, body)
    assert (caught.value.status, caught.value.body["error"]["param"]) == (status, param)


def test_the_openai_package(worker: Worker, directories: dict[str, Path]) -> None:
    openai = pytest.importorskip("openai", reason="needs the openai package: pip install openai")
    model = worker.model(directories["qwen3"], 2)
    path = worker.call("save_weights_for_sampler", {"model_id": model, "path": "s", "seq_id": 1})["path"]
    client = openai.OpenAI(base_url=f"{worker.base}/v1", api_key=TOKEN, max_retries=0)
    for name in (str(directories["qwen3"]), path):
        messages = [{"role": "user", "content": "ab"}]
        chat = client.chat.completions.create(model=name, messages=messages, max_tokens=4, temperature=0, seed=1)
        pieces = client.chat.completions.create(model=name, messages=messages, max_tokens=4, temperature=0, seed=1, stream=True)
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == chat.choices[0].message.content
        text = client.completions.create(model=name, prompt=["ab", "cd"], max_tokens=4, temperature=0)
        assert len(text.choices) == 2
        assert name in [entry.id for entry in client.models.list()]
    with pytest.raises(openai.NotFoundError, match="no checkpoint"):
        client.chat.completions.create(model="tinker://a/sampler_weights/b", messages=[{"role": "user", "content": "ab"}])
