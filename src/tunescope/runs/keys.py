"""Keys: which of a verb's settings and inputs decide its result, and so in which folder its run is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

RUNS_VARIABLE = "TUNESCOPE_RUNS"
RUN_FILE = "run.json"
"""The record of a run, written last."""
NOT_IN_KEY: Mapping[str, Any] = {"role": "not in key"}
"""Metadata of a settings field that can't change results (workers, batch size, budget) and stays out of the key."""
INPUT: Mapping[str, Any] = {"role": "input"}
"""Metadata of a settings field that names input: the content is in the key, the name isn't."""


def out_field() -> Any:
    """Return the `out` field that every settings class has."""
    return field(
        default=None, metadata={**NOT_IN_KEY, "group": "Output", "near": ("o", "output", "output_dir", "output_file")}
    )


def root() -> Path:
    """Return the folder of all run folders: `./runs`, or the one that TUNESCOPE_RUNS names."""
    return Path(os.environ.get(RUNS_VARIABLE) or "runs")


def run_key(verb: str, version: int, settings: Any, inputs: Mapping[str, str]) -> str:
    """Hash what decides a run's result into its key: 12 hex digits.

    Settings fields marked `NOT_IN_KEY` or `INPUT` stay out; `inputs` count by content, in order.
    """
    deciding = {f.name: getattr(settings, f.name) for f in fields(settings) if "role" not in f.metadata}
    text = json.dumps([verb, version, deciding, list(inputs.values())], sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=6).hexdigest()


def run_location(verb: str, version: int, settings: Any, inputs: Mapping[str, str]) -> tuple[Path, str]:
    """Return the folder of a run, `settings.out` or `RUNS/VERB-KEY`, and its key."""
    key = run_key(verb, version, settings, inputs)
    return Path(settings.out) if settings.out else root() / f"{verb.replace(' ', '-')}-{key}", key
