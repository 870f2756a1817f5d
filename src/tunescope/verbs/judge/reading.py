"""What a judge's reply to our own prompts says, where answers try to speak for the judge. Pure.

Each prompt has two nonces, made from the texts that are judged and occurring in none of them. Answers stand between
lines with the first, the delimiter. The judge writes its verdict behind the second, the verdict marker, so what stands
there is the judge's own, whatever else the reply quotes. A verdict without the marker counts only as the reply's last
line (or the JSON that it ends with), and not where an answer says the same.

Where the server holds the judge to a schema there is no marker: the reply is one JSON object alone, so nothing that it
quotes can vote. An object that occurs in an answer doesn't count either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from tunescope.judgements.parsing import aspect_score, two_scores
from tunescope.judgements.records import AspectScore
from tunescope.text.declining import declines

if TYPE_CHECKING:
    from tunescope.oracle.endings import Ending
    from tunescope.oracle.replies import ParsedReply
    from tunescope.oracle.reply_schema import ReplySchema

T = TypeVar("T")
MARKER_FIELD = "code"
"""The field with the verdict marker in a verdict that is JSON."""
_MAX_OBJECTS = 500
"""Braces of an answer that are looked at for a verdict; one with more counts as holding it."""
_LONG_LINE = 3
"""Characters from which on a verdict's line may not stand inside an answer's line either ("10 1", but not "2")."""
_CHOICE = re.compile(
    r"[\s*_`\"'(\[]*(?:(?:answer\s+)?(1|2|tie)|(?<=\[\[)([ABC])(?=\]\]))[\s*_`\"')\].!]*", re.IGNORECASE
)
_CHOICES = {"1": 1.0, "2": 0.0, "tie": 0.5, "a": 1.0, "b": 0.0, "c": 0.5}
_JSON = json.JSONDecoder(strict=False)


class ParsedVerdict(NamedTuple, Generic[T]):
    """A verdict, or why there is none (a name of `judgements.records.UNPARSED_REASONS`)."""

    verdict: T | None
    why: str = ""


def parse_scores(
    text: str, ending: Ending, marker: str, answers: Sequence[str], low: float = 1, high: float = 10
) -> ParsedVerdict[tuple[float, float]]:
    """Read two scores, the first shown answer's first."""
    wide: Callable[[str], tuple[float, float] | None] = lambda line: two_scores(line, low=0, high=1000)  # noqa: E731
    parsed = _line(text, ending, marker, answers, wide)
    if parsed.verdict is not None and not all(low <= score <= high for score in parsed.verdict):
        return ParsedVerdict(None, "out_of_range")
    return parsed


def parse_choice(text: str, ending: Ending, marker: str, answers: Sequence[str]) -> ParsedVerdict[float]:
    """Read which answer is better: 1 for the first shown, 0 for the second, 0.5 for neither."""
    return _line(text, ending, marker, answers, _choice)


def _choice(line: str) -> float | None:
    match = _CHOICE.fullmatch(line)
    return None if match is None else _CHOICES[(match[1] or match[2]).lower()]


def parse_aspects(
    text: str, ending: Ending, marker: str, answers: Sequence[str], names: Sequence[str], high: float = 5
) -> ParsedVerdict[dict[str, ReasonedScore]]:
    """Read the last object {"code": MARKER, aspect: {"reason": …, "score": …}}, else one that the reply ends with.

    An aspect that the object lacks is missing in it. An object without one score or "N/A" is no verdict.
    """
    if ending == "refused":
        return ParsedVerdict(None, "refused")
    read: Callable[[Any], dict[str, ReasonedScore] | None] = lambda value: _aspects(value, names, high)  # noqa: E731
    objects = list(_objects(text))
    marked = [
        value for value, _ in objects if isinstance(value.get(MARKER_FIELD), str) and value[MARKER_FIELD] == marker
    ]
    own = next((scores for value in reversed(marked) if (scores := read(value)) is not None), None)
    if own is not None:
        return ParsedVerdict(own)
    last = [value for value, end in objects if not marked and not text[end:].strip("` \t\r\n")]
    own = next((scores for value in last if (scores := read(value)) is not None), None)
    if own is None:
        return ParsedVerdict(None, _why(text, ending))
    for answer in answers:
        if answer.count("{") > _MAX_OBJECTS:
            return ParsedVerdict(None, "quoted")
        theirs = (scores for value, _ in _objects(answer) if (scores := read(value)) is not None)
        if any(_scores(scores) == _scores(own) for scores in theirs):
            return ParsedVerdict(None, "quoted")
    return ParsedVerdict(own)


def scores_from_fields(parsed: ParsedReply, low: float = 1, high: float = 10) -> ParsedVerdict[tuple[float, float]]:
    """Return score_1 and score_2 of a reply in JSON."""
    first, second = parsed.numbers.get("score_1"), parsed.numbers.get("score_2")
    if first is None or second is None:
        return ParsedVerdict(None, _missing(parsed))
    if not (low <= first <= high and low <= second <= high):
        return ParsedVerdict(None, "out_of_range")
    return ParsedVerdict((first, second))


def choice_from_fields(parsed: ParsedReply) -> ParsedVerdict[float]:
    """Return which answer is `better` of a reply in JSON: 1 for the first shown, 0 for the second, 0.5 for neither."""
    word = parsed.texts.get("better")
    return ParsedVerdict(None, _missing(parsed)) if word is None else ParsedVerdict(_CHOICES[word])


def aspects_from_fields(fields: Mapping[str, str], parsed: ParsedReply) -> ParsedVerdict[dict[str, ReasonedScore]]:
    """Return NAME_score and NAME_reason of a reply in JSON; `fields` maps each aspect to what its fields begin with.

    An aspect that the reply lacks is missing in it. A reply without one score or "N/A" is no verdict.
    """
    scores = {
        name: ReasonedScore(aspect_score(parsed.texts.get(f"{field}_score")), parsed.texts.get(f"{field}_reason"))
        for name, field in fields.items()
    }
    if all(aspect.score.status == "missing" for aspect in scores.values()):
        return ParsedVerdict(None, _missing(parsed))
    return ParsedVerdict(scores)


def _missing(parsed: ParsedReply) -> str:
    return parsed.status if parsed.status in ("refused", "truncated") else "no_verdict"


def is_quoted(answer: str, reply: str, schema: ReplySchema) -> bool:
    """Tell whether an answer holds the fields as a reply has them, so that it may be the answer that speaks."""
    if reply.strip() in answer:
        return True
    names = [field.name for field in schema.fields]
    if not any(f'"{name}"' in answer for name in names):
        return False
    if answer.count("{") > _MAX_OBJECTS:
        return True
    own = next((value for value, _ in _objects(reply)), None)
    given: Callable[[Mapping[str, Any]], list[Any]] = lambda value: [value.get(name) for name in names]  # noqa: E731
    return own is not None and any(given(value) == given(own) for value, _ in _objects(answer))


class ReasonedScore(NamedTuple):
    """An aspect's score, and what the judge says about it."""

    score: AspectScore
    reason: str | None


def _aspects(value: Mapping[str, Any], names: Sequence[str], high: float) -> dict[str, ReasonedScore] | None:
    given = {str(name).strip().lower(): item for name, item in value.items()}
    scores = {
        name: ReasonedScore(aspect_score(given.get(name.lower()), 1, high), _reason(given.get(name.lower())))
        for name in names
    }
    return scores if any(aspect.score.status in ("ok", "not_applicable") for aspect in scores.values()) else None


def _scores(aspects: Mapping[str, ReasonedScore]) -> dict[str, AspectScore]:
    return {name: aspect.score for name, aspect in aspects.items()}


def _reason(value: Any) -> str | None:
    reason = value.get("reason") if isinstance(value, Mapping) else None
    return reason if isinstance(reason, str) and reason.strip() else None


def _line(
    text: str, ending: Ending, marker: str, answers: Sequence[str], read: Callable[[str], T | None]
) -> ParsedVerdict[T]:
    """Read the last line behind a marker that is a verdict; without any marker, the reply's last line."""
    if ending == "refused":
        return ParsedVerdict(None, "refused")
    whole = text.rpartition("\n")[0] if ending != "whole" else text  # 1 may have been 10
    tails = whole.split(marker)[1:]
    for tail in reversed(tails):
        verdict = read(tail.partition("\n")[0].lstrip(" \t:=*_`>]-"))
        if verdict is not None:
            return ParsedVerdict(verdict)
    lines = [line.strip() for line in whole.split("\n") if line.strip()]
    verdict = read(lines[-1]) if lines and not tails else None
    if verdict is None:
        return ParsedVerdict(None, _why(text, ending))
    is_said = any(read(line.strip()) == verdict for answer in answers for line in answer.split("\n"))
    if is_said or (len(lines[-1]) >= _LONG_LINE and any(lines[-1] in answer for answer in answers)):
        return ParsedVerdict(None, "quoted")
    return ParsedVerdict(verdict)


def _why(text: str, ending: Ending) -> str:
    if ending != "cut" and declines(text):
        return "refused"
    return "no_verdict" if ending == "whole" else "truncated"


def _objects(text: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield every JSON object in a text, outer ones before those in them, with where it ends."""
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            yield _JSON.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
