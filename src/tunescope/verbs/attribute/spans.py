"""Claims: the stretches of answers that are asked for, instead of whole answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunescope.answers import Answer
from tunescope.errors import SettingsError
from tunescope.verbs.attribute.settings import AttributeSettings

Spans = Mapping[str, Sequence[tuple[int, int]]]
"""Stretches of answers, from the first character to the one behind the last, by answer id."""


def read_spans(settings: AttributeSettings, answers: Sequence[Answer]) -> Spans:
    """Return the stretches that were typed, or those of a file; empty where whole answers are asked for.

    Raises:
        SettingsError: no such file, a line that isn't one, an answer that isn't there, or a stretch outside of it.
    """
    if settings.span is not None:
        first, _, last = settings.span.partition(":")
        if not (first.isdecimal() and last.isdecimal()):
            raise SettingsError(f"--span {settings.span}: expected START:END in characters, such as 0:42")
        (answer,) = answers
        return {answer.answer_id: [_inside(int(first), int(last), answer, "--span")]}
    if settings.spans is None:
        return {}
    path, by_id = spans_file(settings.spans), {answer.answer_id: answer for answer in answers}
    if not path.is_file():
        raise SettingsError(f"--spans {path}: found no such file; expected lines of answer_id, start and end")
    spans: dict[str, list[tuple[int, int]]] = {}
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            answer_id, begin, end = str(record["answer_id"]), int(record["start"]), int(record["end"])
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise SettingsError(
                f"{path}:{number}: expected an object with answer_id, start and end ({error})"
            ) from error
        if answer_id not in by_id:
            raise SettingsError(f"{path}:{number}: found the answer {answer_id!r}; expected one of --answers")
        spans.setdefault(answer_id, []).append(_inside(begin, end, by_id[answer_id], f"{path}:{number}"))
    if not spans:
        raise SettingsError(f"--spans {path}: found no line; expected lines of answer_id, start and end")
    return spans


def spans_file(name: str) -> Path:
    """Return the stretches of a run folder, or the path itself where it isn't a folder."""
    path = Path(name)
    return path / "spans.jsonl" if path.is_dir() else path


def _inside(begin: int, end: int, answer: Answer, where: str) -> tuple[int, int]:
    if not 0 <= begin < end <= len(answer.text):
        raise SettingsError(
            f"{where}: found characters {begin} to {end}; expected a stretch of the answer's {len(answer.text):,}"
        )
    return begin, end


def claim_text(answer: Answer, spans: Spans) -> str:
    """Return what is asked for of an answer: its stretches, or all of it."""
    parts = spans.get(answer.answer_id)
    return answer.text if parts is None else "\n".join(answer.text[begin:end] for begin, end in parts)
