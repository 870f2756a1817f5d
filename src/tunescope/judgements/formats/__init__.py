"""Judgement files in the formats of other projects and our own: one module each, which defines its `FORMAT`.

A judgement that can't be read is unparsed or missing, never a score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.family import members
from tunescope.judgements.files import Document
from tunescope.judgements.records import AspectScore, Judgements, Presentation, Side
from tunescope.rows.json_text import list_columns


class ReadOptions(NamedTuple):
    """How the user wants files to be read.

    Attributes:
        system_names: the two systems' names, for files that don't name them.
        one_order: accept files of one order without those of the other order.
    """

    system_names: tuple[str, ...] = ()
    one_order: bool = False


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of judgement files.

    Attributes:
        name: the word that `--format` takes.
        shape: what a record looks like, for errors.
        formula: what counts as a tie and what is missing; printed with the result.
        detect: whether a file's first record has this format.
        read: reads all files of a call at once.
        parse_pair: reads a judge's reply about two answers (the reply, whose answer came first), to compare it with
            what the file stores; None where the format keeps no replies.
        parse_scores: the same of a reply about one answer; None where the reply has no scores.
        names_systems: whether the files name the systems; else `--system-names` does.
        renames_systems: whether `--system-names` replaces the names in the files.
        one_file_per_order: whether each order has a file of its own, so that `--one-order` takes one alone.
        na_counted_as: the score that the format's own script counts for "N/A".
        no_rereading: why replies can't be read again, where `parse_pair` and `parse_scores` are None.
    """

    name: str
    shape: str
    formula: str
    detect: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Sequence[Document], ReadOptions], Judgements]
    parse_pair: Callable[[str, Side], Presentation] | None = None
    parse_scores: Callable[[str], Mapping[str, AspectScore] | None] | None = None
    names_systems: bool = True
    renames_systems: bool = False
    one_file_per_order: bool = False
    na_counted_as: float | None = None
    no_rereading: str = "keep no replies that can be read again"


def known_formats() -> Mapping[str, Format]:
    """Return the formats by name."""
    from tunescope.judgements import formats

    return {module.FORMAT.name: module.FORMAT for module in members(formats)}


def format_of(documents: Sequence[Document], name: str | None) -> Format:
    """Return the format named, or the one that the first records of all files have.

    Raises:
        InputError: a file of no known format.
        SettingsError: an unknown name, or files of several formats.
    """
    formats = known_formats()
    if name is not None:
        if name not in formats:
            raise SettingsError(f"--format {name!r}: expected one of {', '.join(formats)}")
        return formats[name]
    paths: dict[str, str] = {}
    problems = []
    for document in documents:
        record = document.records[0]
        detected = next((each for each in formats.values() if each.detect(record.value)), None)
        if detected is None:
            problems.append(Problem.at(record.location, f"columns {list_columns(record.value)}", _shapes(formats)))
        else:
            paths.setdefault(detected.name, document.path)
    if problems:
        raise InputError(problems, "If a file has one of these formats nevertheless, name it with --format.")
    if len(paths) > 1:
        listed = ", ".join(f"{path} is {name}" for name, path in paths.items())
        raise SettingsError(f"files of several formats ({listed}); name files of one format")
    return formats[next(iter(paths))]


def _shapes(formats: Mapping[str, Format]) -> str:
    return "; or ".join(f"{each.name}: {each.shape}" for each in formats.values())
