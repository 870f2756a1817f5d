"""What `answer` shows: the first answers, how many, how long, how they ended, and what has none."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tunescope.answers import Answer
from tunescope.oracle.endings import ending_of
from tunescope.runs import Outcome, RunFolder, Unanswered
from tunescope.verbs.answer.settings import AnswerSettings
from tunescope.views import Marked, Table, View, counted, interval, shorten

_FIRST = 3
"""Answers that the view shows."""
_QUESTION_CHARS = 120
_ANSWER_CHARS = 300
_SHOWN = 20
"""Prompts without an answer that the view lists; `missing.jsonl` has all."""


def show_answers(
    settings: AnswerSettings, model: str, folder: RunFolder, answers: list[Answer], missing: list[dict[str, Any]]
) -> Outcome:
    """Return the numbers of a run's answers, and the view."""
    from tunescope.stats import FROM_0, mean
    from tunescope.text.words import words

    lengths = [*(float(len(words(a.text))) for a in answers), *(None for _ in missing)]
    length = mean(lengths, heavy_tailed=True, bounds=FROM_0)
    reasons = Counter(a.finish_reason for a in answers)
    ended = {name: reasons.pop(name, 0) for name in ("stop", "length")}
    ended |= {name or "null": count for name, count in reasons.items()}
    result = {
        "n": len(answers),
        "n_missing": len(missing),
        "words": length.as_json(),
        "finish_reasons": ended,
        "model": model,
    }
    about = (length.value, interval(length.low, length.high, 1))
    cells = (len(answers), len(missing), *about, *ended.values())
    tables = [
        Table(
            "Answers",
            ("n", "n_missing", "mean words", f"{100 * length.level:.0f} % interval", *ended),
            (cells,),
            f"Words per answer ({length.method}). stop: the model ended its turn; "
            f"length: cut at {settings.max_new_tokens} tokens.",
        )
    ]
    if missing:
        shown = tuple((record["prompt_id"], record["reason"]) for record in missing[:_SHOWN])
        more = f"The first {_SHOWN} of {len(missing)}; all are in missing.jsonl." if len(missing) > _SHOWN else ""
        tables.append(Table("Not answered", ("prompt_id", "reason"), shown, more))
    due = len(answers) + len(missing)
    asked = len({a.prompt_id for a in answers} | {record["prompt_id"] for record in missing})
    what = "prompts" if due == asked else f"questions and samples of {asked} prompts"
    sentences = [f"{model} answered {len(answers)} of {due} {what}, {_manner(settings)}.", *_describe_endings(answers)]
    path = shlex.quote(str(folder.path))
    view = View(tuple(sentences), tuple(tables), (f"tunescope compare {path} OTHER_ANSWERS",), _first_answers(answers))
    failures = ((record["reason"], not record["open"]) for record in missing)
    return Unanswered.of(due, "answers", failures).added_to(result, view)


def _first_answers(answers: Sequence[Answer]) -> tuple[Marked, ...]:
    """Show the first answers to different prompts, under their questions."""
    first = [answer for answer in answers if answer.turn == answer.sample == 0][:_FIRST]
    return tuple(
        Marked(f"{answer.prompt_id}: {shorten(' '.join(answer.prompt.split()), _QUESTION_CHARS)}", _shown(answer))
        for answer in first
    )


def _shown(answer: Answer) -> str:
    return shorten(answer.text, _ANSWER_CHARS) if answer.text.strip() else "(an empty answer)"


def _describe_endings(answers: Sequence[Answer]) -> Iterator[str]:
    """Say how many answers may be cut, beside those that were cut at the length that the settings have."""
    endings = Counter(ending_of(each.finish_reason) for each in answers if each.finish_reason != "length")
    if endings["cut"]:
        yield f"{counted(endings['cut'], 'answer')} ended with a finish_reason that isn't a natural end."
    if endings["unknown"]:
        yield f"The server doesn't say how {counted(endings['unknown'], 'answer')} ended: they may be cut off."


def _manner(settings: AnswerSettings) -> str:
    if settings.temperature is None:
        return "greedily"
    top_p = "" if settings.top_p is None else f", top_p {settings.top_p:g}"
    return f"sampled at temperature {settings.temperature:g}{top_p}, seed {settings.seed}"
