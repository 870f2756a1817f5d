"""Media beside the text: the columns that name images, audio or video."""

from __future__ import annotations

from collections.abc import Mapping

from tunescope.rows.message import Json

MEDIA_COLUMNS = frozenset(["image", "images", "audio", "audios", "video", "videos"])
"""Columns (and keys of a message) that hold media: a path, an address, an object with bytes, or a list of these."""


def read_media(record: Mapping[str, Json]) -> tuple[tuple[str, Json], ...]:
    """Return a record's media as (column, value) pairs, in the order of the names; empty values aren't media."""
    return tuple((name, record[name]) for name in sorted(MEDIA_COLUMNS & record.keys()) if _is_media(record[name]))


def _is_media(value: Json) -> bool:
    if isinstance(value, Mapping):
        return any(_is_media(part) for part in value.values())
    if isinstance(value, list):
        return any(map(_is_media, value))
    return isinstance(value, str | bytes) and bool(value)
