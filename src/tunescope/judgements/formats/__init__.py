"""Judgement files that others made: one module each, all with the same names.

NAME                                   the word that `--format` takes
SHAPE                                  what a record looks like, for errors
NAMELESS                               set where the files don't name the systems, so that `--names` does
ORDERS_IN_FILES                        set where each order has a file, so that `--one-order` takes one alone
FORMULA                                what counts as a draw and what is missing, printed with the result
detect(record) -> bool                 whether a file's first record is of this format
read(documents, options) -> Judgements all files of a call at once
parse(text, first) -> Order            our reading of a reply about two answers, held against what the file stores;
parse(text) -> {aspect: Score} | None  of one about one answer (a format that keeps no replies has none)

A judgement that can't be read is unparsed or missing, never a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.family import members
from tunescope.judgements.files import Document
from tunescope.rows.json_text import list_columns


def known() -> Mapping[str, ModuleType]:
    """Return the formats by name."""
    from tunescope.judgements import formats

    return {module.NAME: module for module in members(formats)}


def format_of(documents: list[Document], name: str | None) -> ModuleType:
    """Return the format that all files have, or the one named.

    Raises:
        InputError: a file of no known format.
        SettingsError: an unknown name, or files of several formats.
    """
    formats = known()
    if name is not None:
        if name not in formats:
            raise SettingsError(f"--format {name!r}: expected one of {', '.join(formats)}")
        return formats[name]
    found: dict[str, str] = {}
    problems = []
    for document in documents:
        entry = document.entries[0]
        module = next((module for module in formats.values() if module.detect(entry.value)), None)
        if module is None:
            problems.append(
                Problem(document.path, entry.line, f"columns {list_columns(entry.value)}", _shapes(formats))
            )
        else:
            found.setdefault(module.NAME, document.path)
    if problems:
        raise InputError(problems, "If it is one of these nevertheless, name it with --format.")
    if len(found) > 1:
        said = ", ".join(f"{path} is {name}" for name, path in found.items())
        raise SettingsError(f"files of several formats ({said}); name files of one format")
    return formats[next(iter(found))]


def _shapes(formats: Mapping[str, ModuleType]) -> str:
    return "; or ".join(f"{name}: {module.SHAPE}" for name, module in formats.items())
