"""Inputs that are nearly right, for everything that reads: only an error of ours may come of them, and soon."""

from __future__ import annotations

from math import ceil

import pytest

pytest.importorskip("openai")
pytest.importorskip("torch")

from tests.drills.counts import count
from tests.drills.fuzz import fuzz
from tests.drills.readers import FAMILIES

TOTAL = 200_000
SHARES = 51.25
"""Of all readers together; tests/test_fuzz.py holds it to that, and tries some inputs in `make test`."""


def run(family, folder, total: float, seed: int) -> float:
    """Fuzz a family of readers with its part of so many inputs; return its shares."""
    readers = family(folder)
    faults = []
    for number, (name, reader) in enumerate(readers.items()):
        n = ceil(total * reader.share / SHARES)
        findings = fuzz(reader, n, seed + number)
        faults += [
            f"{name}: {times} × {place}: {text}\n    {data[:300]!r}"
            for place, (times, text, data) in findings.faults.items()
        ]
        if not findings.faults:
            note = f"{findings.read:,} read, {findings.refused:,} refused"
            count(name, "fuzzed input", n, n, "no error but ours, none takes long", note)
    assert not faults, "\n".join(faults)
    return sum(reader.share for reader in readers.values())


@pytest.mark.drill
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_two_hundred_thousand_inputs(tmp_path, monkeypatch, family):
    monkeypatch.chdir(tmp_path)
    run(family, tmp_path, TOTAL, seed=1_000)
