"""The four protections, from the strongest down, and which of them this machine allows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SOURCE = Path(__file__).parents[2]
_TEMPORARY_BYTES = 1 << 26
"""What a program may write in all, where the temporary folder is a file system of its own."""
_BEGIN = (
    "import json, sys; sys.path.append(sys.argv[1]); "
    "from tunescope.sandbox.inside.server import main; main(json.loads(sys.argv[2]))"
)


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What stands between a program and the machine.

    Attributes:
        name: how it is chosen.
        sentence: what is in force.
        command: what a server's command begins with; raises no error where the program isn't installed.
        has_namespaces: the server is the first process of its own process namespace.
        filtered: system calls are filtered.
        files: programs may open files, since they see none but the installation's and their own.
    """

    name: str
    sentence: str
    command: Callable[[], Sequence[str]]
    has_namespaces: bool
    filtered: bool
    files: bool

    def server_command(self, settings: Mapping[str, Any], folder: str) -> list[str]:
        """Return the command of a server whose programs work in `folder`, or in one that only they see."""
        own = {"folder": "/tmp" if self.name == "bubblewrap" else folder, "path": _installed()}
        # No -I: it would ignore PYTHONHASHSEED; the environment that servers get holds nothing else of Python's.
        given = json.dumps({**settings, **own, "filtered": self.filtered, "files": self.files})
        return [*self.command(), _python(), "-P", "-s", "-S", "-B", "-c", _BEGIN, str(_SOURCE), given]

    def as_server_sees_it(self) -> dict[str, bool]:
        """Return what a server under this protection says of itself when it has started."""
        return {"first_process": self.has_namespaces, "filter": self.filtered}


def _python() -> str:
    """Return the interpreter itself; a virtual environment's is a link to it."""
    return os.path.realpath(sys.executable)


def _installed() -> list[str]:
    """Return the folders of installed packages."""
    return [path for path in sys.path if path.endswith("-packages") and Path(path).is_dir()]


def _bubblewrap() -> list[str]:
    seen = ["/usr", sys.base_prefix, sys.base_exec_prefix, *_installed(), str(_SOURCE / "tunescope")]
    command = ["bwrap", "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    command += ["--die-with-parent", "--new-session", "--as-pid-1"]
    for path in ("/bin", "/lib", "/lib32", "/lib64"):
        if Path(path).is_symlink():
            command += ["--symlink", str(Path(path).readlink()), path]
        else:
            command += ["--ro-bind-try", path, path]
    for path in dict.fromkeys(seen):
        command += ["--ro-bind", path, path]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(_TEMPORARY_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/"]
    return [*command, "--chdir", "/tmp", "--"]


def _unshare() -> list[str]:
    namespaces = ["--user", "--map-user=65534", "--net", "--ipc", "--uts", "--pid", "--mount-proc"]
    return ["unshare", *namespaces, "--fork", "--kill-child", "--"]


BUBBLEWRAP = Protection(
    name="bubblewrap",
    sentence=(
        "Programs ran in bubblewrap (their own users, processes, files and no network), behind a filter of system "
        "calls, with limits on time, memory and files."
    ),
    command=_bubblewrap,
    has_namespaces=True,
    filtered=True,
    files=True,
)
NAMESPACES = Protection(
    name="namespaces",
    sentence=(
        "Programs ran without bubblewrap, in namespaces of their own (users, processes, no network), behind a filter "
        "of system calls that lets them open no file, with limits on time and memory."
    ),
    command=_unshare,
    has_namespaces=True,
    filtered=True,
    files=False,
)
FILTER = Protection(
    name="filter",
    sentence=(
        "Programs ran without bubblewrap and namespaces, behind a filter of system calls that lets them open no file "
        "or socket and start no process, with limits on time and memory."
    ),
    command=list,
    has_namespaces=False,
    filtered=True,
    files=False,
)
LIMITS = Protection(
    name="limits",
    sentence=(
        "Programs ran with limits on time, memory and files alone: this machine allows neither bubblewrap nor a filter "
        "of system calls. They could read and change what you can, and use the network."
    ),
    command=list,
    has_namespaces=False,
    filtered=False,
    files=True,
)
PROTECTIONS = (BUBBLEWRAP, NAMESPACES, FILTER, LIMITS)
