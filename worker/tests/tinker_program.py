"""A program written with the official `tinker` SDK: a supervised loop, a GRPO loop, checkpoints, the REST calls.

python tinker_program.py URL KEY MODEL prints one JSON object of what it found; `test_tinker_sdk.py` runs it against the worker.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import urllib.request
from pathlib import Path

import tinker
from tinker import types

URL, KEY, MODEL = sys.argv[1:4]
PROMPT = [5, 9, 30, 31, 7, 8]
LIKED = 40
found: dict[str, object] = {"sdk": tinker.__version__}


def datum(tokens: list[int], prompt: int, **inputs: list[float]) -> types.Datum:
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData(data=tokens[1:], dtype="int64", shape=[len(tokens) - 1]),
            **{name: types.TensorData(data=[0.0] * (prompt - 1) + values, dtype="float32", shape=[len(tokens) - 1]) for name, values in inputs.items()},
        },
    )


service = tinker.ServiceClient(base_url=URL, api_key=KEY, user_metadata={"purpose": "test"})
rest = tinker.RestClient(base_url=URL, api_key=KEY)

# Supervised, with the SDK's defaults (attention, MLP and output layer).
training = service.create_lora_training_client(base_model=MODEL, rank=4, seed=3, user_metadata={"name": "first"}).result()
run = training.get_info().model_id
found["lora_rank"] = training.get_info().lora_rank
examples = [datum([*PROMPT, 50, 51, 52, 1], 6, weights=[1.0] * 4), datum([*PROMPT, 60, 61, 1], 6, weights=[1.0] * 3)]


def supervised(client: tinker.TrainingClient, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        passed = client.forward_backward(examples, "cross_entropy")
        stepped = client.optim_step(types.AdamParams(learning_rate=1e-2, grad_clip_norm=1.0))
        losses.append(passed.result().metrics["loss:sum"])
        stepped.result()
    return losses


found["supervised"] = supervised(training, 6)
forward = training.forward(examples, "cross_entropy").result()
found["forward"] = [output["logprobs"].tolist() for output in forward.loss_fn_outputs]

# Saved, listed, resumed: both go on alike.
state = training.save_state("half", ttl_seconds=86_400, user_metadata={"step": "6"}).result().path
resumed = service.create_training_client_from_state_with_optimizer(state).result()
found["resumed"] = [supervised(client, 3) for client in (training, resumed)]
fresh = service.create_training_client_from_state(state).result()
found["without_optimizer"] = supervised(fresh, 2)
checkpoint = rest.list_checkpoints(run).result().checkpoints[0]
found["checkpoint"] = [checkpoint.tinker_path == state, checkpoint.user_metadata, checkpoint.expires_at is not None, (checkpoint.size_bytes or 0) > 1000]

# A second model over the same base does not disturb the first.
other = service.create_lora_training_client(base_model=MODEL, rank=2, seed=5, train_unembed=False).result()
before = training.forward(examples, "cross_entropy").result().metrics["loss:sum"]
supervised(other, 3)
found["undisturbed"] = training.forward(examples, "cross_entropy").result().metrics["loss:sum"] == before

# GRPO: the reward is the share of one token.
rewards = []
for step in range(12):
    sampler = other.save_weights_and_get_sampling_client().result()
    params = types.SamplingParams(max_tokens=6, temperature=1.0, seed=100 + step, stop=[])
    group = sampler.sample(prompt=types.ModelInput.from_ints(PROMPT), num_samples=16, sampling_params=params).result().sequences
    scores = [sum(token == LIKED for token in sequence.tokens) / len(sequence.tokens) for sequence in group]
    mean = sum(scores) / len(scores)
    rewards.append(mean)
    loss = ("importance_sampling", "ppo", "cispo")[step % 3]
    data = [
        datum([*PROMPT, *sequence.tokens], 6, logprobs=sequence.logprobs, advantages=[score - mean] * len(sequence.tokens))
        for sequence, score in zip(group, scores, strict=True)
    ]
    passed = other.forward_backward(
        data, loss, loss_fn_config={"clip_low_threshold": 0.8, "clip_high_threshold": 1.2} if loss != "importance_sampling" else None
    )
    other.optim_step(types.AdamParams(learning_rate=2e-2)).result()
    result = passed.result()
    if step == 0:  # what is trained on is what was sampled
        found["gap"] = max(
            abs(a - b)
            for output, sequence in zip(result.loss_fn_outputs, group, strict=True)
            for a, b in zip(output["logprobs"].tolist()[5:], sequence.logprobs, strict=True)
        )
found["rewards"] = rewards

# Sampling.
path = other.save_weights_for_sampler("final").result().path
sampler = service.create_sampling_client(model_path=path).result()


def sample(count: int = 1, **params: object) -> types.SampleResponse:
    given = {"max_tokens": 8, "temperature": 1.0, "seed": 1, "stop": [], **params}
    return sampler.sample(prompt=types.ModelInput.from_ints(PROMPT), num_samples=count, sampling_params=types.SamplingParams(**given)).result()


tokens = sample(4).sequences[0].tokens
found["seeded"] = [s.tokens for s in sample(4).sequences] == [s.tokens for s in sample(4).sequences]
found["top_k"] = sample(top_k=1).sequences[0].tokens == sample(temperature=0.0).sequences[0].tokens
found["top_p"] = sample(top_p=1e-6).sequences[0].tokens == sample(temperature=0.0).sequences[0].tokens
stopped = sample(stop=[tokens[3]]).sequences[0]
found["stop"] = [stopped.stop_reason, stopped.tokens == tokens[: tokens.index(tokens[3]) + 1]]
letter = chr(33 + tokens[2] - 5) if tokens[2] >= 5 else None
if letter is not None:
    cut = sample(stop=[letter]).sequences[0]
    found["stop_string"] = [cut.stop_reason, cut.tokens[-1] == tokens[2]]
found["ends"] = sorted({s.stop_reason for s in sample(64, stop=None, max_tokens=200, temperature=1.5).sequences})
scored = sampler.compute_logprobs(types.ModelInput.from_ints(PROMPT)).result()
found["prompt_logprobs"] = [scored[0], len(scored), all(math.isfinite(v) and v < 0 for v in scored[1:])]
found["sampler"] = rest.get_sampler(sampler._sampling_session_id).result().base_model == MODEL

# REST.
found["models"] = MODEL in [m.model_name for m in rest.get_server_capabilities().result().supported_models]
runs = rest.list_training_runs().result().training_runs
found["runs"] = len(runs)
found["run"] = [rest.get_training_run(run).result().base_model == MODEL, rest.get_training_run(run).result().user_metadata]
found["weights_info"] = rest.get_weights_info_by_tinker_path(path).result().lora_rank
session = service.holder.get_session_id()
found["session"] = [session in rest.list_sessions().result().sessions, len(rest.get_session(session).result().training_run_ids)]
external = other.save_weights_external("export").result().path
urls = rest.get_external_weights_urls(external).result().urls
folder = Path(tempfile.mkdtemp())
for name, url in urls.items():
    with urllib.request.urlopen(url) as response:
        (folder / name).write_bytes(response.read())
found["export"] = [str(folder), sorted(p.name for p in folder.iterdir())]
held = [c.checkpoint_type for c in rest.list_user_checkpoints().result().checkpoints]
rest.set_checkpoint_ttl_from_tinker_path(path, 7200).result()
found["expires"] = [c.expires_at is not None for c in rest.list_checkpoints(other.get_info().model_id).result().checkpoints if c.tinker_path == path]
rest.delete_checkpoint_from_tinker_path(external).result()
found["held"] = [sorted(held), sorted(c.checkpoint_type for c in rest.list_user_checkpoints().result().checkpoints)]

# Mistakes are errors of the caller, in words, and nothing is lost.
mistakes = []
for mistake in (
    lambda: other.forward_backward([datum([*PROMPT, 4000], 6, weights=[1.0])], "cross_entropy").result(),
    lambda: service.create_sampling_client(model_path="tinker://nobody/sampler_weights/x").result(),
    lambda: service.create_lora_training_client(base_model="/no/such/model", rank=2).result(),
):
    try:
        mistake()
        mistakes.append("")
    except Exception as error:
        mistakes.append(str(error))
found["mistakes"] = mistakes
found["custom"] = None
try:
    import torch
except ImportError:
    pass
else:

    def squared(data: list[types.Datum], logprobs: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        total = sum((lp**2).sum() for lp in logprobs)
        return total, {"squared:sum": float(total)}

    custom = training.forward_backward_custom(examples, squared).result()
    training.optim_step(types.AdamParams(learning_rate=1e-3)).result()
    found["custom"] = custom.metrics["squared:sum"]
service.close("success").result()
print(json.dumps(found))
