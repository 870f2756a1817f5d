"""SIGKILL while the embedded model is fetched and converted: the next fetch gives the same files and leaves no rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunescope.models import DEFAULT, cached

KILLS = 4


def start(cache: Path) -> subprocess.Popen:
    """Start a fetch into an empty cache."""
    return subprocess.Popen(
        [sys.executable, "-m", "tunescope", "models", "--fetch", DEFAULT, "--json"],
        env={**os.environ, "TUNESCOPE_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.drill
@pytest.mark.model
def test_fetch_killed(tmp_path):
    reference = cached(DEFAULT)
    if reference is None:
        pytest.skip("the embedded model isn't cached; type: tunescope models --fetch smollm2-135m")
    rng = random.Random(0)
    landed = 0
    for _ in range(KILLS):
        process = start(tmp_path)
        time.sleep(rng.uniform(1, 15))
        landed += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(tmp_path).wait() == 0
    folder = tmp_path / "models" / reference.name
    names = sorted(path.name for path in reference.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all((folder / name).read_bytes() == (reference / name).read_bytes() for name in names)
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [reference.name]
    assert landed >= 2
