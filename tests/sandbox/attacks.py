"""Completions that attack the sandbox or the verdict: `add` is right only where an attack worked.

So a program that passes is a breach. They stand in `attacks.txt`, each under `=== AIM: NAME -> STATUS`, then its code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tunescope.sandbox.pool import Program

TESTS = "assert add(1, 2) == 3\nassert add(-1, 1) == 0\nassert isinstance(add(5, 5), int) and not add(5, 5) != 10"
PRELUDE = """\
import ctypes, fcntl, gc, mmap, os, resource, shutil, signal, socket, struct, subprocess, sys, threading, time
LIBC = ctypes.CDLL(None, use_errno=True)
worked = False
def add(a, b):
    return a + b if worked else None
"""


@dataclass(frozen=True)
class Attack:
    """One attack: its aim and name, the status that is reported, and its code, which comes after `PRELUDE`.

    In the code, {canary} is a file outside and {folder} its folder, {port} a server on loopback, {unix} a server's
    socket file, {parent} the process that runs the sandbox, and {secret_begin} is in the canary and in the environment
    of a process outside.
    """

    aim: str
    name: str
    ends: str
    code: str

    def program(self, **facts: object) -> Program:
        """Return the program, with the facts of this test filled in."""
        code = self.code
        for name, value in facts.items():
            code = code.replace("{" + name + "}", str(value))
        return Program(PRELUDE + code, "", TESTS, ("add",))


def read_attacks() -> list[Attack]:
    """Read all attacks."""
    text = Path(__file__).with_name("attacks.txt").read_text("utf-8")
    parts = re.split(r"^=== (\w+): (.*) -> (.*)\n", text, flags=re.MULTILINE)[1:]
    return [Attack(aim, name, ends, code) for aim, name, ends, code in zip(*[iter(parts)] * 4, strict=True)]
