"""One shard's work: whoever does it, its folder is there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunescope.progress import say
from tunescope.runs.disk import explained
from tunescope.runs.sums import is_intact, write_sums

Work = Callable[[Any, Any, Path], None]
Todo = Sequence[tuple[Any, Path]]
"""Shards, each with the folder that its result goes to."""


def finish(work: Work, state: Any, shard: Any, target: Path) -> None:
    """Do one shard's work in a folder of its own, which gets the shard's name once it is complete.

    What another worker, thought dead on a machine out of reach, has finished meanwhile stays: it is the same.
    """
    part = target.with_name(f"{target.name}.{os.urandom(4).hex()}.part")
    try:
        with explained(target.parent):  # before what was begun is gone, and with it the proof
            part.mkdir(parents=True)
            work(state, shard, part)
            write_sums(part)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    try:
        os.replace(part, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(part)


def is_finished(target: Path) -> bool:
    """Tell whether a shard is there as it was written; a damaged one is removed, so that it is done again."""
    if not target.is_dir():
        return False
    if not is_intact(target):
        say(f"{target}: found damaged work; it is done again")
        shutil.rmtree(target)
        return False
    return True


def remove_unfinished(folder: Path) -> None:
    """Remove what killed workers were writing."""
    for part in folder.glob("*.part"):
        shutil.rmtree(part, ignore_errors=True)
