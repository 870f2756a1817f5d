"""What settings of several verbs have in common.

A verb's settings are one frozen dataclass: its fields are the options, the keys in a recipe and
the keywords in Python; the sentence under a field is its help. Fields marked `NOT_IN_KEY` can't change
results; fields marked `INPUT` name files, which count by content.
"""

from __future__ import annotations

import ast
import inspect
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from tunescope.runs import INPUT


@dataclass(frozen=True, kw_only=True)
class RowsSettings:
    """Where rows come from, and what to do with bad ones."""

    rows: tuple[str, ...] = field(metadata=INPUT)
    """Row files: paths, globs, - for a pipe, or a Hugging Face data set (ID:SPLIT, ID:CONFIG:SPLIT)."""

    format: str | None = None
    """Read them as alpaca, messages, sharegpt or prompt_completion; recognised from the content by default."""

    columns: tuple[str, ...] = ()
    """What columns are called, as WORD=COLUMN, for example instruction=question."""

    on_bad: Literal["refuse", "skip"] = "refuse"
    """Refuse the input when a row can't be read, or skip such rows into rejected.jsonl."""


def typed(rows: Sequence[str], format: str | None, columns: Sequence[str], on_bad: str = "refuse") -> str:
    """Return row files with how to read them as they are typed, for a command to type next."""
    words = [*rows, *(("--format", format) if format else ())]
    words += [word for entry in columns for word in ("--columns", entry)]
    return shlex.join([*words, *(("--on-bad", on_bad) if on_bad != "refuse" else ())])


def help_of(settings: type[Any], name: str) -> str:
    """Return the sentence under a settings field, from the class that declares it."""
    for owner in settings.__mro__:
        sentences = _sentences(owner) if owner is not object else {}
        if name in sentences:
            return sentences[name]
    raise KeyError(f"{settings.__name__}.{name} has no sentence under it")


@cache
def _sentences(owner: type[Any]) -> dict[str, str]:
    """Read the string that follows each annotated field in a class's source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field_node, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field_node, ast.AnnAssign)
            and isinstance(field_node.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field_node.target.id] = " ".join(str(text.value.value).split())
    return found
