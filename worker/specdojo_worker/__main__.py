"""`python -m specdojo_worker`: serves the training API on loopback until its parent ends.

The token comes in SPECDOJO_WORKER_TOKEN. When the server listens, one JSON line `{"port", "pid", "device", "dtype"}`
goes to stdout; everything else goes to stderr.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

TOKEN_VARIABLE = "SPECDOJO_WORKER_TOKEN"
MIN_TOKEN = 16


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="specdojo_worker", description="Serves the training API on loopback.")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--parent-pid", type=int, help="end when this process ends")
    parser.add_argument("--state-dir", type=Path, help="where checkpoints are kept; default: a temporary directory that is removed at the end")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--sampler", choices=["own", "vllm"], default="own", help="what samples; vllm has to be installed")
    parser.add_argument("--threads", type=int, help="CPU threads to compute with")
    parser.add_argument(
        "--session-timeout", type=float, help="seconds without a request after which a session ends and its models go; default: 300, or never with --parent-pid"
    )
    options = parser.parse_args(argv)
    if options.sampler == "vllm" and importlib.util.find_spec("vllm") is None:
        parser.error(f"--sampler vllm: the package vllm is not installed for {sys.executable}; install it there (pip install vllm), or leave the option out")
    if options.threads is not None and options.threads < 1:
        parser.error("--threads must be at least 1")
    if options.session_timeout is None and options.parent_pid is None:
        options.session_timeout = 300.0
    if options.session_timeout is not None and options.session_timeout <= 0:
        parser.error("--session-timeout must be more than 0")
    if not 0 <= options.port < 65536:
        parser.error("--port must be from 0 to 65535")
    return options


def watch_parent(pid: int | None, end: Callable[[str], None]) -> None:
    """Calls `end` when the parent is gone or, where stdin is a pipe, when it closes."""
    if pid is not None and os.name == "posix":
        threading.Thread(target=_watch_pid, args=(pid, end), name="parent", daemon=True).start()
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        threading.Thread(target=_watch_stdin, args=(end,), name="stdin", daemon=True).start()


def _watch_pid(pid: int, end: Callable[[str], None]) -> None:
    ours = os.getppid() == pid
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        except PermissionError:
            pass
        if ours and os.getppid() != pid:
            break
        time.sleep(0.5)
    end(f"parent {pid} is gone")


def _watch_stdin(end: Callable[[str], None]) -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    end("stdin was closed")


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    token = os.environ.pop(TOKEN_VARIABLE, "")
    if len(token) < MIN_TOKEN:
        print(f"specdojo_worker: set {TOKEN_VARIABLE} to a random token of at least {MIN_TOKEN} characters", file=sys.stderr)
        return 2
    # Kernels are compiled per matrix shape; keep more of them than oneDNN's default of 1024. Read when torch is imported.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
    # Only the ready line may reach stdout, whatever libraries print.
    ready = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for noisy in ("httpx", "urllib3", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    log = logging.getLogger("specdojo")

    # From the start: importing takes seconds, and a parent may be killed at any moment.
    serving: list[Callable[[str], None]] = []

    def end(why: str) -> None:
        if serving:
            serving[0](why)
        log.info("stopping: %s", why)
        os._exit(1)

    watch_parent(options.parent_pid, end)

    import uvicorn

    from .checkpoints import CheckpointStore
    from .engine import Engine
    from .errors import RequestError
    from .models import resolve_runtime
    from .server import Api, application
    from .workspace import Workspace

    try:
        runtime = resolve_runtime(options.device, options.dtype)
    except RequestError as error:
        print(f"specdojo_worker: {error.message}", file=sys.stderr)
        return 2
    temporary = options.state_dir is None
    root = Path(tempfile.mkdtemp(prefix="specdojo-")) if temporary else options.state_dir
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", options.port))
        store = CheckpointStore(root)
        store.sweep()
    except OSError as error:
        print(f"specdojo_worker: cannot start on port {options.port} with state in {root}: {error.strerror}", file=sys.stderr)
        return 2
    engine = Engine(options.threads)
    app = application(Api(engine, Workspace(runtime, store, vllm=options.sampler == "vllm"), store, session_seconds=options.session_timeout), token)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1, server_header=False))

    def stop(why: str) -> None:
        log.info("stopping: %s", why)
        server.should_exit = True
        # A client that never reads its answer, or a long computation, must not keep the process.
        time.sleep(15)
        os._exit(1)

    def announce() -> None:
        while not server.started:
            if server.should_exit:
                return
            time.sleep(0.01)
        line = {"port": listener.getsockname()[1], "pid": os.getpid(), "device": str(runtime.device), "dtype": str(runtime.dtype).removeprefix("torch.")}
        print(json.dumps(line), file=ready, flush=True)

    # uvicorn ends on these signals and then raises them again: by then they have done their work.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    serving.append(stop)
    threading.Thread(target=announce, name="ready", daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        stopped = engine.stop(5)
        if temporary:
            shutil.rmtree(root, ignore_errors=True)
    if not stopped:
        log.warning("a computation was still running and is dropped")
        logging.shutdown()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
