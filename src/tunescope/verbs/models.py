"""`models`: which models are embedded, which are in the cache, how large they are and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunescope.models.embedded import EMBEDDED, EMBEDDERS, EmbeddedModel, cache_root, cached, fetch
from tunescope.runs import Outcome
from tunescope.settings import one_of
from tunescope.views import Table, View


@dataclass(frozen=True, kw_only=True)
class ModelsSettings:
    """List embedded and cached models."""

    fetch: str | None = field(default=None, metadata=one_of(*EMBEDDED, *EMBEDDERS))
    """Download this embedded model now, instead of when it is first needed."""


def models(settings: ModelsSettings) -> Outcome:
    """List the embedded models, and the other models in the cache; with `fetch`, fetch one first.

    The result has `models`, a record per model with `bytes` on disk, and `cache`, its folder.

    Raises:
        TunescopeError: the model can't be fetched.
    """
    if settings.fetch is not None:
        fetch(settings.fetch)
    records = [_embedded(name, spec) for name, spec in (EMBEDDED | EMBEDDERS).items()]
    embedded = {record["folder"] for record in records}
    cache = cache_root() / "models"
    for folder in sorted(cache.iterdir()) if cache.is_dir() else []:
        if folder.is_dir() and not folder.name.startswith(".") and str(folder) not in embedded:
            state = "trained here" if folder.name.startswith("microworld-") else "cached by another version"
            records.append({"name": folder.name, "state": state, "bytes": _size(folder), "folder": str(folder)})
    rows = tuple(
        (
            record["name"],
            record.get("title"),
            record["state"],
            record["bytes"] and round(record["bytes"] / 1e6),
            record.get("licence"),
            record["folder"],
        )
        for record in records
    )
    absent = [record["name"] for record in records if record["state"] == "not fetched"]
    table = Table("Models", ("name", "model", "state", "MB on disk", "licence", "folder"), rows)
    sentence = f"The cache is {cache_root()}. --model also takes a model folder, an adapter folder or a hub id."
    next_steps = [f"tunescope models --fetch {name}" for name in absent] or ["tunescope demo"]
    return Outcome({"models": records, "cache": str(cache_root())}, View((sentence,), (table,), tuple(next_steps)))


def _embedded(name: str, spec: EmbeddedModel) -> dict[str, Any]:
    folder = cached(name)
    gguf = cache_root() / "models" / f"{name}.gguf"
    return {
        "name": name,
        "title": spec.title,
        "state": "not fetched" if folder is None else "cached",
        "bytes": None if folder is None else _size(folder),
        "gguf": str(gguf) if gguf.is_file() else None,
        "licence": spec.licence,
        "source": spec.requirement,
        "download_megabytes": spec.megabytes,
        "folder": None if folder is None else str(folder),
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
