"""Checkpoints on disk: safetensors and JSON only, written beside their place and renamed into it.

`tinker://RUN/weights/NAME` (training: weights and optimizer) and `tinker://RUN/sampler_weights/NAME` (sampling) lie at
STATE/RUN/weights/NAME and STATE/RUN/sampler_weights/NAME.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from .errors import ComputeError, RequestError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
KINDS = {"weights": "training", "sampler_weights": "sampler", "external_weights": "external"}
META = "checkpoint.json"
OPTIMIZER_TENSORS = "optimizer.safetensors"
OPTIMIZER_META = "optimizer.json"
ADAPTER_TENSORS = "adapter_model.safetensors"
MERGED = "merged"
MAX_KEPT_SECONDS = 10 * 366 * 86_400
"""Longest lifetime of a checkpoint that has one."""


@dataclass(frozen=True)
class CheckpointPath:
    """`tinker://RUN/KIND/NAME`."""

    run: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"tinker://{self.run}/{self.kind}/{self.name}"

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.name}"


def check_segment(value: str, field: str) -> str:
    """A checkpoint's name that is safe as a file name."""
    if not SEGMENT.fullmatch(value) or ".." in value:
        raise RequestError(f"{field}: {value!r} must be 1 to 128 letters, digits, '.', '_' or '-', begin with a letter or digit and hold no '..'", field=field)
    return value


def check_run(value: str, field: str) -> str:
    """A training run's id, which is its model's id."""
    if not RUN.fullmatch(value) or ".." in value:
        raise RequestError(f"{field}: {value!r} is not the id of a training run", field=field)
    return value


def parse_path(text: str, field: str) -> CheckpointPath:
    match = re.fullmatch(rf"tinker://([^/]+)/({'|'.join(KINDS)})/([^/]+)", text)
    if match is None:
        raise RequestError(f"{field}: {text!r} is not tinker://RUN/weights/NAME or tinker://RUN/sampler_weights/NAME", field=field)
    return CheckpointPath(check_run(match[1], field), match[2], check_segment(match[3], field))


class CheckpointStore:
    """The checkpoints under one state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Removes what writers that were killed left behind, and checkpoints whose time is over."""
        for leftover in self.root.glob("*/*/.tmp-*"):
            with suppress(OSError), _claimed(leftover):  # another worker may be writing it
                shutil.rmtree(leftover, ignore_errors=True)
        for run in self.runs():
            self.list(run)

    def directory(self, path: CheckpointPath) -> Path:
        return self.root / path.run / path.kind / path.name

    def exists(self, path: CheckpointPath) -> bool:
        return (self.directory(path) / META).is_file()

    def runs(self) -> list[str]:
        """Ids of the runs that have, or had, a checkpoint here."""
        return sorted(p.name for p in self.root.glob("*") if RUN.fullmatch(p.name) and any((p / kind).is_dir() for kind in KINDS))

    def require(self, path: CheckpointPath, field: str) -> Path:
        if not self.exists(path):
            raise RequestError(f"{field}: there is no checkpoint {path}", field=field, status=404)
        return self.directory(path)

    def meta(self, path: CheckpointPath) -> dict[str, object]:
        try:
            return json.loads((self.directory(path) / META).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ComputeError(f"checkpoint {path} cannot be read: {error}") from error

    def expire(self, path: CheckpointPath, seconds: int | None) -> None:
        """Sets how long the checkpoint is kept from now on; None for ever."""
        meta = self.meta(path)
        meta["expires"] = None if seconds is None else _stamp(datetime.now(UTC) + timedelta(seconds=seconds))
        draft = self.directory(path) / f".{META}-{secrets.token_hex(6)}"
        write_json(draft, meta)
        os.replace(draft, self.directory(path) / META)

    @contextmanager
    def writing(self, path: CheckpointPath, meta: dict[str, object], *, overwrite: bool = False) -> Iterator[Path]:
        """A fresh directory to fill; it appears under its name, on disk, when the block ends well."""
        final = self.directory(path)
        if self.exists(path) and not overwrite:
            raise ComputeError(f"path: the checkpoint {path} exists already; choose another name")
        draft = final.parent / f".tmp-{secrets.token_hex(6)}"
        try:
            draft.mkdir(parents=True)
            with _claimed(draft):
                yield draft
                write_json(draft / META, {**meta, "time": _stamp(datetime.now(UTC))})
                _sync(draft)
                if self.exists(path):
                    self.delete(path)
                elif final.exists():
                    shutil.rmtree(final)
                os.rename(draft, final)
            for folder in (final.parent, final.parent.parent, self.root):
                _sync_one(folder)
        except OSError as error:
            raise ComputeError(f"checkpoint {path} could not be written: {error.strerror or error}", category="server") from error
        except SafetensorError as error:
            raise ComputeError(f"checkpoint {path} could not be written: {error}", category="server") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def delete(self, path: CheckpointPath) -> None:
        """Renamed out of sight first, so that a killed deletion leaves nothing that looks like a checkpoint."""
        directory = self.directory(path)
        grave = directory.parent / f".tmp-{secrets.token_hex(6)}"
        os.rename(directory, grave)
        shutil.rmtree(grave, ignore_errors=True)

    def list(self, run: str) -> list[dict[str, object]]:
        """Checkpoints of a run, oldest first."""
        found: list[dict[str, object]] = []
        for kind, label in KINDS.items():
            for entry in sorted((self.root / run / kind).glob("*")):
                path = CheckpointPath(run, kind, entry.name)
                if entry.name.startswith(".") or not self.exists(path):
                    continue
                meta = self.meta(path)
                expires = meta.get("expires")
                if isinstance(expires, str) and datetime.fromisoformat(expires) < datetime.now(UTC):
                    self.delete(path)
                    continue
                found.append(
                    {
                        "checkpoint_id": path.id,
                        "checkpoint_type": label,
                        "time": meta.get("time"),
                        "tinker_path": str(path),
                        "size_bytes": sum(file.stat().st_size for file in entry.rglob("*") if file.is_file()),
                        "user_metadata": meta.get("user_metadata"),
                        "expires_at": expires,
                    }
                )
        return sorted(found, key=lambda c: (str(c["time"]), str(c["checkpoint_id"])))


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    """Keeps the sweeps of other workers off a directory. Raises BlockingIOError where another has claimed it."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise
            # A file system without locks.
        yield
    finally:
        os.close(descriptor)


def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes tensors as safetensors, each contiguous on the CPU with storage of its own."""
    save_file({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ComputeError(f"{path.name} of the checkpoint cannot be read: {error}") from error


def tensor_names(path: Path) -> list[str]:
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise ComputeError(f"{path.name} of the checkpoint cannot be read: {error}") from error


def _sync(directory: Path) -> None:
    for folder, _, files in os.walk(directory):
        for name in files:
            _sync_one(Path(folder) / name)
        _sync_one(Path(folder))


def _sync_one(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def tar_stream(directory: Path) -> Iterator[bytes]:
    """The files of a directory as an uncompressed tar, names relative to it; nothing about the machine is recorded."""
    for file in sorted(p for p in directory.rglob("*") if p.is_file()):
        info = tarfile.TarInfo(file.relative_to(directory).as_posix())
        info.size = file.stat().st_size
        info.mode = 0o644
        yield info.tobuf(tarfile.PAX_FORMAT)
        sent = 0
        with file.open("rb") as source:
            while block := source.read(1 << 20):
                sent += len(block)
                yield block
        if sent != info.size:
            raise ComputeError(f"{file.name} changed while it was being sent", category="server")
        yield b"\0" * (-sent % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def read_json(path: Path) -> dict[str, object]:
    try:
        value = json.load(io.StringIO(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ComputeError(f"{path.name} of the checkpoint cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ComputeError(f"{path.name} of the checkpoint is not a JSON object")
    return value
