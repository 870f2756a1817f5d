"""Sums of what was kept for later: whoever goes on from it sees whether it is still what was written."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

SUMS_FILE = ".sums.json"
"""In a folder: the sum of each file that was there when the folder was complete."""
_DIGEST_BYTES = 16
_LINE_DIGEST_BYTES = 4
_BLOCK = 1 << 20
_TAB = b"\t"


def write_sums(folder: Path) -> None:
    """Write the sums of all files in a complete folder into it."""
    sums = {str(path.relative_to(folder)): _sum(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    (folder / SUMS_FILE).write_text(json.dumps(sums), "utf-8")


def is_intact(folder: Path) -> bool:
    """Tell whether a folder has every file of its sums, and each as it was written.

    A folder without sums is taken as it is: versions before 2026-12 wrote none.
    """
    try:
        sums = json.loads((folder / SUMS_FILE).read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    try:
        return all(_sum(folder / name) == digest for name, digest in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def sealed(line: bytes) -> bytes:
    """Return a line of text without tabs, with its sum behind a tab and the line's end."""
    return line + _TAB + _line_sum(line) + b"\n"


def unsealed(line: bytes) -> bytes | None:
    """Return what a sealed line says; None where it is damaged. A line without a sum is taken as it is."""
    text, tab, digest = line.partition(_TAB)
    return text if not tab or digest == _line_sum(text) else None


def _line_sum(line: bytes) -> bytes:
    return blake2b(line, digest_size=_LINE_DIGEST_BYTES).hexdigest().encode()


def _sum(path: Path) -> str:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
