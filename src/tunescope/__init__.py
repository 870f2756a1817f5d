"""Tunescope shows what instruction data does to a language model, and repairs the data.

    run = tunescope.check(rows="rows.json")
    run.tables["faults"]

One function per verb, with the names and settings of the command line; `open` opens a run
folder. Importing this does nothing: each verb is imported when it is first called.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
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
    """List the verbs beside what is here."""
    from tunescope.verbs import VERBS

    return sorted([*globals(), "open", *(name.replace(" ", "_") for name, verb in VERBS.items() if verb.proven)])
