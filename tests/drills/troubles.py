"""Places that give trouble: a small disk, one that can't be written, and files that were damaged."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = os.sysconf("SC_PAGESIZE")


@contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[Path]:
    """Mount a disk of so many bytes at a folder, which is made; skip the test where nobody may mount."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tunescope-drill", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"mounting isn't allowed here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    """Let nobody write to a disk, root neither."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def fill(disk: Path, free: int) -> Path:
    """Fill a disk with one file but for so many bytes; return the file."""
    filler = disk / ".filler"
    filler.unlink(missing_ok=True)
    here = os.statvfs(disk)
    n_bytes = here.f_bavail * here.f_frsize - free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(n_bytes, 1))
    return filler


def damage(path: Path, rng: random.Random) -> str:
    """Flip some bits of a file, or cut it short; return what was done."""
    data = bytearray(path.read_bytes())
    if not data:
        return "nothing"
    if rng.random() < 0.3:
        path.write_bytes(data[: rng.randrange(len(data))])
        return "cut short"
    for _ in range(rng.choice((1, 1, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return "bytes flipped"
