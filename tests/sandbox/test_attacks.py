"""Hostile completions: none passes, each is reported with its reason, and nothing outside has changed."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sandbox.attacks import Attack, read_attacks
from tests.tools import ROOT
from tunescope.errors import WorkError
from tunescope.sandbox.pool import Limits, Program, Ran, run_programs, strongest_protection
from tunescope.sandbox.protection import BUBBLEWRAP, FILTER, LIMITS, NAMESPACES, Protection

SECRET = "zebra-quartz-8841"
ATTACKS = read_attacks()


def run(programs: list[Program], protection: Protection | None, seconds: float, workers: int = 2) -> list[Ran]:
    try:
        return run_programs(programs, Limits(seconds=seconds), workers, protection)
    except WorkError as error:
        pytest.skip(f"this machine doesn't allow it: {error}")


@dataclass
class Outside:
    """What attacks are after: a file with a secret, servers, and a process with the secret in its environment."""

    folder: Path
    victim: subprocess.Popen[bytes]
    server: socket.socket
    unix: socket.socket
    datagrams: socket.socket

    def facts(self) -> dict[str, object]:
        return {
            "canary": self.folder / "canary",
            "folder": self.folder,
            "port": self.server.getsockname()[1],
            "unix": self.unix.getsockname(),
            "parent": self.victim.pid,
            "secret_begin": SECRET[:12],
        }

    def assert_unchanged(self) -> None:
        assert sorted(os.listdir(self.folder)) == ["canary", "socket", "socket.datagrams"]
        assert (self.folder / "canary").read_text() == SECRET
        assert self.victim.poll() is None
        for server in (self.server, self.unix):
            with pytest.raises(BlockingIOError):
                server.accept()
        with pytest.raises(BlockingIOError):
            self.datagrams.recv(1)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # read again
    folder = tmp_path / "outside"
    folder.mkdir(mode=0o777)
    (folder / "canary").write_text(SECRET)
    monkeypatch.chdir(folder)  # a socket's path is short
    with (
        subprocess.Popen(["sleep", "1000"], env={"SECRET": SECRET, "PATH": os.environ["PATH"]}) as victim,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
    ):
        unix.bind("socket")
        unix.listen()
        datagrams.bind("socket.datagrams")
        for each in (server, unix, datagrams):
            each.setblocking(False)
        yield Outside(folder, victim, server, unix, datagrams)
        victim.kill()


def left_over(tmp_path: Path, but: int = 0) -> list[str]:
    """Return the command lines of this process' children, and of processes that work in this test's folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            line = (path / "cmdline").read_bytes().decode(errors="replace")
            folder = os.readlink(path / "cwd")
        except OSError:
            continue
        child = parent == os.getpid() and "tests/warm.py" not in line  # that one serves other tests
        ours = child or ("sandbox.inside" in line and str(tmp_path) in line)
        if int(path.name) not in (but, os.getpid()) and (ours or folder.startswith(f"{tmp_path}/tunescope")):
            lines.append(line)
    return lines


@pytest.mark.parametrize(
    "protection",
    [None, *(pytest.param(each, marks=pytest.mark.drill) for each in (BUBBLEWRAP, NAMESPACES, FILTER))],
    ids=lambda protection: protection.name if protection else "strongest",
)
def test_no_attack_passes_or_escapes(protection, outside, tmp_path):
    if (protection or strongest_protection()).name == LIMITS.name:
        pytest.skip(strongest_protection().sentence)
    endless = [each for each in ATTACKS if each.ends == "timed out"]
    others = [each for each in ATTACKS if each.ends != "timed out"]
    ran: dict[str, Ran] = {}
    for attacks, seconds in ((endless, 0.5), (others, 30.0)):
        programs = [each.program(**outside.facts()) for each in attacks]
        ran |= zip((f"{each.aim}: {each.name}" for each in attacks), run(programs, protection, seconds), strict=True)
    expected = {f"{each.aim}: {each.name}": each.ends for each in ATTACKS}
    assert {name: each.status for name, each in ran.items()} == expected
    assert all(each.reason and len(each.reason) <= 200 for each in ran.values())
    outside.assert_unchanged()
    assert left_over(tmp_path, outside.victim.pid) == []


def of(aim: str) -> list[Attack]:
    return [each for each in ATTACKS if each.aim == aim]


def test_the_verdict_holds_with_limits_alone(tmp_path):
    """Without a filter code can do what this user can; but the tests still decide elsewhere whether it passed."""
    attacks = [each for each in of("verdict") if each.ends != "timed out"]
    ran = run([each.program() for each in attacks], LIMITS, 30.0)
    assert [each.status for each in ran] == [each.ends for each in attacks]


@pytest.mark.drill
def test_children_end_with_their_program_with_limits_alone(tmp_path, monkeypatch):
    """One that waits, one that has left its session and closed its files, and a hundred that breed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    child = "import os, time\nif os.fork() == 0:\n    while True: time.sleep(1)\n"
    gone = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 64)\n"
    )
    gone += "        while True: time.sleep(1)\n    os._exit(0)\n"
    bomb = "import os\nfor n in range(100):\n    try: os.fork()\n    except OSError: pass\nwhile True: pass\n"
    ran = run([Program(each, "", "", ()) for each in (child, gone, bomb)], LIMITS, 1.0, workers=1)
    assert [each.status for each in ran] == ["passed", "passed", "timed out"]
    assert left_over(tmp_path) == []


def test_attacks_of_the_docs_are_these():
    text = (ROOT / "docs" / "proofs" / "sandbox.md").read_text("utf-8")
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "`" not in line]
    assert [(each.aim, each.name, each.ends) for each in ATTACKS] == [tuple(row) for row in table if len(row) == 3][1:]
