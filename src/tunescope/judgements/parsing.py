"""Parsing a judge's reply: two scores, a letter, a rating or aspects. Pure functions; None where there is no verdict.

Only the judge's own verdict counts: a whole line at the end of the reply, or at its beginning where the prompt asked
for that. Numbers and letters inside sentences, quotes from an answer, and thoughts before the reply don't count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tunescope.judgements.records import AspectScore
from tunescope.text.thoughts import split_thoughts

_NUMBER = r"\d{1,3}(?:\.\d+)?"
_LEAD = r"(?:(?=[^\d:\n]*(?:scor|output|verdict|rating|final|result))[^\W\d][^\d:\n]{0,60}:\s*)?"
_WRAP = r"[\s*_`(\[{]*"
_INNER = r"[*_`)\]}]*"
_UNWRAP = r"[\s*_`)\]}.!]*"
_PAIR = re.compile(
    rf"{_LEAD}{_WRAP}(?!{_NUMBER}\s*/\s*10{_UNWRAP}\Z)(?P<a>{_NUMBER})(?P<of>\s*/\s*10(?=\D))?{_INNER}(?:\s*[,;|/]\s*|\s+and\s+|\s+)"
    rf"{_WRAP}(?P<b>{_NUMBER})(?(of)\s*/\s*10){_UNWRAP}",
    re.IGNORECASE | re.ASCII,
)
"""A line that is two scores: "8 9", "8, 9", "(8, 9)", "8/9", "8/10 9/10", "Output: (8, 9)". "8/10" alone is one."""
_LETTER = re.compile(r"\[\[([A-C])\]\]")
_RATING = re.compile(r"\[\[(\d{1,3}(?:\.\d+)?)\]\]")
_QUOTES = "\"'`“”‘’«»"
_MAX_LINE = 200
"""Longest line, in characters, that may be a verdict."""
_FENCE = re.compile(r"```[A-Za-z]*\s*\n(.*?)```", re.DOTALL)
_SCORE_NAMES = (
    ("assistant_1", "assistant_2"),
    ("score_1", "score_2"),
    ("answer_1", "answer_2"),
    ("a", "b"),
    ("1", "2"),
)
_NOT_APPLICABLE = re.compile(r"\s*n/?a\.?\s*|\s*not applicable\.?\s*", re.IGNORECASE)
Where = Literal["first", "last"]


def two_scores(text: str, where: Where = "last", low: float = 1, high: float = 10) -> tuple[float, float] | None:
    """Return the two scores of a reply, in the order shown, or None.

    The last line counts, or a JSON object or list that the reply ends with; with `where="first"` (prompts that ask for
    the scores before the explanation) the first line does, and the last where the first has none. Scores outside
    `low` to `high` are none.
    """
    text = split_thoughts(text).text
    lines = _lines(text)
    if not lines:
        return None
    for line in (lines[0], lines[-1]) if where == "first" else (lines[-1],):
        match = _PAIR.fullmatch(line) if len(line) <= _MAX_LINE else None
        if match is not None:
            return _in_range((float(match["a"]), float(match["b"])), low, high)
    return _in_range(_scores_in(_last_json(text)), low, high)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _in_range(scores: tuple[float, float] | None, low: float, high: float) -> tuple[float, float] | None:
    return scores if scores is not None and all(low <= score <= high for score in scores) else None


def score_pair(value: Any) -> tuple[Any, Any] | None:
    """Return what stands in JSON for the first and the second answer's score: a list of two, or two named fields."""
    while isinstance(value, Mapping) and value.get("scores") is not None:
        value = value["scores"]
    if isinstance(value, Mapping):
        names = {str(name).lower().replace(" ", "_"): item for name, item in value.items()}
        value = next(([names[a], names[b]] for a, b in _SCORE_NAMES if a in names and b in names), None)
    return (value[0], value[1]) if isinstance(value, list) and len(value) == 2 else None


def _scores_in(value: Any) -> tuple[float, float] | None:
    first, second = map(number, score_pair(value) or (None, None))
    return None if first is None or second is None else (first, second)


def letter(text: str) -> Literal["A", "B", "C"] | None:
    """Return the verdict [[A]], [[B]] or [[C]] (a tie) of a reply, or None."""
    marked = _last_marker(text, _LETTER)
    return marked if marked in ("A", "B", "C") else None  # type: ignore[return-value]


def rating(text: str, low: float = 1, high: float = 10) -> float | None:
    """Return the rating [[N]] of a reply, or None."""
    marked = _last_marker(text, _RATING)
    value = None if marked is None else float(marked)
    return value if value is not None and low <= value <= high else None


def _last_marker(text: str, marker: re.Pattern[str]) -> str | None:
    """Return what the reply's last line, or else a first line that is nothing else, has in double brackets.

    A line with two different ones says nothing, nor does one in quotation marks.
    """
    lines = _lines(split_thoughts(text).text)
    if not lines:
        return None
    matches = list(marker.finditer(lines[-1]))
    if not matches and (first := marker.fullmatch(lines[0].strip("*_ ."))):
        return first[1]
    if len({match[1] for match in matches}) != 1:
        return None
    line, match = lines[-1], matches[-1]
    before, after = line[: match.start()].rstrip("*_ "), line[match.end() :].lstrip("*_ .")
    quoted = before[-1:] in _QUOTES and after[:1] in _QUOTES if before and after else False
    return None if quoted else match[1]


def aspects(text: str, names: Sequence[str] = (), low: float = 1, high: float = 5) -> dict[str, AspectScore] | None:
    """Return the scores of a reply that ends with JSON, {aspect: {"reason": …, "score": …}} or {aspect: score}.

    With `names`, aspects that the reply lacks are missing in it and others are left out. None where there is no JSON
    object with a score.
    """
    value = _last_json(split_thoughts(text).text)
    if not isinstance(value, Mapping):
        return None
    scores = {str(name).strip().lower(): aspect_score(item, low, high) for name, item in value.items()}
    if names:
        scores = {name: scores.get(name, AspectScore(None, "missing")) for name in names}
    return scores if any(score.status in ("ok", "not_applicable") for score in scores.values()) else None


def aspect_score(value: Any, low: float = 1, high: float = 5) -> AspectScore:
    """Read one aspect's score as judges give it: 4, "4", {"reason": …, "score": "4"} or "N/A"."""
    if isinstance(value, Mapping):
        if "score" not in value:
            return AspectScore(None, "unparsed")
        value = value["score"]
    if value is None:
        return AspectScore(None, "missing")
    if isinstance(value, str) and _NOT_APPLICABLE.fullmatch(value):
        return AspectScore(None, "not_applicable")
    score = number(value)
    return AspectScore(score, "ok") if score is not None and low <= score <= high else AspectScore(None, "unparsed")


def number(value: Any) -> float | None:
    """Return a JSON number, or a text that is one, as a float; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return float(value) if re.fullmatch(rf"\s*-?{_NUMBER}\s*", value, re.ASCII) else None
    return float(value) if isinstance(value, int | float) and abs(value) < 1e6 else None


def _last_json(text: str) -> Any:
    """Return the JSON object or list that a reply ends with (bare or in a fence), or None."""
    for candidate in _candidates(text):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    return None


def _candidates(text: str) -> Iterator[str]:
    fences = list(_FENCE.finditer(text))
    if fences and not text[fences[-1].end() :].strip():
        yield fences[-1][1].strip()
    bare = text.strip()
    if not bare.endswith(("}", "]")):
        return
    starts = [bare.find(mark) for mark in "{[" if mark in bare]
    if starts:
        yield bare[min(starts) :]
    last = bare.rfind("\n{")
    if last >= 0:
        yield bare[last + 1 :]
    yield bare[bare.rfind("\n") + 1 :]
