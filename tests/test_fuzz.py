"""Some of the inputs of the fuzz run (`tests/drills/test_fuzz.py`): only an error of ours may come of them."""

from __future__ import annotations

import pytest

pytest.importorskip("openai")
pytest.importorskip("torch")

from tests.drills.readers import FAMILIES
from tests.drills.test_fuzz import SHARES, run


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_some_inputs(tmp_path, monkeypatch, family):
    monkeypatch.chdir(tmp_path)
    run(family, tmp_path, 600, seed=0)


def test_the_shares(tmp_path, monkeypatch):
    shares = 0.0
    for number, family in enumerate(FAMILIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        shares += sum(reader.share for reader in family(folder).values())
    assert shares == SHARES
