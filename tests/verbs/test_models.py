"""`models`: the list of what is embedded and cached."""

import pytest

from tunescope.errors import SettingsError
from tunescope.models import embedded
from tunescope.settings import make
from tunescope.terminal import to_text
from tunescope.verbs.models import ModelsSettings, models


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNESCOPE_CACHE", str(tmp_path))
    return tmp_path


def test_nothing_cached(cache):
    outcome = models(ModelsSettings())
    record, embedder = outcome.result["models"]
    assert (embedder["name"], embedder["state"]) == ("all-minilm-l6-v2", "not fetched")
    assert (record["name"], record["state"], record["bytes"], record["licence"]) == (
        "smollm2-135m",
        "not fetched",
        None,
        "Apache-2.0",
    )
    assert "tunescope models --fetch smollm2-135m" in to_text(outcome.view)
    assert not list(cache.iterdir())


def test_cached_and_of_another_version(cache):
    for name in (f"smollm2-135m.{embedded.CONVERSION}", "smollm2-135m.0", "microworld-7.1"):
        folder = cache / "models" / name
        folder.mkdir(parents=True)
        (folder / embedded.MARKER).write_text("12345")
    records = models(ModelsSettings()).result["models"]
    assert [(r["name"], r["state"], r["bytes"]) for r in records] == [
        ("smollm2-135m", "cached", 5),
        ("all-minilm-l6-v2", "not fetched", None),
        ("microworld-7.1", "trained here", 5),
        ("smollm2-135m.0", "cached by another version", 5),
    ]


def test_fetch_takes_embedded_names_only():
    with pytest.raises(SettingsError, match="fetch 'nano': expected smollm2-135m"):
        make(ModelsSettings, {"fetch": "nano"})
