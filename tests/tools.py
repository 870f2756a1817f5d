"""Row files, real files and the command line, for the tests of several rooms."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import warm

ROOT = Path(__file__).parents[1]
EXAMPLES = 50
"""Examples that `make test` tries of a property, where its test doesn't say otherwise."""


def examples(usual: int) -> int:
    """Return how many examples to try of a property: `usual` in `make test`, in proportion elsewhere."""
    return max(1, usual * settings().max_examples // EXAMPLES)


def alpaca(instruction: str, output: str, **columns: Any) -> dict[str, Any]:
    """Return a row of Alpaca's kind."""
    return {"instruction": instruction, "input": "", "output": output, **columns}


def steers(ch: str) -> bool:
    """Tell whether a character in a text from outside would steer or hide: by Unicode's categories, not by our list."""
    visible = {0x6DD, 0x70F, 0x8E2, 0x110BD, 0x110CD, *range(0x600, 0x606), 0x890, 0x891}  # they stand before numbers
    joining = {0xAD, 0x200C, 0x200D, *range(0x13430, 0x13456)}
    kind = unicodedata.category(ch)
    return ch not in "\n\t" and kind in ("Cc", "Cs", "Zl", "Zp", "Cf") and ord(ch) not in visible | joining


def write_rows(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write JSON lines, gzipped where the name says so."""
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def real(*names: str) -> Path:
    """Return a file or folder of the real data, or skip the test."""
    path = Path(os.environ.get("TUNESCOPE_TEST_DATA") or ROOT.parent / "shared/data").joinpath(*names)
    if not path.exists():
        pytest.skip(f"needs the real data {'/'.join(names)} in TUNESCOPE_TEST_DATA or ../shared/data")
    return path


def tunescope(
    *arguments: str, folder: Path, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in another process, in `folder`."""
    source = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    done = warm.run(
        ["-m", "tunescope", *arguments],
        cwd=folder,
        input=stdin,
        env={**os.environ, **source, "TUNESCOPE_RUNS": "runs", "COLUMNS": "200", **environment},
        timeout=120,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
