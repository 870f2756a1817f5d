"""Tunescope shows what instruction data does to a language model, and repairs the data.

    run = tunescope.check("rows.json")
    run.tables["faults"]

One function per verb, with the names and settings of the command line; `open` opens a run
folder. Importing this does nothing: each verb is imported when it is first called.
"""

from __future__ import annotations as _annotations

import sys as _sys
from types import ModuleType as _ModuleType
from typing import Any as _Any

__version__ = "0.1.0"


def __getattr__(name: str) -> _Any:
    """Find a verb, or `open`, when it is asked for."""
    if name == "open":
        from tunescope.runs import open

        return open
    from tunescope.verbs import VERBS, in_python

    verb = name.replace("_", " ")
    if verb in VERBS and VERBS[verb].proven:
        return in_python(verb)
    raise AttributeError(f"module 'tunescope' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the verbs and `open`."""
    from tunescope.verbs import VERBS

    return sorted(["__version__", "open", *(name.replace(" ", "_") for name, verb in VERBS.items() if verb.proven)])


class _Package(_ModuleType):
    """This package. Python would bind each imported room as an attribute; `models` stays the verb of that name.

    `from tunescope.models import load` finds the room as ever.
    """

    def __setattr__(self, name: str, value: _Any) -> None:
        """Bind a name, but no room's over a verb's."""
        if not (name == "models" and isinstance(value, _ModuleType)):
            super().__setattr__(name, value)


_sys.modules[__name__].__class__ = _Package
