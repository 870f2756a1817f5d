"""What all tests share: drills run only when asked for, and a place to work in."""

from __future__ import annotations

import os
import signal

import pytest

# Threads that wait must not spin: on few cores that others use too, torch is several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Started in the background of a script, we and all we start would ignore Ctrl-C; the tests of it need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Leave the drills at full length to `pytest -m drill`."""
    if "drill" not in config.option.markexpr:
        drills = [item for item in items if item.get_closest_marker("drill")]
        items[:] = [item for item in items if not item.get_closest_marker("drill")]
        config.hook.pytest_deselected(items=drills)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working directory whose run folders go to `runs`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESCOPE_RUNS", "runs")
    return tmp_path
