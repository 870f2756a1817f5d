"""Commands in processes of their own, without waiting seconds for torch: each is forked from one that has imported it.

A server imports what commands import, then forks a child for every command that it is sent over a socket, with the
command's own folder, environment, session and file descriptors. From then on the child is what `python -m tunescope`
is: it runs `cli.main`, is killed, interrupted and waited for by its own process id. `make drill`, and whoever sets
`TUNESCOPE_COLD`, starts real processes instead.

    python tests/warm.py serve SOCKET PID 0|1   the server, without or with what models need; ends when PID does
    python tests/warm.py ask SOCKET …           what follows `python`, for shells (`programs`)
"""

from __future__ import annotations

import array
import atexit
import fcntl
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

MODULES = (
    "numpy",
    "pyarrow.parquet",
    "pyarrow.json",
    "scipy.special",
    "cyclopts",
    "jinja2",
    "yaml",
    "ftfy",
    "rensa",
    "openai",
    "aiohttp",
    "tunescope.cli",
)
"""What the server imports before it forks; what isn't installed is left out."""
MODEL_MODULES = (
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto",
    "peft",
)
"""What it imports beside them, and beside all of tunescope, where tests of models are run."""
LARGEST = 1 << 20
"""Bytes of a request: arguments and environment."""
PLACE = "WARM_SERVER"
"""The variable that holds the server's folder, the process with which it ends, and whether models are tested."""


ROOT = Path(__file__).parents[1]


def start(args: list[str], **options: object) -> subprocess.Popen:
    """Start what follows `python` on a command line; `options` are those of `Popen`."""
    environment = options.get("env") or os.environ
    hub = {name for name, value in environment.items() if name.startswith("HF_") and os.environ.get(name) != value}
    if os.environ.get("TUNESCOPE_COLD") or hub:  # huggingface_hub reads its variables once, while it is imported
        return subprocess.Popen([sys.executable, *args], **options)
    return Process(server(), args, **options)


def run(args: list[str], **options: object) -> subprocess.CompletedProcess:
    """Run it to its end, as `subprocess.run` does with its output captured."""
    timeout, given = options.pop("timeout", 600), options.pop("input", None)
    with start(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        out, errors = process.communicate(given, timeout=timeout)
    return subprocess.CompletedProcess(args, process.returncode, out, errors)


def share(models: bool) -> None:
    """Name the place of one server for this process and all that it starts, such as the workers of pytest-xdist."""
    folder = tempfile.mkdtemp(prefix="tunescope-warm-")
    os.environ[PLACE] = f"{folder}:{os.getpid()}:{int(models)}"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


@cache
def server() -> str:
    """Return the path of the server's socket; whoever needs it first starts it."""
    folder, *owner_and_models = os.environ[PLACE].split(":")
    path = Path(folder) / "socket"
    with open(path.with_name("lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, __file__, "serve", str(path), *owner_and_models]
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "start_new_session": True}
            process = subprocess.Popen(command, env=environment, **quiet)
            assert process.stdout.readline() == b"ready\n"
    return str(path)


@cache
def programs() -> Path:
    """Return a folder with `tunescope`, `tunescope-gate` and `python` for shells' PATH, which the server forks."""
    if os.environ.get("TUNESCOPE_COLD"):
        return Path(sys.executable).parent
    folder = Path(tempfile.mkdtemp(prefix="bin-", dir=Path(server()).parent))
    gate = "-m tunescope.cli.gate "
    for name, words in (("tunescope", "-m tunescope "), ("tunescope-gate", gate), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -SE "{__file__}" ask "{server()}" {words}"$@"\n')
        script.chmod(0o755)
    return folder


def request(path: str, body: dict[str, object], descriptors: tuple[int, int, int]) -> tuple[socket.socket, int]:
    """Have a command started; return the connection on which its exit status will come, and its process id."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(path)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    connection.sendmsg([json.dumps(body).encode()], rights)
    return connection, int(connection.recv(32))


class Process(subprocess.Popen):
    """A process as `subprocess` has it, forked by the server; `args` follow `python`: -c CODE or -m tunescope."""

    def __init__(self, path: str, args: list[str], **options: object) -> None:
        """Start it; `options` are those of `Popen` that name its folder, environment, session and pipes."""
        self._path = path
        super().__init__(args, **options)

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        """Send the command where `Popen` would fork."""
        pipes, start_new_session = rest[3:9], rest[-2]
        body = {
            "args": list(map(str, args)),
            "cwd": str(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env),
            "session": bool(start_new_session),
        }
        ends = (pipes[0], pipes[3], pipes[5])
        given = tuple(end if end != -1 else number for number, end in enumerate(ends))
        self._connection, self.pid = request(self._path, body, given)
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _internal_poll(self, _deadstate=None):
        """Tell the exit status if there is one yet."""
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)
        return self.returncode

    def _try_wait(self, wait_flags):
        """Take the exit status from the server, which is the process's parent."""
        self._connection.setblocking(not wait_flags & os.WNOHANG)
        try:
            status = self._connection.recv(32)
        except BlockingIOError:
            return 0, 0
        self._connection.close()
        return self.pid, int(status or b"9")


def serve(path: str, owner: int, models: bool) -> None:
    """Import, say so on standard output, then fork whatever is asked for until the process `owner` ends."""
    import gc
    import importlib
    import pkgutil
    import selectors

    import tunescope

    ours = (module.name for module in pkgutil.walk_packages(tunescope.__path__, "tunescope."))
    for name in (*MODULES, *MODEL_MODULES, *ours) if models else MODULES:
        if not name.endswith("__main__"):
            with suppress(ImportError):  # an extra that isn't installed
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(64)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(os.pidfd_open(owner), selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                data, descriptors, *_ = socket.recv_fds(connection, LARGEST, 3)
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    listener.close()
                    connection.close()
                    become(json.loads(data), descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
                connection.send(str(pid).encode())
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (connection, pid))
            elif key.data is None:
                os._exit(0)
            else:
                connection, pid = key.data
                selector.unregister(key.fileobj)
                os.close(key.fileobj)
                status = os.waitpid(pid, 0)[1]
                with suppress(OSError):  # whoever asked is gone
                    connection.send(str(status).encode())
                connection.close()


def become(body: dict[str, object], descriptors: list[int]) -> None:
    """Run a command in this forked process, and end it as the interpreter would."""
    import atexit
    import threading

    if body["session"]:
        os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.closerange(3, 3 + 64 + max(descriptors))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(body["cwd"])
    os.environ.clear()
    os.environ.update(body["env"])
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
    code: object = 1
    try:
        code = interpret(body["args"])
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGKILL)
    except Exception:  # noqa: BLE001  as the interpreter does with whatever is left
        sys.excepthook(*sys.exc_info())
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 120
    os._exit(code if isinstance(code, int) else int(code is not None))


def interpret(args: list[str]) -> object:
    """Do what follows `python` on a command line: -m tunescope, -c CODE, or a program's file."""
    import runpy

    if args[0].endswith(".py"):
        sys.argv = args
        sys.path.insert(0, os.path.dirname(args[0]))
        runpy.run_path(args[0], run_name="__main__")
        return 0
    kind, what, *arguments = args
    if kind == "-c":
        sys.argv = ["-c", *arguments]
        sys.path.insert(0, "")
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        return 0
    assert kind == "-m", args
    assert what in ("tunescope", "tunescope.cli.gate"), args
    sys.argv = [what, *arguments]
    return importlib.import_module("tunescope.cli" if what == "tunescope" else what).main()


def in_its_place(path: str, args: list[str]) -> int:
    """Run a command for a shell: hand over our descriptors, wait, and end as it did."""
    body = {"args": args, "cwd": os.getcwd(), "env": dict(os.environ), "session": False}
    connection, pid = request(path, body, (0, 1, 2))
    signal.signal(signal.SIGINT, lambda *_: os.kill(pid, signal.SIGINT))
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    return os.waitstatus_to_exitcode(int(connection.recv(32) or b"9")) & 255


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1")
    else:
        sys.exit(in_its_place(sys.argv[2], sys.argv[3:]))
