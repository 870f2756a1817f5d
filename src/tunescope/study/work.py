"""A cell's work: one call of a verb, and what became of it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from time import sleep
from typing import Any, NamedTuple

from tunescope.errors import RunInUse, TunescopeError
from tunescope.progress import say
from tunescope.runs import Run
from tunescope.settings import make
from tunescope.verbs import VERBS

_LOOK_AGAIN = 0.2
"""Seconds after which a run folder that another tunescope works in is looked at again."""


class CellResult(NamedTuple):
    """What became of a cell: its run folder, or why it has none."""

    folder: str | None
    reason: str = ""


def work_on(verb: str, settings: Mapping[str, Any]) -> CellResult:
    """Call a verb; whatever stops it stops this cell alone.

    Where another cell, or another command, is making the same run, it is waited for.
    """
    has_said = False
    while True:
        try:
            run: Run = VERBS[verb].call()(make(VERBS[verb].settings_class(), settings))
        except RunInUse as error:
            if not has_said:
                say(f"waiting: {error}")
            has_said = True
            sleep(_LOOK_AGAIN)
        except (TunescopeError, OSError) as error:
            return CellResult(None, str(error))
        except Exception as error:  # noqa: BLE001 - also a library's, such as a device without memory
            for line in traceback.format_exc().splitlines():
                say(line)
            return CellResult(None, f"{type(error).__name__}: {error}")
        else:
            return CellResult(str(run.path))
